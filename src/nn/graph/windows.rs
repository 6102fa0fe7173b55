//! Pooling with its gradients on the processor, a plane at a time.

use candle_core::{Result, bail};
use kith_kernels::Simd;
use kith_kernels::planes::ChannelWindow;
use rayon::prelude::*;

use super::layer::Shape;

/// Least sum of squares whose root is taken, so that the root of nothing has a gradient.
pub(super) const LEAST_SQUARES: f32 = 1e-12;

/// Square windows over maps of one size.
#[derive(Debug, Clone)]
pub(crate) struct Pooling {
    window: ChannelWindow,
    ones: usize,
    map: Shape,
    simd: Simd,
}

impl Pooling {
    /// Windows of `side` at `stride` with `padding` around that none takes.
    pub fn new(map: Shape, side: usize, stride: usize, padding: usize, simd: Simd) -> Result<Self> {
        if map.rows.min(map.columns) + 2 * padding < side || 2 * padding > side || stride == 0 || side == 0 {
            bail!("a window of {side} at {padding} does not fit a map {map:?}");
        }
        let window = ChannelWindow::new((side, side), stride, (padding, padding), (map.rows, map.columns));
        Ok(Self { window, ones: side * side, map, simd })
    }

    /// What it makes of a map.
    pub fn result(&self) -> Shape {
        let (rows, columns) = self.window.result();
        Shape { rows, columns, ..self.map }
    }

    /// Values of a plane, and of its results.
    fn lengths(&self) -> (usize, usize) {
        let (rows, columns) = self.window.result();
        (self.map.rows * self.map.columns, rows * columns)
    }

    /// The greatest of each window into `y`, and which of a window's values that is.
    pub fn greatest(&self, x: &[f32], y: &mut [f32]) -> Vec<u8> {
        let (from, to) = self.lengths();
        let mut taps = vec![0u8; y.len()];
        let planes = x.par_chunks_exact(from).zip(y.par_chunks_exact_mut(to).zip(taps.par_chunks_exact_mut(to)));
        planes.for_each_init(
            || self.window.scratch(f32::NEG_INFINITY),
            |scratch, (plane, (y, taps))| self.window.greatest(plane, scratch, y, taps, self.simd),
        );
        taps
    }

    /// Gradients of the maps from those of the greatest, into zeros.
    pub fn greatest_back(&self, taps: &[u8], grad: &[f32], dx: &mut [f32]) {
        let (from, to) = self.lengths();
        let planes = taps.par_chunks_exact(to).zip(grad.par_chunks_exact(to)).zip(dx.par_chunks_exact_mut(from));
        planes.for_each(|((taps, grad), dx)| self.window.greatest_back(taps, grad, dx));
    }

    /// The root of the sum of squares of each window.
    pub fn roots(&self, x: &[f32], y: &mut [f32]) {
        let ((from, to), ones) = (self.lengths(), vec![1.0; self.ones]);
        x.par_chunks_exact(from).zip(y.par_chunks_exact_mut(to)).for_each_init(
            || (self.window.scratch(0.0), vec![0f32; from]),
            |(scratch, squares), (plane, y)| {
                squares.iter_mut().zip(plane).for_each(|(square, x)| *square = x * x);
                self.window.forward(squares, &ones, scratch, y, self.simd);
                y.iter_mut().for_each(|y| *y = if *y < LEAST_SQUARES { LEAST_SQUARES } else { *y }.sqrt());
            },
        );
    }

    /// Gradients of the maps from those of the roots `y`.
    pub fn roots_back(&self, x: &[f32], y: &[f32], grad: &[f32], dx: &mut [f32]) {
        let ((from, to), ones) = (self.lengths(), vec![1.0; self.ones]);
        let least = LEAST_SQUARES.sqrt();
        let planes = x.par_chunks_exact(from).zip(y.par_chunks_exact(to).zip(grad.par_chunks_exact(to)));
        planes.zip(dx.par_chunks_exact_mut(from)).for_each_init(
            || (self.window.scratch(0.0), vec![0f32; to]),
            |(scratch, shares), ((plane, (y, grad)), dx)| {
                for (share, (y, g)) in shares.iter_mut().zip(y.iter().zip(grad)) {
                    *share = if *y > least { g / y } else { 0.0 };
                }
                self.window.backward(plane, &ones, shares, scratch, None, dx, self.simd);
                dx.iter_mut().zip(plane).for_each(|(dx, x)| *dx *= x);
            },
        );
    }
}
