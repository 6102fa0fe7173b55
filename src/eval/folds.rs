//! The protocol of Labeled Faces in the Wild: for each fold the threshold is chosen on all other folds,
//! and the mean accuracy is given with its standard error. Pure numbers.
//!
//! G. B. Huang et al., "Labeled Faces in the Wild: a database for studying face recognition in
//! unconstrained environments", 2007, section 4.

use serde::Serialize;

use super::pairs::Pair;
use super::scores::Scores;
use crate::error::EvalError;

/// One fold, judged by a threshold that was chosen without it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fold {
    /// Pairs in it.
    pub pairs: usize,
    /// The threshold.
    pub distance: f32,
    /// Share of its pairs on the right side.
    pub accuracy: f64,
}

/// Accuracy over folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossValidation {
    /// Mean of the folds' accuracies.
    pub accuracy: f64,
    /// Standard error of that mean; none for a single fold.
    pub standard_error: Option<f64>,
    /// Each fold. With one fold there is nothing else to choose the threshold on, so it was chosen on the
    /// same pairs and the accuracy flatters.
    pub folds: Vec<Fold>,
}

/// Judges every pair by the threshold that is best on the other folds.
///
/// # Errors
/// [`EvalError::TooLittle`] when the folds beside one hold no pair of one of the kinds.
pub fn cross_validate(pairs: &[Pair], distances: &[f32], folds: usize) -> Result<CrossValidation, EvalError> {
    let mut judged = Vec::with_capacity(folds);
    for fold in 0..folds {
        let inside = |p: &Pair| usize::from(p.fold) == fold;
        let chosen_on = |genuine: bool| -> Vec<f32> {
            let both = pairs.iter().zip(distances);
            both.filter(|(p, _)| p.genuine == genuine && (folds == 1 || !inside(p))).map(|(_, &d)| d).collect()
        };
        let distance = Scores::new(chosen_on(true), chosen_on(false))?.best_threshold().distance;
        let (mut right, mut all) = (0, 0);
        for (pair, &d) in pairs.iter().zip(distances).filter(|(p, _)| inside(p)) {
            all += 1;
            right += usize::from((d <= distance) == pair.genuine);
        }
        if all > 0 {
            judged.push(Fold { pairs: all, distance, accuracy: right as f64 / all as f64 });
        }
    }
    let n = judged.len() as f64;
    let accuracy = judged.iter().map(|f| f.accuracy).sum::<f64>() / n;
    let variance = judged.iter().map(|f| (f.accuracy - accuracy).powi(2)).sum::<f64>() / (n - 1.0);
    let standard_error = (judged.len() > 1).then(|| (variance / n).sqrt());
    Ok(CrossValidation { accuracy, standard_error, folds: judged })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(genuine: bool, fold: u16) -> Pair {
        Pair { a: 0, b: 1, genuine, fold }
    }

    #[test]
    fn a_folds_own_pairs_have_no_say_in_its_threshold() {
        // In fold 0 a threshold of 0.6 would be perfect; the other folds ask for one between 0.2 and 0.3.
        let pairs: Vec<Pair> = (0..5).flat_map(|f| [pair(true, f), pair(false, f)]).collect();
        let distances = [0.5, 0.7, 0.2, 0.3, 0.2, 0.3, 0.2, 0.3, 0.2, 0.3];
        let c = cross_validate(&pairs, &distances, 5).unwrap();
        assert!((c.folds[0].distance - 0.25).abs() < 1e-6);
        let accuracies: Vec<f64> = c.folds.iter().map(|f| f.accuracy).collect();
        assert_eq!(accuracies, [0.5, 1.0, 1.0, 1.0, 1.0]);
        assert!((c.accuracy - 0.9).abs() < 1e-12);
        // The sample deviation of (0.5, 1, 1, 1, 1) is the root of 0.05; over the root of five it is a tenth.
        assert!((c.standard_error.unwrap() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn one_fold_is_judged_on_itself_and_has_no_error_bar() {
        let c = cross_validate(&[pair(true, 0), pair(false, 0)], &[0.2, 0.4], 1).unwrap();
        assert_eq!((c.accuracy, c.standard_error), (1.0, None));
        let missing = cross_validate(&[pair(true, 0), pair(true, 1)], &[0.2, 0.4], 2);
        assert_eq!(missing.unwrap_err().code(), "eval.too_little");
    }
}
