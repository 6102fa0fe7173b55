//! The embedders alone, in faces and in multiplications per second, beside a matrix product:
//! `cargo bench --bench networks`; `RAYON_NUM_THREADS=1` before it for one thread, `KITH_SIMD=avx2` for
//! another path. Throughput in `elem/s` is floating-point operations (two a product), so that the
//! networks' lines stand beside the line of the matrix product, the machine's practical peak.
//!
//! Tried:
//! - candle's convolution (a lowering of every layer to a matrix product, with copies to and fro): the
//!   path of accelerators still; on the processor several times slower than what follows.
//! - An implicit matrix product over maps in pixel order, weights packed at load, tiles of 12 pixels by
//!   32 channels (AVX-512) in registers: what is here. Layers alone, one thread of an AVX-512 core with
//!   174 GFLOP/s at most: 145 to 156 GFLOP/s for 3x3 and 1x7 of 64 channels and more and for 1x1 over
//!   8x8 and 3x3 maps; 107 for 7x7/2 of 3 channels.
//! - Pixels addressed by one pointer each, rather than by a stride: tiles may cross rows and images, so
//!   that a 3x3 map of nine pixels is still one full tile.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use candle_core::{Device, Tensor};
use criterion::{Criterion, Throughput, criterion_main};
use kith::weights::{Precision, import, specs_of};
use kith::{DeviceChoice, Engine, Raster};
use rand::{Rng, SeedableRng};

/// Multiplications of one face.
const DLIB_PRODUCTS: u64 = 271_000_000;
const INCEPTION_PRODUCTS: u64 = 1_418_000_000;
/// Side of the matrices of the product beside the networks.
const MATRIX: usize = 1536;

/// Writes seeded weights of Inception-ResNet-v1 into the folder, as a model called `seeded`.
fn seeded_inception(folder: &Path) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    for spec in specs_of("inception-resnet-v1").expect("kith knows the architecture") {
        let inputs: usize = spec.shape[1..].iter().product();
        let positive = spec.name.ends_with("running_var") || spec.name.ends_with("bn.weight");
        let scale = (6.0 / inputs as f32).sqrt();
        let draw = |_| if positive { rng.random_range(0.8..1.2) } else { rng.random_range(-scale..scale) };
        let values: Vec<f32> = (0..spec.shape.iter().product::<usize>()).map(draw).collect();
        tensors.insert(spec.name, Tensor::from_vec(values, spec.shape, &Device::Cpu).expect("a tensor"));
    }
    let raw = folder.join("raw.safetensors");
    candle_core::safetensors::save(&tensors.into_iter().collect(), &raw).expect("weights are written");
    let out = folder.join("seeded.safetensors");
    import(&[raw], Some("inception-resnet-v1"), Precision::default(), &out).expect("weights are imported");
}

fn networks(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    seeded_inception(folder.path());
    let engine = |model: &str| {
        let builder = Engine::builder().device(DeviceChoice::Cpu).weights(folder.path()).model(model);
        builder.build().expect("the weights load")
    };
    let mut group = c.benchmark_group("network");
    for (model, side, products) in [("dlib-resnet", 150, DLIB_PRODUCTS), ("seeded", 160, INCEPTION_PRODUCTS)] {
        let engine = engine(model);
        for count in [1usize, 8] {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
            let chips: Vec<Raster> = (0..count).map(|_| Raster::new(side, side, rng.random::<[u8; 3]>())).collect();
            group.throughput(Throughput::Elements(2 * products * count as u64));
            group.bench_function(format!("{model}/batch {count}"), |b| {
                b.iter(|| engine.embed_chips(black_box(&chips)).expect("embedding runs"));
            });
        }
    }
    let matrix = Tensor::ones((MATRIX, MATRIX), candle_core::DType::F32, &Device::Cpu).expect("a matrix");
    group.throughput(Throughput::Elements(2 * (MATRIX as u64).pow(3)));
    group.sample_size(10);
    group.bench_function("matrix product", |b| b.iter(|| black_box(&matrix).matmul(&matrix).expect("a product")));
    group.finish();
}

mod groups {
    #![allow(missing_docs)] // the macro makes a public function without any
    criterion::criterion_group!(benches, super::networks);
}
criterion_main!(groups::benches);
