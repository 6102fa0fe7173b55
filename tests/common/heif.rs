//! What HEIC and AVIF have in common, held against the pixels of the libraries that made the files (tests/golden/heif.py),
//! and files that are broken or made to cost far more than their pixels. What decoding allocates is counted, so that the
//! tests run one after the other.

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

/// One of the two.
pub struct Kind {
    /// The ending of its files, which is its brand, too.
    pub ending: &'static str,
    /// What a coded picture is called in the container.
    pub coded: &'static [u8; 4],
    /// Golden files.
    pub files: usize,
    /// Least decibels and most levels that a file's pixels may be off by.
    pub within: fn(&str) -> (f64, u8),
    /// A file of one picture, in whose tables its size is told otherwise.
    pub one: &'static str,
    /// Why it is refused when it says that it has 8x8 pixels.
    pub larger: &'static str,
}

pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the photo; fails where that took more memory than so many pixels and a copy of the file justify, or too long.
#[track_caller]
pub fn read(bytes: &[u8], pixels: usize) -> Result<Photo, PhotoError> {
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
pub fn refused(bytes: &[u8], code: &str, reason: &str) {
    let error = read(bytes, 1 << 20).map(|photo| (photo.width(), photo.height())).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

/// Where the one occurrence of some bytes begins.
pub fn place(bytes: &[u8], what: &[u8]) -> usize {
    let mut found = bytes.windows(what.len()).enumerate().filter(|(_, w)| *w == what).map(|(at, _)| at);
    found.next().unwrap_or_else(|| panic!("{what:?} is not there"))
}

/// The file with so many bytes more behind its coded data, which its tables say belong to it.
pub fn longer(whole: &[u8], added: &[u8]) -> Vec<u8> {
    let data = place(whole, b"mdat") + 4;
    let before = (whole.len() - data) as u32;
    let now = before + added.len() as u32;
    let mut file = [whole, added].concat();
    file[data - 8..data - 4].copy_from_slice(&(now + 8).to_be_bytes());
    let length = place(&file[..data], &before.to_be_bytes());
    file[length..length + 4].copy_from_slice(&now.to_be_bytes());
    file
}

/// Peak signal to noise in decibels, and the largest difference.
fn difference(one: &Photo, other: &Photo) -> (f64, u8) {
    assert_eq!((one.width(), one.height()), (other.width(), other.height()));
    let pairs = one.raster().data().iter().zip(other.raster().data());
    let squares: f64 = pairs.clone().map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let mean = squares / one.raster().data().len() as f64;
    (10.0 * (255.0f64.powi(2) / mean.max(1e-9)).log10(), pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap())
}

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}

impl Kind {
    fn golden(&self, name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(self.ending).join(name)
    }

    /// A golden file, called without its ending.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.golden(&format!("{name}.{}", self.ending))).unwrap()
    }

    pub fn every_file_has_the_librarys_pixels(&self) {
        let _alone = alone();
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{}.json", self.ending));
        let made: Value = serde_json::from_slice(&std::fs::read(list).unwrap()).unwrap();
        let files = made["files"].as_object().unwrap();
        assert_eq!(files.len(), self.files);
        for (name, facts) in files {
            let bytes = std::fs::read(self.golden(name)).unwrap();
            let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(facts["sha256"], sum, "{name}");
            let expected = Photo::open(self.golden(facts["pixels"].as_str().unwrap())).unwrap();
            let photo = read(&bytes, (expected.width() * expected.height()) as usize).unwrap();
            let (decibels, most) = difference(&photo, &expected);
            println!("{name}: {decibels:.1} dB, {most} levels at most");
            let (least, levels) = (self.within)(name.split('.').next().unwrap());
            assert!(decibels >= least && most <= levels, "{name}: {decibels:.1} dB, {most} levels");
        }
    }

    pub fn what_the_container_turns_is_turned_once_and_the_date_is_read(&self) {
        let _alone = alone();
        for (name, orientation) in [("photo", 1), ("odd", 1), ("turned", 6), ("mirrored", 5)] {
            let photo = read(&self.bytes(name), 240 * 240).unwrap();
            assert_eq!(photo.orientation(), orientation, "{name}");
        }
        // Upright as the photo that they were made of.
        let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
        for (name, of) in [("odd", "hopper_small"), ("turned", "orientation_1"), ("mirrored", "orientation_1")] {
            let upright = Photo::open(photos.join(format!("{of}.jpg"))).unwrap();
            let (decibels, _) = difference(&read(&self.bytes(name), 240 * 240).unwrap(), &upright);
            assert!(decibels > 28.0, "{name}: {decibels:.1} dB");
        }
        assert_eq!(taken_at(&self.bytes("photo")).as_deref(), Some("2024-05-31T12:34:56"));
        assert_eq!(taken_at(&self.bytes("odd")), None);
    }

    pub fn one_that_breaks_off_or_is_damaged_anywhere_is_refused_or_read_in_bounds(&self) {
        let _alone = alone();
        // A decoder may panic on some of these, which is caught; to tell where would take more memory than the photo.
        std::panic::set_hook(Box::new(|_| {}));
        for name in ["grid", "alpha", "turned"] {
            let whole = self.bytes(name);
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

    pub fn tables_that_name_more_than_they_have_room_for_are_refused(&self) {
        let _alone = alone();
        // Places whose pieces take no bytes: 4,000 items of 65,535 pieces each.
        let mut places = vec![1, 0, 0, 0, 0, 0];
        places.extend(4000u16.to_be_bytes());
        (0..4000u16).for_each(|id| places.extend([id.to_be_bytes(), [0, 0], [0, 0], [0xff, 0xff]].concat()));
        let brand = self.ending.as_bytes();
        let file = |inner: &[u8]| {
            let meta = [&[0; 4], inner].concat();
            [boxed(b"ftyp", &[brand, b"\0\0\0\0mif1", brand].concat()), boxed(b"meta", &meta)].concat()
        };
        refused(&file(&boxed(b"iloc", &places)), "photo.disproportionate", "65535 pieces");
        let entry = boxed(b"infe", &[b"\x02\0\0\0\0\x01\0\0", &self.coded[..], b"\0"].concat());
        let list = [&[0, 0, 0, 0, 0xff, 0xff][..], &entry.repeat(30_000)].concat();
        refused(&file(&boxed(b"iinf", &list)), "photo.disproportionate", "4096 pictures");
        refused(&file(&boxed(b"free", &vec![0; 2 << 20])), "photo.disproportionate", "bytes of tables");
    }

    pub fn tiles_used_again_and_pictures_larger_than_they_say_are_refused(&self) {
        let _alone = alone();
        let mut again = self.bytes("grid");
        let references = place(&again, b"dimg") + 8;
        for tile in 0..9 {
            again[references + 2 * tile..references + 2 * tile + 2].copy_from_slice(&2u16.to_be_bytes());
        }
        refused(&again, "photo.disproportionate", "again and again");
        let mut small = self.bytes(self.one);
        let size = place(&small, b"ispe") + 8;
        small[size..size + 8].copy_from_slice(&[0, 0, 0, 8, 0, 0, 0, 8]);
        refused(&small, "photo.disproportionate", self.larger);
        let mut large = self.bytes(self.one);
        large[size..size + 8].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        refused(&large, "photo.too_many_pixels", "65535");
        large[size..size + 8].copy_from_slice(&[0, 0, 8, 0, 0, 0, 8, 0]);
        refused(&large, "photo.damaged", "smaller than it is said to be");
    }
}
