//! Where the faces are: the [`Detector`] trait and the detectors.

pub mod centerface;
mod enlarge;
mod input;
pub mod mtcnn;
pub mod yunet;

pub use enlarge::Enlarge;
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
    /// By how many degrees the photo was turned clockwise to find it: 0, 90, 180 or 270. The box and the landmarks are
    /// in the photo's own pixels all the same.
    #[serde(skip_serializing_if = "is_upright")]
    pub turned: u16,
}

/// Whether the photo was not turned; only then do answers say nothing of it.
pub(crate) fn is_upright(turned: &u16) -> bool {
    *turned == 0
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

    /// The score from which on a face that was found in a turned photo is believed: of four views, three show nothing
    /// that is upright, and a detector is less sure of what it sees there by chance.
    fn certain(&self) -> f32;

    /// The score from which on a face is upright, where its landmarks say so too: most faces in a photo that lies on its
    /// side or on its head have less.
    fn surely_upright(&self) -> f32;

    /// Whether looking at a photo of that size takes little memory, so that two may be looked at side by side.
    fn is_light(&self, _width: u32, _height: u32) -> bool {
        true
    }
}
