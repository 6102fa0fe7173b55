//! The networks that `kith train` makes. On the processor those whose layers programs have operations for run as planned
//! programs; the others, with local response normalisation and maxout among their layers, and all of them on accelerators, run
//! over tensors as [`crate::nn::graph`] has their layers.

use candle_core::Tensor;

use super::Embedder;
use super::inception_resnet_v1::{ARCHITECTURE as INCEPTION_RESNET_V1, Layers as InceptionLayers};
use super::network::{Layered, Preprocessing};
use super::planned::plan;
use crate::align::{Alignment, of_size};
use crate::error::ModelError;
use crate::media::Raster;
use crate::nn::graph::{Mode, Network, Parameters, presets};
use crate::nn::weights::TensorMap;
use crate::nn::{Device, PrecisionChoice, Program, backend};
use crate::vector::{Embedding, ModelId};
use kith_kernels::Simd;

/// Grey that goes in as nought, and levels that go in as one.
pub(crate) const MEAN: f32 = 127.5;
/// See [`MEAN`].
pub(crate) const SCALE: f32 = 128.0;
/// Chips that go through the network at a time.
const BATCH: usize = 8;

/// How chips are cut for a network: by ArcFace's template, or as facenet-pytorch cuts them for the network that is its own.
pub(crate) fn alignment_of(network: &Network) -> Option<Alignment> {
    match network.name() {
        INCEPTION_RESNET_V1 => Some(InceptionLayers::alignment()),
        _ => of_size(network.chip_size()).map(Alignment::FivePoint),
    }
}

/// A network in the form in which it runs.
enum Form {
    Program(Box<Program>),
    Layers(Parameters),
}

/// A trained network, ready to embed.
pub struct TrainedNetwork {
    network: Network,
    alignment: Alignment,
    form: Form,
    model: ModelId,
    device: Device,
}

impl TrainedNetwork {
    /// Loads the network called `architecture`; `None` where none that can be trained is.
    ///
    /// # Errors
    /// [`ModelError::Backend`] where a tensor is missing or the device fails, [`ModelError::InvalidOption`] for another
    /// precision than f32.
    pub fn new(
        architecture: &str,
        tensors: &TensorMap,
        weights_sha256: &str,
        device: &Device,
        precision: PrecisionChoice,
    ) -> Result<Option<Self>, ModelError> {
        let Some(network) = presets::named(architecture) else { return Ok(None) };
        let Some(alignment) = alignment_of(&network) else { return Ok(None) };
        if ![PrecisionChoice::F32, PrecisionChoice::Auto].contains(&precision) {
            return Err(ModelError::InvalidOption {
                option: "precision",
                received: format!("{precision} with {architecture}"),
                expected: "f32 or auto: networks trained here run in f32",
            });
        }
        let parameters = Parameters::load(&network, tensors, device.inner()).map_err(backend("loading a network"))?;
        let planned = match device.is_cpu() {
            true => plan(&network, &parameters, Simd::chosen()?).map_err(backend("loading a network"))?.ok(),
            false => None,
        };
        let form = match planned {
            Some(program) => Form::Program(Box::new(program)),
            None => Form::Layers(parameters),
        };
        Ok(Some(Self {
            model: ModelId::new(architecture, weights_sha256, &alignment.name()),
            form,
            network,
            alignment,
            device: device.clone(),
        }))
    }
}

impl Embedder for TrainedNetwork {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        self.network.dimension()
    }

    fn alignment(&self) -> Alignment {
        self.alignment
    }

    fn embed_with_lengths(&self, chips: &[Raster]) -> Result<Vec<(Embedding, f32)>, ModelError> {
        let (width, height) = self.network.chip_size();
        if let Some(wrong) = chips.iter().find(|c| (c.width(), c.height()) != (width, height)) {
            return Err(ModelError::WrongChip {
                model: self.model.to_string(),
                expected: (width as usize, height as usize),
                received: (wrong.width() as usize, wrong.height() as usize),
            });
        }
        let preprocessing = Preprocessing { mean: [MEAN; 3], factor: [1.0 / SCALE; 3] };
        let mut embeddings = Vec::with_capacity(chips.len());
        for batch in chips.chunks(BATCH) {
            let rows: Vec<Vec<f32>> = match &self.form {
                Form::Program(program) => {
                    let fill = |i: usize, y, row: &mut [f32]| preprocessing.interleaved(&batch[i], y, row);
                    let rows = program.run_rows(batch.len(), fill).remove(0);
                    rows.chunks_exact(self.network.dimension()).map(<[f32]>::to_vec).collect()
                }
                Form::Layers(parameters) => {
                    let shape = (batch.len(), 3, height as usize, width as usize);
                    Tensor::from_vec(preprocessing.planar(batch), shape, self.device.inner())
                        .and_then(|x| self.network.forward(&x, parameters, &[], Mode::Inference)?.to_vec2())
                        .map_err(backend("embedding"))?
                }
            };
            for row in rows {
                embeddings.push(Embedding::with_length(row, self.model.clone())?);
            }
        }
        Ok(embeddings)
    }
}
