//! A pass on the processor, over plain memory: what a gradient will need is kept on a tape, layer by layer, and let go of as
//! the gradient passes. A convolution with its ReLU, or a norm with the activation behind it, is one layer there.
//!
//! The tensor library's own gradients would do it too, and do on accelerators, but they add every map's gradient to a map of
//! zeros, keep every step between, and take most of the time in memory.

use std::sync::Arc;

use candle_core::{Device, Result, Storage, Tensor, Var, bail};
use kith_kernels::Simd;
use kith_kernels::planes::{self, LocalNorm};
use rayon::prelude::*;

use super::convolution::{Convolution, Convolved};
use super::layer::{Layer, Network, Node, Shape};
use super::mode::Mode;
use super::norm::{Moments, Normalised, Weights};
use super::parameters::{Parameters, is_in};
use super::windows::Pooling;

/// The exponent that [`LocalNorm`] has kernels for.
pub(crate) const LOCAL_NORM_BETA: f64 = 0.75;
/// Values from which on a loop over all of them is dealt to threads.
pub(super) const DEAL: usize = 1 << 15;

/// Calls `with` on the values of a tensor in f32 in the processor's memory.
pub(crate) fn values<R>(x: &Tensor, with: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((from, to))) => with(&storage.as_slice::<f32>()?[from..to]),
        _ => bail!("a tensor that is not in the processor's memory"),
    }
}

/// Maps of all faces between two layers.
#[derive(Clone)]
pub(super) struct Flow {
    pub values: Arc<Vec<f32>>,
    pub shape: Shape,
    /// Whether a gradient of them is wanted: something before them is learnt.
    pub moves: bool,
}

/// What follows a norm.
#[derive(Clone, Copy)]
pub(super) enum After<'a> {
    Nothing,
    Relu,
    PRelu(&'a Node),
}

/// A layer that was passed.
pub(super) enum Frame<'a> {
    Conv {
        node: &'a Node,
        conv: Convolution,
        x: Flow,
        bias: bool,
        relu: Option<Arc<Vec<f32>>>,
    },
    Norm {
        node: Option<&'a Node>,
        norm: Normalised,
        x: Flow,
        after: After<'a>,
    },
    Relu {
        y: Arc<Vec<f32>>,
    },
    Max {
        pooling: Pooling,
        taps: Vec<u8>,
        before: usize,
    },
    Roots {
        pooling: Pooling,
        x: Flow,
        y: Arc<Vec<f32>>,
    },
    Average {
        pixels: usize,
    },
    LocalNorm {
        by: LocalNorm,
        x: Flow,
    },
    Linear {
        node: &'a Node,
        x: Tensor,
        moves: bool,
        bias: bool,
        chosen: Option<(usize, Vec<u8>)>,
    },
    Branches {
        branches: Vec<(Vec<Frame<'a>>, usize)>,
        pixels: usize,
    },
    Residual {
        inner: Vec<Frame<'a>>,
        scale: f32,
    },
    /// No gradient goes further back.
    End,
}

/// What a backward pass needs of a forward one.
pub(crate) struct Tape<'a> {
    pub(super) pass: Pass<'a>,
    pub(super) frames: Vec<Frame<'a>>,
}

pub(super) struct Pass<'a> {
    pub parameters: &'a Parameters,
    frozen: &'a [String],
    mode: Mode,
    pub simd: Simd,
    pub faces: usize,
    records: bool,
}

/// The raw output `[n, dimension]` of chips `[n, channels, rows, columns]` in f32 in the processor's memory, and what
/// gradients take, where that `records`. Running statistics are written in [`Mode::Training`], but for frozen layers.
pub(crate) fn pass<'a>(
    network: &'a Network,
    x: &Tensor,
    parameters: &'a Parameters,
    frozen: &'a [String],
    mode: Mode,
    records: bool,
) -> Result<(Tensor, Tape<'a>)> {
    let (faces, channels, rows, columns) = x.dims4()?;
    let shape = Shape { channels, rows, columns };
    if shape != network.input || faces == 0 {
        bail!("{faces} chips of {shape:?} for a network of {:?}", network.input);
    }
    let pass = Pass { parameters, frozen, mode, simd: Simd::chosen_or_scalar(), faces, records };
    let mut frames = Vec::new();
    parameters.memory.begin();
    let chips = Flow { values: Arc::new(values(x, |x| Ok(pass.copy(x)))?), shape, moves: false };
    let out = pass.through(&network.nodes, chips, &mut frames)?;
    let raw = Tensor::from_slice(&out.values, (faces, out.shape.values()), &Device::Cpu)?;
    Ok((raw, Tape { pass, frames }))
}

impl<'a> Pass<'a> {
    pub fn var(&self, node: &Node, part: &str) -> Result<&'a Var> {
        let name = format!("{}.{part}", node.name);
        let all = [&self.parameters.learnt, &self.parameters.running];
        let found = all.into_iter().find_map(|vars| vars.get(&name));
        found.ok_or_else(|| candle_core::Error::Msg(format!("no tensor is called {name}")))
    }

    pub fn with<R>(&self, node: &Node, part: &str, with: impl FnOnce(&[f32]) -> R) -> Result<R> {
        values(self.var(node, part)?.as_tensor(), |v| Ok(with(v)))
    }

    fn vector(&self, node: &Node, part: &str) -> Result<Vec<f32>> {
        self.with(node, part, <[f32]>::to_vec)
    }

    pub fn learns(&self, node: &Node) -> bool {
        self.records && !is_in(&node.name, self.frozen)
    }

    /// Memory for a map, whatever was there before.
    fn room(&self, shape: Shape) -> Vec<f32> {
        self.parameters.memory.take(self.faces * shape.values())
    }

    /// Lets go of a map, if nobody else has it.
    pub fn drop(&self, values: Arc<Vec<f32>>) {
        if let Ok(vector) = Arc::try_unwrap(values) {
            self.parameters.memory.give(vector);
        }
    }

    /// Lets go of what a layer kept.
    fn forget(&self, frame: Frame) {
        match frame {
            Frame::Conv { x, .. } | Frame::Norm { x, .. } | Frame::Roots { x, .. } | Frame::LocalNorm { x, .. } => {
                self.drop(x.values);
            }
            _ => {}
        }
    }

    pub fn copy(&self, of: &[f32]) -> Vec<f32> {
        let mut copy = self.parameters.memory.take(of.len());
        copy.par_chunks_mut(DEAL).zip(of.par_chunks(DEAL)).for_each(|(to, from)| to.copy_from_slice(from));
        copy
    }

    fn through(&self, nodes: &'a [Node], mut x: Flow, frames: &mut Vec<Frame<'a>>) -> Result<Flow> {
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let next = nodes.get(at + 1).map(|n| &n.layer);
            let (y, frame, taken) = match &node.layer {
                Layer::Conv { stride, padding, depthwise, bias, .. } => {
                    let how = Convolved { stride: *stride, padding: *padding, depthwise: *depthwise };
                    let relu = matches!(next, Some(Layer::Relu));
                    let (y, frame) = self.convolution(node, how, (*bias, relu), x)?;
                    (y, frame, 1 + usize::from(relu))
                }
                Layer::BatchNorm { epsilon } => {
                    let after = match next {
                        Some(Layer::Relu) => After::Relu,
                        Some(Layer::PRelu) => After::PRelu(&nodes[at + 1]),
                        _ => After::Nothing,
                    };
                    let (y, frame) = self.batch_norm(node, *epsilon, after, x)?;
                    (y, frame, 1 + usize::from(!matches!(after, After::Nothing)))
                }
                _ => {
                    let (y, frame) = self.layer(node, x)?;
                    (y, frame, 1)
                }
            };
            match (self.records, y.moves) {
                (true, true) => frames.push(frame),
                (true, false) => {
                    self.forget(frame);
                    frames.push(Frame::End);
                }
                (false, _) => self.forget(frame),
            }
            (x, at) = (y, at + taken);
        }
        Ok(x)
    }

    fn convolution(
        &self,
        node: &'a Node,
        how: Convolved,
        (bias, relu): (bool, bool),
        x: Flow,
    ) -> Result<(Flow, Frame<'a>)> {
        let weight = self.var(node, "weight")?;
        let conv = Convolution::new(how, x.shape, weight.dims(), self.simd)?;
        let shape = conv.result();
        let mut y = self.room(shape);
        let bias_values = if bias { Some(self.vector(node, "bias")?) } else { None };
        self.with(node, "weight", |weight| conv.forward(&x.values, weight, bias_values.as_deref(), relu, &mut y))?;
        let values = Arc::new(y);
        let y = Flow { values: values.clone(), shape, moves: x.moves || self.learns(node) };
        Ok((y, Frame::Conv { node, conv, x, bias, relu: relu.then_some(values) }))
    }

    fn batch_norm(&self, node: &'a Node, epsilon: f64, after: After<'a>, x: Flow) -> Result<(Flow, Frame<'a>)> {
        let stands = self.mode == Mode::Inference || is_in(&node.name, self.frozen);
        let (channels, pixels) = (x.shape.channels, x.shape.rows * x.shape.columns);
        let moments = if stands {
            Moments { mean: self.vector(node, "running_mean")?, variance: self.vector(node, "running_var")? }
        } else {
            let count = self.faces * pixels;
            if count < 2 {
                bail!("{}: one value a channel has no variance; a batch of two faces is the least", node.name);
            }
            let own = Moments::of(&x.values, channels, pixels, self.simd);
            if self.mode == Mode::Training {
                let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu);
                self.parameters.take_in(&node.name, count, &tensor(&own.mean)?, &tensor(&own.variance)?)?;
            }
            own
        };
        if moments.mean.len() != channels {
            bail!("{}: {} means of {channels} channels", node.name, moments.mean.len());
        }
        let norm = Normalised { channels, pixels, epsilon, moments, own: !stands, simd: self.simd };
        let mut y = self.room(x.shape);
        self.weighed(Some(node), after, channels, |weights| norm.forward(&x.values, weights, &mut y))?;
        let slopes = matches!(after, After::PRelu(slopes) if self.learns(slopes));
        let moves = x.moves || self.learns(node) || slopes;
        Ok((Flow { values: Arc::new(y), shape: x.shape, moves }, Frame::Norm { node: Some(node), norm, x, after }))
    }

    /// Calls `with` on what a norm, if it is one, and the activation behind it have for each channel.
    pub fn weighed<R>(
        &self,
        node: Option<&Node>,
        after: After,
        channels: usize,
        with: impl FnOnce(Weights) -> R,
    ) -> Result<R> {
        let of =
            |part: &str, without: f32| node.map_or_else(|| Ok(vec![without; channels]), |node| self.vector(node, part));
        let (weight, bias) = (of("weight", 1.0)?, of("bias", 0.0)?);
        let slope = match after {
            After::Nothing => None,
            After::Relu => Some(vec![0.0; channels]),
            After::PRelu(node) => Some(self.vector(node, "weight")?),
        };
        let slopes = slope.as_ref().map_or(channels, Vec::len);
        if weight.len() != channels || bias.len() != channels || slopes != channels {
            bail!("{channels} channels have {} weights, {} biases and {slopes} slopes", weight.len(), bias.len());
        }
        Ok(with(Weights { weight: &weight, bias: &bias, slope: slope.as_deref() }))
    }

    fn layer(&self, node: &'a Node, x: Flow) -> Result<(Flow, Frame<'a>)> {
        let (shape, moves) = (x.shape, x.moves);
        let made = |values: Arc<Vec<f32>>, shape: Shape| Flow { values, shape, moves };
        Ok(match &node.layer {
            Layer::Relu => {
                let mut y = self.copy(&x.values);
                self.drop(x.values);
                y.par_chunks_mut(DEAL).for_each(|y| planes::biased(y, 0.0, true, self.simd));
                let y = Arc::new(y);
                (made(y.clone(), shape), Frame::Relu { y })
            }
            Layer::PRelu => {
                let (channels, pixels) = (shape.channels, shape.rows * shape.columns);
                let moments = Moments { mean: vec![0.0; channels], variance: vec![1.0; channels] };
                let norm = Normalised { channels, pixels, epsilon: 0.0, moments, own: false, simd: self.simd };
                let (mut y, after) = (self.room(shape), After::PRelu(node));
                self.weighed(None, after, channels, |weights| norm.forward(&x.values, weights, &mut y))?;
                let y = Flow { moves: moves || self.learns(node), ..made(Arc::new(y), shape) };
                (y, Frame::Norm { node: None, norm, x, after })
            }
            Layer::MaxPool { window, stride, padding } => {
                let pooling = Pooling::new(shape, *window, *stride, *padding, self.simd)?;
                let mut y = self.room(pooling.result());
                let taps = pooling.greatest(&x.values, &mut y);
                (made(Arc::new(y), pooling.result()), Frame::Max { pooling, taps, before: x.values.len() })
            }
            Layer::L2Pool { window, stride, padding } => {
                let pooling = Pooling::new(shape, *window, *stride, *padding, self.simd)?;
                let mut y = self.room(pooling.result());
                pooling.roots(&x.values, &mut y);
                let y = Arc::new(y);
                (made(y.clone(), pooling.result()), Frame::Roots { pooling, x, y })
            }
            Layer::GlobalAverage => {
                let pixels = shape.rows * shape.columns;
                let mean = |plane: &[f32]| planes::sum(plane, self.simd) / pixels as f32;
                let y = x.values.chunks_exact(pixels).map(mean).collect();
                (made(Arc::new(y), Shape { rows: 1, columns: 1, ..shape }), Frame::Average { pixels })
            }
            Layer::LocalNorm { size, alpha, beta, k } => {
                if *beta != LOCAL_NORM_BETA || size.is_multiple_of(2) {
                    bail!("{}: local response normalisation over {size} channels to the {beta}", node.name);
                }
                let by = LocalNorm { size: *size, alpha: *alpha as f32, k: *k as f32 };
                let mut y = self.room(shape);
                let faces = y.par_chunks_exact_mut(shape.values()).zip(x.values.par_chunks_exact(shape.values()));
                faces.for_each(|(y, x)| by.forward(x, shape.channels, y, self.simd));
                (made(Arc::new(y), shape), Frame::LocalNorm { by, x })
            }
            Layer::Linear { out, bias } => self.linear(node, *out, 1, *bias, x)?,
            Layer::Maxout { out, pieces } => self.linear(node, *out, *pieces, true, x)?,
            Layer::Branches(branches) => self.branches(branches, x)?,
            Layer::Residual { inner, scale } => {
                let (mut frames, scale) = (Vec::new(), *scale as f32);
                let y = self.through(inner, x.clone(), &mut frames)?;
                if y.shape != shape {
                    bail!("{}: {:?} is added to {shape:?}", node.name, y.shape);
                }
                let moves = y.moves;
                let mut y = Arc::try_unwrap(y.values).unwrap_or_else(|kept| self.copy(&kept));
                y.par_chunks_mut(DEAL).zip(x.values.par_chunks(DEAL)).for_each(|(y, x)| {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = *y * scale + x);
                });
                (Flow { moves, ..made(Arc::new(y), shape) }, Frame::Residual { inner: frames, scale })
            }
            Layer::Conv { .. } | Layer::BatchNorm { .. } => bail!("{} is passed with what follows it", node.name),
        })
    }

    fn linear(&self, node: &'a Node, out: usize, pieces: usize, bias: bool, x: Flow) -> Result<(Flow, Frame<'a>)> {
        let moves = x.moves;
        let values = Arc::try_unwrap(x.values).unwrap_or_else(|kept| kept.to_vec());
        let x = Tensor::from_vec(values, (self.faces, x.shape.values()), &Device::Cpu)?;
        let mut y = x.matmul(&self.var(node, "weight")?.as_detached_tensor().t()?)?;
        if bias {
            y = y.broadcast_add(&self.var(node, "bias")?.as_detached_tensor())?;
        }
        let mut y = y.flatten_all()?.to_vec1::<f32>()?;
        let mut chosen = None;
        if pieces > 1 {
            // Piece p of unit u is row p * out + u; of equal ones the first counts.
            let best = |row: &[f32], unit: usize| {
                (1..pieces).fold(0, |best, p| if row[p * out + unit] > row[best * out + unit] { p } else { best })
            };
            let taken: Vec<u8> =
                y.chunks_exact(out * pieces).flat_map(|row| (0..out).map(move |u| best(row, u) as u8)).collect();
            let row_of = |at: usize| &y[at / out * out * pieces..][..out * pieces];
            let most = (0..taken.len()).map(|at| row_of(at)[usize::from(taken[at]) * out + at % out]);
            y = most.collect();
            chosen = Some((pieces, taken));
        }
        let shape = Shape { channels: out, rows: 1, columns: 1 };
        let y = Flow { values: Arc::new(y), shape, moves: moves || self.learns(node) };
        Ok((y, Frame::Linear { node, x, moves, bias, chosen }))
    }

    fn branches(&self, branches: &'a [Vec<Node>], x: Flow) -> Result<(Flow, Frame<'a>)> {
        let (mut ends, mut passed) = (Vec::new(), Vec::new());
        for branch in branches {
            let mut frames = Vec::new();
            let end = self.through(branch, x.clone(), &mut frames)?;
            passed.push((frames, end.shape.channels));
            ends.push(end);
        }
        let Some(first) = ends.first() else { bail!("no branches") };
        let pixels = first.shape.rows * first.shape.columns;
        if let Some(other) =
            ends.iter().find(|e| (e.shape.rows, e.shape.columns) != (first.shape.rows, first.shape.columns))
        {
            bail!("branches end in {:?} and {:?}", first.shape, other.shape);
        }
        let moves = ends.iter().any(|e| e.moves);
        if ends.len() == 1 {
            return Ok((ends.remove(0), Frame::Branches { branches: passed, pixels }));
        }
        let shape = Shape { channels: ends.iter().map(|e| e.shape.channels).sum(), ..first.shape };
        let mut y = self.room(shape);
        y.par_chunks_exact_mut(shape.values()).enumerate().for_each(|(face, mut y)| {
            for end in &ends {
                let (own, rest) = std::mem::take(&mut y).split_at_mut(end.shape.values());
                own.copy_from_slice(&end.values[face * own.len()..][..own.len()]);
                y = rest;
            }
        });
        Ok((Flow { values: Arc::new(y), shape, moves }, Frame::Branches { branches: passed, pixels }))
    }
}
