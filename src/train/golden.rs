//! What tests need to hold training against tests/golden/train.json: tensors drawn by name, and samples.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::nn::weights::golden::uniform;

/// The tensor of that name: weights by their fan-in, `running_var` and norms' weights about 1, all else within 0.1.
pub(super) fn drawn(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let reach = (6.0 / shape.iter().skip(1).product::<usize>() as f64).sqrt();
    let about_one = name.ends_with("running_var") || (name.ends_with("bn.weight") && shape.len() == 1);
    let value = |u: f64| match (shape.len() > 1, about_one) {
        (true, _) => (2.0 * u - 1.0) * reach,
        (false, true) => 0.8 + 0.4 * u,
        (false, false) => 0.2 * u - 0.1,
    };
    let values: Vec<f32> = uniform(name, count).into_iter().map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(super) fn read() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/train.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Holds values against others, the difference relative to `1 + |wanted|`.
pub(super) fn near(got: &[f32], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let gap = (f64::from(*got) - wanted).abs() / (1.0 + wanted.abs());
        assert!(gap <= tolerance, "{what}: value {i} is {got}, not {wanted}");
    }
}
