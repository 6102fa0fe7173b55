//! The forward pass, for training and for inference.

use std::collections::BTreeMap;

use candle_core::{D, Result, Tensor, Var, bail};

use super::layer::{Layer, Network, Node};
use super::ops::{Convolved, convolve, max_pool, windows};
use super::parameters::{Tensors, is_in};
use super::pointwise::{Biased, Moments, Normalised, Sloped, is_ours};

/// Added to a variance before its root is taken, and the share of a batch in the running statistics (torch's defaults).
pub(crate) const NORM_EPSILON: f64 = 1e-5;
const NORM_MOMENTUM: f64 = 0.1;
/// Least sum of squares whose root is taken, so that the root of nothing has a gradient.
const LEAST_SQUARES: f64 = 1e-12;

/// What batch normalisation normalises by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The running statistics.
    Inference,
    /// The batch's own; the running statistics take them in.
    Training,
    /// The batch's own, and no trace left: the pass that is gone through again with gradients.
    Rehearsal,
}

impl Network {
    /// Raw output `[n, dimension]` of chips `[n, channels, rows, columns]`. `running` are written in [`Mode::Training`], but
    /// for layers in `frozen`, which normalise by them in every mode.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        tensors: &Tensors,
        running: &BTreeMap<String, Var>,
        frozen: &[String],
        mode: Mode,
    ) -> Result<Tensor> {
        Pass { tensors, running, frozen, mode }.through(&self.nodes, x.clone())?.flatten_from(1)
    }
}

struct Pass<'a> {
    tensors: &'a Tensors,
    running: &'a BTreeMap<String, Var>,
    frozen: &'a [String],
    mode: Mode,
}

impl Pass<'_> {
    fn get(&self, node: &Node, part: &str) -> Result<Tensor> {
        let name = format!("{}.{part}", node.name);
        self.tensors.get(&name).cloned().ok_or_else(|| candle_core::Error::Msg(format!("no tensor is called {name}")))
    }

    fn running(&self, node: &Node, part: &str) -> Result<&Var> {
        let name = format!("{}.{part}", node.name);
        self.running.get(&name).ok_or_else(|| candle_core::Error::Msg(format!("no tensor is called {name}")))
    }

    fn through(&self, nodes: &[Node], x: Tensor) -> Result<Tensor> {
        nodes.iter().try_fold(x, |x, node| self.layer(node, x))
    }

    fn layer(&self, node: &Node, x: Tensor) -> Result<Tensor> {
        match &node.layer {
            Layer::Conv { stride, padding, depthwise, bias, .. } => {
                let how = Convolved { stride: *stride, padding: *padding, depthwise: *depthwise };
                let y = convolve(&x, &self.get(node, "weight")?, how)?;
                match bias {
                    true if is_ours(&y) => Biased::apply(&y, &self.get(node, "bias")?),
                    true => y.broadcast_add(&per_channel(&self.get(node, "bias")?, y.rank())?),
                    false => Ok(y),
                }
            }
            Layer::BatchNorm => self.batch_norm(node, &x),
            Layer::Relu => x.relu(),
            Layer::PRelu if is_ours(&x) => Sloped::apply(&x, &self.get(node, "weight")?),
            Layer::PRelu => {
                let slope = per_channel(&self.get(node, "weight")?, x.rank())?;
                x.relu()? - x.neg()?.relu()?.broadcast_mul(&slope)?
            }
            Layer::MaxPool { window, stride, padding } => max_pool(&x, *window, *stride, *padding),
            Layer::L2Pool { window, stride, padding } => {
                let squares = windows(&x.sqr()?, *window, *stride, *padding, 0.0, |a, b| a + b)?;
                squares.maximum(LEAST_SQUARES)?.sqrt()
            }
            Layer::GlobalAverage => x.flatten_from(2)?.mean(D::Minus1),
            Layer::LocalNorm { size, alpha, beta, k } => {
                let channels = x.dim(1)?;
                let padded = x.sqr()?.pad_with_zeros(1, size / 2, size / 2)?;
                let mut sum = padded.narrow(1, 0, channels)?;
                for shift in 1..*size {
                    sum = (sum + padded.narrow(1, shift, channels)?)?;
                }
                x * sum.affine(*alpha, *k)?.powf(-beta)?
            }
            Layer::Linear { bias, .. } => {
                let y = x.flatten_from(1)?.matmul(&self.get(node, "weight")?.t()?)?;
                if *bias { y.broadcast_add(&self.get(node, "bias")?) } else { Ok(y) }
            }
            Layer::Maxout { out, pieces } => {
                let y = x.flatten_from(1)?.matmul(&self.get(node, "weight")?.t()?)?;
                let y = y.broadcast_add(&self.get(node, "bias")?)?;
                // Piece p of unit u is row p * out + u.
                let mut most = y.narrow(1, 0, *out)?;
                for piece in 1..*pieces {
                    most = most.maximum(&y.narrow(1, piece * out, *out)?)?;
                }
                Ok(most)
            }
            Layer::Branches(branches) => {
                let ends = branches.iter().map(|b| self.through(b, x.clone())).collect::<Result<Vec<_>>>()?;
                Tensor::cat(&ends, 1)
            }
            Layer::Residual(inner) => self.through(inner, x.clone())? + x,
        }
    }

    fn batch_norm(&self, node: &Node, x: &Tensor) -> Result<Tensor> {
        let stands = self.mode == Mode::Inference || is_in(&node.name, self.frozen);
        let count = x.elem_count() / x.dim(1)?.max(1);
        if !stands && count < 2 {
            bail!("{}: one value a channel has no variance; a batch of two faces is the least", node.name);
        }
        if is_ours(x) {
            let (weight, bias) = (self.get(node, "weight")?, self.get(node, "bias")?);
            let moments = if stands {
                let of = |part: &str| self.running(node, part)?.to_vec1();
                Moments { mean: of("running_mean")?, variance: of("running_var")? }
            } else {
                let own = Moments::of(x)?;
                let tensor = |values: &Vec<f32>| Tensor::new(values.as_slice(), x.device());
                self.take_in(node, count, &tensor(&own.mean)?, &tensor(&own.variance)?)?;
                own
            };
            return Normalised { moments, epsilon: NORM_EPSILON, own: !stands }.apply(x, &weight, &bias);
        }
        let rank = x.rank();
        let (mean, variance) = if stands {
            let of = |part: &str| per_channel(&self.running(node, part)?.as_detached_tensor(), rank);
            (of("running_mean")?, of("running_var")?)
        } else {
            // Channels first, everything else in one row.
            let rows = x.transpose(0, 1)?.flatten_from(1)?;
            let mean = rows.mean_keepdim(1)?;
            let variance = rows.broadcast_sub(&mean)?.sqr()?.mean_keepdim(1)?;
            self.take_in(node, count, &mean, &variance)?;
            (per_channel(&mean.flatten_all()?, rank)?, per_channel(&variance.flatten_all()?, rank)?)
        };
        let scale = per_channel(&self.get(node, "weight")?, rank)?.div(&variance.affine(1.0, NORM_EPSILON)?.sqrt()?)?;
        let shift = (per_channel(&self.get(node, "bias")?, rank)? - (mean * &scale)?)?;
        x.broadcast_mul(&scale)?.broadcast_add(&shift)
    }

    /// Takes a batch's moments, over `count` values a channel, into the running statistics in training.
    fn take_in(&self, node: &Node, count: usize, mean: &Tensor, variance: &Tensor) -> Result<()> {
        if self.mode != Mode::Training {
            return Ok(());
        }
        // The running variance is the unbiased one, as torch has it.
        let unbiased = count as f64 / (count - 1) as f64;
        for (part, value, factor) in [("running_mean", mean, 1.0), ("running_var", variance, unbiased)] {
            let var = self.running(node, part)?;
            let taken = value.detach().flatten_all()?.affine(factor * NORM_MOMENTUM, 0.0)?;
            var.set(&(var.as_detached_tensor().affine(1.0 - NORM_MOMENTUM, 0.0)? + taken)?)?;
        }
        Ok(())
    }
}

/// A value a channel, against maps `[n, c, h, w]` or rows `[n, c]`.
fn per_channel(values: &Tensor, rank: usize) -> Result<Tensor> {
    if rank == 4 { values.reshape((1, (), 1, 1)) } else { values.reshape((1, ())) }
}
