//! MTCNN against facenet-pytorch 2.6.0 (tests/golden/mtcnn.py): on the same pixels the same faces,
//! boxes and landmarks within a pixel, scores within a thousandth.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/require.rs"]
mod require;

use std::path::{Path, PathBuf};

use kith::{Detection, Engine, Photo};
use rayon::prelude::*;
use serde_json::Value;

const PIXELS: f32 = 1.0;
const SCORE: f32 = 1e-3;

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

/// Holds every photo of the list under `folder` against the reference, and prints the largest gaps.
fn hold(list: &str, folder: &Path) {
    let engine = Engine::builder().detector("mtcnn").build().unwrap();
    let photos = golden(list);
    let reports: Vec<(Vec<String>, usize, [f32; 3])> = photos
        .par_iter()
        .map(|entry| {
            let name = entry["path"].as_str().unwrap();
            let mut departures = Vec::new();
            let mut worst = [0f32; 3];
            let photo = Photo::open(folder.join(name)).unwrap_or_else(|e| panic!("{e}"));
            let size = (entry["width"].as_u64().unwrap(), entry["height"].as_u64().unwrap());
            assert_eq!((u64::from(photo.width()), u64::from(photo.height())), size, "{name}");
            let found = engine.detect(&photo).unwrap();
            let wanted = entry["faces"].as_array().unwrap();
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
                worst = std::array::from_fn(|k| worst[k].max(gap[k]));
            }
            (departures, wanted.len(), worst)
        })
        .collect();
    let faces: usize = reports.iter().map(|r| r.1).sum();
    let worst = reports.iter().fold([0f32; 3], |all, r| std::array::from_fn(|k| all[k].max(r.2[k])));
    let [edge, point, score] = worst;
    println!(
        "{list}: {} photos, {faces} faces: box {edge:.4} px, landmarks {point:.4} px, score {score:.6} at most",
        photos.len()
    );
    let departures: Vec<String> = reports.into_iter().flat_map(|r| r.0).collect();
    assert!(departures.is_empty(), "{departures:#?}");
}

#[test]
fn fixtures_give_the_reference_faces() {
    hold("mtcnn_fixtures.jsonl", &root().join("tests/fixtures/photos"));
}

#[test]
fn shared_photos_give_the_reference_faces() {
    let folder = root().join("../shared/data");
    if !folder.is_dir() {
        return require::missing(format_args!("{} is not there", folder.display()));
    }
    hold("mtcnn_shared.jsonl", &folder);
}
