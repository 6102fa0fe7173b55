//! From measured distances to a calibration record.

use rayon::prelude::*;

use super::calibration::{Calibration, OperatingPoint};
use super::jackknife::GroupedDistances;
use super::replicate::GROUPS;
use super::slope::{Weight, slope};

/// False-match rates that a record has points for, where the data supports them: 5, 2 and 1 in each
/// decade, since a request between two points takes the stricter one.
const RATES: [f64; 18] =
    [5e-1, 2e-1, 1e-1, 5e-2, 2e-2, 1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6];
/// Distances of pairs of photos, and whose they are.
#[derive(Default)]
pub struct Distances {
    genuine: Vec<f32>,
    impostor: Vec<f32>,
    grouped: GroupedDistances,
    people: usize,
}

impl Distances {
    /// Takes in the distance of a photo of person number `a` and one of person number `b`: a genuine pair
    /// where they are one.
    pub fn add(&mut self, a: usize, b: usize, distance: f32) {
        if a == b {
            self.genuine.push(distance)
        } else {
            self.impostor.push(distance)
        }
        self.grouped.add(a, b, distance);
        self.people = self.people.max(a + 1).max(b + 1);
    }
}

/// Fits a record to the distances of genuine and impostor pairs of `model` behind `detector`.
///
/// A point's distance is the largest that leaves at most its share of impostor pairs at or below. The
/// similarity scale is a logistic curve through 50% at [`Calibration::MIDPOINT_FMR`], with the slope
/// of greatest likelihood when both kinds of pair weigh the same (even odds). With people enough, the record
/// holds the replicates that its bounds are made of.
///
/// # Errors
/// A sentence, when the pairs are too few for a threshold at [`Calibration::MIDPOINT_FMR`].
pub fn fit_calibration(
    model: &str,
    detector: &str,
    source: &str,
    distances: Distances,
    failures_to_acquire: u64,
) -> Result<Calibration, String> {
    let Distances { mut genuine, mut impostor, grouped, people } = distances;
    if genuine.iter().chain(&impostor).any(|d| !d.is_finite()) {
        return Err("a distance is not finite".to_string());
    }
    if genuine.is_empty() {
        return Err("no genuine pair: no person has two photos with a face".to_string());
    }
    genuine.par_sort_unstable_by(f32::total_cmp);
    impostor.par_sort_unstable_by(f32::total_cmp);
    let points: Vec<OperatingPoint> =
        RATES.iter().filter_map(|&fmr| operating_point(fmr, &genuine, &impostor)).collect();
    let needed = (Calibration::LEAST_SUPPORT as f64 / Calibration::MIDPOINT_FMR).ceil();
    let midpoint = points
        .iter()
        .find(|p| p.fmr == Calibration::MIDPOINT_FMR)
        .map(|p| p.distance)
        .ok_or_else(|| format!("{} impostor pairs, at least {needed} are needed", impostor.len()))?;
    let mean =
        |distances: &[f32], of: Weight| distances.par_iter().map(|&d| of(d)).sum::<f64>() / distances.len() as f64;
    let record = Calibration {
        version: Calibration::VERSION,
        model: model.to_string(),
        detector: (detector != Calibration::FIRST_DETECTOR).then(|| detector.to_string()),
        source: source.to_string(),
        genuine_pairs: genuine.len() as u64,
        impostor_pairs: impostor.len() as u64,
        failures_to_acquire,
        midpoint,
        slope: slope(midpoint, &|of| mean(&genuine, of), &|of| mean(&impostor, of))?,
        alike: None,
        least_length: None,
        replicates: (people >= GROUPS).then(|| grouped.replicates(&points)).flatten(),
        points,
    };
    // Written and read back, so that what is returned is what the file will say.
    Calibration::parse(&serde_json::to_string(&record).map_err(|e| e.to_string())?)
}

/// The point at `fmr` of distances in rising order, or nothing where too few impostor pairs lie below it.
pub(crate) fn operating_point(fmr: f64, genuine: &[f32], impostor: &[f32]) -> Option<OperatingPoint> {
    let allowed = (fmr * impostor.len() as f64 + 1e-9).floor() as usize;
    let first_refused = impostor.get(allowed)?;
    // Equal distances cannot be parted: all of them stay out.
    let below = impostor.partition_point(|d| d < first_refused);
    let distance = *impostor[..below].last()?;
    let refused = genuine.len() - genuine.partition_point(|&d| d <= distance);
    let point =
        OperatingPoint { fmr, distance, fnmr: refused as f64 / genuine.len() as f64, impostors_below: below as u64 };
    (point.impostors_below >= Calibration::LEAST_SUPPORT).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Draws whose true curve is known: logistic noise about two means.
    fn draw(n: usize, mean: f32, spread: f32, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n)
            .map(|_| {
                let u: f32 = rng.random_range(1e-6..1.0 - 1e-6);
                (mean + spread * (u / (1.0 - u)).ln()).clamp(0.0, 2.0)
            })
            .collect()
    }

    /// One person's photos, and others' that are all of different people.
    fn distances(genuine: &[f32], impostor: &[f32]) -> Distances {
        let mut distances = Distances::default();
        genuine.iter().for_each(|&d| distances.add(0, 0, d));
        impostor.iter().for_each(|&d| distances.add(0, 1, d));
        distances
    }

    fn fitted(genuine: &[f32], impostor: &[f32], failures: u64) -> Result<Calibration, String> {
        fit_calibration("m", "mtcnn", "drawn", distances(genuine, impostor), failures)
    }

    #[test]
    fn thresholds_let_through_what_they_say() {
        let (genuine, impostor) = (draw(5_000, 0.3, 0.03, 1), draw(200_000, 0.7, 0.04, 2));
        let c = fitted(&genuine, &impostor, 3).unwrap();
        assert_eq!((c.genuine_pairs, c.impostor_pairs, c.failures_to_acquire), (5_000, 200_000, 3));
        for p in &c.points {
            let through = impostor.iter().filter(|&&d| d <= p.distance).count();
            assert_eq!(through as u64, p.impostors_below);
            assert!(through as f64 <= p.fmr * 200_000.0 + 1e-6);
            assert!(through as f64 > p.fmr * 200_000.0 * 0.9, "{p:?} is needlessly strict");
            let away = genuine.iter().filter(|&&d| d > p.distance).count();
            assert!((away as f64 / 5_000.0 - p.fnmr).abs() < 1e-12);
        }
        // 200,000 pairs support 1.5e-4 and no less.
        assert_eq!(c.points.last().unwrap().fmr, 2e-4);
        assert_eq!(c.similarity(c.at_fmr(1e-3).unwrap().distance), 50.0);
    }

    #[test]
    fn the_slope_is_the_most_likely_one() {
        let (genuine, impostor) = (draw(3_000, 0.35, 0.05, 3), draw(60_000, 0.6, 0.05, 4));
        let c = fitted(&genuine, &impostor, 0).unwrap();
        let likelihood = |slope: f32| -> f64 {
            let c = Calibration { slope, ..c.clone() };
            let mean = |d: &[f32], same: bool| -> f64 {
                let log = |&x: &f32| {
                    let s = f64::from(c.similarity(x)) / 100.0;
                    if same { s.max(1e-12).ln() } else { (1.0 - s).max(1e-12).ln() }
                };
                d.iter().map(log).sum::<f64>() / d.len() as f64
            };
            mean(&genuine, true) + mean(&impostor, false)
        };
        let best = likelihood(c.slope);
        assert!(best > likelihood(c.slope * 0.97) && best > likelihood(c.slope * 1.03));
    }

    #[test]
    fn too_little_data_is_refused() {
        assert!(fitted(&[0.1; 10], &vec![0.9; 100], 0).is_err());
        assert!(fitted(&[], &draw(50_000, 0.7, 0.04, 5), 0).is_err());
        assert!(fitted(&[f32::NAN], &draw(50_000, 0.7, 0.04, 5), 0).is_err());
        let backwards = fitted(&draw(1_000, 0.9, 0.02, 6), &draw(50_000, 0.5, 0.02, 7), 0);
        assert!(backwards.is_err(), "{backwards:?}");
    }
}
