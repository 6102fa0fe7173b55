//! The innermost loops over maps of binary16 (f16) values: tiles, windows of each channel alone, and what rounds f32 to f16.

use half::f16;

use crate::f32::depthwise::{Run, run_body};
use crate::f32::tile::{Kernels, Tile, Tiles, Windows, add_body, even_body, tile_body, window_body};
use crate::lanes::f16::{F16Products, PlainF16, PlainPairs};
#[cfg(target_arch = "x86_64")]
use crate::lanes::f16::{Narrow, Pairs, Wide};
use crate::lanes::paths::{compiled, tile_table};
use crate::lanes::{LANES, Vectors};
use crate::simd::Simd;

/// The functions of one path.
pub(crate) struct F16Kernels {
    /// As wide and as tall as those of f32. Weights are `[runs, run / 2, panel, 2]`.
    pub maps: Kernels<f16>,
    pub depthwise: unsafe fn(&Run<f16>),
    /// Rounds as many f32, whole vectors of sixteen.
    pub round: unsafe fn(*const f32, *mut f16, usize),
}

impl F16Kernels {
    /// Those of `simd`, where it has instructions for them.
    pub(crate) fn of(simd: Simd) -> Option<&'static Self> {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512
                if is_x86_feature_detected!("avx512fp16")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl") =>
            {
                Some(&avx512::KERNELS)
            }
            Simd::Scalar => Some(&plain::KERNELS),
            _ => None,
        }
    }
}

/// Windows of 3x3 from pixel to pixel of sixteen channels that follow each other: two results at once, `B` times side
/// by side. Gives how many of the results it made.
///
/// # Safety
/// As for `depthwise::Packed::run`, and the processor has the instructions.
#[inline(always)]
unsafe fn two_pixels<L: F16Products, const B: usize>(run: &Run<f16>, first: usize) -> usize {
    let mut done = first;
    while run.count - done >= 2 * B {
        // SAFETY: the caller holds the pointers valid; the window of a pair's second result is read with its first's.
        unsafe {
            let (least, greatest) = (L::Two::splat(&run.least), L::Two::splat(&run.greatest));
            let mut sums = [L::twice(run.bias); B];
            for (y, &line) in run.lines.iter().enumerate() {
                let from = run.from.add(done * LANES + line);
                let mut weights = [L::twice(run.weights); 3];
                for (x, weight) in weights.iter_mut().enumerate() {
                    *weight = L::twice(run.weights.add((3 * y + x) * LANES));
                }
                let mut a = L::Two::load(from);
                for (at, sum) in sums.iter_mut().enumerate() {
                    let b = L::Two::load(from.add((2 * at + 1) * LANES));
                    let c = L::Two::load(from.add((2 * at + 2) * LANES));
                    *sum = L::Two::multiply_add(weights[0], a, *sum);
                    *sum = L::Two::multiply_add(weights[1], b, *sum);
                    *sum = L::Two::multiply_add(weights[2], c, *sum);
                    a = c;
                }
            }
            for (at, &sum) in sums.iter().enumerate() {
                L::Two::store(run.out.add((done + 2 * at) * LANES), L::Two::bounded(sum, least, greatest));
            }
        }
        done += 2 * B;
    }
    done
}

/// Whole vectors of thirty-two channels, and the sixteen that may be left.
fn in_two(vectors: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let wide = vectors / 2 * 2 * LANES;
    (0..wide, wide..vectors * LANES)
}

macro_rules! path {
    ($name:ident, $pairs:ty, $wide:ty, $narrow:ty, $block:literal, $pixels:tt, $vectors:tt, $features:tt) => {
        mod $name {
            use super::*;

            compiled!($features
                fn tile<P, N>(t: &Tile<f16>) = tile_body::<$pairs, f16, P, N>(t);
                fn even<P, N>(t: &Tiles<f16>) = even_body::<$pairs, f16, P, N>(t);
                fn greatest(w: &Windows<f16>) = {
                    let (wide, narrow) = in_two(w.vectors);
                    window_body::<$wide>(w, wide, |a, b| <$wide>::max(a, b), None);
                    window_body::<$narrow>(w, narrow, |a, b| <$narrow>::max(a, b), None);
                };
                fn mean(w: &Windows<f16>, factor: f32) = {
                    let (wide, narrow) = in_two(w.vectors);
                    let factor = Some(f16::from_f32(factor));
                    window_body::<$wide>(w, wide, |a, b| <$wide>::add(a, b), factor);
                    window_body::<$narrow>(w, narrow, |a, b| <$narrow>::add(a, b), factor);
                };
                fn add(from: *const f16, to: *mut f16, vectors: usize) = {
                    let (wide, narrow) = in_two(vectors);
                    add_body::<$wide>(from, to, wide);
                    add_body::<$narrow>(from, to, narrow);
                };
                fn depthwise(run: &Run<f16>) = {
                    let (wide, narrow) = in_two(run.vectors);
                    let follow = [run.pixel, run.step, run.out_pixel] == [LANES; 3];
                    let done = match run.window {
                        (3, 3) if follow => two_pixels::<$pairs, 1>(run, two_pixels::<$pairs, $block>(run, 0)),
                        _ => 0,
                    };
                    run_body::<$wide, $block>(run, 0..run.count, wide);
                    run_body::<$narrow, $block>(run, done..run.count, narrow);
                };
                fn round(from: *const f32, to: *mut f16, count: usize) = {
                    for at in (0..count).step_by(LANES) {
                        <$narrow>::store(to.add(at), <$narrow>::load_floats(from.add(at)));
                    }
                };
            );

            pub(super) static KERNELS: F16Kernels = F16Kernels {
                maps: Kernels {
                    tiles: tile_table!(tile, $pixels, $vectors),
                    even: tile_table!(even, $pixels, $vectors),
                    greatest,
                    mean,
                    add,
                },
                depthwise,
                round,
            };
        }
    };
}

path!(plain, PlainPairs, PlainF16<{ 2 * LANES }>, PlainF16<LANES>, 1, [1 2], [1], []);
#[cfg(target_arch = "x86_64")]
path!(
    avx512, Pairs, Wide, Narrow, 8, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2], ["avx512f,avx512bw,avx512vl,avx512fp16"]
);
