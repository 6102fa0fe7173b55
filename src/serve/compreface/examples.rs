//! `/api/v1/recognition/faces`: the faces that subjects are known by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::audit::Event;
use super::super::auth::{AtHome, Enroll, Read};
use super::super::bodies::{TheirPhotoFile, TheirPhotoText};
use super::super::input::{Form, List, Options, Path};
use super::super::problem::Problem;
use super::super::routes::faces::{Enrolment, enroll_photo};
use super::super::state::Service;
use super::super::terms::{Name, Refusal};
use super::alike::or_none_yet;
use super::ids;
use super::options::{FaceOptions, photo};
use super::views::{Deleted, Example, Examples};
use crate::error::{Error, GalleryError};
use crate::json::json;
use crate::{Database, Result};

/// Faces on a page when not said, and at most.
const PAGE: usize = 20;
const LONGEST_PAGE: usize = 10_000;
const LAST_PAGE: usize = 1_000_000;
/// Faces that one call may delete by their ids.
const MOST_DELETED: usize = 1000;

/// Whose face it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// The subject's name; made where there is none of that name.
    subject: Option<String>,
}

/// What a face to save may be, beyond CompreFace.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Allowed {
    /// A refusal of kith's to pass over: `small`, `blurred`, `light`, `turned`, `duplicate` or `different`; may be said again.
    #[param(value_type = Vec<Refusal>, inline)]
    allow: Vec<String>,
}

/// Saves the face in a photo as a subject's; the photo must show one
#[utoipa::path(post, path = "/api/v1/recognition/faces", tag = "compreface", operation_id = "compreface_add_face",
    params(("subject" = inline(Name), Query, description = "The subject's name; made where there is none of that name"),
        ("det_prob_threshold" = Option<f32>, Query, minimum = 0, maximum = 1, description = "Faces that the detector is less sure of do not count"),
        Allowed),
    request_body(content((TheirPhotoFile = "multipart/form-data"), (TheirPhotoText = "application/json"))),
    responses((status = 201, body = Example)))]
pub(super) async fn add(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
    form: Form,
) -> Result<(StatusCode, Json<Example>), Problem> {
    let Whose { subject } = form.options()?;
    let missing = || Problem::bad("request.no_subject", "say whose face it is: subject=NAME in the query");
    let subject = subject.filter(|s| !s.trim().is_empty()).ok_or_else(missing)?;
    let FaceOptions { det_prob_threshold, .. } = form.options()?;
    let Allowed { allow } = form.options()?;
    let mut options = Enrolment { allow, ..Enrolment::default() }.options(&service)?;
    // As CompreFace counts: by the score alone.
    options.selection.min_score = Some(det_prob_threshold.unwrap_or_default());
    // The image routes answer what these routes saved.
    options.keep_chips = true;
    let photo = photo(&form, "file")?;
    let event = may.event_about("enroll", &subject);
    let done =
        service.in_time(enroll_photo(service.clone(), event, may.gallery.clone(), subject, photo, options)).await?;
    Ok((StatusCode::CREATED, Json(Example::new(done.face, done.name))))
}

/// Which of the saved faces.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Counted from 0.
    #[param(minimum = 0, maximum = 1000000, default = 0)]
    page: usize,
    /// Faces on a page.
    #[param(minimum = 1, maximum = 10000, default = 20)]
    size: usize,
    /// Only this subject's.
    subject: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { page: 0, size: PAGE, subject: None }
    }
}

/// The saved faces, by subject
#[utoipa::path(get, path = "/api/v1/recognition/faces", tag = "compreface", operation_id = "compreface_list_faces", params(Page),
    responses((status = 200, body = Examples)))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Read>,
    Options(asked): Options<Page>,
) -> Result<Json<Examples>, Problem> {
    let Page { page, size, subject } = asked;
    if !(1..=LONGEST_PAGE).contains(&size) || page > LAST_PAGE {
        let detail = format!("page is {page}, size {size}; they are at most {LAST_PAGE}, and 1 to {LONGEST_PAGE}");
        return Err(Problem::bad("request.bad_option", detail));
    }
    let subject = subject.filter(|s| !s.trim().is_empty());
    let (faces, total) = service
        .with_searches(move |s| faces_of(s.database(), &may.gallery, subject.as_deref(), page * size, size))
        .await?;
    Ok(Json(Examples {
        faces: faces.into_iter().map(|(face, subject)| Example::new(face, subject)).collect(),
        page_number: page,
        page_size: size,
        total_pages: total.div_ceil(size),
        total_elements: total,
    }))
}

/// Faces by number and subject, and how many there are in all; none of a subject that is not there.
fn faces_of(
    database: &Database,
    gallery: &str,
    subject: Option<&str>,
    skip: usize,
    limit: usize,
) -> Result<(Vec<(u64, String)>, usize)> {
    match or_none_yet(database.faces_page(gallery, subject, skip, limit).map(|p| (p.faces, p.total))) {
        Err(Error::Gallery(GalleryError::UnknownPerson { .. })) => Ok((Vec::new(), 0)),
        other => other,
    }
}

/// Forgets faces, and returns those that were there. The store's files are rewritten once, when all are gone.
fn forget(database: &Database, gallery: &str, faces: &[u64]) -> Result<Vec<(u64, String)>> {
    let mut gone = Vec::new();
    for (i, face) in faces.iter().enumerate() {
        match database.forget_face(gallery, *face, i + 1 == faces.len()) {
            Ok(person) => gone.push((*face, person.name)),
            // Another request was faster.
            Err(Error::Gallery(GalleryError::UnknownFace { .. } | GalleryError::UnknownGallery { .. })) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(gone)
}

fn tell(gone: &[(u64, String)], event: &mut Event) {
    event.evidence = json!({ "faces": gone.iter().map(|(face, _)| face).collect::<Vec<_>>() });
}

/// Forgets every face of a subject, or of the whole collection; the subjects stay
#[utoipa::path(delete, path = "/api/v1/recognition/faces", tag = "compreface", operation_id = "compreface_delete_faces_of_subject",
    params(("subject" = Option<String>, Query, description = "Only this subject's; all, when not said")),
    responses((status = 200, body = Deleted)))]
pub(super) async fn delete_all(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
    Options(Whose { subject }): Options<Whose>,
) -> Result<Json<Deleted>, Problem> {
    let subject = subject.filter(|s| !s.trim().is_empty());
    let event = match &subject {
        Some(name) => may.event_about("forget faces", name),
        None => may.event("forget faces"),
    };
    let work = move |s: &Service| {
        let (faces, _) = faces_of(s.database(), &may.gallery, subject.as_deref(), 0, usize::MAX)?;
        let faces: Vec<u64> = faces.into_iter().map(|(face, _)| face).collect();
        Ok(forget(s.database(), &may.gallery, &faces)?)
    };
    let gone = service.in_time(service.audited_write(event, work, |gone: &Vec<_>, event| tell(gone, event))).await?;
    Ok(Json(Deleted { deleted: gone.len() }))
}

/// Forgets one face
#[utoipa::path(delete, path = "/api/v1/recognition/faces/{image_id}", tag = "compreface", operation_id = "compreface_delete_face",
    params(("image_id" = String, Path, format = "uuid")), responses((status = 200, body = Example)))]
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
    Path(image_id): Path<String>,
) -> Result<Json<Example>, Problem> {
    let face = ids::known(&image_id)?;
    let event = Event { evidence: json!({ "face": face }), ..may.event("forget face") };
    let work = move |s: &Service| Ok(s.database().forget_face(&may.gallery, face, true)?.name);
    let told = move |name: &String, event: &mut Event| {
        event.person = Some(name.clone());
        event.evidence = json!({ "face": face });
    };
    let subject = service.in_time(service.audited_write(event, work, told)).await?;
    Ok(Json(Example { image_id, subject }))
}

/// Forgets several faces; ids of none are passed over
#[utoipa::path(post, path = "/api/v1/recognition/faces/delete", tag = "compreface", operation_id = "compreface_delete_faces",
    request_body(content = Vec<uuid::Uuid>, description = "At most 1000 ids"),
    responses((status = 200, body = Vec<Example>)))]
pub(super) async fn delete_several(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Enroll>,
    List(image_ids): List<String>,
) -> Result<Json<Vec<Example>>, Problem> {
    if image_ids.len() > MOST_DELETED {
        return Err(Problem::bad("request.bad_option", format!("at most {MOST_DELETED} ids are taken in one call")));
    }
    let faces = ids::known_among(&image_ids)?;
    let event = Event { evidence: json!({ "faces": faces }), ..may.event("forget faces") };
    let work = move |s: &Service| Ok(forget(s.database(), &may.gallery, &faces)?);
    let gone = service.in_time(service.audited_write(event, work, |gone: &Vec<_>, event| tell(gone, event))).await?;
    Ok(Json(gone.into_iter().map(|(face, subject)| Example::new(face, subject)).collect()))
}
