//! Open-set identification measured on labelled people: who is enrolled is drawn, the rest are strangers.

use std::path::PathBuf;
use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::acquire::{Failure, acquire, at_least_one, distance};
use super::people::Person;
use super::scores::{CurvePoint, Histogram, TarAtFar};
use super::search::{RankRate, Searched, rank_rates, search_scores, searched};
use super::{EmbeddingCache, Machine};
use crate::engine::{Engine, FaceChoice};
use crate::error::{EvalError, Result};
use crate::media::Limits;
use crate::vector::{Embedding, TemplateRule, mean_direction, template_comparisons};
use crate::verify::{Policy, fpir};

/// Gallery sizes at which the growth of FPIR is measured, and the whole gallery.
const SIZES: [usize; 8] = [1, 3, 10, 30, 100, 300, 1000, 3000];

/// How failures enter the rates of searches.
const TREATMENT: &str = "A photo without a usable face is a failure to acquire. As a probe it returns nobody: a miss \
     when somebody enrolled is in it, a right rejection otherwise. Somebody none of whose gallery photos is usable \
     stays among the enrolled, and every search for them is a miss.";

/// Who is enrolled, with which photos, and who is searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Every photo once.
    pub photos: Vec<PathBuf>,
    /// For each enrolled person, the places of their gallery photos.
    pub gallery: Vec<Vec<usize>>,
    /// Each probe's place, and the enrolled person who is in it.
    pub probes: Vec<(usize, Option<usize>)>,
}

impl Split {
    /// Enrols a `share` of those with more than `shots` photos, with `shots` photos each; their other photos
    /// are mated probes, and all photos of everybody else non-mated ones. The same seed draws the same.
    ///
    /// # Errors
    /// [`EvalError::TooLittle`] when nobody can be enrolled or no stranger is left.
    pub fn drawn(people: &[Person], share: f64, shots: usize, seed: u64) -> Result<Self, EvalError> {
        let shots = shots.max(1);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut able: Vec<usize> = (0..people.len()).filter(|&p| people[p].photos.len() > shots).collect();
        able.shuffle(&mut rng);
        let most = able.len().min(people.len().saturating_sub(1));
        let enrolled = ((able.len() as f64 * share).round() as usize).clamp(most.min(1), most);
        if enrolled == 0 {
            let reason = format!("{} people, {} of them with more than {shots} photos", people.len(), able.len());
            return Err(EvalError::TooLittle { reason });
        }
        let mut split = Split { photos: Vec::new(), gallery: vec![Vec::new(); enrolled], probes: Vec::new() };
        let place: std::collections::HashMap<usize, usize> =
            able[..enrolled].iter().enumerate().map(|(at, &person)| (person, at)).collect();
        for (number, person) in people.iter().enumerate() {
            let at = place.get(&number).copied();
            let mut order: Vec<&PathBuf> = person.photos.iter().collect();
            order.shuffle(&mut rng);
            for (i, photo) in order.into_iter().enumerate() {
                match at {
                    Some(at) if i < shots => split.gallery[at].push(split.photos.len()),
                    _ => split.probes.push((split.photos.len(), at)),
                }
                split.photos.push(photo.clone());
            }
        }
        Ok(split)
    }
}

/// Open-set identification measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdentificationReport {
    /// The data and how it was split, in a sentence.
    pub source: String,
    /// People enrolled.
    pub enrolled: usize,
    /// Enrolled people none of whose gallery photos was usable.
    pub failures_to_enrol: usize,
    /// Searches by somebody enrolled.
    pub mated_searches: usize,
    /// Searches by strangers.
    pub non_mated_searches: usize,
    /// Photos from which no embedding came.
    pub failures: Vec<Failure>,
    /// How failures enter the rates.
    pub treatment: &'static str,
    /// Each model and each way in which photos stand for a person, in the order asked for.
    pub models: Vec<ModelIdentification>,
    /// Seconds from the first photo to the last number.
    pub seconds: f64,
    /// Photos that came from the cache.
    pub from_cache: usize,
    /// Where it was measured.
    pub machine: Machine,
}

/// One model's identification rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelIdentification {
    /// What it was called by, and the way where it is not the nearest face.
    pub name: String,
    /// How a person's gallery photos stand for the person.
    pub by: TemplateRule,
    /// Its id.
    pub model: String,
    /// Closed-set: share of mated searches with the mate at a rank or nearer, at any distance.
    pub ranks: Vec<RankRate>,
    /// True positive identification rate (1 - FNIR at rank 1) at each FPIR, where non-mated searches support it.
    pub tpir_at_fpir: Vec<TarAtFar>,
    /// FPIR (as `fmr`) and FNIR at rank 1 (as `fnmr`) over all thresholds.
    pub curve: Vec<CurvePoint>,
    /// Mates' distances at rank 1 and strangers' nearest distances.
    pub histogram: Histogram,
    /// FPIR by the number of people in the gallery, at one threshold.
    pub growth: Option<Growth>,
}

/// How FPIR grows with the gallery.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// The calibration record.
    pub calibration: String,
    /// The threshold: that of the calibrated default false-match rate.
    pub distance: f32,
    /// That rate.
    pub fmr: f64,
    /// Each size.
    pub sizes: Vec<GrowthPoint>,
}

/// FPIR at one gallery size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GrowthPoint {
    /// People in the gallery.
    pub people: usize,
    /// Faces in it.
    pub faces: usize,
    /// Share of strangers who were taken for somebody.
    pub measured: f64,
    /// What independent comparisons at the calibrated rate would give: `1 - (1 - FMR)^n`, with n the faces, or
    /// [`template_comparisons`] of each template.
    pub predicted: f64,
}

/// Enrols and searches as `split` says, with every engine and in each way of `by` (the nearest face where it
/// is empty).
///
/// # Errors
/// [`EvalError::TooLittle`] without searches of both kinds; a device's error.
#[allow(clippy::too_many_arguments)] // each is a separate choice of the caller's
pub fn identification(
    engines: &[Engine],
    names: &[String],
    split: &Split,
    by: &[TemplateRule],
    source: &str,
    choice: FaceChoice,
    limits: &Limits,
    cache: &EmbeddingCache,
    done: &(dyn Fn() + Sync),
) -> Result<IdentificationReport> {
    at_least_one(engines)?;
    let start = Instant::now();
    let acquired = acquire(engines, &split.photos, choice, limits, cache, done)?;
    let by = if by.is_empty() { &[TemplateRule::Best][..] } else { by };
    let mut models = Vec::new();
    for ((engine, name), samples) in engines.iter().zip(names).zip(&acquired.samples) {
        for &by in by {
            models.push(one_model(engine, name, split, samples, by)?);
        }
    }
    let mated = split.probes.iter().filter(|(_, mate)| mate.is_some()).count();
    let lost = |photos: &&Vec<usize>| photos.iter().all(|&p| acquired.samples[0][p].is_none());
    Ok(IdentificationReport {
        source: source.to_string(),
        enrolled: split.gallery.len(),
        failures_to_enrol: split.gallery.iter().filter(lost).count(),
        mated_searches: mated,
        non_mated_searches: split.probes.len() - mated,
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
    split: &Split,
    samples: &[Option<Embedding>],
    by: TemplateRule,
) -> Result<ModelIdentification> {
    let templates: Vec<Vec<Embedding>> =
        split.gallery.iter().map(|photos| templates(photos, samples, by)).collect::<Result<_>>()?;
    // Distance of every probe to every enrolled person: the nearest of the person's templates counts.
    let rows: Vec<(Vec<f32>, Option<usize>)> = split
        .probes
        .par_iter()
        .map(|&(probe, mate)| {
            let probe = samples[probe].as_ref();
            let to_person = |templates: &Vec<Embedding>| -> Result<f32> {
                templates.iter().try_fold(f32::INFINITY, |least, t| Ok(least.min(distance(probe, Some(t))?)))
            };
            Ok((templates.iter().map(to_person).collect::<Result<_>>()?, mate))
        })
        .collect::<Result<_>>()?;
    let searches: Vec<Searched> = rows.iter().map(|(people, mate)| searched(people, *mate)).collect();
    let scores = search_scores(&searches, 1)?;
    let growth = engine.judge(Policy::default()).ok().and_then(|judge| {
        let (distance, fmr) = (judge.threshold().distance, judge.threshold().fmr?);
        let strangers: Vec<&Vec<f32>> = rows.iter().filter(|(_, mate)| mate.is_none()).map(|(p, _)| p).collect();
        let all = split.gallery.len();
        let sizes = SIZES.iter().copied().filter(|&n| n < all).chain([all]);
        let point = |people: usize| {
            let taken = strangers.iter().filter(|row| row[..people].iter().any(|&d| d <= distance)).count();
            let faces: usize = split.gallery[..people].iter().map(Vec::len).sum();
            let compared: usize = match by {
                TemplateRule::Best => faces,
                TemplateRule::Mean => split.gallery[..people].iter().map(|g| template_comparisons(g.len())).sum(),
            };
            let measured = taken as f64 / strangers.len() as f64;
            GrowthPoint { people, faces, measured, predicted: fpir(fmr, compared) }
        };
        let calibration = engine.calibration()?.id();
        Some(Growth { calibration, distance, fmr, sizes: sizes.map(point).collect() })
    });
    let way = match by {
        TemplateRule::Best => "",
        TemplateRule::Mean => " (mean)",
    };
    Ok(ModelIdentification {
        name: format!("{name}{way}"),
        by,
        model: engine.model().to_string(),
        ranks: rank_rates(&searches),
        tpir_at_fpir: scores.tar_at_far(),
        curve: scores.curve(),
        histogram: scores.histogram(),
        growth,
    })
}

/// What stands for a person: every usable gallery face, or one template of them.
fn templates(photos: &[usize], samples: &[Option<Embedding>], by: TemplateRule) -> Result<Vec<Embedding>> {
    let usable = || photos.iter().filter_map(|&p| samples[p].as_ref());
    let Some(first) = usable().next() else { return Ok(Vec::new()) };
    let mean = match by {
        TemplateRule::Best => return Ok(usable().cloned().collect()),
        TemplateRule::Mean => mean_direction(usable().map(|e| e.values().to_vec()), first.dimension()),
    };
    let model = first.model();
    Ok(mean.map(|m| Embedding::from_raw(m, model.clone())).transpose()?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(photos: &[usize]) -> Vec<Person> {
        let photo = |p: usize, i: usize| PathBuf::from(format!("{p}/{i}"));
        let person =
            |(p, &n): (usize, &usize)| Person { name: p.to_string(), photos: (0..n).map(|i| photo(p, i)).collect() };
        photos.iter().enumerate().map(person).collect()
    }

    #[test]
    fn a_split_enrols_some_and_keeps_strangers() {
        let split = Split::drawn(&people(&[5, 1, 3, 4, 1, 2]), 0.5, 2, 7).unwrap();
        assert_eq!(split, Split::drawn(&people(&[5, 1, 3, 4, 1, 2]), 0.5, 2, 7).unwrap());
        assert_eq!(split.photos.len(), 16);
        assert_eq!(split.gallery.len(), 2, "half of the three with more than two photos, rounded");
        assert!(split.gallery.iter().all(|g| g.len() == 2));
        let owner = |at: usize| split.photos[at].parent().unwrap().to_path_buf();
        for &(probe, mate) in &split.probes {
            let enrolled = split.gallery.iter().position(|g| owner(g[0]) == owner(probe));
            assert_eq!(mate, enrolled);
            assert!(split.gallery.iter().flatten().all(|&g| g != probe), "no photo is gallery and probe");
        }
        assert!(split.probes.iter().any(|(_, m)| m.is_some()) && split.probes.iter().any(|(_, m)| m.is_none()));
        let all = Split::drawn(&people(&[3, 3]), 1.0, 1, 7).unwrap();
        assert_eq!(all.gallery.len(), 1, "one stays a stranger");
        assert!(Split::drawn(&people(&[1, 1]), 0.5, 1, 7).is_err());
        assert!(Split::drawn(&people(&[4]), 0.5, 1, 7).is_err());
    }

    #[test]
    fn a_person_stands_as_every_usable_face_or_as_one_template_of_them() {
        let model = crate::vector::ModelId::from_text("m/abc/test");
        let face = |x: f32, y: f32| Some(Embedding::from_raw(vec![x, y], model.clone()).unwrap());
        let samples = [face(1.0, 0.0), None, face(0.0, 1.0)];
        let of = |photos: &[usize], by: TemplateRule| -> Vec<Vec<f32>> {
            templates(photos, &samples, by).unwrap().iter().map(|e| e.values().to_vec()).collect()
        };
        assert_eq!(of(&[0, 1, 2], TemplateRule::Best), [[1.0, 0.0], [0.0, 1.0]]);
        let [mean] = &of(&[0, 1, 2], TemplateRule::Mean)[..] else { panic!("one template") };
        assert!((mean[0] - mean[1]).abs() < 1e-6);
        assert!([TemplateRule::Best, TemplateRule::Mean].iter().all(|&by| of(&[1], by).is_empty()));
    }
}
