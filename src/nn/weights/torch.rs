//! torch state_dicts, in the zip format of today and the stream format from before torch 1.6.
//!
//! The pickles are read by candle's reader, which builds plain values and executes nothing. The older
//! format is a stream:
//!
//! | part | bytes |
//! | --- | --- |
//! | magic | a pickled integer, 15 bytes |
//! | protocol | a pickled integer, 1001, 6 bytes |
//! | system | a pickled dictionary |
//! | state_dict | a pickle in which each tensor names its storage by a key |
//! | keys | a pickled list of the storages' keys, in the order in which they follow |
//! | each storage | its count of numbers (64 bits, little endian), then the numbers |

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

use candle_core::pickle::{Object, Stack, TensorInfo};
use candle_core::{DType, Device, Tensor};

use super::TensorMap;
use crate::error::WeightsError;

/// A zip file begins so.
pub(super) const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// The older format begins so: torch's magic number and protocol 1001, pickled.
pub(super) const STREAM_MAGIC: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02\x4d\xe9\x03\x2e";

/// Counters that BatchNorm keeps while training; they are no weights.
const COUNTER: &str = "num_batches_tracked";

/// All tensors of the state_dict but the training counters.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<TensorMap, WeightsError> {
    let shown = path.display().to_string();
    let malformed = |reason: String| WeightsError::Malformed { path: shown.clone(), format: "torch", reason };
    // The reader indexes into what the file states; a hostile file must not take the process with it.
    let read = std::panic::catch_unwind(|| {
        if bytes.starts_with(STREAM_MAGIC) {
            return read_stream(bytes);
        }
        candle_core::pickle::read_all(path).map_err(|e| e.to_string())
    });
    let tensors = match read {
        Ok(Ok(tensors)) => tensors,
        Ok(Err(reason)) => return Err(malformed(reason)),
        Err(_) => return Err(malformed("the pickle contradicts itself".to_string())),
    };
    if tensors.is_empty() {
        return Err(malformed("it holds no tensors; save the model's state_dict() itself".to_string()));
    }
    Ok(tensors.into_iter().filter(|(name, _)| !name.ends_with(COUNTER)).collect())
}

fn read_stream(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let mut rest = Cursor::new(&bytes[STREAM_MAGIC.len()..]);
    let mut pickle = || -> Result<(Object, u64), String> {
        let mut stack = Stack::empty();
        stack.read_loop(&mut rest).map_err(|e| e.to_string())?;
        Ok((stack.finalize().map_err(|e| e.to_string())?, rest.position()))
    };
    pickle()?;
    let Object::Dict(entries) = pickle()?.0 else {
        return Err("it holds no state_dict".to_string());
    };
    let (Object::List(keys), at) = pickle()? else {
        return Err("the list of storages is missing".to_string());
    };
    let mut wanted: HashMap<String, Vec<TensorInfo>> = HashMap::new();
    for (name, value) in entries {
        if let Some(info) = value.into_tensor_info(name, Path::new("")).map_err(|e| e.to_string())? {
            let key = info.path.trim_start_matches('/').to_string();
            wanted.entry(key).or_default().push(info);
        }
    }
    let mut rest = Cursor::new(&bytes[STREAM_MAGIC.len() + at as usize..]);
    let mut tensors = Vec::new();
    for key in keys {
        let key = key.unicode().map_err(|_| "a storage's key is no text".to_string())?;
        let infos = wanted.remove(&key).ok_or_else(|| format!("no tensor uses storage {key}"))?;
        let mut count = [0; 8];
        rest.read_exact(&mut count).map_err(|_| "the file ends between storages".to_string())?;
        let dtype = infos[0].dtype;
        let length = usize::try_from(u64::from_le_bytes(count)).ok().and_then(|n| n.checked_mul(dtype.size_in_bytes()));
        let from = rest.position() as usize;
        let end = length.and_then(|l| from.checked_add(l)).filter(|&end| end <= rest.get_ref().len());
        let end = end.ok_or_else(|| format!("the file ends inside storage {key}"))?;
        for info in infos {
            if let Some(tensor) = tensor(&rest.get_ref()[from..end], &info)? {
                tensors.push((info.name, tensor));
            }
        }
        rest.set_position(end as u64);
    }
    match wanted.values().flatten().next() {
        Some(info) => Err(format!("the storage of {} is missing", info.name)),
        None => Ok(tensors),
    }
}

/// A tensor of floats out of its storage; counters (integers) are passed over.
fn tensor(storage: &[u8], info: &TensorInfo) -> Result<Option<Tensor>, String> {
    if !matches!(info.dtype, DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
        return Ok(None);
    }
    let size = info.dtype.size_in_bytes();
    let (dims, strides) = (info.layout.dims(), info.layout.stride());
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(count.min(storage.len() / size) * size);
    // In the order of the tensor's own axes, which need not be the order of the storage.
    for flat in 0..count {
        let (mut rest, mut index) = (flat, info.layout.start_offset());
        for (&dim, &stride) in dims.iter().zip(strides).rev() {
            index = index.saturating_add((rest % dim).saturating_mul(stride));
            rest /= dim;
        }
        let number = index.checked_mul(size).and_then(|at| storage.get(at..at.checked_add(size)?));
        bytes.extend_from_slice(number.ok_or_else(|| format!("{} reaches beyond its storage", info.name))?);
    }
    Tensor::from_raw_buffer(&bytes, info.dtype, info.layout.dims(), &Device::Cpu).map(Some).map_err(|e| e.to_string())
}
