//! What runs on the threads of the networks: a photo's bytes to its faces, within the service's bounds.

use std::time::Instant;

use axum::http::StatusCode;

use super::input::Upload;
use super::problem::Problem;
use super::state::Service;
use crate::{Detection, EnrolOptions, Face, NewFace, Photo, SeenFace, Selection, SideFaces};

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Decodes a photo.
pub(super) fn decode(service: &Service, upload: &Upload) -> Result<Photo, Problem> {
    let start = Instant::now();
    let photo = Photo::from_bytes(&upload.bytes, &upload.name, &service.limits().photo())?;
    service.metrics().stage("decode", milliseconds(start));
    Ok(photo)
}

/// The faces of a photo, not embedded; too many are refused before any is embedded.
pub(super) fn find(service: &Service, photo: &Photo) -> Result<Vec<Detection>, Problem> {
    let start = Instant::now();
    let found = service.engine().detect(photo)?;
    service.metrics().stage("detect", milliseconds(start));
    let most = service.limits().photo_faces;
    if found.len() > most {
        let detail = format!(
            "{} faces were found, the service takes up to {most} a photo; crop it, or have photo_faces raised",
            found.len()
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "photo.too_many_faces", detail));
    }
    Ok(found)
}

/// The face of an upload that enrolment would store.
pub(super) fn prepare(service: &Service, upload: &Upload, options: &EnrolOptions) -> Result<NewFace, Problem> {
    let photo = decode(service, upload)?;
    let found = find(service, &photo)?;
    service.engine().prepare_found(&photo, found, options).map_err(|e| Problem::from(e).offering_numbers())
}

/// The given faces, embedded.
pub(super) fn embed(service: &Service, photo: &Photo, found: &[Detection]) -> Result<Vec<Face>, Problem> {
    let start = Instant::now();
    let faces = service.engine().embed_detections(photo, found)?;
    service.metrics().stage("embed", milliseconds(start));
    Ok(faces)
}

/// Every face of an upload, embedded, and the photo.
pub(super) fn faces(service: &Service, upload: &Upload) -> Result<(Photo, Vec<Face>), Problem> {
    let photo = decode(service, upload)?;
    let found = find(service, &photo)?;
    let faces = embed(service, &photo, &found)?;
    Ok((photo, faces))
}

/// The one face that counts, measured and embedded.
pub(super) fn see(
    service: &Service,
    photo: &Photo,
    found: &[Detection],
    which: Selection,
) -> Result<(SeenFace, Face), Problem> {
    let start = Instant::now();
    let seen = service.engine().see(found, photo, which)?;
    service.metrics().stage("embed", milliseconds(start));
    Ok(seen)
}

/// The faces that count, measured and embedded.
pub(super) fn side(
    service: &Service,
    photo: &Photo,
    found: &[Detection],
    selection: &Selection,
) -> Result<SideFaces, Problem> {
    let start = Instant::now();
    let side = service.engine().side(photo, found, selection)?;
    service.metrics().stage("embed", milliseconds(start));
    Ok(side)
}
