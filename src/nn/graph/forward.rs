//! Passes through a network: over [`tape`]'s plain memory on the processor, over the tensor library elsewhere.

use std::collections::BTreeMap;

use candle_core::{D, DType, Result, Tensor, Var, bail};

use super::layer::{Layer, Network, Node};
use super::mode::Mode;
use super::parameters::{Parameters, Tensors, is_in, take_in};
use super::tape;

/// Least sum of squares whose root is taken, so that the root of nothing has a gradient.
const LEAST_SQUARES: f64 = super::windows::LEAST_SQUARES as f64;

/// Whether a tensor is one that [`tape`] passes.
fn is_ours(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// A pass that can be gone back through.
pub(crate) enum Taped<'a> {
    /// On the processor.
    Own(tape::Tape<'a>),
    /// The output, with the tensor library's graph behind it.
    Graph(Tensor, &'a Parameters),
}

impl Taped<'_> {
    /// The gradients of all parameters that are not frozen, by their names, from that of the raw output.
    pub fn backward(self, outer: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        match self {
            Self::Own(tape) => tape.backward(outer),
            Self::Graph(raw, parameters) => {
                let mut store = (raw * outer)?.sum_all()?.backward()?;
                let of = |(name, var): (&String, &Var)| Some((name.clone(), store.remove(var)?));
                Ok(parameters.learnt.iter().filter_map(of).collect())
            }
        }
    }
}

impl Network {
    /// Raw output `[n, dimension]` of chips `[n, channels, rows, columns]`, without a way back.
    pub(crate) fn forward(&self, x: &Tensor, parameters: &Parameters, frozen: &[String], mode: Mode) -> Result<Tensor> {
        match is_ours(x) {
            true => tape::pass(self, x, parameters, frozen, mode, false).map(|(raw, _)| raw),
            false => self.by_tensors(x, &parameters.without_graph(), &parameters.running, frozen, mode),
        }
    }

    /// As [`Self::forward`] in [`Mode::Training`], which writes running statistics but for layers in `frozen`: those
    /// normalise by them in every mode, and have no gradients.
    pub(crate) fn taped<'a>(
        &'a self,
        x: &Tensor,
        parameters: &'a Parameters,
        frozen: &'a [String],
    ) -> Result<(Tensor, Taped<'a>)> {
        if is_ours(x) {
            let (raw, tape) = tape::pass(self, x, parameters, frozen, Mode::Training, true)?;
            return Ok((raw, Taped::Own(tape)));
        }
        let raw = self.by_tensors(x, &parameters.with_graph(frozen), &parameters.running, frozen, Mode::Training)?;
        Ok((raw.detach(), Taped::Graph(raw, parameters)))
    }

    /// By the tensor library's operations, on any device and in any precision: the path of accelerators, and what the
    /// other is held to.
    pub(crate) fn by_tensors(
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
                let weight = self.get(node, "weight")?;
                let groups = if *depthwise { weight.dim(0)? } else { 1 };
                // The library has one padding for both axes.
                let common = padding.0.min(padding.1);
                let x = match (padding.0 - common, padding.1 - common) {
                    (0, 0) => x,
                    (rows, columns) => x.pad_with_zeros(2, rows, rows)?.pad_with_zeros(3, columns, columns)?,
                };
                let y = x.conv2d(&weight, common, *stride, 1, groups)?;
                match bias {
                    true => y.broadcast_add(&per_channel(&self.get(node, "bias")?, y.rank())?),
                    false => Ok(y),
                }
            }
            Layer::BatchNorm { epsilon } => self.batch_norm(node, &x, *epsilon),
            Layer::Relu => x.relu(),
            Layer::PRelu => {
                let slope = per_channel(&self.get(node, "weight")?, x.rank())?;
                x.relu()? - x.neg()?.relu()?.broadcast_mul(&slope)?
            }
            Layer::MaxPool { window, stride, padding } => {
                let beyond = f64::from(f32::MIN);
                windows(&x, *window, *stride, *padding, beyond, |a, b| a.maximum(b))
            }
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
            Layer::Residual { inner, scale } => self.through(inner, x.clone())?.affine(*scale, 0.0)? + x,
        }
    }

    fn batch_norm(&self, node: &Node, x: &Tensor, epsilon: f64) -> Result<Tensor> {
        let stands = self.mode == Mode::Inference || is_in(&node.name, self.frozen);
        let count = x.elem_count() / x.dim(1)?.max(1);
        if !stands && count < 2 {
            bail!("{}: one value a channel has no variance; a batch of two faces is the least", node.name);
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
            if self.mode == Mode::Training {
                take_in(self.running, &node.name, count, &mean, &variance)?;
            }
            (per_channel(&mean.flatten_all()?, rank)?, per_channel(&variance.flatten_all()?, rank)?)
        };
        let scale = per_channel(&self.get(node, "weight")?, rank)?.div(&variance.affine(1.0, epsilon)?.sqrt()?)?;
        let shift = (per_channel(&self.get(node, "bias")?, rank)? - (mean * &scale)?)?;
        x.broadcast_mul(&scale)?.broadcast_add(&shift)
    }
}

/// Joins the values of each square window by `join`, row by row and column by column; `beyond` stands in the padding.
fn windows(
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

/// A value a channel, against maps `[n, c, h, w]` or rows `[n, c]`.
fn per_channel(values: &Tensor, rank: usize) -> Result<Tensor> {
    if rank == 4 { values.reshape((1, (), 1, 1)) } else { values.reshape((1, ())) }
}
