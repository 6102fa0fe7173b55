//! Scanning a folder beside what limits it: `cargo bench --bench library -- FOLDER [ROUNDS]`.
//!
//! In turns, best and median of the rounds (3 when not said): the JPEGs of the folder decoded in full size on all cores by
//! the decoder that kith uses, each file read in the same breath; the same with what kith does around it (upright pixels,
//! checks, sums); that and its detector; and a scan of the folder into a new database. `benches/photo_folder.py FROM TO 100 --megapixels 12` makes
//! photos of the size that cameras take.

use std::path::{Path, PathBuf};
use std::time::Instant;

use kith::{Database, DatabaseOptions, Engine, Library, Limits, Photo, ScanOptions};
use libjpeg_turbo_rs::{Decoder, PixelFormat};
use rayon::prelude::*;

const ROUNDS: usize = 3;

fn timed(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

fn decoded(files: &[PathBuf]) {
    files.par_iter().for_each(|file| {
        let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut decoder = Decoder::new(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        decoder.set_output_format(PixelFormat::Rgb);
        let picture = decoder.decode_image().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        std::hint::black_box(picture);
    });
}

fn opened(files: &[PathBuf]) {
    let limits = Limits::default();
    files.par_iter().for_each(|file| {
        let photo = Photo::open_with(file, &limits).unwrap_or_else(|e| panic!("{e}"));
        std::hint::black_box(photo);
    });
}

fn detected(engine: &Engine, files: &[PathBuf]) {
    let limits = Limits::default();
    files.par_iter().for_each(|file| {
        let photo = Photo::open_with(file, &limits).unwrap_or_else(|e| panic!("{e}"));
        std::hint::black_box(engine.detect(&photo).unwrap_or_else(|e| panic!("{e}")));
    });
}

fn scanned(engine: &Engine, folder: &Path) -> (usize, usize) {
    let place = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let database = Database::open(place.path().join("faces"), &DatabaseOptions { create: true, ..Default::default() });
    let database = database.unwrap_or_else(|e| panic!("{e}"));
    let library = Library::of(&database);
    let scan = library.scan(engine, &[folder.to_path_buf()], &ScanOptions::default(), &|_, _, _| {});
    let scan = scan.unwrap_or_else(|e| panic!("{e}"));
    assert!(scan.refused.is_empty(), "{:?}", scan.refused);
    (scan.photos, scan.faces)
}

fn main() {
    let said: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let Some(folder) = said.first().map(PathBuf::from) else {
        return println!("say a folder of JPEGs: `cargo bench --bench library -- FOLDER`");
    };
    let rounds = said.get(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let is_jpeg = |p: &PathBuf| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg"));
    let files = kith::eval::photos_under(&folder).unwrap_or_else(|e| panic!("{e}"));
    let files: Vec<PathBuf> = files.into_iter().filter(is_jpeg).collect();
    let bytes: u64 = files.iter().filter_map(|f| f.metadata().ok()).map(|facts| facts.len()).sum();
    println!("{} JPEGs of {:.1} MB in the mean", files.len(), bytes as f64 / 1e6 / files.len().max(1) as f64);
    let engine = Engine::builder().build().unwrap_or_else(|e| panic!("{e}"));
    // Files into the cache of the system, programs into the detector's.
    decoded(&files);
    let mut spent: [Vec<f64>; 4] = Default::default();
    let mut found = (0, 0);
    for _ in 0..rounds {
        spent[0].push(timed(|| decoded(&files)));
        spent[1].push(timed(|| opened(&files)));
        spent[2].push(timed(|| detected(&engine, &files)));
        spent[3].push(timed(|| found = scanned(&engine, &folder)));
    }
    println!("{} photos with {} faces", found.0, found.1);
    for (what, mut spent) in
        ["decoder alone", "kith's reading of photos", "reading and detecting", "scan"].into_iter().zip(spent)
    {
        spent.sort_unstable_by(f64::total_cmp);
        let rate = |seconds: f64| files.len() as f64 / seconds;
        println!("{what:<25} best {:6.2} photos/s, median {:6.2}", rate(spent[0]), rate(spent[spent.len() / 2]));
    }
}
