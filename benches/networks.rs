//! The embedders alone, in faces and in multiplications per second, beside a matrix product:
//! `cargo bench --bench networks`; `RAYON_NUM_THREADS=1` before it for one thread, `KITH_SIMD=avx2` for
//! another path. Throughput in `elem/s` is floating-point operations (two a product), so that the
//! networks' lines stand beside the line of the matrix product, the machine's practical peak.
//!
//! Tried, in processor time of one thread, on an AVX-512 machine that others used too (174 GFLOP/s a core
//! at most), so that single figures are good to about a fifth:
//! - candle's convolution (a lowering of every layer to a matrix product, with copies to and fro): the
//!   path of accelerators still, and what the tests hold the programs to.
//! - An implicit matrix product over maps in pixel order, weights packed at load, tiles of 12 pixels by
//!   32 channels in registers. Layers alone: 145 to 156 GFLOP/s for 3x3 and 1x7 of 64 channels and more
//!   and for 1x1 over 8x8 and 3x3 maps; 107 for 7x7/2 of 3 channels. Pixels are addressed by a pointer
//!   each, not by a stride, so that tiles cross rows and images, and a map of nine pixels is one tile.
//! - Winograd's tiles, F(4x4, 3x3), counted in operations of the direct sum: 32->32 at 79x79 and 35x35
//!   228, 32->64 at 77x77 247, 80->192 at 38x38 214, 32->32 at 17x17 183 (119 direct), 64->64 at 17x17
//!   140 (135 direct); kept. 192->192 at 17x17 110 (148 direct): weights four times as large are read
//!   for 25 tiles; left to the direct sum, as are the maps of 8x8 and 3x3.
//! - The same tiles on AVX2, two cores of an EPYC, quiet: 192->192 at 17x17 0.75 to 0.9 ms (1.19 direct) for one
//!   face, 4.1 (8.0) for eight, so paths with narrow vectors use tiles for such layers, too.
//! - int16 quantisation (`--precision int16`), there: kernels alone 130 where f32 reaches 90 to 97 on one core;
//!   whole layers 240 to 277 where f32 reaches 150 to 185 on both. Layers by tiles stay in f32, which is faster still.
//!   The rounding of inputs takes a twelfth of MobileFaceNet's time. Its embeddings: see the tests of `embed`.
//! - Eight bits: MobileFaceNet, rounded by ONNX Runtime's own tools (outputs' channels apart, 100 faces to set the
//!   ranges), 200 other faces: cosine to f32 0.9906 (median), 0.934 (least); weights in eight bits and inputs in
//!   sixteen 0.9988 and 0.9975. Less than 0.9995, so not built; `pmaddubsw` alone is 1.4 times as fast as `pmaddwd`.
//! - Weights in f16, widened to f32 again panel by panel: one face 19.2 ms instead of 19.8, eight the same; not taken.
//! - Pieces of maps of 64,000 values instead of 200,000, for an L2 cache of half a megabyte: 192->256 at 17x17 for
//!   eight faces 11.6 ms instead of 12.8 (kept).
//! - Depthwise 3x3 with the nine weights in registers: 16 channels 0.44 ms instead of 0.53, but 64 channels 1.25
//!   instead of 0.78, for every cache line is read twice; not taken.
//! - int16 quantisation on AVX-512 with VNNI: while a loop over a tile's sums was not unrolled, the compiler kept all of
//!   them in memory and int16 was no faster than f32; unrolled (kept), Inception-ResNet-v1 takes 0.6 to 0.7 of f32's time.
//! - There, the layers by Winograd's tiles in int16 instead, those of at least 80, 64, 32 or 16 inputs: one face and eight
//!   the same or to a twentieth slower, dlib's ResNet 1.30 instead of 1.37 (from 64 inputs on); not taken.
//! - A job to the pool for every step: a twelfth of the time went to putting threads to sleep and waking them. Threads that
//!   stay together through a run (kept), two cores of a Xeon: Inception-ResNet-v1, one face, 12.0 ms instead of 13.6 in f32
//!   and 6.5 instead of 7.4 in int16; dlib's ResNet 1.36 instead of 1.66; YuNet 4.9 instead of 5.9; eight faces the same,
//!   and the same with another busy process on one of the cores.
//! - While one panel's tiles are summed, the weights that the thread reads next are prefetched, a few bytes with each value
//!   (kept), there: one face in f32 10.2 ms instead of 12.9, eight 8.5 instead of 8.9, int16 6.4 instead of 7.6. One cache
//!   line with each value, where a tile reads two: 10.3. In the loop of maps so large that nothing is prefetched
//!   it cost YuNet a twelfth, so these have a loop without.
//! - The maps that tests look at were copied in every run, seen or not; no longer: eight faces in f32 7.8 ms each instead
//!   of 8.6, in int16 5.3 instead of 6.1.
//! - binary16 in AVX-512 FP16 (`--precision f16`), one thread of a quiet Xeon (f32 176 GFLOP/s at most), a tile of 12
//!   pixels by 32 outputs over 64 inputs: 338 with two values a lane pair, their sums joined at the end (kept), 240 with
//!   one value spread by `vpbroadcastw`, which takes the port that multiplies. A depthwise 3x3 row of 64 channels 264
//!   where f32 has 98 to 110 and waits for its second cache; with 12 or 16 results side by side instead of 8, 112 to 118
//!   in f32, in the whole network the same; not taken. Two threads: MobileFaceNet 1.2 to 1.3 ms (f32 2.1 to 2.2, int16
//!   1.9 to 2.0), dlib's ResNet 1.1 to 1.2 (1.7 to 1.8, 1.4), Inception-ResNet-v1 one face 6.2 to 9.0 (11.0 to 11.8, 6.1
//!   to 6.7) and eight 5.1 each (8.4 to 8.9, 5.6 to 5.9); with the next panel's weights asked for ahead (kept) 5.3 to 5.7
//!   and 4.7 to 4.9. Sums of a window's mean value by value moved a mean of 700 by a hundredth; row by row (kept) they do not.
//! - Huge pages for weights and maps: reading 100 MB at 6.8 GB/s instead of 4.1; Inception-ResNet-v1,
//!   one face, 29 ms instead of 36.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use candle_core::{Device, Tensor};
use criterion::{Criterion, Throughput, criterion_main};
use kith::weights::{Precision, import, specs_of};
use kith::{DeviceChoice, Engine, PrecisionChoice, Raster};
use rand::{Rng, SeedableRng};

/// Multiplications of one face.
const SFACE_PRODUCTS: u64 = 574_000_000;
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
    let engine = |model: &str, precision| {
        let builder = Engine::builder().device(DeviceChoice::Cpu).weights(folder.path()).model(model);
        builder.precision(precision).build()
    };
    let mut group = c.benchmark_group("network");
    let models =
        [("sface", 112, SFACE_PRODUCTS), ("dlib-resnet", 150, DLIB_PRODUCTS), ("seeded", 160, INCEPTION_PRODUCTS)];
    let kinds = [PrecisionChoice::F32, PrecisionChoice::F16, PrecisionChoice::Int16];
    for ((model, side, products), precision) in models.into_iter().flat_map(|m| kinds.map(|p| (m, p))) {
        let engine = match engine(model, precision) {
            Ok(engine) => engine,
            Err(e) => {
                println!("{model} in {precision} is not measured: {e}");
                continue;
            }
        };
        for count in [1usize, 8] {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
            let chips: Vec<Raster> = (0..count).map(|_| Raster::new(side, side, rng.random::<[u8; 3]>())).collect();
            group.throughput(Throughput::Elements(2 * products * count as u64));
            group.bench_function(format!("{model} in {precision}/batch {count}"), |b| {
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
