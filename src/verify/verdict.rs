//! Verdicts: same person or different, with the evidence.

use serde::Serialize;

use super::Threshold;
use super::calibration::Calibration;
use crate::error::{Error, RefusalError};
use crate::vector::{Embedding, ModelId};

/// Where the line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Policy {
    /// At the calibrated threshold whose false-match rate is at most this, above 0 and below 1.
    MaxFmr(f64),
    /// As [`Policy::MaxFmr`]; but below the rates that were measured the threshold is continued along the last
    /// decade of points, as in a search, and the verdict says so.
    ContinuedFmr(f64),
    /// At this Euclidean distance between unit vectors, above 0 and at most 2.
    Distance(f32),
}

impl Default for Policy {
    /// One impostor in a thousand.
    fn default() -> Self {
        Self::MaxFmr(Calibration::MIDPOINT_FMR)
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// At or below the threshold.
    Same,
    /// Above the threshold.
    Different,
}

/// A decision and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Same person or different.
    pub decision: Decision,
    /// Euclidean distance between the unit vectors, 0 to 2.
    pub distance: f32,
    /// Cosine between them, -1 to 1.
    pub cosine: f32,
    /// Similarity in percent, 0 to 100, 50 or more exactly where the decision is [`Decision::Same`]:
    /// [`Calibration::similarity_at`]. None where the model has no calibration.
    pub similarity: Option<f32>,
    /// Its 95% interval, were the line drawn at the same rate, over the people that the scale was measured on, where the calibration knows it.
    pub similarity_interval: Option<(f32, f32)>,
    /// Where the line was drawn, and what it rests on.
    pub threshold: Threshold,
    /// Smallest calibrated false-match rate at which this pair would still pass, if at any.
    pub passes_at_fmr: Option<f64>,
    /// The model of the embeddings.
    pub model: ModelId,
    /// The calibration record, where one was used.
    pub calibration: Option<String>,
}

/// Decides for one model under one policy.
#[derive(Debug, Clone)]
pub struct Judge {
    calibration: Option<Calibration>,
    calibration_id: Option<String>,
    threshold: Threshold,
    model: ModelId,
}

impl Judge {
    /// A judge for embeddings of `model`.
    ///
    /// # Errors
    /// [`RefusalError::NotCalibrated`] for a rate without a calibration,
    /// [`RefusalError::WrongCalibration`] when the record is another model's,
    /// [`RefusalError::Unsupported`] for a rate that it does not support,
    /// [`RefusalError::InvalidThreshold`] for numbers out of range.
    pub fn new(model: &ModelId, calibration: Option<&Calibration>, policy: Policy) -> Result<Self, RefusalError> {
        if let Some(c) = calibration.filter(|c| c.model != model.as_str()) {
            return Err(RefusalError::WrongCalibration { calibrated: c.model.clone(), model: model.to_string() });
        }
        let known = || calibration.ok_or_else(|| RefusalError::NotCalibrated { model: model.to_string() });
        let (distance, fmr, extrapolated) = match policy {
            Policy::MaxFmr(rate) => {
                let point = known()?.at_fmr(rate)?;
                (point.distance, Some(point.fmr), false)
            }
            Policy::ContinuedFmr(rate) => {
                // The threshold of one comparison is that of a search among one face.
                let t = known()?.for_search(rate, 1)?;
                let fmr = if t.extrapolated { rate } else { known()?.at_fmr(rate)?.fmr };
                (t.distance, Some(fmr), t.extrapolated)
            }
            Policy::Distance(distance) if distance > 0.0 && distance <= 2.0 => {
                (distance, calibration.and_then(|c| c.fmr_of(distance)), false)
            }
            Policy::Distance(distance) => {
                return Err(RefusalError::InvalidThreshold {
                    option: "threshold",
                    received: f64::from(distance),
                    expected: "a distance above 0 and at most 2",
                });
            }
        };
        Ok(Self {
            calibration: calibration.cloned(),
            calibration_id: calibration.map(Calibration::id),
            threshold: Threshold { fmr, extrapolated, ..Threshold::at(distance) },
            model: model.clone(),
        })
    }

    /// Where the line is drawn, and what it rests on.
    pub fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// Judges two embeddings.
    ///
    /// # Errors
    /// [`crate::error::ModelError::MixedModels`] when either is of another model than the judge's.
    pub fn judge(&self, a: &Embedding, b: &Embedding) -> Result<Verdict, Error> {
        if let Some(other) = [a, b].into_iter().find(|e| *e.model() != self.model) {
            return Err(crate::error::ModelError::MixedModels {
                left: self.model.to_string(),
                right: other.model().to_string(),
            }
            .into());
        }
        let (distance, cosine) = (a.distance(b)?, a.cosine(b)?);
        // Written so that a distance that is not a number is never a match.
        let decision = if distance <= self.threshold.distance { Decision::Same } else { Decision::Different };
        Ok(Verdict {
            decision,
            distance,
            cosine,
            similarity: self.calibration.as_ref().map(|c| c.similarity_at(self.threshold.distance, distance)),
            similarity_interval: {
                self.calibration.as_ref().and_then(|c| c.similarity_interval_at(self.threshold.distance, distance))
            },
            threshold: self.threshold,
            passes_at_fmr: self.calibration.as_ref().and_then(|c| c.fmr_of(distance)),
            model: self.model.clone(),
            calibration: self.calibration_id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::record;
    use super::*;

    fn at_distance(distance: f32) -> (Embedding, Embedding) {
        let angle = 2.0 * (distance / 2.0).asin();
        let model = ModelId::from_text("m/abc/test");
        let unit = |a: f32| Embedding::from_raw(vec![a.cos(), a.sin()], model.clone()).unwrap();
        (unit(0.0), unit(angle))
    }

    #[test]
    fn the_threshold_parts_same_from_different() {
        let record = record();
        let model = ModelId::from_text("m/abc/test");
        let judge = Judge::new(&model, Some(&record), Policy::default()).unwrap();
        let decide = |d: f32| {
            let (a, b) = at_distance(d);
            judge.judge(&a, &b).unwrap()
        };
        let near = decide(0.39);
        assert_eq!((near.decision, near.threshold.fmr), (Decision::Same, Some(1e-3)));
        assert!(near.similarity.unwrap() > 50.0);
        assert_eq!(near.calibration, Some(record.id()));
        let far = decide(0.41);
        assert_eq!((far.decision, far.passes_at_fmr), (Decision::Different, Some(1e-2)));
        assert!(far.similarity.unwrap() < 50.0);
    }

    #[test]
    fn beyond_the_measured_rates_only_who_asks_gets_a_threshold_and_it_is_marked() {
        let (record, model) = (record(), ModelId::from_text("m/abc/test"));
        let judge = |policy| Judge::new(&model, Some(&record), policy);
        assert!(matches!(judge(Policy::MaxFmr(1e-5)), Err(RefusalError::Unsupported { .. })));
        let (a, b) = at_distance(0.19);
        let beyond = judge(Policy::ContinuedFmr(1e-5)).unwrap().judge(&a, &b).unwrap();
        assert!(beyond.threshold.extrapolated && beyond.threshold.fmr == Some(1e-5));
        // A tenth a decade, two decades beyond the last point at 0.4.
        assert!((beyond.threshold.distance - 0.2).abs() < 1e-3 && beyond.decision == Decision::Same);
        let within = judge(Policy::ContinuedFmr(2e-3)).unwrap().judge(&a, &b).unwrap();
        assert_eq!(within.threshold, Threshold { fmr: Some(1e-3), ..Threshold::at(0.4) });
        assert!(judge(Policy::ContinuedFmr(0.0)).is_err() && judge(Policy::ContinuedFmr(f64::NAN)).is_err());
    }

    #[test]
    fn without_a_calibration_only_a_distance_decides() {
        let model = ModelId::from_text("m/abc/test");
        assert!(matches!(Judge::new(&model, None, Policy::default()), Err(RefusalError::NotCalibrated { .. })));
        let judge = Judge::new(&model, None, Policy::Distance(0.5)).unwrap();
        let (a, b) = at_distance(0.4);
        let verdict = judge.judge(&a, &b).unwrap();
        assert_eq!((verdict.decision, verdict.threshold), (Decision::Same, Threshold::at(0.5)));
        assert_eq!(verdict.similarity, None, "percent are calibrated or none");
        for bad in [0.0, -0.1, 2.1, f32::NAN] {
            assert!(Judge::new(&model, None, Policy::Distance(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_models_calibration_or_embedding_is_refused() {
        let other = ModelId::from_text("other/abc/test");
        let refused = Judge::new(&other, Some(&record()), Policy::default());
        assert!(matches!(refused, Err(RefusalError::WrongCalibration { .. })));
        let judge = Judge::new(&other, None, Policy::Distance(0.5)).unwrap();
        let (a, b) = at_distance(0.1);
        assert_eq!(judge.judge(&a, &b).unwrap_err().code(), "model.mixed_models");
    }
}
