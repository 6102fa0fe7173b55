//! Detection measured on labelled boxes.

use std::path::PathBuf;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;

use super::Machine;
use super::acquire::Failure;
use super::boxes::BoxList;
use super::matching::{Matched, match_detections};
use crate::detect::Detection;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::geometry::BBox;
use crate::media::{Limits, Photo};

/// Mistakes of each kind that a report names.
const MISTAKES: usize = 40;

/// How photos that cannot be read enter the rates.
const TREATMENT: &str = "A photo that cannot be read has no detections: all its labelled faces are missed.";

/// Detection measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectionReport {
    /// The list, in a sentence.
    pub source: String,
    /// The detector.
    pub detector: String,
    /// Photos searched.
    pub photos: usize,
    /// Photos that could not be read.
    pub failures: Vec<Failure>,
    /// How they enter the rates.
    pub treatment: &'static str,
    /// Recall, precision and the rest.
    #[serde(flatten)]
    pub matched: Matched,
    /// Labelled faces that were missed.
    pub missed_faces: Vec<Place>,
    /// Detections that are on no labelled face.
    pub spurious_detections: Vec<Place>,
    /// Seconds from the first photo to the last number.
    pub seconds: f64,
    /// Where it was measured.
    pub machine: Machine,
}

/// A box in a photo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    /// The photo.
    #[serde(serialize_with = "crate::files::as_text")]
    pub photo: PathBuf,
    /// The box.
    #[serde(rename = "box")]
    pub bbox: BBox,
    /// The detector's confidence; none for a labelled face.
    pub score: Option<f32>,
}

/// Detects the faces of every listed photo and holds them against the labels; `done` is called after each.
///
/// # Errors
/// A device's error.
pub fn detection(
    engine: &Engine,
    list: &BoxList,
    source: &str,
    limits: &Limits,
    done: &(dyn Fn() + Sync),
) -> Result<DetectionReport> {
    let start = Instant::now();
    let answers: Vec<Result<Vec<Detection>>> = list
        .photos
        .par_iter()
        .map(|path| {
            let answer = Photo::open_with(path, limits).map_err(Error::from).and_then(|photo| engine.detect(&photo));
            done();
            answer
        })
        .collect();
    let (mut found, mut failures) = (Vec::with_capacity(answers.len()), Vec::new());
    for (path, answer) in list.photos.iter().zip(answers) {
        found.push(match answer {
            Ok(found) => found,
            Err(e @ Error::Photo(_)) => {
                failures.push(Failure { photo: path.clone(), code: e.code(), message: e.to_string() });
                Vec::new()
            }
            Err(e) => return Err(e),
        });
    }
    let matched = match_detections(&list.faces, &found);
    let labelled = |&(photo, at): &(usize, usize)| Place {
        photo: list.photos[photo].clone(),
        bbox: list.faces[photo][at].bbox,
        score: None,
    };
    let detected = |&(photo, at): &(usize, usize)| {
        let Detection { bbox, score, .. } = found[photo][at];
        Place { photo: list.photos[photo].clone(), bbox, score: Some(score) }
    };
    Ok(DetectionReport {
        source: source.to_string(),
        detector: engine.detector().to_string(),
        photos: list.photos.len(),
        failures,
        treatment: TREATMENT,
        missed_faces: matched.missed.iter().take(MISTAKES).map(labelled).collect(),
        spurious_detections: matched.spurious.iter().take(MISTAKES).map(detected).collect(),
        matched,
        seconds: start.elapsed().as_secs_f64(),
        machine: Machine::of(engine),
    })
}
