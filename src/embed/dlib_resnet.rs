//! dlib's face recognition ResNet: 29 convolutions, 150x150 chips, 128 numbers.
//!
//! D. E. King, "High quality face recognition with deep metric learning", 2017, after K. He et al.,
//! "Deep residual learning for image recognition", CVPR 2016, with fewer layers and half the filters.
//! The weights are in the public domain (CC0). dlib decides at a Euclidean distance of 0.6 between
//! raw outputs; here they are scaled to length one, which separates better (0.6 becomes about 0.42).

use candle_core::{Result as TensorResult, Tensor};

use super::{Embedder, embed_in_batches};
use crate::align::{Alignment, DLIB_150};
use crate::error::ModelError;
use crate::media::Raster;
use crate::nn::weights::TensorMap;
use crate::nn::{Conv2d, Device, Linear, WeightSource, backend, global_average, max_pool};
use crate::vector::{Embedding, ModelId};

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "dlib-resnet";
/// Numbers in an embedding.
pub const DIMENSION: usize = 128;
/// Every pixel value `v` goes in as `(v - mean) / 256`; the mean stands in the weights.
const PIXEL_FACTOR: f32 = 1.0 / 256.0;
/// Blocks in order; `true` where the block halves the picture.
const BLOCKS: [bool; 14] =
    [false, false, false, true, false, false, false, true, false, false, true, false, false, true];

/// The network. See the module's own page for the source.
pub struct DlibResnet {
    stem: Conv2d,
    blocks: Vec<Block>,
    fc: Linear,
    mean: [f32; 3],
    model: ModelId,
    device: Device,
}

impl DlibResnet {
    /// Builds the network; `weights_sha256` goes into the model id.
    ///
    /// # Errors
    /// [`ModelError::Backend`] when a tensor is missing or the device fails.
    pub fn new(tensors: &TensorMap, weights_sha256: &str, device: &Device) -> Result<Self, ModelError> {
        let alignment = Alignment::FivePoint(&DLIB_150);
        let model = ModelId::new(ARCHITECTURE, weights_sha256, &alignment.name());
        let source = WeightSource::new(tensors, device.inner());
        Self::load(&source, model, device).map_err(backend("loading dlib's ResNet"))
    }

    fn load(source: &WeightSource, model: ModelId, device: &Device) -> TensorResult<Self> {
        let mean: Vec<f32> = source.get("input.mean")?.to_vec1()?;
        let blocks = BLOCKS.iter().enumerate();
        Ok(Self {
            stem: convolution(&source.under("stem"), "conv", "affine", 2, 0)?,
            blocks: blocks
                .map(|(i, &down)| Block::load(&source.under(format!("block{i}")), down))
                .collect::<TensorResult<_>>()?,
            fc: Linear::load(source, "fc")?,
            mean: std::array::from_fn(|c| mean[c]),
            model,
            device: device.clone(),
        })
    }

    /// Raw output `[n, 128]` of normalised chips `[n, 3, 150, 150]`.
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let mut x = max_pool(&self.stem.forward(x)?.relu()?, 3, 2, false)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.fc.forward(&global_average(&x)?)
    }
}

/// Two 3x3 convolutions beside a shortcut. A block that halves the picture strides its first
/// convolution and averages the shortcut over 2x2.
struct Block {
    first: Conv2d,
    second: Conv2d,
    down: bool,
}

impl Block {
    fn load(source: &WeightSource, down: bool) -> TensorResult<Self> {
        // dlib pads a 3x3 convolution only when its stride is 1.
        let (stride, padding) = if down { (2, 0) } else { (1, 1) };
        Ok(Self {
            first: convolution(source, "conv1", "affine1", stride, padding)?,
            second: convolution(source, "conv2", "affine2", 1, 1)?,
            down,
        })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let y = self.second.forward(&self.first.forward(x)?.relu()?)?;
        let shortcut = if self.down { x.avg_pool2d(2)? } else { x.clone() };
        add_padded(&y, &shortcut)?.relu()
    }
}

/// A convolution with the per-channel scale and shift that follow it folded in.
fn convolution(source: &WeightSource, conv: &str, affine: &str, stride: usize, padding: usize) -> TensorResult<Conv2d> {
    let affine = source.under(affine);
    Conv2d::load(source, conv, stride, (padding, padding))?.followed_by(&affine.get("gamma")?, &affine.get("beta")?)
}

/// The sum of two tensors that may differ in channels, rows and columns: each is filled up with zeros
/// at its end to the larger of the two (dlib's `add_prev`).
fn add_padded(a: &Tensor, b: &Tensor) -> TensorResult<Tensor> {
    let (mut a, mut b) = (a.clone(), b.clone());
    for axis in 1..4 {
        let (na, nb) = (a.dim(axis)?, b.dim(axis)?);
        a = a.pad_with_zeros(axis, 0, nb.saturating_sub(na))?;
        b = b.pad_with_zeros(axis, 0, na.saturating_sub(nb))?;
    }
    a + b
}

impl Embedder for DlibResnet {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn alignment(&self) -> Alignment {
        Alignment::FivePoint(&DLIB_150)
    }

    fn embed(&self, chips: &[Raster]) -> Result<Vec<Embedding>, ModelError> {
        let pixels = (self.mean, [PIXEL_FACTOR; 3]);
        let network = |x: &Tensor| self.forward(x);
        embed_in_batches(chips, &self.model, DLIB_150.size, pixels, self.device.inner(), network)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::media::Photo;
    use crate::nn::weights::WeightStore;
    use crate::nn::{Device, DeviceChoice};

    /// dlib's own raw descriptors of the same chips (tests/golden/dlib_resnet.py), and how far ours are.
    fn distances(tensors: &TensorMap) -> Vec<(String, f32)> {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let text = std::fs::read_to_string(golden.join("dlib_resnet.json")).unwrap();
        let golden_values: serde_json::Value = serde_json::from_str(&text).unwrap();
        let net = DlibResnet::new(tensors, "golden", &Device::open(DeviceChoice::Cpu).unwrap()).unwrap();
        let mut answers = Vec::new();
        for (name, wanted) in golden_values["descriptors"].as_object().unwrap() {
            let chip = Photo::open(golden.join(format!("chips/{name}.png"))).unwrap();
            let pixels: Vec<f32> = (0..3)
                .flat_map(|c| chip.raster().data().iter().skip(c).step_by(3).map(move |&v| (c, v)))
                .map(|(c, v)| (f32::from(v) - net.mean[c]) * PIXEL_FACTOR)
                .collect();
            let x = Tensor::from_vec(pixels, (1, 3, 150, 150), net.device.inner()).unwrap();
            let got: Vec<f32> = net.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let gaps = got.iter().zip(wanted.as_array().unwrap()).map(|(g, w)| f64::from(*g) - w.as_f64().unwrap());
            answers.push((name.clone(), gaps.map(|d| d * d).sum::<f64>().sqrt() as f32));
        }
        answers
    }

    #[test]
    fn descriptors_are_dlibs_own_with_the_stored_half_precision() {
        let loaded = WeightStore::new(None).load(ARCHITECTURE).unwrap();
        let distances = distances(&loaded.tensors);
        println!("distance to dlib's descriptors, f16 weights: {distances:?}");
        assert_eq!(distances.len(), 9);
        assert!(distances.iter().all(|(_, d)| *d <= 5e-3), "{distances:?}");
    }

    #[test]
    fn descriptors_are_dlibs_own_with_the_released_numbers() {
        let Some(folder) = std::env::var_os("KITH_UPSTREAM_WEIGHTS") else {
            println!("skipped: KITH_UPSTREAM_WEIGHTS names no folder with the released files");
            return;
        };
        let released = Path::new(&folder).join("dlib_face_recognition_resnet_model_v1.dat");
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("dlib-f32.safetensors");
        crate::weights::import(&[released], None, Default::default(), &path).unwrap();
        let loaded = WeightStore::new(Some(out.path().to_path_buf())).load("dlib-f32").unwrap();
        let distances = distances(&loaded.tensors);
        println!("distance to dlib's descriptors, f32 weights: {distances:?}");
        assert!(distances.iter().all(|(_, d)| *d <= 1e-3), "{distances:?}");
    }

    #[test]
    fn a_batch_is_the_same_as_one_by_one_and_other_sizes_are_refused() {
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let loaded = WeightStore::new(None).load(ARCHITECTURE).unwrap();
        let net = DlibResnet::new(&loaded.tensors, &loaded.sha256, &device).unwrap();
        let chips: Vec<Raster> = (0..3).map(|i| Raster::new(150, 150, [80 * i, 100, 30])).collect();
        let batch = net.embed(&chips).unwrap();
        for (chip, together) in chips.iter().zip(&batch) {
            let alone = net.embed(std::slice::from_ref(chip)).unwrap();
            assert!(alone[0].cosine(together).unwrap() > 0.99999);
        }
        assert!(net.embed(&[]).unwrap().is_empty());
        let wrong = net.embed(&[Raster::new(160, 150, [0; 3])]).unwrap_err();
        assert_eq!(wrong.code(), "model.wrong_chip");
    }
}
