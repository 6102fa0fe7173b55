//! Convolution and pooling with gradients. On the processor they are operations of our own: im2col and one GEMM a face in
//! each direction, faces side by side, sums over faces in their order, so that the same batch gives the same bits. On
//! accelerators they are the tensor library's.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::pointwise::{slice, values};

/// How a kernel runs over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convolved {
    pub stride: usize,
    pub padding: usize,
    pub depthwise: bool,
}

/// `[n, c, h, w]` convolved with `[out, c, k, k]`, or `[c, 1, k, k]` where each channel is by itself.
pub(crate) fn convolve(x: &Tensor, weight: &Tensor, how: Convolved) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return x.contiguous()?.apply_op2(&weight.contiguous()?, how);
    }
    let groups = if how.depthwise { weight.dim(0)? } else { 1 };
    x.conv2d(weight, how.padding, how.stride, 1, groups)
}

/// Sizes of a convolution.
#[derive(Clone, Copy)]
struct Sizes {
    faces: usize,
    inputs: usize,
    outputs: usize,
    map: (usize, usize),
    result: (usize, usize),
    kernel: usize,
}

impl Convolved {
    fn sizes(self, x: &Shape, weight: &Shape) -> Result<Sizes> {
        let (faces, inputs, rows, columns) = x.dims4()?;
        let (outputs, taken, kernel, across) = weight.dims4()?;
        let fits = if self.depthwise { taken == 1 && outputs == inputs } else { taken == inputs };
        let least = rows.min(columns) + 2 * self.padding;
        if !fits || kernel != across || least < kernel || self.stride == 0 {
            bail!("a kernel {weight:?} does not fit a map {x:?}");
        }
        let length = |length: usize| (length + 2 * self.padding - kernel) / self.stride + 1;
        Ok(Sizes { faces, inputs, outputs, map: (rows, columns), result: (length(rows), length(columns)), kernel })
    }

    /// For kernel column `k` and a row of `from` pixels: the first result pixel that reads inside it, and one past the last.
    fn span(self, k: usize, from: usize, to: usize) -> (usize, usize) {
        let first = self.padding.saturating_sub(k).div_ceil(self.stride);
        // from > o * stride + k - padding
        let past = if from + self.padding > k { (from + self.padding - k - 1) / self.stride + 1 } else { 0 };
        (first.min(to), past.min(to).max(first.min(to)))
    }

    /// Every patch of a face: row `(channel, ky, kx)`, column `(y, x)` of the result.
    fn patches(self, face: &[f32], s: &Sizes, out: &mut [f32]) {
        let (pixels, across) = (s.result.0 * s.result.1, s.result.1);
        self.each_line(s, |plane, row, from, to, (first, past), begin| {
            let line = &mut out[row * pixels + to * across..][..across];
            line[..first].fill(0.0);
            line[past..].fill(0.0);
            match from {
                Some(y) => {
                    let source = &face[plane * s.map.0 * s.map.1 + y * s.map.1..][..s.map.1];
                    if self.stride == 1 {
                        line[first..past].copy_from_slice(&source[begin..begin + past - first]);
                    } else {
                        for (i, value) in line[first..past].iter_mut().enumerate() {
                            *value = source[begin + i * self.stride];
                        }
                    }
                }
                None => line[first..past].fill(0.0),
            }
        });
    }

    /// The other way: adds each patch to the place that it was taken from.
    fn scatter(self, patches: &[f32], s: &Sizes, face: &mut [f32]) {
        let (pixels, across) = (s.result.0 * s.result.1, s.result.1);
        self.each_line(s, |plane, row, from, to, (first, past), begin| {
            let Some(y) = from else { return };
            let line = &patches[row * pixels + to * across..][..across];
            let target = &mut face[plane * s.map.0 * s.map.1 + y * s.map.1..][..s.map.1];
            for (i, value) in line[first..past].iter().enumerate() {
                target[begin + i * self.stride] += value;
            }
        });
    }

    /// Calls `line` for each row of patches and each row of the result: channel, row of patches, the map's row (none in the
    /// padding), the result's row, the part of it that reads inside the map, and where in the map that begins.
    fn each_line(self, s: &Sizes, mut line: impl FnMut(usize, usize, Option<usize>, usize, (usize, usize), usize)) {
        for plane in 0..s.inputs {
            for ky in 0..s.kernel {
                for kx in 0..s.kernel {
                    let row = (plane * s.kernel + ky) * s.kernel + kx;
                    let span = self.span(kx, s.map.1, s.result.1);
                    let begin = (span.0 * self.stride + kx).saturating_sub(self.padding);
                    for to in 0..s.result.0 {
                        let from = (to * self.stride + ky).checked_sub(self.padding).filter(|y| *y < s.map.0);
                        line(plane, row, from, to, span, begin);
                    }
                }
            }
        }
    }

    fn forward(self, x: &[f32], weight: &[f32], s: &Sizes) -> Result<Vec<f32>> {
        let (pixels, depth) = (s.result.0 * s.result.1, s.inputs * s.kernel * s.kernel);
        let mut y = vec![0f32; s.faces * s.outputs * pixels];
        let faces = x.par_chunks(s.inputs * s.map.0 * s.map.1).zip(y.par_chunks_mut(s.outputs * pixels));
        if self.depthwise {
            faces.for_each(|(face, y)| self.depthwise(face, weight, s, y));
            return Ok(y);
        }
        let matrix = Tensor::from_slice(weight, (s.outputs, depth), &Device::Cpu)?;
        faces.try_for_each(|(face, y)| {
            let columns = self.columns(face, s, depth, pixels)?;
            y.copy_from_slice(&matrix.matmul(&columns)?.flatten_all()?.to_vec1::<f32>()?);
            Ok::<(), candle_core::Error>(())
        })?;
        Ok(y)
    }

    fn columns(self, face: &[f32], s: &Sizes, depth: usize, pixels: usize) -> Result<Tensor> {
        if s.kernel == 1 && self.stride == 1 && self.padding == 0 {
            return Tensor::from_slice(face, (depth, pixels), &Device::Cpu);
        }
        let mut columns = vec![0f32; depth * pixels];
        self.patches(face, s, &mut columns);
        Tensor::from_vec(columns, (depth, pixels), &Device::Cpu)
    }

    fn depthwise(self, face: &[f32], weight: &[f32], s: &Sizes, y: &mut [f32]) {
        let (area, pixels, across) = (s.map.0 * s.map.1, s.result.0 * s.result.1, s.result.1);
        let taps = s.kernel * s.kernel;
        self.each_line(s, |plane, row, from, to, (first, past), begin| {
            let Some(from) = from else { return };
            let tap = weight[plane * taps + row % taps];
            let source = &face[plane * area + from * s.map.1..][..s.map.1];
            let line = &mut y[plane * pixels + to * across..][..across];
            for (i, value) in line[first..past].iter_mut().enumerate() {
                *value += tap * source[begin + i * self.stride];
            }
        });
    }

    /// Gradients of the map and of the kernel.
    fn backward(self, x: &[f32], weight: &[f32], grad: &[f32], s: &Sizes) -> Result<(Vec<f32>, Vec<f32>)> {
        let (pixels, depth) = (s.result.0 * s.result.1, s.inputs * s.kernel * s.kernel);
        let area = s.inputs * s.map.0 * s.map.1;
        let matrix = match self.depthwise {
            true => None,
            false => Some(Tensor::from_slice(weight, (s.outputs, depth), &Device::Cpu)?.t()?.contiguous()?),
        };
        let mut dx = vec![0f32; x.len()];
        let mut dw = vec![0f64; weight.len()];
        // A few faces at a time, so that the kernel's gradients of all of them are never in memory together.
        let together = rayon::current_num_threads().max(1) * 2;
        for first in (0..s.faces).step_by(together) {
            let count = together.min(s.faces - first);
            let parts: Vec<Vec<f32>> = dx[first * area..][..count * area]
                .par_chunks_mut(area)
                .enumerate()
                .map(|(i, dx)| {
                    let face = &x[(first + i) * area..][..area];
                    let dy = &grad[(first + i) * s.outputs * pixels..][..s.outputs * pixels];
                    match &matrix {
                        None => Ok(self.depthwise_backward(face, weight, dy, s, dx)),
                        Some(matrix) => {
                            let dy = Tensor::from_slice(dy, (s.outputs, pixels), &Device::Cpu)?;
                            let columns = self.columns(face, s, depth, pixels)?;
                            let dw = dy.matmul(&columns.t()?)?.flatten_all()?.to_vec1::<f32>()?;
                            self.scatter(&matrix.matmul(&dy)?.flatten_all()?.to_vec1::<f32>()?, s, dx);
                            Ok(dw)
                        }
                    }
                })
                .collect::<Result<_>>()?;
            parts.iter().for_each(|part| dw.iter_mut().zip(part).for_each(|(sum, v)| *sum += f64::from(*v)));
        }
        Ok((dx, dw.into_iter().map(|v| v as f32).collect()))
    }

    fn depthwise_backward(self, face: &[f32], weight: &[f32], dy: &[f32], s: &Sizes, dx: &mut [f32]) -> Vec<f32> {
        let (area, pixels, across) = (s.map.0 * s.map.1, s.result.0 * s.result.1, s.result.1);
        let taps = s.kernel * s.kernel;
        let mut dw = vec![0f32; weight.len()];
        self.each_line(s, |plane, row, from, to, (first, past), begin| {
            let Some(from) = from else { return };
            let tap = plane * taps + row % taps;
            let source = &face[plane * area + from * s.map.1..][..s.map.1];
            let target = &mut dx[plane * area + from * s.map.1..][..s.map.1];
            let line = &dy[plane * pixels + to * across..][..across];
            let mut sum = 0.0;
            for (i, value) in line[first..past].iter().enumerate() {
                let at = begin + i * self.stride;
                sum += value * source[at];
                target[at] += value * weight[tap];
            }
            dw[tap] += sum;
        });
        dw
    }
}

impl CustomOp2 for Convolved {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let s = self.sizes(lx.shape(), lw.shape())?;
        let y = self.forward(slice(x, lx)?, slice(w, lw)?, &s)?;
        Ok((CpuStorage::F32(y), Shape::from((s.faces, s.outputs, s.result.0, s.result.1))))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let s = self.sizes(x.shape(), w.shape())?;
        let (dx, dw) = values(x, |x| values(w, |w| values(grad, |grad| self.backward(x, w, grad, &s))))?;
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
        Ok((Some(dx), Some(Tensor::from_vec(dw, w.shape(), w.device())?)))
    }
}

/// The greatest of each square window, with `padding` around that no window takes.
pub(crate) fn max_pool(x: &Tensor, window: usize, stride: usize, padding: usize) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return x.contiguous()?.apply_op1(Greatest { window, stride, padding });
    }
    windows(x, window, stride, padding, f64::MIN_POSITIVE - f64::from(f32::MAX), |a, b| a.maximum(b))
}

/// Joins the values of each square window by `join`, row by row and column by column; `beyond` stands in the padding.
pub(crate) fn windows(
    x: &Tensor,
    window: usize,
    stride: usize,
    padding: usize,
    beyond: f64,
    join: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut x = x.clone();
    for axis in [2, 3] {
        if padding > 0 {
            let mut dims = x.dims().to_vec();
            dims[axis] = padding;
            let edge = Tensor::zeros(dims, x.dtype(), x.device())?.affine(0.0, beyond)?;
            x = Tensor::cat(&[&edge, &x, &edge], axis)?;
        }
        let length = x.dim(axis)?;
        if length < window {
            bail!("a window of {window} over {length}");
        }
        let count = length - window + 1;
        let mut joined = x.narrow(axis, 0, count)?;
        for shift in 1..window {
            joined = join(&joined, &x.narrow(axis, shift, count)?)?;
        }
        x = match stride {
            1 => joined,
            _ => {
                let places: Vec<u32> = (0..count as u32).step_by(stride).collect();
                joined.contiguous()?.index_select(&Tensor::new(places, x.device())?, axis)?
            }
        };
    }
    Ok(x)
}

/// Max pooling on the processor; of equal values the first counts, as in torch.
struct Greatest {
    window: usize,
    stride: usize,
    padding: usize,
}

impl Greatest {
    fn result(&self, x: &Shape) -> Result<(usize, usize)> {
        let (_, _, rows, columns) = x.dims4()?;
        if rows.min(columns) + 2 * self.padding < self.window || 2 * self.padding > self.window || self.stride == 0 {
            bail!("a window of {} at {} does not fit a map {x:?}", self.window, self.padding);
        }
        let length = |length: usize| (length + 2 * self.padding - self.window) / self.stride + 1;
        Ok((length(rows), length(columns)))
    }

    /// Place of the greatest value of each window of a plane.
    fn places(&self, plane: &[f32], (rows, columns): (usize, usize), result: (usize, usize)) -> Vec<usize> {
        let inside = |to: usize, length: usize| {
            let from = to * self.stride;
            from.saturating_sub(self.padding)..(from + self.window).saturating_sub(self.padding).min(length)
        };
        let mut places = Vec::with_capacity(result.0 * result.1);
        for y in 0..result.0 {
            for x in 0..result.1 {
                let mut best = None;
                for row in inside(y, rows) {
                    for column in inside(x, columns) {
                        let at = row * columns + column;
                        // A value that is no number wins, so that it is seen further on.
                        if best.is_none_or(|b: usize| plane[at] > plane[b] || plane[at].is_nan()) {
                            best = Some(at);
                        }
                    }
                }
                places.push(best.unwrap_or(0));
            }
        }
        places
    }
}

impl CustomOp1 for Greatest {
    fn name(&self) -> &'static str {
        "max pooling"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, channels, rows, columns) = layout.shape().dims4()?;
        let result = self.result(layout.shape())?;
        let planes = slice(x, layout)?.par_chunks(rows * columns);
        let pooled = planes.map(|plane| {
            self.places(plane, (rows, columns), result).into_iter().map(|at| plane[at]).collect::<Vec<f32>>()
        });
        let pooled: Vec<Vec<f32>> = pooled.collect();
        Ok((CpuStorage::F32(pooled.concat()), Shape::from((n, channels, result.0, result.1))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, rows, columns) = x.dims4()?;
        let result = self.result(x.shape())?;
        let dx = values(x, |x| {
            values(grad, |grad| {
                let mut dx = vec![0f32; x.len()];
                let planes = x.par_chunks(rows * columns).zip(grad.par_chunks(result.0 * result.1));
                dx.par_chunks_mut(rows * columns).zip(planes).for_each(|(dx, (plane, grad))| {
                    let places = self.places(plane, (rows, columns), result);
                    places.into_iter().zip(grad).for_each(|(at, g)| dx[at] += g);
                });
                Ok(dx)
            })
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}
