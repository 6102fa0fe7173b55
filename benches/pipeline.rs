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

use std::time::Instant;

use criterion::{Criterion, criterion_main};
use kith::geometry::{BBox, Landmarks};
use kith::media::{Raster, encode_jpeg_like_opencv, resize_triangle};
use kith::{
    Database, DatabaseOptions, Embedding, Engine, EnrolmentPolicy, Limits, ModelId, NewFace, Photo, Policy,
    SearchPolicy,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

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

/// People in the gallery that a frame is held against.
const PEOPLE: usize = 10_000;

/// A frame of 1280x720 with one face, 300 pixels high: what a camera shows of somebody at a door.
fn frame() -> Photo {
    let small = Photo::open(fixture("grace_hopper.jpg")).expect("the fixture decodes");
    let mut frame = Raster::new(1280, 720, [90, 100, 110]);
    frame.blit(small.raster(), 384, 60);
    Photo::from_raster(frame, "frame")
}

/// People with one face each, as the engine's embedder would have made them: unit vectors in every direction.
fn people(engine: &Engine, database: &Database) {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let model: ModelId = engine.model().clone();
    let mut last = None;
    for number in 0..PEOPLE {
        let values = (0..engine.dimension()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        let embedding = Embedding::from_raw(values, model.clone()).expect("values that are a vector");
        let face = NewFace {
            embedding: embedding.found_by(engine.detector()),
            bbox: BBox::new(1.0, 2.0, 130.0, 140.0),
            landmarks: Landmarks([[50.0, 60.0]; 5]),
            score: 0.99,
            quality: [30.0, 0.1, 0.5, 1.0, 2.0, 3.0].into(),
            source: "photo.jpg".to_string(),
            source_sha256: None,
            pictures: None,
        };
        let policy = EnrolmentPolicy::default();
        let enrolled = database.enroll_pending("main", &format!("person {number}"), face, &policy);
        last = Some(enrolled.expect("enrolling").1);
    }
    database.settle(last.expect("somebody was enrolled")).expect("settling");
}

/// From a frame's pixels to a name: detection, alignment, embedding and search, in an engine that has seen such a frame.
fn identify(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).expect("a database");
    let engine = Engine::builder().build().expect("the built-in weights load");
    people(&engine, &database);
    let (frame, policy) = (frame(), SearchPolicy::default());
    let once = || engine.identify(&database, "main", &frame, &policy).expect("identification runs");
    assert_eq!(once().len(), 1, "one face in the frame");

    let mut group = c.benchmark_group(format!("1280x720, one face among {PEOPLE} people"));
    group.sample_size(40);
    group.bench_function("identify", |x| x.iter(|| black_box(once())));
    let found = engine.detect(&frame).expect("detection runs");
    group.bench_function("detect", |x| x.iter(|| engine.detect(black_box(&frame)).expect("detection runs")));
    let chips = engine.chips(&frame, &found).expect("the face has a chip");
    group.bench_function("embed", |x| x.iter(|| engine.embed_chips(black_box(&chips)).expect("embedding runs")));
    group.finish();
    // Criterion gives means; whether the bar is held is said by the best and the middle of many.
    let mut spent: Vec<f64> = (0..200)
        .map(|_| {
            let start = Instant::now();
            black_box(once());
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    spent.sort_unstable_by(f64::total_cmp);
    println!("identify: best {:.2} ms, median {:.2} ms, p90 {:.2} ms", spent[0], spent[100], spent[180]);
}

mod groups {
    #![allow(missing_docs)] // the macro makes a public function without any
    criterion::criterion_group!(benches, super::stages, super::large_photo, super::identify);
}
criterion_main!(groups::benches);
