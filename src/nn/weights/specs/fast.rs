//! Tensors of the fast pair: YuNet and MobileFaceNet, with batch normalisation folded in.

use super::tensor::{TensorSpec, pair};

/// Channels of a YuNet.
pub(crate) struct YunetShape {
    /// Input and output channels of the two units of each stage; the first stage's first is the stem, a
    /// full 3x3 convolution.
    pub stages: [[(usize, usize); 2]; 6],
    /// Whether the heads of a level share a unit before they part.
    pub shared: bool,
}

/// Channels that neck and heads work on.
const YUNET_WIDTH: usize = 64;
/// Outputs of each head, in the order of the export.
const YUNET_HEADS: [(&str, usize); 4] = [("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10)];

/// The small one: OpenCV Zoo's file of March 2023.
pub(crate) const YUNET_S: YunetShape = YunetShape {
    stages: [
        [(3, 16), (16, 16)],
        [(16, 16), (16, 32)],
        [(32, 32), (32, 64)],
        [(64, 64), (64, 64)],
        [(64, 64), (64, 64)],
        [(64, 64), (64, 64)],
    ],
    shared: false,
};

/// The larger one.
pub(crate) const YUNET_N: YunetShape = YunetShape {
    stages: [
        [(3, 16), (16, 16)],
        [(16, 16), (16, 64)],
        [(64, 64), (64, 64)],
        [(64, 64), (64, 64)],
        [(64, 64), (64, 64)],
        [(64, 64), (64, 64)],
    ],
    shared: true,
};

/// A unit: a 1x1 convolution, then a 3x3 over each channel alone.
fn unit(specs: &mut Vec<TensorSpec>, name: &str, input: usize, output: usize) {
    pair(specs, &format!("{name}.conv1"), &[output, input, 1, 1]);
    pair(specs, &format!("{name}.conv2"), &[output, 1, 3, 3]);
}

/// Names, and channels in and out, of all units in the order in which they run.
fn yunet_units(shape: &YunetShape) -> Vec<(String, usize, usize)> {
    let mut units = Vec::new();
    for (stage, channels) in shape.stages.iter().enumerate() {
        for (place, &(input, output)) in channels.iter().enumerate() {
            if (stage, place) != (0, 0) {
                units.push((format!("backbone.model{stage}.conv{}", place + 1), input, output));
            }
        }
    }
    // The neck goes from the coarsest level to the finest.
    units.extend((0..3).rev().map(|level| (format!("neck.lateral_convs.{level}"), YUNET_WIDTH, YUNET_WIDTH)));
    if shape.shared {
        let name = |level| format!("bbox_head.multi_level_share_convs.{level}.0");
        units.extend((0..3).map(|level| (name(level), YUNET_WIDTH, YUNET_WIDTH)));
    }
    units
}

pub(super) fn yunet(shape: &YunetShape) -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    let (input, output) = shape.stages[0][0];
    pair(&mut specs, "backbone.model0.conv1", &[output, input, 3, 3]);
    for (name, input, output) in yunet_units(shape) {
        unit(&mut specs, &name, input, output);
    }
    for (head, outputs) in YUNET_HEADS {
        for level in 0..3 {
            unit(&mut specs, &format!("bbox_head.multi_level_{head}.{level}"), YUNET_WIDTH, outputs);
        }
    }
    specs
}

/// The exporter folds batch normalisation, and so numbers, the stem and the second convolution of each
/// unit; the heads have none.
pub(super) fn yunet_numbered(shape: &YunetShape) -> Vec<String> {
    let units = yunet_units(shape).into_iter().map(|(name, ..)| format!("{name}.conv2"));
    std::iter::once("backbone.model0.conv1".to_string()).chain(units).collect()
}

/// A block of MobileFaceNet: 1x1 to `middle` channels, 3x3 over each alone, 1x1 to `output`.
pub(crate) struct MobileBlock {
    pub input: usize,
    pub middle: usize,
    pub output: usize,
    /// Of the 3x3 convolution; at 1 with as many channels out as in, the input is added at the end.
    pub stride: usize,
}

const fn block(input: usize, middle: usize, output: usize, stride: usize) -> MobileBlock {
    MobileBlock { input, middle, output, stride }
}

/// Table 1 of the paper, its repetitions written out.
pub(crate) const MOBILEFACENET_BLOCKS: [MobileBlock; 15] = [
    block(64, 128, 64, 2),
    block(64, 128, 64, 1),
    block(64, 128, 64, 1),
    block(64, 128, 64, 1),
    block(64, 128, 64, 1),
    block(64, 256, 128, 2),
    block(128, 256, 128, 1),
    block(128, 256, 128, 1),
    block(128, 256, 128, 1),
    block(128, 256, 128, 1),
    block(128, 256, 128, 1),
    block(128, 256, 128, 1),
    block(128, 512, 128, 2),
    block(128, 256, 128, 1),
    block(128, 256, 128, 1),
];

pub(super) fn mobilefacenet() -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    pair(&mut specs, "conv1", &[64, 3, 3, 3]);
    pair(&mut specs, "dw_conv.depthwise", &[64, 1, 3, 3]);
    pair(&mut specs, "dw_conv.pointwise", &[64, 64, 1, 1]);
    for (i, b) in MOBILEFACENET_BLOCKS.iter().enumerate() {
        pair(&mut specs, &format!("features.{i}.expand"), &[b.middle, b.input, 1, 1]);
        pair(&mut specs, &format!("features.{i}.depthwise"), &[b.middle, 1, 3, 3]);
        pair(&mut specs, &format!("features.{i}.project"), &[b.output, b.middle, 1, 1]);
    }
    pair(&mut specs, "conv2", &[512, 128, 1, 1]);
    pair(&mut specs, "gdconv", &[512, 1, 7, 7]);
    pair(&mut specs, "conv3", &[128, 512, 1, 1]);
    specs
}

/// Every convolution has a batch normalisation of its own, so the exporter numbers them all.
pub(super) fn mobilefacenet_numbered() -> Vec<String> {
    let weights = mobilefacenet().into_iter().filter_map(|s| s.name.strip_suffix(".weight").map(str::to_string));
    weights.collect()
}
