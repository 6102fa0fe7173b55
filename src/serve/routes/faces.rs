//! `/v1/people/{name}/faces` and `/v1/faces`: what people are known by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::batch::Batch;
use super::people::{Scrub, labels};
use crate::error::Gate;
use crate::json::json;
use crate::serve::access::PolicyRoom;
use crate::serve::audit::Event;
use crate::serve::auth::{Enroll, May, Read};
use crate::serve::bodies::{PhotoFile, PhotoFiles, PhotoText, PhotoTexts};
use crate::serve::idempotency::Again;
use crate::serve::input::{Form, Options, Path, Upload};
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::terms::{LabelGiven, Name, Refusal};
use crate::serve::views::{FaceView, PersonView};
use crate::serve::work;
use crate::{EnrolOptions, EnrolmentStatus, FaceChoice, NewFace, Selection};

/// What a photo must be to be enrolled.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct Enrolment {
    /// `only`: the photo must show one face (when not said); `largest`: the largest counts; or the number of the one that
    /// is meant, as `/v1/identify` and `/v1/detect` number them, from 1 on.
    #[param(pattern = "^(only|largest|[1-9][0-9]{0,4})$")]
    pub face: Option<String>,
    /// Count every box with at least this score, and no other; when not said, boxes that are both much smaller and
    /// less certain than the main face do not count.
    #[param(minimum = 0, maximum = 1)]
    pub min_score: Option<f32>,
    /// A refusal to pass over: `small`, `blurred`, `light`, `turned`, `covered`, `inverted`, `unclear`, `duplicate` or `different`;
    /// may be said again.
    #[serde(default)]
    #[param(value_type = Vec<Refusal>, inline)]
    pub allow: Vec<String>,
    /// A group that the person is put into; may be said again.
    #[serde(default)]
    #[param(value_type = Vec<Name>, inline)]
    pub group: Vec<String>,
    /// A label that the person gets, as `key=value`; may be said again.
    #[serde(default)]
    #[param(value_type = Vec<LabelGiven>, inline)]
    pub label: Vec<String>,
}

/// Which boxes count, and which face is meant.
pub(in crate::serve) fn selection(face: Option<&str>, min_score: Option<f32>) -> Result<Selection, Problem> {
    if min_score.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
        return Err(Problem::bad("request.bad_option", "min_score must be 0 to 1"));
    }
    let choice = match face {
        None | Some("only") => FaceChoice::Only,
        Some("largest") => FaceChoice::Largest,
        Some(other) => {
            return Err(Problem::bad("request.bad_option", format!("face is only or largest, not {other:?}")));
        }
    };
    Ok(Selection { choice, min_score })
}

/// [`selection`] where there is one photo, of which a face may be meant by its number.
fn selection_of_one(face: Option<&str>, min_score: Option<f32>) -> Result<Selection, Problem> {
    let digits = face.filter(|f| (1..=5).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|f| f.parse().ok()).filter(|number| *number > 0) {
        Some(number) => Ok(Selection { choice: FaceChoice::Number(number), ..selection(None, min_score)? }),
        None => selection(face, min_score).map_err(|e| e.advising("; or the number of a face, from 1 on")),
    }
}

impl Enrolment {
    pub(in crate::serve) fn options(self, service: &Service) -> Result<EnrolOptions, Problem> {
        let gate = |word: &String| {
            word.parse::<Gate>().map_err(|e| Problem::bad("request.bad_option", format!("allow is {e}")))
        };
        Ok(EnrolOptions {
            selection: selection_of_one(self.face.as_deref(), self.min_score)?,
            allow: self.allow.iter().map(gate).collect::<Result<_, _>>()?,
            keep_chips: service.options().keep_chips,
            groups: self.group,
            labels: labels(&self.label)?,
            ..EnrolOptions::default()
        })
    }
}

/// An enrolled face.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct EnrolledView {
    /// The person's name.
    pub name: String,
    /// The person's number.
    pub person: u64,
    /// The face's number: the new one, or the one that was there.
    pub face: u64,
    /// `added`, or `same_photo` or `same_face` where it was known already.
    pub status: &'static str,
    /// How many faces each access policy for the gallery supports, and how many there are now.
    pub policies: Vec<PolicyRoom>,
}

/// Puts a prepared face into the gallery: on the threads that wait for the disk.
fn put(
    service: &Service,
    gallery: &str,
    name: &str,
    face: NewFace,
    options: &EnrolOptions,
) -> Result<EnrolledView, Problem> {
    let database = service.database();
    let (done, pending) = service.engine().enroll_prepared(database, gallery, name, face, options)?;
    database.settle(pending)?;
    let status = match done.status {
        EnrolmentStatus::Added => "added",
        EnrolmentStatus::SamePhoto => "same_photo",
        EnrolmentStatus::SameFace => "same_face",
    };
    let policies = service.rooms(Some(gallery));
    Ok(EnrolledView { name: done.name, person: done.person, face: done.face, status, policies })
}

/// Finds the face in a photo and puts it into the gallery. The networks first, and nothing is written until they
/// are done; a refusal is in the audit log too.
pub(in crate::serve) async fn enroll_photo(
    service: Arc<Service>,
    event: Event,
    gallery: String,
    name: String,
    photo: Upload,
    options: EnrolOptions,
) -> Result<EnrolledView, Problem> {
    let asked = options.clone();
    let prepared = service.with_networks(move |s| work::prepare(s, &photo, &asked));
    let face = match prepared.await {
        Ok(face) => face,
        Err(problem) => return service.audited(event, async { Err(problem) }, |_: &EnrolledView, _| {}).await,
    };
    let write = move |s: &Service| put(s, &gallery, &name, face, &options);
    let told = |done: &EnrolledView, event: &mut Event| {
        event.evidence = json!({ "face": done.face, "status": done.status });
    };
    service.audited_write(event, write, told).await
}

/// Enrols the face in a photo as a person's; makes the person, and the gallery, where there is none
#[utoipa::path(post, path = "/v1/people/{name}/faces", tag = "people",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query), Enrolment),
    request_body(content((PhotoFile = "multipart/form-data"), (PhotoText = "application/json"), (Vec<u8> = "image/jpeg"))),
    responses((status = 201, body = EnrolledView)))]
pub(super) async fn enroll(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    let photo = form.one()?.clone();
    let options = form.options::<Enrolment>()?.options(&service)?;
    let (caller, event) = (may.caller.id.clone(), may.event_about("enroll", &name));
    let enrolling = enroll_photo(service.clone(), event, may.gallery.clone(), name, photo, options);
    let write = async move {
        // It goes on without its caller, and holds the key's place until it ends.
        let _may = may;
        enrolling.await
    };
    service.once(&caller, again, form.digest, StatusCode::CREATED, write).await
}

/// Enrols several photos of a person, with one face each. Each photo is answered, or refused, by itself
#[utoipa::path(post, path = "/v1/people/{name}/faces/batch", tag = "people",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query), Enrolment),
    request_body(content((PhotoFiles = "multipart/form-data"), (PhotoTexts = "application/json"))),
    responses((status = 200, body = Batch<EnrolledView>)))]
pub(super) async fn enroll_batch(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    let photos = form.several()?;
    let options = form.options::<Enrolment>()?.options(&service)?;
    let (caller, enrolling) = (may.caller.id.clone(), service.clone());
    let write = async move {
        let enroll = |photo| {
            let event = may.event_about("enroll", &name);
            enroll_photo(enrolling.clone(), event, may.gallery.clone(), name.clone(), photo, options.clone())
        };
        Ok(Batch::of(&enrolling, photos, enroll).await)
    };
    service.once(&caller, again, form.digest, StatusCode::OK, write).await
}

/// A face, and whose it is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct FaceDetail {
    person: PersonView,
    face: FaceView,
}

/// A face, and whose it is
#[utoipa::path(get, path = "/v1/faces/{id}", tag = "people", operation_id = "show_face",
    params(("id" = u64, Path, format = "uint64"), ("gallery" = inline(Option<Name>), Query)),
    responses((status = 200, body = FaceDetail)))]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    may: May<Read>,
    Path(id): Path<u64>,
) -> Result<Json<FaceDetail>, Problem> {
    let detail = service.with_searches(move |s| {
        let (person, face) = s.database().face(&may.gallery, id)?;
        let person = PersonView::shown(s.database(), &may.gallery, person)?;
        Ok::<_, Problem>(FaceDetail { person, face: FaceView::new(&may.gallery, face) })
    });
    Ok(Json(detail.await?))
}

/// The face in its surroundings, where a thumbnail was kept
#[utoipa::path(get, path = "/v1/faces/{id}/thumbnail", tag = "people", operation_id = "show_thumbnail",
    params(("id" = u64, Path, format = "uint64"), ("gallery" = inline(Option<Name>), Query)),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg")))]
pub(super) async fn thumbnail(
    State(service): State<Arc<Service>>,
    may: May<Read>,
    Path(id): Path<u64>,
) -> Result<Response, Problem> {
    let bytes = thumbnail_of(&service, may.gallery.clone(), id).await?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}

/// The thumbnail of a face, as JPEG.
pub(in crate::serve) async fn thumbnail_of(
    service: &Arc<Service>,
    gallery: String,
    face: u64,
) -> Result<Vec<u8>, Problem> {
    let kept = service.with_searches(move |s| s.database().thumbnail(&gallery, face)).await?;
    kept.ok_or_else(|| {
        let detail = "no thumbnail of this face was kept: it was enrolled with --no-thumbnails, or by a command without --keep-chips";
        Problem::new(StatusCode::NOT_FOUND, "face.no_thumbnail", detail)
    })
}

/// Forgets one face; its person stays
#[utoipa::path(delete, path = "/v1/faces/{id}", tag = "people", operation_id = "forget_face",
    params(("id" = u64, Path, format = "uint64"), ("gallery" = inline(Option<Name>), Query), Scrub),
    responses((status = 200, body = PersonView)))]
pub(super) async fn forget(
    State(service): State<Arc<Service>>,
    may: May<Enroll>,
    again: Again,
    Path(id): Path<u64>,
    Options(Scrub { scrub }): Options<Scrub>,
) -> Result<Response, Problem> {
    let caller = may.caller.id.clone();
    let event = Event { evidence: json!({ "face": id }), ..may.event("forget face") };
    let write = service.audited_write(
        event,
        move |s| {
            let left = s.database().forget_face(&may.gallery, id, scrub)?;
            PersonView::shown(s.database(), &may.gallery, left)
        },
        move |person, event| {
            event.person = Some(person.name.clone());
            event.evidence = json!({ "face": id });
        },
    );
    service.once(&caller, again, [0; 32], StatusCode::OK, write).await
}
