//! Error rates of a set of scored pairs: ROC, DET, EER, AUC, d'. Pure numbers.
//!
//! A pair counts as matched when its distance is at or below the threshold. A pair with a photo in which
//! no face was found has an infinite distance: it is matched at no threshold. So a failure to acquire is a
//! false non-match of a genuine pair and a right rejection of an impostor pair, as in the generalized
//! false accept and reject rates of ISO/IEC 19795-1, and nothing is left out of any denominator.

use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::verify::{OperatingPoint, operating_point, rate_interval};

/// The rates that a report names, where the pairs support them.
pub const REPORTED_RATES: [f64; 6] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// Points of a curve that are kept for a picture, for each factor of ten on either axis.
const POINTS_A_DECADE: f64 = 40.0;
/// Columns of a histogram.
const BINS: usize = 60;

/// Distances of genuine and impostor pairs, each in rising order.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    genuine: Vec<f32>,
    impostor: Vec<f32>,
}

/// The threshold at which both error rates are equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EqualError {
    /// The mean of both rates there.
    pub rate: f64,
    /// The threshold.
    pub distance: f32,
}

/// A threshold, and the share of pairs that it decides rightly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BestThreshold {
    /// The threshold.
    pub distance: f32,
    /// Share of all pairs on the right side of it.
    pub accuracy: f64,
}

/// True accept rate at one false accept rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TarAtFar {
    /// The false accept rate asked for.
    pub far: f64,
    /// True accept rate, its 95% interval, and the threshold; none where fewer than
    /// [`crate::Calibration::LEAST_SUPPORT`] impostor pairs lie below the threshold ("rule of 30").
    pub measured: Option<Tar>,
    /// Impostor pairs that the rate would need.
    pub impostor_pairs_needed: u64,
}

/// A true accept rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tar {
    /// Share of genuine pairs accepted.
    pub tar: f64,
    /// Lower end of its 95% interval.
    pub low: f64,
    /// Upper end of its 95% interval.
    pub high: f64,
    /// The threshold.
    pub distance: f32,
    /// Impostor pairs at or below it.
    pub impostors_below: u64,
}

/// One threshold's error rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The threshold.
    pub distance: f32,
    /// Share of impostor pairs matched.
    pub fmr: f64,
    /// Share of genuine pairs not matched.
    pub fnmr: f64,
}

/// How many pairs fall into each of equal steps of distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Where the first step begins.
    pub from: f32,
    /// Width of a step.
    pub step: f32,
    /// Genuine pairs in each.
    pub genuine: Vec<u64>,
    /// Impostor pairs in each.
    pub impostor: Vec<u64>,
}

impl Scores {
    /// Sorts the distances; `f32::INFINITY` stands for a failure to acquire.
    ///
    /// # Errors
    /// [`EvalError::TooLittle`] without a genuine or an impostor pair, or for a distance that is no number.
    pub fn new(mut genuine: Vec<f32>, mut impostor: Vec<f32>) -> Result<Self, EvalError> {
        let too_little = |reason: &str| Err(EvalError::TooLittle { reason: reason.to_string() });
        if genuine.is_empty() {
            return too_little("no genuine pair (two photos of one person)");
        }
        if impostor.is_empty() {
            return too_little("no impostor pair (photos of two people)");
        }
        if genuine.iter().chain(&impostor).any(|d| d.is_nan()) {
            return too_little("a distance is not a number");
        }
        genuine.sort_unstable_by(f32::total_cmp);
        impostor.sort_unstable_by(f32::total_cmp);
        Ok(Self { genuine, impostor })
    }

    /// Distances of genuine pairs, rising.
    pub fn genuine(&self) -> &[f32] {
        &self.genuine
    }

    /// Distances of impostor pairs, rising.
    pub fn impostor(&self) -> &[f32] {
        &self.impostor
    }

    /// Both error rates at a threshold.
    pub fn at(&self, distance: f32) -> CurvePoint {
        let share = |sorted: &[f32]| sorted.partition_point(|&d| d <= distance) as f64 / sorted.len() as f64;
        CurvePoint { distance, fmr: share(&self.impostor), fnmr: 1.0 - share(&self.genuine) }
    }

    /// The largest threshold with at most this false-match rate; none where it rests on too few pairs.
    pub fn at_fmr(&self, fmr: f64) -> Option<OperatingPoint> {
        operating_point(fmr, &self.genuine, &self.impostor)
    }

    /// True accept rate at each of [`REPORTED_RATES`].
    pub fn tar_at_far(&self) -> Vec<TarAtFar> {
        REPORTED_RATES.iter().map(|&far| self.tar(far)).collect()
    }

    fn tar(&self, far: f64) -> TarAtFar {
        let measured = self.at_fmr(far).map(|point| {
            let trials = self.genuine.len() as u64;
            let hits = self.genuine.partition_point(|&d| d <= point.distance) as u64;
            let (low, high) = rate_interval(hits, trials);
            Tar { tar: 1.0 - point.fnmr, low, high, distance: point.distance, impostors_below: point.impostors_below }
        });
        let needed = (crate::verify::Calibration::LEAST_SUPPORT as f64 / far).ceil() as u64;
        TarAtFar { far, measured, impostor_pairs_needed: needed }
    }

    /// Every finite distance once, rising.
    fn thresholds(&self) -> Vec<f32> {
        let finite = |d: &&f32| d.is_finite();
        let mut all: Vec<f32> = self.genuine.iter().chain(&self.impostor).filter(finite).copied().collect();
        all.sort_unstable_by(f32::total_cmp);
        all.dedup();
        all
    }

    /// The equal error rate: the mean of both rates at the threshold where they are nearest each other.
    pub fn equal_error(&self) -> EqualError {
        let nearest = self.thresholds().into_iter().map(|d| self.at(d)).min_by(|a, b| {
            let gap = |p: &CurvePoint| (p.fmr - p.fnmr).abs();
            gap(a).total_cmp(&gap(b))
        });
        // Without any finite distance nothing matches at any threshold.
        let point = nearest.unwrap_or(CurvePoint { distance: 0.0, fmr: 0.0, fnmr: 1.0 });
        EqualError { rate: (point.fmr + point.fnmr) / 2.0, distance: point.distance }
    }

    /// Area under the ROC: the chance that a genuine pair is nearer than an impostor pair, where equal
    /// distances count half.
    pub fn area_under_roc(&self) -> f64 {
        let total: f64 = self
            .genuine
            .iter()
            .map(|&g| {
                let (below, up_to) =
                    (self.impostor.partition_point(|&d| d < g), self.impostor.partition_point(|&d| d <= g));
                (self.impostor.len() - up_to) as f64 + (up_to - below) as f64 / 2.0
            })
            .sum();
        total / self.genuine.len() as f64 / self.impostor.len() as f64
    }

    /// d': distance between the means of both kinds of pair, in units of their pooled standard deviation.
    /// Failures to acquire have no distance and are left out. None for fewer than two pairs of a kind.
    pub fn d_prime(&self) -> Option<f64> {
        let moments = |sorted: &[f32]| {
            let finite: Vec<f64> = sorted.iter().filter(|d| d.is_finite()).map(|&d| f64::from(d)).collect();
            let n = finite.len() as f64;
            let mean = finite.iter().sum::<f64>() / n;
            (finite.len() > 1).then(|| (mean, finite.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0)))
        };
        let ((near, a), (far, b)) = (moments(&self.genuine)?, moments(&self.impostor)?);
        let pooled = ((a + b) / 2.0).sqrt();
        (pooled > 0.0).then(|| (far - near) / pooled)
    }

    /// The threshold that decides most pairs rightly. Where a range of thresholds is equally good the middle
    /// one is taken, halfway between two measured distances, so that it leans to neither side.
    pub fn best_threshold(&self) -> BestThreshold {
        let (genuine, impostor) = (&self.genuine, &self.impostor);
        let right =
            |d: f32| genuine.partition_point(|&g| g <= d) + impostor.len() - impostor.partition_point(|&i| i <= d);
        let thresholds = self.thresholds();
        let counts: Vec<usize> = thresholds.iter().map(|&d| right(d)).collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        let best: Vec<usize> = (0..counts.len()).filter(|&i| counts[i] == most).collect();
        let accuracy = most.max(right(0.0)) as f64 / (genuine.len() + impostor.len()) as f64;
        let distance = match best.get(best.len() / 2) {
            Some(&i) => match thresholds.get(i + 1) {
                // Between neighbouring numbers the half rounds to one of them, and the upper would let a pair in.
                Some(&next) if (thresholds[i] + next) / 2.0 < next => (thresholds[i] + next) / 2.0,
                _ => thresholds[i],
            },
            None => 0.0,
        };
        BestThreshold { distance, accuracy }
    }

    /// The curve of both error rates over all thresholds, thinned to what a picture can show.
    pub fn curve(&self) -> Vec<CurvePoint> {
        let cell = |rate: f64, pairs: usize| {
            if rate <= 0.0 { i64::MIN } else { (rate.max(0.1 / pairs as f64).log10() * POINTS_A_DECADE).round() as i64 }
        };
        let mut seen = None;
        let mut points = vec![CurvePoint { distance: 0.0, fmr: 0.0, fnmr: 1.0 }];
        for d in self.thresholds() {
            let point = self.at(d);
            let here = (
                cell(point.fmr, self.impostor.len()),
                cell(point.fnmr, self.genuine.len()),
                (point.fnmr * POINTS_A_DECADE) as i64,
            );
            if seen != Some(here) {
                seen = Some(here);
                points.push(point);
            }
        }
        points.extend(self.thresholds().last().map(|&d| self.at(d)));
        points
    }

    /// Both kinds of pair by distance; failures to acquire are in no column.
    pub fn histogram(&self) -> Histogram {
        let ends = |sorted: &[f32]| {
            let finite = sorted.partition_point(|d| d.is_finite());
            (finite > 0).then(|| (sorted[0], sorted[finite - 1]))
        };
        let both = [ends(&self.genuine), ends(&self.impostor)];
        let from = both.iter().flatten().map(|e| e.0).fold(f32::INFINITY, f32::min);
        let to = both.iter().flatten().map(|e| e.1).fold(0.0, f32::max);
        let (from, to) = if from < to { (from, to) } else { (0.0, 2.0) };
        let step = (to - from) / BINS as f32;
        let count = |sorted: &[f32]| {
            let mut columns = vec![0; BINS];
            for d in sorted.iter().filter(|d| d.is_finite()) {
                columns[(((d - from) / step) as usize).min(BINS - 1)] += 1;
            }
            columns
        };
        Histogram { from, step, genuine: count(&self.genuine), impostor: count(&self.impostor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn draw(n: usize, mean: f32, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Coarse, so that distances repeat.
        (0..n).map(|_| ((mean + rng.random_range(-0.2f32..0.2)) * 200.0).round() / 200.0).collect()
    }

    #[test]
    fn every_measure_equals_its_definition_counted_by_hand() {
        let (genuine, impostor) = (draw(300, 0.5, 1), draw(400, 0.65, 2));
        let s = Scores::new(genuine.clone(), impostor.clone()).unwrap();
        let mut area = 0.0;
        for g in &genuine {
            for i in &impostor {
                area += if g < i {
                    1.0
                } else if g == i {
                    0.5
                } else {
                    0.0
                };
            }
        }
        assert!((s.area_under_roc() - area / 120_000.0).abs() < 1e-12);
        let right = |t: f32| genuine.iter().filter(|&&d| d <= t).count() + impostor.iter().filter(|&&d| d > t).count();
        let most = (0..=400).map(|i| right(i as f32 / 200.0 + 1e-4)).max().unwrap();
        let best = s.best_threshold();
        assert_eq!((best.accuracy * 700.0).round() as usize, most);
        assert_eq!(right(best.distance), most);
        let eer = s.equal_error();
        let p = s.at(eer.distance);
        assert!((p.fmr - p.fnmr).abs() < 0.03 && (eer.rate - (p.fmr + p.fnmr) / 2.0).abs() < 1e-12);
        let tar = s.tar_at_far();
        let at = tar[0].measured.unwrap();
        assert!(impostor.iter().filter(|&&d| d <= at.distance).count() <= 40);
        assert!((at.tar - genuine.iter().filter(|&&d| d <= at.distance).count() as f64 / 300.0).abs() < 1e-12);
        assert!(at.low < at.tar && at.tar < at.high);
        assert!(tar[1].measured.is_none(), "400 pairs hold no 30 at a rate of 1 in 100");
        assert_eq!(tar[1].impostor_pairs_needed, 3000);
        let h = s.histogram();
        assert_eq!((h.genuine.iter().sum::<u64>(), h.impostor.iter().sum::<u64>()), (300, 400));
        let curve = s.curve();
        assert!(curve.windows(2).all(|w| w[0].fmr <= w[1].fmr && w[0].fnmr >= w[1].fnmr));
        assert_eq!((curve[0].fmr, curve.last().unwrap().fmr), (0.0, 1.0));
    }

    #[test]
    fn d_prime_of_known_spreads() {
        let s = Scores::new(vec![0.0, 2.0], vec![10.0, 12.0]).unwrap();
        assert!((s.d_prime().unwrap() - 10.0 / 2f64.sqrt()).abs() < 1e-9);
        assert_eq!(Scores::new(vec![0.1], vec![0.9, 0.8]).unwrap().d_prime(), None);
    }

    #[test]
    fn failures_to_acquire_count_against_genuine_pairs_and_for_impostor_pairs() {
        let inf = f32::INFINITY;
        let s = Scores::new(vec![0.1, 0.2, 0.3, inf], vec![0.8, 0.9, inf, inf]).unwrap();
        let p = s.at(2.0);
        assert_eq!((p.fmr, p.fnmr), (0.5, 0.25));
        assert_eq!(s.best_threshold().accuracy, 7.0 / 8.0);
        // A failed genuine pair ties with the two failed impostor pairs.
        assert_eq!(s.area_under_roc(), (3.0 * 4.0 + 1.0) / 16.0);
        let none = Scores::new(vec![inf], vec![inf]).unwrap();
        assert_eq!((none.equal_error().rate, none.area_under_roc()), (0.5, 0.5));
        assert_eq!(none.best_threshold().accuracy, 0.5);
        assert!(none.curve().len() == 1 && none.d_prime().is_none());
        assert_eq!(none.histogram().genuine.iter().sum::<u64>(), 0);
    }

    #[test]
    fn perfect_scores_and_no_scores() {
        let s = Scores::new(vec![0.1, 0.2], vec![0.8, 0.9]).unwrap();
        let best = s.best_threshold();
        assert_eq!(best.accuracy, 1.0);
        assert!((best.distance - 0.5).abs() < 1e-6, "the middle of the gap: {best:?}");
        assert_eq!((s.area_under_roc(), s.equal_error().rate), (1.0, 0.0));
        for (genuine, impostor) in [(vec![], vec![0.5]), (vec![0.5], vec![]), (vec![f32::NAN], vec![0.5])] {
            assert_eq!(Scores::new(genuine, impostor).unwrap_err().code(), "eval.too_little");
        }
    }
}
