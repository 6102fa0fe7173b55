//! Weights as kith stores them: safetensors with the architecture's name in the header.
//!
//! | bytes | content |
//! | --- | --- |
//! | 0..8 | length of the header, little endian |
//! | 8.. | header: JSON from tensor name to type, shape and place; `__metadata__` holds `architecture` |
//! | then | the tensors' bytes |
//!
//! The metadata has one key only, since a map of several would be written in any order, and the same
//! weights must give the same bytes.

use std::collections::HashMap;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::{TensorMap, files};
use crate::error::WeightsError;

const ARCHITECTURE: &str = "architecture";

fn malformed(path: &str) -> impl Fn(String) -> WeightsError {
    let path = path.to_string();
    move |reason| WeightsError::Malformed { path: path.clone(), format: "safetensors", reason }
}

/// The tensors, and the architecture where the file names one.
pub(super) fn parse(bytes: &[u8], path: &str) -> Result<(TensorMap, Option<String>), WeightsError> {
    let malformed = malformed(path);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| malformed(e.to_string()))?;
    let architecture = header.metadata().as_ref().and_then(|m| m.get(ARCHITECTURE)).cloned();
    let stored = SafeTensors::deserialize(bytes).map_err(|e| malformed(e.to_string()))?;
    // Millions of weights are copied: by all threads.
    let tensor = |(name, view): (String, TensorView)| Ok((name, copied(&view)?));
    let tensors = stored.tensors().into_par_iter().map(tensor).collect::<candle_core::Result<_>>();
    Ok((tensors.map_err(|e| malformed(e.to_string()))?, architecture))
}

/// Bytes of which a thread copies so many at a time.
const PART: usize = 1 << 19;

fn copied(view: &TensorView) -> candle_core::Result<Tensor> {
    match view.dtype() {
        // One tensor may have most of a file's bytes.
        Dtype::U8 if view.data().len() > PART => {
            let mut bytes = vec![0; view.data().len()];
            bytes
                .par_chunks_mut(PART)
                .zip(view.data().par_chunks(PART))
                .for_each(|(to, from)| to.copy_from_slice(from));
            Tensor::from_vec(bytes, view.shape(), &Device::Cpu)
        }
        _ => view.load(&Device::Cpu),
    }
}

/// Writes the tensors as `dtype`, and those of bytes as they are; the same tensors give the same bytes. Returns the bytes written.
pub(super) fn write(
    path: &Path,
    architecture: &str,
    tensors: &TensorMap,
    dtype: DType,
) -> Result<Vec<u8>, WeightsError> {
    let shown = path.display().to_string();
    let malformed = malformed(&shown);
    let stored: Vec<(&String, Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let kept = if tensor.dtype() == DType::U8 { DType::U8 } else { dtype };
            Ok((name, tensor.to_dtype(kept)?.contiguous()?))
        })
        .collect::<candle_core::Result<_>>()
        .map_err(|e| malformed(e.to_string()))?;
    let metadata = HashMap::from([(ARCHITECTURE.to_string(), architecture.to_string())]);
    let views = stored.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| malformed(e.to_string()))?;
    files::write_whole(path, &bytes)?;
    Ok(bytes)
}
