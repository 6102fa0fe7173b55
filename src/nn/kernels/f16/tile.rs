//! The innermost loops over maps of halves: tiles, windows of each channel alone, and what rounds f32 to halves.

use half::f16;

use super::depthwise::{Run, run_body};
use super::half_lanes::{HalfPairs, PlainHalves, PlainPairs};
#[cfg(target_arch = "x86_64")]
use super::half_lanes::{Narrow, Pairs, Wide};
use super::lanes::{LANES, Vectors};
use super::tile::{Kernels, Tile, Tiles, Windows, add_body, window_body};
use crate::Simd;

/// The functions of one path.
pub(super) struct HalfKernels {
    /// As wide and as tall as those of f32. Weights are `[runs, run / 2, panel, 2]`.
    pub maps: Kernels<f16>,
    pub depthwise: unsafe fn(&Run<f16>),
    /// Rounds as many f32, whole vectors of sixteen.
    pub round: unsafe fn(*const f32, *mut f16, usize),
}

impl HalfKernels {
    /// Those of `simd`, where it has instructions for them.
    pub(super) fn of(simd: Simd) -> Option<&'static Self> {
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

/// What a tile is summed of.
struct Terms<'a, const P: usize> {
    pixels: [*const f16; P],
    runs: &'a [usize],
    run: usize,
    weights: *const f16,
    bias: *const f32,
    ahead: (*const f16, usize),
}

/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors. Where a run is odd, the half behind it is read too.
#[inline(always)]
unsafe fn sum<L: HalfPairs, const P: usize, const N: usize, const AHEAD: bool>(t: &Terms<P>) -> [[L::Sums; N]; P] {
    // SAFETY: the caller holds the pointers valid for what is read here.
    unsafe {
        let mut bias = [L::begin(t.bias); N];
        for (n, bias) in bias.iter_mut().enumerate() {
            *bias = L::begin(t.bias.add(n * LANES));
        }
        let mut sums = [bias; P];
        let mut weights = t.weights;
        let (mut ahead, step) = t.ahead;
        for &begin in t.runs {
            for i in (begin..begin + t.run).step_by(2) {
                let mut w = bias;
                for (n, w) in w.iter_mut().enumerate() {
                    *w = L::load_pairs(weights.add(n * 2 * LANES));
                }
                weights = weights.add(N * 2 * LANES);
                if AHEAD {
                    super::lanes::fetch_each::<L::Whole, N>(ahead);
                    ahead = ahead.wrapping_byte_add(step);
                }
                for (sums, pixel) in sums.iter_mut().zip(t.pixels) {
                    let x = L::splat_pair(pixel.add(i));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = L::add_products(x, w, *sum);
                    }
                }
            }
        }
        sums
    }
}

/// The sums of even and odd numbers together.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn whole<L: HalfPairs, const P: usize, const N: usize>(
    sums: &[[L::Sums; N]; P],
) -> [[<L::Whole as Vectors>::Vector; N]; P] {
    // SAFETY: one half is read, and the rest is the caller's.
    let mut values = [[unsafe { L::Whole::splat(&f16::ZERO) }; N]; P];
    for (values, sums) in values.iter_mut().zip(sums) {
        for (v, &sum) in values.iter_mut().zip(sums) {
            // SAFETY: handed on to the caller.
            *v = unsafe { L::whole(sum) };
        }
    }
    values
}

/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn tile_body<L: HalfPairs, const P: usize, const N: usize>(t: &Tile<f16>) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let mut pixels = [t.pixels[0]; P];
        pixels.copy_from_slice(&t.pixels[..P]);
        let terms = Terms { pixels, runs: t.runs, run: t.run, weights: t.weights, bias: t.bias, ahead: t.ahead };
        let sums = if t.ahead.1 == 0 { sum::<L, P, N, false>(&terms) } else { sum::<L, P, N, true>(&terms) };
        let mut values = whole::<L, P, N>(&sums);
        if let Some(add) = &t.add {
            for (values, from) in values.iter_mut().zip(add) {
                for (n, v) in values.iter_mut().enumerate() {
                    *v = L::Whole::add(*v, L::Whole::load(from.add(n * LANES)));
                }
            }
        }
        for values in &mut values {
            for (n, v) in values.iter_mut().enumerate() {
                *v = t.after.apply::<L::Whole>(*v, n);
            }
        }
        for (out, values) in t.out.iter().zip(&values) {
            for (n, v) in values.iter().enumerate() {
                L::Whole::store(out.add(n * LANES), *v);
            }
        }
    }
}

/// # Safety
/// As for [`Kernels::line`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn even_body<L: HalfPairs, const P: usize, const N: usize>(t: &Tiles<f16>) {
    let ahead = (std::ptr::null(), 0);
    let (mut from, mut out) = (t.from, t.out);
    for _ in 0..t.count {
        // SAFETY: the caller holds the pointers valid for what is read and written here.
        unsafe {
            let mut pixels = [from; P];
            for pixel in &mut pixels {
                *pixel = from;
                from = from.wrapping_add(t.step);
            }
            let terms = Terms { pixels, runs: t.runs, run: t.run, weights: t.weights, bias: t.bias, ahead };
            let mut values = whole::<L, P, N>(&sum::<L, P, N, false>(&terms));
            for values in &mut values {
                for (n, v) in values.iter_mut().enumerate() {
                    *v = t.after.apply::<L::Whole>(*v, n);
                }
            }
            for values in &values {
                for (n, v) in values.iter().enumerate() {
                    L::Whole::store(out.add(n * LANES), *v);
                }
                out = out.wrapping_add(t.out_step);
            }
        }
    }
}

/// Windows of 3x3 from pixel to pixel of sixteen channels that follow each other: two results at once, `B` times side
/// by side. Gives how many of the results it made.
///
/// # Safety
/// As for `depthwise::Packed::run`, and the processor has the instructions.
#[inline(always)]
unsafe fn two_pixels<L: HalfPairs, const B: usize>(run: &Run<f16>, first: usize) -> usize {
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

/// The functions of one path, compiled for its instructions.
macro_rules! path {
    (
        $name:ident, $pairs:ty, $wide:ty, $narrow:ty, $block:literal, [$($pixels:literal)+], [$($vectors:literal)+]
        $(, $feature:literal)?
    ) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $feature)])?
            unsafe fn tile<const P: usize, const N: usize>(t: &Tile<f16>) {
                // SAFETY: handed on to the caller.
                unsafe { tile_body::<$pairs, P, N>(t) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn even<const P: usize, const N: usize>(t: &Tiles<f16>) {
                // SAFETY: handed on to the caller.
                unsafe { even_body::<$pairs, P, N>(t) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn greatest(w: &Windows<f16>) {
                let (wide, narrow) = in_two(w.vectors);
                // SAFETY: handed on to the caller.
                unsafe {
                    window_body::<$wide>(w, wide, |a, b| <$wide>::max(a, b), None);
                    window_body::<$narrow>(w, narrow, |a, b| <$narrow>::max(a, b), None);
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn mean(w: &Windows<f16>, factor: f32) {
                let (wide, narrow) = in_two(w.vectors);
                let factor = Some(f16::from_f32(factor));
                // SAFETY: handed on to the caller.
                unsafe {
                    window_body::<$wide>(w, wide, |a, b| <$wide>::add(a, b), factor);
                    window_body::<$narrow>(w, narrow, |a, b| <$narrow>::add(a, b), factor);
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn add(from: *const f16, to: *mut f16, vectors: usize) {
                let (wide, narrow) = in_two(vectors);
                // SAFETY: handed on to the caller.
                unsafe {
                    add_body::<$wide>(from, to, wide);
                    add_body::<$narrow>(from, to, narrow);
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn depthwise(run: &Run<f16>) {
                let (wide, narrow) = in_two(run.vectors);
                let follow = [run.pixel, run.step, run.out_pixel] == [LANES; 3];
                // SAFETY: handed on to the caller.
                unsafe {
                    let done = match run.window {
                        (3, 3) if follow => two_pixels::<$pairs, 1>(run, two_pixels::<$pairs, $block>(run, 0)),
                        _ => 0,
                    };
                    run_body::<$wide, $block>(run, 0..run.count, wide);
                    run_body::<$narrow, $block>(run, done..run.count, narrow);
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn round(from: *const f32, to: *mut f16, count: usize) {
                for at in (0..count).step_by(LANES) {
                    // SAFETY: handed on to the caller.
                    unsafe { <$narrow>::store(to.add(at), <$narrow>::load_floats(from.add(at))) }
                }
            }

            pub(super) static KERNELS: HalfKernels = HalfKernels {
                maps: Kernels {
                    tiles: path!(@tiles tile, [$($pixels)+], [$($vectors)+]),
                    even: path!(@tiles even, [$($pixels)+], [$($vectors)+]),
                    greatest,
                    mean,
                    add,
                },
                depthwise,
                round,
            };
        }
    };
    (@tiles $kernel:ident, $pixels:tt, [$($vectors:literal)+]) => { &[$(path!(@row $kernel, $vectors, $pixels)),+] };
    (@row $kernel:ident, $vectors:literal, [$($pixels:literal)+]) => { &[$($kernel::<$pixels, $vectors>),+] };
}

path!(plain, PlainPairs, PlainHalves<{ 2 * LANES }>, PlainHalves<LANES>, 1, [1 2], [1]);
#[cfg(target_arch = "x86_64")]
path!(avx512, Pairs, Wide, Narrow, 8, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2], "avx512f,avx512bw,avx512vl,avx512fp16");
