//! Whether an embedder's chips are cut where it sees people best: the template drawn together or apart, and shifted,
//! each placement judged by the false non-match rate on labelled photos, and the choice cross-validated over people.
//!
//! The search is a coordinate descent: scales first, then shifts down, then shifts across, each around the best so far.

use rayon::prelude::*;
use serde::Serialize;

use super::Person;
use super::people::numbered;
use crate::align::{Alignment, Template};
use crate::detect::Detection;
use crate::engine::{Engine, FaceChoice};
use crate::error::{Error, EvalError, ModelError, RefusalError, Result};
use crate::media::{Limits, Photo, Raster};
use crate::vector::Embedding;

/// Scales of the template about the centre of its landmarks.
pub const SCALES: [f64; 6] = [0.85, 0.9, 0.95, 1.0, 1.05, 1.1];
/// Shifts, as shares of the chip's side.
pub const SHIFTS: [f64; 5] = [-0.04, -0.02, 0.0, 0.02, 0.04];
/// Bins of distances from 0 to 2.
const BINS: usize = 20_000;

/// Where a template's landmarks are put, relative to where they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Placement {
    /// Factor of their distances from their centre: below 1 the face is smaller in the chip.
    pub scale: f64,
    /// Shift to the right, as a share of the chip's width.
    pub across: f64,
    /// Shift downwards, as a share of the chip's height.
    pub down: f64,
}

impl Placement {
    /// The template as it is.
    pub const UNCHANGED: Self = Self { scale: 1.0, across: 0.0, down: 0.0 };

    fn of(self, template: &Template) -> Template {
        let centre = [0, 1].map(|axis| template.points.iter().map(|p| p[axis]).sum::<f64>() / 5.0);
        let (width, height) = (f64::from(template.size.0), f64::from(template.size.1));
        let place = |p: [f64; 2]| {
            let [x, y] = [0, 1].map(|axis| centre[axis] + (p[axis] - centre[axis]) * self.scale);
            [x + self.across * width, y + self.down * height]
        };
        Template { name: template.name, size: template.size, points: template.points.map(place) }
    }
}

/// A placement, and what it does to the error rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlacementRates {
    /// The placement.
    pub placement: Placement,
    /// False non-match rate over all people at the report's false-match rate.
    pub fnmr: f64,
    /// Standard error of its difference from the unchanged template's: a jackknife over the folds of people.
    pub standard_error_of_gain: f64,
}

/// The placement chosen on the other folds, tried on one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldOut {
    /// The best of the other folds.
    pub chosen: Placement,
    /// Its false non-match rate on this fold's people.
    pub fnmr: f64,
    /// The unchanged template's there.
    pub fnmr_unchanged: f64,
}

/// What a scan of placements found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlignmentReport {
    /// The model.
    pub model: String,
    /// Whose landmarks the chips are cut by.
    pub detector: String,
    /// The template that was moved.
    pub template: &'static str,
    /// Photos in which a face was found.
    pub photos: usize,
    /// People.
    pub people: usize,
    /// The false-match rate at which placements are judged.
    pub fmr: f64,
    /// Every placement tried, best first.
    pub placements: Vec<PlacementRates>,
    /// One a fold of people.
    pub held_out: Vec<HeldOut>,
    /// Mean over the folds of what the choice gained on held-out people, in FNMR; and its standard error.
    pub gain: (f64, f64),
}

/// Counts of distances by the folds of the two people.
struct Counts {
    folds: usize,
    genuine: Vec<u32>,
    impostor: Vec<u32>,
}

impl Counts {
    fn of(samples: &[(usize, Embedding)], folds: usize) -> Result<Self> {
        let size = folds * folds * BINS;
        let empty = || Self { folds, genuine: vec![0; size], impostor: vec![0; size] };
        // Blocks of rows keep the number of histograms small.
        let blocks = samples.len().div_ceil(rayon::current_num_threads().max(1)).max(1);
        let starts: Vec<usize> = (0..samples.len()).step_by(blocks).collect();
        let parts = starts.into_par_iter().map(|first| -> Result<Self> {
            let mut counts = empty();
            for i in first..(first + blocks).min(samples.len()) {
                let (person, embedding) = &samples[i];
                for (other, other_embedding) in &samples[i + 1..] {
                    let bin = ((embedding.distance(other_embedding)? * (BINS as f32 / 2.0)) as usize).min(BINS - 1);
                    let (a, b) = (person % folds, other % folds);
                    let at = (a.min(b) * folds + a.max(b)) * BINS + bin;
                    if person == other { counts.genuine[at] += 1 } else { counts.impostor[at] += 1 }
                }
            }
            Ok(counts)
        });
        parts.try_reduce(empty, |mut a, b| {
            a.genuine.iter_mut().zip(&b.genuine).for_each(|(a, b)| *a += b);
            a.impostor.iter_mut().zip(&b.impostor).for_each(|(a, b)| *a += b);
            Ok(a)
        })
    }

    /// FNMR at `fmr` over the pairs of whose folds `counts` says yes; none where too few impostor pairs are there.
    fn fnmr(&self, fmr: f64, counts: impl Fn(usize, usize) -> bool) -> Option<f64> {
        let sum = |of: &[u32]| {
            let mut sum = vec![0u64; BINS];
            for a in 0..self.folds {
                for b in (a..self.folds).filter(|&b| counts(a, b)) {
                    let from = (a * self.folds + b) * BINS;
                    sum.iter_mut().zip(&of[from..from + BINS]).for_each(|(s, &n)| *s += u64::from(n));
                }
            }
            sum
        };
        let (genuine, impostor) = (sum(&self.genuine), sum(&self.impostor));
        let allowed = fmr * impostor.iter().sum::<u64>() as f64;
        if allowed < crate::Calibration::LEAST_SUPPORT as f64 {
            return None;
        }
        let mut below = 0.0;
        let bins = impostor.iter().take_while(|&&n| {
            below += n as f64;
            below <= allowed
        });
        let kept: u64 = genuine[..bins.count()].iter().sum();
        let all: u64 = genuine.iter().sum();
        (all > 0).then(|| 1.0 - kept as f64 / all as f64)
    }
}

/// A photo's face, as found once.
struct Found<'a> {
    person: usize,
    path: &'a std::path::Path,
    face: Detection,
}

/// Scans placements of the engine's template on labelled people, dealt to `folds` folds; `done` is called after each
/// photo of each pass, of which [`passes`] says how many there are. The face of a photo is the one nearest its centre.
///
/// # Errors
/// [`ModelError::InvalidOption`] for an embedder that is not aligned by five landmarks, [`EvalError::TooLittle`] where
/// the people are too few for the rate, and a device's errors.
pub fn alignment(
    engine: &Engine,
    people: &[Person],
    folds: usize,
    fmr: f64,
    limits: &Limits,
    done: &(dyn Fn() + Sync),
) -> Result<AlignmentReport> {
    let Alignment::FivePoint(template) = engine.alignment() else {
        return Err(Error::from(ModelError::InvalidOption {
            option: "model",
            received: engine.model().to_string(),
            expected: "an embedder whose chips are aligned by five landmarks",
        }));
    };
    let folds = folds.clamp(2, people.len().max(2));
    let found = faces(engine, people, limits, done)?;
    let mut tried: Vec<(Placement, Counts)> = Vec::new();
    let mut best = Placement::UNCHANGED;
    let none = || EvalError::TooLittle {
        reason: format!("too few pairs for a false-match rate of {fmr:e} in each of {folds} folds"),
    };
    for pass in 0..3 {
        let around = |value: f64| match pass {
            0 => Placement { scale: value, ..best },
            1 => Placement { down: value, ..best },
            _ => Placement { across: value, ..best },
        };
        let values: &[f64] = if pass == 0 { &SCALES } else { &SHIFTS };
        let new: Vec<Placement> =
            values.iter().map(|&v| around(v)).filter(|p| tried.iter().all(|(t, _)| t != p)).collect();
        let samples = embedded(engine, template, &new, &found, limits, done)?;
        for (placement, samples) in new.into_iter().zip(samples) {
            tried.push((placement, Counts::of(&samples, folds)?));
        }
        best = least(&tried, |c| c.fnmr(fmr, |_, _| true)).ok_or_else(none)?;
    }
    report(engine, template, people.len(), found.len(), fmr, folds, &tried).ok_or_else(|| none().into())
}

/// Times that [`alignment`] goes over the photos.
pub const fn passes() -> usize {
    4
}

fn least(tried: &[(Placement, Counts)], rate: impl Fn(&Counts) -> Option<f64>) -> Option<Placement> {
    let rated: Option<Vec<(f64, Placement)>> = tried.iter().map(|(p, c)| Some((rate(c)?, *p))).collect();
    rated?.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, p)| p)
}

fn report(
    engine: &Engine,
    template: &Template,
    people: usize,
    photos: usize,
    fmr: f64,
    folds: usize,
    tried: &[(Placement, Counts)],
) -> Option<AlignmentReport> {
    let unchanged = &tried.iter().find(|(p, _)| *p == Placement::UNCHANGED)?.1;
    let without = |counts: &Counts, fold: usize| counts.fnmr(fmr, |a, b| a != fold && b != fold);
    let rates = tried.iter().map(|(placement, counts)| {
        let gains: Option<Vec<f64>> =
            (0..folds).map(|fold| Some(without(unchanged, fold)? - without(counts, fold)?)).collect();
        let (_, spread) = mean_and_spread(&gains?);
        // Of the delete-a-group jackknife: the replicates share all but one fold.
        let standard_error_of_gain = spread * (folds as f64 - 1.0) / (folds as f64).sqrt();
        Some(PlacementRates { placement: *placement, fnmr: counts.fnmr(fmr, |_, _| true)?, standard_error_of_gain })
    });
    let mut placements = rates.collect::<Option<Vec<_>>>()?;
    placements.sort_by(|a, b| a.fnmr.total_cmp(&b.fnmr));
    let held_out = (0..folds).map(|fold| {
        let chosen = least(tried, |c| without(c, fold))?;
        let counts = &tried.iter().find(|(p, _)| *p == chosen)?.1;
        let here = |c: &Counts| c.fnmr(fmr, |a, b| a == fold && b == fold);
        Some(HeldOut { chosen, fnmr: here(counts)?, fnmr_unchanged: here(unchanged)? })
    });
    let held_out = held_out.collect::<Option<Vec<_>>>()?;
    let (mean, spread) = mean_and_spread(&held_out.iter().map(|h| h.fnmr_unchanged - h.fnmr).collect::<Vec<_>>());
    Some(AlignmentReport {
        model: engine.model().to_string(),
        detector: engine.detector().to_string(),
        template: template.name,
        photos,
        people,
        fmr,
        placements,
        held_out,
        gain: (mean, spread / (folds as f64).sqrt()),
    })
}

/// Mean and standard deviation.
pub(super) fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

fn faces<'a>(
    engine: &Engine,
    people: &'a [Person],
    limits: &Limits,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Found<'a>>> {
    let photos = numbered(people);
    let find = |&(person, path): &(usize, &'a std::path::Path)| -> Result<Option<Found<'a>>> {
        let face = Photo::open_with(path, limits)
            .map_err(Error::from)
            .and_then(|photo| engine.find_one(&photo, FaceChoice::Central));
        done();
        match face {
            Ok(face) => Ok(Some(Found { person, path, face })),
            Err(Error::Photo(_) | Error::Refusal(RefusalError::NoFace { .. })) => Ok(None),
            Err(e) => Err(e),
        }
    };
    let found: Result<Vec<_>> = photos.par_iter().map(find).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// The faces under each placement.
fn embedded(
    engine: &Engine,
    template: &Template,
    placements: &[Placement],
    found: &[Found],
    limits: &Limits,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Vec<(usize, Embedding)>>> {
    let templates: Vec<Template> = placements.iter().map(|p| p.of(template)).collect();
    let one = |f: &Found| -> Result<Vec<Embedding>> {
        let photo = Photo::open_with(f.path, limits)?;
        let chips: Vec<Raster> =
            templates.iter().map(|t| t.cut(photo.raster(), &f.face.landmarks)).collect::<Result<_, _>>()?;
        let embeddings = engine.embed_chips(&chips);
        done();
        embeddings
    };
    let rows: Vec<Vec<Embedding>> = found.par_iter().map(one).collect::<Result<_>>()?;
    let mut columns: Vec<Vec<(usize, Embedding)>> =
        placements.iter().map(|_| Vec::with_capacity(found.len())).collect();
    for (f, row) in found.iter().zip(rows) {
        columns.iter_mut().zip(row).for_each(|(column, e)| column.push((f.person, e)));
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::ARCFACE_112;

    #[test]
    fn placements_move_landmarks_about_their_centre() {
        let same = Placement::UNCHANGED.of(&ARCFACE_112);
        let gap = |a: &Template, b: &Template| {
            let gaps = a.points.iter().zip(&b.points).flat_map(|(a, b)| [(a[0] - b[0]).abs(), (a[1] - b[1]).abs()]);
            gaps.fold(0.0, f64::max)
        };
        assert!(gap(&same, &ARCFACE_112) < 1e-9);
        let half = Placement { scale: 0.5, across: 0.1, down: 0.0 }.of(&ARCFACE_112);
        let across = |t: &Template| t.points[1][0] - t.points[0][0];
        assert!((across(&half) * 2.0 - across(&ARCFACE_112)).abs() < 1e-9);
        let mean = |t: &Template| t.points.iter().map(|p| p[0]).sum::<f64>() / 5.0;
        assert!((mean(&half) - mean(&ARCFACE_112) - 11.2).abs() < 1e-9);
    }

    #[test]
    fn rates_are_those_of_the_pairs_counted_by_hand() {
        let model = crate::vector::ModelId::new("test", &"0".repeat(64), "none");
        let at = |angle: f32| Embedding::from_raw(vec![angle.cos(), angle.sin()], model.clone()).unwrap();
        // Two people of two photos each, a hundred strangers spread over the other half of the circle.
        let mut samples = vec![(0, at(0.0)), (0, at(0.01)), (1, at(0.5)), (1, at(1.4))];
        samples.extend((0..100).map(|i| (2 + i, at(2.0 + 2.0 * i as f32 / 100.0))));
        let counts = Counts::of(&samples, 2).unwrap();
        let (genuine, impostor) = (counts.genuine.iter().sum::<u32>(), counts.impostor.iter().sum::<u32>());
        assert_eq!((genuine, impostor), (2, 104 * 103 / 2 - 2));
        // Person 0's photos are near, person 1's far: half the genuine pairs are turned away.
        assert_eq!(counts.fnmr(0.02, |_, _| true), Some(0.5));
        assert_eq!(counts.fnmr(0.05, |a, b| a == 0 && b == 0), Some(0.0));
        // Fewer than thirty impostor pairs hold no rate.
        assert_eq!(counts.fnmr(1e-4, |_, _| true), None);
    }
}
