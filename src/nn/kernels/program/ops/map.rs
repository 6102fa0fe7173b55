//! Operators over maps of f32 or f16 values alike.

use std::ops::Range;
use std::sync::Arc;

use crate::f32::depthwise;
use crate::f32::tile::{Kernels, Windows};
use crate::lanes::{LANES, Number};
use crate::program::fuse::run::FusedOp;
use crate::program::ops::bases::View;
use crate::program::ops::bases::{Bases, PIECE, in_row, part};
use crate::program::ops::conv::ConvOp;
use crate::program::ops::depth_to_space::DepthToSpaceOp;

/// An operator over maps of `N`.
pub(crate) enum MapOp<N: Number> {
    Conv(DirectOp<N>),
    Depthwise(DepthwiseOp<N>),
    Fused(FusedOp<N>),
    AddCoarser(CoarserOp<N>),
    AddDepthToSpace(DepthToSpaceOp<N>),
    Max(WindowOp<N>),
    Mean(WindowOp<N>),
}

/// A convolution whose weights are packed in `N`.
pub(crate) struct DirectOp<N: Number> {
    pub conv: ConvOp,
    pub kernels: &'static Kernels<N>,
    /// Weights of an output, those included that fill it up.
    pub depth: usize,
}

pub(crate) struct DepthwiseOp<N: Number> {
    pub conv: Arc<depthwise::Packed<N>>,
    pub from: View,
    pub to: View,
    pub rows: usize,
    pub columns: usize,
}

pub(crate) struct CoarserOp<N: Number> {
    pub kernels: &'static Kernels<N>,
    pub from: View,
    pub to: View,
    pub factor: usize,
    pub vectors: usize,
    pub rows: usize,
    pub columns: usize,
}

pub(crate) struct WindowOp<N: Number> {
    pub kernels: &'static Kernels<N>,
    pub from: View,
    pub to: View,
    pub window: (usize, usize),
    pub stride: usize,
    pub from_size: (usize, usize),
    pub to_size: (usize, usize),
    pub vectors: usize,
    /// Vectors written as zeros behind those.
    pub zeros: usize,
}

impl<N: Number> MapOp<N> {
    /// Multiplications for one image.
    pub(crate) fn products(&self) -> usize {
        match self {
            Self::Conv(op) => op.conv.products(),
            Self::Depthwise(op) => op.products(),
            Self::Fused(op) => op.products(),
            _ => 0,
        }
    }

    /// Whether it can ask for rows of the input, or does not read it: only convolutions do, and fused ones.
    pub(crate) fn takes_rows(&self) -> bool {
        match self {
            Self::Conv(op) => !op.conv.reads_input(),
            Self::Fused(op) => op.takes_rows(),
            _ => true,
        }
    }

    /// Into how many pieces the operator falls for `n` images on `threads`.
    pub(crate) fn pieces(&self, n: usize, threads: usize) -> usize {
        match self {
            Self::Conv(op) => op.conv.pieces(n, threads),
            Self::Depthwise(op) => lines(n * op.rows, op.products() * n / (PIECE / 4), threads),
            Self::Fused(op) => op.pieces(n, threads),
            Self::AddCoarser(op) => {
                lines(n * op.rows, n * op.rows * op.columns * op.vectors * LANES / (PIECE / 8), threads)
            }
            Self::AddDepthToSpace(op) => {
                lines(n * op.rows, n * op.rows * op.columns * op.vectors * LANES / (PIECE / 8), threads)
            }
            Self::Max(op) | Self::Mean(op) => op.pieces(n, threads),
        }
    }

    /// Computes one piece.
    ///
    /// # Safety
    /// As for `Op::run`, with maps of `N`.
    pub(crate) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        // SAFETY: handed on to the caller.
        unsafe {
            match self {
                Self::Conv(op) => op.conv.run(op.kernels, op.depth, bases, n, threads, piece),
                Self::Depthwise(op) => op.run(bases, part(n * op.rows, self.pieces(n, threads), piece)),
                Self::Fused(op) => op.run(bases, n, threads, piece),
                Self::AddCoarser(op) => op.run(bases, part(n * op.rows, self.pieces(n, threads), piece)),
                Self::AddDepthToSpace(op) => op.run(bases, part(n * op.rows, self.pieces(n, threads), piece)),
                Self::Max(op) => op.run(bases, n, threads, piece, |windows| (op.kernels.greatest)(windows)),
                Self::Mean(op) => {
                    let factor = 1.0 / (op.window.0 * op.window.1) as f32;
                    op.run(bases, n, threads, piece, |windows| (op.kernels.mean)(windows, factor));
                }
            }
        }
    }
}

/// Into how many pieces `lines` fall, where `wanted` would be worth while.
fn lines(lines: usize, wanted: usize, threads: usize) -> usize {
    if threads == 1 { 1 } else { wanted.clamp(1, 4 * threads).min(lines) }
}

impl<N: Number> DepthwiseOp<N> {
    fn products(&self) -> usize {
        self.rows * self.columns * self.conv.products()
    }

    /// # Safety
    /// As for [`MapOp::run`], with some of the rows of all images.
    unsafe fn run(&self, bases: Bases, lines: Range<usize>) {
        let packed = &self.conv;
        let (from, to) = (bases.map::<N>(&self.from), bases.map::<N>(&self.to));
        let window: Vec<usize> = (0..packed.window.0).map(|y| y * (self.from.row / packed.stride)).collect();
        for line in lines {
            let (image, row) = (line / self.rows, line % self.rows);
            // SAFETY: the windows are inside the map with its border, and the results inside theirs (the
            // program's first invariant); nothing else touches either meanwhile. The view's steps are those
            // of the stride; within a window they are of single rows and pixels.
            unsafe {
                packed.run(
                    from.add(self.from.at(image, row, 0)),
                    &window,
                    self.from.pixel / packed.stride,
                    self.from.pixel,
                    to.add(self.to.at(image, row, 0)),
                    self.to.pixel,
                    self.columns,
                );
            }
        }
    }
}

impl<N: Number> CoarserOp<N> {
    /// # Safety
    /// As for [`MapOp::run`], with some of the rows of all images.
    unsafe fn run(&self, bases: Bases, lines: Range<usize>) {
        let (from, to) = (bases.map::<N>(&self.from), bases.map::<N>(&self.to));
        for line in lines {
            let (image, row) = (line / self.rows, line % self.rows);
            for column in 0..self.columns {
                // SAFETY: the finer pixel is covered by one of the coarser map (asked when the program was
                // built); nothing else touches either meanwhile.
                unsafe {
                    let coarse = from.add(self.from.at(image, row / self.factor, column / self.factor));
                    let fine = to.add(self.to.at(image, row, column));
                    (self.kernels.add)(coarse, fine, self.vectors);
                }
            }
        }
    }
}

impl<N: Number> WindowOp<N> {
    fn pieces(&self, n: usize, threads: usize) -> usize {
        let lines = n * self.to_size.0;
        let work = lines * self.to_size.1 * self.window.0 * self.window.1 * self.vectors * LANES;
        if threads == 1 { 1 } else { (work / (PIECE / 8)).clamp(1, 4 * threads).min(lines) }
    }

    /// # Safety
    /// As for [`MapOp::run`]; `fold` may be called with windows that can be read and whose result can be written.
    unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize, fold: impl Fn(&Windows<N>)) {
        let (rows, columns) = self.window;
        let (from, to) = (bases.map::<N>(&self.from), bases.map::<N>(&self.to));
        for line in part(n * self.to_size.0, self.pieces(n, threads), piece) {
            let (image, row) = (line / self.to_size.0, line % self.to_size.0);
            let top = row * self.stride;
            for (columns, group) in in_row(self.to_size.1, self.from_size.1, columns, self.stride) {
                // SAFETY: the windows are cut at the map's end, and the targets are inside their map (the
                // program's first invariant); nothing else touches either meanwhile.
                unsafe {
                    let out = to.add(self.to.at(image, row, group.start));
                    fold(&Windows {
                        count: group.len(),
                        step: self.stride * self.from.pixel,
                        out_step: self.to.pixel,
                        from: from.add(self.from.at(image, top, group.start * self.stride)),
                        rows: rows.min(self.from_size.0 - top),
                        columns,
                        row: self.from.row,
                        column: self.from.pixel,
                        out,
                        vectors: self.vectors,
                    });
                    for at in 0..group.len() {
                        out.add(at * self.to.pixel + self.vectors * LANES).write_bytes(0, self.zeros * LANES);
                    }
                }
            }
        }
    }
}
