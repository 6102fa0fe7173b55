//! Which measure of a picture tells beforehand that its comparisons will go wrong: error-versus-discard curves as in
//! ISO/IEC 29794-1. The threshold stays where it is; the photos that a measure likes least are discarded, more and more
//! of them, and the false non-match rate of the pairs that are left is what a measure is worth: one that tells nothing
//! leaves the rate as it is.
//!
//! All photos of all people are held against one another. The spread is a jackknife over folds of people.

use rayon::prelude::*;
use serde::Serialize;

use super::Person;
use super::acquire::Failure;
use super::alignment::mean_and_spread;
use super::people::numbered;
use crate::detect::Detection;
use crate::engine::{Engine, FaceChoice};
use crate::error::{Error, EvalError, RefusalError, Result};
use crate::geometry::FaceQuality;
use crate::media::{Limits, Photo};
use crate::vector::Embedding;
use crate::verify::operating_point;

/// Photos are discarded in steps of this share.
pub const DISCARD_STEP: f64 = 0.005;
/// Steps: up to half of the photos.
const STEPS: usize = 100;
/// Up to this share a measure's worth is averaged: nobody throws more away.
const WORTH_TO: f64 = 0.2;

/// The measures, by name, and what of a face each is; the higher the better.
type Measure = (&'static str, fn(&Sample) -> f32);
const MEASURES: [Measure; 9] = [
    ("embedding length", length),
    ("detector's score", |s| s.score),
    ("eye distance", |s| s.quality.eye_distance),
    ("sharpness", |s| s.quality.sharpness),
    ("brightness, from the middle", |s| -(s.quality.brightness - 0.5).abs()),
    ("yaw", |s| -s.quality.yaw.abs()),
    ("pitch", |s| -s.quality.pitch.abs()),
    ("nothing covered", |s| s.quality.cover.map_or(0.0, |c| -c.mouth_covered.max(c.eyes_covered))),
    ("upright", |s| s.quality.cover.map_or(0.0, |c| -c.inverted)),
];

fn length(sample: &Sample) -> f32 {
    sample.quality.embedding_length.unwrap_or_default()
}

/// Rates of the pairs that are left once a share of the photos is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DiscardPoint {
    /// Share of the photos that is discarded, 0 to 0.5.
    pub discarded: f64,
    /// False non-match rate of what is left; none where no genuine pair is.
    pub fnmr: Option<f64>,
    /// False-match rate of what is left; none where no impostor pair is.
    pub fmr: Option<f64>,
}

/// One measure's error-versus-discard curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiscardCurve {
    /// Name of the measure.
    pub measure: &'static str,
    /// The curve, from nothing discarded on.
    pub points: Vec<DiscardPoint>,
    /// Mean false non-match rate from 0 to 20% discarded, as a share of that of all photos: 1 for a measure that tells
    /// nothing, less for a better one; with its standard error. None where no genuine pair is turned away.
    pub worth: Option<(f64, f64)>,
}

/// What the bounds of enrolment do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GateRates {
    /// Share of the photos that would not be enrolled.
    pub refused: f64,
    /// False non-match rate of the pairs of two that would be.
    pub fnmr: Option<f64>,
    /// False-match rate of the pairs of two that would be.
    pub fmr: Option<f64>,
}

/// Error-versus-discard curves of every measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityReport {
    /// The model.
    pub model: String,
    /// Whose faces they are.
    pub detector: String,
    /// Photos in which a face was found.
    pub photos: usize,
    /// Photos without one, or that cannot be read.
    pub failures: Vec<Failure>,
    /// People.
    pub people: usize,
    /// The threshold, and the false-match rate of all pairs there.
    pub distance: f32,
    /// See `distance`.
    pub fmr: f64,
    /// The false non-match rate of all pairs there.
    pub fnmr: f64,
    /// The curves, the best measure first.
    pub curves: Vec<DiscardCurve>,
    /// The bounds that enrolment has when nothing is said.
    pub gate: GateRates,
}

/// A face, and all that is measured of it.
struct Sample {
    person: usize,
    embedding: Embedding,
    score: f32,
    quality: FaceQuality,
}

/// Pairs left and wrong, by kind: `[genuine, missed, impostor, matched]`.
type Tally = [u64; 4];

/// Holds every photo of those people against every other, at the threshold at which a share of `fmr` of the impostor
/// pairs match; people are dealt to `folds` folds for the spread. `done` is called after each photo. The face of a photo
/// is the one nearest its centre.
///
/// # Errors
/// [`EvalError::TooLittle`] where the people are too few for the rate, and a device's errors.
pub fn quality(
    engine: &Engine,
    people: &[Person],
    folds: usize,
    fmr: f64,
    limits: &Limits,
    done: &(dyn Fn() + Sync),
) -> Result<QualityReport> {
    let folds = folds.clamp(2, people.len().max(2));
    let photos = numbered(people);
    let measured = |&(person, path): &(usize, &std::path::Path)| {
        let sample = sample(engine, person, path, limits);
        done();
        sample
    };
    let seen: Vec<Result<Sample, Failure>> = photos.par_iter().map(measured).collect::<Result<_>>()?;
    let (mut samples, mut failures) = (Vec::with_capacity(photos.len()), Vec::new());
    for seen in seen {
        match seen {
            Ok(sample) => samples.push(sample),
            Err(failure) => failures.push(failure),
        }
    }
    let (genuine, impostor) = distances(&samples)?;
    let threshold = operating_point(fmr, &genuine, &impostor).ok_or_else(|| EvalError::TooLittle {
        reason: format!(
            "{} impostor and {} genuine pairs are too few for a false-match rate of {fmr:e}; ask for a larger one",
            impostor.len(),
            genuine.len()
        ),
    })?;
    let mut curves: Vec<DiscardCurve> = MEASURES
        .iter()
        .map(|(name, of)| curve(name, &steps(&samples, *of), &samples, folds, threshold.distance))
        .collect::<Result<_>>()?;
    curves.sort_by(|a, b| a.worth.map_or(1.0, |w| w.0).total_cmp(&b.worth.map_or(1.0, |w| w.0)));
    let refused: Vec<usize> = samples.iter().map(|s| usize::from(engine.refusal(&s.quality).is_none())).collect();
    let [genuine, missed, impostor, matched] = tallies(&samples, &refused, 2, 1, threshold.distance)?[0][1];
    Ok(QualityReport {
        model: engine.model().to_string(),
        detector: engine.detector().to_string(),
        photos: samples.len(),
        failures,
        people: people.len(),
        distance: threshold.distance,
        fmr: threshold.fmr,
        fnmr: threshold.fnmr,
        curves,
        gate: GateRates {
            refused: refused.iter().filter(|kept| **kept == 0).count() as f64 / samples.len() as f64,
            fnmr: share(missed, genuine),
            fmr: share(matched, impostor),
        },
    })
}

/// What is seen on a photo, or why nothing is.
fn sample(engine: &Engine, person: usize, path: &std::path::Path, limits: &Limits) -> Result<Result<Sample, Failure>> {
    let seen = || -> Result<Sample> {
        let photo = Photo::open_with(path, limits)?;
        let face: Detection = engine.find_one(&photo, FaceChoice::Central)?;
        let chips = engine.chips(&photo, &[face])?;
        let (embedding, length) = engine.embed_with_lengths(&chips)?.remove(0);
        let mut quality = engine.measured(photo.raster(), &chips[0], &face)?;
        quality.embedding_length = Some(length);
        Ok(Sample { person, embedding, score: face.score, quality })
    };
    match seen() {
        Ok(sample) => Ok(Ok(sample)),
        Err(e @ (Error::Photo(_) | Error::Refusal(RefusalError::NoFace { .. }))) => {
            Ok(Err(Failure { photo: path.to_path_buf(), code: e.code(), message: e.to_string() }))
        }
        Err(e) => Err(e),
    }
}

/// Distances of all genuine and of all impostor pairs, rising.
fn distances(samples: &[Sample]) -> Result<(Vec<f32>, Vec<f32>)> {
    let of = |i: usize| -> Result<(Vec<f32>, Vec<f32>)> {
        let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
        for other in &samples[i + 1..] {
            let distance = samples[i].embedding.distance(&other.embedding)?;
            if samples[i].person == other.person { genuine.push(distance) } else { impostor.push(distance) }
        }
        Ok((genuine, impostor))
    };
    let (mut genuine, mut impostor) =
        (0..samples.len()).into_par_iter().map(of).try_reduce(Default::default, |mut a, b| {
            a.0.extend(b.0);
            a.1.extend(b.1);
            Ok(a)
        })?;
    genuine.par_sort_unstable_by(f32::total_cmp);
    impostor.par_sort_unstable_by(f32::total_cmp);
    Ok((genuine, impostor))
}

/// After how many steps each photo is discarded, the worst at the first; [`STEPS`] for one that never is.
fn steps(samples: &[Sample], measure: fn(&Sample) -> f32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by(|&a, &b| measure(&samples[a]).total_cmp(&measure(&samples[b])));
    let mut steps = vec![STEPS; samples.len()];
    for (rank, &photo) in order.iter().enumerate() {
        let share = rank as f64 / samples.len() as f64;
        steps[photo] = ((share / DISCARD_STEP) as usize).min(STEPS);
    }
    steps
}

/// For each two folds of people (the first no later than the second, `a * folds + b`), for each step, the pairs that go
/// with the photo that is discarded then.
fn tallies(samples: &[Sample], steps: &[usize], kinds: usize, folds: usize, threshold: f32) -> Result<Vec<Vec<Tally>>> {
    let empty = || vec![vec![[0; 4]; kinds]; folds * folds];
    let blocks = samples.len().div_ceil(rayon::current_num_threads().max(1) * 4).max(1);
    let starts: Vec<usize> = (0..samples.len()).step_by(blocks).collect();
    let part = |first: usize| -> Result<Vec<Vec<Tally>>> {
        let mut counts = empty();
        for i in first..(first + blocks).min(samples.len()) {
            let one = &samples[i];
            for (other, step) in samples[i + 1..].iter().zip(&steps[i + 1..]) {
                let near = one.embedding.distance(&other.embedding)? <= threshold;
                let (a, b) = (one.person % folds, other.person % folds);
                let tally = &mut counts[a.min(b) * folds + a.max(b)][steps[i].min(*step)];
                match one.person == other.person {
                    true => {
                        tally[0] += 1;
                        tally[1] += u64::from(!near);
                    }
                    false => {
                        tally[2] += 1;
                        tally[3] += u64::from(near);
                    }
                }
            }
        }
        Ok(counts)
    };
    starts.into_par_iter().map(part).try_reduce(empty, |mut a, b| {
        for (a, b) in a.iter_mut().flatten().zip(b.iter().flatten()) {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
        Ok(a)
    })
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// The curve of the pairs of whose folds `counts` says yes.
fn points(tallies: &[Vec<Tally>], folds: usize, counts: impl Fn(usize, usize) -> bool) -> Vec<DiscardPoint> {
    let mut left: Tally = [0; 4];
    let mut points: Vec<DiscardPoint> = (0..=STEPS)
        .rev()
        .map(|step| {
            for (a, b) in (0..folds).flat_map(|a| (a..folds).map(move |b| (a, b))).filter(|&(a, b)| counts(a, b)) {
                left.iter_mut().zip(&tallies[a * folds + b][step]).for_each(|(sum, n)| *sum += n);
            }
            let [genuine, missed, impostor, matched] = left;
            let discarded = step as f64 * DISCARD_STEP;
            DiscardPoint { discarded, fnmr: share(missed, genuine), fmr: share(matched, impostor) }
        })
        .collect();
    points.reverse();
    points
}

/// The mean rate up to [`WORTH_TO`], as a share of the first.
fn worth(points: &[DiscardPoint]) -> Option<f64> {
    let rates: Vec<f64> = points.iter().take_while(|p| p.discarded <= WORTH_TO).map_while(|p| p.fnmr).collect();
    let first = *rates.first().filter(|first| **first > 0.0)?;
    Some(rates.iter().sum::<f64>() / rates.len() as f64 / first)
}

fn curve(
    measure: &'static str,
    steps: &[usize],
    samples: &[Sample],
    folds: usize,
    threshold: f32,
) -> Result<DiscardCurve> {
    let tallies = tallies(samples, steps, STEPS + 1, folds, threshold)?;
    let all = points(&tallies, folds, |_, _| true);
    let without: Option<Vec<f64>> =
        (0..folds).map(|fold| worth(&points(&tallies, folds, |a, b| a != fold && b != fold))).collect();
    // Of the delete-a-group jackknife: the replicates share all but one fold.
    let error = without.map(|w| mean_and_spread(&w).1 * (folds as f64 - 1.0) / (folds as f64).sqrt());
    Ok(DiscardCurve { measure, worth: worth(&all).zip(error), points: all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::ModelId;

    /// Of each of twenty people two photos alike and one that looks like nobody, which only its length tells.
    fn samples() -> Vec<Sample> {
        let model = ModelId::new("test", &"0".repeat(64), "none");
        let at = |person: usize, angle: f32, length: f32| {
            let mut values = vec![0.0; 42];
            values[person] = angle.cos();
            values[20 + person] = angle.sin();
            let embedding = Embedding::from_raw(values, model.clone()).unwrap();
            // A measure that knows nothing: it falls with the person.
            let quality =
                FaceQuality { eye_distance: person as f32, embedding_length: Some(length), ..FaceQuality::default() };
            Sample { person, embedding, score: 1.0, quality }
        };
        (0..20).flat_map(|p| [at(p, 0.0, 9.0), at(p, 0.1, 8.0), at(p, 1.5, 1.0)]).collect()
    }

    #[test]
    fn a_measure_that_knows_the_bad_photos_takes_the_errors_away_and_one_that_does_not_leaves_them() {
        let samples = samples();
        let curve = |measure| curve("it", &steps(&samples, measure), &samples, 5, 0.5).unwrap();
        let knows = curve(length);
        let tells_nothing = curve(|s| s.quality.eye_distance);
        let first = knows.points[0];
        assert_eq!((first.discarded, first.fnmr, first.fmr), (0.0, Some(2.0 / 3.0), Some(0.0)));
        let at = |c: &DiscardCurve, share: f64| c.points[(share / DISCARD_STEP).round() as usize].fnmr.unwrap();
        // A third of the photos is bad: without them nothing is wrong.
        assert_eq!(at(&knows, 0.345), 0.0);
        assert!((at(&tells_nothing, 0.3) - 2.0 / 3.0).abs() < 1e-9);
        assert!((tells_nothing.worth.unwrap().0 - 1.0).abs() < 0.02, "{:?}", tells_nothing.worth);
        assert!(knows.worth.unwrap().0 < 0.9, "{:?}", knows.worth);
    }

    #[test]
    fn what_is_discarded_is_the_share_that_is_said() {
        let samples = samples();
        let steps = steps(&samples, length);
        let gone = |share: f64| steps.iter().filter(|s| **s < (share / DISCARD_STEP).round() as usize).count();
        assert_eq!((gone(0.0), gone(0.5)), (0, 30));
        assert!(gone(0.1).abs_diff(6) <= 1, "{}", gone(0.1));
    }
}
