//! Inception-ResNet-v1: 160x160 chips, 512 dimensions; FaceNet's network of today.
//!
//! C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi, "Inception-v4, Inception-ResNet and the impact of
//! residual connections on learning", AAAI 2017, figures 10 to 14, in the variant and with the tensor
//! names of facenet-pytorch 2.6.0, so that any of its state_dicts runs. Every convolution is followed
//! by BatchNorm (folded in at load) and ReLU.

use candle_core::{D, Result as TensorResult, Tensor};

use super::network::{Layered, NetworkEmbedder, Preprocessing};
use crate::align::Alignment;
use crate::nn::{
    Activation, Arithmetic, Conv2d, Linear, Map, PackedConv, Program, ProgramBuilder, WeightSource, global_average,
    max_pool,
};
use kith_kernels::Simd;

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "inception-resnet-v1";
/// Dimensions of an embedding.
const DIMENSION: usize = 512;
/// Side of the chips in pixels.
const SIDE: u32 = 160;
/// Every pixel value `v` goes in as `(v - 127.5) / 128` (facenet-pytorch's fixed image standardisation).
const PIXEL_MEAN: [f32; 3] = [127.5; 3];
const PIXEL_FACTOR: f32 = 1.0 / 128.0;
/// BatchNorm epsilon of every convolution and of the last layer.
const BATCH_NORM_EPSILON: f64 = 0.001;
/// How much of a block's branches is added to its input (Szegedy et al., section 3.3).
const SCALE_35: f64 = 0.17;
const SCALE_17: f64 = 0.10;
const SCALE_8: f64 = 0.20;

/// The network. See the module's own page for the paper.
pub(crate) type InceptionResnetV1 = NetworkEmbedder<Layers>;

/// The layers in order.
pub(crate) struct Layers {
    conv2d_1a: Conv2d,
    conv2d_2a: Conv2d,
    conv2d_2b: Conv2d,
    conv2d_3b: Conv2d,
    conv2d_4a: Conv2d,
    conv2d_4b: Conv2d,
    repeat_1: Vec<Residual>,
    mixed_6a: [Branch; 2],
    repeat_2: Vec<Residual>,
    mixed_7a: [Branch; 3],
    repeat_3: Vec<Residual>,
    block8: Residual,
    last_linear: Linear,
}

impl Layers {
    /// Output `[n, 512]`, not yet of length one, of normalised chips `[n, 3, 160, 160]`. `seen` is
    /// shown every stage by facenet-pytorch's name.
    fn stages(&self, x: &Tensor, mut seen: impl FnMut(&'static str, &Tensor)) -> TensorResult<Tensor> {
        let mut x = x.clone();
        let mut stage = |name: &'static str, y: Tensor| {
            seen(name, &y);
            y
        };
        x = stage("conv2d_1a", self.conv2d_1a.forward(&x)?.relu()?);
        x = stage("conv2d_2a", self.conv2d_2a.forward(&x)?.relu()?);
        x = stage("conv2d_2b", self.conv2d_2b.forward(&x)?.relu()?);
        x = stage("maxpool_3a", max_pool(&x, 3, 2, false)?);
        x = stage("conv2d_3b", self.conv2d_3b.forward(&x)?.relu()?);
        x = stage("conv2d_4a", self.conv2d_4a.forward(&x)?.relu()?);
        x = stage("conv2d_4b", self.conv2d_4b.forward(&x)?.relu()?);
        for block in &self.repeat_1 {
            x = block.forward(&x)?;
        }
        x = stage("repeat_1", x);
        x = stage("mixed_6a", reduce(&self.mixed_6a, &x)?);
        for block in &self.repeat_2 {
            x = block.forward(&x)?;
        }
        x = stage("repeat_2", x);
        x = stage("mixed_7a", reduce(&self.mixed_7a, &x)?);
        for block in &self.repeat_3 {
            x = block.forward(&x)?;
        }
        x = stage("repeat_3", x);
        x = stage("block8", self.block8.forward(&x)?);
        x = stage("avgpool", global_average(&x)?);
        Ok(stage("last_bn", self.last_linear.forward(&x)?))
    }
}

impl Layered for Layers {
    const ARCHITECTURE: &'static str = ARCHITECTURE;
    const LOADING: &'static str = "loading Inception-ResNet-v1";
    const DIMENSION: usize = DIMENSION;

    fn alignment() -> Alignment {
        Alignment::BoxCrop { size: SIDE, margin: 0 }
    }

    fn load(source: &WeightSource) -> TensorResult<Self> {
        let repeat = |name: &str, count: usize, branches: &[&[Step]], scale: f64| -> TensorResult<Vec<Residual>> {
            let source = source.under(name);
            (0..count).map(|i| Residual::load(&source.under(i), branches, Some(scale), true)).collect()
        };
        let reduction = |name: &str, branch: &str, steps: &[Step]| Branch::load(&source.under(name), branch, steps);
        Ok(Self {
            conv2d_1a: basic(source, "conv2d_1a", 2, (0, 0))?,
            conv2d_2a: basic(source, "conv2d_2a", 1, (0, 0))?,
            conv2d_2b: basic(source, "conv2d_2b", 1, (1, 1))?,
            conv2d_3b: basic(source, "conv2d_3b", 1, (0, 0))?,
            conv2d_4a: basic(source, "conv2d_4a", 1, (0, 0))?,
            conv2d_4b: basic(source, "conv2d_4b", 2, (0, 0))?,
            repeat_1: repeat("repeat_1", 5, BLOCK_35, SCALE_35)?,
            mixed_6a: [
                reduction("mixed_6a", "branch0", &[VALID_STRIDE_2])?,
                reduction("mixed_6a", "branch1", &[POINT, SAME_3, VALID_STRIDE_2])?,
            ],
            repeat_2: repeat("repeat_2", 10, BLOCK_17, SCALE_17)?,
            mixed_7a: [
                reduction("mixed_7a", "branch0", &[POINT, VALID_STRIDE_2])?,
                reduction("mixed_7a", "branch1", &[POINT, VALID_STRIDE_2])?,
                reduction("mixed_7a", "branch2", &[POINT, SAME_3, VALID_STRIDE_2])?,
            ],
            repeat_3: repeat("repeat_3", 5, BLOCK_8, SCALE_8)?,
            block8: Residual::load(&source.under("block8"), BLOCK_8, None, false)?,
            last_linear: last_linear(source)?,
        })
    }

    fn preprocessing(_: &WeightSource) -> TensorResult<Preprocessing> {
        Ok(Preprocessing { mean: PIXEL_MEAN, factor: [PIXEL_FACTOR; 3] })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        self.stages(x, |_, _| {})
    }

    fn program(&self, simd: Simd, arithmetic: Arithmetic) -> TensorResult<Program> {
        let (mut builder, mut x) = ProgramBuilder::new(SIDE as usize, SIDE as usize, 3);
        let b = &mut builder;
        let conv = |b: &mut ProgramBuilder, name: &'static str, conv: &Conv2d, x: Map| -> TensorResult<Map> {
            b.step();
            let y = b.conv_to_new(&conv.packed(Activation::Relu, simd)?, x);
            b.mark(name, y);
            Ok(y)
        };
        x = conv(b, "conv2d_1a", &self.conv2d_1a, x)?;
        x = conv(b, "conv2d_2a", &self.conv2d_2a, x)?;
        x = conv(b, "conv2d_2b", &self.conv2d_2b, x)?;
        let pooled = b.map((x.rows - 3) / 2 + 1, (x.columns - 3) / 2 + 1, x.channels);
        b.step().max_pool(x, pooled, 3, 2);
        b.mark("maxpool_3a", pooled);
        x = conv(b, "conv2d_3b", &self.conv2d_3b, pooled)?;
        x = conv(b, "conv2d_4a", &self.conv2d_4a, x)?;
        x = conv(b, "conv2d_4b", &self.conv2d_4b, x)?;
        add_blocks(b, &self.repeat_1, x, simd)?;
        b.mark("repeat_1", x);
        x = add_reduction(b, &self.mixed_6a, x, simd)?;
        b.mark("mixed_6a", x);
        add_blocks(b, &self.repeat_2, x, simd)?;
        b.mark("repeat_2", x);
        x = add_reduction(b, &self.mixed_7a, x, simd)?;
        b.mark("mixed_7a", x);
        add_blocks(b, &self.repeat_3, x, simd)?;
        b.mark("repeat_3", x);
        add_blocks(b, std::slice::from_ref(&self.block8), x, simd)?;
        b.mark("block8", x);
        let mean = b.map(1, 1, x.channels);
        b.step().mean(x, mean, (x.rows, x.columns), 1);
        b.mark("avgpool", mean);
        b.step();
        let vector = b.conv_to_new(&self.last_linear.packed((1, 1), Activation::None, simd)?, mean);
        b.mark("last_bn", vector);
        Ok(builder.finish_in(&[vector.into()], simd, arithmetic))
    }
}

/// Adds branches over `x` that write side by side into `to`; a step does what no branch waits for.
/// `between` holds the maps inside the branches and is filled where it is empty.
fn add_branches(builder: &mut ProgramBuilder, branches: &[Vec<PackedConv>], x: Map, to: Map, between: &mut Vec<Map>) {
    let fill = between.is_empty();
    let longest = branches.iter().map(Vec::len).max().unwrap_or(0);
    let mut inputs = vec![x; branches.len()];
    let mut used = 0;
    for depth in 0..longest {
        if depth > 0 {
            builder.step();
        }
        let mut channel = 0;
        for (branch, input) in branches.iter().zip(&mut inputs) {
            let width = branch.last().map_or(0, PackedConv::outputs);
            match branch.get(depth) {
                Some(conv) if depth + 1 == branch.len() => {
                    builder.conv(conv, *input, to.channels(channel, width), None);
                }
                Some(conv) => {
                    if fill {
                        let (rows, columns) = conv.result_size(*input);
                        between.push(builder.map(rows, columns, conv.outputs()));
                    }
                    builder.conv(conv, *input, between[used], None);
                    *input = between[used];
                    used += 1;
                }
                None => {}
            }
            channel += width;
        }
    }
}

/// Adds residual blocks that work on `x` in place, with the same maps inside each.
fn add_blocks(builder: &mut ProgramBuilder, blocks: &[Residual], x: Map, simd: Simd) -> TensorResult<()> {
    let (mut between, mut joined) = (Vec::new(), None);
    for block in blocks {
        let branches: Vec<_> = block.branches.iter().map(|b| b.packed(simd)).collect::<TensorResult<_>>()?;
        let after = if block.relu { Activation::Relu } else { Activation::None };
        let join = block.join.packed(after, simd)?;
        let joined = *joined.get_or_insert_with(|| builder.map(x.rows, x.columns, join.inputs()));
        add_branches(builder.step(), &branches, x, joined, &mut between);
        builder.step().conv(&join, joined, x, Some(x.into()));
    }
    Ok(())
}

/// Adds a reduction: branches beside a 3x3 maximum, all at stride 2.
fn add_reduction(builder: &mut ProgramBuilder, branches: &[Branch], x: Map, simd: Simd) -> TensorResult<Map> {
    let branches: Vec<_> = branches.iter().map(|b| b.packed(simd)).collect::<TensorResult<_>>()?;
    let width: usize = branches.iter().filter_map(|b| b.last()).map(PackedConv::outputs).sum();
    let to = builder.map((x.rows - 3) / 2 + 1, (x.columns - 3) / 2 + 1, width + x.channels);
    builder.step().max_pool(x, to.channels(width, x.channels), 3, 2);
    add_branches(builder, &branches, x, to, &mut Vec::new());
    Ok(to)
}

/// Stride and padding of one convolution of a branch.
type Step = (usize, (usize, usize));

const POINT: Step = (1, (0, 0));
const SAME_3: Step = (1, (1, 1));
const VALID_STRIDE_2: Step = (2, (0, 0));
const BLOCK_35: &[&[Step]] = &[&[POINT], &[POINT, SAME_3], &[POINT, SAME_3, SAME_3]];
const BLOCK_17: &[&[Step]] = &[&[POINT], &[POINT, (1, (0, 3)), (1, (3, 0))]];
const BLOCK_8: &[&[Step]] = &[&[POINT], &[POINT, (1, (0, 1)), (1, (1, 0))]];

/// Convolutions in a row.
struct Branch(Vec<Conv2d>);

impl Branch {
    /// A branch of one convolution is named by itself, a longer one numbers its convolutions.
    fn load(source: &WeightSource, name: &str, steps: &[Step]) -> TensorResult<Self> {
        let named = |i: usize| if steps.len() == 1 { name.to_string() } else { format!("{name}.{i}") };
        let convolutions = steps.iter().enumerate();
        convolutions
            .map(|(i, &(stride, padding))| basic(source, &named(i), stride, padding))
            .collect::<TensorResult<_>>()
            .map(Self)
    }

    fn packed(&self, simd: Simd) -> TensorResult<Vec<PackedConv>> {
        self.0.iter().map(|c| c.packed(Activation::Relu, simd)).collect()
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let mut x = x.clone();
        for convolution in &self.0 {
            x = convolution.forward(&x)?.relu()?;
        }
        Ok(x)
    }
}

/// Branches side by side, joined by a 1x1 convolution and added to the input.
struct Residual {
    branches: Vec<Branch>,
    join: Conv2d,
    relu: bool,
}

impl Residual {
    fn load(source: &WeightSource, branches: &[&[Step]], scale: Option<f64>, relu: bool) -> TensorResult<Self> {
        let join = source.under("conv2d");
        let factor = scale.unwrap_or(1.0);
        // The factor on the branches' sum is folded into the convolution that makes it.
        let join = Conv2d::new((join.get("weight")? * factor)?, Some((join.get("bias")? * factor)?), 1, (0, 0))?;
        let branches = branches.iter().enumerate();
        let branches = branches.map(|(i, steps)| Branch::load(source, &format!("branch{i}"), steps));
        Ok(Self { branches: branches.collect::<TensorResult<_>>()?, join, relu })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let parts: Vec<Tensor> = self.branches.iter().map(|b| b.forward(x)).collect::<TensorResult<_>>()?;
        let sum = (self.join.forward(&Tensor::cat(&parts, 1)?)? + x)?;
        if self.relu { sum.relu() } else { Ok(sum) }
    }
}

/// A reduction: branches beside a 3x3 maximum, all at stride 2.
fn reduce(branches: &[Branch], x: &Tensor) -> TensorResult<Tensor> {
    let mut parts: Vec<Tensor> = branches.iter().map(|b| b.forward(x)).collect::<TensorResult<_>>()?;
    parts.push(max_pool(x, 3, 2, false)?);
    Tensor::cat(&parts, 1)
}

/// `NAME.conv` with `NAME.bn` folded in.
fn basic(source: &WeightSource, name: &str, stride: usize, padding: (usize, usize)) -> TensorResult<Conv2d> {
    let source = source.under(name);
    let (scale, shift) = batch_norm(&source.under("bn"))?;
    Conv2d::new(source.under("conv").get("weight")?, None, stride, padding)?.followed_by(&scale, &shift)
}

/// BatchNorm at inference as `scale * x + shift`.
fn batch_norm(source: &WeightSource) -> TensorResult<(Tensor, Tensor)> {
    let deviation = (source.get("running_var")? + BATCH_NORM_EPSILON)?.sqrt()?;
    let scale = (source.get("weight")? / deviation)?;
    let shift = (source.get("bias")? - (source.get("running_mean")? * &scale)?)?;
    Ok((scale, shift))
}

/// The last linear layer (without bias) with the BatchNorm after it folded in.
fn last_linear(source: &WeightSource) -> TensorResult<Linear> {
    let (scale, shift) = batch_norm(&source.under("last_bn"))?;
    let weight = source.under("last_linear").get("weight")?;
    Ok(Linear::new(weight.broadcast_mul(&scale.unsqueeze(D::Minus1)?)?, Some(shift)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::nn::weights::{TensorMap, specs_of};
    use crate::nn::{Device, DeviceChoice};
    use crate::vector::{Embedding, ModelId};

    /// Element `i` of the tensor of that name: the recipe of tests/golden/irv1.py.
    fn uniform(name: &str, count: usize) -> Vec<f64> {
        let digest = Sha256::digest(name.as_bytes());
        let seed = u64::from_le_bytes(std::array::from_fn(|i| digest[i]));
        (1..=count as u64)
            .map(|i| {
                let mut z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^= z >> 31;
                (z >> 11) as f64 * 2f64.powi(-53)
            })
            .collect()
    }

    fn drawn(name: &str, shape: &[usize]) -> Tensor {
        let values: Vec<f32> = uniform(name, shape.iter().product())
            .into_iter()
            .map(|u| {
                let value = if shape.len() > 1 {
                    (2.0 * u - 1.0) * (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt()
                } else if name.ends_with("running_var") || name.ends_with("bn.weight") {
                    0.8 + 0.4 * u
                } else {
                    0.2 * u - 0.1
                };
                value as f32
            })
            .collect();
        Tensor::from_vec(values, shape, &candle_core::Device::Cpu).unwrap()
    }

    fn floats(value: &serde_json::Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn golden_channels(stage: &str) -> usize {
        match stage {
            "conv2d_1a" | "conv2d_2a" => 32,
            "conv2d_2b" | "maxpool_3a" => 64,
            "conv2d_3b" => 80,
            "conv2d_4a" => 192,
            "conv2d_4b" | "repeat_1" => 256,
            "mixed_6a" | "repeat_2" => 896,
            "last_bn" => DIMENSION,
            _ => 1792,
        }
    }

    /// `[n, pixels, channels]` as `[n, channels, pixels]`.
    fn planar(values: &[f32], n: usize, channels: usize) -> Vec<f32> {
        let image = |image: &[f32]| -> Vec<f32> {
            (0..channels).flat_map(|c| image.iter().skip(c).step_by(channels).copied()).collect()
        };
        values.chunks(values.len() / n).flat_map(image).collect()
    }

    fn hold_stage(golden: &serde_json::Value, by: &str, name: &str, values: &[f32]) {
        let wanted = &golden["stages"][name];
        let deviation = wanted["std"].as_f64().unwrap();
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        assert!((mean - wanted["mean"].as_f64().unwrap()).abs() < 1e-4 * deviation, "{name} by {by}: mean {mean}");
        for (k, sample) in floats(&wanted["samples"]).into_iter().enumerate() {
            let got = f64::from(values[k * values.len() / 64]);
            assert!((got - sample).abs() < 1e-3 * deviation, "{name} by {by}: sample {k} is {got}, not {sample}");
        }
    }

    fn hold_embeddings(golden: &serde_json::Value, by: &str, rows: Vec<Vec<f32>>, furthest: f32) {
        let model = ModelId::new(ARCHITECTURE, "seeded", &Layers::alignment().name());
        for (row, wanted) in rows.into_iter().zip(golden["embedding"].as_array().unwrap()) {
            let got = Embedding::from_raw(row, model.clone()).unwrap();
            let wanted = floats(wanted).into_iter().map(|v| v as f32).collect();
            let wanted = Embedding::from_raw(wanted, model.clone()).unwrap();
            let (cosine, distance) = (got.cosine(&wanted).unwrap(), got.distance(&wanted).unwrap());
            println!("{by}: cosine to facenet-pytorch {cosine:.8}, distance {distance:.2e}");
            // A cosine of 0.99999 is a distance of 4.5e-3; what was measured in f32 is a thousandth of it.
            let least = if by.ends_with(" in f16") { 0.99998 } else { 0.99999 };
            assert!(cosine >= least && distance < furthest, "{by}: {cosine} {distance}");
        }
    }

    #[test]
    fn every_stage_is_facenet_pytorchs_on_seeded_weights() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/irv1.json");
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let specs = specs_of(ARCHITECTURE).unwrap();
        let tensors: TensorMap = specs.iter().map(|s| (s.name.clone(), drawn(&s.name, &s.shape))).collect();
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let layers = Layers::load(&WeightSource::new(&tensors, device.inner())).unwrap();
        let values_in: Vec<f32> =
            uniform("input", 2 * 3 * 160 * 160).into_iter().map(|u| (2.0 * u - 1.0) as f32).collect();
        let input = Tensor::from_slice(&values_in, (2, 3, 160, 160), device.inner()).unwrap();

        let mut stages = 0;
        let output = layers.stages(&input, |name, tensor| {
            stages += 1;
            hold_stage(&golden, "layers", name, &tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        });
        assert_eq!(stages, golden["stages"].as_object().unwrap().len());
        hold_embeddings(&golden, "layers", output.unwrap().to_vec2().unwrap(), 1e-4);

        let plane = 160 * 160;
        let fill = |image: usize, rows: &mut crate::nn::InputRows| {
            for y in 0..160 {
                for (at, value) in rows.row(y).iter_mut().enumerate() {
                    *value = values_in[(image * 3 + at % 3) * plane + y * 160 + at / 3];
                }
            }
        };
        for simd in Simd::available() {
            let by = format!("the {simd} program");
            let mut stages = 0;
            let output = layers.program(simd, Arithmetic::F32).unwrap().run_seen(2, fill, |name, values| {
                stages += 1;
                hold_stage(&golden, &by, name, &planar(&values(), 2, golden_channels(name)));
            });
            assert_eq!(stages, golden["stages"].as_object().unwrap().len());
            hold_embeddings(&golden, &by, output[0].chunks(DIMENSION).map(<[f32]>::to_vec).collect(), 1e-4);
        }
        for (simd, kind) in Arithmetic::available().into_iter().filter(|(_, kind)| *kind != Arithmetic::F32) {
            let output = layers.program(simd, kind).unwrap().run(2, fill).remove(0);
            let by = format!("the {simd} program in {}", kind.name());
            let room = match kind {
                Arithmetic::F16 => 7e-3,
                _ => 4.5e-3,
            };
            hold_embeddings(&golden, &by, output.chunks(DIMENSION).map(<[f32]>::to_vec).collect(), room);
        }
    }
}
