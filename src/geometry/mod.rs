//! Boxes, overlap, landmarks and similarity transforms: pure numbers, in pixels of the upright photo.

mod boxes;
mod landmarks;
mod near;
mod similarity;

pub use boxes::{BBox, Overlap, non_maximum_suppression};
pub use landmarks::Landmarks;
pub(crate) use near::NearBoxes;
pub use similarity::Similarity;
