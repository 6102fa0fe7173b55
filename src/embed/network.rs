//! The embedder of every network: what differs between them is [`Layered`], their layers and preprocessing.

use candle_core::{Result as TensorResult, Tensor};

use super::Embedder;
use crate::align::Alignment;
use crate::error::ModelError;
use crate::media::{Limits, Photo, Raster, resize_triangle};
use crate::nn::weights::{Manifest, TensorMap};
use crate::nn::{Arithmetic, Device, PrecisionChoice, Program, WeightSource, backend};
use crate::vector::{Embedding, ModelId};
use kith_kernels::Simd;

/// Chips that go through a network's tensors at a time: bounds memory on crowds.
const BATCH: usize = 32;
/// Chips that go through a network's program at a time: large weights are read once for all of them,
/// while their maps stay a few megabytes each.
const PROGRAM_BATCH: usize = 8;

/// Cosine to f32 below which another precision is not taken unless it is asked for by name.
const LEAST_LIKENESS: f32 = 0.9995;

/// Whether another precision may replace f32: never where the cosine between them is NaN.
pub(super) fn is_like_enough(cosine: f32) -> bool {
    cosine >= LEAST_LIKENESS
}

/// A network's layers over tensors, from which a program for the processor can be made, and how chips become its input.
pub(crate) trait Layered: Send + Sync + Sized {
    /// Architecture name, as the manifest has it.
    const ARCHITECTURE: &'static str;
    /// What an error says was being done: `loading NETWORK`.
    const LOADING: &'static str;
    /// Dimensions of an embedding.
    const DIMENSION: usize;

    fn alignment() -> Alignment;

    fn load(source: &WeightSource) -> TensorResult<Self>;

    fn preprocessing(source: &WeightSource) -> TensorResult<Preprocessing>;

    /// Raw output `[n, dimension]` of preprocessed chips `[n, 3, height, width]`.
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor>;

    /// The same network as a program whose only output is that.
    fn program(&self, simd: Simd, arithmetic: Arithmetic) -> TensorResult<Program>;
}

/// How chips become input: each value `v` of channel `c` goes in as `(v - mean[c]) * factor[c]`.
pub(crate) struct Preprocessing {
    pub mean: [f32; 3],
    pub factor: [f32; 3],
}

/// An embedder over a network's layers.
pub(crate) struct NetworkEmbedder<Layers> {
    form: Form<Layers>,
    preprocessing: Preprocessing,
    model: ModelId,
    device: Device,
}

/// A network in the form in which it runs.
enum Form<Layers> {
    /// On the processor: our own kernels.
    Program(Box<Program>, Arithmetic),
    /// On an accelerator: the tensor library's.
    Layers(Layers),
}

impl<L: Layered> NetworkEmbedder<L> {
    /// Builds the network; `weights_sha256` goes into the model id.
    ///
    /// # Errors
    /// [`ModelError::Backend`] when a tensor is missing or the device fails, [`ModelError::InvalidOption`] where
    /// it cannot compute in that precision.
    pub fn new(
        tensors: &TensorMap,
        weights_sha256: &str,
        device: &Device,
        precision: PrecisionChoice,
    ) -> Result<Self, ModelError> {
        let source = WeightSource::new(tensors, device.inner());
        let layers = L::load(&source).map_err(backend(L::LOADING))?;
        let preprocessing = L::preprocessing(&source).map_err(backend(L::LOADING))?;
        let proven = |kind: Arithmetic| Manifest::built_in().is_proven(weights_sha256, kind.name());
        Ok(Self {
            form: Form::of(layers, device, precision, &preprocessing, proven)?,
            preprocessing,
            model: ModelId::new(L::ARCHITECTURE, weights_sha256, &L::alignment().name()),
            device: device.clone(),
        })
    }
}

impl<L: Layered> Form<L> {
    /// The form that is best on `device`, in the precision that was asked for. A precision that is `proven` for these weights
    /// is not tried against f32 again.
    fn of(
        layers: L,
        device: &Device,
        precision: PrecisionChoice,
        preprocessing: &Preprocessing,
        proven: impl Fn(Arithmetic) -> bool,
    ) -> Result<Self, ModelError> {
        let simd = if device.is_cpu() { Some(Simd::chosen()?) } else { None };
        let kinds = precision.instead_of_f32(simd)?;
        let Some(simd) = simd else {
            return Ok(Self::Layers(layers));
        };
        let program = |arithmetic| layers.program(simd, arithmetic).map(Box::new).map_err(backend(L::LOADING));
        if let Some(&first) = kinds.first()
            && (precision != PrecisionChoice::Auto || proven(first))
        {
            return Ok(Self::Program(program(first)?, first));
        }
        let full = program(Arithmetic::F32)?;
        for kind in kinds {
            let tried = program(kind)?;
            if is_like_enough(preprocessing.likeness_on_a_face(L::alignment(), &tried, &full)?) {
                return Ok(Self::Program(tried, kind));
            }
        }
        Ok(Self::Program(full, Arithmetic::F32))
    }
}

impl<L: Layered> Embedder for NetworkEmbedder<L> {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        L::DIMENSION
    }

    fn alignment(&self) -> Alignment {
        L::alignment()
    }

    fn precision(&self) -> &'static str {
        match &self.form {
            Form::Program(_, arithmetic) => arithmetic.name(),
            Form::Layers(_) => Arithmetic::F32.name(),
        }
    }

    /// Checks the chips' sizes, feeds them to the network in batches, and scales the answers to length one.
    fn embed_with_lengths(&self, chips: &[Raster]) -> Result<Vec<(Embedding, f32)>, ModelError> {
        let (width, height) = L::alignment().chip_size();
        if let Some(wrong) = chips.iter().find(|c| (c.width(), c.height()) != (width, height)) {
            return Err(ModelError::WrongChip {
                model: self.model.to_string(),
                expected: (width as usize, height as usize),
                received: (wrong.width() as usize, wrong.height() as usize),
            });
        }
        let mut embeddings = Vec::with_capacity(chips.len());
        let size = if matches!(self.form, Form::Program(..)) { PROGRAM_BATCH } else { BATCH };
        for batch in chips.chunks(size) {
            let rows: Vec<Vec<f32>> = match &self.form {
                Form::Program(program, _) => {
                    let fill = |i: usize, y, row: &mut [f32]| self.preprocessing.interleaved(&batch[i], y, row);
                    let outputs = program.run_rows(batch.len(), fill);
                    outputs[0].chunks_exact(outputs[0].len() / batch.len()).map(<[f32]>::to_vec).collect()
                }
                Form::Layers(layers) => {
                    let shape = (batch.len(), 3, height as usize, width as usize);
                    Tensor::from_vec(self.preprocessing.planar(batch), shape, self.device.inner())
                        .and_then(|x| layers.forward(&x)?.to_vec2())
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

impl Preprocessing {
    /// Cosine between what two programs make of a face: Grace Hopper's (photo of the United States Navy, in the
    /// public domain).
    fn likeness_on_a_face(&self, alignment: Alignment, a: &Program, b: &Program) -> Result<f32, ModelError> {
        let limits = Limits::default();
        let photo = Photo::from_bytes(include_bytes!("check_face.jpg"), "the built-in face", &limits)
            .map_err(|e| ModelError::Backend { stage: "trying another precision than f32", reason: e.to_string() })?;
        let (width, height) = alignment.chip_size();
        let chip = resize_triangle(photo.raster(), width, height);
        let [a, b] = [a, b].map(|program| program.run_rows(1, |_, y, row| self.interleaved(&chip, y, row)).remove(0));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        // NaN where either holds one.
        Ok((dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()) as f32)
    }

    fn value(&self, v: u8, channel: usize) -> f32 {
        (f32::from(v) - self.mean[channel]) * self.factor[channel]
    }

    /// Row `y`, the channels of each pixel together.
    pub fn interleaved(&self, chip: &Raster, y: usize, row: &mut [f32]) {
        let pixels = chip.row(y as u32).chunks_exact(3).zip(row.chunks_exact_mut(3));
        pixels.for_each(|(pixel, out)| (0..3).for_each(|c| out[c] = self.value(pixel[c], c)));
    }

    /// Chips as `[n, 3, height, width]`.
    pub fn planar(&self, chips: &[Raster]) -> Vec<f32> {
        let image = |chip: &Raster| -> Vec<f32> {
            (0..3).flat_map(|c| chip.data().iter().skip(c).step_by(3).map(move |&v| self.value(v, c))).collect()
        };
        chips.iter().flat_map(image).collect()
    }
}

#[cfg(test)]
#[cfg(feature = "embedded-weights")]
mod tests {
    use super::*;
    use crate::embed::{dlib_resnet, sface};
    use crate::nn::DeviceChoice;
    use crate::nn::weights::WeightStore;

    /// What the manifest says of weights that are compiled in is what a trial of each path says.
    fn hold<L: Layered>() {
        let loaded = WeightStore::new(None).load(L::ARCHITECTURE).unwrap();
        let source = WeightSource::new(&loaded.tensors, &candle_core::Device::Cpu);
        let (layers, preprocessing) = (L::load(&source).unwrap(), L::preprocessing(&source).unwrap());
        let mut full = None;
        for (simd, kind) in Arithmetic::available() {
            let program = layers.program(simd, kind).unwrap();
            if kind == Arithmetic::F32 {
                full = Some(program);
                continue;
            }
            let full = full.as_ref().unwrap();
            let cosine = preprocessing.likeness_on_a_face(L::alignment(), &program, full).unwrap();
            println!("{} by {simd} in {}: {cosine:.6}", L::ARCHITECTURE, kind.name());
            let said = Manifest::built_in().is_proven(&loaded.sha256, kind.name());
            assert_eq!(said, is_like_enough(cosine), "{} by {simd} in {}: {cosine}", L::ARCHITECTURE, kind.name());
        }
    }

    #[test]
    fn precisions_that_are_not_tried_when_built_in_weights_are_loaded_are_those_that_a_trial_takes() {
        hold::<sface::Layers>();
        hold::<dlib_resnet::Layers>();
    }

    #[test]
    fn weights_that_the_manifest_does_not_know_are_tried() {
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let kinds = PrecisionChoice::Auto.instead_of_f32(Some(Simd::chosen().unwrap())).unwrap();
        let loaded = WeightStore::new(None).load(sface::ARCHITECTURE).unwrap();
        let mut other = loaded.tensors.clone();
        let damaged = (other["fc.bias"].to_dtype(candle_core::DType::F32).unwrap() * f64::NAN).unwrap();
        other.insert("fc.bias".to_string(), damaged);
        let by = |tensors: &TensorMap, sha256: &str| {
            NetworkEmbedder::<sface::Layers>::new(tensors, sha256, &device, PrecisionChoice::Auto).unwrap().precision()
        };
        // No trial finds NaN like NaN.
        assert_eq!(by(&other, "of another file"), "f32");
        // The very bytes that were proven are not held against anything when they are loaded.
        let first = kinds.first().map_or("f32", |kind| kind.name());
        assert_eq!(by(&other, &loaded.sha256), first);
    }
}
