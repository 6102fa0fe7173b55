//! What training does to planes, a channel's values one row after the other: norms and slopes, windows of one channel, and
//! sums over neighbouring channels, each with its gradient. Plain loops over sixteen values, compiled for each instruction
//! set; all of them give the same bits, but for the windows, which use fused multiplications where there are any.

use crate::lanes::paths::{by_path, compiled, for_each_path};
use crate::lanes::{LANES, Lanes};
use crate::simd::Simd;

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

/// A loop, since the standard library's sum is compiled without the set's instructions.
#[inline(always)]
fn total(values: &[f32]) -> f32 {
    let mut sum = 0.0;
    for v in values {
        sum += v;
    }
    sum
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
        for c in 0..channels {
            let sums = windowed(&along, c, by.size);
            let here = c * pixels + at..c * pixels + at + width;
            let values = g[here.clone()].iter_mut().zip(&x[here]).zip(factors[c].iter().zip(&sums));
            for ((g, x), (factor, sum)) in values {
                *g = *g * factor - twice * x * sum;
            }
        }
    }
}

/// A window over one channel at a time. Planes are split into as many as the stride has steps in each direction, with a
/// border of zeros, so that what a tap of the window reads follows each other in memory.
#[derive(Debug, Clone)]
pub struct ChannelWindow {
    window: (usize, usize),
    stride: usize,
    padding: (usize, usize),
    map: (usize, usize),
    result: (usize, usize),
    /// Rows and columns of each of the split planes.
    phase: (usize, usize),
    /// Where in the split planes each tap begins.
    taps: Vec<usize>,
}

/// Values of a row of results in registers.
const CHUNK: usize = 4 * LANES;

impl ChannelWindow {
    /// A `window` over planes of `map` at `stride`.
    ///
    /// # Panics
    /// When a plane with its padding is smaller than the window, or the stride is none.
    pub fn new(window: (usize, usize), stride: usize, padding: (usize, usize), map: (usize, usize)) -> Self {
        let results = |length: usize, padding: usize, window: usize| {
            assert!(window > 0 && stride > 0 && length + 2 * padding >= window, "a plane of at least one window");
            (length + 2 * padding - window) / stride + 1
        };
        let result = (results(map.0, padding.0, window.0), results(map.1, padding.1, window.1));
        let phase = ((map.0 + 2 * padding.0).div_ceil(stride), (map.1 + 2 * padding.1).div_ceil(stride));
        let own = Self { window, stride, padding, map, result, phase, taps: Vec::new() };
        let tap = |tap: usize| {
            let (y, x) = (tap / window.1, tap % window.1);
            let split = (y % stride) * stride + x % stride;
            split * own.phase_length() + (y / stride) * phase.1 + x / stride
        };
        let taps = (0..window.0 * window.1).map(tap).collect();
        Self { taps, ..own }
    }

    /// Rows and columns of the results.
    pub fn result(&self) -> (usize, usize) {
        self.result
    }

    fn phase_length(&self) -> usize {
        // Taps read a whole chunk, from as far as a window reaches.
        self.phase.0 * self.phase.1 + CHUNK + self.phase.1
    }

    /// For each row of a plane and each of its columns' phases: the row, the first column, and where that stands in the split
    /// planes; columns a stride apart follow each other there.
    fn each_run(&self, mut run: impl FnMut(usize, usize, usize)) {
        let s = self.stride;
        for y in 0..self.map.0 {
            let above = y + self.padding.0;
            let base = (above % s) * s * self.phase_length() + (above / s) * self.phase.1;
            for first in 0..s.min(self.map.1) {
                let left = first + self.padding.1;
                run(y, first, base + (left % s) * self.phase_length() + left / s);
            }
        }
    }

    /// Splits a plane; `split` holds zeros where nothing of the plane goes.
    fn split(&self, plane: &[f32], split: &mut [f32]) {
        let columns = self.map.1;
        self.each_run(|y, first, to| {
            let row = &plane[y * columns..][..columns];
            match self.stride {
                1 => split[to..to + columns].copy_from_slice(row),
                stride => {
                    let values = row[first..].iter().step_by(stride);
                    split[to..].iter_mut().zip(values).for_each(|(to, value)| *to = *value);
                }
            }
        });
    }

    /// Values between which results stand, a row of them as long as a row of a split plane.
    fn spread(&self) -> usize {
        (self.result.0 - 1) * self.phase.1 + self.result.1
    }

    /// Memory for one plane after the other; `border` stands around them: nought for sums, minus infinity for the greatest.
    pub fn scratch(&self, border: f32) -> WindowScratch {
        let split = vec![border; self.stride * self.stride * self.phase_length()];
        let spread = vec![0.0; self.spread().next_multiple_of(CHUNK) + CHUNK];
        WindowScratch { gradients: vec![0.0; split.len()], places: vec![0; spread.len()], split, spread }
    }

    /// Writes the greatest of each window and which of its taps that is, the first of equal ones; what is no number wins.
    ///
    /// # Panics
    /// When there are not as many values as the sizes say.
    pub fn greatest(&self, plane: &[f32], scratch: &mut WindowScratch, out: &mut [f32], taps: &mut [u8], simd: Simd) {
        let (rows, columns) = self.result;
        assert!(plane.len() == self.map.0 * self.map.1 && out.len() == rows * columns && out.len() == taps.len());
        assert!(self.taps.len() <= 256, "a tap's number in eight bits");
        self.split(plane, &mut scratch.split);
        let WindowScratch { split, spread, places, .. } = scratch;
        // SAFETY: as in `sum`.
        unsafe { by_path!(simd => greatest(self, split, spread, places)) }
        for y in 0..rows {
            let here = y * self.phase.1..y * self.phase.1 + columns;
            out[y * columns..][..columns].copy_from_slice(&spread[here.clone()]);
            taps[y * columns..][..columns].iter_mut().zip(&places[here]).for_each(|(to, tap)| *to = *tap as u8);
        }
    }

    /// Adds each gradient to the plane's value that was the greatest of its window.
    ///
    /// # Panics
    /// As [`Self::greatest`].
    pub fn greatest_back(&self, taps: &[u8], gradients: &[f32], d_plane: &mut [f32]) {
        let (rows, columns) = self.result;
        assert!(d_plane.len() == self.map.0 * self.map.1 && gradients.len() == rows * columns);
        assert_eq!(gradients.len(), taps.len(), "a tap for each gradient");
        for y in 0..rows {
            for x in 0..columns {
                let tap = usize::from(taps[y * columns + x]);
                let row = (y * self.stride + tap / self.window.1).checked_sub(self.padding.0);
                let column = (x * self.stride + tap % self.window.1).checked_sub(self.padding.1);
                // The border is the greatest where all of the window is minus infinity.
                if let (Some(row), Some(column)) = (row, column)
                    && row < self.map.0
                    && column < self.map.1
                {
                    d_plane[row * self.map.1 + column] += gradients[y * columns + x];
                }
            }
        }
    }

    /// Writes the window's sums over a plane, each value times its tap.
    ///
    /// # Panics
    /// When there are not as many values as the sizes say.
    pub fn forward(&self, plane: &[f32], taps: &[f32], scratch: &mut WindowScratch, out: &mut [f32], simd: Simd) {
        let (rows, columns) = self.result;
        assert!(plane.len() == self.map.0 * self.map.1 && taps.len() == self.taps.len() && out.len() == rows * columns);
        self.split(plane, &mut scratch.split);
        let (split, spread) = (&scratch.split, &mut scratch.spread);
        // SAFETY: as in `sum`; a tap reads from its beginning as many values as are written, which every split plane has
        // behind any tap's beginning.
        unsafe { by_path!(simd => window(self, split, taps, spread)) }
        for (y, out) in out.chunks_exact_mut(columns).enumerate() {
            out.copy_from_slice(&spread[y * self.phase.1..][..columns]);
        }
    }

    /// Adds the taps' gradients to `d_taps`, where there are to be any, and writes those of the plane to `d_plane`.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn backward(
        &self,
        plane: &[f32],
        taps: &[f32],
        gradients: &[f32],
        scratch: &mut WindowScratch,
        d_taps: Option<&mut [f32]>,
        d_plane: &mut [f32],
        simd: Simd,
    ) {
        let (rows, columns) = self.result;
        assert!(d_plane.len() == self.map.0 * self.map.1 && taps.len() == self.taps.len());
        assert_eq!(gradients.len(), rows * columns, "a gradient for each result");
        scratch.spread.fill(0.0);
        for (y, row) in gradients.chunks_exact(columns).enumerate() {
            scratch.spread[y * self.phase.1..][..columns].copy_from_slice(row);
        }
        if let Some(d_taps) = d_taps {
            assert!(plane.len() == d_plane.len() && d_taps.len() == taps.len(), "as many values as the sizes say");
            self.split(plane, &mut scratch.split);
            let (split, spread) = (&scratch.split, &scratch.spread);
            // SAFETY: as in `forward`.
            unsafe { by_path!(simd => window_taps(self, split, spread, d_taps)) }
        }
        scratch.gradients.fill(0.0);
        let (into, spread) = (&mut scratch.gradients, &scratch.spread);
        // SAFETY: as in `forward`, and what is behind the results is zero.
        unsafe { by_path!(simd => window_back(self, spread, taps, into)) }
        let (into, width) = (&scratch.gradients, self.map.1);
        self.each_run(|y, first, from| {
            let row = &mut d_plane[y * width..][..width];
            match self.stride {
                1 => row.copy_from_slice(&into[from..from + width]),
                stride => {
                    let values = row[first..].iter_mut().step_by(stride);
                    values.zip(&into[from..]).for_each(|(to, value)| *to = *value);
                }
            }
        });
    }
}

/// Memory of a [`ChannelWindow`].
pub struct WindowScratch {
    split: Vec<f32>,
    gradients: Vec<f32>,
    spread: Vec<f32>,
    places: Vec<u32>,
}

#[inline(always)]
fn greatest_body(of: &ChannelWindow, split: &[f32], out: &mut [f32], places: &mut [u32]) {
    let chunks = out.as_chunks_mut::<CHUNK>().0.iter_mut().zip(places.as_chunks_mut::<CHUNK>().0);
    for (at, (out, places)) in (0..of.spread()).step_by(CHUNK).zip(chunks) {
        let (mut best, mut taken) = ([f32::NEG_INFINITY; CHUNK], [0u32; CHUNK]);
        for (tap, begin) in of.taps.iter().enumerate() {
            let from = &split[begin + at..][..CHUNK];
            for i in 0..CHUNK {
                let takes = from[i] > best[i] || from[i].is_nan();
                best[i] = if takes { from[i] } else { best[i] };
                taken[i] = if takes { tap as u32 } else { taken[i] };
            }
        }
        (*out, *places) = (best, taken);
    }
}

/// # Safety
/// The processor has the instructions of `L`; each tap may be read over the chunks of `out` that hold results.
#[inline(always)]
unsafe fn window_body<L: Lanes>(of: &ChannelWindow, split: &[f32], taps: &[f32], out: &mut [f32]) {
    for at in (0..of.spread()).step_by(CHUNK) {
        // SAFETY: handed on to the caller.
        unsafe {
            let mut sums = [L::splat(&0.0); CHUNK / LANES];
            for (begin, weight) in of.taps.iter().zip(taps) {
                let from = split.as_ptr().add(begin + at);
                let weight = L::splat(weight);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = L::multiply_add(weight, L::load(from.add(n * LANES)), *sum);
                }
            }
            for (n, sum) in sums.iter().enumerate() {
                L::store(out.as_mut_ptr().add(at + n * LANES), *sum);
            }
        }
    }
}

/// # Safety
/// As for [`window_body`].
#[inline(always)]
unsafe fn window_taps_body<L: Lanes>(of: &ChannelWindow, split: &[f32], gradients: &[f32], d_taps: &mut [f32]) {
    for (begin, d_tap) in of.taps.iter().zip(d_taps) {
        // SAFETY: handed on to the caller.
        unsafe {
            let mut sums = [L::splat(&0.0); CHUNK / LANES];
            for at in (0..of.spread()).step_by(CHUNK) {
                let (from, by) = (split.as_ptr().add(begin + at), gradients.as_ptr().add(at));
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = L::multiply_add(L::load(by.add(n * LANES)), L::load(from.add(n * LANES)), *sum);
                }
            }
            let mut values = [0f32; CHUNK];
            for (n, sum) in sums.iter().enumerate() {
                L::store(values.as_mut_ptr().add(n * LANES), *sum);
            }
            *d_tap += total(&values);
        }
    }
}

/// # Safety
/// As for [`window_body`], where `into` is written as well.
#[inline(always)]
unsafe fn window_back_body<L: Lanes>(of: &ChannelWindow, gradients: &[f32], taps: &[f32], into: &mut [f32]) {
    for (begin, weight) in of.taps.iter().zip(taps) {
        for at in (0..of.spread()).step_by(LANES) {
            // SAFETY: handed on to the caller.
            unsafe {
                let to = into.as_mut_ptr().add(begin + at);
                let gradient = L::load(gradients.as_ptr().add(at));
                L::store(to, L::multiply_add(L::splat(weight), gradient, L::load(to)));
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
                fn greatest(of: &ChannelWindow, split: &[f32], out: &mut [f32], places: &mut [u32]) = greatest_body(of, split, out, places);
                fn window(of: &ChannelWindow, split: &[f32], taps: &[f32], out: &mut [f32]) = window_body::<$lanes>(of, split, taps, out);
                fn window_taps(of: &ChannelWindow, split: &[f32], gradients: &[f32], d_taps: &mut [f32]) = window_taps_body::<$lanes>(of, split, gradients, d_taps);
                fn window_back(of: &ChannelWindow, gradients: &[f32], taps: &[f32], into: &mut [f32]) = window_back_body::<$lanes>(of, gradients, taps, into);
            );
        }
    };
}
for_each_path!(path);
