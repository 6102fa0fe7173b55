//! What is known of a model's errors: thresholds for false-match rates, and the similarity scale.
//!
//! Terms as in ISO/IEC 19795-1: a genuine pair shows one person, an impostor pair two; FMR is the
//! share of impostor pairs below the threshold, FNMR the share of genuine pairs above it.
//!
//! Invariants, checked by [`Calibration::parse`]:
//! 1. points stand in order of falling FMR, and no later point has a larger distance;
//! 2. every point rests on at least [`Calibration::LEAST_SUPPORT`] impostor pairs below its distance
//!    (the "rule of 30": G. Doddington et al., "The NIST speaker recognition evaluation", 2000);
//! 3. the similarity scale falls with distance, and is half at the point of [`Calibration::MIDPOINT_FMR`] where there
//!    is that point;
//! 4. rates and counts say the same: the impostor pairs below a point are at most its share of all and not far from
//!    it ([`TIES`]), its FNMR is a whole number of genuine pairs, and counts, distances and FNMR go from point to
//!    point as they must when a threshold gets stricter;
//! 5. of people who are alike there are two groups or more, with multiples of the rate that lie between the least and
//!    the most;
//! 6. the least length of an embedder's output is a length;
//! 7. where there are replicates, there are two or more, of finite numbers, with rates for every point that are of
//!    the size of the point's own.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::alike::AlikeGroups;
use super::replicate::{Replicate, reach};
use crate::error::RefusalError;

/// Equal distances cannot be parted by a threshold, so a point may rest on fewer impostor pairs than its rate allows:
/// on this share of them, at least.
const TIES: f64 = 0.5;
/// How many times the rates of replicates may be above or below the rate of all pairs, in the mean.
const REPLICATES_APART: f64 = 4.0;

/// A threshold and the error rates measured at it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Share of impostor pairs that the threshold lets through, at most.
    pub fmr: f64,
    /// The threshold: Euclidean distance between unit vectors, 0 to 2.
    pub distance: f32,
    /// Share of genuine pairs that it turns away.
    pub fnmr: f64,
    /// Impostor pairs at or below it: the count that the rate rests on.
    pub impostors_below: u64,
}

/// A model's calibration record, as it stands in its JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Format of the record.
    pub version: u32,
    /// The model that it holds for, and for no other.
    pub model: String,
    /// The detector whose landmarks and boxes the chips were cut by; a record without it is of `mtcnn`.
    /// Another detector's faces lie a little otherwise in their chips, and so do the distances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// Which photos it was measured on, and how.
    pub source: String,
    /// Genuine pairs measured.
    pub genuine_pairs: u64,
    /// Impostor pairs measured.
    pub impostor_pairs: u64,
    /// Photos in which no face was found; they are in no pair.
    pub failures_to_acquire: u64,
    /// Distance at which similarity is 50%: the threshold at FMR [`Calibration::MIDPOINT_FMR`].
    pub midpoint: f32,
    /// Steepness of the similarity scale, per unit of distance.
    pub slope: f32,
    /// The operating points.
    pub points: Vec<OperatingPoint>,
    /// The measurement without one group of people each: what the bounds of scale and rates are made of.
    /// None in records of fewer people than groups, and in those of before there were bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicates: Option<Vec<Replicate>>,
    /// How much more often false matches happen among people who are alike; none where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alike: Option<AlikeGroups>,
    /// Length of the embedder's output that a share of [`Calibration::UNCLEAR`] of the faces are below: a shorter one is
    /// not enrolled when nothing else is said. None where there were too few faces, and in records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_length: Option<f32>,
}

impl Calibration {
    /// The record format that this program writes and reads.
    pub const VERSION: u32 = 1;
    /// The detector of records that name none: the only one when the first were made.
    pub const FIRST_DETECTOR: &str = "mtcnn";
    /// FMR of the threshold at which similarity is 50%.
    pub const MIDPOINT_FMR: f64 = 1e-3;
    /// Share of genuine pairs that may lie farther apart than what is taken for one person's faces without asking.
    pub const MOST_APART: f64 = 1e-2;
    /// Share of the measured faces of which the embedder makes too little to enrol them by.
    pub const UNCLEAR: f64 = 1e-2;
    /// Impostor pairs that an operating point must rest on.
    pub const LEAST_SUPPORT: u64 = 30;

    /// Reads a record and checks its invariants; the error is a sentence that names the fault.
    pub fn parse(json: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(json).map_err(|e| e.to_string())?;
        record.check().map(|()| record)
    }

    /// The detector that it was measured behind.
    pub fn detector(&self) -> &str {
        self.detector.as_deref().unwrap_or(Self::FIRST_DETECTOR)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != Self::VERSION {
            return Err(format!("record version is {}, this program reads {}", self.version, Self::VERSION));
        }
        if self.points.is_empty() {
            return Err("no operating point".to_string());
        }
        if self.genuine_pairs == 0 || self.impostor_pairs == 0 {
            return Err("it rests on no genuine pair, or on no impostor pair".to_string());
        }
        if !(self.midpoint.is_finite() && self.slope.is_finite() && self.slope > 0.0) {
            return Err(format!("midpoint {} and slope {} make no falling scale", self.midpoint, self.slope));
        }
        self.points.iter().try_for_each(|point| self.check_point(point))?;
        for pair in self.points.windows(2) {
            let (wide, strict) = (&pair[0], &pair[1]);
            if strict.fmr >= wide.fmr || strict.distance > wide.distance {
                return Err(format!("operating points out of order: {pair:?}"));
            }
            let same = strict.distance == wide.distance;
            if strict.impostors_below > wide.impostors_below
                || strict.fnmr < wide.fnmr
                || same && (strict.impostors_below, strict.fnmr) != (wide.impostors_below, wide.fnmr)
            {
                return Err(format!("a stricter threshold lets more through, or turns fewer away: {pair:?}"));
            }
        }
        if let Some(point) = self.points.iter().find(|p| p.fmr == Self::MIDPOINT_FMR && p.distance != self.midpoint) {
            return Err(format!("midpoint {} is not the threshold of {point:?}", self.midpoint));
        }
        if let Some(least) = self.least_length.filter(|least| !(least.is_finite() && *least >= 0.0)) {
            return Err(format!("{least} is no length of a vector"));
        }
        self.alike.as_ref().and_then(AlikeGroups::fault).map_or(Ok(()), Err)?;
        self.replicates.as_ref().map_or(Ok(()), |replicates| self.check_replicates(replicates))
    }

    fn check_point(&self, point: &OperatingPoint) -> Result<(), String> {
        if !(point.fmr > 0.0 && point.fmr < 1.0 && (0.0..=2.0).contains(&point.distance)) {
            return Err(format!("operating point out of range: {point:?}"));
        }
        if point.impostors_below < Self::LEAST_SUPPORT {
            return Err(format!("operating point rests on too few impostor pairs: {point:?}"));
        }
        let share = point.fmr * self.impostor_pairs as f64;
        let below = point.impostors_below as f64;
        // What is at most the share, and written in decimal.
        if below > share * (1.0 + 1e-9) + 1e-6 || below < share.floor() * TIES {
            return Err(format!(
                "rate and count contradict each other: {} of {} impostor pairs are {:.3e}, not {:e}: {point:?}",
                point.impostors_below,
                self.impostor_pairs,
                below / self.impostor_pairs as f64,
                point.fmr,
            ));
        }
        let refused = point.fnmr * self.genuine_pairs as f64;
        if !(0.0..=1.0).contains(&point.fnmr) || (refused - refused.round()).abs() > 1e-6 * refused.max(1.0) {
            return Err(format!(
                "rate and count contradict each other: an FNMR of {:e} is no whole number of {} genuine pairs: {point:?}",
                point.fnmr, self.genuine_pairs,
            ));
        }
        Ok(())
    }

    fn check_replicates(&self, replicates: &[Replicate]) -> Result<(), String> {
        let points = self.points.len();
        let sound = |r: &Replicate| {
            let rates = r.fmr.len() == points && r.fnmr.len() == points;
            let share = |rate: &f64| (0.0..=1.0).contains(rate);
            rates && r.fmr.iter().chain(&r.fnmr).all(share) && r.midpoint.is_finite() && r.slope.is_finite()
        };
        if replicates.len() < 2 || !replicates.iter().all(sound) {
            return Err("replicates do not fit the operating points".to_string());
        }
        let count = replicates.len() as f64;
        for (i, point) in self.points.iter().enumerate() {
            // A pair is left out of two replicates at most, so that the mean of many is near the whole.
            let measured = point.impostors_below as f64 / self.impostor_pairs as f64;
            let mean = replicates.iter().map(|r| r.fmr[i]).sum::<f64>() / count;
            let least = measured * (count - 2.0) / count / REPLICATES_APART;
            let few = Self::LEAST_SUPPORT as f64 / self.impostor_pairs as f64;
            if !(least..=measured * REPLICATES_APART + few).contains(&mean) {
                return Err(format!("replicates contradict the rate: their mean FMR is {mean:.3e}, of {point:?}"));
            }
        }
        Ok(())
    }

    /// Name of the record: twelve hex digits of the sha256 of its content.
    pub fn id(&self) -> String {
        // Every answer names it, and to write the record out takes as long as a search: the last one asked is kept,
        // with the record itself, so that a changed record is another.
        static LAST: RwLock<Option<(Calibration, String)>> = RwLock::new(None);
        let kept = LAST.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, id)) = kept.as_ref().filter(|(record, _)| record == self) {
            return id.clone();
        }
        drop(kept);
        let id = self.digest();
        *LAST.write().unwrap_or_else(PoisonError::into_inner) = Some((self.clone(), id.clone()));
        id
    }

    fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        let content = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(content).iter().take(6).map(|b| format!("{b:02x}")).collect()
    }

    /// The operating point to use for `max_fmr`: the one with the highest rate that does not exceed it.
    ///
    /// # Errors
    /// [`RefusalError::Unsupported`] for a rate below what the record rests on,
    /// [`RefusalError::InvalidThreshold`] for a rate that is none.
    pub fn at_fmr(&self, max_fmr: f64) -> Result<&OperatingPoint, RefusalError> {
        if !(max_fmr > 0.0 && max_fmr < 1.0) {
            return Err(RefusalError::InvalidThreshold {
                option: "max-fmr",
                received: max_fmr,
                expected: "above 0 and below 1",
            });
        }
        // A rate typed in decimal and the record's own may differ in the last bit.
        let allowed = max_fmr * (1.0 + 1e-9);
        self.points.iter().find(|p| p.fmr <= allowed).ok_or_else(|| RefusalError::Unsupported {
            requested: max_fmr,
            supported: self.points.last().map_or(1.0, |p| p.fmr),
            impostors: self.impostor_pairs,
        })
    }

    /// The smallest calibrated false-match rate at which `distance` would still pass; `None` when it
    /// passes at none.
    pub fn fmr_of(&self, distance: f32) -> Option<f64> {
        self.points.iter().rev().find(|p| distance <= p.distance).map(|p| p.fmr)
    }

    /// The strictest measured threshold that turns at most that share of genuine pairs away; the widest where each
    /// turns more away.
    pub fn farthest_apart(&self, most_fnmr: f64) -> f32 {
        let kept = self.points.iter().rev().find(|p| p.fnmr <= most_fnmr);
        kept.or(self.points.first()).map_or(2.0, |p| p.distance)
    }

    /// Similarity in percent, 0 to 100, where no decision stands beside it (else [`Calibration::similarity_at`]): falls
    /// with distance, 50 at [`Calibration::midpoint`].
    pub fn similarity(&self, distance: f32) -> f32 {
        percent(log_odds(self.midpoint, self.slope, distance))
    }

    /// Where the similarity would lie, 95 times in 100, had the record been measured on other people of the
    /// same kind: lower and upper bound in percent. `None` where the record does not say.
    pub fn similarity_interval(&self, distance: f32) -> Option<(f32, f32)> {
        let replicates = self.replicates.as_ref()?;
        let reach = reach(replicates.iter().map(|r| log_odds(r.midpoint, r.slope, distance)));
        let middle = log_odds(self.midpoint, self.slope, distance);
        Some((percent(middle - reach), percent(middle + reach)))
    }

    /// The 95% intervals of FMR and FNMR at operating point number `i`, likewise.
    pub fn rate_intervals(&self, i: usize) -> Option<[(f64, f64); 2]> {
        let (replicates, point) = (self.replicates.as_ref()?, self.points.get(i)?);
        let about = |rate: f64, reach: f64| ((rate - reach).max(0.0), (rate + reach).min(1.0));
        let measured = point.impostors_below as f64 / self.impostor_pairs as f64;
        Some([
            about(measured, reach(replicates.iter().map(|r| r.fmr[i]))),
            about(point.fnmr, reach(replicates.iter().map(|r| r.fnmr[i]))),
        ])
    }
}

/// Logarithm of the odds of one person.
pub(super) fn log_odds(midpoint: f32, slope: f32, distance: f32) -> f64 {
    f64::from(slope) * (f64::from(midpoint) - f64::from(distance))
}

pub(super) fn percent(log_odds: f64) -> f32 {
    (100.0 / (1.0 + (-log_odds).exp())) as f32
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn record() -> Calibration {
        let point = |fmr, distance, fnmr, impostors_below| OperatingPoint { fmr, distance, fnmr, impostors_below };
        Calibration {
            version: 1,
            model: "m/abc/test".to_string(),
            detector: None,
            source: "made up".to_string(),
            genuine_pairs: 1000,
            impostor_pairs: 100_000,
            failures_to_acquire: 0,
            midpoint: 0.4,
            slope: 20.0,
            replicates: None,
            alike: None,
            least_length: Some(3.0),
            points: vec![point(1e-1, 0.6, 0.0, 10_000), point(1e-2, 0.5, 0.01, 1000), point(1e-3, 0.4, 0.05, 100)],
        }
    }

    #[test]
    fn an_id_is_of_the_content_whoever_asked_before() {
        let (one, two) = (record(), Calibration { source: "elsewhere".to_string(), ..record() });
        for _ in 0..2 {
            assert_eq!((one.id(), two.id()), (one.digest(), two.digest()));
        }
        let mut changed = one.clone();
        changed.slope *= 2.0;
        assert!(changed.id() != one.id() && changed.id() == changed.digest());
    }

    #[test]
    fn a_rate_between_two_points_takes_the_stricter() {
        let c = record();
        assert_eq!(c.at_fmr(1e-2).unwrap().distance, 0.5);
        assert_eq!(c.at_fmr(0.05).unwrap().distance, 0.5);
        assert_eq!(c.at_fmr(0.5).unwrap().distance, 0.6);
        assert!(matches!(c.at_fmr(1e-4), Err(RefusalError::Unsupported { .. })));
        for bad in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(c.at_fmr(bad), Err(RefusalError::InvalidThreshold { .. })), "{bad}");
        }
    }

    #[test]
    fn one_persons_faces_are_as_far_apart_as_few_genuine_pairs_are() {
        let c = record();
        assert_eq!([0.05, 0.03, 0.01, 0.001].map(|share| c.farthest_apart(share)), [0.4, 0.5, 0.5, 0.6]);
        let poor = Calibration { points: c.points[1..].to_vec(), ..c };
        assert_eq!(poor.farthest_apart(0.001), 0.5, "the widest that there is");
    }

    #[test]
    fn evidence_names_the_strictest_rate_passed() {
        let c = record();
        assert_eq!(c.fmr_of(0.3), Some(1e-3));
        assert_eq!(c.fmr_of(0.45), Some(1e-2));
        assert_eq!(c.fmr_of(0.7), None);
    }

    #[test]
    fn similarity_is_half_at_the_midpoint_and_falls() {
        let c = record();
        assert_eq!(c.similarity(0.4), 50.0);
        let scale: Vec<f32> = (0..=20).map(|i| c.similarity(i as f32 / 10.0)).collect();
        assert!(scale.windows(2).all(|w| w[1] < w[0] || w[1] < 1e-4));
        assert!(scale[0] > 99.0 && scale[20] >= 0.0);
    }

    #[test]
    fn a_record_that_breaks_an_invariant_is_refused() {
        let json = |c: &Calibration| serde_json::to_string(c).unwrap();
        assert_eq!(Calibration::parse(&json(&record())).unwrap(), record());
        let replicate =
            Replicate { midpoint: 0.4, slope: 20.0, fmr: vec![0.11, 0.01, 0.0009], fnmr: vec![0.0, 0.01, 0.05] };
        let with = Calibration { replicates: Some(vec![replicate; 20]), ..record() };
        assert_eq!(Calibration::parse(&json(&with)).unwrap(), with);
        let broken: [fn(&mut Calibration); 24] = [
            |c| c.least_length = Some(-1.0),
            |c| c.replicates.as_mut().unwrap()[0].fmr.truncate(2),
            |c| c.replicates = Some(vec![]),
            |c| c.version = 2,
            |c| c.points.clear(),
            |c| c.points.swap(0, 1),
            |c| c.points[2].distance = 0.55,
            |c| c.points[2].impostors_below = 29,
            |c| c.slope = -1.0,
            |c| c.points[0].fmr = 1.0,
            // Rates that the counts contradict, and the other way round.
            |c| c.points.iter_mut().for_each(|p| p.fmr /= 1e6),
            |c| c.points[2].fmr /= 1.01,
            |c| c.points[2].fmr *= 3.0,
            |c| c.impostor_pairs /= 10,
            |c| c.impostor_pairs *= 10,
            |c| c.impostor_pairs = 0,
            |c| c.points[1].impostors_below = 1001,
            |c| c.points[1].impostors_below = 499,
            |c| c.points.iter_mut().for_each(|p| p.fnmr /= 1e6),
            |c| c.genuine_pairs = 0,
            |c| c.points[2].fnmr = 0.005,
            |c| c.points[2].distance = 0.5,
            |c| c.midpoint = 0.41,
            |c| c.replicates.as_mut().unwrap().iter_mut().for_each(|r| r.fmr[1] /= 1e6),
        ];
        for (i, break_it) in broken.iter().enumerate() {
            let mut c = with.clone();
            break_it(&mut c);
            assert!(Calibration::parse(&json(&c)).is_err(), "case {i}");
        }
        assert!(Calibration::parse("{").is_err());
        assert_ne!(record().id(), Calibration { slope: 21.0, ..record() }.id());
    }
}
