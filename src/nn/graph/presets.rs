//! The networks that can be trained.
//!
//! | name | from |
//! | --- | --- |
//! | `nn1` | F. Schroff et al., "FaceNet", CVPR 2015 (arXiv 1503.03832), table 1 |
//! | `nn2` | the same, table 2; `nn3` and `nn4` are it for chips of 160 and 96 pixels, `nn4` without the last 5x5 windows |
//! | `nns1`, `nns2` | the paper names their input and their cost alone; the layers are NN2's, narrowed to that cost, with a hidden layer |
//! | `inception-resnet-v1` | C. Szegedy et al., AAAI 2017, as facenet-pytorch 2.6.0 has it: its state_dicts are weights of this one |
//! | `mobilefacenet-prelu` | S. Chen et al., "MobileFaceNets", CCBR 2018 (arXiv 1804.07573), table 1 |
//! | `sface-shape` | Y. Zhong et al., "SFace", IEEE TIP 2021: the released network's layers, with their norms |
//! | `tiny` | the same blocks, narrower, for a student of at most 1.2 million parameters and 0.15 thousand million operations |

use super::layer::{BATCH_NORM, LOCAL_NORM, Layer, Network, Node, Shape};
use crate::nn::weights::{SFACE_BLOCKS, SFACE_DIMENSION};

/// Names of the networks.
pub const NAMES: [&str; 10] =
    ["nn1", "nn2", "nn3", "nn4", "nns1", "nns2", "inception-resnet-v1", "mobilefacenet-prelu", "sface-shape", "tiny"];

/// The network of that name.
pub fn named(name: &str) -> Option<Network> {
    let (about, (columns, rows), nodes): (&str, (usize, usize), Vec<Node>) = match name {
        "nn1" => ("FaceNet's NN1, after Zeiler and Fergus, with 1x1 layers (table 1)", (220, 220), nn1()),
        "nn2" => ("FaceNet's NN2, of inception modules (table 2)", (224, 224), nn2(&Widths::FULL)),
        "nn3" => ("FaceNet's NN3: NN2 for chips of 160 pixels", (160, 160), nn2(&Widths::FULL)),
        "nn4" => (
            "FaceNet's NN4: NN2 for chips of 96 pixels, without 5x5 windows in its last modules",
            (96, 96),
            nn2(&Widths { last_5x5: false, ..Widths::FULL }),
        ),
        "nns1" => (
            "of FaceNet's NNS1 input and cost are known; layers are NN2's, narrowed, and a hidden one",
            (165, 165),
            nn2(&NNS1),
        ),
        "nns2" => (
            "of FaceNet's NNS2 input and cost are known; layers are NN2's, narrowed, and a hidden one",
            (116, 140),
            nn2(&NNS2),
        ),
        "inception-resnet-v1" => (
            "Inception-ResNet-v1, FaceNet's network of today, with facenet-pytorch's tensors",
            (160, 160),
            inception_resnet_v1(),
        ),
        "mobilefacenet-prelu" => ("MobileFaceNet (table 1), with its PReLU", (112, 112), mobilefacenet(&MOBILEFACENET)),
        "sface-shape" => ("the layers of SFace's released network: MobileNetV1 with PReLU", (112, 112), sface()),
        "tiny" => ("a narrow MobileFaceNet, for distillation and small data", (112, 112), mobilefacenet(&TINY)),
        _ => return None,
    };
    let name = NAMES.iter().find(|n| **n == name)?;
    Some(Network { name, about, input: Shape { channels: 3, rows, columns }, nodes })
}

fn node(name: impl Into<String>, layer: Layer) -> Node {
    Node { name: name.into(), layer }
}

/// Convolution with a bias, then ReLU, as in the FaceNet paper.
fn conv_relu(name: &str, out: usize, kernel: usize, stride: usize) -> [Node; 2] {
    let (kernel, padding) = ((kernel, kernel), (kernel / 2, kernel / 2));
    let conv = Layer::Conv { out, kernel, stride, padding, depthwise: false, bias: true };
    [node(name, conv), node(format!("{name}.relu"), Layer::Relu)]
}

fn max_pool(name: &str) -> Node {
    node(name, Layer::MaxPool { window: 3, stride: 2, padding: 1 })
}

/// Table 1 of the FaceNet paper.
fn nn1() -> Vec<Node> {
    let mut nodes = Vec::new();
    nodes.extend(conv_relu("conv1", 64, 7, 2));
    nodes.extend([max_pool("pool1"), node("rnorm1", LOCAL_NORM)]);
    nodes.extend(conv_relu("conv2a", 64, 1, 1));
    nodes.extend(conv_relu("conv2", 192, 3, 1));
    nodes.extend([node("rnorm2", LOCAL_NORM), max_pool("pool2")]);
    nodes.extend(conv_relu("conv3a", 192, 1, 1));
    nodes.extend(conv_relu("conv3", 384, 3, 1));
    nodes.push(max_pool("pool3"));
    for (name, inside, out) in [("conv4", 384, 256), ("conv5", 256, 256), ("conv6", 256, 256)] {
        nodes.extend(conv_relu(&format!("{name}a"), inside, 1, 1));
        nodes.extend(conv_relu(name, out, 3, 1));
    }
    nodes.push(max_pool("pool4"));
    nodes.push(node("fc1", Layer::Maxout { out: 32 * 128, pieces: 2 }));
    nodes.push(node("fc2", Layer::Maxout { out: 32 * 128, pieces: 2 }));
    // 524 thousand parameters in the table: 4096 * 128, so it has no bias there.
    nodes.push(node("fc7128", Layer::Linear { out: 128, bias: false }));
    nodes
}

/// What the table of NN1 says of a layer: parameters and operations in words, and the numbers that they round.
pub const NN1_TABLE: [(&str, &str, &str); 14] = [
    ("conv1", "9K", "115M"),
    ("conv2a", "4K", "13M"),
    ("conv2", "111K", "335M"),
    ("conv3a", "37K", "29M"),
    ("conv3", "664K", "521M"),
    ("conv4a", "148K", "29M"),
    ("conv4", "885K", "173M"),
    ("conv5a", "66K", "13M"),
    ("conv5", "590K", "116M"),
    ("conv6a", "66K", "13M"),
    ("conv6", "590K", "116M"),
    ("fc1", "103M", "103M"),
    ("fc2", "34M", "34M"),
    ("fc7128", "524K", "0.5M"),
];

/// What the table of NN2 says of a layer.
pub const NN2_TABLE: [(&str, &str, &str); 14] = [
    ("conv1", "9K", "119M"),
    ("inception2", "115K", "360M"),
    ("inception3a", "164K", "128M"),
    ("inception3b", "228K", "179M"),
    ("inception3c", "398K", "108M"),
    ("inception4a", "545K", "107M"),
    ("inception4b", "595K", "117M"),
    ("inception4c", "654K", "128M"),
    ("inception4d", "722K", "142M"),
    ("inception4e", "717K", "56M"),
    ("inception5a", "1.6M", "78M"),
    ("inception5b", "1.6M", "78M"),
    ("fc", "131K", "0.1M"),
    ("total", "7.5M", "1.6B"),
];

/// What the paper says of a layer of a network: parameters and operations; none where it prints no table.
pub fn printed(network: &str, layer: &str) -> Option<(&'static str, &'static str)> {
    let table: &[(&str, &'static str, &'static str)] = match network {
        "nn1" => &NN1_TABLE,
        "nn2" => &NN2_TABLE,
        _ => return None,
    };
    table.iter().find(|(name, _, _)| *name == layer).map(|(_, parameters, operations)| (*parameters, *operations))
}

/// What the paper says of a whole network: parameters and operations.
pub fn printed_total(network: &str) -> Option<(&'static str, &'static str)> {
    Some(match network {
        "nn1" => ("140M", "1.6B"),
        "nn2" => ("7.5M", "1.6B"),
        "nn4" => ("-", "285M"),
        "nns1" => ("26M", "220M"),
        "nns2" => ("4.3M", "20M"),
        "mobilefacenet-prelu" => ("0.99M", "221M"),
        _ => return None,
    })
}

/// What differs from the paper, and why, in sentences.
pub fn remarks(network: &str) -> &'static [&'static str] {
    match network {
        "nn1" => &[
            "Every row is the table's. It prints 11 convolutions: the 9 layers of which articles speak are 6 of them, those of \
             3x3 and 7x7, and 3 fully connected ones; the 5 of 1x1 between them are counted apart.",
            "Local response normalisation has AlexNet's constants, since the paper names none. FLOPS in the table are \
             multiplications with their additions.",
        ],
        "nn2" => &[
            "inception4a has 545 536 parameters, and 544 768 without its biases, which the table seems to leave out there.",
        ],
        "nns1" | "nns2" => {
            &["The paper prints no table of its layers; these are of kith's making, for its input and its cost."]
        }
        _ => &[],
    }
}

/// How NN2 is narrowed: channels are rounded up to multiples of four.
struct Widths {
    /// Thousandths of the channels of the first two layers.
    stem: usize,
    /// Of the inception modules.
    modules: usize,
    /// Of the modules of the last stage, which cost few operations.
    last: usize,
    last_5x5: bool,
    /// Where there is one: the values of a hidden layer over the whole last map, in place of the map's average.
    hidden: Option<usize>,
}

impl Widths {
    const FULL: Self = Self { stem: 1000, modules: 1000, last: 1000, last_5x5: true, hidden: None };
}

/// 26 million parameters and 220 million operations.
const NNS1: Widths = Widths { stem: 400, modules: 400, last: 400, last_5x5: true, hidden: Some(1640) };
/// 4.3 million parameters and 20 million operations.
const NNS2: Widths = Widths { stem: 125, modules: 125, last: 200, last_5x5: true, hidden: Some(920) };

/// A row of table 2: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pooling's projection; nought where there is none.
struct Inception {
    name: &'static str,
    ones: usize,
    threes: (usize, usize),
    fives: (usize, usize),
    /// Root of the sum of squares, in place of the greatest.
    l2: bool,
    projection: usize,
    stride: usize,
}

const fn inception(
    name: &'static str,
    ones: usize,
    threes: (usize, usize),
    fives: (usize, usize),
    l2: bool,
    projection: usize,
    stride: usize,
) -> Inception {
    Inception { name, ones, threes, fives, l2, projection, stride }
}

const MODULES: [Inception; 10] = [
    inception("3a", 64, (96, 128), (16, 32), false, 32, 1),
    inception("3b", 64, (96, 128), (32, 64), true, 64, 1),
    inception("3c", 0, (128, 256), (32, 64), false, 0, 2),
    inception("4a", 256, (96, 192), (32, 64), true, 128, 1),
    inception("4b", 224, (112, 224), (32, 64), true, 128, 1),
    inception("4c", 192, (128, 256), (32, 64), true, 128, 1),
    inception("4d", 160, (144, 288), (32, 64), true, 128, 1),
    inception("4e", 0, (160, 256), (64, 128), false, 0, 2),
    inception("5a", 384, (192, 384), (48, 128), true, 128, 1),
    inception("5b", 384, (192, 384), (48, 128), false, 128, 1),
];

/// Table 2 of the FaceNet paper.
fn nn2(widths: &Widths) -> Vec<Node> {
    let of = |thousandths: usize, channels: usize| (channels * thousandths).div_ceil(4000) * 4;
    let stem = |channels| of(widths.stem, channels);
    let mut nodes = Vec::new();
    nodes.extend(conv_relu("conv1", stem(64), 7, 2));
    nodes.extend([max_pool("pool1"), node("norm1", LOCAL_NORM)]);
    let mut second = Vec::new();
    second.extend(conv_relu("inception2.3x3_reduce", stem(64), 1, 1));
    second.extend(conv_relu("inception2.3x3", stem(192), 3, 1));
    nodes.push(node("inception2", Layer::Branches(vec![second])));
    nodes.extend([node("norm2", LOCAL_NORM), max_pool("pool2")]);
    for module in &MODULES {
        let last = module.name.starts_with('5');
        let scaled = |channels: usize| of(if last { widths.last } else { widths.modules }, channels);
        let name = format!("inception{}", module.name);
        let mut branches: Vec<Vec<Node>> = Vec::new();
        let mut windowed = |kind: &str, kernel: usize, (reduce, out): (usize, usize)| {
            let mut branch = Vec::new();
            branch.extend(conv_relu(&format!("{name}.{kind}_reduce"), scaled(reduce), 1, 1));
            branch.extend(conv_relu(&format!("{name}.{kind}"), scaled(out), kernel, module.stride));
            branches.push(branch);
        };
        windowed("3x3", 3, module.threes);
        if widths.last_5x5 || !last {
            windowed("5x5", 5, module.fives);
        }
        let pool = match module.l2 {
            true => Layer::L2Pool { window: 3, stride: module.stride, padding: 1 },
            false => Layer::MaxPool { window: 3, stride: module.stride, padding: 1 },
        };
        let mut pooled = vec![node(format!("{name}.pool"), pool)];
        if module.projection > 0 {
            pooled.extend(conv_relu(&format!("{name}.projection"), scaled(module.projection), 1, 1));
        }
        branches.push(pooled);
        if module.ones > 0 {
            branches.insert(0, conv_relu(&format!("{name}.1x1"), scaled(module.ones), 1, 1).to_vec());
        }
        nodes.push(node(name, Layer::Branches(branches)));
    }
    match widths.hidden {
        None => nodes.push(node("average", Layer::GlobalAverage)),
        Some(out) => {
            nodes.push(node("fc1", Layer::Linear { out, bias: true }));
            nodes.push(node("fc1.relu", Layer::Relu));
        }
    }
    nodes.push(node("fc", Layer::Linear { out: 128, bias: false }));
    nodes
}

/// A convolution of a branch: outputs, window, stride and padding.
type Windowed = (usize, (usize, usize), usize, (usize, usize));

const fn point(out: usize) -> Windowed {
    (out, (1, 1), 1, (0, 0))
}

const fn square(out: usize, stride: usize, padding: usize) -> Windowed {
    (out, (3, 3), stride, (padding, padding))
}

/// `NAME.conv`, `NAME.bn` and ReLU, with facenet-pytorch's epsilon.
fn basic(name: &str, (out, kernel, stride, padding): Windowed) -> [Node; 3] {
    let conv = Layer::Conv { out, kernel, stride, padding, depthwise: false, bias: false };
    let norm = Layer::BatchNorm { epsilon: 1e-3 };
    [node(format!("{name}.conv"), conv), node(format!("{name}.bn"), norm), node(format!("{name}.relu"), Layer::Relu)]
}

/// Branches over one map; one of a single convolution is named by itself, a longer one numbers them.
fn side_by_side(name: &str, branches: &[&[Windowed]]) -> Vec<Vec<Node>> {
    let branch = |(i, windows): (usize, &&[Windowed])| match windows {
        [only] => basic(&format!("{name}.branch{i}"), *only).to_vec(),
        _ => windows.iter().enumerate().flat_map(|(j, w)| basic(&format!("{name}.branch{i}.{j}"), *w)).collect(),
    };
    branches.iter().enumerate().map(branch).collect()
}

/// Branches joined by a 1x1 convolution to `out` channels, scaled and added to what they were given.
fn joined(name: &str, branches: &[&[Windowed]], out: usize, scale: f64) -> Node {
    let (kernel, padding) = ((1, 1), (0, 0));
    let join = Layer::Conv { out, kernel, stride: 1, padding, depthwise: false, bias: true };
    let branches = Layer::Branches(side_by_side(name, branches));
    let inner = vec![node(format!("{name}.branches"), branches), node(format!("{name}.conv2d"), join)];
    node(name, Layer::Residual { inner, scale })
}

/// Szegedy et al., figures 10 to 14, in facenet-pytorch's variant.
fn inception_resnet_v1() -> Vec<Node> {
    let mut nodes = Vec::new();
    for (name, windowed) in [("1a", square(32, 2, 0)), ("2a", square(32, 1, 0)), ("2b", square(64, 1, 1))] {
        nodes.extend(basic(&format!("conv2d_{name}"), windowed));
    }
    let pool = || Layer::MaxPool { window: 3, stride: 2, padding: 0 };
    nodes.push(node("maxpool_3a", pool()));
    for (name, windowed) in [("3b", point(80)), ("4a", square(192, 1, 0)), ("4b", square(256, 2, 0))] {
        nodes.extend(basic(&format!("conv2d_{name}"), windowed));
    }
    let repeated = |count: usize, name: &str, branches: &[&[Windowed]], out: usize, scale: f64| -> Vec<Node> {
        let one = |i: usize| {
            let name = format!("{name}.{i}");
            [joined(&name, branches, out, scale), node(format!("{name}.relu"), Layer::Relu)]
        };
        (0..count).flat_map(one).collect()
    };
    let around = |a: Windowed, b: Windowed| [point(a.0), a, b];
    let three = [point(32), square(32, 1, 1), square(32, 1, 1)];
    nodes.extend(repeated(5, "repeat_1", &[&[point(32)], &three[..2], &three], 256, 0.17));
    let reduced = |name: &str, branches: &[&[Windowed]]| {
        let mut ways = side_by_side(name, branches);
        ways.push(vec![node(format!("{name}.branch{}", branches.len()), pool())]);
        node(name, Layer::Branches(ways))
    };
    nodes.push(reduced("mixed_6a", &[&[square(384, 2, 0)], &[point(192), square(192, 1, 1), square(256, 2, 0)]]));
    let seven = around((128, (1, 7), 1, (0, 3)), (128, (7, 1), 1, (3, 0)));
    nodes.extend(repeated(10, "repeat_2", &[&[point(128)], &seven], 896, 0.10));
    let windowed = square(256, 2, 0);
    nodes.push(reduced(
        "mixed_7a",
        &[&[point(256), square(384, 2, 0)], &[point(256), windowed], &[point(256), square(256, 1, 1), windowed]],
    ));
    let last = around((192, (1, 3), 1, (0, 1)), (192, (3, 1), 1, (1, 0)));
    nodes.extend(repeated(5, "repeat_3", &[&[point(192)], &last], 1792, 0.20));
    nodes.push(joined("block8", &[&[point(192)], &last], 1792, 1.0));
    nodes.push(node("avgpool", Layer::GlobalAverage));
    nodes.push(node("last_linear", Layer::Linear { out: 512, bias: false }));
    nodes.push(node("last_bn", Layer::BatchNorm { epsilon: 1e-3 }));
    nodes
}

/// A row of MobileFaceNet's table: expansion, channels, repetitions, stride of the first.
type Bottlenecks = (usize, usize, usize, usize);

struct Mobile {
    stem: usize,
    bottlenecks: &'static [Bottlenecks],
    wide: usize,
}

const MOBILEFACENET: Mobile = Mobile {
    stem: 64,
    bottlenecks: &[(2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)],
    wide: 512,
};
const TINY: Mobile = Mobile {
    stem: 32,
    bottlenecks: &[(2, 48, 3, 2), (4, 96, 1, 2), (2, 96, 6, 1), (4, 128, 1, 2), (2, 128, 3, 1)],
    wide: 384,
};

/// A convolution with its norm, and PReLU where `slope` says so.
fn normed(name: &str, out: usize, kernel: usize, stride: usize, depthwise: bool, slope: bool) -> Vec<Node> {
    // One over the whole map has no padding.
    let padding = if kernel == 3 { (1, 1) } else { (0, 0) };
    let conv = Layer::Conv { out, kernel: (kernel, kernel), stride, padding, depthwise, bias: false };
    let mut nodes = vec![node(name, conv), node(format!("{name}.bn"), BATCH_NORM)];
    nodes.extend(slope.then(|| node(format!("{name}.prelu"), Layer::PRelu)));
    nodes
}

/// SFace's released network. Its norm before the last layer is one with that layer's own.
fn sface() -> Vec<Node> {
    let mut nodes = normed("conv1", SFACE_BLOCKS[0].input, 3, 1, false, true);
    for (i, block) in SFACE_BLOCKS.iter().enumerate() {
        nodes.extend(normed(&format!("blocks.{i}.depthwise"), block.input, 3, block.stride, true, true));
        nodes.extend(normed(&format!("blocks.{i}.pointwise"), block.output, 1, 1, false, true));
    }
    nodes.extend(normed("fc", SFACE_DIMENSION, 7, 1, false, false));
    nodes
}

/// Table 1 of the MobileFaceNets paper.
fn mobilefacenet(mobile: &Mobile) -> Vec<Node> {
    let mut nodes = Vec::new();
    let conv = normed;
    nodes.extend(conv("conv1", mobile.stem, 3, 2, false, true));
    nodes.extend(conv("depthwise1", mobile.stem, 3, 1, true, true));
    let (mut channels, mut number) = (mobile.stem, 0);
    for &(expansion, out, repetitions, stride) in mobile.bottlenecks {
        for repetition in 0..repetitions {
            let (name, stride) = (format!("bottleneck{number}"), if repetition == 0 { stride } else { 1 });
            let wide = channels * expansion;
            let mut block = conv(&format!("{name}.expand"), wide, 1, 1, false, true);
            block.extend(conv(&format!("{name}.depthwise"), wide, 3, stride, true, true));
            block.extend(conv(&format!("{name}.project"), out, 1, 1, false, false));
            let residual = stride == 1 && channels == out;
            nodes.push(node(
                name,
                if residual { Layer::Residual { inner: block, scale: 1.0 } } else { Layer::Branches(vec![block]) },
            ));
            (channels, number) = (out, number + 1);
        }
    }
    nodes.extend(conv("conv2", mobile.wide, 1, 1, false, true));
    nodes.extend(conv("global", mobile.wide, 7, 1, true, false));
    nodes.extend(conv("embedding", 128, 1, 1, false, false));
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number as the paper's tables write it.
    fn written(value: u64, like: &str) -> String {
        let (unit, letter) = match like.chars().last() {
            Some('K') => (1e3, 'K'),
            Some('M') => (1e6, 'M'),
            _ => (1e9, 'B'),
        };
        let digits = usize::from(like.contains('.'));
        format!("{:.digits$}{letter}", value as f64 / unit)
    }

    #[test]
    fn nn1_costs_what_the_papers_table_says_in_every_row() {
        let network = named("nn1").unwrap();
        let costs = network.costs();
        for (name, parameters, operations) in NN1_TABLE {
            let cost = costs.iter().find(|c| c.name == name).unwrap();
            assert_eq!(written(cost.parameters, parameters), parameters, "{name}");
            assert_eq!(written(cost.operations, operations), operations, "{name}");
        }
        assert_eq!(
            (written(network.parameters(), "140M"), written(network.operations(), "1.6B")),
            ("140M".into(), "1.6B".into())
        );
        assert_eq!(network.dimension(), 128);
        let outputs: Vec<_> = costs.iter().filter(|c| c.name.starts_with("pool")).map(|c| c.output).collect();
        assert_eq!(outputs, [(64, 55, 55), (192, 28, 28), (384, 14, 14), (256, 7, 7)]);
    }

    #[test]
    fn nn2_costs_what_the_papers_table_says_but_where_its_rows_do_not_add_up() {
        let network = named("nn2").unwrap();
        let costs = network.costs();
        let mut differing = Vec::new();
        for (name, parameters, operations) in &NN2_TABLE[..13] {
            let cost = costs.iter().find(|c| c.name == *name).unwrap();
            let ours = (written(cost.parameters, parameters), written(cost.operations, operations));
            if ours != (parameters.to_string(), operations.to_string()) {
                differing.push(format!("{name}: {} {}", ours.0, ours.1));
            }
        }
        // 4a has 544 768 weights and 768 biases: the table seems to have left the biases out there.
        assert_eq!(differing, ["inception4a: 546K 107M"]);
        assert_eq!(written(network.parameters(), "7.5M"), "7.5M");
        assert_eq!(written(network.operations(), "1.6B"), "1.6B");
        let outputs: Vec<_> = costs.iter().filter(|c| c.name.starts_with("inception")).map(|c| c.output).collect();
        assert_eq!(outputs[1..4], [(256, 28, 28), (320, 28, 28), (640, 14, 14)]);
        assert_eq!(*outputs.last().unwrap(), (1024, 7, 7));
    }

    /// A file of either is one of the other: any facenet-pytorch state_dict begins a training, and what was trained runs as
    /// an imported one does.
    #[test]
    fn what_is_trained_of_inception_resnet_v1_is_what_is_imported() {
        let own = named("inception-resnet-v1").unwrap().specs();
        let imported = crate::nn::weights::specs_of("inception-resnet-v1").unwrap();
        let sorted = |specs: Vec<crate::nn::weights::TensorSpec>| -> Vec<(String, Vec<usize>)> {
            let mut named: Vec<_> = specs.into_iter().map(|s| (s.name, s.shape)).collect();
            named.sort();
            named
        };
        assert_eq!(sorted(own), sorted(imported));
    }

    #[test]
    fn every_network_keeps_its_budget() {
        for name in NAMES {
            let network = named(name).unwrap();
            println!("{name}: {} parameters, {} operations", network.parameters(), network.operations());
            let dimension = if name == "inception-resnet-v1" { 512 } else { 128 };
            assert_eq!((network.name(), network.dimension()), (name, dimension));
        }
        let of = |name: &str| named(name).map(|n| (n.parameters() as f64 / 1e6, n.operations() as f64 / 1e6)).unwrap();
        let within = |(got, wanted): (f64, f64)| (got / wanted - 1.0).abs() < 0.1;
        for (name, parameters, operations) in
            [("nns1", 26.0, 220.0), ("nns2", 4.3, 20.0), ("mobilefacenet-prelu", 0.99, 221.0)]
        {
            let (p, o) = of(name);
            assert!(within((p, parameters)) && within((o, operations)), "{name}: {p} and {o} million");
        }
        assert!(within((of("nn4").1, 285.0)), "{:?}", of("nn4"));
        let (parameters, operations) = of("tiny");
        assert!(parameters <= 1.2 && operations <= 150.0);
        assert!(named("nn5").is_none());
    }
}
