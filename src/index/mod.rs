//! Nearest faces: the [`Index`] trait and its implementations. An index is a cache over the store, and
//! can be made again from it at any time.
//!
//! | index | answers | for |
//! | --- | --- | --- |
//! | [`Exact`] | the true nearest, by a scan over all vectors on all cores | every gallery so far |

mod exact;

pub(crate) use exact::Exact;

/// A face near a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbour {
    /// The face's number.
    pub face: u64,
    /// Euclidean distance between the unit vectors, 0 to 2.
    pub distance: f32,
}

/// Which faces may be answered.
pub(crate) type Allowed<'a> = Option<&'a (dyn Fn(u64) -> bool + Sync)>;

/// Finds the vectors nearest to a probe.
pub(crate) trait Index: Send + Sync {
    /// Faces in it.
    fn len(&self) -> usize;

    /// Adds a unit vector under a face's number, in place of the one that the number had.
    ///
    /// # Panics
    /// When the vector is not of the index's dimension: the gallery checks what it takes in.
    fn insert(&mut self, face: u64, vector: &[f32]);

    /// Removes a face; `false` when it was not there.
    fn remove(&mut self, face: u64) -> bool;

    /// The `count` nearest of the allowed faces (all when `None`), nearest first; equal distances in
    /// order of their numbers.
    fn nearest(&self, probe: &[f32], count: usize, allowed: Allowed) -> Vec<Neighbour>;

    /// Checks the index's own invariants; the error is a sentence that names the first one broken.
    fn check(&self) -> Result<(), String>;
}
