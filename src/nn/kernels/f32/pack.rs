//! Convolutions, and how their weights are packed in the order in which the kernels read them.
//!
//! A convolution keeps its weights as the network stores them; a program packs them once, each panel of output channels
//! straight into the form in which it is computed. Large ones are packed by all threads: a network of millions of weights
//! is ready to run in the time in which one thread would have read them.

use std::sync::Arc;

use rayon::prelude::*;

use crate::f32::tile::{After, Kernels};
use crate::f32::winograd::Transforms;
use crate::lanes::LANES;
use crate::lanes::aligned::Aligned;
use crate::simd::Simd;

/// Results along an axis, and products of inputs and outputs, between which Winograd's tiles pay: for small maps
/// or many channels, reading weights four times as large costs more than the multiplications that are saved. On
/// instruction sets with narrower vectors, multiplications count for more.
const LEAST: usize = 8;
const MOST: usize = 40_000;
const LEAST_OF_WIDE_PATHS: usize = 12;
const MOST_OF_WIDE_PATHS: usize = 16_000;

/// What follows a convolution.
#[derive(Debug, Clone, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Bounded by zero.
    Relu,
    /// Bounded by zero and six.
    Relu6,
    /// `max(x, 0) + slope * min(x, 0)` with one slope an output channel.
    PRelu(Vec<f32>),
}

/// Weights where a network has them, in whatever form it stores them: a convolution converts them when a program packs them,
/// and until then copies nothing.
pub trait StoredWeights: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// Writes as many as `to` has in f32, from the one at `first` on.
    fn read(&self, first: usize, to: &mut [f32]);
}

impl StoredWeights for Vec<f32> {
    fn count(&self) -> usize {
        self.len()
    }

    fn read(&self, first: usize, to: &mut [f32]) {
        to.copy_from_slice(&self[first..][..to.len()]);
    }
}

/// A convolution's parameters as networks store them.
pub struct ConvWeights<'a> {
    /// `[outputs, inputs, rows, columns]`.
    pub weight: &'a [f32],
    /// Output channels.
    pub outputs: usize,
    /// Input channels; 1 for a convolution of each channel alone.
    pub inputs: usize,
    /// Rows and columns of the window.
    pub window: (usize, usize),
    /// `[outputs]`; empty for none.
    pub bias: &'a [f32],
    /// Rows, and columns, from a window to the next.
    pub stride: usize,
    /// Rows of zeros above and below, columns left and right.
    pub padding: (usize, usize),
    /// What follows.
    pub activation: Activation,
}

/// Packed weights from which on all threads pack.
const MANY: usize = 100_000;
/// Weights of an output that are brought into order at a time: those of all outputs of a panel stay in an L1 cache.
const BLOCK: usize = 256;

/// A convolution ready for a program. Cheap to clone: programs for several sizes share the weights.
#[derive(Clone)]
pub struct PackedConv {
    packed: Arc<Packed>,
    /// `[outputs, inputs, window rows, window columns]`.
    weights: Arc<dyn StoredWeights>,
}

/// All of a packed convolution but its weights, which a program gathers in one place.
pub(crate) struct Packed {
    pub kernels: &'static Kernels,
    pub transforms: &'static Transforms,
    pub outputs: usize,
    pub inputs: usize,
    pub window: (usize, usize),
    pub stride: usize,
    pub padding: (usize, usize),
    bias: Aligned,
    slope: Option<Aligned>,
    activation: Activation,
}

impl PackedConv {
    /// For the instructions of `simd`.
    ///
    /// # Panics
    /// When there are not as many values as the sizes say.
    pub fn new(conv: &ConvWeights, simd: Simd) -> Self {
        Self::of_stored(conv, Arc::new(conv.weight.to_vec()), simd)
    }

    /// As [`Self::new`], but for the weights, which are read where they are; `conv` has none.
    ///
    /// # Panics
    /// When there are not as many values as the sizes say.
    pub fn of_stored(conv: &ConvWeights, weights: Arc<dyn StoredWeights>, simd: Simd) -> Self {
        let (rows, columns) = conv.window;
        let kernels = Kernels::of(simd);
        assert_eq!(weights.count(), conv.outputs * conv.inputs * rows * columns, "weights");
        assert!(conv.bias.is_empty() || conv.bias.len() == conv.outputs, "biases");
        assert!(conv.stride > 0 && conv.outputs > 0 && conv.inputs * rows * columns > 0, "an empty convolution");
        let vectors = conv.outputs.div_ceil(LANES);
        let slope = match &conv.activation {
            Activation::PRelu(slope) => {
                assert_eq!(slope.len(), conv.outputs, "slopes");
                Some(Aligned::of(slope))
            }
            _ => None,
        };
        let mut bias = Aligned::zeros(vectors * LANES);
        bias.values_mut()[..conv.bias.len()].copy_from_slice(conv.bias);
        let packed = Packed {
            kernels,
            transforms: Transforms::of(simd),
            outputs: conv.outputs,
            inputs: conv.inputs,
            window: conv.window,
            stride: conv.stride,
            padding: conv.padding,
            bias,
            slope,
            activation: conv.activation.clone(),
        };
        Self { packed: Arc::new(packed), weights }
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.packed.inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.packed.outputs
    }

    /// Whether a result of `rows` x `columns` is computed by Winograd's tiles.
    pub(crate) fn by_winograd(&self, rows: usize, columns: usize) -> bool {
        let packed = &self.packed;
        let wide = packed.kernels.wide() > 1;
        let (least, most) = if wide { (LEAST_OF_WIDE_PATHS, MOST_OF_WIDE_PATHS) } else { (LEAST, MOST) };
        let shape = packed.window == (3, 3) && packed.stride == 1 && packed.inputs.is_multiple_of(LANES);
        shape && rows.min(columns) >= least && packed.inputs * packed.outputs <= most
    }

    pub(crate) fn packed(&self) -> &Arc<Packed> {
        &self.packed
    }

    /// How many weights there are when packed: those of the channels that fill the last vector are zeros.
    pub(crate) fn count(&self) -> usize {
        self.packed.vectors() * LANES * self.packed.depth()
    }

    /// Shows a panel's weights in parts of `together` inputs, the last of what is left: the first input, and
    /// `[outputs, inputs, window rows, window columns]`, which lacks the channels that fill the last vector.
    pub(crate) fn parts(&self, panel: &Panel, together: usize, mut with: impl FnMut(usize, &[f32])) {
        let packed = &self.packed;
        let (depth, inputs) = (packed.depth(), packed.inputs);
        let taps = depth / inputs;
        let outputs = (panel.vectors * LANES).min(packed.outputs - panel.first);
        let mut part = vec![0f32; outputs * together.min(inputs) * taps];
        for first in (0..inputs).step_by(together) {
            let own = together.min(inputs - first) * taps;
            let part = &mut part[..outputs * own];
            for (lane, row) in part.chunks_exact_mut(own).enumerate() {
                self.weights.read((panel.first + lane) * depth + first * taps, row);
            }
            with(first, part);
        }
    }

    /// Inputs of a part that stays in an L1 cache: an even number.
    pub(crate) fn inputs_together(&self) -> usize {
        (BLOCK / (self.packed.window.0 * self.packed.window.1)).max(1).next_multiple_of(2)
    }

    /// Writes a panel's weights, `[window rows, window columns, inputs, channels of the panel]`, as many as its channels
    /// times the convolution's depth.
    pub(crate) fn pack_panel(&self, panel: &Panel, to: &mut [f32]) {
        let (packed, width) = (&self.packed, panel.vectors * LANES);
        let taps = packed.window.0 * packed.window.1;
        self.parts(panel, self.inputs_together(), |first, part| {
            let own = part.len() / width.min(packed.outputs - panel.first) / taps;
            for tap in 0..taps {
                let to = &mut to[(tap * packed.inputs + first) * width..][..own * width];
                interleave(part, tap, taps, to, width);
            }
        });
    }

    /// Gives each panel and its part of `to` to `pack`, by all threads where there is much to do; a channel of a panel has
    /// `depth` of the values.
    pub(crate) fn each_panel<N: Send>(&self, depth: usize, to: &mut [N], pack: impl Fn(&Panel, &mut [N]) + Sync) {
        let own = self.packed.kernels.wide() * LANES * depth;
        let one = |(at, to): (usize, &mut [N])| pack(&self.packed.panel(at), to);
        if self.count() < MANY {
            to.chunks_mut(own).enumerate().for_each(one);
        } else {
            to.par_chunks_mut(own).enumerate().for_each(one);
        }
    }

    /// Writes all weights panel by panel. All panels are as wide as the path's widest tile but the last, which is as wide as
    /// it must be.
    pub(crate) fn pack(&self, to: &mut [f32]) {
        self.each_panel(self.packed.depth(), to, |panel, to| self.pack_panel(panel, to));
    }
}

/// From the part of a panel that [`PackedConv::parts`] shows to `[inputs, channels of the panel]` of one tap.
pub(crate) fn interleave(part: &[f32], tap: usize, taps: usize, to: &mut [f32], width: usize) {
    let row = to.len() / width * taps;
    for (input, to) in to.chunks_exact_mut(width).enumerate() {
        let mut from = part[input * taps + tap..].iter().step_by(row);
        to.iter_mut().for_each(|to| *to = from.next().copied().unwrap_or(0.0));
    }
}

/// One panel of output channels.
pub(crate) struct Panel {
    /// First output channel.
    pub first: usize,
    /// Vectors of output channels.
    pub vectors: usize,
    pub bias: *const f32,
    pub after: After,
}

impl Panel {
    /// The panel's part of a convolution's packed weights, `depth` of them for each output channel.
    pub(crate) fn weights<'a, N>(&self, all: &'a [N], depth: usize) -> &'a [N] {
        &all[self.first * depth..][..self.vectors * LANES * depth]
    }
}

impl Packed {
    /// Products that go into one output.
    pub(crate) fn depth(&self) -> usize {
        self.window.0 * self.window.1 * self.inputs
    }

    pub(crate) fn vectors(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }

    pub(crate) fn panels(&self) -> usize {
        self.vectors().div_ceil(self.kernels.wide())
    }

    pub(crate) fn panel(&self, panel: usize) -> Panel {
        let wide = self.kernels.wide();
        let first = panel * wide * LANES;
        let vectors = wide.min(self.vectors() - panel * wide);
        let lanes = |of: &Aligned| of.values()[first..first + vectors * LANES].as_ptr();
        let after = match (&self.activation, &self.slope) {
            (Activation::Relu, _) => After::Relu,
            (Activation::Relu6, _) => After::Relu6,
            (_, Some(slope)) => After::PRelu(lanes(slope)),
            _ => After::Nothing,
        };
        Panel { first, vectors, bias: lanes(&self.bias), after }
    }
}
