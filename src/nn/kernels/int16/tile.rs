//! The tile of int16 quantisation, and what rounds its inputs, for each instruction set.

use crate::f32::tile::{After, TALLEST, Terms, sum, write};
use crate::lanes::int16::Int16Products;
use crate::lanes::paths::{compiled, tile_table};
use crate::lanes::{LANES, load_each};
use crate::simd::Simd;

/// One tile. As [`crate::f32::tile::Tile`], of int16 values.
pub(crate) struct Int16Tile<'a> {
    pub pixels: [*const i16; TALLEST],
    pub runs: &'a [usize],
    /// Values in a run: even.
    pub run: usize,
    /// `[runs * run / 2, panel, 2]`.
    pub weights: *const i16,
    /// What a step of each output's weights is worth: `[panel]`.
    pub steps: *const f32,
    /// What a step of each pixel's input is worth.
    pub input_steps: [f32; TALLEST],
    pub bias: *const f32,
    pub after: After,
    pub out: [*mut f32; TALLEST],
    pub add: Option<[*const f32; TALLEST]>,
    pub ahead: (*const i16, usize),
}

type TileKernel = unsafe fn(&Int16Tile);

/// The functions of one path.
pub(crate) struct Int16Kernels {
    /// By vectors of output channels (from 1), then by pixels (from 1).
    pub tiles: &'static [&'static [TileKernel]],
    pub round: unsafe fn(&[f32], f32, &mut [i16]),
    pub largest: unsafe fn(&[f32]) -> u32,
    /// The greatest absolute value, and the sum of all.
    pub sizes: unsafe fn(&[f32]) -> (f32, f64),
    /// A panel's weights times what a step of each output is of one, rounded, the pairs of two rows in a word.
    pub pairs: unsafe fn(&[f32], &[f64], &mut [f32]),
}

impl Int16Kernels {
    /// Those of `simd`, with tiles as wide and as tall as its others, where it has instructions for them.
    pub(crate) fn of(simd: Simd) -> Option<&'static Self> {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => Some(&avx2::KERNELS),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 if is_x86_feature_detected!("avx512vnni") => Some(&avx512::KERNELS),
            Simd::Scalar => Some(&plain::KERNELS),
            _ => None,
        }
    }
}

/// Rounds each value times `per_unit` to the nearest integer; all must be less than 2^15.
#[inline(always)]
fn round_body(from: &[f32], per_unit: f32, to: &mut [i16]) {
    // Added to a value of less than 2^22, it leaves the nearest integer in the lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    for (&v, to) in from.iter().zip(to) {
        *to = (v * per_unit + SHIFT).to_bits() as i16;
    }
}

/// The greatest absolute value, as bits: those of infinity or more where a value is not finite.
#[inline(always)]
fn largest_body(from: &[f32]) -> u32 {
    // One maximum, not one a lane: the compiler makes vectors of this, and gathers of that.
    from.iter().fold(0i32, |greatest, v| greatest.max((v.to_bits() & 0x7fff_ffff) as i32)) as u32
}

#[inline(always)]
fn sizes_body(weights: &[f32]) -> (f32, f64) {
    // As many sums as lanes, so that the compiler makes vectors of them.
    let (mut largest, mut together) = ([0f32; LANES], [0f64; LANES]);
    let mut add = |row: &[f32]| {
        for ((largest, together), &w) in largest.iter_mut().zip(&mut together).zip(row) {
            let size = w.abs();
            // NaN is seen in the sum.
            *largest = if size > *largest { size } else { *largest };
            *together += f64::from(size);
        }
    };
    let (rows, rest) = weights.as_chunks::<LANES>();
    rows.iter().for_each(|row| add(row));
    add(rest);
    (largest.into_iter().fold(0.0, f32::max), together.iter().sum())
}

#[inline(always)]
fn pairs_body(weights: &[f32], per_unit: &[f64], words: &mut [f32]) {
    // Added to a value of less than 2^51, it leaves the nearest integer in the lowest bits.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let width = per_unit.len();
    for (pairs, words) in weights.chunks_exact(2 * width).zip(words.chunks_exact_mut(width)) {
        let (low, high) = pairs.split_at(width);
        for (((word, &low), &high), &per_unit) in words.iter_mut().zip(low).zip(high).zip(per_unit) {
            let [low, high] = [low, high].map(|w| (f64::from(w) * per_unit + SHIFT).to_bits() as u32);
            *word = f32::from_bits(low & 0xffff | high << 16);
        }
    }
}

/// # Safety
/// As for [`crate::f32::tile::Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn tile_body<L: Int16Products, const P: usize, const N: usize>(t: &Int16Tile) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let pixels: [*const i16; P] = std::array::from_fn(|p| t.pixels[p]);
        let terms = Terms { pixels, runs: t.runs, run: t.run, weights: t.weights, ahead: t.ahead };
        let sums = sum::<L, i16, P, N, true>(&terms, [L::no_sums(); N]);
        let steps = load_each::<L, N>(t.steps, LANES);
        let bias = load_each::<L, N>(t.bias, LANES);
        let mut values = [bias; P];
        for ((values, sums), input_step) in values.iter_mut().zip(sums).zip(&t.input_steps) {
            let input_step = L::splat(input_step);
            for ((value, sum), step) in values.iter_mut().zip(sums).zip(steps) {
                *value = L::multiply_add(L::floats(sum), L::multiply(step, input_step), *value);
            }
        }
        write::<L, P, N>(values, &t.add, t.after, &t.out);
    }
}

macro_rules! path {
    ($name:ident, $lanes:ty, $pixels:tt, $vectors:tt, $features:tt) => {
        mod $name {
            use super::*;

            compiled!($features
                fn tile<P, N>(t: &Int16Tile) = tile_body::<$lanes, P, N>(t);
                fn round(from: &[f32], per_unit: f32, to: &mut [i16]) = round_body(from, per_unit, to);
                fn largest(from: &[f32]) -> u32 = largest_body(from);
                fn sizes(weights: &[f32]) -> (f32, f64) = sizes_body(weights);
                fn pairs(weights: &[f32], per_unit: &[f64], words: &mut [f32]) = pairs_body(weights, per_unit, words);
            );

            pub(super) static KERNELS: Int16Kernels =
                Int16Kernels { tiles: tile_table!(tile, $pixels, $vectors), round, largest, sizes, pairs };
        }
    };
}

path!(plain, crate::lanes::plain::Plain, [1 2], [1], []);
#[cfg(target_arch = "x86_64")]
path!(avx2, crate::lanes::x86::Avx2, [1 2 3 4 5 6], [1], ["avx2,fma"]);
#[cfg(target_arch = "x86_64")]
path!(avx512, crate::lanes::x86::Avx512, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2], ["avx512f,avx512vnni"]);
