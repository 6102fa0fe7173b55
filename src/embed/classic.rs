//! Faces as points of a linear subspace: Eigenfaces and Fisherfaces, where face recognition began.
//!
//! M. Turk, A. Pentland, "Eigenfaces for recognition", 1991: the directions in which chips differ most.
//! P. Belhumeur, J. Hespanha, D. Kriegman, "Eigenfaces vs. Fisherfaces", PAMI 1997: the directions that part
//! people best. Once trained both are the same program, `projection * (pixels - mean)`; directions are scaled
//! to unit variance ("whitened") at training, so that the distance between unit vectors orders pairs as the
//! Mahalanobis cosine does (R. Beveridge, D. Bolme et al., "The CSU face identification evaluation system",
//! 2005).
//!
//! A chip goes in as grey, less its mean, over its standard deviation, so that gain and offset of the light
//! do not count.

use candle_core::{Device as TensorDevice, Tensor};

use super::Embedder;
use crate::align::{Alignment, CLASSIC_48};
use crate::error::{ModelError, WeightsError};
use crate::media::Raster;
use crate::nn::weights::{Imported, TensorMap, store};
use crate::nn::{Device, WeightSource, backend};
use crate::vector::{Embedding, ModelId};

/// The two, as the architectures are called.
pub const EIGENFACES: &str = "eigenfaces";
/// See [`EIGENFACES`].
pub const FISHERFACES: &str = "fisherfaces";
/// Numbers that a chip goes in as.
pub const PIXELS: usize = (CLASSIC_48.size.0 * CLASSIC_48.size.1) as usize;
/// Weights of red, green and blue in luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];
/// Least deviation that is divided by, in levels of 0 to 255: an even chip stays zero.
const LEAST_DEVIATION: f32 = 1e-3;

/// The chip's luma, row by row, of mean 0 and standard deviation 1; all 0 for an even chip.
pub fn pixels(chip: &Raster) -> Vec<f32> {
    let luma = |p: &[u8]| p.iter().zip(LUMA).map(|(&v, w)| f32::from(v) * w).sum::<f32>();
    let mut values: Vec<f32> = chip.data().chunks_exact(3).map(luma).collect();
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    values.iter_mut().for_each(|v| *v -= mean);
    let deviation = (values.iter().map(|v| v * v).sum::<f32>() / n).sqrt();
    let factor = if deviation > LEAST_DEVIATION { 1.0 / deviation } else { 0.0 };
    values.iter_mut().for_each(|v| *v *= factor);
    values
}

/// A trained subspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Subspace {
    /// Mean of the training chips, [`PIXELS`] values.
    pub mean: Vec<f32>,
    /// Directions, [`PIXELS`] values each.
    pub directions: Vec<Vec<f32>>,
}

impl Subspace {
    /// Writes the subspace as the weights of `architecture`, with their checksum beside.
    ///
    /// # Errors
    /// [`WeightsError::Io`] when the file cannot be written.
    pub fn write(&self, architecture: &str, path: &std::path::Path) -> Result<Imported, WeightsError> {
        let failed = |e: candle_core::Error| WeightsError::Malformed {
            path: path.display().to_string(),
            format: "tensor",
            reason: e.to_string(),
        };
        let mean = Tensor::new(self.mean.as_slice(), &TensorDevice::Cpu).map_err(failed)?;
        let shape = (self.directions.len(), PIXELS);
        let directions = Tensor::from_vec(self.directions.concat(), shape, &TensorDevice::Cpu).map_err(failed)?;
        let tensors = TensorMap::from([("mean".to_string(), mean), ("projection".to_string(), directions)]);
        store(path, architecture, &tensors)
    }
}

/// Eigenfaces or Fisherfaces, ready to embed.
pub struct Classic {
    mean: Tensor,
    projection: Tensor,
    dimension: usize,
    model: ModelId,
    device: Device,
}

impl Classic {
    /// Loads a trained subspace; `architecture` is [`EIGENFACES`] or [`FISHERFACES`].
    ///
    /// # Errors
    /// [`ModelError::Backend`] when the device fails.
    pub fn new(
        architecture: &str,
        tensors: &TensorMap,
        weights_sha256: &str,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let model = ModelId::new(architecture, weights_sha256, &Alignment::FivePoint(&CLASSIC_48).name());
        let source = WeightSource::new(tensors, device.inner());
        let load = || -> candle_core::Result<Self> {
            let projection = source.get("projection")?;
            Ok(Self {
                mean: source.get("mean")?.reshape((1, PIXELS))?,
                dimension: projection.dim(0)?,
                projection: projection.t()?.contiguous()?,
                model,
                device: device.clone(),
            })
        };
        load().map_err(backend("loading a subspace"))
    }
}

impl Embedder for Classic {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn alignment(&self) -> Alignment {
        Alignment::FivePoint(&CLASSIC_48)
    }

    fn embed_with_lengths(&self, chips: &[Raster]) -> Result<Vec<(Embedding, f32)>, ModelError> {
        let (width, height) = CLASSIC_48.size;
        if let Some(wrong) = chips.iter().find(|c| (c.width(), c.height()) != (width, height)) {
            return Err(ModelError::WrongChip {
                model: self.model.to_string(),
                expected: (width as usize, height as usize),
                received: (wrong.width() as usize, wrong.height() as usize),
            });
        }
        if chips.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<f32> = chips.iter().flat_map(pixels).collect();
        let rows: Vec<Vec<f32>> = Tensor::from_vec(values, (chips.len(), PIXELS), self.device.inner())
            .and_then(|x| x.broadcast_sub(&self.mean)?.matmul(&self.projection)?.to_vec2())
            .map_err(backend("embedding"))?;
        rows.into_iter().map(|row| Embedding::with_length(row, self.model.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::DeviceChoice;
    use crate::nn::weights::WeightStore;

    #[test]
    fn pixels_do_not_know_gain_and_offset() {
        let chip = |gain: u8, offset: u8| {
            let data = (0..PIXELS).flat_map(|i| [(i % 60) as u8 * gain + offset; 3]).collect();
            Raster::from_rgb(48, 48, data).unwrap()
        };
        let (plain, bright) = (pixels(&chip(1, 0)), pixels(&chip(3, 70)));
        assert!(plain.iter().zip(&bright).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!((plain.iter().map(|v| v * v).sum::<f32>() / PIXELS as f32 - 1.0).abs() < 1e-4);
        assert!(pixels(&Raster::new(48, 48, [77; 3])).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn a_written_subspace_is_an_ordinary_model() {
        let folder = tempfile::tempdir().unwrap();
        let direction = |at: usize| (0..PIXELS).map(|i| if i == at { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
        let subspace = Subspace { mean: vec![0.5; PIXELS], directions: vec![direction(3), direction(700)] };
        let path = folder.path().join("mine.safetensors");
        let written = subspace.write(EIGENFACES, &path).unwrap();
        let weights = WeightStore::new(Some(folder.path().to_path_buf())).load("mine").unwrap();
        assert_eq!((weights.architecture.as_str(), &weights.sha256), (EIGENFACES, &written.sha256));
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let model = Classic::new(EIGENFACES, &weights.tensors, &weights.sha256, &device).unwrap();
        assert_eq!(model.dimension(), 2);
        let data = (0..PIXELS * 3).map(|i| (i * 7 % 251) as u8).collect();
        let chip = Raster::from_rgb(48, 48, data).unwrap();
        let values = pixels(&chip);
        let (x, y) = (values[3] - 0.5, values[700] - 0.5);
        let got = model.embed(std::slice::from_ref(&chip)).unwrap();
        let length = x.hypot(y);
        assert!((got[0].values()[0] - x / length).abs() < 1e-5 && (got[0].values()[1] - y / length).abs() < 1e-5);
        assert!(model.embed(&[]).unwrap().is_empty());
        assert_eq!(model.embed(&[Raster::new(64, 64, [0; 3])]).unwrap_err().code(), "model.wrong_chip");

        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let damaged = WeightStore::new(Some(folder.path().to_path_buf())).load("mine").err().unwrap();
        assert_eq!(damaged.code(), "weights.wrong_checksum");
    }
}
