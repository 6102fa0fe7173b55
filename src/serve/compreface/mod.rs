//! `/api/v1`: the routes that CompreFace's clients speak (Double Take, home automation, the SDKs), on the same
//! engine, keys, pools, limits and audit log as `/v1`.
//!
//! | there | here |
//! | --- | --- |
//! | API key of a service | a key of kith; each call needs the role that its twin under `/v1` needs |
//! | collection | the gallery that the key is for: its only one, else the default one |
//! | subject | person |
//! | example, `image_id` | face, its number as a UUID ([`ids`]) |
//! | saved image | the thumbnail: kept of every face that these routes add |
//! | similarity, 0 to 1 | kith's calibrated similarity: 0.5 at the threshold for a false-match rate of 1 in 1000 |
//!
//! Where the two differ, kith refuses rather than guesses: plugins that it does not have, crops that were cut
//! by somebody else (`detect_faces=false`), photos that its enrolment gate does not take.

mod embeddings;
mod examples;
mod fault;
mod ids;
mod images;
mod look;
mod options;
mod recognition;
mod subjects;
mod views;

use std::sync::Arc;

use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use fault::{Fault, fault};

use super::problem::Problem;
use super::state::Service;
use crate::error::{Error, GalleryError};
use crate::{Calibration, Engine, Result};

/// What every path here begins with.
pub(super) const ROOT: &str = "/api/v1/";

/// Whether the path is one that CompreFace's clients ask.
pub(super) fn is_theirs(path: &str) -> bool {
    path.starts_with(ROOT)
}

/// Every route of theirs.
pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(subjects::list, subjects::add, subjects::delete_all))
        .routes(routes!(subjects::list_at_slash))
        .routes(routes!(subjects::rename, subjects::delete))
        .routes(routes!(examples::list, examples::add, examples::delete_all))
        .routes(routes!(examples::delete))
        .routes(routes!(examples::delete_several))
        .routes(routes!(images::image))
        .routes(routes!(images::image_by_key))
        .routes(routes!(recognition::recognize))
        .routes(routes!(recognition::verify_example))
        .routes(routes!(recognition::detect))
        .routes(routes!(recognition::verify))
        .routes(routes!(embeddings::recognize))
        .routes(routes!(embeddings::verify_example))
        .routes(routes!(embeddings::verify))
}

/// What a gallery answers; nothing where there is none yet, since a collection is there from the start.
fn or_none_yet<T: Default>(answer: Result<T>) -> Result<T> {
    match answer {
        Err(Error::Gallery(GalleryError::UnknownGallery { .. })) => Ok(T::default()),
        other => other,
    }
}

/// The record that similarities are read from. A similarity that rests on nothing would be taken for a measured
/// one, so without a record there is none.
fn scale(engine: &Engine) -> Result<&Calibration, Problem> {
    let model = engine.model();
    engine.calibration().filter(|c| c.model == model.as_str()).ok_or_else(|| {
        let detail = format!("{model} has no calibration on this service, so there is no similarity to answer");
        Problem::new(StatusCode::CONFLICT, "refusal.not_calibrated", detail)
    })
}

/// The calibrated similarity of a distance, 0 to 1.
fn similarity(scale: &Calibration, distance: f32) -> f32 {
    scale.similarity(distance) / 100.0
}
