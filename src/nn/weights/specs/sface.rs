//! Tensors of SFace, as kith stores them: batch normalisation folded into the layer before it or after it.

use super::tensor::{TensorSpec, pair, spec};

/// A block of SFace: 3x3 over each channel alone, then 1x1, each followed by a PReLU.
pub(crate) struct SfaceBlock {
    pub input: usize,
    pub output: usize,
    /// Of the 3x3 convolution.
    pub stride: usize,
}

const fn block(input: usize, output: usize, stride: usize) -> SfaceBlock {
    SfaceBlock { input, output, stride }
}

/// MobileNetV1's blocks, with the strides of chips of 112x112; the file numbers them from 2 on.
pub(crate) const SFACE_BLOCKS: [SfaceBlock; 13] = [
    block(32, 64, 1),
    block(64, 128, 2),
    block(128, 128, 1),
    block(128, 256, 2),
    block(256, 256, 1),
    block(256, 512, 2),
    block(512, 512, 1),
    block(512, 512, 1),
    block(512, 512, 1),
    block(512, 512, 1),
    block(512, 512, 1),
    block(512, 1024, 2),
    block(1024, 1024, 1),
];

/// Channels of the first convolution.
pub(crate) const SFACE_STEM: usize = 32;
/// Rows and columns of the map that the last layer weighs.
pub(crate) const SFACE_LAST: usize = 7;
/// Dimensions of an embedding.
pub(crate) const SFACE_DIMENSION: usize = 128;

pub(super) fn sface() -> Vec<TensorSpec> {
    let mut specs = vec![spec("input.mean", &[1]), spec("input.factor", &[1])];
    let mut convolution = |name: &str, weight: &[usize]| {
        pair(&mut specs, name, weight);
        specs.push(spec(format!("{name}.slope"), &weight[..1]));
    };
    convolution("conv1", &[SFACE_STEM, 3, 3, 3]);
    for (i, b) in SFACE_BLOCKS.iter().enumerate() {
        convolution(&format!("blocks.{i}.depthwise"), &[b.input, 1, 3, 3]);
        convolution(&format!("blocks.{i}.pointwise"), &[b.output, b.input, 1, 1]);
    }
    pair(&mut specs, "fc", &[SFACE_DIMENSION, SFACE_BLOCKS[12].output, SFACE_LAST, SFACE_LAST]);
    specs
}

/// The tensors of the released file, under its own names.
pub(crate) fn sface_released() -> Vec<TensorSpec> {
    let mut specs = vec![spec("scalar_op1", &[1]), spec("scalar_op2", &[1])];
    let norm = |specs: &mut Vec<TensorSpec>, name: &str, channels: usize| {
        for part in ["gamma", "beta", "moving_mean", "moving_var"] {
            specs.push(spec(format!("{name}_{part}"), &[channels]));
        }
    };
    let mut convolution = |name: &str, weight: &[usize]| {
        specs.push(spec(format!("{name}_conv2d_weight"), weight));
        norm(&mut specs, &format!("{name}_batchnorm"), weight[0]);
        specs.push(spec(format!("{name}_relu_gamma"), &[weight[0], 1, 1]));
    };
    convolution("conv_1", &[SFACE_STEM, 3, 3, 3]);
    for (i, b) in SFACE_BLOCKS.iter().enumerate() {
        convolution(&format!("conv_{}_dw", i + 2), &[b.input, 1, 3, 3]);
        convolution(&format!("conv_{}", i + 2), &[b.output, b.input, 1, 1]);
    }
    let last = SFACE_BLOCKS[12].output;
    norm(&mut specs, "bn1", last);
    specs.push(spec("pre_fc1_weight", &[SFACE_DIMENSION, last * SFACE_LAST * SFACE_LAST]));
    specs.push(spec("pre_fc1_bias", &[SFACE_DIMENSION]));
    norm(&mut specs, "fc1", SFACE_DIMENSION);
    specs
}
