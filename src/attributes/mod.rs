//! What can be measured of a face beside who it is: quality.

mod cover;
mod quality;

pub use cover::Cover;
pub use quality::QualityBounds;
