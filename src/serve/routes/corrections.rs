//! What somebody says of the photo library's groups and faces: names, merges, splits, answers. It holds for ever after.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Enroll, Everywhere};
use crate::serve::idempotency::Again;
use crate::serve::input::{NoBody, Object, Options, Path, flag};
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::terms::Name;
use crate::{Correction, Grouped, Library, Result as Done};

/// Faces that one split takes.
const MOST_FACES: usize = 10_000;

/// Makes a change of the library, in its turn: logged, once, and to its end.
async fn changed<T: Serialize + Send + 'static>(
    service: &Arc<Service>,
    may: Everywhere<Enroll>,
    (again, body): (Again, [u8; 32]),
    event: Event,
    work: impl FnOnce(&Service, Library) -> Done<T> + Send + 'static,
) -> Result<Response, Problem> {
    let caller = may.caller.id.clone();
    let evidence = event.evidence.clone();
    let write = service.audited_write(
        event,
        move |s| Ok(s.shelf().change(|| work(s, Library::of(s.database())))?),
        move |_, event| event.evidence = evidence,
    );
    service.once(&caller, again, body, StatusCode::OK, write).await
}

fn called(group: u64) -> String {
    format!("#{group}")
}

/// A change of a group: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct GroupChange {
    /// Whose it is. Where another group has that name this is refused (409, `library.same_name`: `into` is that group)
    /// unless `merge` is said.
    #[schema(value_type = Option<Name>)]
    name: Option<String>,
    /// With a name: the group that has it is the same person's, and the two are one from now on.
    #[serde(default)]
    merge: bool,
    /// Whether lists leave it out.
    hidden: Option<bool>,
}

/// Names a group, hides it, or shows it again
#[utoipa::path(patch, path = "/v1/library/groups/{id}", tag = "library", operation_id = "change_group",
    params(("id" = u64, Path, format = "uint64")), request_body = GroupChange,
    responses((status = 200, body = Correction)))]
pub(super) async fn change(
    State(service): State<Arc<Service>>,
    may: Everywhere<Enroll>,
    again: Again,
    Path(id): Path<u64>,
    Object(change, body): Object<GroupChange>,
) -> Result<Response, Problem> {
    let group = called(id);
    match (change.name, change.hidden) {
        (Some(name), None) => {
            let event =
                Event { person: Some(name.clone()), evidence: json!({ "group": id }), ..may.event("name group") };
            let merge = change.merge;
            changed(&service, may, (again, body), event, move |_, l| l.name(&group, &name, merge)).await
        }
        (None, Some(hidden)) if !change.merge => {
            let event = Event { evidence: json!({ "group": id, "hidden": hidden }), ..may.event("hide group") };
            changed(&service, may, (again, body), event, move |_, l| l.hide(&group, hidden)).await
        }
        _ => Err(Problem::bad("request.bad_option", "say name, or hidden")),
    }
}

/// Which group takes the faces.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct MergeInto {
    /// The group that has the faces of both from now on.
    #[schema(format = "uint64")]
    into: u64,
}

/// Makes two groups one: `id` is no more
#[utoipa::path(post, path = "/v1/library/groups/{id}/merge", tag = "library", operation_id = "merge_groups",
    params(("id" = u64, Path, format = "uint64")), request_body = MergeInto, responses((status = 200, body = Correction)))]
pub(super) async fn merge(
    State(service): State<Arc<Service>>,
    may: Everywhere<Enroll>,
    again: Again,
    Path(id): Path<u64>,
    Object(MergeInto { into }, body): Object<MergeInto>,
) -> Result<Response, Problem> {
    let event = Event { evidence: json!({ "group": id, "into": into }), ..may.event("merge groups") };
    changed(&service, may, (again, body), event, move |_, l| l.merge(&called(id), &called(into))).await
}

/// Which faces go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Parted {
    /// Numbers of faces of the group.
    #[schema(min_items = 1, max_items = 10000)]
    faces: Vec<u64>,
}

/// Takes faces out of a group for ever: they are another person's, a group of their own, which is answered
#[utoipa::path(post, path = "/v1/library/groups/{id}/split", tag = "library", operation_id = "split_group",
    params(("id" = u64, Path, format = "uint64")), request_body = Parted, responses((status = 200, body = Correction)))]
pub(super) async fn split(
    State(service): State<Arc<Service>>,
    may: Everywhere<Enroll>,
    again: Again,
    Path(id): Path<u64>,
    Object(Parted { faces }, body): Object<Parted>,
) -> Result<Response, Problem> {
    if !(1..=MOST_FACES).contains(&faces.len()) {
        return Err(Problem::bad("request.bad_option", format!("faces takes 1 to {MOST_FACES} numbers")));
    }
    let event = Event { evidence: json!({ "group": id, "faces": faces.len() }), ..may.event("split group") };
    changed(&service, may, (again, body), event, move |_, l| l.split(&called(id), &faces)).await
}

/// What is said of a face: one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct FaceChange {
    /// Whose it is.
    #[schema(value_type = Option<Name>)]
    name: Option<String>,
    /// It is not the person's in whose group it is.
    #[serde(default)]
    not_person: bool,
    /// Whether it is no face. `false` takes it back.
    not_face: Option<bool>,
}

/// Says whose a face is, that it is somebody else's than the group says, that it is none, or that it is one after all
#[utoipa::path(patch, path = "/v1/library/faces/{id}", tag = "library", operation_id = "change_library_face",
    params(("id" = u64, Path, format = "uint64")), request_body = FaceChange,
    responses((status = 200, body = Correction)))]
pub(super) async fn face(
    State(service): State<Arc<Service>>,
    may: Everywhere<Enroll>,
    again: Again,
    Path(id): Path<u64>,
    Object(change, body): Object<FaceChange>,
) -> Result<Response, Problem> {
    let evidence = json!({ "face": id });
    match (change.name, change.not_person, change.not_face) {
        (Some(name), false, None) => {
            let event = Event { person: Some(name.clone()), evidence, ..may.event("name library face") };
            changed(&service, may, (again, body), event, move |_, l| l.name_face(id, &name)).await
        }
        (None, true, None) => {
            let event = Event { evidence, ..may.event("not this person") };
            changed(&service, may, (again, body), event, move |_, l| l.not_this_person(id)).await
        }
        (None, false, Some(false)) => {
            let event = Event { evidence, ..may.event("a face again") };
            changed(&service, may, (again, body), event, move |_, l| l.a_face_again(id)).await
        }
        (None, false, Some(true)) => {
            let event = Event { evidence, ..may.event("not a face") };
            changed(&service, may, (again, body), event, move |_, l| l.not_a_face(id)).await
        }
        _ => Err(Problem::bad("request.bad_option", "say name, not_person or not_face")),
    }
}

/// An answer to a question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Answer {
    /// A group: it has the faces of both where they are the same person.
    #[schema(format = "uint64")]
    one: u64,
    /// Another group.
    #[schema(format = "uint64")]
    other: u64,
    /// Whether they are the same person.
    same: bool,
}

/// Says whether two groups are the same person; it is never asked again
#[utoipa::path(post, path = "/v1/library/questions", tag = "library", operation_id = "answer_question",
    request_body = Answer, responses((status = 200, body = Correction)))]
pub(super) async fn answer(
    State(service): State<Arc<Service>>,
    may: Everywhere<Enroll>,
    again: Again,
    Object(Answer { one, other, same }, body): Object<Answer>,
) -> Result<Response, Problem> {
    let event = Event { evidence: json!({ "one": one, "other": other, "same": same }), ..may.event("answer question") };
    let work = move |_: &Service, l: Library| match same {
        true => l.merge(&called(other), &called(one)),
        false => l.different(&called(one), &called(other)),
    };
    changed(&service, may, (again, body), event, work).await
}

/// How faces are grouped.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Grouping {
    /// Group faces that are too small, blurred, dark or turned away, too.
    #[serde(default, deserialize_with = "flag")]
    poor_faces: bool,
}

/// Groups the library's faces into people anew; enrolled people of the gallery give their names. What was said holds
#[utoipa::path(post, path = "/v1/library/group", tag = "library", operation_id = "group_library",
    params(("gallery" = inline(Option<Name>), Query), Grouping), responses((status = 200, body = Grouped)))]
pub(super) async fn group(
    State(service): State<Arc<Service>>,
    may: Everywhere<Enroll>,
    again: Again,
    Options(Grouping { poor_faces }): Options<Grouping>,
    _: NoBody,
) -> Result<Response, Problem> {
    let gallery = may.gallery.clone();
    let event = Event { gallery: Some(gallery.clone()), ..may.event("group library") };
    let work = move |s: &Service, l: Library| l.group(Some(&gallery), s.engine().calibration(), poor_faces);
    changed(&service, may, (again, [0; 32]), event, work).await
}
