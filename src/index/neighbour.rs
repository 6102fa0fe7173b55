//! What a search answers with, and whom it may.

use serde::Serialize;

/// A face near a probe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbour {
    /// The face's number.
    pub face: u64,
    /// Euclidean distance between the unit vectors, 0 to 2.
    pub distance: f32,
}

/// Which faces may be answered.
pub type FaceFilter<'a> = Option<&'a (dyn Fn(u64) -> bool + Sync)>;
