//! A model whose vectors are projected by what was learnt from the user's own people (`kith train adapt`).
//!
//! The file holds the model's own tensors under `base.`, so that it needs no other, and `adapt.mean` and
//! `adapt.projection`: an embedding is `projection * (vector - mean)`, scaled to length one.

use candle_core::{Device as TensorDevice, Tensor};

use super::Embedder;
use crate::align::Alignment;
use crate::error::{ModelError, WeightsError};
use crate::media::Raster;
use crate::nn::backend;
use crate::nn::weights::{ADAPTED_PREFIX, Imported, LoadedWeights, TensorMap, store};
use crate::vector::{Embedding, ModelId};

/// `rows * (vector - mean)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Taken from a vector of length one.
    pub mean: Vec<f32>,
    /// As many values each as `mean`.
    pub rows: Vec<Vec<f32>>,
}

impl Projection {
    /// The projected vector; not of length one.
    pub fn apply(&self, vector: &[f32]) -> Vec<f32> {
        let centred: Vec<f32> = vector.iter().zip(&self.mean).map(|(v, m)| v - m).collect();
        self.rows.iter().map(|row| row.iter().zip(&centred).map(|(r, c)| r * c).sum()).collect()
    }

    /// Writes `base` with the projection behind it, and the checksum beside.
    ///
    /// # Errors
    /// [`WeightsError::Io`] where the file cannot be written; [`WeightsError::WrongShape`] for vectors of another length.
    pub fn write(&self, base: &LoadedWeights, path: &std::path::Path) -> Result<Imported, WeightsError> {
        let failed = |e: candle_core::Error| WeightsError::Malformed {
            path: path.display().to_string(),
            format: "tensor",
            reason: e.to_string(),
        };
        let mut tensors: TensorMap =
            base.tensors.iter().map(|(name, tensor)| (format!("{BASE}{name}"), tensor.clone())).collect();
        let mean = Tensor::new(self.mean.as_slice(), &TensorDevice::Cpu).map_err(failed)?;
        let shape = (self.rows.len(), self.mean.len());
        let rows = Tensor::from_vec(self.rows.concat(), shape, &TensorDevice::Cpu).map_err(failed)?;
        tensors.extend([(MEAN.to_string(), mean), (ROWS.to_string(), rows)]);
        store(path, &format!("{ADAPTED_PREFIX}{}", base.architecture), &tensors)
    }

    /// The projection in a model's tensors.
    fn read(tensors: &TensorMap) -> candle_core::Result<Self> {
        let get = |name: &str| match tensors.get(name) {
            Some(tensor) => tensor.to_dtype(candle_core::DType::F32),
            None => candle_core::bail!("no tensor is called {name}"),
        };
        let (mean, rows): (Vec<f32>, Vec<Vec<f32>>) = (get(MEAN)?.to_vec1()?, get(ROWS)?.to_vec2()?);
        match rows.iter().all(|row| row.len() == mean.len()) {
            true => Ok(Self { mean, rows }),
            false => {
                candle_core::bail!("the mean has {} values, and a row of the projection another number", mean.len())
            }
        }
    }
}

const BASE: &str = "base.";
const MEAN: &str = "adapt.mean";
const ROWS: &str = "adapt.projection";

/// The base model's own tensors.
pub(crate) fn base_tensors(tensors: &TensorMap) -> TensorMap {
    let own = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(BASE)?.to_string(), tensor.clone()));
    tensors.iter().filter_map(own).collect()
}

/// A model and the projection behind it.
pub struct Adapted {
    base: Box<dyn Embedder>,
    projection: Projection,
    model: ModelId,
}

impl Adapted {
    /// `base`, projected by what `tensors` hold.
    ///
    /// # Errors
    /// [`ModelError::Backend`] where a tensor is missing or does not fit the base model's vectors.
    pub fn new(
        architecture: &str,
        base: Box<dyn Embedder>,
        tensors: &TensorMap,
        weights_sha256: &str,
    ) -> Result<Self, ModelError> {
        let projection = Projection::read(tensors).map_err(backend("loading a projection"))?;
        if projection.mean.len() != base.dimension() {
            let reason =
                format!("it is for {} dimensions, {} has {}", projection.mean.len(), base.model(), base.dimension());
            return Err(ModelError::Backend { stage: "loading a projection", reason });
        }
        let model = ModelId::new(architecture, weights_sha256, &base.alignment().name());
        Ok(Self { base, projection, model })
    }
}

impl Embedder for Adapted {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        self.projection.rows.len()
    }

    fn alignment(&self) -> Alignment {
        self.base.alignment()
    }

    fn precision(&self) -> &'static str {
        self.base.precision()
    }

    /// The length is that of the base model.
    fn embed_with_lengths(&self, chips: &[Raster]) -> Result<Vec<(Embedding, f32)>, ModelError> {
        let project = |(vector, length): (Embedding, f32)| {
            Ok((Embedding::from_raw(self.projection.apply(vector.values()), self.model.clone())?, length))
        };
        self.base.embed_with_lengths(chips)?.into_iter().map(project).collect()
    }
}
