//! What a network does to each value by its channel, with gradients: batch normalisation, PReLU and biases. On the processor
//! each is one operation of our own, since the tensor library's sums over all but one axis, which their gradients are, take
//! most of a step; on accelerators it is the tensor library's.
//!
//! Sums are taken a plane at a time in f32 lanes and added up in f64 face after face, so that the same batch gives the same
//! bits with any number of threads.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

const LANES: usize = 16;

/// Whether a tensor is one that these operations take.
pub(crate) fn is_ours(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The values behind a contiguous layout.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage.as_slice::<f32>()?, layout.contiguous_offsets()) {
        (values, Some((from, to))) => Ok(&values[from..to]),
        _ => bail!("a tensor that is not contiguous"),
    }
}

/// Calls `with` on the values of a tensor in the processor's memory.
pub(super) fn values<R>(x: &Tensor, with: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => with(slice(storage, layout)?),
        _ => bail!("a tensor that is not in the processor's memory"),
    }
}

/// `[n, channels, ...]`: faces, channels, and the values of a plane.
#[derive(Clone, Copy)]
struct Planes {
    channels: usize,
    pixels: usize,
}

impl Planes {
    fn of(shape: &Shape) -> Result<Self> {
        match shape.dims() {
            [_, channels, rest @ ..] if shape.elem_count() > 0 => {
                Ok(Self { channels: *channels, pixels: rest.iter().product() })
            }
            dims => bail!("{dims:?} has no channels"),
        }
    }

    /// For each channel, the sums of what `of` says of its planes; `of` gets the channel and where its plane begins.
    fn sums<const K: usize>(self, length: usize, of: impl Fn(usize, usize) -> [f32; K] + Sync) -> Vec<[f64; K]> {
        let face = self.channels * self.pixels;
        let channel = |c: usize| {
            let mut sums = [0f64; K];
            for first in (0..length).step_by(face) {
                let part = of(c, first + c * self.pixels);
                sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += f64::from(v));
            }
            sums
        };
        (0..self.channels).into_par_iter().map(channel).collect()
    }

    /// Fills `out` plane by plane; `fill` gets the channel, where the plane begins, and the plane.
    fn fill(self, out: &mut [f32], fill: impl Fn(usize, usize, &mut [f32]) + Sync) {
        out.par_chunks_mut(self.pixels)
            .enumerate()
            .for_each(|(i, plane)| fill(i % self.channels, i * self.pixels, plane));
    }

    /// Values of a channel in a tensor of `length` values.
    fn count(self, length: usize) -> f64 {
        (length / self.channels) as f64
    }
}

/// The sum of `of` over pairs of values, in lanes.
fn sum<const K: usize>(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> [f32; K]) -> [f32; K] {
    let mut lanes = [[0f32; LANES]; K];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    let mut sums = [0f32; K];
    for (a, b) in rest {
        let part = of(*a, *b);
        (0..K).for_each(|k| sums[k] += part[k]);
    }
    for (a, b) in whole_a.zip(whole_b) {
        for i in 0..LANES {
            let part = of(a[i], b[i]);
            (0..K).for_each(|k| lanes[k][i] += part[k]);
        }
    }
    (0..K).for_each(|k| sums[k] += lanes[k].iter().sum::<f32>());
    sums
}

fn output(values: Vec<f32>, layout: &Layout) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), layout.shape().clone())
}

fn per_channel(sums: impl Iterator<Item = f64>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(sums.map(|v| v as f32).collect::<Vec<f32>>(), like.shape(), like.device())
}

/// Mean and (biased) variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

impl Moments {
    /// Those of `[n, channels, ...]`.
    pub fn of(x: &Tensor) -> Result<Self> {
        let planes = Planes::of(x.shape())?;
        values(x, |x| {
            let (count, plane) = (planes.count(x.len()), |from: usize| &x[from..from + planes.pixels]);
            let sums = planes.sums(x.len(), |_, from| sum(plane(from), plane(from), |v, _| [v]));
            let mean: Vec<f32> = sums.into_iter().map(|[v]| (v / count) as f32).collect();
            let squares =
                planes.sums(x.len(), |c, from| sum(plane(from), plane(from), |v, _| [(v - mean[c]) * (v - mean[c])]));
            let variance = squares.into_iter().map(|[v]| (v / count) as f32).collect();
            Ok(Self { mean, variance })
        })
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, each channel by its own moments. `own` says that they are those of
/// `x` itself, whose gradient then goes through them.
pub(crate) struct Normalised {
    pub moments: Moments,
    pub epsilon: f64,
    pub own: bool,
}

impl Normalised {
    /// See [`Normalised`].
    pub fn apply(self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, self)
    }

    fn inverse(&self, channel: usize) -> f32 {
        (1.0 / (f64::from(self.moments.variance[channel]) + self.epsilon).sqrt()) as f32
    }
}

impl CustomOp3 for Normalised {
    fn name(&self) -> &'static str {
        "batch normalisation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let planes = Planes::of(lx.shape())?;
        let (x, weight, bias) = (slice(x, lx)?, slice(w, lw)?, slice(b, lb)?);
        let of = [weight.len(), bias.len(), self.moments.mean.len(), self.moments.variance.len()];
        if of != [planes.channels; 4] {
            bail!("{} channels are normalised by {of:?} values", planes.channels);
        }
        let mut y = vec![0f32; x.len()];
        planes.fill(&mut y, |c, from, plane| {
            let scale = weight[c] * self.inverse(c);
            let shift = bias[c] - self.moments.mean[c] * scale;
            plane.iter_mut().zip(&x[from..]).for_each(|(y, x)| *y = x * scale + shift);
        });
        Ok(output(y, lx))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let planes = Planes::of(x.shape())?;
        let weight = w.to_vec1::<f32>()?;
        let (dx, sums) = values(x, |x| {
            values(grad, |grad| {
                let sums = planes.sums(x.len(), |c, from| {
                    let (mean, inverse) = (self.moments.mean[c], self.inverse(c));
                    let (x, grad) = (&x[from..from + planes.pixels], &grad[from..from + planes.pixels]);
                    sum(x, grad, |x, g| [g, g * ((x - mean) * inverse)])
                });
                let count = planes.count(x.len());
                let mut dx = vec![0f32; x.len()];
                planes.fill(&mut dx, |c, from, plane| {
                    let (mean, inverse) = (self.moments.mean[c], self.inverse(c));
                    let scale = weight[c] * inverse;
                    let values = plane.iter_mut().zip(x[from..].iter().zip(&grad[from..]));
                    if self.own {
                        let (all, along) = ((sums[c][0] / count) as f32, (sums[c][1] / count) as f32 * inverse);
                        values.for_each(|(dx, (x, g))| *dx = scale * (g - all - (x - mean) * along));
                    } else {
                        values.for_each(|(dx, (_, g))| *dx = scale * g);
                    }
                });
                Ok((dx, sums))
            })
        })?;
        let dw = per_channel(sums.iter().map(|s| s[1]), w)?;
        let db = per_channel(sums.iter().map(|s| s[0]), b)?;
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), Some(dw), Some(db)))
    }
}

/// `x` where it is above zero, else `slope * x`, with a slope for each channel.
pub(crate) struct Sloped;

impl Sloped {
    /// See [`Sloped`].
    pub fn apply(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op2(&slope.contiguous()?, Self)
    }
}

impl CustomOp2 for Sloped {
    fn name(&self) -> &'static str {
        "PReLU"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, s: &CpuStorage, ls: &Layout) -> Result<(CpuStorage, Shape)> {
        let planes = Planes::of(lx.shape())?;
        let (x, slope) = (slice(x, lx)?, slice(s, ls)?);
        if slope.len() != planes.channels {
            bail!("{} slopes of {} channels", slope.len(), planes.channels);
        }
        let mut y = vec![0f32; x.len()];
        planes.fill(&mut y, |c, from, plane| {
            let slope = slope[c];
            plane.iter_mut().zip(&x[from..]).for_each(|(y, &x)| *y = if x > 0.0 { x } else { slope * x });
        });
        Ok(output(y, lx))
    }

    fn bwd(&self, x: &Tensor, s: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let planes = Planes::of(x.shape())?;
        let slope = s.to_vec1::<f32>()?;
        let (dx, sums) = values(x, |x| {
            values(grad, |grad| {
                let sums = planes.sums(x.len(), |_, from| {
                    let (x, grad) = (&x[from..from + planes.pixels], &grad[from..from + planes.pixels]);
                    sum(x, grad, |x, g| [if x > 0.0 { 0.0 } else { g * x }])
                });
                let mut dx = vec![0f32; x.len()];
                planes.fill(&mut dx, |c, from, plane| {
                    let slope = slope[c];
                    let values = plane.iter_mut().zip(x[from..].iter().zip(&grad[from..]));
                    values.for_each(|(dx, (&x, &g))| *dx = if x > 0.0 { g } else { slope * g });
                });
                Ok((dx, sums))
            })
        })?;
        let ds = per_channel(sums.iter().map(|s| s[0]), s)?;
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), Some(ds)))
    }
}

/// `x + bias`, with a bias for each channel.
pub(crate) struct Biased;

impl Biased {
    /// See [`Biased`].
    pub fn apply(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op2(&bias.contiguous()?, Self)
    }
}

impl CustomOp2 for Biased {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let planes = Planes::of(lx.shape())?;
        let (x, bias) = (slice(x, lx)?, slice(b, lb)?);
        if bias.len() != planes.channels {
            bail!("{} biases of {} channels", bias.len(), planes.channels);
        }
        let mut y = vec![0f32; x.len()];
        planes.fill(&mut y, |c, from, plane| {
            let bias = bias[c];
            plane.iter_mut().zip(&x[from..]).for_each(|(y, x)| *y = x + bias);
        });
        Ok(output(y, lx))
    }

    fn bwd(&self, x: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let planes = Planes::of(x.shape())?;
        let sums = values(grad, |grad| {
            let plane = |from: usize| &grad[from..from + planes.pixels];
            Ok(planes.sums(grad.len(), |_, from| sum(plane(from), plane(from), |g, _| [g])))
        })?;
        Ok((Some(grad.clone()), Some(per_channel(sums.iter().map(|s| s[0]), b)?)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn drawn(count: usize, seed: u64) -> Vec<f32> {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()
    }

    fn var(shape: &[usize], seed: u64) -> Var {
        let count = shape.iter().product();
        Var::from_tensor(&Tensor::from_vec(drawn(count, seed), shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// The same by the tensor library's own operations, as accelerators have it.
    fn plain_norm(x: &Tensor, w: &Tensor, b: &Tensor, fixed: Option<&Moments>) -> Tensor {
        let shape: Vec<usize> = (0..x.rank()).map(|axis| if axis == 1 { x.dim(1).unwrap() } else { 1 }).collect();
        let by_channel = |t: &Tensor| t.reshape(shape.as_slice()).unwrap();
        let rows = x.transpose(0, 1).unwrap().flatten_from(1).unwrap();
        let (mean, variance) = match fixed {
            Some(m) => {
                let tensor = |v: &Vec<f32>| Tensor::new(v.as_slice(), &Device::Cpu).unwrap();
                (tensor(&m.mean), tensor(&m.variance))
            }
            None => {
                let mean = rows.mean_keepdim(1).unwrap();
                let variance = rows.broadcast_sub(&mean).unwrap().sqr().unwrap().mean_keepdim(1).unwrap();
                (mean, variance)
            }
        };
        let deviation = by_channel(&variance).affine(1.0, 1e-5).unwrap().sqrt().unwrap();
        let unit = x.broadcast_sub(&by_channel(&mean)).unwrap().broadcast_div(&deviation).unwrap();
        unit.broadcast_mul(&by_channel(w)).unwrap().broadcast_add(&by_channel(b)).unwrap()
    }

    fn hold(ours: &Tensor, plain: &Tensor, vars: &[&Var]) {
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let near = |a: &Tensor, b: &Tensor, what: &str| {
            let (a, b) = (flat(a), flat(b));
            let greatest = b.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(greatest > 1e-3 && a.len() == b.len(), "{what}: nothing to hold");
            let gap = a.iter().zip(&b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(gap < 2e-5 * (1.0 + greatest), "{what}: {gap} of {greatest}");
        };
        near(ours, plain, "values");
        // Something that weighs every value differently.
        let outer = Tensor::from_vec(drawn(ours.elem_count(), 99), ours.shape(), &Device::Cpu).unwrap();
        let [ours, plain] = [ours, plain].map(|y| (y * &outer).unwrap().sum_all().unwrap().backward().unwrap());
        for (i, var) in vars.iter().enumerate() {
            near(ours.get(var).unwrap(), plain.get(var).unwrap(), &format!("gradient {i}"));
        }
    }

    #[test]
    fn each_is_what_the_tensor_library_makes_with_its_gradients() {
        // Planes of less and more than a row of lanes, and vectors without planes.
        for shape in [vec![3, 5, 3, 4], vec![2, 3, 7, 9], vec![6, 4]] {
            let (x, w, b) = (var(&shape, 1), var(&shape[1..2], 2), var(&shape[1..2], 3));
            let moments = Moments::of(&x).unwrap();
            let ours = Normalised { moments, epsilon: 1e-5, own: true }.apply(&x, &w, &b).unwrap();
            hold(&ours, &plain_norm(&x, &w, &b, None), &[&x, &w, &b]);
            let fixed = Moments { mean: drawn(shape[1], 4), variance: vec![0.7; shape[1]] };
            let plain = plain_norm(&x, &w, &b, Some(&fixed));
            let ours = Normalised { moments: fixed, epsilon: 1e-5, own: false }.apply(&x, &w, &b).unwrap();
            hold(&ours, &plain, &[&x, &w, &b]);
            let by_channel: Vec<usize> = (0..shape.len()).map(|axis| if axis == 1 { shape[1] } else { 1 }).collect();
            let slope = w.reshape(by_channel.as_slice()).unwrap();
            let below = x.neg().unwrap().relu().unwrap().broadcast_mul(&slope).unwrap();
            hold(&Sloped::apply(&x, &w).unwrap(), &(x.relu().unwrap() - below).unwrap(), &[&x, &w]);
            let plain = x.broadcast_add(&b.reshape(by_channel.as_slice()).unwrap()).unwrap();
            hold(&Biased::apply(&x, &b).unwrap(), &plain, &[&x, &b]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (x, w) = (var(&[2, 3, 2, 2], 1), var(&[4], 2));
        assert!(Sloped::apply(&x, &w).unwrap_err().to_string().contains("4 slopes of 3 channels"));
        assert!(Biased::apply(&x, &w).unwrap_err().to_string().contains("4 biases of 3 channels"));
        let op = Normalised { moments: Moments::of(&x).unwrap(), epsilon: 1e-5, own: true };
        assert!(op.apply(&x, &w, &w).unwrap_err().to_string().contains("3 channels are normalised by"));
    }
}
