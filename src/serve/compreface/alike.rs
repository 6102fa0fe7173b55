//! Similarities as CompreFace's clients know them, and collections that are there from the start.

use axum::http::StatusCode;

use super::super::problem::Problem;
use crate::error::{Error, GalleryError};
use crate::{Calibration, Engine, Result};

/// What a gallery answers; nothing where there is none yet, since a collection is there from the start.
pub(super) fn or_none_yet<T: Default>(answer: Result<T>) -> Result<T> {
    match answer {
        Err(Error::Gallery(GalleryError::UnknownGallery { .. })) => Ok(T::default()),
        other => other,
    }
}

/// The record that similarities are read from. A similarity that rests on nothing would be taken for a measured
/// one, so without a record there is none.
pub(super) fn scale(engine: &Engine) -> Result<&Calibration, Problem> {
    let model = engine.model();
    engine.calibration().filter(|c| c.model == model.as_str()).ok_or_else(|| {
        let detail = format!("{model} has no calibration on this service, so there is no similarity to answer");
        Problem::new(StatusCode::CONFLICT, "refusal.not_calibrated", detail)
    })
}

/// The calibrated similarity of a distance, 0 to 1.
pub(super) fn similarity(scale: &Calibration, distance: f32) -> f32 {
    scale.similarity(distance) / 100.0
}
