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
            blocks: blocks.map(|(i, &down)| Block::load(&source.under(format!("block{i}")), down)).collect::<TensorResult<_>>()?,
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
        let pixels = (self.mean, PIXEL_FACTOR);
        let network = |x: &Tensor| self.forward(x);
        embed_in_batches(chips, &self.model, DLIB_150.size, pixels, self.device.inner(), network)
    }
}
