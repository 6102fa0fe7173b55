//! What can be measured of a face beside who it is: quality.

mod quality;

pub use quality::{FaceQuality, QualityBounds};
