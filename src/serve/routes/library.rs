//! `/v1/library`: groups, photos and faces of the photo library, looked at. What changes them is in `corrections`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::serve::auth::{Everywhere, Read};
use crate::serve::input::{Options, Path, flag};
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::{
    Album, FoundPhoto, GroupFace, GroupFilter, GroupOrder, GroupSummary, Library, LibraryStatus, PhotoFilter,
    SamePerson,
};

/// Entries of a list when not said, and at most.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1000;
/// Entries of a list that can be passed over.
const FURTHEST: u64 = 1_000_000_000;
/// Questions likewise.
const QUESTIONS: usize = 20;
const MOST_QUESTIONS: usize = 200;
/// Longer side of a photo's picture in pixels, likewise.
const SIDE: u32 = 1280;
const SIDES: std::ops::RangeInclusive<u32> = 64..=4096;

/// Which part of a list.
#[derive(Debug, Clone, Copy)]
struct Part {
    skip: usize,
    limit: usize,
}

impl Part {
    fn of(skip: u64, limit: Option<usize>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(PAGE);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(Problem::bad("request.bad_option", format!("limit must be 1 to {LONGEST_PAGE}")));
        }
        if skip > FURTHEST {
            return Err(Problem::bad("request.bad_option", format!("skip must be 0 to {FURTHEST}")));
        }
        Ok(Self { skip: usize::try_from(skip).unwrap_or(usize::MAX), limit })
    }

    fn taken<T>(self, all: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        all.into_iter().skip(self.skip).take(self.limit)
    }
}

async fn with_album<T: Send + 'static>(
    service: &Arc<Service>,
    look: impl FnOnce(&Service, &Album) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    service.with_searches(move |s| look(s, &*s.shelf().album(s.database())?)).await
}

fn jpeg(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response()
}

/// The photo library in numbers
#[utoipa::path(get, path = "/v1/library", tag = "library", operation_id = "library_status",
    responses((status = 200, body = LibraryStatus)))]
pub(super) async fn status(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
) -> Result<Json<LibraryStatus>, Problem> {
    Ok(Json(with_album(&service, |_, album| Ok(album.status())).await?))
}

/// Which groups.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichGroups {
    /// Only groups whose name holds this, in whatever case.
    q: Option<String>,
    /// `yes`: only groups with a name; `no`: only those without.
    #[param(pattern = "^(yes|no)$")]
    named: Option<String>,
    /// The hidden groups in place of those that are shown.
    #[serde(default, deserialize_with = "flag")]
    hidden: bool,
    /// In which order: `known` (those with a name first, then by faces; when not said), `faces` or `name`.
    #[param(pattern = "^(known|faces|name)$")]
    sort: Option<String>,
    /// How many at most, 1 to 1000; 50 when not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Leave out so many at the beginning.
    #[serde(default)]
    #[param(maximum = 1000000000)]
    skip: u64,
}

/// Some of the library's groups: faces that are one person's.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Groups {
    groups: Vec<GroupSummary>,
    /// How many there are in all.
    #[schema(value_type = u64)]
    total: usize,
}

/// The people of the photo library, each a group of faces
#[utoipa::path(get, path = "/v1/library/groups", tag = "library", operation_id = "list_groups", params(WhichGroups),
    responses((status = 200, body = Groups)))]
pub(super) async fn groups(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Options(which): Options<WhichGroups>,
) -> Result<Json<Groups>, Problem> {
    let part = Part::of(which.skip, which.limit)?;
    let bad = |detail: String| Err(Problem::bad("request.bad_option", detail));
    let order = match which.sort.as_deref() {
        None | Some("known") => GroupOrder::Known,
        Some("faces") => GroupOrder::Faces,
        Some("name") => GroupOrder::Name,
        Some(other) => return bad(format!("sort is known, faces or name, not {other:?}")),
    };
    let named = match which.named.as_deref() {
        None => None,
        Some("yes") => Some(true),
        Some("no") => Some(false),
        Some(other) => return bad(format!("named is yes or no, not {other:?}")),
    };
    let filter = GroupFilter { containing: which.q, named, hidden: which.hidden, order };
    let listing = with_album(&service, move |_, album| {
        let found = album.groups(&filter);
        let total = found.len();
        Ok(Groups { groups: part.taken(found).cloned().collect(), total })
    });
    Ok(Json(listing.await?))
}

/// A group of the library
#[utoipa::path(get, path = "/v1/library/groups/{id}", tag = "library", operation_id = "show_group",
    params(("id" = u64, Path, format = "uint64")), responses((status = 200, body = GroupSummary)))]
pub(super) async fn group(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Path(id): Path<u64>,
) -> Result<Json<GroupSummary>, Problem> {
    Ok(Json(with_album(&service, move |_, album| Ok(album.group(id)?.clone())).await?))
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paged {
    /// How many at most, 1 to 1000; 50 when not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Leave out so many at the beginning.
    #[serde(default)]
    #[param(maximum = 1000000000)]
    skip: u64,
}

/// Some faces of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct GroupFaces {
    /// By when the photos were taken; of a group, the best first.
    faces: Vec<GroupFace>,
    /// How many there are in all.
    #[schema(value_type = u64)]
    total: usize,
}

/// The faces of a group
#[utoipa::path(get, path = "/v1/library/groups/{id}/faces", tag = "library", operation_id = "list_group_faces",
    params(("id" = u64, Path, format = "uint64"), Paged), responses((status = 200, body = GroupFaces)))]
pub(super) async fn group_faces(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Path(id): Path<u64>,
    Options(which): Options<Paged>,
) -> Result<Json<GroupFaces>, Problem> {
    let part = Part::of(which.skip, which.limit)?;
    let listing = with_album(&service, move |_, album| {
        let faces = album.faces(id)?;
        let total = faces.len();
        Ok(GroupFaces { faces: part.taken(faces).collect(), total })
    });
    Ok(Json(listing.await?))
}

/// What somebody has said is no face
#[utoipa::path(get, path = "/v1/library/no-faces", tag = "library", operation_id = "list_no_faces", params(Paged),
    responses((status = 200, body = GroupFaces)))]
pub(super) async fn no_faces(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Options(which): Options<Paged>,
) -> Result<Json<GroupFaces>, Problem> {
    let part = Part::of(which.skip, which.limit)?;
    let listing = with_album(&service, move |_, album| {
        let faces = album.no_faces();
        let total = faces.len();
        Ok(GroupFaces { faces: part.taken(faces).collect(), total })
    });
    Ok(Json(listing.await?))
}

/// The face in its surroundings, as the library keeps it
#[utoipa::path(get, path = "/v1/library/faces/{id}/thumbnail", tag = "library", operation_id = "show_library_thumbnail",
    params(("id" = u64, Path, format = "uint64")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg")))]
pub(super) async fn thumbnail(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Path(id): Path<u64>,
) -> Result<Response, Problem> {
    let kept = with_album(&service, move |s, album| Ok(Library::of(s.database()).face_picture(album, id)?));
    kept.await.map(jpeg)
}

/// Which photos.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichPhotos {
    /// Only photos with somebody of this group; said again, with all of them.
    #[serde(default)]
    group: Vec<u64>,
    /// Taken in this year, month or day, or later: `2024`, `2024-05` or `2024-05-31`.
    #[param(pattern = "^([0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?)?$")]
    from: Option<String>,
    /// Taken in this year, month or day, or earlier.
    #[param(pattern = "^([0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?)?$")]
    to: Option<String>,
    /// How many at most, 1 to 1000; 50 when not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Leave out so many at the beginning.
    #[serde(default)]
    #[param(maximum = 1000000000)]
    skip: u64,
}

/// Some of the library's photos.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Photos {
    /// By when they were taken, then by path.
    photos: Vec<FoundPhoto>,
    /// How many there are in all.
    #[schema(value_type = u64)]
    total: usize,
}

/// The photos of somebody, or all
#[utoipa::path(get, path = "/v1/library/photos", tag = "library", operation_id = "list_photos", params(WhichPhotos),
    responses((status = 200, body = Photos)))]
pub(super) async fn photos(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Options(which): Options<WhichPhotos>,
) -> Result<Json<Photos>, Problem> {
    let part = Part::of(which.skip, which.limit)?;
    let said = |text: Option<String>| text.filter(|t| !t.is_empty());
    let who = which.group.iter().map(|id| format!("#{id}")).collect();
    let filter = PhotoFilter { who, from: said(which.from), to: said(which.to) };
    let listing = with_album(&service, move |_, album| {
        let found = album.find(&filter)?;
        let total = found.len();
        let photos = part.taken(found).map(|id| album.photo(id)).collect::<Result<_, _>>()?;
        Ok(Photos { photos, total })
    });
    Ok(Json(listing.await?))
}

/// A photo of the library
#[utoipa::path(get, path = "/v1/library/photos/{id}", tag = "library", operation_id = "show_photo",
    params(("id" = u64, Path, format = "uint64")), responses((status = 200, body = FoundPhoto)))]
pub(super) async fn photo(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Path(id): Path<u64>,
) -> Result<Json<FoundPhoto>, Problem> {
    Ok(Json(with_album(&service, move |_, album| Ok(album.photo(id)?)).await?))
}

/// How large.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Size {
    /// Pixels of the longer side at most, 64 to 4096; 1280 when not said.
    #[param(minimum = 64, maximum = 4096)]
    side: Option<u32>,
}

/// A photo to look at: upright, made smaller, without whatever else its file says. The file is where the library found it,
/// and is shown only while it is the same
#[utoipa::path(get, path = "/v1/library/photos/{id}/picture", tag = "library", operation_id = "show_picture",
    params(("id" = u64, Path, format = "uint64"), Size),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg")))]
pub(super) async fn picture(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Path(id): Path<u64>,
    Options(Size { side }): Options<Size>,
) -> Result<Response, Problem> {
    let side = side.unwrap_or(SIDE);
    if !SIDES.contains(&side) {
        let detail = format!("side must be {} to {}", SIDES.start(), SIDES.end());
        return Err(Problem::bad("request.bad_option", detail));
    }
    let album = with_album(&service, |s, _| Ok(s.shelf().album(s.database())?)).await?;
    // Decoding takes as long as a network does.
    let made = service.with_networks(move |s| album.picture(id, side, &s.limits().photo()));
    made.await.map(jpeg)
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HowMany {
    /// How many at most, 1 to 200; 20 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Pairs of groups that may be one person's.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Questions {
    /// The most doubtful first.
    questions: Vec<SamePerson>,
    /// How many there are in all.
    #[schema(value_type = u64)]
    total: usize,
}

/// Is this the same person? The most doubtful pairs of groups; none that was answered before
#[utoipa::path(get, path = "/v1/library/questions", tag = "library", operation_id = "list_questions", params(HowMany),
    responses((status = 200, body = Questions)))]
pub(super) async fn questions(
    State(service): State<Arc<Service>>,
    _reads: Everywhere<Read>,
    Options(HowMany { limit }): Options<HowMany>,
) -> Result<Json<Questions>, Problem> {
    let limit = limit.unwrap_or(QUESTIONS);
    if !(1..=MOST_QUESTIONS).contains(&limit) {
        return Err(Problem::bad("request.bad_option", format!("limit must be 1 to {MOST_QUESTIONS}")));
    }
    let asking = with_album(&service, move |s, album| {
        let mut questions = album.questions(s.engine().calibration())?;
        let total = questions.len();
        questions.truncate(limit);
        Ok(Questions { questions, total })
    });
    Ok(Json(asking.await?))
}
