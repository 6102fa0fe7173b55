//! Memory in cache lines of sixteen numbers.

use super::lanes::LANES;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Numbers whose first stands at the beginning of a cache line; zeros until written.
#[derive(Default)]
pub(super) struct Lines(Vec<Line>);

impl Lines {
    /// Room for `count` numbers, rounded up to whole lines.
    pub(super) fn zeros(count: usize) -> Self {
        Self(vec![Line([0.0; LANES]); count.div_ceil(LANES)])
    }

    /// `values`, then zeros to the end of the last line.
    pub(super) fn of(values: &[f32]) -> Self {
        let mut lines = Self::zeros(values.len());
        lines.numbers_mut()[..values.len()].copy_from_slice(values);
        lines
    }

    pub(super) fn numbers(&self) -> &[f32] {
        // SAFETY: a `Line` is exactly sixteen f32 without padding, and all of them are initialised.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LANES) }
    }

    pub(super) fn numbers_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `numbers`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LANES) }
    }
}
