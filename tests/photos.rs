//! Photos as they are: every format, every orientation, every way to be broken.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/require.rs"]
mod require;

use std::path::{Path, PathBuf};

use kith::{Limits, Photo, Raster};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name)
}

fn open(name: &str) -> Photo {
    Photo::open(fixture(name)).unwrap_or_else(|e| panic!("{e}"))
}

/// Mean colour of each quarter of the picture: top left, top right, bottom left, bottom right.
fn quarters(r: &Raster) -> [[f64; 3]; 4] {
    let mut sums = [[0f64; 4]; 4];
    for y in 0..r.height() {
        for x in 0..r.width() {
            let quarter = usize::from(2 * y >= r.height()) * 2 + usize::from(2 * x >= r.width());
            let pixel = r.pixel(x, y);
            (0..3).for_each(|c| sums[quarter][c] += f64::from(pixel[c]));
            sums[quarter][3] += 1.0;
        }
    }
    sums.map(|s| [s[0] / s[3], s[1] / s[3], s[2] / s[3]])
}

fn far_apart(a: &Raster, b: &Raster) -> f64 {
    let gaps = quarters(a).into_iter().flatten().zip(quarters(b).into_iter().flatten());
    gaps.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn every_format_shows_the_same_picture() {
    let reference = open("astronaut.png");
    for (name, size, bound) in [
        ("astronaut_progressive.jpg", 320, 4.0),
        ("astronaut_cmyk.jpg", 256, 6.0),
        ("astronaut_palette.png", 256, 6.0),
        ("astronaut.webp", 256, 4.0),
        ("astronaut.bmp", 96, 4.0),
        ("astronaut.tif", 96, 4.0),
        ("astronaut.gif", 128, 6.0),
        ("astronaut_q30.jpg", 512, 4.0),
    ] {
        let photo = open(name);
        assert_eq!((photo.width(), photo.height()), (size, size), "{name}");
        let gap = far_apart(photo.raster(), reference.raster());
        assert!(gap < bound, "{name} departs by {gap}");
    }
    let grey = open("astronaut_grey.jpg");
    assert!(grey.raster().data().chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
}

#[test]
fn sixteen_bits_transparency_and_a_single_pixel() {
    let ramp = open("ramp_16bit.png");
    for i in [0u32, 100, 2000, 4095] {
        let value = f64::from(i * 16) * 255.0 / 65535.0;
        assert!((f64::from(ramp.raster().pixel(i % 64, i / 64)[0]) - value).abs() <= 1.0, "{i}");
    }
    let faded = open("astronaut_alpha.png");
    assert_eq!(faded.raster().pixel(64, 0), [255, 255, 255], "transparent shows white");
    let one = open("one_pixel.png");
    assert_eq!((one.width(), one.height(), one.raster().pixel(0, 0)), (1, 1, [10, 200, 30]));
}

#[test]
fn jpeg_pixels_are_those_of_libjpeg_turbo() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixels.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let photos = golden["photos"].as_array().unwrap();
    assert!(photos.len() > 15);
    for wanted in photos {
        let photo = open(wanted["path"].as_str().unwrap());
        assert_eq!(photo.sha256().unwrap(), wanted["sha256"], "the fixture is another file: {wanted}");
        let digest: String = Sha256::digest(photo.raster().data()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest, wanted["pixels"], "{}", wanted["path"]);
    }
}

#[test]
fn all_eight_orientations_stand_upright() {
    let upright = open("orientation_1.jpg");
    assert_eq!((upright.width(), upright.height()), (160, 240));
    for orientation in 1..=8u8 {
        let photo = open(&format!("orientation_{orientation}.jpg"));
        assert_eq!(photo.orientation(), orientation);
        assert_eq!((photo.width(), photo.height()), (160, 240), "{orientation}");
        assert!(far_apart(photo.raster(), upright.raster()) < 1.5, "{orientation}");
    }
}

#[test]
fn what_is_no_photo_says_so_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, code) in [
        (folder.path().join("missing.jpg"), "photo.not_found"),
        (folder.path().to_path_buf(), "photo.is_folder"),
        (write("empty.jpg", b""), "photo.empty"),
        (write("text.jpg", b"Dear diary, today I met somebody."), "photo.unknown_format"),
        (write("program.png", b"\x7fELF\x02\x01\x01"), "photo.unknown_format"),
    ] {
        let error = Photo::open(&path).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_bytes_decide_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really_a_png.jpg");
    std::fs::copy(fixture("one_pixel.png"), &path).unwrap();
    assert_eq!(Photo::open(path).unwrap().width(), 1);
}

#[test]
fn a_truncated_photo_is_refused_at_every_length() {
    for name in [
        "grace_hopper.jpg",
        "astronaut_progressive.jpg",
        "astronaut_palette.png",
        "astronaut.webp",
        "astronaut.bmp",
        "astronaut.tif",
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        // What ends the TIFF is a colour profile; its picture is whole without.
        let cuts: &[usize] = if name.ends_with("tif") { &[1, 5, 20, 50, 80] } else { &[1, 5, 20, 50, 80, 95] };
        for percent in cuts {
            let cut = &whole[..whole.len() * percent / 100];
            let answer = Photo::from_bytes(cut, name, &Limits::default());
            let error = answer.map(|p| p.width()).expect_err(&format!("{name} cut to {percent}%"));
            assert!(error.code() == "photo.damaged" || error.code() == "photo.unknown_format", "{name}: {error}");
        }
    }
}

/// A PNG that claims a size and holds no pixel of it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut ihdr = b"IHDR".to_vec();
    ihdr.extend(width.to_be_bytes());
    ihdr.extend(height.to_be_bytes());
    ihdr.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    let crc = ihdr.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    });
    png.extend(&ihdr);
    png.extend((!crc).to_be_bytes());
    png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    png
}

#[test]
fn photos_over_the_limit_are_refused_from_their_header() {
    let limits = Limits::default();
    let error = Photo::from_bytes(&png_header(60_000, 60_000), "bomb.png", &limits).unwrap_err();
    assert_eq!(error.code(), "photo.too_many_pixels", "{error}");
    assert!(error.to_string().contains("3600.0 megapixels"), "{error}");
    let exactly = Photo::from_bytes(&png_header(10_000, 10_000), "edge.png", &limits).unwrap_err();
    assert_eq!(exactly.code(), "photo.damaged", "100 megapixels are allowed, only the pixels are missing: {exactly}");
    let few_bytes = Limits { max_bytes: 1000, ..limits };
    let error = Photo::open_with(fixture("grace_hopper.jpg"), &few_bytes).unwrap_err();
    assert_eq!(error.code(), "photo.too_many_bytes");
}

#[test]
fn thousands_of_damaged_files_never_panic() {
    const SEED: u64 = 20_15;
    const ROUNDS: usize = 250;
    let limits = Limits { max_pixels: 1 << 20, ..Limits::default() };
    let names = [
        "orientation_6.jpg",
        "astronaut_progressive.jpg",
        "astronaut_cmyk.jpg",
        "astronaut_palette.png",
        "ramp_16bit.png",
        "astronaut_alpha.png",
        "astronaut.webp",
        "astronaut.bmp",
        "astronaut.gif",
        "astronaut.tif",
        "one_pixel.png",
        "hopper_small.jpg",
    ];
    let (mut read, mut refused) = (0, 0);
    for (at, name) in names.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED + at as u64);
        let whole = std::fs::read(fixture(name)).unwrap();
        for round in 0..ROUNDS {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..8) {
                let place = rng.random_range(0..bytes.len());
                match rng.random_range(0..4) {
                    0 => bytes[place] = rng.random(),
                    1 => bytes[place] ^= 1 << rng.random_range(0..8),
                    // Headers are where lengths and sizes stand.
                    2 => {
                        let near = rng.random_range(0..bytes.len().min(64));
                        bytes[near] = [0, 0xff, 0x7f, 0x80][rng.random_range(0..4)];
                    }
                    _ => {
                        let end = rng.random_range(place..bytes.len());
                        bytes.drain(place..=end.min(place + 40));
                        if bytes.is_empty() {
                            bytes.push(0);
                        }
                    }
                }
            }
            match Photo::from_bytes(&bytes, &format!("{name} round {round} seed {SEED}"), &limits) {
                Ok(photo) => {
                    assert!(u64::from(photo.width()) * u64::from(photo.height()) <= limits.max_pixels);
                    read += 1;
                }
                Err(e) => {
                    assert!(e.to_string().contains(name), "{e}");
                    refused += 1;
                }
            }
        }
    }
    println!("{read} damaged files still read, {refused} refused (seed {SEED})");
    assert!(read > 100 && refused > 100);
}

#[test]
fn the_shared_robustness_files_are_read_or_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/robustness");
    if !root.is_dir() {
        return require::missing(format_args!("{} is not there", root.display()));
    }
    let mut folders = vec![root.clone()];
    let (mut read, mut refused) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            match Photo::open(&path) {
                Ok(_) => read += 1,
                Err(e) => {
                    println!("{e}");
                    refused += 1;
                }
            }
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > 60);
    for kind in ["Landscape", "Portrait"] {
        let turned = |n: u8| Photo::open(root.join(format!("exif-orientation/{kind}_{n}.jpg"))).unwrap();
        let upright = turned(1);
        for n in 2..=8 {
            assert!(far_apart(turned(n).raster(), upright.raster()) < 8.0, "{kind} {n}");
        }
    }
}
