//! Each stage on the fixture photos, and the whole comparison: `cargo bench`.
//!
//! Tried, by whole processes of `kith compare` in turns on two AVX2 cores: P-net by candle's lowering to
//! a matrix product, 1.10 to 1.39 s; by the direct kernel of `nn/kernels`, 0.68 to 0.79 s.
//!
//! Tried, for large photos:
//! - JPEG decoded at a smaller scale: 12 megapixels 58 ms in full, 47 at half, 37 at a quarter, 27 at an eighth of the side,
//!   for the reading of its codes stays; and the chip would be cut from the smaller copy. Not taken.
//! - A chip of a face of 2,000 pixels, by up to 256 samples for each of its pixels on one thread: 45 ms. Squares of source
//!   pixels averaged first, up to 36 samples, both threads (kept): 4.0 to 5.3.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_main};
use kith::media::{encode_jpeg_like_opencv, resize_triangle};
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

/// A photo of 12 megapixels whose face is as large as such photos have them.
fn large_photo(c: &mut Criterion) {
    let engine = Engine::builder().build().expect("the built-in weights load");
    let small = Photo::open(fixture("grace_hopper.jpg")).expect("the fixture decodes");
    let photo = Photo::from_raster(resize_triangle(small.raster(), 3200, 3750), "12 megapixels");
    let found = engine.detect(&photo).expect("detection runs");
    let largest = found.into_iter().max_by(|a, b| a.bbox.width().total_cmp(&b.bbox.width()));
    let face = [largest.expect("a face is found")];
    let jpeg = encode_jpeg_like_opencv(photo.raster()).expect("it is encoded");

    let mut group = c.benchmark_group("12 megapixels");
    group.sample_size(20);
    group.bench_function("decode", |x| {
        x.iter(|| Photo::from_bytes(black_box(&jpeg), "bench", &Limits::default()).expect("it decodes"));
    });
    group.bench_function("align", |x| x.iter(|| engine.chips(black_box(&photo), &face).expect("a chip")));
    group.finish();
}

mod groups {
    #![allow(missing_docs)] // the macro makes a public function without any
    criterion::criterion_group!(benches, super::stages, super::large_photo);
}
criterion_main!(groups::benches);
