//! Measuring a network on people whom it was not trained on, by [`crate::eval`]'s scores.

use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::eval::{Histogram, Scores};

/// Faces of which all pairs are held against each other, at most.
const MOST_FACES: usize = 2000;
/// Points of a ROC that are kept, at most.
const MOST_POINTS: usize = 80;

/// Error rates over all pairs of the held-out faces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Faces compared.
    pub faces: usize,
    /// Pairs of one person.
    pub genuine: usize,
    /// Pairs of two people.
    pub impostor: usize,
    /// False accept rates, and the true accept rate at each that the pairs support.
    pub tar_at_far: Vec<(f64, f64)>,
    /// Share of pairs on the right side of the best threshold.
    pub accuracy: f64,
    /// Area under the ROC.
    pub auc: f64,
    /// Equal error rate.
    pub eer: f64,
    /// False accept rates, rising, with their true accept rates: points for a picture.
    pub roc: Vec<(f64, f64)>,
    /// Pairs by distance.
    pub histogram: Histogram,
}

impl Validation {
    /// The true accept rate at a false accept rate; none where the pairs do not support it.
    pub fn tar(&self, far: f64) -> Option<f64> {
        self.tar_at_far.iter().find(|(f, _)| *f == far).map(|(_, tar)| *tar)
    }

    /// What a run is stopped by: the true accept rate at 1e-2, or the area under the ROC where the pairs do not support it.
    pub fn score(&self) -> f64 {
        self.tar(1e-2).unwrap_or(self.auc)
    }
}

/// All pairs of rows of `dimension` values, each of length one, of people `labels`. Distances are Euclidean.
///
/// # Errors
/// [`EvalError::TooLittle`] without a pair of each kind.
pub fn validate(rows: &[Vec<f32>], labels: &[usize]) -> Result<Validation, EvalError> {
    // Every k-th face, so that many people are in it.
    let stride = rows.len().div_ceil(MOST_FACES).max(1);
    let places: Vec<usize> = (0..rows.len()).step_by(stride).collect();
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (at, &i) in places.iter().enumerate() {
        for &j in &places[..at] {
            let square: f32 = rows[i].iter().zip(&rows[j]).map(|(a, b)| (a - b) * (a - b)).sum();
            let into = if labels[i] == labels[j] { &mut genuine } else { &mut impostor };
            into.push(square.sqrt());
        }
    }
    let (pairs, others) = (genuine.len(), impostor.len());
    let scores = Scores::new(genuine, impostor)?;
    let curve = scores.curve();
    let step = curve.len().div_ceil(MOST_POINTS).max(1);
    let measured = scores.tar_at_far().into_iter().filter_map(|t| Some((t.far, t.measured?.tar)));
    Ok(Validation {
        faces: places.len(),
        genuine: pairs,
        impostor: others,
        tar_at_far: measured.collect(),
        accuracy: scores.best_threshold().accuracy,
        auc: scores.area_under_roc(),
        eer: scores.equal_error().rate,
        roc: curve.iter().step_by(step).map(|p| (p.fmr, 1.0 - p.fnmr)).collect(),
        histogram: scores.histogram(),
    })
}
