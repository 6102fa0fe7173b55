//! Detectors and the fast embedder, each over whole photos and chips: `cargo bench --bench detect`.
//!
//! Photos are the fixtures, brought to the sizes at which facenet-pytorch's MTCNN was timed; other photos
//! are measured with `KITH_BENCH_PHOTOS=A.jpg:B.jpg`. The fast pair is measured where its weights are
//! (`kith weights pull yunet`, `kith weights import ... --name mobilefacenet`, or `KITH_WEIGHTS`).
//!
//! Tried for P-net, on one AVX-512 core with 174 GFLOP/s at its peak, in GFLOP/s of the third convolution
//! (16 to 32 channels, 355 columns):
//!
//! | how | AVX-512 | AVX2 |
//! | --- | --- | --- |
//! | a block of output channels over the whole row, then the next block | 52 | 36 |
//! | all blocks over a tile of 48 columns, then the next tile (kept) | 155 | 77 |
//!
//! For the pyramid of a 1200x630 photo, all eleven levels from the bytes, one core: summing each window by
//! itself 8.9 ms; running sums along the row and a division in vectors 4.4 ms (kept). The same code compiled
//! for AVX2, with red, green and blue of a pixel in one vector: 3.3 ms where the kept code took 3.8 to 3.9 in the
//! same process, equal to the last bit; not taken, for it is 1 ms of a photo's 100 on one core.
//!
//! R-net and O-net over 256 crops a layer write maps of 27 and 130 MB; over 8 and 3 crops a thread through all
//! layers (kept) they stay in the second cache. On two threads, in milliseconds (least; median), two series each
//! on a machine with other work on it, so differences are near the noise; on one thread no gain was seen:
//!
//! | photo | 256 crops a layer | few crops a thread (kept) |
//! | --- | --- | --- |
//! | 1200x630 | 59, 61; 67, 64 | 53, 57; 61, 64 |
//! | 1280x720 | 71, 75; 82, 84 | 61, 69; 66, 76 |
//! | 853x480 | 37, 44; 45, 48 | 34, 42; 38, 47 |
//!
//! `kith compare` of two 12-megapixel photos, at its peak: 353 MB with 256 crops a layer and 282 MB so (debug builds);
//! in release builds 294 MB, and 223 MB (kept) since the picture borrows the photos instead of copying them. With
//! `--profile fast` 838 MB when every map of YuNet had memory of its own, 430 MB when maps that are never alive
//! together share it, 359 MB (kept) with the picture's loan too; `kith detect --profile fast` of one 370 and 182 MB. One photo after the other
//! where maps are large (kept): 228 MB instead of 344 to 361, and 0.31 s instead of 0.25; for MTCNN 222 MB as before, and
//! 0.52 s instead of 0.44, so it still looks at both at once. 181 MB since what stands between the steps of a chain is
//! no map (kept, see below).
//!
//! YuNet, 640x480, one thread with AVX2: a fifth of the time went to finding each tile's place by divisions and to
//! clearing its pointers; with one tile for a layer that steps from pixel to pixel, in turns: 20.6 and 21.8 ms before,
//! 19.0 and 19.8 (kept) after; dlib's ResNet, one chip on two threads, 5.2 and then 4.6. The tiles' own sums had taken
//! 36 in a hundred, the depthwise sums 20. Layer by layer on a quiet machine: 1x1 convolutions of 64 channels 84 to 87
//! GFLOP/s of 97, of 16 channels 61, the stem 68, depthwise 45 to 54. A 1x1 convolution and the depthwise one after it
//! in one pass, band by band of rows, over whole maps: 8.4 ms before and after. So memory is what they wait for only
//! while what stands between two steps is a whole map: in one pass through rings of a window's rows (`nn/kernels/program/fuse`,
//! kept), together with the next two, two cores of an EPYC with AVX-512, the net alone on one thread: 5.9 to 6.1 ms
//! instead of 8.3 (YuNet-n 9.6 to 9.8 instead of 11.2), on two 3.4 to 4.4 instead of 7.7; equal to the last bit.
//! - A depthwise 3x3 sum that reads each number once a row of its window, not once a place: 98 GFLOP/s instead of 73.
//! - Tiles at even steps side by side, with one address for all of them: pointers that grow, for with addresses that are
//!   multiplied out the compiler kept the sums in memory, half as slow again.
//! - Windows of a row in one call instead of a call each, the network's first weights turned to take red, green and
//!   blue as they come, and (in halves) two pixels of sixteen channels in one vector: 6.1 ms instead of 6.4, in halves 4.0
//!   to 4.2 instead of 4.7, the second look at a smaller copy and the answers with it (kept), on a quiet Xeon where ONNX
//!   Runtime takes 6.3 to 6.5.
//! - There, the sums over the photo in halves, too: 3.4 to 3.6 ms, but of 240 faces of LFW the farthest moved to a cosine
//!   of 0.91 instead of 0.99, for light and dark side by side cancel out; not taken. The photo's rows written as the stem
//!   asks for them instead of a whole map before (kept, for its memory): the same time. Maps from 16,000 to 256,000 numbers on in
//!   chains, whose rings take 160,000 to 320,000: within three in a hundred of each other.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion, criterion_main};
use kith::media::fit_within;
use kith::{Engine, EngineBuilder, Photo, PrecisionChoice, Raster, YunetOptions};

fn fixture(name: &str) -> Photo {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name);
    Photo::open(path).expect("the fixture decodes")
}

/// A photo of that size with several faces: fixtures beside each other.
fn group(width: u32, height: u32) -> Photo {
    let mut canvas = Raster::new(width, height, [120, 130, 140]);
    let names = ["grace_hopper.jpg", "astronaut.png", "hopper_tilt.jpg", "two_faces.jpg"];
    for (i, name) in names.iter().enumerate() {
        let each = fit_within(fixture(name).raster(), width / 2, height / 2);
        canvas.blit(&each, i64::from(i as u32 % 2 * width / 2), i64::from(i as u32 / 2 * height / 2));
    }
    Photo::from_raster(canvas, format!("{width}x{height}"))
}

/// A grid of faces, each some 30 pixels high: the fixtures' portraits in turn.
fn crowd(columns: u32, rows: u32) -> Photo {
    const TILE: u32 = 64;
    let portraits = ["grace_hopper.jpg", "astronaut.png", "hopper_mirror.jpg"]
        .map(|name| fit_within(fixture(name).raster(), TILE, TILE));
    let mut canvas = Raster::new(columns * TILE, rows * TILE, [120, 130, 140]);
    for (i, (x, y)) in (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))).enumerate() {
        canvas.blit(&portraits[i % portraits.len()], i64::from(x * TILE), i64::from(y * TILE));
    }
    Photo::from_raster(canvas, format!("{} faces", columns * rows))
}

/// What twice as many faces cost: twice as much, and no more.
fn crowds(c: &mut Criterion) {
    let mut measured = c.benchmark_group("crowd");
    measured.sample_size(10);
    for detector in ["mtcnn", "yunet"] {
        // YuNet looks at photos at their own size here, or it would see no faces.
        let builder =
            Engine::builder().detector(detector).yunet(YunetOptions { max_side: 6400, ..YunetOptions::default() });
        let Some(engine) = built(detector, builder) else { continue };
        for (columns, rows) in [(25, 15), (30, 25), (50, 30), (60, 50)] {
            let photo = crowd(columns, rows);
            let found = engine.detect(&photo).expect("detection runs").len();
            println!("{detector}: {found} faces found of {}", columns * rows);
            measured.bench_function(BenchmarkId::new(detector, columns * rows), |x| {
                x.iter(|| engine.detect(black_box(&photo)).expect("detection runs"));
            });
        }
    }
    measured.finish();
}

fn photos() -> Vec<(String, Photo)> {
    let sizes = [(1200, 630), (1280, 720), (853, 480), (640, 480)];
    let made = sizes.into_iter().map(|(w, h)| (format!("{w}x{h}"), group(w, h)));
    let given = std::env::var_os("KITH_BENCH_PHOTOS").unwrap_or_default();
    let given: Vec<PathBuf> = std::env::split_paths(&given).filter(|p| p.is_file()).collect();
    let given = given.into_iter().map(|p| {
        let photo = Photo::open(&p).expect("the given photo decodes");
        (p.file_name().unwrap_or_default().to_string_lossy().into_owned(), photo)
    });
    made.chain(given).collect()
}

fn built(what: &str, builder: EngineBuilder) -> Option<Engine> {
    match builder.build() {
        Ok(engine) => Some(engine),
        Err(e) => {
            println!("{what} is not measured: {e}");
            None
        }
    }
}

fn detectors(c: &mut Criterion) {
    let mut measured = c.benchmark_group("detect");
    measured.sample_size(10);
    let f32 = PrecisionChoice::F32;
    let kinds = [f32, PrecisionChoice::F16];
    let others = ["yunet", "yunet-n", "centerface"].into_iter().flat_map(|name| kinds.map(|kind| (name, kind)));
    for (detector, precision) in std::iter::once(("mtcnn", f32)).chain(others) {
        let builder = Engine::builder().detector(detector).precision(precision);
        let Some(engine) = built(detector, builder) else { continue };
        for (name, photo) in photos() {
            measured.bench_function(BenchmarkId::new(format!("{detector} in {precision}"), name), |x| {
                x.iter(|| engine.detect(black_box(&photo)).expect("detection runs"));
            });
        }
    }
    measured.finish();
}

fn embedder(c: &mut Criterion) {
    let mut measured = c.benchmark_group("mobilefacenet");
    measured.sample_size(20);
    for precision in [PrecisionChoice::F32, PrecisionChoice::Auto] {
        let builder = Engine::builder().model("mobilefacenet").precision(precision);
        let Some(engine) = built("mobilefacenet", builder) else { return };
        let photo = fixture("grace_hopper.jpg");
        let found = engine.detect(&photo).expect("detection runs");
        let chip = engine.chips(&photo, &found).expect("the face has a chip");
        for count in [1, 8] {
            let chips: Vec<Raster> = chip.iter().cycle().take(count).cloned().collect();
            measured.bench_function(format!("{precision}/batch {count}"), |x| {
                x.iter(|| engine.embed_chips(black_box(&chips)).expect("it embeds"));
            });
        }
    }
    measured.finish();
}

mod groups {
    #![allow(missing_docs)] // the macro makes a public function without any
    criterion::criterion_group!(benches, super::detectors, super::crowds, super::embedder);
}
criterion_main!(groups::benches);
