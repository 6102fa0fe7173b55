//! Boxes, overlap, landmarks and similarity transforms: pure functions of coordinates in pixels of the upright photo.

mod boxes;
mod landmarks;
mod near;
mod quality;
mod similarity;
mod suppress;

pub use boxes::{BBox, Overlap};
pub use landmarks::Landmarks;
pub(crate) use near::NearBoxes;
pub use quality::{FaceCover, FaceQuality};
pub use similarity::Similarity;
pub use suppress::non_maximum_suppression;
