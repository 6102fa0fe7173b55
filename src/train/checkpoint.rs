//! A run as a file: every tensor that the next step depends on, and where the run is.
//!
//! safetensors, with one entry `record` in the metadata: TOML of [`Record`], whose numbers come back to the last bit. Tensors are called by their part: `learnt/`,
//! `running/`, `state/` (the optimiser's), `average/` and `best/`. The record has the sha256 of all of them, so that a damaged
//! file is refused and never trained on. Written whole beside its place, synced and renamed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::options::{EpochReport, TrainOptions};
use super::tensors::failed;
use crate::error::{Result, TrainError};
use crate::files::{self, Audience, hex, spelled};

const RECORD: &str = "record";

/// Where a run is, and what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub network: String,
    /// sha256 of the faces.
    pub faces: String,
    /// sha256 of the faces that it is measured on; empty before the first step, and in files of before.
    #[serde(default)]
    pub held_out: String,
    pub options: TrainOptions,
    /// Steps done.
    pub step: u64,
    pub epochs: Vec<EpochReport>,
    /// Sums of the losses and active shares of the epoch so far, and their number.
    pub sums: (f64, f64, u64),
    /// sha256 of the tensors.
    #[serde(default)]
    pub sha256: String,
}

fn refused(path: &Path, reason: impl Into<String>) -> TrainError {
    TrainError::Checkpoint { path: spelled(path), reason: reason.into() }
}

fn digest(tensors: &BTreeMap<String, Tensor>) -> Result<String> {
    let mut digest = Sha256::new();
    for (name, tensor) in tensors {
        digest.update(name.as_bytes());
        digest.update([0]);
        let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(failed("writing a checkpoint"))?;
        values.iter().for_each(|v| digest.update(v.to_le_bytes()));
    }
    Ok(hex(&digest.finalize()))
}

fn is_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    Ok(tensor.flatten_all()?.to_vec1::<f32>()?.iter().all(|v| v.is_finite()))
}

/// Writes a checkpoint; what was there before stays until the new one is whole.
pub(super) fn write(path: &Path, mut record: Record, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let mut stored = BTreeMap::new();
    for (name, tensor) in tensors {
        let tensor = tensor.to_device(&Device::Cpu).and_then(|t| t.contiguous());
        let tensor = tensor.map_err(failed("writing a checkpoint"))?;
        if !is_finite(&tensor).map_err(failed("writing a checkpoint"))? {
            let reason = format!(
                "the checkpoint was not written: {name} has values that are no finite numbers, so the run has diverged; what \
                 was saved here before is untouched. Go on from there with a lower learning rate"
            );
            return Err(refused(path, reason).into());
        }
        stored.insert(name.clone(), tensor);
    }
    record.sha256 = digest(&stored)?;
    let text = toml::to_string(&record).map_err(|e| refused(path, e.to_string()))?;
    let metadata = HashMap::from([(RECORD.to_string(), text)]);
    let views = stored.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| refused(path, e.to_string()))?;
    files::write_whole(path, &bytes, Audience::Umask).and_then(|()| files::sync_folder(files::folder_of(path))).map_err(
        |e| refused(path, format!("the checkpoint was not written ({e}); the one before it is untouched")).into(),
    )
}

/// Reads a checkpoint.
pub(super) fn read(path: &Path) -> Result<(Record, BTreeMap<String, Tensor>)> {
    let bytes = std::fs::read(path).map_err(|e| refused(path, e.to_string()))?;
    let damaged = |reason: String| refused(path, format!("this is no whole checkpoint: {reason}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let text = header.metadata().as_ref().and_then(|m| m.get(RECORD)).cloned();
    let text = text.ok_or_else(|| damaged("it has no record of a run".to_string()))?;
    let record: Record = toml::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|e| damaged(e.to_string()))?;
    let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
    if digest(&tensors)? != record.sha256 {
        return Err(damaged("its tensors are not those that were written".to_string()).into());
    }
    Ok((record, tensors))
}

/// The settings of two runs that are not the same, as their checkpoint spells them: only those.
pub(super) fn differing(recorded: &TrainOptions, now: &TrainOptions) -> (String, String) {
    let table = |options: &TrainOptions| toml::Table::try_from(options).unwrap_or_default();
    let (recorded, now) = (table(recorded), table(now));
    let names: BTreeSet<&String> = recorded.keys().chain(now.keys()).collect();
    let of = |table: &toml::Table| {
        let differ = names.iter().filter(|name| recorded.get(**name) != now.get(**name));
        let said = differ.map(|name| match table.get(*name) {
            Some(value) => format!("{name} = {value}"),
            None => format!("no {name}"),
        });
        said.collect::<Vec<_>>().join(", ")
    };
    (of(&recorded), of(&now))
}
