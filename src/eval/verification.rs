//! Verification: judging a list of pairs with one model or several, side by side.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::acquire::{Failure, acquire, at_least_one, distance};
use super::folds::{CrossValidation, cross_validate};
use super::pairs::{Pair, PairList};
use super::scores::{BestThreshold, CurvePoint, EqualError, Histogram, Scores, TarAtFar};
use super::{EmbeddingCache, Machine};
use crate::engine::{Engine, FaceChoice};
use crate::error::{EvalError, Result};
use crate::media::Limits;
use crate::verify::{Calibration, OperatingPoint, Policy};

/// What every rate in a report rests on.
pub(super) const TREATMENT: &str = "A photo without a usable face is a failure to acquire. Its pairs stay in: at every \
     threshold a genuine pair with such a photo is a false non-match, an impostor pair a right rejection. So FNMR, \
     accuracy, EER and AUC bear the failures; d' and the histogram, which need a distance, are without them.";

/// Verification measured on a list of pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// The pairs, in a sentence.
    pub source: String,
    /// Genuine pairs.
    pub genuine_pairs: usize,
    /// Impostor pairs.
    pub impostor_pairs: usize,
    /// Different photos in them.
    pub photos: usize,
    /// Photos from which no embedding came.
    pub failures: Vec<Failure>,
    /// Genuine and impostor pairs that hold such a photo.
    pub pairs_with_failures: (usize, usize),
    /// How failures enter the rates.
    pub treatment: &'static str,
    /// Each model, in the order asked for.
    pub models: Vec<ModelVerification>,
    /// Seconds from the first photo to the last number.
    pub seconds: f64,
    /// Photos that came from the cache.
    pub from_cache: usize,
    /// Where it was measured.
    pub machine: Machine,
}

/// One model's error rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelVerification {
    /// What it was called by.
    pub name: String,
    /// Its id: architecture, first half of the weights' sha256, alignment.
    pub model: String,
    /// Numbers in an embedding.
    pub dimension: usize,
    /// The detector.
    pub detector: String,
    /// Accuracy over the folds.
    pub accuracy: CrossValidation,
    /// Threshold and accuracy when the threshold is chosen on these very pairs.
    pub best: BestThreshold,
    /// Equal error rate.
    pub equal_error: EqualError,
    /// Area under the ROC.
    pub area_under_roc: f64,
    /// Separation of the two kinds of pair.
    pub d_prime: Option<f64>,
    /// True accept rate at each false accept rate.
    pub tar_at_far: Vec<TarAtFar>,
    /// Error rates on these pairs at the calibrated default threshold, where the model has a calibration.
    pub at_default: Option<AtDefault>,
    /// How these pairs compare with the calibration record's, where the model has one.
    pub against_record: Option<AgainstRecord>,
    /// Both error rates over all thresholds.
    pub curve: Vec<CurvePoint>,
    /// Pairs by distance.
    pub histogram: Histogram,
    /// The worst mistakes at [`ModelVerification::best`]: genuine pairs farthest apart.
    pub worst_genuine: Vec<Mistake>,
    /// And impostor pairs nearest together.
    pub worst_impostor: Vec<Mistake>,
}

/// What the calibrated default threshold did here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtDefault {
    /// The calibration record.
    pub calibration: String,
    /// False-match rate that the threshold was calibrated to.
    pub calibrated_fmr: f64,
    /// The rates measured here.
    #[serde(flatten)]
    pub measured: CurvePoint,
    /// Share of pairs decided rightly.
    pub accuracy: f64,
}

/// Error rates of these pairs beside those that the calibration record states, at one of its thresholds: the default one
/// where enough impostor pairs match there, else the strictest where they do, else the default one all the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AgainstRecord {
    /// The threshold.
    pub distance: f32,
    /// False-match rate that the record states there.
    pub record_fmr: f64,
    /// And the false non-match rate.
    pub record_fnmr: f64,
    /// The false-match rate of these pairs.
    pub fmr: f64,
    /// And their false non-match rate.
    pub fnmr: f64,
    /// Impostor pairs that match.
    pub false_matches: u64,
    /// How many times as often as the record says impostors match; none where fewer than 30 do.
    pub times_fmr: Option<f64>,
    /// How many times as often genuine pairs are turned away; none where fewer than 30 are, or the record has none.
    pub times_fnmr: Option<f64>,
}

impl AgainstRecord {
    fn of(scores: &Scores, record: &Calibration) -> Option<Self> {
        let firm = |count: f64| count >= Calibration::LEAST_SUPPORT as f64;
        let (genuine, impostor) = (scores.genuine().len() as f64, scores.impostor().len() as f64);
        let matched = |p: &&OperatingPoint| (scores.at(p.distance).fmr * impostor).round();
        let default = record.at_fmr(Calibration::MIDPOINT_FMR).ok()?;
        let strictest = || record.points.iter().rev().find(|p| firm(matched(p)));
        let point = Some(default).filter(|p| firm(matched(p))).or_else(strictest).unwrap_or(default);
        let here = scores.at(point.distance);
        let false_matches = matched(&point);
        let turned_away = (here.fnmr * genuine).round();
        Some(Self {
            distance: point.distance,
            record_fmr: point.fmr,
            record_fnmr: point.fnmr,
            fmr: here.fmr,
            fnmr: here.fnmr,
            false_matches: false_matches as u64,
            times_fmr: firm(false_matches).then_some(here.fmr / point.fmr),
            times_fnmr: (firm(turned_away) && point.fnmr > 0.0).then(|| here.fnmr / point.fnmr),
        })
    }
}

/// A pair on the wrong side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mistake {
    /// The first photo.
    #[serde(serialize_with = "crate::files::as_text")]
    pub a: PathBuf,
    /// The second photo.
    #[serde(serialize_with = "crate::files::as_text")]
    pub b: PathBuf,
    /// Their distance.
    pub distance: f32,
}

/// How photos are looked at, and how much of the answer is told.
#[derive(Debug, Clone, Copy)]
pub struct VerificationSetup<'a> {
    /// Which face counts where a photo shows several.
    pub choice: FaceChoice,
    /// Bounds of a photo.
    pub limits: &'a Limits,
    /// Where embeddings are kept for the next time.
    pub cache: &'a EmbeddingCache,
    /// At most so many mistakes of either kind are named, the worst first.
    pub mistakes: usize,
}

/// Judges the pairs with every engine; `names` are what the engines' models were called by. `done` is called
/// after each photo.
///
/// # Errors
/// [`EvalError::TooLittle`] without pairs of both kinds; a device's error.
pub fn verification(
    engines: &[Engine],
    names: &[String],
    list: &PairList,
    setup: VerificationSetup<'_>,
    done: &(dyn Fn() + Sync),
) -> Result<Verification> {
    at_least_one(engines)?;
    let start = Instant::now();
    let acquired = acquire(engines, &list.photos, setup.choice, setup.limits, setup.cache, done)?;
    let mut models = Vec::with_capacity(engines.len());
    for ((engine, name), samples) in engines.iter().zip(names).zip(&acquired.samples) {
        let embedding = |photo: u32| samples[photo as usize].as_ref();
        let distances: Vec<f32> =
            list.pairs.iter().map(|p| distance(embedding(p.a), embedding(p.b))).collect::<Result<_>>()?;
        models.push(one_model(engine, name, list, &distances, setup.mistakes)?);
    }
    let genuine_pairs = list.pairs.iter().filter(|p| p.genuine).count();
    let lost = |genuine: bool| {
        let missing = |photo: u32| acquired.samples[0][photo as usize].is_none();
        list.pairs.iter().filter(|p| p.genuine == genuine && (missing(p.a) || missing(p.b))).count()
    };
    Ok(Verification {
        source: list.source.clone(),
        genuine_pairs,
        impostor_pairs: list.pairs.len() - genuine_pairs,
        photos: list.photos.len(),
        pairs_with_failures: (lost(true), lost(false)),
        failures: acquired.failures,
        treatment: TREATMENT,
        models,
        seconds: start.elapsed().as_secs_f64(),
        from_cache: acquired.from_cache,
        machine: Machine::of(&engines[0]),
    })
}

fn one_model(
    engine: &Engine,
    name: &str,
    list: &PairList,
    distances: &[f32],
    named: usize,
) -> Result<ModelVerification, EvalError> {
    let of = |genuine: bool| -> Vec<f32> {
        list.pairs.iter().zip(distances).filter(|(p, _)| p.genuine == genuine).map(|(_, &d)| d).collect()
    };
    let scores = Scores::new(of(true), of(false))?;
    let best = scores.best_threshold();
    let at_default = engine.judge(Policy::default()).ok().and_then(|judge| {
        let measured = scores.at(judge.threshold().distance);
        let right = scores.genuine().len() as f64 * (1.0 - measured.fnmr)
            + scores.impostor().len() as f64 * (1.0 - measured.fmr);
        Some(AtDefault {
            calibration: engine.calibration()?.id(),
            calibrated_fmr: judge.threshold().fmr?,
            measured,
            accuracy: right / list.pairs.len() as f64,
        })
    });
    let against_record = engine.calibration().and_then(|record| AgainstRecord::of(&scores, record));
    let (worst_genuine, worst_impostor) = mistakes(list, distances, best.distance, named);
    Ok(ModelVerification {
        name: name.to_string(),
        model: engine.model().to_string(),
        dimension: engine.dimension(),
        detector: engine.detector().to_string(),
        accuracy: cross_validate(&list.pairs, distances, list.folds)?,
        best,
        equal_error: scores.equal_error(),
        area_under_roc: scores.area_under_roc(),
        d_prime: scores.d_prime(),
        tar_at_far: scores.tar_at_far(),
        at_default,
        against_record,
        curve: scores.curve(),
        histogram: scores.histogram(),
        worst_genuine,
        worst_impostor,
    })
}

/// The worst of both kinds that a threshold decides wrongly; failures to acquire are listed elsewhere.
fn mistakes(list: &PairList, distances: &[f32], threshold: f32, named: usize) -> (Vec<Mistake>, Vec<Mistake>) {
    let wrong = |genuine: bool| -> Vec<(&Pair, f32)> {
        let both = list.pairs.iter().zip(distances).map(|(p, &d)| (p, d));
        both.filter(|(p, d)| p.genuine == genuine && d.is_finite() && (*d <= threshold) != genuine).collect()
    };
    let (mut genuine, mut impostor) = (wrong(true), wrong(false));
    genuine.sort_by(|a, b| b.1.total_cmp(&a.1));
    impostor.sort_by(|a, b| a.1.total_cmp(&b.1));
    let shown = |pairs: Vec<(&Pair, f32)>| -> Vec<Mistake> {
        let photo = |number: u32| list.photos[number as usize].clone();
        pairs.into_iter().take(named).map(|(p, distance)| Mistake { a: photo(p.a), b: photo(p.b), distance }).collect()
    };
    (shown(genuine), shown(impostor))
}
