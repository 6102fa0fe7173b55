//! AVIF, held against libavif's pixels (tests/golden/avif.py), and files of it that are broken or made to cost far more
//! than their pixels. What decoding allocates is counted, so that the tests run one after the other.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(feature = "avif")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kith::error::PhotoError;
use kith::media::taken_at;
use kith::{Limits, Photo};
use peak_alloc::PeakAlloc;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes for a pixel, and beyond, that reading any photo may take: what `media` allows its decoders.
const A_PIXEL: usize = 16;
const BEYOND: usize = 16 << 20;
/// Longest that any of these small files may take, on a busy machine and compiled without optimisation.
const LONGEST: Duration = Duration::from_secs(20);

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/avif").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

/// Reads the photo; fails where that took more memory than so many pixels and a copy of the file justify, or too long.
#[track_caller]
fn read(bytes: &[u8], pixels: usize) -> Result<Photo, PhotoError> {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let begun = Instant::now();
    let answer = Photo::from_bytes(bytes, "hostile", &Limits::default());
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    let taken = ALLOCATED.peak_usage().saturating_sub(before);
    let most = A_PIXEL * pixels + BEYOND + 6 * bytes.len();
    assert!(taken <= most, "{taken} bytes were taken for {pixels} pixels and {} bytes of file", bytes.len());
    answer
}

#[track_caller]
fn refused(bytes: &[u8], code: &str, reason: &str) {
    let error = read(bytes, 1 << 20).map(|photo| (photo.width(), photo.height())).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

/// Peak signal to noise in decibels, and the largest difference.
fn difference(one: &Photo, other: &Photo) -> (f64, u8) {
    assert_eq!((one.width(), one.height()), (other.width(), other.height()));
    let pairs = one.raster().data().iter().zip(other.raster().data());
    let squares: f64 = pairs.clone().map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let mean = squares / one.raster().data().len() as f64;
    (10.0 * (255.0f64.powi(2) / mean.max(1e-9)).log10(), pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap())
}

#[test]
fn every_kind_of_file_has_libavifs_pixels() {
    let _alone = alone();
    let golden_files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/avif.json");
    let made: Value = serde_json::from_slice(&std::fs::read(golden_files).unwrap()).unwrap();
    let files = made["files"].as_object().unwrap();
    assert_eq!(files.len(), 11);
    for (name, facts) in files {
        let bytes = bytes(name);
        let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(facts["sha256"], sum, "{name}");
        let expected = Photo::open(golden(facts["pixels"].as_str().unwrap())).unwrap();
        let photo = read(&bytes, (expected.width() * expected.height()) as usize).unwrap();
        let (decibels, most) = difference(&photo, &expected);
        println!("{name}: {decibels:.1} dB, {most} levels at most");
        // Halved chroma is interpolated with other roundings; of ten bits libavif rounds before it goes to RGB.
        // Across the seams of a grid's tiles it is not interpolated.
        let (least, levels) = match name.as_str() {
            "ten_bit.avif" => (48.0, 5),
            "grid.avif" => (45.0, 30),
            _ => (50.0, 4),
        };
        assert!(decibels >= least && most <= levels, "{name}: {decibels:.1} dB, {most} levels");
    }
}

#[test]
fn what_the_container_turns_is_turned_once_and_the_date_is_read() {
    let _alone = alone();
    for (name, orientation) in [("photo.avif", 1), ("odd.avif", 1), ("turned.avif", 6), ("mirrored.avif", 5)] {
        let photo = read(&bytes(name), 240 * 240).unwrap();
        assert_eq!(photo.orientation(), orientation, "{name}");
    }
    // Upright as the photo that they were made of.
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
    for (name, of) in [("odd", "hopper_small"), ("turned", "orientation_1"), ("mirrored", "orientation_1")] {
        let upright = Photo::open(photos.join(format!("{of}.jpg"))).unwrap();
        let (decibels, _) = difference(&read(&bytes(&format!("{name}.avif")), 240 * 240).unwrap(), &upright);
        assert!(decibels > 28.0, "{name}: {decibels:.1} dB");
    }
    assert_eq!(taken_at(&bytes("photo.avif")).as_deref(), Some("2024-05-31T12:34:56"));
    assert_eq!(taken_at(&bytes("odd.avif")), None);
}

#[test]
fn a_file_that_breaks_off_or_is_damaged_anywhere_is_refused_or_read_in_bounds() {
    let _alone = alone();
    // The decoder panics on some of these, which is caught; to tell where would take more memory than the photo.
    std::panic::set_hook(Box::new(|_| {}));
    for name in ["grid.avif", "alpha.avif", "turned.avif"] {
        let whole = bytes(name);
        for cut in (0..whole.len()).step_by(97) {
            assert!(read(&whole[..cut], 240 * 240).is_err(), "{name} cut at {cut}");
            taken_at(&whole[..cut]);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(20_261_130);
        // Twice as often in the tables at the beginning.
        for round in 0..240 {
            let mut bent = whole.clone();
            let most = if round % 2 == 0 { whole.len() } else { whole.len().min(1200) };
            for _ in 0..rng.random_range(1..4) {
                bent[rng.random_range(0..most)] = rng.random();
            }
            // A picture may say that it is larger, within the limits, and is refused for what it lacks.
            let _ = read(&bent, 1 << 20);
            taken_at(&bent);
        }
    }
    let _ = std::panic::take_hook();
}

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}

/// Where the one occurrence of some bytes begins.
fn place(bytes: &[u8], what: &[u8]) -> usize {
    let mut found = bytes.windows(what.len()).enumerate().filter(|(_, w)| *w == what).map(|(at, _)| at);
    found.next().unwrap_or_else(|| panic!("{what:?} is not there"))
}

#[test]
fn tables_that_name_more_than_they_have_room_for_are_refused() {
    let _alone = alone();
    // Places whose pieces take no bytes: 10,000 items of 65,535 pieces each.
    let mut places = vec![1, 0, 0, 0, 0, 0];
    places.extend(4000u16.to_be_bytes());
    (0..4000u16).for_each(|id| places.extend([id.to_be_bytes(), [0, 0], [0, 0], [0xff, 0xff]].concat()));
    let file = |inner: &[u8]| {
        let meta = [&[0; 4], inner].concat();
        [boxed(b"ftyp", b"avif\0\0\0\0mif1avif"), boxed(b"meta", &meta)].concat()
    };
    refused(&file(&boxed(b"iloc", &places)), "photo.disproportionate", "65535 pieces");
    let entry = boxed(b"infe", b"\x02\0\0\0\0\x01\0\0av01\0");
    let list = [&[0, 0, 0, 0, 0xff, 0xff][..], &entry.repeat(30_000)].concat();
    refused(&file(&boxed(b"iinf", &list)), "photo.disproportionate", "4096 pictures");
    refused(&file(&boxed(b"free", &vec![0; 2 << 20])), "photo.disproportionate", "bytes of tables");
}

#[test]
fn tiles_used_again_and_pictures_larger_than_they_say_are_refused() {
    let _alone = alone();
    let mut again = bytes("grid.avif");
    let references = place(&again, b"dimg") + 8;
    for tile in 0..9 {
        again[references + 2 * tile..references + 2 * tile + 2].copy_from_slice(&2u16.to_be_bytes());
    }
    refused(&again, "photo.disproportionate", "again and again");
    let mut small = bytes("photo.avif");
    let size = place(&small, b"ispe") + 8;
    small[size..size + 8].copy_from_slice(&[0, 0, 0, 8, 0, 0, 0, 8]);
    refused(&small, "photo.disproportionate", "a picture of more pixels in one of 8x8");
    let mut large = bytes("photo.avif");
    large[size..size + 8].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    refused(&large, "photo.too_many_pixels", "65535");
    large[size..size + 8].copy_from_slice(&[0, 0, 4, 0, 0, 0, 4, 0]);
    refused(&large, "photo.damaged", "smaller than it is said to be");
}

#[test]
fn a_picture_of_a_thousand_frames_is_refused() {
    let _alone = alone();
    let whole = bytes("odd.avif");
    let data = place(&whole, b"mdat") + 4;
    // Units of a head of one byte and a length of seven bits a byte; the last is the picture's one frame.
    let (mut at, mut last) = (data, data);
    while at < whole.len() {
        let (mut length, mut digits) = (0usize, 0);
        loop {
            digits += 1;
            length |= usize::from(whole[at + digits] & 0x7f) << (7 * (digits - 1));
            if whole[at + digits] & 0x80 == 0 {
                break;
            }
        }
        last = at;
        at += 1 + digits + length;
    }
    assert_eq!((at, whole[last] >> 3), (whole.len(), 6));
    let added = whole[last..].repeat(1000);
    let before = (whole.len() - data) as u32;
    let now = before + added.len() as u32;
    let mut file = [&whole[..], &added].concat();
    file[data - 8..data - 4].copy_from_slice(&(now + 8).to_be_bytes());
    let length = place(&file[..data], &before.to_be_bytes());
    file[length..length + 4].copy_from_slice(&now.to_be_bytes());
    refused(&file, "photo.disproportionate", "1001 frames for one picture");
}
