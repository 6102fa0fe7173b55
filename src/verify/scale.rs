//! The similarity scale for people: 50% is the threshold in force, whatever that is, so that a percentage never says
//! other than the decision beside it.

use super::Calibration;
use super::calibration::{log_odds, percent};
use super::replicate::reach;

/// Where same and different part, in percent.
pub const HALF: f32 = 50.0;

impl Calibration {
    /// Similarity in percent, 0 to 100, beside a decision at `threshold`: falls with distance, as steeply as the record's
    /// scale does; 50 or more exactly where `distance` is within `threshold`. A distance that is not a number is 0.
    ///
    /// ```
    /// # let engine = kith::Engine::builder().build()?;
    /// let calibration = engine.calibration().unwrap();
    /// assert_eq!(calibration.similarity_at(0.4, 0.4), 50.0);
    /// assert!(calibration.similarity_at(0.3, 0.35) < 50.0 && calibration.similarity_at(0.4, 0.35) > 50.0);
    /// # Ok::<(), kith::Error>(())
    /// ```
    pub fn similarity_at(&self, threshold: f32, distance: f32) -> f32 {
        beside(distance <= threshold, percent(log_odds(threshold, self.slope, distance)))
    }

    /// Where [`Calibration::similarity_at`] would lie, 95 times in 100, had the record been measured on other people of
    /// the same kind: lower and upper bound in percent. `None` where the record does not say.
    pub fn similarity_interval_at(&self, threshold: f32, distance: f32) -> Option<(f32, f32)> {
        let replicates = self.replicates.as_ref()?;
        let moved = threshold - self.midpoint;
        let reach = reach(replicates.iter().map(|r| log_odds(r.midpoint + moved, r.slope, distance)));
        let middle = log_odds(threshold, self.slope, distance);
        Some((percent(middle - reach), percent(middle + reach)))
    }
}

/// The percentage on its side of the half: rounding moves it over, near the threshold.
fn beside(within: bool, percent: f32) -> f32 {
    match within {
        true => percent.max(HALF),
        false if percent.is_nan() => 0.0,
        false => percent.min(HALF.next_down()),
    }
}

/// How near two faces are, 0 to 100, for a colour, where no record says how alike that is: 100 at no distance, 50 at the
/// threshold, 0 at the greatest distance there is, 2; straight between.
pub fn nearness(threshold: f32, distance: f32) -> f32 {
    let share = if distance <= threshold {
        2.0 - distance / threshold
    } else {
        1.0 - (distance - threshold) / (2.0 - threshold)
    };
    beside(distance <= threshold, (HALF * share).clamp(0.0, 100.0))
}

/// A similarity as it is written, with so many digits after the point. What is below the half is never rounded up to it:
/// it would stand beside "different people". Nor is anything rounded up to 100: no record is so sure.
///
/// ```
/// use kith::verify::percent_text;
/// assert_eq!([percent_text(49.97, 1), percent_text(50.0, 1), percent_text(99.99, 1)], ["49.9%", "50.0%", "99.9%"]);
/// assert_eq!([percent_text(97.25, 0), percent_text(100.0, 0)], ["97%", "99%"]);
/// ```
pub fn percent_text(percent: f32, digits: usize) -> String {
    let unit = 0.1f32.powi(i32::try_from(digits).unwrap_or(i32::MAX));
    let shown = percent.min(if percent < HALF { HALF } else { 100.0 } - unit);
    format!("{shown:.digits$}%")
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::record;
    use super::*;

    #[test]
    fn a_percentage_is_on_the_side_of_its_decision_at_every_threshold() {
        let record = record();
        for threshold in [0.0, 0.05, 0.2, 0.4, 0.443, 0.6, 1.1, 2.0f32] {
            let mut before = f32::INFINITY;
            let near = [threshold.next_down(), threshold, threshold.next_up()];
            let mut distances: Vec<f32> = (0..=200).map(|i| i as f32 / 100.0).chain(near).collect();
            distances.sort_by(f32::total_cmp);
            for distance in distances {
                let similarity = record.similarity_at(threshold, distance);
                assert_eq!(similarity >= 50.0, distance <= threshold, "{distance} at {threshold}: {similarity}");
                assert!((0.0..=100.0).contains(&similarity) && similarity <= before, "{distance} at {threshold}");
                before = similarity;
                for digits in 0..4 {
                    let shown: f32 = percent_text(similarity, digits).trim_end_matches('%').parse().unwrap();
                    assert_eq!(shown >= 50.0, distance <= threshold, "{distance} at {threshold}: {shown}");
                }
            }
        }
        assert_eq!(record.similarity_at(0.4, f32::NAN), 0.0);
        assert_eq!([0.0, 0.4, 2.0].map(|d| nearness(0.4, d)), [100.0, 50.0, 0.0]);
        assert!(nearness(0.4, 0.4f32.next_up()) < 50.0 && nearness(0.0, 0.0) >= 50.0 && nearness(2.0, 2.0) == 50.0);
    }

    #[test]
    fn at_the_midpoint_it_is_the_scale_of_the_record() {
        let record = record();
        for distance in [0.1, 0.39, 0.41, 1.5] {
            assert_eq!(record.similarity_at(record.midpoint, distance), record.similarity(distance));
            assert_eq!(record.similarity_interval_at(0.4, distance), record.similarity_interval(distance));
        }
    }
}
