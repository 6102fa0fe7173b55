//! One vector for several faces of a person: a template, their mean direction.

use serde::{Deserialize, Serialize};

/// How a person's faces stand for the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TemplateRule {
    /// The nearest of them.
    #[default]
    Best,
    /// Their mean direction.
    Mean,
}

/// Comparisons of single faces that one with a template of `faces` faces counts as, when rates of false matches
/// are bounded. A mean direction lies nearer to strangers than its faces do. Measured on LFW, share of strangers
/// within the distance at which single faces have the rates 1e-2 to 1e-5, in multiples of the rate:
///
/// | faces | dlib-resnet | mobilefacenet | counted |
/// | --- | --- | --- | --- |
/// | 2 | 2.35 to 3.05 | 1.12 to 1.38 | 4 |
/// | 3 | 3.13 to 4.25 | 1.20 to 1.86 | 5 |
/// | 5 | 3.96 to 6.47 | 1.27 to 2.21 | 8 |
/// | 10 | 4.87 to 10.09 | 1.47 to 3.18 | 16 |
pub fn template_comparisons(faces: usize) -> usize {
    if faces < 2 { faces } else { faces + faces / 2 + 1 }
}

/// The unit vector along the sum of `faces` (unit vectors of `dimension` numbers), added up in that order, so that
/// the same faces give the same bits; `None` where they cancel out or there are none.
pub(crate) fn mean_direction(faces: impl Iterator<Item = Vec<f32>>, dimension: usize) -> Option<Vec<f32>> {
    let mut sum = vec![0f64; dimension];
    for vector in faces {
        sum.iter_mut().zip(&vector).for_each(|(s, &v)| *s += f64::from(v));
    }
    let length = sum.iter().map(|s| s * s).sum::<f64>().sqrt();
    (length > f64::from(f32::EPSILON)).then(|| sum.iter().map(|s| (s / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_lies_between_its_faces_and_opposites_have_none() {
        let mean = mean_direction([vec![1.0, 0.0], vec![0.0, 1.0]].into_iter(), 2).unwrap();
        assert!((mean[0] - mean[1]).abs() < 1e-6 && (mean[0] - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(mean_direction([vec![1.0, 0.0], vec![-1.0, 0.0]].into_iter(), 2), None);
        assert_eq!(mean_direction(std::iter::empty(), 2), None);
    }

    #[test]
    fn a_template_counts_as_at_least_what_was_measured() {
        assert_eq!([0, 1, 2, 3, 5, 10].map(template_comparisons), [0, 1, 4, 5, 8, 16]);
    }
}
