//! torch state_dicts in the zip format, read by candle's pickle reader, which executes nothing.

use std::path::Path;

use super::TensorMap;
use crate::error::WeightsError;

/// A zip file begins so.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// Counters that BatchNorm keeps while training; they are no weights.
const COUNTER: &str = "num_batches_tracked";

/// All tensors of the state_dict but the training counters.
pub(super) fn read(path: &Path) -> Result<TensorMap, WeightsError> {
    let shown = path.display().to_string();
    let malformed = |reason: String| WeightsError::Malformed { path: shown.clone(), format: "torch", reason };
    // The reader indexes into what the file states; a hostile file must not take the process with it.
    let read = std::panic::catch_unwind(|| candle_core::pickle::read_all(path));
    let tensors = match read {
        Ok(Ok(tensors)) => tensors,
        Ok(Err(e)) => return Err(malformed(e.to_string())),
        Err(_) => return Err(malformed("the pickle contradicts itself".to_string())),
    };
    if tensors.is_empty() {
        return Err(malformed("it holds no tensors; save the model's state_dict() itself".to_string()));
    }
    Ok(tensors.into_iter().filter(|(name, _)| !name.ends_with(COUNTER)).collect())
}
