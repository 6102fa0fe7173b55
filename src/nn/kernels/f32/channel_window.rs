//! Windows over one channel at a time, as training has them: planes rather than pixels, and gradients; see
//! [`crate::f32::planes`].

use crate::f32::total::total;
use crate::lanes::paths::{by_path, compiled, for_each_path};
use crate::lanes::{LANES, Lanes};
use crate::simd::Simd;

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
        // SAFETY: a `Simd` is only made where the processor has its instructions.
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
        // SAFETY: a `Simd` is only made where the processor has its instructions; a tap reads from its beginning as many values as are written, which every split plane has
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
    #[expect(clippy::too_many_arguments, reason = "two gradients, and what each takes")]
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
                fn greatest(of: &ChannelWindow, split: &[f32], out: &mut [f32], places: &mut [u32]) = greatest_body(of, split, out, places);
                fn window(of: &ChannelWindow, split: &[f32], taps: &[f32], out: &mut [f32]) = window_body::<$lanes>(of, split, taps, out);
                fn window_taps(of: &ChannelWindow, split: &[f32], gradients: &[f32], d_taps: &mut [f32]) = window_taps_body::<$lanes>(of, split, gradients, d_taps);
                fn window_back(of: &ChannelWindow, gradients: &[f32], taps: &[f32], into: &mut [f32]) = window_back_body::<$lanes>(of, gradients, taps, into);
            );
        }
    };
}
for_each_path!(path);
