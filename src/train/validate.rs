//! Measuring a network on people whom it was not trained on, by [`crate::eval`]'s scores.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
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

/// How much a student's vectors are like its teacher's, all of length one: the mean cosine of a face's two vectors; where they
/// have different lengths, the correlation of the cosines of pairs. One where they are the same. None without vectors.
pub fn agreement(student: &[Vec<f32>], teacher: &[Vec<f32>]) -> Option<f64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (first, taught) = (student.first()?, teacher.first()?);
    if first.len() == taught.len() {
        return Some(student.iter().zip(teacher).map(|(s, t)| dot(s, t)).sum::<f64>() / student.len() as f64);
    }
    let most = student.len().min(MOST_FACES);
    let pairs = |rows: &[Vec<f32>]| -> Vec<f64> {
        (0..most).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| dot(&rows[i], &rows[j])).collect()
    };
    let (a, b) = (pairs(student), pairs(teacher));
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let (mut both, mut own, mut other) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(&b) {
        let (x, y) = (x - mean_a, y - mean_b);
        (both, own, other) = (both + x * y, own + x * x, other + y * y);
    }
    let spread = (own * other).sqrt();
    (spread > 0.0).then(|| both / spread)
}

/// Places of the faces that count: all, where they are few; else those of as many people as there is room for, drawn the same
/// way each time. People count with all their faces, so that genuine pairs stay; but nobody fills more than half.
fn counted(labels: &[usize]) -> Vec<usize> {
    if labels.len() <= MOST_FACES {
        return (0..labels.len()).collect();
    }
    let mut by_person = BTreeMap::<usize, Vec<usize>>::new();
    labels.iter().enumerate().for_each(|(place, person)| by_person.entry(*person).or_default().push(place));
    let mut people: Vec<Vec<usize>> = by_person.into_values().collect();
    people.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    let mut places = Vec::with_capacity(MOST_FACES);
    for faces in people {
        let room = (MOST_FACES - places.len()).min(MOST_FACES / 2);
        places.extend(faces.into_iter().take(room));
    }
    places.sort_unstable();
    places
}

/// All pairs of rows of `dimension` values, each of length one, of people `labels`. Distances are Euclidean.
///
/// # Errors
/// [`EvalError::TooLittle`] without a pair of each kind.
pub fn validate(rows: &[Vec<f32>], labels: &[usize]) -> Result<Validation, EvalError> {
    let places = counted(&labels[..rows.len().min(labels.len())]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_faces_than_count_keep_their_genuine_pairs() {
        // Two photos of each, one behind the other: every second face alone would be nobody's pair.
        for (people, each) in [(1300, 2), (900, 3), (2, 1500), (1, 2500)] {
            let labels: Vec<usize> = (0..people * each).map(|face| face / each).collect();
            let angle = |face: usize| (face / each) as f32 + 0.001 * (face % each) as f32;
            let rows: Vec<Vec<f32>> = (0..labels.len()).map(|f| vec![angle(f).cos(), angle(f).sin()]).collect();
            if people == 1 {
                assert!(validate(&rows, &labels).is_err());
                continue;
            }
            let validation = validate(&rows, &labels).unwrap();
            assert!((1900..=2000).contains(&validation.faces), "{validation:?}");
            assert!(validation.genuine >= 900 && validation.impostor > 0, "{people} people: {}", validation.genuine);
            assert_eq!(validation.genuine + validation.impostor, validation.faces * (validation.faces - 1) / 2);
        }
    }

    #[test]
    fn agreement_is_a_cosine_or_a_correlation_of_cosines() {
        let unit = |angle: f32| vec![angle.cos(), angle.sin()];
        let student = [unit(0.1), unit(1.0), unit(2.5)];
        let turned: Vec<Vec<f32>> = [0.1f32, 1.0, 2.5].map(|a| unit(a + 0.3)).into();
        assert!((agreement(&student, &turned).unwrap() - 0.3f64.cos()).abs() < 1e-6);
        // Another length, the same cosines; then others.
        let wider: Vec<Vec<f32>> = turned.iter().map(|v| vec![v[0], v[1], 0.0]).collect();
        assert!((agreement(&student, &wider).unwrap() - 1.0).abs() < 1e-6);
        let other = [vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![1.0, 0.0, 0.0]];
        assert!(agreement(&student, &other).unwrap() < 0.5);
        assert_eq!(agreement(&[], &[]), None);
        assert_eq!(agreement(&student, &vec![vec![1.0, 0.0, 0.0]; 3]), None, "no spread");
    }
}
