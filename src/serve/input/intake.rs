//! What reading a body needs of the service: its bounds, its memory, its threads.

use std::sync::Arc;

use super::super::limits::ServeLimits;
use super::super::memory::Memory;
use super::super::pools::Pools;
use super::query::MOST_FIELDS;

/// Most vectors in one call.
pub(in super::super) const MOST_VECTORS: usize = 256;

/// The part of the service that takes bodies in.
#[derive(Debug)]
pub(in super::super) struct Intake {
    pub limits: ServeLimits,
    pub memory: Arc<Memory>,
    pub pools: Arc<Pools>,
    /// Dimensions of an embedding.
    pub dimension: usize,
}

impl Intake {
    /// As many values as the greatest object has: the vectors of one call, and what is said beside them.
    pub(super) fn most_values(&self) -> usize {
        (MOST_VECTORS + 1) * (self.dimension + 1) + MOST_FIELDS
    }
}
