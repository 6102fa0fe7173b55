//! What training says where the tensor library fails.

use crate::error::{Error, ModelError};

/// Names what was being done.
pub(super) fn failed(stage: &'static str) -> impl Fn(candle_core::Error) -> Error {
    move |e| Error::from(ModelError::Backend { stage, reason: e.to_string() })
}
