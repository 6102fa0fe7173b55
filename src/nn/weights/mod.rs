//! Weights: what they are called, where they lie, how they are read, checked, converted and fetched.

pub(crate) mod blocks;
mod centerface;
mod dlib;
mod files;
#[cfg(test)]
pub(crate) mod golden;
mod import;
mod locate;
mod manifest;
mod onnx;
mod pickle;
#[cfg(feature = "pull")]
mod pull;
mod read;
mod safetensors_file;
mod sface;
mod specs;
mod torch;
mod wheel;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

pub(crate) use import::store;
pub use import::{Imported, Precision, import};
#[cfg(feature = "cli")]
pub(crate) use locate::data_folder;
pub use locate::{LoadedWeights, Status, WeightStore, is_weights_name, user_folder};
pub use manifest::{Kind, Manifest, ModelEntry, Upstream};
#[cfg(feature = "pull")]
pub use pull::{Progress, PullOptions, Pulled, pull};
#[cfg(test)]
pub(crate) use sface::folded as folded_sface;
pub(crate) use specs::ADAPTED_PREFIX;
#[cfg(test)]
pub(crate) use specs::sface_released;
pub(crate) use specs::{CENTERFACE_BLOCKS, CENTERFACE_HEADS, CENTERFACE_LATERALS};
pub(crate) use specs::{MOBILEFACENET_BLOCKS, SFACE_BLOCKS, SFACE_DIMENSION, YUNET_N, YUNET_S, YunetShape};
pub use specs::{TensorSpec, architectures, of as specs_of};

use crate::error::WeightsError;
use crate::files::hex;

/// Named tensors, in order of their names.
pub(crate) type TensorMap = BTreeMap<String, candle_core::Tensor>;

/// Hex sha256 of some bytes.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Holds tensors against what an architecture needs.
///
/// # Errors
/// The first tensor, in the order of the specification, that is missing, misshapen or not finite.
fn check(path: &str, architecture: &str, specs: &[TensorSpec], tensors: &TensorMap) -> Result<(), WeightsError> {
    for wanted in specs {
        let TensorSpec { name, shape } = wanted;
        let Some(tensor) = tensors.get(name) else {
            return Err(WeightsError::MissingTensor {
                path: path.to_string(),
                architecture: architecture.to_string(),
                tensor: name.clone(),
                expected: shape.clone(),
            });
        };
        if !wanted.admits(tensor.dims()) {
            return Err(WeightsError::WrongShape {
                path: path.to_string(),
                architecture: architecture.to_string(),
                tensor: name.clone(),
                expected: shape.clone(),
                received: tensor.dims().to_vec(),
            });
        }
    }
    Ok(())
}

/// Refuses tensors that hold NaN or infinity; such a network would answer nonsense, not fail.
fn check_finite(path: &str, tensors: &TensorMap) -> Result<(), WeightsError> {
    for (name, tensor) in tensors {
        // A sum of absolute values is finite only if every one is, and weights are far from overflow.
        let sum = tensor
            .to_dtype(candle_core::DType::F32)
            .and_then(|t| t.abs()?.sum_all()?.to_scalar::<f32>())
            .map_err(|e| WeightsError::Malformed { path: path.to_string(), format: "tensor", reason: e.to_string() })?;
        if !sum.is_finite() {
            return Err(WeightsError::NotFinite { path: path.to_string(), tensor: name.clone() });
        }
    }
    Ok(())
}
