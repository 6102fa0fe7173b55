//! SFace: 112x112 chips, 128 dimensions.
//!
//! Y. Zhong, W. Deng, J. Hu, D. Zhao, X. Li, D. Wen, "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face
//! Recognition", IEEE Transactions on Image Processing 30 (2021). The released network is MobileNetV1 (A. Howard and
//! others, arXiv 1704.04861) with PReLU and one large linear layer in place of the mean over the last map.

use candle_core::{Result as TensorResult, Tensor};

use super::network::{Layered, NetworkEmbedder, Preprocessing};
use crate::align::{ARCFACE_112, Alignment};
use crate::nn::weights::{SFACE_BLOCKS, SFACE_DIMENSION};
use crate::nn::{Activation, Arithmetic, Conv2d, Map, Program, ProgramBuilder, WeightSource};
use kith_kernels::Simd;

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "sface";

/// The network. See the module's own page for the paper.
pub(crate) type Sface = NetworkEmbedder<Layers>;

/// The layers in order.
pub(crate) struct Layers {
    conv1: Convolution,
    blocks: Vec<(Convolution, Convolution)>,
    /// The linear layer, as a convolution whose window is the whole last map.
    fc: Conv2d,
}

/// A convolution and the PReLU after it.
struct Convolution {
    conv: Conv2d,
    /// One an output channel.
    slope: Tensor,
}

impl Convolution {
    fn load(source: &WeightSource, name: &str, stride: usize, padding: usize) -> TensorResult<Self> {
        let conv = Conv2d::load(source, name, stride, (padding, padding))?;
        Ok(Self { conv, slope: source.under(name).get("slope")? })
    }

    fn depthwise(source: &WeightSource, name: &str, stride: usize) -> TensorResult<Self> {
        let Self { conv, slope } = Self::load(source, name, stride, 1)?;
        let channels = slope.elem_count();
        Ok(Self { conv: conv.grouped(channels), slope })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let x = self.conv.forward(x)?;
        let above = x.relu()?;
        let below = (x - &above)?.broadcast_mul(&self.slope.reshape((1, (), 1, 1))?)?;
        above + below
    }

    fn activation(&self) -> TensorResult<Activation> {
        Ok(Activation::PRelu(self.slope.to_vec1()?))
    }
}

impl Layers {
    /// [`Layered::forward`]; `see` gets the maps that are held against ONNX Runtime's.
    fn stages(&self, x: &Tensor, mut see: impl FnMut(&'static str, &Tensor)) -> TensorResult<Tensor> {
        let mut x = self.conv1.forward(x)?;
        see(STEM, &x);
        for (i, (depthwise, pointwise)) in self.blocks.iter().enumerate() {
            x = pointwise.forward(&depthwise.forward(&x)?)?;
            if let Some(name) = stage(i) {
                see(name, &x);
            }
        }
        self.fc.forward(&x)?.flatten_from(1)
    }
}

/// The released graph's names of the map after the first convolution, and after the blocks that change the stride and
/// the last.
const STEM: &str = "conv_1_relu";

fn stage(block: usize) -> Option<&'static str> {
    match block {
        1 => Some("conv_3_relu"),
        3 => Some("conv_5_relu"),
        5 => Some("conv_7_relu"),
        11 => Some("conv_13_relu"),
        12 => Some("conv_14_relu"),
        _ => None,
    }
}

impl Layered for Layers {
    const ARCHITECTURE: &'static str = ARCHITECTURE;
    const LOADING: &'static str = "loading SFace";
    const DIMENSION: usize = SFACE_DIMENSION;

    fn alignment() -> Alignment {
        Alignment::FivePoint(&ARCFACE_112)
    }

    fn load(source: &WeightSource) -> TensorResult<Self> {
        let blocks = SFACE_BLOCKS.iter().enumerate().map(|(i, shape)| {
            let source = source.under(format!("blocks.{i}"));
            let depthwise = Convolution::depthwise(&source, "depthwise", shape.stride)?;
            Ok((depthwise, Convolution::load(&source, "pointwise", 1, 0)?))
        });
        Ok(Self {
            conv1: Convolution::load(source, "conv1", 1, 1)?,
            blocks: blocks.collect::<TensorResult<_>>()?,
            fc: Conv2d::load(source, "fc", 1, (0, 0))?,
        })
    }

    fn preprocessing(source: &WeightSource) -> TensorResult<Preprocessing> {
        let constant = |name: &str| -> TensorResult<[f32; 3]> { Ok([source.get(name)?.to_vec1()?[0]; 3]) };
        Ok(Preprocessing { mean: constant("input.mean")?, factor: constant("input.factor")? })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        self.stages(x, |_, _| {})
    }

    fn program(&self, simd: Simd, arithmetic: Arithmetic) -> TensorResult<Program> {
        let (width, height) = ARCFACE_112.size;
        let (mut builder, chip) = ProgramBuilder::new(height as usize, width as usize, 3);
        let mut x: Map = builder.conv_to_new(&self.conv1.conv.packed(self.conv1.activation()?, simd)?, chip);
        builder.mark(STEM, x);
        for (i, (depthwise, pointwise)) in self.blocks.iter().enumerate() {
            builder.step();
            let alone = depthwise.conv.packed_depthwise(depthwise.activation()?, simd)?;
            let alone = builder.depthwise_to_new(&alone, x);
            builder.step();
            x = builder.conv_to_new(&pointwise.conv.packed(pointwise.activation()?, simd)?, alone);
            if let Some(name) = stage(i) {
                builder.mark(name, x);
            }
        }
        builder.step();
        let vector = builder.conv_to_new(&self.fc.packed(Activation::None, simd)?, x);
        Ok(builder.finish_in(&[vector.into()], simd, arithmetic))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::embed::Embedder;
    use crate::media::{Photo, Raster};
    use crate::nn::weights::{TensorMap, WeightStore, folded_sface, golden, sface_released};
    use crate::nn::{Device, DeviceChoice, PrecisionChoice};
    use crate::vector::{Embedding, ModelId};

    fn answers() -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sface.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// The released tensors drawn by the recipe of tests/golden/sface.py, as an import makes them kith's.
    fn drawn() -> TensorMap {
        let draw = |name: &str, shape: &[usize]| -> Tensor {
            let count = shape.iter().product();
            let reach = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
            let value = |u: f64| match name {
                "scalar_op1" => 127.5,
                "scalar_op2" => 0.007_812_5,
                _ if name.ends_with("relu_gamma") => u / 4.0,
                _ if name.ends_with("_gamma") || name.ends_with("_var") => 0.5 + u,
                _ if shape.len() > 1 => (2.0 * u - 1.0) * reach,
                _ => 0.2 * u - 0.1,
            };
            let values: Vec<f32> = golden::uniform(name, count).into_iter().map(|u| value(u) as f32).collect();
            Tensor::from_vec(values, shape, &candle_core::Device::Cpu).unwrap()
        };
        let released = sface_released().iter().map(|s| (s.name.clone(), draw(&s.name, &s.shape))).collect();
        folded_sface(&released).unwrap()
    }

    /// `[n, pixels, channels]` as `[n, channels, pixels]`.
    fn planar(values: &[f32], n: usize, channels: usize) -> Vec<f32> {
        let image = |image: &[f32]| -> Vec<f32> {
            (0..channels).flat_map(|c| image.iter().skip(c).step_by(channels).copied()).collect()
        };
        values.chunks(values.len() / n).flat_map(image).collect()
    }

    fn channels(stage: &str) -> usize {
        match stage {
            STEM => 32,
            "conv_3_relu" => 128,
            "conv_5_relu" => 256,
            "conv_7_relu" => 512,
            _ => 1024,
        }
    }

    /// How far a map's samples may be from ONNX Runtime's, in its standard deviations.
    fn hold_stage(wanted: &Value, by: &str, name: &str, values: &[f32], room: f64) {
        let deviation = wanted[name]["std"].as_f64().unwrap();
        let what = format!("{name} by {by}");
        golden::hold(&wanted[name], &what, values, room * deviation);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        assert!((mean - wanted[name]["mean"].as_f64().unwrap()).abs() < 0.1 * room * deviation, "{what}: mean {mean}");
    }

    fn hold_rows(wanted: &Value, by: &str, rows: &[Vec<f32>], least: f32) {
        let model = ModelId::new(ARCHITECTURE, "golden", "chip");
        for (row, wanted) in rows.iter().zip(wanted["fc1"]["rows"].as_array().unwrap()) {
            let wanted = wanted.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            let wanted = Embedding::from_raw(wanted, model.clone()).unwrap();
            let cosine = Embedding::from_raw(row.clone(), model.clone()).unwrap().cosine(&wanted).unwrap();
            println!("SFace by {by}: cosine to ONNX Runtime {cosine:.8}");
            assert!(cosine >= least, "{by}: {cosine}");
        }
    }

    /// Holds the layers and the programs of every path against ONNX Runtime on the same input, `[n, 3, 112, 112]` as the
    /// layers take it. In f32 maps and outputs are within `room` standard deviations; the cosine is at least `least`, and
    /// `coarse` in other precisions.
    fn hold_all(tensors: &TensorMap, x: &Tensor, wanted: &Value, room: f64, (least, coarse): (f32, f32)) {
        let layers = Layers::load(&WeightSource::new(tensors, x.device())).unwrap();
        let mut seen = 0;
        let output = layers.stages(x, |name, map| {
            seen += 1;
            hold_stage(wanted, "layers", name, &map.flatten_all().unwrap().to_vec1::<f32>().unwrap(), room);
        });
        assert_eq!(seen, wanted.as_object().unwrap().len() - 1);
        let rows: Vec<Vec<f32>> = output.unwrap().to_vec2().unwrap();
        hold_stage(wanted, "layers", "fc1", &rows.concat(), room);
        hold_rows(wanted, "layers", &rows, least);
        let n = x.dim(0).unwrap();
        let values: Vec<f32> = x.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let fill = |i: usize, out: &mut crate::nn::InputRows| {
            (0..112).for_each(|y| out.row(y).copy_from_slice(&values[(i * 112 + y) * 336..][..336]));
        };
        for (simd, arithmetic) in Arithmetic::available() {
            let by = format!("{simd} in {}", arithmetic.name());
            let program = layers.program(simd, arithmetic).unwrap();
            let full = arithmetic == Arithmetic::F32;
            let output = program.run_seen(n, fill, |name, map| {
                if full {
                    hold_stage(wanted, &by, name, &planar(&map(), n, channels(name)), room);
                }
            });
            if full {
                hold_stage(wanted, &by, "fc1", &output[0], room);
            }
            let rows: Vec<Vec<f32>> = output[0].chunks(SFACE_DIMENSION).map(<[f32]>::to_vec).collect();
            hold_rows(wanted, &by, &rows, if full { least } else { coarse });
        }
    }

    #[test]
    fn drawn_weights_give_what_onnx_runtime_gives() {
        let values = golden::uniform("input", 2 * 3 * 112 * 112).into_iter();
        // What goes into the first convolution: (v - 127.5) / 128.
        let values: Vec<f32> = values.map(|u| ((127.5 * 2.0 * u) as f32 - 127.5) * 0.007_812_5).collect();
        let x = Tensor::from_vec(values, (2, 3, 112, 112), &candle_core::Device::Cpu).unwrap();
        hold_all(&drawn(), &x, &answers()["drawn"], 1e-3, (0.99999, 0.999));
    }

    /// The built-in weights are the released ones, but for the folding of batch normalisations.
    #[cfg(feature = "embedded-weights")]
    #[test]
    fn the_built_in_weights_give_what_onnx_runtime_gives_with_the_released_ones() {
        let loaded = WeightStore::new(None).load(ARCHITECTURE).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chips/astronaut.png");
        let mut chip = Raster::new(112, 112, [0; 3]);
        chip.blit(Photo::open(path).unwrap().raster(), 0, 0);
        let mirrored = chip.mirrored();
        let wanted = &answers()["published"];
        let values: Vec<f32> = [&chip, &mirrored]
            .iter()
            .flat_map(|chip| (0..3).flat_map(|c| chip.data().iter().skip(c).step_by(3)))
            .map(|&v| (f32::from(v) - 127.5) * 0.007_812_5)
            .collect();
        let x = Tensor::from_vec(values, (2, 3, 112, 112), &candle_core::Device::Cpu).unwrap();
        hold_all(&loaded.tensors, &x, wanted, 1e-3, (0.99999, 0.9995));
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let net = Sface::new(&loaded.tensors, "golden", &device, PrecisionChoice::F32).unwrap();
        let embedded = net.embed(&[chip, mirrored]).unwrap();
        let rows: Vec<Vec<f32>> = embedded.iter().map(|e| e.values().to_vec()).collect();
        hold_rows(wanted, "the embedder", &rows, 0.99999);
    }
}
