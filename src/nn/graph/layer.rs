//! What a network is made of.

use crate::nn::weights::TensorSpec;

/// Channels, rows and columns of a map; a vector is a map of one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub channels: usize,
    pub rows: usize,
    pub columns: usize,
}

impl Shape {
    pub fn values(self) -> usize {
        self.channels * self.rows * self.columns
    }
}

/// A named layer; its tensors are `NAME.weight`, `NAME.bias` and the like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub name: String,
    pub layer: Layer,
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layer {
    /// Convolution with zero padding, kernel and padding in rows and columns; `depthwise` takes each channel by itself.
    Conv { out: usize, kernel: (usize, usize), stride: usize, padding: (usize, usize), depthwise: bool, bias: bool },
    /// S. Ioffe, C. Szegedy, ICML 2015 (arXiv 1502.03167); `epsilon` is added to a variance before its root is taken.
    BatchNorm { epsilon: f64 },
    /// `max(x, 0)`.
    Relu,
    /// One slope a channel (K. He et al., ICCV 2015).
    PRelu,
    /// The greatest of each window.
    MaxPool { window: usize, stride: usize, padding: usize },
    /// The root of the sum of squares of each window.
    L2Pool { window: usize, stride: usize, padding: usize },
    /// Each channel's mean.
    GlobalAverage,
    /// Divides by `(k + alpha * sum of squares over size channels)^beta` (A. Krizhevsky et al., NIPS 2012, section 3.3).
    LocalNorm { size: usize, alpha: f64, beta: f64, k: f64 },
    /// A matrix over the whole map.
    Linear { out: usize, bias: bool },
    /// The greatest of `pieces` linear layers (I. Goodfellow et al., ICML 2013).
    Maxout { out: usize, pieces: usize },
    /// Several ways side by side; their channels follow one another.
    Branches(Vec<Vec<Node>>),
    /// What the layers make, times `scale`, added to what they were given.
    Residual { inner: Vec<Node>, scale: f64 },
}

/// With torch's epsilon.
pub(crate) const BATCH_NORM: Layer = Layer::BatchNorm { epsilon: 1e-5 };
/// AlexNet's constants; the paper of NN1 names none.
pub(crate) const LOCAL_NORM: Layer = Layer::LocalNorm { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };

/// A network by its name, with the map that it takes and its layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) input: Shape,
    pub(crate) nodes: Vec<Node>,
}

impl Network {
    /// The name, which is the architecture of its weights.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, and where it is from.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Width and height of the chips in pixels.
    pub fn chip_size(&self) -> (u32, u32) {
        (self.input.columns as u32, self.input.rows as u32)
    }

    /// Dimensions of an embedding.
    pub fn dimension(&self) -> usize {
        self.nodes.iter().fold(self.input, |shape, node| node.layer.output(shape)).values()
    }

    /// The tensors in the order of the layers, running statistics among them.
    pub(crate) fn specs(&self) -> Vec<TensorSpec> {
        let mut specs = Vec::new();
        collect(&self.nodes, self.input, &mut specs);
        specs
    }
}

/// Adds the tensors of layers that are given `shape`; returns what they make of it.
fn collect(nodes: &[Node], shape: Shape, into: &mut Vec<TensorSpec>) -> Shape {
    nodes.iter().fold(shape, |shape, node| {
        match &node.layer {
            Layer::Branches(branches) => branches.iter().for_each(|b| {
                collect(b, shape, into);
            }),
            Layer::Residual { inner, .. } => {
                collect(inner, shape, into);
            }
            layer => into.extend(
                layer
                    .tensors(shape)
                    .into_iter()
                    .map(|(part, dims)| TensorSpec { name: format!("{}.{part}", node.name), shape: dims }),
            ),
        }
        node.layer.output(shape)
    })
}

impl Layer {
    /// The layer's own tensors.
    pub fn tensors(&self, input: Shape) -> Vec<(&'static str, Vec<usize>)> {
        let with_bias = |shape: Vec<usize>, bias: bool| {
            let out = shape[0];
            let mut tensors = vec![("weight", shape)];
            tensors.extend(bias.then(|| ("bias", vec![out])));
            tensors
        };
        let channels = input.channels;
        match *self {
            Self::Conv { out, kernel, depthwise, bias, .. } => {
                let inputs = if depthwise { 1 } else { channels };
                with_bias(vec![out, inputs, kernel.0, kernel.1], bias)
            }
            Self::BatchNorm { .. } => {
                ["weight", "bias", "running_mean", "running_var"].map(|part| (part, vec![channels])).into()
            }
            Self::PRelu => vec![("weight", vec![channels])],
            Self::Linear { out, bias } => with_bias(vec![out, input.values()], bias),
            Self::Maxout { out, pieces } => with_bias(vec![out * pieces, input.values()], true),
            _ => Vec::new(),
        }
    }

    /// What the layer makes of a map of that shape.
    pub fn output(&self, input: Shape) -> Shape {
        let windows = |length: usize, window: usize, stride: usize, padding: usize| {
            (length + 2 * padding).saturating_sub(window) / stride + 1
        };
        let moved = |channels: usize, window: (usize, usize), stride: usize, padding: (usize, usize)| Shape {
            channels,
            rows: windows(input.rows, window.0, stride, padding.0),
            columns: windows(input.columns, window.1, stride, padding.1),
        };
        let vector = |channels: usize| Shape { channels, rows: 1, columns: 1 };
        match self {
            Self::Conv { out, kernel, stride, padding, .. } => moved(*out, *kernel, *stride, *padding),
            Self::MaxPool { window, stride, padding } | Self::L2Pool { window, stride, padding } => {
                moved(input.channels, (*window, *window), *stride, (*padding, *padding))
            }
            Self::GlobalAverage => vector(input.channels),
            Self::Linear { out, .. } | Self::Maxout { out, .. } => vector(*out),
            Self::Branches(branches) => {
                let ends: Vec<Shape> =
                    branches.iter().map(|b| b.iter().fold(input, |s, node| node.layer.output(s))).collect();
                Shape { channels: ends.iter().map(|s| s.channels).sum(), ..ends[0] }
            }
            Self::BatchNorm { .. } | Self::Relu | Self::PRelu | Self::LocalNorm { .. } | Self::Residual { .. } => input,
        }
    }
}
