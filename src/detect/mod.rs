//! Where the faces are: the [`Detector`] trait and the detectors.

pub mod mtcnn;
pub mod yunet;

use serde::Serialize;

use crate::error::ModelError;
use crate::geometry::{BBox, Landmarks};
use crate::media::Raster;

/// A face that was found, in pixels of the photo.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detection {
    /// The box; it may reach beyond the photo.
    #[serde(rename = "box")]
    pub bbox: BBox,
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// Eyes, nose, mouth corners.
    pub landmarks: Landmarks,
}

/// Finds faces. Shared by threads.
pub trait Detector: Send + Sync {
    /// Name of the detector, as the manifest has it.
    fn name(&self) -> &str;

    /// The faces in the photo, most confident first; empty when there are none.
    ///
    /// # Errors
    /// [`ModelError::Backend`] when the device fails.
    fn detect(&self, photo: &Raster) -> Result<Vec<Detection>, ModelError>;

    /// Whether looking at a photo of that size takes little memory, so that two may be looked at side by side.
    fn is_light(&self, _width: u32, _height: u32) -> bool {
        true
    }
}
