//! One vector for several faces of a person: a template of the mean direction, plain or weighted by quality.

use serde::Serialize;

/// Between the eyes, in pixels, from which on size adds nothing: the distance in a chip of 150 pixels.
const FULL_SIZE: f32 = 54.5;
/// Sharpness at which a face counts half: about the tenth percentile of LFW's faces.
const HALF_SHARP: f32 = 0.02;

/// How a person's faces stand for the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The nearest of them.
    #[default]
    Best,
    /// Their mean direction.
    Mean,
    /// Their mean direction, each face weighted by [`sample_weight`].
    Weighted,
}

/// What a face counts in a template, above 0 and at most 1: less when it is small, blurred or turned away.
/// Eye distance in pixels of the photo; sharpness as in [`crate::FaceQuality`]; angles in degrees.
pub fn sample_weight(eye_distance: f32, sharpness: f32, yaw: f32, pitch: f32) -> f32 {
    let size = (eye_distance / FULL_SIZE).clamp(0.0, 1.0);
    let sharp = sharpness.max(0.0) / (sharpness.max(0.0) + HALF_SHARP);
    let facing = yaw.to_radians().cos().max(0.0) * pitch.to_radians().cos().max(0.0);
    let weight = size * sharp * facing;
    // A face that is all there is has to count for something.
    if weight.is_finite() { weight.max(1e-3) } else { 1e-3 }
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

/// The unit vector along the weighted sum of `samples` (unit vectors of `dimension` numbers); `None` where
/// they cancel out or there are none.
pub(crate) fn mean_direction(samples: impl Iterator<Item = (Vec<f32>, f32)>, dimension: usize) -> Option<Vec<f32>> {
    let mut sum = vec![0f64; dimension];
    for (vector, weight) in samples {
        sum.iter_mut().zip(&vector).for_each(|(s, &v)| *s += f64::from(weight) * f64::from(v));
    }
    let length = sum.iter().map(|s| s * s).sum::<f64>().sqrt();
    (length > f64::from(f32::EPSILON)).then(|| sum.iter().map(|s| (s / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_leans_to_the_better_face_and_opposites_have_none() {
        let faces = || [vec![1.0, 0.0], vec![0.0, 1.0]].into_iter();
        let even = mean_direction(faces().zip([1.0, 1.0]), 2).unwrap();
        assert!((even[0] - even[1]).abs() < 1e-6 && (even[0] - 0.5f32.sqrt()).abs() < 1e-6);
        let leaning = mean_direction(faces().zip([0.9, 0.3]), 2).unwrap();
        assert!((leaning[0] / leaning[1] - 3.0).abs() < 1e-5);
        assert_eq!(mean_direction([(vec![1.0, 0.0], 0.5), (vec![-1.0, 0.0], 0.5)].into_iter(), 2), None);
        assert_eq!(mean_direction(std::iter::empty(), 2), None);
    }

    #[test]
    fn a_template_counts_as_at_least_what_was_measured() {
        assert_eq!([0, 1, 2, 3, 5, 10].map(template_comparisons), [0, 1, 4, 5, 8, 16]);
    }

    #[test]
    fn small_blurred_and_turned_faces_count_less_and_none_counts_nothing() {
        let good = sample_weight(60.0, 0.1, 0.0, 0.0);
        assert!(good > 0.8 && good <= 1.0);
        for worse in [
            sample_weight(25.0, 0.1, 0.0, 0.0),
            sample_weight(60.0, 0.01, 0.0, 0.0),
            sample_weight(60.0, 0.1, 50.0, 0.0),
            sample_weight(60.0, 0.1, 0.0, -40.0),
        ] {
            assert!(worse < good * 0.8 && worse > 0.0, "{worse}");
        }
        for odd in [
            sample_weight(0.0, 0.0, 0.0, 0.0),
            sample_weight(f32::NAN, 0.1, 0.0, 0.0),
            sample_weight(9.0, -1.0, 180.0, 0.0),
        ] {
            assert!(odd > 0.0 && odd.is_finite(), "{odd}");
        }
    }
}
