//! MobileFaceNet: 112x112 chips, 128 numbers; small enough for a telephone.
//!
//! S. Chen, Y. Liu, X. Gao, Z. Han, "MobileFaceNets: efficient CNNs for accurate real-time face
//! verification on mobile devices", CCBR 2018 (arXiv 1804.07573), table 1, with ReLU6 in place of PReLU as
//! in the published weights. Batch normalisation is folded into the convolutions.

use candle_core::{Result as TensorResult, Tensor};

use super::{Embedder, embed_in_batches};
use crate::align::{ARCFACE_112, Alignment};
use crate::error::ModelError;
use crate::media::Raster;
use crate::nn::weights::{MOBILEFACENET_BLOCKS, TensorMap};
use crate::nn::{Conv2d, Device, WeightSource, backend};
use crate::vector::{Embedding, ModelId};

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "mobilefacenet";
/// Numbers in an embedding.
pub const DIMENSION: usize = 128;
/// ImageNet's mean and deviation of each channel, for values 0 to 1; with them the weights were trained.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// The network. See the module's own page for the paper.
pub struct MobileFaceNet {
    conv1: Conv2d,
    depthwise: Conv2d,
    pointwise: Conv2d,
    blocks: Vec<Block>,
    conv2: Conv2d,
    /// A weighted mean over the whole map, for each channel alone.
    global: Conv2d,
    conv3: Conv2d,
    model: ModelId,
    device: Device,
}

impl MobileFaceNet {
    /// Builds the network; `weights_sha256` goes into the model id.
    ///
    /// # Errors
    /// [`ModelError::Backend`] when a tensor is missing or the device fails.
    pub fn new(tensors: &TensorMap, weights_sha256: &str, device: &Device) -> Result<Self, ModelError> {
        let alignment = Alignment::FivePoint(&ARCFACE_112);
        let model = ModelId::new(ARCHITECTURE, weights_sha256, &alignment.name());
        let source = WeightSource::new(tensors, device.inner());
        Self::load(&source, model, device).map_err(backend("loading MobileFaceNet"))
    }

    fn load(source: &WeightSource, model: ModelId, device: &Device) -> TensorResult<Self> {
        let blocks = MOBILEFACENET_BLOCKS.iter().enumerate().map(|(i, shape)| {
            let source = source.under(format!("features.{i}"));
            Ok(Block {
                expand: Conv2d::load(&source, "expand", 1, (0, 0))?,
                depthwise: depthwise(&source, "depthwise", shape.stride, 1)?,
                project: Conv2d::load(&source, "project", 1, (0, 0))?,
                residual: shape.stride == 1 && shape.input == shape.output,
            })
        });
        Ok(Self {
            conv1: Conv2d::load(source, "conv1", 2, (1, 1))?,
            depthwise: depthwise(source, "dw_conv.depthwise", 1, 1)?,
            pointwise: Conv2d::load(source, "dw_conv.pointwise", 1, (0, 0))?,
            blocks: blocks.collect::<TensorResult<_>>()?,
            conv2: Conv2d::load(source, "conv2", 1, (0, 0))?,
            global: depthwise(source, "gdconv", 1, 0)?,
            conv3: Conv2d::load(source, "conv3", 1, (0, 0))?,
            model,
            device: device.clone(),
        })
    }

    /// Raw output `[n, 128]` of normalised chips `[n, 3, 112, 112]`.
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let x = relu6(&self.conv1.forward(x)?)?;
        let mut x = self.pointwise.forward(&self.depthwise.forward(&x)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = relu6(&self.conv2.forward(&x)?)?;
        self.conv3.forward(&self.global.forward(&x)?)?.flatten_from(1)
    }
}

/// An inverted residual: wider in the middle than at its ends.
struct Block {
    expand: Conv2d,
    depthwise: Conv2d,
    project: Conv2d,
    residual: bool,
}

impl Block {
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let y = relu6(&self.expand.forward(x)?)?;
        let y = self.project.forward(&relu6(&self.depthwise.forward(&y)?)?)?;
        if self.residual { x + y } else { Ok(y) }
    }
}

/// A convolution of each channel alone.
fn depthwise(source: &WeightSource, name: &str, stride: usize, padding: usize) -> TensorResult<Conv2d> {
    let channels = source.under(name).get("weight")?.dim(0)?;
    Ok(Conv2d::load(source, name, stride, (padding, padding))?.grouped(channels))
}

fn relu6(x: &Tensor) -> TensorResult<Tensor> {
    x.clamp(0f32, 6f32)
}

impl Embedder for MobileFaceNet {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn alignment(&self) -> Alignment {
        Alignment::FivePoint(&ARCFACE_112)
    }

    fn embed(&self, chips: &[Raster]) -> Result<Vec<Embedding>, ModelError> {
        // (v / 255 - mean) / deviation, as the product that the batches are made with.
        let pixels = (MEAN.map(|m| m * 255.0), DEVIATION.map(|d| 1.0 / (255.0 * d)));
        let network = |x: &Tensor| self.forward(x);
        embed_in_batches(chips, &self.model, ARCFACE_112.size, pixels, self.device.inner(), network)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::media::Photo;
    use crate::nn::DeviceChoice;
    use crate::nn::weights::golden;

    fn net(tensors: &TensorMap) -> MobileFaceNet {
        MobileFaceNet::new(tensors, "golden", &Device::open(DeviceChoice::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn drawn_weights_give_what_onnx_runtime_gives() {
        let wanted = &golden::fast_pair()["drawn"][ARCHITECTURE]["output0"];
        let got = net(&golden::drawn(ARCHITECTURE)).forward(&golden::input(&[2, 3, 112, 112])).unwrap();
        // Drawn weights make outputs of tens.
        golden::hold(wanted, "output0", &got.flatten_all().unwrap().to_vec1::<f32>().unwrap(), 1e-3);
    }

    #[test]
    fn published_weights_give_what_onnx_runtime_gives() {
        let Some(loaded) = golden::published(ARCHITECTURE) else { return };
        let net = net(&loaded.tensors);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chips/astronaut.png");
        let mut chip = Raster::new(112, 112, [0; 3]);
        chip.blit(Photo::open(path).unwrap().raster(), 0, 0);
        let wanted = &golden::fast_pair()["published"][ARCHITECTURE]["output0"];
        let values: Vec<f32> = (0..3)
            .flat_map(|c| chip.data().iter().skip(c).step_by(3).map(move |&v| (c, f32::from(v) / 255.0)))
            .map(|(c, v)| (v - MEAN[c]) / DEVIATION[c])
            .collect();
        let x = Tensor::from_vec(values, (1, 3, 112, 112), net.device.inner()).unwrap();
        let raw: Vec<f32> = net.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let gap = golden::hold(wanted, "output0", &raw, 1e-4);
        println!("MobileFaceNet: {gap:.2e} from ONNX Runtime at most");
        // The whole embedder makes the same of the chip's bytes.
        let raw = Embedding::from_raw(raw, net.model.clone()).unwrap();
        let embedded = net.embed(&[chip]).unwrap().remove(0);
        assert!(embedded.distance(&raw).unwrap() < 1e-5);
    }
}
