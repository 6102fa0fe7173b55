//! What tests need to hold a network against tests/golden: weights drawn from a counter, published weights
//! where they are, and samples of outputs.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{LoadedWeights, Precision, TensorMap, WeightStore, import, specs};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Element `i` of the tensor of that name, 0 to 1: the recipe of tests/golden/irv1.py.
pub(crate) fn uniform(name: &str, count: usize) -> Vec<f64> {
    let digest = Sha256::digest(name.as_bytes());
    let seed = u64::from_le_bytes(std::array::from_fn(|i| digest[i]));
    (1..=count as u64)
        .map(|i| {
            let mut z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            (z >> 11) as f64 * 2f64.powi(-53)
        })
        .collect()
}

/// The input of the networks with drawn weights.
pub(crate) fn input(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = uniform("input", shape.iter().product()).iter().map(|u| (2.0 * u - 1.0) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Weights of an architecture of convolutions, drawn by the recipe of tests/golden/fast_pair.py.
pub(crate) fn drawn(architecture: &str) -> TensorMap {
    let specs = specs::of(architecture).unwrap();
    let draw = |s: &specs::TensorSpec| {
        let reach = (6.0 / s.shape[1..].iter().product::<usize>() as f64).sqrt();
        let value = |u: f64| if s.shape.len() > 1 { (2.0 * u - 1.0) * reach } else { 0.2 * u - 0.1 };
        let values: Vec<f32> =
            uniform(&s.name, s.shape.iter().product()).into_iter().map(|u| value(u) as f32).collect();
        (s.name.clone(), Tensor::from_vec(values, s.shape.as_slice(), &Device::Cpu).unwrap())
    };
    specs.iter().map(draw).collect()
}

/// tests/golden/fast_pair.json.
pub(crate) fn fast_pair() -> Value {
    let text = std::fs::read_to_string(root().join("tests/golden/fast_pair.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The published weights of an architecture, imported as a user would; `None` where the file is absent.
pub(crate) fn published(architecture: &str) -> Option<LoadedWeights> {
    let file: PathBuf = root().join("../shared/weights").join(fast_pair()["files"][architecture]["file"].as_str()?);
    if !file.is_file() {
        crate::require::missing(format_args!("{} is not there", file.display()));
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("published.safetensors");
    let imported = import(&[file], None, Precision::F32, &target).unwrap();
    assert_eq!(imported.architecture, architecture);
    let loaded = WeightStore::new(Some(folder.path().to_path_buf())).load("published").unwrap();
    assert_eq!((loaded.architecture.as_str(), &loaded.sha256), (architecture, &imported.sha256));
    Some(loaded)
}

/// Holds an output against its samples; returns the largest difference, after asking that it be at most
/// `tolerance`.
pub(crate) fn hold(wanted: &Value, name: &str, values: &[f32], tolerance: f64) -> f64 {
    assert_eq!(wanted["count"].as_u64().unwrap(), values.len() as u64, "{name}");
    let samples = wanted["samples"].as_array().unwrap();
    let mut worst = 0f64;
    for (k, sample) in samples.iter().enumerate() {
        let (got, wanted) = (f64::from(values[k * values.len() / samples.len()]), sample.as_f64().unwrap());
        assert!((got - wanted).abs() <= tolerance, "{name}: sample {k} is {got}, not {wanted}");
        worst = worst.max((got - wanted).abs());
    }
    worst
}
