//! Which tensors, of which shapes, each architecture needs.

mod centerface;
mod fast;
mod sface;
mod tensor;

pub(crate) use centerface::{CENTERFACE_BLOCKS, CENTERFACE_HEADS, CENTERFACE_LATERALS, centerface_released};
pub(crate) use fast::{MOBILEFACENET_BLOCKS, YUNET_N, YUNET_S, YunetShape};
pub use tensor::TensorSpec;
use tensor::{pair, spec};

use crate::nn::graph::presets;

pub(crate) use sface::{SFACE_BLOCKS, SFACE_DIMENSION, SFACE_LAST, sface_released};

/// Names of the architectures that kith runs.
pub fn architectures() -> &'static [&'static str] {
    &[
        "mtcnn",
        "dlib-resnet",
        "inception-resnet-v1",
        "yunet-s",
        "yunet-n",
        "centerface",
        "mobilefacenet",
        "sface",
        "eigenfaces",
        "fisherfaces",
    ]
}

/// The tensors of the architecture, in the order of the network; `None` for an unknown name.
pub fn of(architecture: &str) -> Option<Vec<TensorSpec>> {
    match architecture {
        "mtcnn" => Some(mtcnn()),
        "dlib-resnet" => Some(dlib_resnet()),
        "inception-resnet-v1" => Some(inception_resnet_v1()),
        "eigenfaces" | "fisherfaces" => Some(subspace()),
        "yunet-s" => Some(fast::yunet(&fast::YUNET_S)),
        "yunet-n" => Some(fast::yunet(&fast::YUNET_N)),
        "mobilefacenet" => Some(fast::mobilefacenet()),
        "sface" => Some(sface::sface()),
        "centerface" => Some(centerface::centerface()),
        _ => match architecture.strip_prefix(ADAPTED_PREFIX) {
            Some(base) => adapted(base),
            None => presets::named(architecture).map(|network| network.specs()),
        },
    }
}

/// What goes before the name of an architecture whose vectors are projected.
pub(crate) const ADAPTED_PREFIX: &str = "adapted-";

/// A base model's tensors under `base.`, and a projection of its vectors.
fn adapted(base: &str) -> Option<Vec<TensorSpec>> {
    let own = of(base).filter(|_| !base.starts_with(ADAPTED_PREFIX))?;
    let mut specs: Vec<TensorSpec> = own.into_iter().map(|s| spec(format!("base.{}", s.name), &s.shape)).collect();
    specs.push(spec("adapt.mean", &[TensorSpec::ANY]));
    specs.push(spec("adapt.projection", &[TensorSpec::ANY, TensorSpec::ANY]));
    Some(specs)
}

/// Mean and directions of 48x48 grey chips.
fn subspace() -> Vec<TensorSpec> {
    vec![spec("mean", &[48 * 48]), spec("projection", &[TensorSpec::ANY, 48 * 48])]
}

/// Names of the convolutions that an ONNX export of the architecture numbers, in the order in which it
/// does; none for an architecture that kith does not read from ONNX.
pub(super) fn numbered(architecture: &str) -> Vec<String> {
    match architecture {
        "yunet-s" => fast::yunet_numbered(&fast::YUNET_S),
        "yunet-n" => fast::yunet_numbered(&fast::YUNET_N),
        "mobilefacenet" => fast::mobilefacenet_numbered(),
        "centerface" => centerface::centerface_numbered(),
        _ => Vec::new(),
    }
}

/// The three networks under the prefixes `pnet`, `rnet`, `onet`.
fn mtcnn() -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    // Output channels and kernel of each convolution; inputs follow from the one before.
    let convolutions: [(&str, &[(usize, usize)]); 3] = [
        ("pnet", &[(10, 3), (16, 3), (32, 3)]),
        ("rnet", &[(28, 3), (48, 3), (64, 2)]),
        ("onet", &[(32, 3), (64, 3), (64, 3), (128, 2)]),
    ];
    for (net, layers) in convolutions {
        let mut input = 3;
        for (i, &(output, kernel)) in layers.iter().enumerate() {
            pair(&mut specs, &format!("{net}.conv{}", i + 1), &[output, input, kernel, kernel]);
            specs.push(spec(format!("{net}.prelu{}.weight", i + 1), &[output]));
            input = output;
        }
        let heads: &[(&str, &[usize])] = match net {
            "pnet" => &[("conv4_1", &[2, 32, 1, 1]), ("conv4_2", &[4, 32, 1, 1])],
            "rnet" => &[("dense4", &[128, 576]), ("dense5_1", &[2, 128]), ("dense5_2", &[4, 128])],
            _ => {
                &[("dense5", &[256, 1152]), ("dense6_1", &[2, 256]), ("dense6_2", &[4, 256]), ("dense6_3", &[10, 256])]
            }
        };
        for (name, shape) in heads {
            pair(&mut specs, &format!("{net}.{name}"), shape);
        }
        match net {
            "rnet" => specs.push(spec("rnet.prelu4.weight", &[128])),
            "onet" => specs.push(spec("onet.prelu5.weight", &[256])),
            _ => {}
        }
    }
    specs
}

/// Output channels of dlib's fourteen blocks.
pub(super) const DLIB_BLOCKS: [usize; 14] = [32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256];

fn dlib_resnet() -> Vec<TensorSpec> {
    let mut specs = vec![spec("input.mean", &[3])];
    let mut convolution = |prefix: &str, conv: &str, affine: &str, shape: &[usize]| {
        pair(&mut specs, &format!("{prefix}.{conv}"), shape);
        specs.push(spec(format!("{prefix}.{affine}.gamma"), &shape[..1]));
        specs.push(spec(format!("{prefix}.{affine}.beta"), &shape[..1]));
    };
    convolution("stem", "conv", "affine", &[32, 3, 7, 7]);
    let mut input = 32;
    for (i, output) in DLIB_BLOCKS.into_iter().enumerate() {
        convolution(&format!("block{i}"), "conv1", "affine1", &[output, input, 3, 3]);
        convolution(&format!("block{i}"), "conv2", "affine2", &[output, output, 3, 3]);
        input = output;
    }
    specs.push(spec("fc.weight", &[128, 256]));
    specs
}

/// facenet-pytorch's names, without the classifier.
fn inception_resnet_v1() -> Vec<TensorSpec> {
    let mut specs = Vec::new();
    let basic = |specs: &mut Vec<TensorSpec>, name: &str, output: usize, input: usize, rows: usize, columns: usize| {
        specs.push(spec(format!("{name}.conv.weight"), &[output, input, rows, columns]));
        batch_norm(specs, &format!("{name}.bn"), output);
    };
    let stem = [("1a", 32, 3, 3), ("2a", 32, 32, 3), ("2b", 64, 32, 3), ("3b", 80, 64, 1), ("4a", 192, 80, 3)];
    for (name, output, input, kernel) in stem.into_iter().chain([("4b", 256, 192, 3)]) {
        basic(&mut specs, &format!("conv2d_{name}"), output, input, kernel, kernel);
    }
    let join = |specs: &mut Vec<TensorSpec>, name: &str, output: usize, input: usize| {
        pair(specs, &format!("{name}.conv2d"), &[output, input, 1, 1]);
    };
    for i in 0..5 {
        let name = format!("repeat_1.{i}");
        basic(&mut specs, &format!("{name}.branch0"), 32, 256, 1, 1);
        basic(&mut specs, &format!("{name}.branch1.0"), 32, 256, 1, 1);
        basic(&mut specs, &format!("{name}.branch1.1"), 32, 32, 3, 3);
        basic(&mut specs, &format!("{name}.branch2.0"), 32, 256, 1, 1);
        basic(&mut specs, &format!("{name}.branch2.1"), 32, 32, 3, 3);
        basic(&mut specs, &format!("{name}.branch2.2"), 32, 32, 3, 3);
        join(&mut specs, &name, 256, 96);
    }
    basic(&mut specs, "mixed_6a.branch0", 384, 256, 3, 3);
    basic(&mut specs, "mixed_6a.branch1.0", 192, 256, 1, 1);
    basic(&mut specs, "mixed_6a.branch1.1", 192, 192, 3, 3);
    basic(&mut specs, "mixed_6a.branch1.2", 256, 192, 3, 3);
    for i in 0..10 {
        let name = format!("repeat_2.{i}");
        basic(&mut specs, &format!("{name}.branch0"), 128, 896, 1, 1);
        basic(&mut specs, &format!("{name}.branch1.0"), 128, 896, 1, 1);
        basic(&mut specs, &format!("{name}.branch1.1"), 128, 128, 1, 7);
        basic(&mut specs, &format!("{name}.branch1.2"), 128, 128, 7, 1);
        join(&mut specs, &name, 896, 256);
    }
    for (branch, output) in [("branch0", 384), ("branch1", 256)] {
        basic(&mut specs, &format!("mixed_7a.{branch}.0"), 256, 896, 1, 1);
        basic(&mut specs, &format!("mixed_7a.{branch}.1"), output, 256, 3, 3);
    }
    basic(&mut specs, "mixed_7a.branch2.0", 256, 896, 1, 1);
    basic(&mut specs, "mixed_7a.branch2.1", 256, 256, 3, 3);
    basic(&mut specs, "mixed_7a.branch2.2", 256, 256, 3, 3);
    for name in (0..5).map(|i| format!("repeat_3.{i}")).chain(["block8".to_string()]) {
        basic(&mut specs, &format!("{name}.branch0"), 192, 1792, 1, 1);
        basic(&mut specs, &format!("{name}.branch1.0"), 192, 1792, 1, 1);
        basic(&mut specs, &format!("{name}.branch1.1"), 192, 192, 1, 3);
        basic(&mut specs, &format!("{name}.branch1.2"), 192, 192, 3, 1);
        join(&mut specs, &name, 1792, 384);
    }
    specs.push(spec("last_linear.weight", &[512, 1792]));
    batch_norm(&mut specs, "last_bn", 512);
    specs
}

fn batch_norm(specs: &mut Vec<TensorSpec>, name: &str, channels: usize) {
    for part in ["weight", "bias", "running_mean", "running_var"] {
        specs.push(spec(format!("{name}.{part}"), &[channels]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_published_networks() {
        let count = |name: &str| -> usize { of(name).unwrap().iter().map(|s| s.shape.iter().product::<usize>()).sum() };
        // P-, R- and O-net: 6,632 + 100,178 + 389,040 parameters.
        assert_eq!(count("mtcnn"), 495_850);
        // As torch counts facenet-pytorch's state_dict without `logits` and counters.
        assert_eq!(count("inception-resnet-v1"), 23_512_224);
        assert_eq!(of("inception-resnet-v1").unwrap().len(), 602);
        // The convolutions of the published files, batch normalisation folded in.
        assert_eq!(count("yunet-s"), 53_104);
        assert_eq!(count("yunet-n"), 73_840);
        assert_eq!(count("mobilefacenet"), 989_952);
        // 9.67 million in the released file, where each normalisation is four values a channel and here a bias.
        assert_eq!(count("sface"), 9_629_634);
        assert_eq!(of("nothing"), None);
        for name in architectures() {
            let specs = of(name).unwrap();
            let mut names: Vec<_> = specs.iter().map(|s| &s.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), specs.len(), "{name}");
        }
    }
}
