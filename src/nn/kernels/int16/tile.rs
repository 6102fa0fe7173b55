//! The tile of 16-bit whole numbers, and what rounds its inputs, for each path.

use super::integer_lanes::PairLanes;
use super::lanes::{LANES, fetch_each, load_each};
use super::tile::{After, TALLEST};
use crate::Simd;

/// One tile. As [`super::tile::Tile`], of whole numbers.
pub(super) struct IntegerTile<'a> {
    pub pixels: [*const i16; TALLEST],
    pub runs: &'a [usize],
    /// Numbers in a run: even.
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
    pub ahead: (*const f32, usize),
}

type TileKernel = unsafe fn(&IntegerTile);

/// The functions of one path.
pub(super) struct IntegerKernels {
    /// By vectors of output channels (from 1), then by pixels (from 1).
    pub tiles: &'static [&'static [TileKernel]],
    pub round: unsafe fn(&[f32], f32, &mut [i16]),
    pub largest: unsafe fn(&[f32]) -> u32,
}

impl IntegerKernels {
    /// Those of `simd`, with tiles as wide and as tall as its others, where it has instructions for them.
    pub(super) fn of(simd: Simd) -> Option<&'static Self> {
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

/// Rounds each number times `per_unit` to the nearest whole one; all must be less than 2^15.
#[inline(always)]
fn round_body(from: &[f32], per_unit: f32, to: &mut [i16]) {
    // Added to a number of less than 2^22, it leaves the nearest whole one in the lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    for (&v, to) in from.iter().zip(to) {
        *to = (v * per_unit + SHIFT).to_bits() as i16;
    }
}

/// The greatest absolute value, as bits: those of infinity or more where a number is not finite.
#[inline(always)]
fn largest_body(from: &[f32]) -> u32 {
    // One maximum, not one a lane: the compiler makes vectors of this, and gathers of that.
    from.iter().fold(0i32, |greatest, v| greatest.max((v.to_bits() & 0x7fff_ffff) as i32)) as u32
}

/// # Safety
/// As for [`super::tile::Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn tile_body<L: PairLanes, const P: usize, const N: usize>(t: &IntegerTile) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let pixels: [*const i16; P] = std::array::from_fn(|p| t.pixels[p]);
        let mut sums = [[L::no_sums(); N]; P];
        let mut weights = t.weights;
        let (mut ahead, step) = t.ahead;
        for &begin in t.runs {
            for i in (begin..begin + t.run).step_by(2) {
                let mut w = [L::no_sums(); N];
                for (n, w) in w.iter_mut().enumerate() {
                    *w = L::load_pairs(weights.add(n * 2 * LANES));
                }
                weights = weights.add(N * 2 * LANES);
                fetch_each::<L, N>(ahead);
                ahead = ahead.wrapping_byte_add(step);
                for (sums, pixel) in sums.iter_mut().zip(pixels) {
                    let x = L::splat_pair(pixel.add(i));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = L::add_products(x, w, *sum);
                    }
                }
            }
        }
        let steps = load_each::<L, N>(t.steps, LANES);
        let bias = load_each::<L, N>(t.bias, LANES);
        // Pass by pass, so that every loop unrolls: one index that is not constant, and the compiler keeps all sums
        // in memory, from their first product on.
        let mut values = [bias; P];
        for ((values, sums), input_step) in values.iter_mut().zip(sums).zip(&t.input_steps) {
            let input_step = L::splat(input_step);
            for ((value, sum), step) in values.iter_mut().zip(sums).zip(steps) {
                *value = L::multiply_add(L::floats(sum), L::multiply(step, input_step), *value);
            }
        }
        if let Some(add) = &t.add {
            for (values, from) in values.iter_mut().zip(add) {
                for (n, value) in values.iter_mut().enumerate() {
                    *value = L::add(*value, L::load(from.add(n * LANES)));
                }
            }
        }
        for values in &mut values {
            for (n, value) in values.iter_mut().enumerate() {
                *value = t.after.apply::<L>(*value, n);
            }
        }
        for (out, values) in t.out.iter().zip(values) {
            for (n, value) in values.into_iter().enumerate() {
                L::store(out.add(n * LANES), value);
            }
        }
    }
}

/// The functions of one path, compiled for its instructions.
macro_rules! path {
    ($name:ident, $lanes:ty, [$($pixels:literal)+], [$($vectors:literal)+] $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $feature)])?
            unsafe fn tile<const P: usize, const N: usize>(t: &IntegerTile) {
                // SAFETY: handed on to the caller.
                unsafe { tile_body::<$lanes, P, N>(t) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn round(from: &[f32], per_unit: f32, to: &mut [i16]) {
                round_body(from, per_unit, to);
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn largest(from: &[f32]) -> u32 {
                largest_body(from)
            }

            pub(super) static KERNELS: IntegerKernels =
                IntegerKernels { tiles: path!(@tiles [$($pixels)+], [$($vectors)+]), round, largest };
        }
    };
    (@tiles $pixels:tt, [$($vectors:literal)+]) => { &[$(path!(@row $vectors, $pixels)),+] };
    (@row $vectors:literal, [$($pixels:literal)+]) => { &[$(tile::<$pixels, $vectors>),+] };
}

path!(plain, super::super::lanes::Plain, [1 2], [1]);
#[cfg(target_arch = "x86_64")]
path!(avx2, super::super::lanes::Avx2, [1 2 3 4 5 6], [1], "avx2,fma");
#[cfg(target_arch = "x86_64")]
path!(avx512, super::super::lanes::Avx512, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2], "avx512f,avx512vnni");
