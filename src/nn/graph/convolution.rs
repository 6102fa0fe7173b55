//! Convolution with its gradients on the processor: im2col over a stretch of rows, whose patches stay in a core's cache, and
//! a GEMM for each direction. Faces are dealt to as many parts as threads keep busy; the kernel's gradient is summed inside
//! a part and then over parts in their order, so that the same batch gives the same bits with as many threads.

use std::ops::Range;

use candle_core::{Result, bail};
use kith_kernels::planes::{ChannelWindow, WindowScratch};
use kith_kernels::{Matrix, Simd, multiply};
use rayon::prelude::*;

use super::layer::Shape;

/// How a kernel runs over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convolved {
    pub stride: usize,
    pub padding: (usize, usize),
    pub depthwise: bool,
}

/// Values of patches that are made at a time: half of an L2 cache of two megabytes.
const PATCHES: usize = 256 * 1024;
/// Pixels of a result from which on a face fills a product's tiles; of smaller maps several faces go together,
const FULL: usize = 128;
/// but no more than these, or there were nothing to deal to threads.
const TOGETHER: usize = 4;

/// A convolution of maps of one size.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    how: Convolved,
    inputs: usize,
    outputs: usize,
    map: (usize, usize),
    result: (usize, usize),
    kernel: (usize, usize),
    simd: Simd,
}

impl Convolution {
    /// Of maps of that shape by a kernel `[outputs, inputs, rows, columns]`, where a depthwise one has one input.
    pub fn new(how: Convolved, map: Shape, kernel: &[usize], simd: Simd) -> Result<Self> {
        let &[outputs, taken, rows, columns] = kernel else { bail!("a kernel of {kernel:?}") };
        let fits = if how.depthwise { taken == 1 && outputs == map.channels } else { taken == map.channels };
        let small = map.rows + 2 * how.padding.0 < rows || map.columns + 2 * how.padding.1 < columns;
        if !fits || small || how.stride == 0 || rows * columns == 0 {
            bail!("a kernel {kernel:?} does not fit a map {map:?}");
        }
        let length = |length: usize, padding: usize, kernel: usize| (length + 2 * padding - kernel) / how.stride + 1;
        let result = (length(map.rows, how.padding.0, rows), length(map.columns, how.padding.1, columns));
        let (inputs, map, kernel) = (map.channels, (map.rows, map.columns), (rows, columns));
        Ok(Self { how, inputs, outputs, map, result, kernel, simd })
    }

    /// What it makes of a map.
    pub fn result(&self) -> Shape {
        Shape { channels: self.outputs, rows: self.result.0, columns: self.result.1 }
    }

    fn pixels(&self) -> usize {
        self.result.0 * self.result.1
    }

    /// Values of a face, and of what is made of it.
    fn lengths(&self) -> (usize, usize) {
        (self.inputs * self.map.0 * self.map.1, self.outputs * self.pixels())
    }

    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    fn depth(&self) -> usize {
        self.inputs * self.taps()
    }

    /// Whether patches are the map as it is.
    fn is_plain(&self) -> bool {
        self.kernel == (1, 1) && self.how.stride == 1 && self.how.padding == (0, 0)
    }

    fn window(&self) -> ChannelWindow {
        ChannelWindow::new(self.kernel, self.how.stride, self.how.padding, self.map)
    }

    /// Faces whose small maps go through one product.
    fn together(&self) -> usize {
        (FULL / self.pixels()).clamp(1, TOGETHER)
    }

    /// Rows of the result whose patches are made at a time.
    fn rows(&self) -> usize {
        if self.is_plain() {
            return self.result.0;
        }
        (PATCHES / (self.depth() * self.result.1 * self.together())).clamp(1, self.result.0)
    }

    fn stretches(&self) -> impl Iterator<Item = Range<usize>> {
        let (rows, all) = (self.rows(), self.result.0);
        (0..all).step_by(rows).map(move |first| first..(first + rows).min(all))
    }

    /// For kernel column `k`: the first result pixel of a row that reads inside the map, and one past the last.
    fn span(&self, k: usize) -> (usize, usize) {
        let (stride, padding, from, to) = (self.how.stride, self.how.padding.1, self.map.1, self.result.1);
        let first = padding.saturating_sub(k).div_ceil(stride);
        let past = if from + padding > k { (from + padding - k - 1) / stride + 1 } else { 0 };
        (first.min(to), past.min(to).max(first.min(to)))
    }

    /// Calls `line` for each row of patches and each of these rows of the result: where in the face the map's row begins
    /// (none in the padding), the row of patches, the number of the result's row, and the part of it that reads inside the
    /// map with its first column there.
    fn each_line(&self, rows: &Range<usize>, mut line: impl FnMut(Option<usize>, usize, usize, (usize, usize), usize)) {
        for kx in 0..self.kernel.1 {
            let span = self.span(kx);
            let begin = (span.0 * self.how.stride + kx).saturating_sub(self.how.padding.1);
            for plane in 0..self.inputs {
                for ky in 0..self.kernel.0 {
                    let patch = (plane * self.kernel.0 + ky) * self.kernel.1 + kx;
                    for (number, to) in rows.clone().enumerate() {
                        let from = (to * self.how.stride + ky).checked_sub(self.how.padding.0);
                        let from = from.filter(|y| *y < self.map.0).map(|y| (plane * self.map.0 + y) * self.map.1);
                        line(from, patch, number, span, begin);
                    }
                }
            }
        }
    }

    /// The patches of a face for these rows of the result, from `at` on in rows of `width` values.
    fn patches(&self, face: &[f32], rows: &Range<usize>, width: usize, at: usize, out: &mut [f32]) {
        let (across, stride) = (self.result.1, self.how.stride);
        self.each_line(rows, |from, patch, number, (first, past), begin| {
            let line = &mut out[patch * width + at + number * across..][..across];
            let Some(from) = from else { return line.fill(0.0) };
            let source = &face[from..from + self.map.1];
            line[..first].fill(0.0);
            line[past..].fill(0.0);
            if first == past {
                return;
            }
            if stride == 1 {
                line[first..past].copy_from_slice(&source[begin..begin + past - first]);
            } else {
                let values = source[begin..].iter().step_by(stride);
                line[first..past].iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            }
        });
    }

    /// The other way: adds each patch to the place that it was taken from.
    fn scatter(&self, patches: &[f32], rows: &Range<usize>, width: usize, at: usize, face: &mut [f32]) {
        let (across, stride) = (self.result.1, self.how.stride);
        self.each_line(rows, |from, patch, number, (first, past), begin| {
            let Some(from) = from.filter(|_| first < past) else { return };
            let line = &patches[patch * width + at + number * across..][..across];
            let target = &mut face[from..from + self.map.1][begin..];
            if stride == 1 {
                target.iter_mut().zip(&line[first..past]).for_each(|(to, value)| *to += value);
            } else {
                target.iter_mut().step_by(stride).zip(&line[first..past]).for_each(|(to, value)| *to += value);
            }
        });
    }

    /// The results of faces `[n, inputs, ..]`, with `bias` where there is one and a ReLU where that is asked for.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, relu: bool, y: &mut [f32]) {
        let ((from, to), group) = (self.lengths(), self.together());
        let after = |y: &mut [f32]| {
            if bias.is_none() && !relu {
                return;
            }
            for (channel, plane) in y.chunks_exact_mut(self.pixels()).enumerate() {
                let bias = bias.map_or(0.0, |bias| bias[channel % self.outputs]);
                kith_kernels::planes::biased(plane, bias, relu, self.simd);
            }
        };
        if self.how.depthwise {
            let window = self.window();
            let faces = x.par_chunks_exact(from).zip(y.par_chunks_exact_mut(to));
            return faces.for_each_init(
                || window.scratch(0.0),
                |scratch, (face, y)| {
                    self.depthwise(&window, face, weight, scratch, y);
                    after(y);
                },
            );
        }
        let kernel = || Matrix::new(weight, self.outputs, self.depth(), self.depth());
        let faces = x.par_chunks(from * group).zip(y.par_chunks_mut(to * group));
        faces.for_each_init(Default::default, |(memory, product): &mut (Vec<f32>, Vec<f32>), (faces, y)| {
            let count = faces.len() / from;
            for rows in self.stretches() {
                let patches = self.patches_of(faces, count, &rows, memory);
                let width = count * rows.len() * self.result.1;
                if count == 1 {
                    multiply(kernel(), patches, &mut y[rows.start * self.result.1..], self.pixels(), false);
                    continue;
                }
                product.resize(self.outputs * width, 0.0);
                multiply(kernel(), patches, product, width, false);
                self.each_row_together(count, &rows, |there, together, length| {
                    y[there..there + length].copy_from_slice(&product[together..together + length]);
                });
            }
            after(y);
        });
    }

    /// The patches of some faces for these rows as a matrix: in `memory`, where they are not the faces themselves.
    fn patches_of<'m>(
        &self,
        faces: &'m [f32],
        count: usize,
        rows: &Range<usize>,
        memory: &'m mut Vec<f32>,
    ) -> Matrix<'m> {
        let (depth, width) = (self.depth(), rows.len() * self.result.1);
        if count == 1 && self.is_plain() {
            return Matrix::new(&faces[rows.start * self.result.1..], depth, width, self.pixels());
        }
        memory.resize(depth * width * count, 0.0);
        for (i, face) in faces.chunks_exact(self.lengths().0).enumerate() {
            self.patches(face, rows, width * count, i * width, memory);
        }
        Matrix::new(memory, depth, width * count, width * count)
    }

    /// For some faces' results and these rows: where a channel's rows lie among the faces' own, where in the product of all
    /// of them, and how many values they are.
    fn each_row_together(&self, count: usize, rows: &Range<usize>, mut each: impl FnMut(usize, usize, usize)) {
        let length = rows.len() * self.result.1;
        for face in 0..count {
            for channel in 0..self.outputs {
                let there = (face * self.outputs + channel) * self.pixels() + rows.start * self.result.1;
                each(there, (channel * count + face) * length, length);
            }
        }
    }

    fn depthwise(
        &self,
        window: &ChannelWindow,
        face: &[f32],
        weight: &[f32],
        scratch: &mut WindowScratch,
        y: &mut [f32],
    ) {
        let planes = face.chunks_exact(self.map.0 * self.map.1).zip(weight.chunks_exact(self.taps()));
        for ((plane, taps), out) in planes.zip(y.chunks_exact_mut(self.pixels())) {
            window.forward(plane, taps, scratch, out, self.simd);
        }
    }

    /// Gradients of the maps, where `dx` has room for them, and of the kernel, where they are wanted.
    pub fn backward(
        &self,
        x: &[f32],
        weight: &[f32],
        grad: &[f32],
        dx: Option<&mut [f32]>,
        wants_kernel: bool,
    ) -> Option<Vec<f32>> {
        let (from, to) = self.lengths();
        let faces = x.len() / from;
        // Two parts a thread: one that is held up by another process holds up less.
        let each = faces.div_ceil(2 * rayon::current_num_threads().max(1)).next_multiple_of(self.together()).max(1);
        let part = |x: &[f32], grad: &[f32], dx: Option<&mut [f32]>| {
            let mut dw = vec![0f32; if wants_kernel { weight.len() } else { 0 }];
            match self.how.depthwise {
                true => self.depthwise_backward(x, weight, grad, dx, &mut dw),
                false => self.part_backward(x, weight, grad, dx, &mut dw),
            }
            dw
        };
        let parts = x.par_chunks(from * each).zip(grad.par_chunks(to * each));
        let parts: Vec<Vec<f32>> = match dx {
            Some(dx) => {
                let parts = parts.zip(dx.par_chunks_mut(from * each));
                parts.map(|((x, grad), dx)| part(x, grad, Some(dx))).collect()
            }
            None => parts.map(|(x, grad)| part(x, grad, None)).collect(),
        };
        let mut parts = parts.into_iter().filter(|_| wants_kernel);
        let mut total = parts.next()?;
        for part in parts {
            let both = total.par_chunks_mut(1 << 16).zip(part.par_chunks(1 << 16));
            both.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(sum, v)| *sum += v));
        }
        Some(total)
    }

    fn part_backward(&self, x: &[f32], weight: &[f32], grad: &[f32], mut dx: Option<&mut [f32]>, dw: &mut [f32]) {
        let ((from, to), group, depth) = (self.lengths(), self.together(), self.depth());
        let turned = || Matrix::new(weight, self.outputs, depth, depth).transposed();
        let (mut memory, mut gathered, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (faces, grad)) in x.chunks(from * group).zip(grad.chunks(to * group)).enumerate() {
            let count = faces.len() / from;
            let mut dx = dx.as_deref_mut().map(|dx| &mut dx[i * group * from..][..count * from]);
            if let Some(dx) = dx.as_deref_mut().filter(|_| !(count == 1 && self.is_plain())) {
                dx.fill(0.0);
            }
            for rows in self.stretches() {
                let width = count * rows.len() * self.result.1;
                let dy = if count == 1 {
                    Matrix::new(&grad[rows.start * self.result.1..], self.outputs, width, self.pixels())
                } else {
                    gathered.resize(self.outputs * width, 0.0);
                    self.each_row_together(count, &rows, |there, together, length| {
                        gathered[together..together + length].copy_from_slice(&grad[there..there + length]);
                    });
                    Matrix::new(&gathered, self.outputs, width, width)
                };
                if !dw.is_empty() {
                    let patches = self.patches_of(faces, count, &rows, &mut memory);
                    multiply(dy, patches.transposed(), dw, depth, true);
                }
                let Some(dx) = dx.as_deref_mut() else { continue };
                if count == 1 && self.is_plain() {
                    multiply(turned(), dy, &mut dx[rows.start * self.result.1..], self.pixels(), false);
                    continue;
                }
                back.resize(depth * width, 0.0);
                multiply(turned(), dy, &mut back, width, false);
                for (i, face) in dx.chunks_exact_mut(from).enumerate() {
                    self.scatter(&back, &rows, width, i * (width / count), face);
                }
            }
        }
    }

    fn depthwise_backward(&self, x: &[f32], weight: &[f32], grad: &[f32], mut dx: Option<&mut [f32]>, dw: &mut [f32]) {
        let window = self.window();
        let (mut scratch, (area, pixels, taps)) =
            (window.scratch(0.0), (self.map.0 * self.map.1, self.pixels(), self.taps()));
        let mut unused = vec![0f32; if dx.is_none() { area } else { 0 }];
        for (i, (plane, grad)) in x.chunks_exact(area).zip(grad.chunks_exact(pixels)).enumerate() {
            let own = i % self.outputs * taps..(i % self.outputs + 1) * taps;
            let to = dx.as_deref_mut().map_or(&mut unused[..], |dx| &mut dx[i * area..][..area]);
            let d_taps = if dw.is_empty() { None } else { Some(&mut dw[own.clone()]) };
            window.backward(plane, &weight[own], grad, &mut scratch, d_taps, to, self.simd);
        }
    }
}
