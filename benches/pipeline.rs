//! Each stage on the fixture photos, and the whole comparison: `cargo bench`.
//!
//! Tried, by whole processes of `kith compare` in turns on two AVX2 cores: P-net by candle's lowering to
//! a matrix product, 1.10 to 1.39 s; by the direct kernel of `nn/kernels`, 0.68 to 0.79 s.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_main};
use kith::{Engine, Limits, Photo, Policy};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name)
}

fn stages(c: &mut Criterion) {
    let engine = Engine::builder().build().expect("the built-in weights load");
    let bytes = std::fs::read(fixture("grace_hopper.jpg")).expect("the fixture is there");
    let a = Photo::open(fixture("grace_hopper.jpg")).expect("the fixture decodes");
    let b = Photo::open(fixture("astronaut.png")).expect("the fixture decodes");
    let found = engine.detect(&a).expect("detection runs");
    let chips = engine.chips(&a, &found).expect("the face has a chip");

    let mut group = c.benchmark_group("512x600");
    group.sample_size(20);
    group.bench_function("decode", |x| {
        x.iter(|| Photo::from_bytes(black_box(&bytes), "bench", &Limits::default()).expect("it decodes"));
    });
    group.bench_function("detect", |x| x.iter(|| engine.detect(black_box(&a)).expect("detection runs")));
    group.bench_function("align", |x| x.iter(|| engine.chips(black_box(&a), &found).expect("a chip")));
    group.bench_function("embed", |x| x.iter(|| engine.embed_chips(black_box(&chips)).expect("embedding runs")));
    group.bench_function("compare", |x| {
        x.iter(|| engine.compare(black_box(&a), black_box(&b), Policy::default()).expect("comparison runs"));
    });
    let comparison = engine.compare(&a, &b, Policy::default()).expect("comparison runs");
    group.bench_function("draw", |x| x.iter(|| engine.draw(&a, &b, black_box(&comparison))));
    group.finish();
}

mod groups {
    #![allow(missing_docs)] // the macro makes a public function without any
    criterion::criterion_group!(benches, super::stages);
}
criterion_main!(groups::benches);
