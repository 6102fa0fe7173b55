//! What CompreFace's clients can say in a query. Members that are not known are passed over, as CompreFace does.

use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::super::input::{Form, Upload, flag};
use super::super::problem::Problem;
use crate::error::PhotoError;

/// Greatest photo in bytes, as CompreFace has it.
const MOST_BYTES: usize = 5 << 20;
/// Most people that are named for a face.
const MOST_PEOPLE: usize = 100;

/// The plugins that kith answers for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plugins {
    pub landmarks: bool,
    pub calculator: bool,
    pub pose: bool,
}

fn plugins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Plugins, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut wanted = Plugins::default();
    for name in text.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        match name {
            "landmarks" => wanted.landmarks = true,
            "calculator" => wanted.calculator = true,
            "pose" => wanted.pose = true,
            other => {
                let reason = format!("face_plugins: there is no {other:?} here; there are landmarks, calculator, pose");
                return Err(serde::de::Error::custom(reason));
            }
        }
    }
    Ok(wanted)
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    let share = f32::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(Some(share));
    }
    Err(serde::de::Error::custom(format!("det_prob_threshold is {share}; it is 0 to 1")))
}

/// Which faces of a photo, and what about them.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct FaceOptions {
    /// At most this many faces, the biggest first; 0 is all of them.
    #[param(minimum = 0, maximum = 4294967295u32, default = 0)]
    pub limit: u32,
    /// Faces that the detector is less sure of do not count, 0 to 1; its own bound when not said.
    #[serde(deserialize_with = "share")]
    #[param(minimum = 0, maximum = 1)]
    pub det_prob_threshold: Option<f32>,
    /// Of `landmarks`, `calculator` (the embedding) and `pose`, with commas between. There is no `age`, `gender` or
    /// `mask` here: asking for one is refused.
    #[serde(deserialize_with = "plugins")]
    #[param(value_type = String, pattern = "^((landmarks|calculator|pose)(,(landmarks|calculator|pose))*)?$")]
    pub face_plugins: Plugins,
    /// Tell how long it took, and by what it was done.
    #[serde(deserialize_with = "flag")]
    #[param(default = false)]
    pub status: bool,
}

/// How many people are named.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Predictions {
    /// At most this many subjects for a face, the most similar first.
    #[param(minimum = 1, maximum = 100, default = 1)]
    pub prediction_count: usize,
}

impl Default for Predictions {
    fn default() -> Self {
        Self { prediction_count: 1 }
    }
}

impl Predictions {
    /// The count.
    ///
    /// # Errors
    /// 400 where it is out of range.
    pub(super) fn count(self) -> Result<usize, Problem> {
        match self.prediction_count {
            count @ 1..=MOST_PEOPLE => Ok(count),
            other => {
                let detail = format!("prediction_count is {other}; it is 1 to {MOST_PEOPLE}");
                Err(Problem::bad("request.bad_option", detail))
            }
        }
    }
}

/// What only recognition is told.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Detection {
    /// Whether faces are looked for; they always are, so that `false` is refused: a crop that was cut otherwise
    /// than this model's would be given similarities that nothing was measured for.
    #[serde(deserialize_with = "flag")]
    #[param(default = true)]
    pub detect_faces: bool,
}

impl Default for Detection {
    fn default() -> Self {
        Self { detect_faces: true }
    }
}

impl Detection {
    pub(super) fn check(self) -> Result<(), Problem> {
        if self.detect_faces {
            return Ok(());
        }
        let detail = "detect_faces=false is not taken: this model's similarities hold for faces that it cut itself";
        Err(Problem::bad("request.bad_option", detail))
    }
}

/// The photo of a field, within CompreFace's bound.
///
/// # Errors
/// 400 where there is none, 413 where it is too large.
pub(super) fn photo(form: &Form, field: &str) -> Result<Upload, Problem> {
    let upload = form.of(field)?.clone();
    if upload.bytes.len() > MOST_BYTES {
        let (origin, bytes) = (upload.name, upload.bytes.len() as u64);
        return Err(PhotoError::TooManyBytes { origin, bytes, limit: MOST_BYTES as u64 }.into());
    }
    Ok(upload)
}
