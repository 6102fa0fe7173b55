//! The picture of this project's first version.

use super::{Engine, FaceChoice};
use crate::compare::{draw_seed as draw, stretched};
use crate::error::{RefusalError, Result};
use crate::geometry::BBox;
use crate::media::{Photo, Raster};

/// Draws the picture of this project's first version: both photos stretched to 800x600, the faces
/// found there, and under each the cosine between the first faces of the two photos in percent (0
/// where a photo has none).
///
/// # Errors
/// [`crate::error::ModelError::Backend`] when the device fails.
pub fn draw_seed(engine: &Engine, a: &Photo, b: &Photo) -> Result<Raster> {
    let first = |photo: &Photo| match engine.one_face(photo, FaceChoice::Largest) {
        Ok(face) => Ok(Some(face)),
        Err(crate::Error::Refusal(RefusalError::NoFace { .. })) => Ok(None),
        Err(e) => Err(e),
    };
    let score = match (first(a)?, first(b)?) {
        (Some(a), Some(b)) => f64::from(a.embedding.cosine(&b.embedding)?).max(0.0) * 100.0,
        _ => 0.0,
    };
    let (left, right) = (stretched(a.raster()), stretched(b.raster()));
    let boxes = |shown: &Raster| -> Result<Vec<BBox>> {
        Ok(engine.pipeline.detector.detect(shown)?.iter().map(|d| d.bbox).collect())
    };
    let (on_left, on_right) = (boxes(&left)?, boxes(&right)?);
    Ok(draw((left, &on_left), (right, &on_right), score))
}
