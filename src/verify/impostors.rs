//! A calibration record held against faces of other people than those it was measured on: impostor pairs alone, which
//! any gallery has, since everybody in it is somebody else than all the others.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, OperatingPoint};
use super::jackknife::GroupedDistances;

/// False matches among a gallery's own faces at one threshold of the record.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateHere {
    /// The record's false-match rate at the threshold.
    pub record_fmr: f64,
    /// The threshold: Euclidean distance between unit vectors, 0 to 2.
    pub distance: f32,
    /// Impostor pairs at or below it here.
    pub below: u64,
    /// Their share of all impostor pairs here.
    pub fmr: f64,
    /// The 95% interval of that share, by a jackknife over groups of people; none where the people are too few. Where
    /// no pair is below, up to three in as many as there are pairs of people.
    pub interval: Option<(f64, f64)>,
}

/// A threshold that a gallery's own faces give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ThresholdHere {
    /// Share of the gallery's impostor pairs that it lets through, at most.
    pub fmr: f64,
    /// The threshold.
    pub distance: f32,
    /// Impostor pairs below it.
    pub below: u64,
}

/// Impostor pairs of a gallery, and what they say of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImpostorReport {
    /// The record that was held against them.
    pub calibration: String,
    /// People whose faces were compared.
    pub people: usize,
    /// Faces compared.
    pub faces: usize,
    /// Pairs of faces of two people.
    pub pairs: u64,
    /// At each of the record's thresholds.
    pub rates: Vec<RateHere>,
    /// The thresholds that the gallery itself gives, for each rate that rests on enough of its pairs.
    pub thresholds: Vec<ThresholdHere>,
    /// The pairs of people with the nearest faces: one person enrolled twice would be among them.
    pub nearest: Vec<NearPair>,
}

/// Two people of a gallery, and how near their nearest faces are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearPair {
    /// Name of the first.
    pub a: String,
    /// Name of the second.
    pub b: String,
    /// Distance of their nearest faces.
    pub distance: f32,
}

impl ImpostorReport {
    /// Holds `record` against measured impostor distances.
    pub(crate) fn of(
        record: &Calibration,
        (people, faces): (usize, usize),
        distances: &GroupedDistances,
        nearest: Vec<NearPair>,
    ) -> Self {
        let pairs = distances.impostor_pairs();
        let rate = |p: &OperatingPoint| {
            let below = distances.impostors_below(p.distance);
            let fmr = if pairs == 0 { 0.0 } else { below as f64 / pairs as f64 };
            RateHere {
                record_fmr: p.fmr,
                distance: p.distance,
                below,
                fmr,
                interval: match below {
                    // Groups without a pair do not differ. Rule of three, over pairs of people: faces of one are no new trials.
                    0 if people > 1 => Some((0.0, (3.0 / (people * (people - 1) / 2) as f64).min(1.0))),
                    _ => distances.impostor_interval(p.distance, fmr),
                },
            }
        };
        let threshold = |p: &OperatingPoint| {
            let (distance, below) = distances.impostor_threshold(p.fmr)?;
            Some(ThresholdHere { fmr: p.fmr, distance, below })
        };
        Self {
            calibration: record.id(),
            people,
            faces,
            pairs,
            rates: record.points.iter().map(rate).collect(),
            thresholds: record.points.iter().filter_map(threshold).collect(),
            nearest,
        }
    }

    /// How many times as often as the record says impostors match here: at the strictest of its thresholds that as many
    /// impostor pairs match at as a rate rests on. None where there is no such threshold.
    pub fn times_the_record(&self) -> Option<(RateHere, f64)> {
        let firm = self.rates.iter().rev().find(|r| r.below >= Calibration::LEAST_SUPPORT)?;
        Some((*firm, firm.fmr / firm.record_fmr))
    }

    /// The record with this gallery's thresholds in place of its own, where the gallery supports them. False non-match
    /// rates stay those of the record's genuine pairs: at each threshold that of the record's next stricter one.
    ///
    /// # Errors
    /// A sentence, where the gallery's pairs are too few for a threshold at [`Calibration::MIDPOINT_FMR`], or where its
    /// thresholds are stricter than all of the record's.
    pub fn record(&self, record: &Calibration, source: &str) -> Result<Calibration, String> {
        let mut points = Vec::new();
        for &ThresholdHere { fmr, distance, below } in &self.thresholds {
            // What was measured at a stricter threshold is at least as high here.
            let Some(known) = record.points.iter().find(|p| p.distance <= distance) else { break };
            points.push(OperatingPoint { fmr, distance, fnmr: known.fnmr, impostors_below: below });
        }
        let midpoint = points.iter().find(|p| p.fmr == Calibration::MIDPOINT_FMR).map(|p| p.distance);
        let midpoint = midpoint.ok_or_else(|| {
            let needed = Calibration::LEAST_SUPPORT as f64 / Calibration::MIDPOINT_FMR;
            format!(
                "{} pairs of faces of different people; a record needs {needed:.0}, and thresholds that are no stricter \
                 than all of the shipped record's",
                self.pairs
            )
        })?;
        let own = Calibration {
            source: source.to_string(),
            impostor_pairs: self.pairs,
            midpoint,
            points,
            replicates: None,
            alike: None,
            ..record.clone()
        };
        let text = serde_json::to_string(&own).map_err(|e| e.to_string())?;
        Calibration::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Distances, fit_calibration};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn impostor(rng: &mut ChaCha8Rng, centre: f32) -> f32 {
        centre + (0..6).map(|_| rng.random_range(-0.1..0.1f32)).sum::<f32>()
    }

    fn record() -> Calibration {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut distances = Distances::default();
        for a in 0..60 {
            for b in a..60 {
                for _ in 0..if a == b { 8 } else { 40 } {
                    distances.add(a, b, impostor(&mut rng, if a == b { 0.4 } else { 1.1 }));
                }
            }
        }
        fit_calibration("m/0123456789abcdef/test", "mtcnn", "drawn", distances, 0).unwrap()
    }

    fn gallery(centre: f32) -> ImpostorReport {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut distances = GroupedDistances::default();
        for a in 0..300 {
            for b in a + 1..300 {
                distances.add(a, b, impostor(&mut rng, centre));
            }
        }
        ImpostorReport::of(&record(), (300, 300), &distances, Vec::new())
    }

    #[test]
    fn people_like_the_records_match_as_often_as_it_says_and_others_more_often() {
        let (_, alike) = gallery(1.1).times_the_record().unwrap();
        assert!((0.5..2.0).contains(&alike), "{alike}");
        let nearer = gallery(1.05);
        let (at, times) = nearer.times_the_record().unwrap();
        assert!(times > 2.0 && at.below >= 30, "{times} {at:?}");
        let (low, high) = at.interval.unwrap();
        assert!(low < at.fmr && at.fmr < high);
        // Where no pair is below, the rate may still be above nought.
        let none = gallery(1.9);
        assert!(
            none.rates.iter().all(|r| r.below == 0 && r.interval == Some((0.0, 3.0 / 44_850.0))),
            "{:?}",
            none.rates
        );
    }

    #[test]
    fn a_record_of_the_gallery_has_its_thresholds_and_the_old_ones_genuine_pairs() {
        let (shipped, nearer) = (record(), gallery(1.09));
        let own = nearer.record(&shipped, "ours").unwrap();
        assert!(own.midpoint < shipped.midpoint);
        assert_eq!((own.genuine_pairs, own.impostor_pairs), (shipped.genuine_pairs, 300 * 299 / 2));
        let at = |r: &Calibration| r.at_fmr(1e-2).unwrap().fnmr;
        assert!(at(&own) >= at(&shipped));
        // Of few people there is none.
        let mut few = GroupedDistances::default();
        few.add(0, 1, 1.0);
        let report = ImpostorReport::of(&shipped, (2, 2), &few, Vec::new());
        assert!(report.record(&shipped, "ours").unwrap_err().contains("30000"));
        assert!(report.times_the_record().is_none());
    }
}
