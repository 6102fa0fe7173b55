//! MobileFaceNet: 112x112 chips, 128 dimensions; small enough for a telephone.
//!
//! S. Chen, Y. Liu, X. Gao, Z. Han, "MobileFaceNets: efficient CNNs for accurate real-time face
//! verification on mobile devices", CCBR 2018 (arXiv 1804.07573), table 1, with ReLU6 in place of PReLU
//! (plain ReLU in the first two depthwise-separable layers) as in the published weights. Batch normalisation is folded into the convolutions.

use candle_core::{Result as TensorResult, Tensor};

use super::network::{Layered, NetworkEmbedder, Preprocessing};
use crate::align::{ARCFACE_112, Alignment};
use crate::nn::weights::MOBILEFACENET_BLOCKS;
use crate::nn::{Activation, Arithmetic, Conv2d, Map, Program, ProgramBuilder, WeightSource};
use kith_kernels::Simd;

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "mobilefacenet";
/// ImageNet's mean and deviation of each channel, for values 0 to 1; with them the weights were trained.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// The network. See the module's own page for the paper.
pub(crate) type MobileFaceNet = NetworkEmbedder<Layers>;

/// The layers in order.
pub(crate) struct Layers {
    conv1: Conv2d,
    depthwise: Conv2d,
    pointwise: Conv2d,
    blocks: Vec<Block>,
    conv2: Conv2d,
    /// A depthwise convolution over the whole map.
    global: Conv2d,
    conv3: Conv2d,
}

impl Layered for Layers {
    const ARCHITECTURE: &'static str = ARCHITECTURE;
    const LOADING: &'static str = "loading MobileFaceNet";
    const DIMENSION: usize = 128;

    fn alignment() -> Alignment {
        Alignment::FivePoint(&ARCFACE_112)
    }

    fn load(source: &WeightSource) -> TensorResult<Self> {
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
        })
    }

    /// `(v / 255 - mean) / deviation`.
    fn preprocessing(_: &WeightSource) -> TensorResult<Preprocessing> {
        Ok(Preprocessing { mean: MEAN.map(|m| m * 255.0), factor: DEVIATION.map(|d| 1.0 / (255.0 * d)) })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let x = relu6(&self.conv1.forward(x)?)?;
        let x = self.depthwise.forward(&x)?.relu()?;
        let mut x = self.pointwise.forward(&x)?.relu()?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = relu6(&self.conv2.forward(&x)?)?;
        self.conv3.forward(&self.global.forward(&x)?)?.flatten_from(1)
    }

    fn program(&self, simd: Simd, arithmetic: Arithmetic) -> TensorResult<Program> {
        let (width, height) = ARCFACE_112.size;
        let (mut builder, chip) = ProgramBuilder::new(height as usize, width as usize, 3);
        let x = builder.conv_to_new(&self.conv1.packed(Activation::Relu6, simd)?, chip);
        builder.step();
        let x = builder.depthwise_to_new(&self.depthwise.packed_depthwise(Activation::Relu, simd)?, x);
        builder.step();
        let mut x = builder.conv_to_new(&self.pointwise.packed(Activation::Relu, simd)?, x);
        for block in &self.blocks {
            x = block.append(&mut builder, x, simd)?;
        }
        builder.step();
        let x = builder.conv_to_new(&self.conv2.packed(Activation::Relu6, simd)?, x);
        builder.step();
        let x = builder.depthwise_to_new(&self.global.packed_depthwise(Activation::None, simd)?, x);
        builder.step();
        let embedding = builder.conv_to_new(&self.conv3.packed(Activation::None, simd)?, x);
        Ok(builder.finish_in(&[embedding.into()], simd, arithmetic))
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

    fn append(&self, builder: &mut ProgramBuilder, x: Map, simd: Simd) -> TensorResult<Map> {
        builder.step();
        let wide = builder.conv_to_new(&self.expand.packed(Activation::Relu6, simd)?, x);
        builder.step();
        let wide = builder.depthwise_to_new(&self.depthwise.packed_depthwise(Activation::Relu6, simd)?, wide);
        let project = self.project.packed(Activation::None, simd)?;
        builder.step();
        if self.residual {
            builder.conv(&project, wide, x, Some(x.into()));
            return Ok(x);
        }
        Ok(builder.conv_to_new(&project, wide))
    }
}

/// A depthwise convolution.
fn depthwise(source: &WeightSource, name: &str, stride: usize, padding: usize) -> TensorResult<Conv2d> {
    let channels = source.under(name).get("weight")?.dim(0)?;
    Ok(Conv2d::load(source, name, stride, (padding, padding))?.grouped(channels))
}

fn relu6(x: &Tensor) -> TensorResult<Tensor> {
    x.clamp(0f32, 6f32)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::embed::Embedder;
    use crate::media::{Photo, Raster};
    use crate::nn::PrecisionChoice::F32;
    use crate::nn::weights::TensorMap;
    use crate::nn::weights::golden;
    use crate::nn::{Device, DeviceChoice};
    use crate::vector::Embedding;

    /// Raw output by the layers, and by the programs of every path.
    fn outputs(tensors: &TensorMap, x: &Tensor) -> Vec<(String, Vec<f32>)> {
        let layers = Layers::load(&WeightSource::new(tensors, x.device())).unwrap();
        let by_layers = layers.forward(x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let (n, channels, rows, columns) = x.dims4().unwrap();
        let values: Vec<f32> = x.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let row = columns * channels;
        let by_program = |(simd, arithmetic): (Simd, Arithmetic)| {
            let program = layers.program(simd, arithmetic).unwrap();
            let fill = |i: usize, out: &mut crate::nn::InputRows| {
                (0..rows).for_each(|y| out.row(y).copy_from_slice(&values[(i * rows + y) * row..][..row]));
            };
            (format!("{simd} in {}", arithmetic.name()), program.run(n, fill).remove(0))
        };
        let layers = [("layers".to_string(), by_layers)];
        layers.into_iter().chain(Arithmetic::available().into_iter().map(by_program)).collect()
    }

    /// Whether it was computed in a precision that goldens do not hold for to the last digits.
    fn is_coarse(by: &str) -> bool {
        by.ends_with("int16") || by.ends_with("f16")
    }

    #[test]
    fn drawn_weights_give_what_onnx_runtime_gives() {
        let wanted = &golden::fast_pair()["drawn"][ARCHITECTURE]["output0"];
        for (by, output) in outputs(&golden::drawn(ARCHITECTURE), &golden::input(&[2, 3, 112, 112])) {
            // Drawn weights make outputs of tens.
            let room = if is_coarse(&by) { 2.0 } else { 1e-3 };
            let gap = golden::hold(wanted, &by, &output, room);
            println!("drawn MobileFaceNet by {by}: {gap:.2e} from ONNX Runtime at most");
        }
    }

    #[test]
    fn published_weights_give_what_onnx_runtime_gives() {
        let Some(loaded) = golden::published(ARCHITECTURE) else { return };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chips/astronaut.png");
        let mut chip = Raster::new(112, 112, [0; 3]);
        chip.blit(Photo::open(path).unwrap().raster(), 0, 0);
        let values: Vec<f32> = (0..3)
            .flat_map(|c| chip.data().iter().skip(c).step_by(3).map(move |&v| (c, f32::from(v) / 255.0)))
            .map(|(c, v)| (v - MEAN[c]) / DEVIATION[c])
            .collect();
        let x = Tensor::from_vec(values, (1, 3, 112, 112), &candle_core::Device::Cpu).unwrap();
        let wanted = &golden::fast_pair()["published"][ARCHITECTURE]["output0"];
        let net =
            MobileFaceNet::new(&loaded.tensors, "golden", &Device::open(DeviceChoice::Cpu).unwrap(), F32).unwrap();
        let embedded = net.embed(&[chip]).unwrap().remove(0);
        for (by, output) in outputs(&loaded.tensors, &x) {
            let gap = golden::hold(wanted, &by, &output, if is_coarse(&by) { 0.05 } else { 1e-4 });
            println!("MobileFaceNet by {by}: {gap:.2e} from ONNX Runtime at most");
            // The whole embedder makes the same of the chip's bytes.
            let raw = Embedding::from_raw(output, net.model().clone()).unwrap();
            // A cosine of 0.9995 is a distance of 0.032.
            assert!(embedded.distance(&raw).unwrap() < if is_coarse(&by) { 0.015 } else { 1e-4 });
        }
    }
}
