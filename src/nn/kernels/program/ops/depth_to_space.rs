//! A depth-to-space rearrangement that adds: from a map whose channels hold the pixels of finer squares, to the finer map.

use std::ops::Range;

use crate::f32::tile::Kernels;
use crate::lanes::{LANES, Number};
use crate::program::ops::bases::{Bases, View};

/// A depth-to-space rearrangement that adds.
pub(crate) struct DepthToSpaceOp<N: Number> {
    pub kernels: &'static Kernels<N>,
    pub from: View,
    pub to: View,
    pub factor: usize,
    /// Vectors of channels of the finer map.
    pub vectors: usize,
    /// Of the finer map.
    pub rows: usize,
    pub columns: usize,
}

impl<N: Number> DepthToSpaceOp<N> {
    /// # Safety
    /// As for `MapOp::run`, with some of the rows of all images.
    pub(crate) unsafe fn run(&self, bases: Bases, lines: Range<usize>) {
        let (from, to) = (bases.map::<N>(&self.from), bases.map::<N>(&self.to));
        let (factor, part) = (self.factor, self.vectors * LANES);
        for line in lines {
            let (image, row) = (line / self.rows, line % self.rows);
            for column in 0..self.columns {
                let place = row % factor * factor + column % factor;
                // SAFETY: the finer pixel is covered by one of the coarser map, which has a part of its channels for
                // each place (asked when the program was built); nothing else touches either meanwhile.
                unsafe {
                    let coarse = from.add(self.from.at(image, row / factor, column / factor) + place * part);
                    let fine = to.add(self.to.at(image, row, column));
                    (self.kernels.add)(coarse, fine, self.vectors);
                }
            }
        }
    }
}
