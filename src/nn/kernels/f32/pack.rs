//! Convolutions with their weights packed in the order in which the kernels read them.

use std::sync::Arc;

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

/// A convolution ready for the kernels. Cheap to clone: programs for several sizes share the weights.
#[derive(Clone)]
pub struct PackedConv {
    packed: Arc<Packed>,
    /// Panel by panel: `[window rows, window columns, inputs, channels of the panel]`. All panels are
    /// as wide as the path's widest tile but the last, which is as wide as it must be.
    weights: Arc<Aligned>,
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
    /// Packs for the instructions of `simd`.
    ///
    /// # Panics
    /// When there are not as many values as the sizes say.
    pub fn new(conv: &ConvWeights, simd: Simd) -> Self {
        let (rows, columns) = conv.window;
        let kernels = Kernels::of(simd);
        assert_eq!(conv.weight.len(), conv.outputs * conv.inputs * rows * columns, "weights");
        assert!(conv.bias.is_empty() || conv.bias.len() == conv.outputs, "biases");
        assert!(conv.stride > 0 && conv.outputs > 0 && conv.inputs * rows * columns > 0, "an empty convolution");
        let taps = rows * columns;
        let vectors = conv.outputs.div_ceil(LANES);
        let mut weights = Aligned::zeros(vectors * LANES * taps * conv.inputs);
        let wide = kernels.wide();
        let depth = taps * conv.inputs;
        for (output, kernel) in conv.weight.chunks_exact(depth).enumerate() {
            let panel = output / (wide * LANES);
            let width = wide.min(vectors - panel * wide) * LANES;
            let start = panel * wide * LANES * depth + output % (wide * LANES);
            for (input, plane) in kernel.chunks_exact(taps).enumerate() {
                for (tap, &value) in plane.iter().enumerate() {
                    weights.values_mut()[start + (tap * conv.inputs + input) * width] = value;
                }
            }
        }
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
        Self { packed: Arc::new(packed), weights: Arc::new(weights) }
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

    pub(crate) fn weights(&self) -> &[f32] {
        self.weights.values()
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
    /// The panel's part of a convolution's weights, `depth` of them for each output channel.
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
