//! Quality measures of a face's picture.

use serde::Serialize;

/// Measures of a face.
///
/// ```
/// use kith::{Engine, Photo};
/// let engine = Engine::builder().build()?;
/// let photo = Photo::open("tests/fixtures/photos/grace_hopper.jpg")?;
/// let quality = engine.quality(&photo, &engine.detect(&photo)?)?;
/// assert!(quality[0].eye_distance > 60.0 && quality[0].yaw.abs() < 30.0);
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct FaceQuality {
    /// Between the eyes, in pixels of the photo.
    pub eye_distance: f32,
    /// Standard deviation of the luma's Laplacian in the chip, luma from 0 to 1: 0 for an even surface.
    pub sharpness: f32,
    /// Mean luma of the face, 0 (black) to 1 (white).
    pub brightness: f32,
    /// Turn to the side in degrees, positive towards the photo's right; an estimate.
    pub yaw: f32,
    /// Nod in degrees, positive upwards; an estimate.
    pub pitch: f32,
    /// Tilt in degrees, positive clockwise; in the photo as it was turned to find the face.
    pub roll: f32,
    /// What hides the face; none of an enrolled face, of which that is not stored.
    #[serde(flatten)]
    pub cover: Option<FaceCover>,
    /// Length of the embedder's output before it is scaled to 1, which is short for a face that it can make little of.
    /// Lengths of two models do not compare. None where the face was not embedded, and of an enrolled face.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_length: Option<f32>,
}

/// How likely a face is hidden in part, or upside down.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct FaceCover {
    /// How likely mouth and nose are hidden, 0 to 1.
    pub mouth_covered: f32,
    /// How likely the eyes are hidden, 0 to 1.
    pub eyes_covered: f32,
    /// How likely the face is upside down, 0 to 1.
    pub inverted: f32,
}

impl FaceQuality {
    /// Yaw, pitch and roll in degrees.
    pub fn pose(&self) -> [f32; 3] {
        [self.yaw, self.pitch, self.roll]
    }

    /// What files and the local socket hold of it: eye distance, sharpness, brightness, yaw, pitch, roll.
    pub(crate) fn stored(&self) -> [f32; 6] {
        [self.eye_distance, self.sharpness, self.brightness, self.yaw, self.pitch, self.roll]
    }
}

impl From<[f32; 6]> for FaceQuality {
    /// Of eye distance, sharpness, brightness, yaw, pitch, roll.
    fn from([eye_distance, sharpness, brightness, yaw, pitch, roll]: [f32; 6]) -> Self {
        Self { eye_distance, sharpness, brightness, yaw, pitch, roll, cover: None, embedding_length: None }
    }
}
