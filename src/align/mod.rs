//! From a face in a photo to the chip that a network was trained on.
//!
//! Each embedder names its [`Alignment`]; the name travels in the model id, since the same weights on
//! differently cut chips live in another space.

mod crop;
mod template;

pub use crop::box_crop;
pub(crate) use template::of_size;
pub use template::{ARCFACE_112, CLASSIC_48, DLIB_150, Template};

use crate::error::ModelError;
use crate::media::Raster;

use crate::geometry::{BBox, Landmarks};

/// How a chip is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Alignment {
    /// A similarity warp that brings the five landmarks onto a template.
    FivePoint(&'static Template),
    /// facenet-pytorch's crop of the detector's box.
    BoxCrop {
        /// Side of the square chip in pixels.
        size: u32,
        /// Pixels of the chip that lie outside the box, both sides together.
        margin: u32,
    },
}

impl Alignment {
    /// The name that travels in the model id.
    pub fn name(&self) -> String {
        match self {
            Self::FivePoint(template) => template.name.to_string(),
            Self::BoxCrop { size, margin } => format!("box-{size}-margin-{margin}"),
        }
    }

    /// Width and height of the chips in pixels.
    pub fn chip_size(&self) -> (u32, u32) {
        match self {
            Self::FivePoint(template) => template.size,
            Self::BoxCrop { size, .. } => (*size, *size),
        }
    }

    /// Cuts the chip of the face with that box and those landmarks.
    ///
    /// # Errors
    /// [`ModelError::BadEmbedding`] when the box or the landmarks enclose nothing, so that there is no
    /// chip to embed.
    pub fn cut(&self, photo: &Raster, bbox: &BBox, landmarks: &Landmarks) -> Result<Raster, ModelError> {
        match self {
            Self::FivePoint(template) => template.cut(photo, landmarks),
            Self::BoxCrop { size, margin } => {
                // A face that lies on its side or its head in the photo is upright on its chip, as one warped by landmarks
                // is.
                let [left, right, ..] = landmarks.0;
                let quarters = (right[1] - left[1]).atan2(right[0] - left[0]) / std::f32::consts::FRAC_PI_2;
                let chip = box_crop(photo, bbox, *size, *margin)?;
                match quarters.round() as i32 {
                    0 => Ok(chip),
                    quarters => Ok(chip.turned((-quarters).rem_euclid(4) as u32)),
                }
            }
        }
    }
}
