//! Winograd's transforms for 3x3 convolutions at stride 1, F(4x4, 3x3): a quarter of the multiplications.
//!
//! A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016: an input tile of 6x6 is
//! transformed into 36 values a channel (`B^T d B`), each of the 36 is a GEMM of its own over channels with the
//! transformed weights (`G g G^T`), and the 36 sums are transformed into 4x4 results (`A^T m A`). The interpolation
//! points are 0, 1, -1, 2, -2 and infinity; in f32 the result differs from the direct sum by about 1e-5 of its size.

use crate::f32::tile::After;
use crate::lanes::paths::{by_path, compiled, for_each_path};
use crate::lanes::{LANES, Lanes, load_each};
use crate::simd::Simd;

/// Rows and columns of results in a tile, and of what they are computed from.
pub(crate) const RESULTS: usize = 4;
const SEEN: usize = RESULTS + 2;
pub(crate) const POINTS: usize = SEEN * SEEN;
/// The transform of an input tile into 36 values a channel.
pub(crate) struct InputTile {
    pub from: *const f32,
    /// Values from a row of the map to the next, and from a pixel to the next.
    pub row: usize,
    pub pixel: usize,
    pub to: *mut f32,
    /// Values from a point to the next.
    pub point: usize,
    pub vectors: usize,
}

/// The transform of 36 sums a channel into 4x4 results.
pub(crate) struct OutputTile {
    pub from: *const f32,
    pub point: usize,
    pub to: *mut f32,
    pub row: usize,
    pub pixel: usize,
    /// What is added to the results, and its steps.
    pub add: Option<(*const f32, usize, usize)>,
    /// Rows and columns of the results that are written.
    pub rows: usize,
    pub columns: usize,
    pub vectors: usize,
    pub bias: *const f32,
    pub after: After,
}

/// `B^T` times a column.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn input_line<L: Lanes>(d: [L::Vector; SEEN]) -> [L::Vector; SEEN] {
    // SAFETY: handed on to the caller.
    unsafe {
        let [two, four, five] = [L::splat(&2.0), L::splat(&4.0), L::splat(&-5.0)];
        let minus_four = L::splat(&-4.0);
        let even = L::multiply_add(d[2], minus_four, d[4]);
        let odd = L::multiply_add(d[1], minus_four, d[3]);
        let far = L::subtract(d[4], d[2]);
        let step = L::multiply(two, L::subtract(d[3], d[1]));
        [
            L::multiply_add(d[0], four, L::multiply_add(d[2], five, d[4])),
            L::add(even, odd),
            L::subtract(even, odd),
            L::add(far, step),
            L::subtract(far, step),
            L::multiply_add(d[1], four, L::multiply_add(d[3], five, d[5])),
        ]
    }
}

/// `A^T` times a column.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn output_line<L: Lanes>(m: [L::Vector; SEEN]) -> [L::Vector; RESULTS] {
    // SAFETY: handed on to the caller.
    unsafe {
        let (near_sum, near_gap) = (L::add(m[1], m[2]), L::subtract(m[1], m[2]));
        let (far_sum, far_gap) = (L::add(m[3], m[4]), L::subtract(m[3], m[4]));
        [
            L::add(m[0], L::add(near_sum, far_sum)),
            L::multiply_add(far_gap, L::splat(&2.0), near_gap),
            L::multiply_add(far_sum, L::splat(&4.0), near_sum),
            L::add(m[5], L::multiply_add(far_gap, L::splat(&8.0), near_gap)),
        ]
    }
}

/// # Safety
/// All that [`InputTile`] names can be read and written, and the processor has the instructions.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // columns of a matrix: no iterator walks them
unsafe fn input_body<L: Lanes>(s: &InputTile) {
    // SAFETY: handed on to the caller.
    unsafe {
        for v in 0..s.vectors {
            let (from, to) = (s.from.add(v * LANES), s.to.add(v * LANES));
            let mut half = [[L::splat(&0.0); SEEN]; SEEN];
            for (y, half) in half.iter_mut().enumerate() {
                *half = input_line::<L>(load_each::<L, SEEN>(from.add(y * s.row), s.pixel));
            }
            for x in 0..SEEN {
                let mut column = [half[0][x]; SEEN];
                column.iter_mut().zip(&half).for_each(|(c, row)| *c = row[x]);
                let column = input_line::<L>(column);
                for (y, v) in column.into_iter().enumerate() {
                    L::store(to.add((y * SEEN + x) * s.point), v);
                }
            }
        }
    }
}

/// # Safety
/// All that [`OutputTile`] names can be read and written, and the processor has the instructions.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // columns of a matrix: no iterator walks them
unsafe fn output_body<L: Lanes>(g: &OutputTile) {
    // SAFETY: handed on to the caller.
    unsafe {
        for v in 0..g.vectors {
            let (from, to) = (g.from.add(v * LANES), g.to.add(v * LANES));
            let bias = L::load(g.bias.add(v * LANES));
            let mut half = [[bias; SEEN]; RESULTS];
            for x in 0..SEEN {
                let column = output_line::<L>(load_each::<L, SEEN>(from.add(x * g.point), SEEN * g.point));
                for (y, v) in column.into_iter().enumerate() {
                    half[y][x] = v;
                }
            }
            for (y, half) in half.into_iter().enumerate().take(g.rows) {
                for (x, result) in output_line::<L>(half).into_iter().enumerate().take(g.columns) {
                    let mut result = L::add(result, bias);
                    if let Some((add, row, pixel)) = g.add {
                        result = L::add(result, L::load(add.add(v * LANES + y * row + x * pixel)));
                    }
                    L::store(to.add(y * g.row + x * g.pixel), g.after.apply::<L>(result, v));
                }
            }
        }
    }
}

/// `G g G^T` of the nine weights of one input and output channel, in f64.
pub(crate) fn transform_weights(g: [f32; 9]) -> [f32; POINTS] {
    const G: [[f64; 3]; SEEN] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    let g = g.map(f64::from);
    let half: [[f64; 3]; SEEN] =
        std::array::from_fn(|i| std::array::from_fn(|x| (0..3).map(|y| G[i][y] * g[y * 3 + x]).sum()));
    std::array::from_fn(|at| {
        let (i, j) = (at / SEEN, at % SEEN);
        (0..3).map(|x| half[i][x] * G[j][x]).sum::<f64>() as f32
    })
}

/// Results along an axis rounded up to whole tiles.
pub(crate) fn whole_tiles(length: usize) -> usize {
    length.next_multiple_of(RESULTS)
}

/// The transforms of one instruction set.
pub(crate) struct Transforms {
    pub input: unsafe fn(&InputTile),
    pub output: unsafe fn(&OutputTile),
}

impl Transforms {
    pub(crate) fn of(simd: Simd) -> &'static Self {
        by_path!(simd => &TRANSFORMS)
    }
}

macro_rules! path {
    ($name:ident, $lanes:ty, $pixels:tt, $vectors:tt, $block:literal $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            compiled!([$($feature)?]
                fn input(s: &InputTile) = input_body::<$lanes>(s);
                fn output(g: &OutputTile) = output_body::<$lanes>(g);
            );

            pub(super) static TRANSFORMS: Transforms = Transforms { input, output };
        }
    };
}
for_each_path!(path);
