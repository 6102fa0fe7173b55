//! Tensors of CenterFace, as kith stores them: batch normalisation folded into the layer before it.

use super::{TensorSpec, pair, spec};

/// An inverted residual of MobileNetV2: 1x1 to `middle` channels, 3x3 over each alone, 1x1 to `output`.
pub(crate) struct InvertedResidual {
    pub input: usize,
    pub middle: usize,
    pub output: usize,
    /// Of the 3x3 convolution; at 1 with as many channels out as in, the input is added at the end.
    pub stride: usize,
}

impl InvertedResidual {
    /// Whether the input is added to the result.
    pub(crate) fn adds(&self) -> bool {
        self.stride == 1 && self.input == self.output
    }

    /// Whether it widens at all: the first one does not.
    pub(crate) fn expands(&self) -> bool {
        self.middle != self.input
    }
}

const fn block(input: usize, middle: usize, output: usize, stride: usize) -> InvertedResidual {
    InvertedResidual { input, middle, output, stride }
}

/// Table 2 of MobileNetV2, its repetitions written out; the file numbers them from 1 on.
pub(crate) const CENTERFACE_BLOCKS: [InvertedResidual; 17] = [
    block(32, 32, 16, 1),
    block(16, 96, 24, 2),
    block(24, 144, 24, 1),
    block(24, 144, 32, 2),
    block(32, 192, 32, 1),
    block(32, 192, 32, 1),
    block(32, 192, 64, 2),
    block(64, 384, 64, 1),
    block(64, 384, 64, 1),
    block(64, 384, 64, 1),
    block(64, 384, 96, 1),
    block(96, 576, 96, 1),
    block(96, 576, 96, 1),
    block(96, 576, 160, 2),
    block(160, 960, 160, 1),
    block(160, 960, 160, 1),
    block(160, 960, 320, 1),
];

/// Channels of the first convolution.
const STEM: usize = 32;
/// Channels of the neck and the heads.
const WIDTH: usize = 24;
/// After which blocks a map goes into the neck from the side, the coarsest first: the last of 16, 8 and 4 pixels a cell.
pub(crate) const CENTERFACE_LATERALS: [usize; 3] = [12, 5, 2];
/// The heads and how many outputs each has, in the order in which kith joins them; then the names of the file.
pub(crate) const CENTERFACE_HEADS: [(&str, usize, &str); 4] =
    [("heat", 1, "pos_conv"), ("scale", 2, "reg_conv"), ("offset", 2, "off_conv"), ("landmarks", 10, "lm_conv")];

pub(super) fn centerface() -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    for (name, weight) in convolutions() {
        pair(&mut specs, &name, &weight);
    }
    for i in 0..CENTERFACE_LATERALS.len() {
        // A transposed convolution's inputs come first.
        specs.push(spec(format!("neck.up.{i}.weight"), &[WIDTH, WIDTH, 2, 2]));
        specs.push(spec(format!("neck.up.{i}.bias"), &[WIDTH]));
    }
    for (head, outputs, _) in CENTERFACE_HEADS {
        pair(&mut specs, &format!("head.{head}"), &[outputs, WIDTH, 1, 1]);
    }
    specs
}

/// The convolutions whose batch normalisation the exporter folded, in the order in which it numbers them, and the shapes
/// of their weights.
fn convolutions() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![("stem".to_string(), vec![STEM, 3, 3, 3])];
    for (i, b) in CENTERFACE_BLOCKS.iter().enumerate() {
        if b.expands() {
            all.push((format!("blocks.{i}.expand"), vec![b.middle, b.input, 1, 1]));
        }
        all.push((format!("blocks.{i}.depthwise"), vec![b.middle, 1, 3, 3]));
        all.push((format!("blocks.{i}.project"), vec![b.output, b.middle, 1, 1]));
    }
    all.push(("neck.top".to_string(), vec![WIDTH, CENTERFACE_BLOCKS[16].output, 1, 1]));
    for (i, after) in CENTERFACE_LATERALS.iter().enumerate() {
        let input = CENTERFACE_BLOCKS[*after].output;
        all.push((format!("neck.lateral.{i}"), vec![WIDTH, input, 1, 1]));
    }
    all.push(("head.shared".to_string(), vec![WIDTH, WIDTH, 3, 3]));
    all
}

pub(super) fn centerface_numbered() -> Vec<String> {
    convolutions().into_iter().map(|(name, _)| name).collect()
}

/// The tensors of the released file: the numbered convolutions under kith's names, all others under its own.
pub(crate) fn centerface_released() -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    for (name, weight) in convolutions() {
        pair(&mut specs, &name, &weight);
    }
    for i in 0..CENTERFACE_LATERALS.len() {
        let layer = format!("neck.deconv_layers.{i}");
        specs.push(spec(format!("{layer}.conv.weight"), &[WIDTH, WIDTH, 2, 2]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            specs.push(spec(format!("{layer}.bn.{part}"), &[WIDTH]));
        }
    }
    for (_, outputs, name) in CENTERFACE_HEADS {
        pair(&mut specs, &format!("head.{name}"), &[outputs, WIDTH, 1, 1]);
    }
    specs
}
