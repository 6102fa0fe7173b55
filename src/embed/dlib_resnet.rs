//! dlib's face recognition ResNet: 29 convolutions, 150x150 chips, 128 dimensions.
//!
//! D. E. King, "High quality face recognition with deep metric learning", 2017, after K. He et al.,
//! "Deep residual learning for image recognition", CVPR 2016, with fewer layers and half the filters.
//! The weights are in the public domain (CC0). dlib decides at a Euclidean distance of 0.6 between
//! raw outputs; here they are scaled to length one, which separates better (0.6 becomes about 0.42).

use candle_core::{Result as TensorResult, Tensor};

use super::network::{Layered, NetworkEmbedder, Preprocessing};
use crate::align::{Alignment, DLIB_150};
use crate::nn::{
    Activation, Arithmetic, Conv2d, Linear, Program, ProgramBuilder, WeightSource, global_average, max_pool,
};
use kith_kernels::Simd;

/// Architecture name, as the manifest has it.
pub const ARCHITECTURE: &str = "dlib-resnet";
/// Every pixel value `v` goes in as `(v - mean) / 256`; the mean is in the weights.
const PIXEL_FACTOR: f32 = 1.0 / 256.0;
/// Blocks in order; `true` where the block downsamples by two.
const BLOCKS: [bool; 14] =
    [false, false, false, true, false, false, false, true, false, false, true, false, false, true];

/// The network. See the module's own page for the source.
pub(crate) type DlibResnet = NetworkEmbedder<Layers>;

/// The layers in order.
pub(crate) struct Layers {
    stem: Conv2d,
    blocks: Vec<Block>,
    fc: Linear,
}

impl Layered for Layers {
    const ARCHITECTURE: &'static str = ARCHITECTURE;
    const LOADING: &'static str = "loading dlib's ResNet";
    const DIMENSION: usize = 128;

    fn alignment() -> Alignment {
        Alignment::FivePoint(&DLIB_150)
    }

    fn load(source: &WeightSource) -> TensorResult<Self> {
        let blocks = BLOCKS.iter().enumerate();
        Ok(Self {
            stem: convolution(&source.under("stem"), "conv", "affine", 2, 0)?,
            blocks: blocks
                .map(|(i, &down)| Block::load(&source.under(format!("block{i}")), down))
                .collect::<TensorResult<_>>()?,
            fc: Linear::load(source, "fc")?,
        })
    }

    fn preprocessing(source: &WeightSource) -> TensorResult<Preprocessing> {
        let mean: Vec<f32> = source.get("input.mean")?.to_vec1()?;
        Ok(Preprocessing { mean: std::array::from_fn(|c| mean[c]), factor: [PIXEL_FACTOR; 3] })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let mut x = max_pool(&self.stem.forward(x)?.relu()?, 3, 2, false)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.fc.forward(&global_average(&x)?)
    }

    fn program(&self, simd: Simd, arithmetic: Arithmetic) -> TensorResult<Program> {
        let (width, height) = DLIB_150.size;
        let (mut builder, chip) = ProgramBuilder::new(height as usize, width as usize, 3);
        let stem = builder.conv_to_new(&self.stem.packed(Activation::Relu, simd)?, chip);
        let mut x = builder.map((stem.rows - 3) / 2 + 1, (stem.columns - 3) / 2 + 1, stem.channels);
        builder.step().max_pool(stem, x, 3, 2);
        let mut between = None;
        for block in &self.blocks {
            let (first, second) =
                (block.first.packed(Activation::Relu, simd)?, block.second.packed(Activation::Relu, simd)?);
            if block.down {
                builder.step();
                let y = builder.conv_to_new(&first, x);
                // The shortcut is filled up with zeros to the convolutions' channels, and where it has
                // more pixels than they, those stay as they are.
                let shortcut = builder.map(x.rows / 2, x.columns / 2, y.channels);
                builder.mean(x, shortcut, (2, 2), 2);
                (x, between) = (shortcut, Some(y));
            } else {
                let y = between.unwrap_or_else(|| builder.map(x.rows, x.columns, x.channels));
                builder.step().conv(&first, x, y, None);
                between = Some(y);
            }
            let Some(y) = between else { continue };
            builder.step().conv(&second, y, x, Some(x.into()));
            if (y.rows, y.columns) != (x.rows, x.columns) {
                between = None;
            }
        }
        let mean = builder.map(1, 1, x.channels);
        builder.step().mean(x, mean, (x.rows, x.columns), 1);
        builder.step();
        let descriptor = builder.conv_to_new(&self.fc.packed((1, 1), Activation::None, simd)?, mean);
        Ok(builder.finish_in(&[descriptor.into()], simd, arithmetic))
    }
}

/// Two 3x3 convolutions beside a shortcut. A block that downsamples strides its first
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::embed::Embedder;
    use crate::media::{Photo, Raster};
    use crate::nn::PrecisionChoice::F32;
    use crate::nn::weights::{TensorMap, WeightStore};
    use crate::nn::{Device, DeviceChoice};

    /// dlib's own raw descriptors of the same chips (tests/golden/dlib_resnet.py), and how far ours are,
    /// by the tensor library and by the program of every path that this processor has.
    fn distances(tensors: &TensorMap) -> Vec<(String, f32)> {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let text = std::fs::read_to_string(golden.join("dlib_resnet.json")).unwrap();
        let golden_values: serde_json::Value = serde_json::from_str(&text).unwrap();
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let source = WeightSource::new(tensors, device.inner());
        let (layers, preprocessing) = (Layers::load(&source).unwrap(), Layers::preprocessing(&source).unwrap());
        let kinds = Arithmetic::available();
        let programs: Vec<Program> = kinds.iter().map(|&(simd, kind)| layers.program(simd, kind).unwrap()).collect();
        let mut answers = Vec::new();
        for (name, wanted) in golden_values["descriptors"].as_object().unwrap() {
            let chip = Photo::open(golden.join(format!("chips/{name}.png"))).unwrap();
            let chip = [chip.raster().clone()];
            let x = Tensor::from_vec(preprocessing.planar(&chip), (1, 3, 150, 150), device.inner()).unwrap();
            let by_layers: Vec<f32> = layers.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let mut all = vec![("layers".to_string(), by_layers)];
            for ((simd, kind), program) in kinds.iter().zip(&programs) {
                let output = program.run_rows(1, |_, y, row| preprocessing.interleaved(&chip[0], y, row)).remove(0);
                all.push((format!("{simd} in {}", kind.name()), output));
            }
            for (by, got) in all {
                let gaps = got.iter().zip(wanted.as_array().unwrap()).map(|(g, w)| f64::from(*g) - w.as_f64().unwrap());
                answers.push((format!("{name} by {by}"), gaps.map(|d| d * d).sum::<f64>().sqrt() as f32));
            }
        }
        answers
    }

    #[test]
    fn descriptors_are_dlibs_own_with_the_stored_half_precision() {
        let loaded = WeightStore::new(None).load(ARCHITECTURE).unwrap();
        let distances = distances(&loaded.tensors);
        println!("distance to dlib's descriptors, f16 weights: {distances:?}");
        assert_eq!(distances.len(), 9 * (1 + Arithmetic::available().len()));
        // A cosine of 0.9995 is a distance of 0.032.
        let room = |by: &str| if by.ends_with("f16") { 2e-2 } else { 5e-3 };
        assert!(distances.iter().all(|(by, d)| *d <= room(by)), "{distances:?}");
    }

    #[test]
    #[ignore = "needs dlib's released file of 22 MB, in the folder that KITH_UPSTREAM_WEIGHTS names"]
    fn descriptors_are_dlibs_own_with_the_released_numbers() {
        let folder = std::env::var_os("KITH_UPSTREAM_WEIGHTS").expect("KITH_UPSTREAM_WEIGHTS names a folder");
        let released = Path::new(&folder).join("dlib_face_recognition_resnet_model_v1.dat");
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("dlib-f32.safetensors");
        crate::weights::import(&[released], None, Default::default(), &path).unwrap();
        let loaded = WeightStore::new(Some(out.path().to_path_buf())).load("dlib-f32").unwrap();
        let distances = distances(&loaded.tensors);
        println!("distance to dlib's descriptors, f32 weights: {distances:?}");
        let bound = |by: &str| match by.rsplit(' ').next() {
            Some("int16") => 5e-3,
            _ => 1e-3,
        };
        assert!(distances.iter().all(|(by, d)| *d <= bound(by)), "{distances:?}");
    }

    #[test]
    fn a_batch_is_the_same_as_one_by_one_and_other_sizes_are_refused() {
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        let loaded = WeightStore::new(None).load(ARCHITECTURE).unwrap();
        let net = DlibResnet::new(&loaded.tensors, &loaded.sha256, &device, F32).unwrap();
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
