//! MTCNN against facenet-pytorch 2.6.0 (tests/golden/mtcnn.py): on the same pixels the same faces,
//! boxes and landmarks within a pixel, scores within a thousandth.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

use std::path::{Path, PathBuf};

use kith::geometry::{BBox, Overlap};
use kith::{Detection, Engine, Photo};
use rayon::prelude::*;
use serde_json::Value;

const PIXELS: f32 = 1.0;
const SCORE: f32 = 1e-3;
/// Overlap from which a face found in a JPEG photo is the reference's.
const SAME_FACE: f32 = 0.7;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn golden(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("tests/golden").join(name)).unwrap();
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

/// How a found face departs from the reference's: pixels of box, pixels of landmarks, score.
fn gaps(found: &Detection, wanted: &Value) -> [f32; 3] {
    let b = found.bbox;
    let edges = [b.x0, b.y0, b.x1, b.y1].into_iter().zip(wanted["box"].as_array().unwrap());
    let edge = edges.map(|(e, w)| (e - number(w)).abs()).fold(0.0, f32::max);
    let points = found.landmarks.0.iter().zip(wanted["landmarks"].as_array().unwrap());
    let point = points.map(|(p, w)| (p[0] - number(&w[0])).abs().max((p[1] - number(&w[1])).abs()));
    [edge, point.fold(0.0, f32::max), (found.score - number(&wanted["score"])).abs()]
}

/// What came of a list of photos.
#[derive(Default)]
struct Report {
    /// Departures on photos whose pixels are the same in every decoder.
    faults: Vec<String>,
    /// Departures on JPEG photos.
    jpeg_departures: Vec<String>,
    /// Faces on JPEG photos, and how many of them are not found here or not there.
    jpeg_faces: usize,
    jpeg_unmatched: usize,
}

/// Intersection over union of a found and a reference box.
fn iou(found: &Detection, wanted: &Value) -> f32 {
    let w: Vec<f32> = wanted["box"].as_array().unwrap().iter().map(number).collect();
    found.bbox.overlap(&BBox::new(w[0], w[1], w[2], w[3]), Overlap::Union)
}

/// Holds every photo of the list under `folder` against the reference, and prints the largest gaps.
///
/// JPEG is lossy and its decoders differ by a level or two: the reference's own boxes move by pixels
/// when its photos are decoded by another library. So the strict bounds hold for photos whose pixels
/// are certain, and JPEG photos are counted apart.
fn compare(list: &str, folder: &Path) -> Report {
    let engine = Engine::builder().build().unwrap();
    let photos = golden(list);
    let reports: Vec<(Report, [f32; 3])> = photos
        .par_iter()
        .map(|entry| {
            let name = entry["path"].as_str().unwrap();
            let mut report = Report::default();
            let mut worst = [0f32; 3];
            let photo = Photo::open(folder.join(name)).unwrap_or_else(|e| panic!("{e}"));
            let size = (entry["width"].as_u64().unwrap(), entry["height"].as_u64().unwrap());
            assert_eq!((u64::from(photo.width()), u64::from(photo.height())), size, "{name}");
            let found = engine.detect(&photo).unwrap();
            let wanted = entry["faces"].as_array().unwrap();
            let is_jpeg = name.ends_with(".jpg") || name.ends_with(".jpeg");
            let mut departures = Vec::new();
            if found.len() != wanted.len() {
                departures.push(format!("{name}: {} faces, the reference finds {}", found.len(), wanted.len()));
            }
            for w in wanted {
                // Faces of nearly the same score may change places.
                let nearest = found.iter().map(|f| gaps(f, w)).min_by(|a, b| a[0].total_cmp(&b[0]));
                let Some(gap) = nearest else { continue };
                if gap[0] > PIXELS || gap[1] > PIXELS || gap[2] > SCORE {
                    departures.push(format!("{name}: box, landmarks, score off by {gap:?}"));
                }
                if !is_jpeg {
                    worst = std::array::from_fn(|k| worst[k].max(gap[k]));
                }
            }
            if is_jpeg {
                let lost = wanted.iter().filter(|w| !found.iter().any(|f| iou(f, w) > SAME_FACE)).count();
                let new = found.iter().filter(|f| !wanted.iter().any(|w| iou(f, w) > SAME_FACE)).count();
                report.jpeg_faces = wanted.len();
                report.jpeg_unmatched = lost + new;
                report.jpeg_departures = departures;
            } else {
                report.faults = departures;
            }
            (report, worst)
        })
        .collect();
    let mut all = Report::default();
    let mut worst = [0f32; 3];
    for (report, gap) in reports {
        all.faults.extend(report.faults);
        all.jpeg_departures.extend(report.jpeg_departures);
        all.jpeg_faces += report.jpeg_faces;
        all.jpeg_unmatched += report.jpeg_unmatched;
        worst = std::array::from_fn(|k| worst[k].max(gap[k]));
    }
    println!(
        "{list}: lossless photos: box {:.4} px, landmarks {:.4} px, score {:.6} at most; JPEG: {} faces, {} unmatched, {} beyond the strict bounds",
        worst[0],
        worst[1],
        worst[2],
        all.jpeg_faces,
        all.jpeg_unmatched,
        all.jpeg_departures.len()
    );
    println!("{:#?}", all.jpeg_departures);
    all
}

#[test]
fn fixtures_give_the_reference_faces() {
    let report = compare("mtcnn_fixtures.jsonl", &root().join("tests/fixtures/photos"));
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    assert_eq!(report.jpeg_unmatched, 0);
}

#[test]
fn shared_photos_give_the_reference_faces() {
    let folder = root().join("../shared/data");
    if !folder.is_dir() {
        println!("skipped: the shared photos are not here");
        return;
    }
    let report = compare("mtcnn_shared.jsonl", &folder);
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    assert!(report.jpeg_unmatched * 33 < report.jpeg_faces, "{} of {}", report.jpeg_unmatched, report.jpeg_faces);
}
