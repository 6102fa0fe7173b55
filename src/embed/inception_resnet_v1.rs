//! Inception-ResNet-v1: 160x160 chips, 512 numbers; FaceNet's network of today.
//!
//! C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi, "Inception-v4, Inception-ResNet and the impact of
//! residual connections on learning", AAAI 2017, figures 10 to 14, in the variant and with the tensor
//! names of facenet-pytorch 2.6.0, so that any of its state_dicts runs. Every convolution is followed
//! by BatchNorm (folded in at load) and ReLU.

use candle_core::{D, Result as TensorResult, Tensor};

use super::{Embedder, embed_in_batches};
use crate::align::Alignment;
use crate::error::ModelError;
use crate::media::Raster;
use crate::nn::weights::TensorMap;
use crate::nn::{Conv2d, Device, Linear, WeightSource, backend, global_average, max_pool};
use crate::vector::{Embedding, ModelId};

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "inception-resnet-v1";
/// Numbers in an embedding.
pub const DIMENSION: usize = 512;
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
pub struct InceptionResnetV1 {
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
    model: ModelId,
    device: Device,
}

impl InceptionResnetV1 {
    /// Builds the network; `weights_sha256` goes into the model id.
    ///
    /// # Errors
    /// [`ModelError::Backend`] when a tensor is missing or the device fails.
    pub fn new(tensors: &TensorMap, weights_sha256: &str, device: &Device) -> Result<Self, ModelError> {
        let model = ModelId::new(ARCHITECTURE, weights_sha256, &Self::ALIGNMENT.name());
        let source = WeightSource::new(tensors, device.inner());
        Self::load(&source, model, device).map_err(backend("loading Inception-ResNet-v1"))
    }

    const ALIGNMENT: Alignment = Alignment::BoxCrop { size: SIDE, margin: 0 };

    fn load(source: &WeightSource, model: ModelId, device: &Device) -> TensorResult<Self> {
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
            model,
            device: device.clone(),
        })
    }

    /// Output `[n, 512]`, not yet of length one, of normalised chips `[n, 3, 160, 160]`. `seen` is
    /// shown every stage by facenet-pytorch's name.
    fn forward(&self, x: &Tensor, mut seen: impl FnMut(&'static str, &Tensor)) -> TensorResult<Tensor> {
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

impl Embedder for InceptionResnetV1 {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn alignment(&self) -> Alignment {
        Self::ALIGNMENT
    }

    fn embed(&self, chips: &[Raster]) -> Result<Vec<Embedding>, ModelError> {
        let pixels = (PIXEL_MEAN, [PIXEL_FACTOR; 3]);
        let network = |x: &Tensor| self.forward(x, |_, _| {});
        embed_in_batches(chips, &self.model, (SIDE, SIDE), pixels, self.device.inner(), network)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::nn::weights::specs_of;
    use crate::nn::{Device, DeviceChoice};

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

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    #[test]
    fn every_stage_is_facenet_pytorchs_on_seeded_weights() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/irv1.json");
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let specs = specs_of(ARCHITECTURE).unwrap();
        let tensors: TensorMap = specs.iter().map(|s| (s.name.clone(), drawn(&s.name, &s.shape))).collect();
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let net = InceptionResnetV1::new(&tensors, "seeded", &device).unwrap();
        let input = uniform("input", 2 * 3 * 160 * 160).into_iter().map(|u| (2.0 * u - 1.0) as f32).collect();
        let input = Tensor::from_vec(input, (2, 3, 160, 160), device.inner()).unwrap();

        let mut stages = 0;
        let output = net
            .forward(&input, |name, tensor| {
                stages += 1;
                let wanted = &golden["stages"][name];
                let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                let deviation = wanted["std"].as_f64().unwrap();
                let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
                assert!((mean - wanted["mean"].as_f64().unwrap()).abs() < 1e-4 * deviation, "{name}: mean {mean}");
                for (k, sample) in numbers(&wanted["samples"]).into_iter().enumerate() {
                    let got = f64::from(values[k * values.len() / 64]);
                    assert!((got - sample).abs() < 1e-3 * deviation, "{name}: sample {k} is {got}, not {sample}");
                }
            })
            .unwrap();
        assert_eq!(stages, golden["stages"].as_object().unwrap().len());

        let rows: Vec<Vec<f32>> = output.to_vec2().unwrap();
        for (row, wanted) in rows.into_iter().zip(golden["embedding"].as_array().unwrap()) {
            let got = Embedding::from_raw(row, net.model.clone()).unwrap();
            let wanted = numbers(wanted).into_iter().map(|v| v as f32).collect();
            let wanted = Embedding::from_raw(wanted, net.model.clone()).unwrap();
            let (cosine, distance) = (got.cosine(&wanted).unwrap(), got.distance(&wanted).unwrap());
            println!("cosine to facenet-pytorch {cosine:.8}, distance {distance:.2e}");
            // A cosine of 0.99999 is a distance of 4.5e-3; what was measured is a thousandth of it.
            assert!(cosine >= 0.99999 && distance < 1e-4, "{cosine} {distance}");
        }
    }
}
