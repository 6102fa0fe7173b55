//! What training does to planes, a channel's values one row after the other: norms and slopes, windows of one channel, and
//! sums over neighbouring channels, each with its gradient. Plain loops over sixteen values, compiled for each instruction
//! set; all of them give the same bits, but for the windows, which use fused multiplications where there are any.

use crate::f32::total::total;
use crate::lanes::LANES;
use crate::lanes::paths::{by_path, compiled, for_each_path};
use crate::simd::Simd;

pub use crate::f32::channel_window::{ChannelWindow, WindowScratch};

/// `v = x * scale + shift`, and `v * slope` where that is not above zero.
#[derive(Debug, Clone, Copy)]
pub struct Sloped {
    /// What values are multiplied by,
    pub scale: f32,
    /// what is added,
    pub shift: f32,
    /// and what is not above zero is multiplied by: one for nothing, nought for ReLU.
    pub slope: f32,
}

/// Gradient of a norm by its own moments: `scale * (g - mean_gradient - (x - mean) * along)`, where `g` is the gradient
/// before the slope.
#[derive(Debug, Clone, Copy)]
pub struct Centred {
    /// The plane's mean,
    pub mean: f32,
    /// the mean of gradients over all values that the norm took together,
    pub mean_gradient: f32,
    /// and how much of a value's distance from the mean is taken off.
    pub along: f32,
}

/// The sum of the values.
pub fn sum(x: &[f32], simd: Simd) -> f32 {
    // SAFETY: a `Simd` is only made where the processor has its instructions.
    unsafe { by_path!(simd => sum(x)) }
}

/// The sum of squared distances from `mean`.
pub fn squares(x: &[f32], mean: f32, simd: Simd) -> f32 {
    // SAFETY: as in `sum`.
    unsafe { by_path!(simd => squares(x, mean)) }
}

/// Writes [`Sloped`] of each value.
pub fn sloped(x: &[f32], by: Sloped, y: &mut [f32], simd: Simd) {
    // SAFETY: as in `sum`.
    unsafe { by_path!(simd => sloped(x, by, y)) }
}

/// Sums of what [`Sloped`]'s parameters need: of `g` before the slope, of that times `x - mean`, and of `g` times `v`
/// where the slope applies.
pub fn sloped_sums(x: &[f32], g: &[f32], mean: f32, by: Sloped, simd: Simd) -> [f32; 3] {
    // SAFETY: as in `sum`.
    unsafe { by_path!(simd => sloped_sums(x, g, mean, by)) }
}

/// Replaces gradients of [`Sloped`]'s results by those of its values.
pub fn sloped_back(x: &[f32], by: Sloped, centred: Centred, g: &mut [f32], simd: Simd) {
    // SAFETY: as in `sum`.
    unsafe { by_path!(simd => sloped_back(x, by, centred, g)) }
}

/// Adds `bias` to each value; with `relu` what is below zero becomes zero.
pub fn biased(y: &mut [f32], bias: f32, relu: bool, simd: Simd) {
    // SAFETY: as in `sum`.
    unsafe { by_path!(simd => biased(y, bias, relu)) }
}

/// Zeros gradients where the results of a ReLU are not above zero.
pub fn relu_back(y: &[f32], g: &mut [f32], simd: Simd) {
    // SAFETY: as in `sum`.
    unsafe { by_path!(simd => relu_back(y, g)) }
}

/// Local response normalisation: `x * (k + alpha * sum of squares over size channels)^-0.75`.
#[derive(Debug, Clone, Copy)]
pub struct LocalNorm {
    /// Channels that are summed over, an odd number.
    pub size: usize,
    /// See [`LocalNorm`].
    pub alpha: f32,
    /// See [`LocalNorm`].
    pub k: f32,
}

impl LocalNorm {
    /// Over `[channels, pixels]`.
    ///
    /// # Panics
    /// When there are no whole planes.
    pub fn forward(self, x: &[f32], channels: usize, y: &mut [f32], simd: Simd) {
        assert!(x.len() == y.len() && x.len().is_multiple_of(channels), "whole planes");
        // SAFETY: as in `sum`.
        unsafe { by_path!(simd => local_norm(x, channels, self, y)) }
    }

    /// Replaces gradients of the results by those of the values.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn backward(self, x: &[f32], channels: usize, g: &mut [f32], simd: Simd) {
        assert!(x.len() == g.len() && x.len().is_multiple_of(channels), "whole planes");
        // SAFETY: as in `sum`.
        unsafe { by_path!(simd => local_norm_back(x, channels, self, g)) }
    }
}

#[inline(always)]
fn lanes_sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for values in whole {
        for i in 0..LANES {
            lanes[i] += of(values[i]);
        }
    }
    let mut sum = total(&lanes);
    for v in rest {
        sum += of(*v);
    }
    sum
}

#[inline(always)]
fn sum_body(x: &[f32]) -> f32 {
    lanes_sum(x, |v| v)
}

#[inline(always)]
fn squares_body(x: &[f32], mean: f32) -> f32 {
    lanes_sum(x, |v| (v - mean) * (v - mean))
}

#[inline(always)]
fn sloped_body(x: &[f32], by: Sloped, y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        let v = x * by.scale + by.shift;
        *y = if v > 0.0 { v } else { v * by.slope };
    }
}

#[inline(always)]
fn sloped_sums_body(x: &[f32], g: &[f32], mean: f32, by: Sloped) -> [f32; 3] {
    let one = |x: f32, g: f32| {
        let v = x * by.scale + by.shift;
        let before = if v > 0.0 { g } else { g * by.slope };
        [before, before * (x - mean), if v > 0.0 { 0.0 } else { g * v }]
    };
    let ((whole_x, rest_x), (whole_g, rest_g)) = (x.as_chunks::<LANES>(), g.as_chunks::<LANES>());
    let mut lanes = [[0f32; LANES]; 3];
    for (x, g) in whole_x.iter().zip(whole_g) {
        for i in 0..LANES {
            let [a, b, c] = one(x[i], g[i]);
            lanes[0][i] += a;
            lanes[1][i] += b;
            lanes[2][i] += c;
        }
    }
    let mut sums = [0f32; 3];
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum = total(&lanes);
    }
    for (x, g) in rest_x.iter().zip(rest_g) {
        let part = one(*x, *g);
        for (sum, v) in sums.iter_mut().zip(part) {
            *sum += v;
        }
    }
    sums
}

#[inline(always)]
fn sloped_back_body(x: &[f32], by: Sloped, centred: Centred, g: &mut [f32]) {
    for (g, x) in g.iter_mut().zip(x) {
        let v = x * by.scale + by.shift;
        let before = if v > 0.0 { *g } else { *g * by.slope };
        *g = by.scale * (before - centred.mean_gradient - (x - centred.mean) * centred.along);
    }
}

#[inline(always)]
fn biased_body(y: &mut [f32], bias: f32, relu: bool) {
    if relu {
        for y in y {
            let v = *y + bias;
            // What is no number stays so, and is seen further on.
            *y = if v < 0.0 { 0.0 } else { v };
        }
    } else {
        for y in y {
            *y += bias;
        }
    }
}

#[inline(always)]
fn relu_back_body(y: &[f32], g: &mut [f32]) {
    for (g, y) in g.iter_mut().zip(y) {
        *g = if *y > 0.0 { *g } else { 0.0 };
    }
}

/// `s^-0.75`.
#[inline(always)]
pub(crate) fn inverse_root(s: f32) -> f32 {
    let root = s.sqrt();
    1.0 / (root * root.sqrt())
}

/// Sixteen pixels of all channels of `x`, whose squares (or what `of` makes) stand between rows of zeros.
#[inline(always)]
fn gather(x: &[f32], pixels: usize, at: usize, width: usize, rows: &mut [[f32; LANES]], of: impl Fn(f32) -> f32) {
    for (c, row) in rows.iter_mut().enumerate() {
        let from = &x[c * pixels + at..][..width];
        for (to, v) in row.iter_mut().zip(from) {
            *to = of(*v);
        }
    }
}

/// The sum of `size` rows from `first` on.
#[inline(always)]
fn windowed(rows: &[[f32; LANES]], first: usize, size: usize) -> [f32; LANES] {
    let mut sums = rows[first];
    for row in &rows[first + 1..first + size] {
        for i in 0..LANES {
            sums[i] += row[i];
        }
    }
    sums
}

#[inline(always)]
fn local_norm_body(x: &[f32], channels: usize, by: LocalNorm, y: &mut [f32]) {
    let (pixels, half) = (x.len() / channels, by.size / 2);
    let mut rows = vec![[0f32; LANES]; channels + 2 * half];
    for at in (0..pixels).step_by(LANES) {
        let width = LANES.min(pixels - at);
        gather(x, pixels, at, width, &mut rows[half..half + channels], |v| v * v);
        for c in 0..channels {
            let sums = windowed(&rows, c, by.size);
            let mut factor = [0f32; LANES];
            for i in 0..LANES {
                factor[i] = inverse_root(by.k + by.alpha * sums[i]);
            }
            let here = c * pixels + at..c * pixels + at + width;
            for ((y, x), f) in y[here.clone()].iter_mut().zip(&x[here]).zip(&factor) {
                *y = x * f;
            }
        }
    }
}

#[inline(always)]
fn local_norm_back_body(x: &[f32], channels: usize, by: LocalNorm, g: &mut [f32]) {
    let (pixels, half) = (x.len() / channels, by.size / 2);
    let mut rows = vec![[0f32; LANES]; channels + 2 * half];
    let mut along = rows.clone();
    let mut factors = vec![[0f32; LANES]; channels];
    let twice = 2.0 * 0.75 * by.alpha;
    for at in (0..pixels).step_by(LANES) {
        let width = LANES.min(pixels - at);
        gather(x, pixels, at, width, &mut rows[half..half + channels], |v| v * v);
        for c in 0..channels {
            let sums = windowed(&rows, c, by.size);
            let here = c * pixels + at..c * pixels + at + width;
            let (mut values, mut gradients) = ([0f32; LANES], [0f32; LANES]);
            values[..width].copy_from_slice(&x[here.clone()]);
            gradients[..width].copy_from_slice(&g[here]);
            for i in 0..LANES {
                let s = by.k + by.alpha * sums[i];
                let factor = inverse_root(s);
                factors[c][i] = factor;
                // g x s^-1.75
                along[half + c][i] = gradients[i] * values[i] * factor / s;
            }
        }
        for (c, factors) in factors.iter().enumerate() {
            let sums = windowed(&along, c, by.size);
            let here = c * pixels + at..c * pixels + at + width;
            let values = g[here.clone()].iter_mut().zip(&x[here]).zip(factors.iter().zip(&sums));
            for ((g, x), (factor, sum)) in values {
                *g = *g * factor - twice * x * sum;
            }
        }
    }
}

macro_rules! path {
    ($name:ident, $lanes:ty, $pixels:tt, $vectors:tt, $block:literal $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            compiled!([$($feature)?]
                fn sum(x: &[f32]) -> f32 = sum_body(x);
                fn squares(x: &[f32], mean: f32) -> f32 = squares_body(x, mean);
                fn sloped(x: &[f32], by: Sloped, y: &mut [f32]) = sloped_body(x, by, y);
                fn sloped_sums(x: &[f32], g: &[f32], mean: f32, by: Sloped) -> [f32; 3] = sloped_sums_body(x, g, mean, by);
                fn sloped_back(x: &[f32], by: Sloped, centred: Centred, g: &mut [f32]) = sloped_back_body(x, by, centred, g);
                fn biased(y: &mut [f32], bias: f32, relu: bool) = biased_body(y, bias, relu);
                fn relu_back(y: &[f32], g: &mut [f32]) = relu_back_body(y, g);
                fn local_norm(x: &[f32], channels: usize, by: LocalNorm, y: &mut [f32]) = local_norm_body(x, channels, by, y);
                fn local_norm_back(x: &[f32], channels: usize, by: LocalNorm, g: &mut [f32]) = local_norm_back_body(x, channels, by, g);
            );
        }
    };
}
for_each_path!(path);
