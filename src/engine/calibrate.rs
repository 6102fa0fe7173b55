//! Measuring a model's error rates on labelled photos.

use std::collections::HashSet;
use std::path::PathBuf;

use rayon::prelude::*;

use super::{Engine, FaceChoice};
use crate::error::{Error, RefusalError, Result};
use crate::media::{Limits, Photo};
use crate::pipeline::Face;
use crate::vector::Embedding;
use crate::verify::{Calibration, Distances, alike_groups, fit_calibration};

/// A photo, and who is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledPhoto {
    /// Number of the person.
    pub person: usize,
    /// The file.
    pub path: PathBuf,
}

/// What came of a measurement.
#[derive(Debug)]
pub struct MeasuredCalibration {
    /// The record.
    pub calibration: Calibration,
    /// Photos in which no face was found.
    pub without_face: Vec<PathBuf>,
    /// Photos that could not be read, and why.
    pub unreadable: Vec<Error>,
}

impl Engine {
    /// Embeds every photo (of several faces the one nearest the centre), measures the distance of
    /// every pair of photos, and fits a calibration record. `done` is called after each photo.
    ///
    /// # Errors
    /// A device's error, or [`crate::error::RefusalError::CannotCalibrate`] when there are too few pairs.
    pub fn calibrate(
        &self,
        photos: &[LabelledPhoto],
        source: &str,
        limits: &Limits,
        done: &(dyn Fn() + Sync),
    ) -> Result<MeasuredCalibration> {
        Ok(self.calibrate_beside(&[], None, photos, source, limits, done)?.remove(0))
    }

    /// [`Engine::calibrate`] of several models at once: each photo is read and searched for faces once, by this engine.
    /// The record of this engine's model is first, with the photos that are in no pair; then those of the others', in
    /// their order. Where `alike_by` says by whose vectors people are grouped, the records tell how much more often false
    /// matches happen among people who are alike ([`Calibration::alike`]); it is best of none of these models.
    ///
    /// # Errors
    /// As [`Engine::calibrate`], and [`RefusalError::WrongDetector`] for an engine with another detector.
    pub fn calibrate_beside(
        &self,
        others: &[Engine],
        alike_by: Option<&Engine>,
        photos: &[LabelledPhoto],
        source: &str,
        limits: &Limits,
        done: &(dyn Fn() + Sync),
    ) -> Result<Vec<MeasuredCalibration>> {
        if let Some(other) = others.iter().chain(alike_by).find(|other| other.detector() != self.detector()) {
            let (calibrated, detector) = (other.detector().to_string(), self.detector().to_string());
            return Err(RefusalError::WrongDetector { calibrated, detector }.into());
        }
        let measured = 1 + others.len();
        let engines: Vec<&Engine> = std::iter::once(self).chain(others).chain(alike_by).collect();
        let embed = |labelled: &LabelledPhoto| -> Result<Option<Vec<Face>>> {
            let answer = Photo::open_with(&labelled.path, limits).map_err(Error::from).and_then(|photo| {
                let face = match self.find_one(&photo, FaceChoice::Central) {
                    Ok(face) => face,
                    Err(Error::Refusal(RefusalError::NoFace { .. })) => return Ok(None),
                    Err(e) => return Err(e),
                };
                let embed = |engine: &&Engine| Ok(engine.embed_detections(&photo, &[face])?.remove(0));
                engines.iter().map(embed).collect::<Result<_>>().map(Some)
            });
            done();
            answer
        };
        let answers: Vec<Result<Option<Vec<Face>>>> = self.of_each(photos, embed);
        let mut known: Vec<Vec<(usize, Embedding)>> = vec![Vec::new(); engines.len()];
        let mut lengths: Vec<Vec<f32>> = vec![Vec::new(); engines.len()];
        let (mut without_face, mut unreadable) = (Vec::new(), Vec::new());
        for (labelled, answer) in photos.iter().zip(answers) {
            match answer {
                Ok(Some(faces)) => {
                    for ((known, lengths), face) in known.iter_mut().zip(&mut lengths).zip(faces) {
                        lengths.push(face.embedding_length);
                        known.push((labelled.person, face.embedding));
                    }
                }
                Ok(None) => without_face.push(labelled.path.clone()),
                Err(e @ Error::Photo(_)) => unreadable.push(e),
                Err(e) => return Err(e),
            }
        }
        let failures = (without_face.len() + unreadable.len()) as u64;
        let faces: Vec<Vec<Embedding>> = known.iter().map(|known| one_a_person(known)).collect();
        let grouped_by = faces.get(measured);
        let each = engines.iter().zip(known).zip(lengths).zip(&faces).take(measured);
        let measured = each.map(|(((engine, known), lengths), faces)| {
            let (model, detector) = (engine.model().as_str(), engine.detector());
            let mut calibration = fit_calibration(model, detector, source, distances(&known)?, failures)
                .map_err(|reason| RefusalError::CannotCalibrate { reason })?;
            calibration.least_length = least_length(lengths);
            if let Some(by) = grouped_by {
                calibration.alike = alike_groups(faces, by, ALIKE_GROUPS)?;
            }
            // The photos are the same for all of them.
            Ok(MeasuredCalibration {
                calibration,
                without_face: std::mem::take(&mut without_face),
                unreadable: std::mem::take(&mut unreadable),
            })
        });
        measured.collect()
    }
}

/// The length that a share of [`Calibration::UNCLEAR`] of the faces are below; none of too few to have one such face.
fn least_length(mut lengths: Vec<f32>) -> Option<f32> {
    let below = (lengths.len() as f64 * Calibration::UNCLEAR) as usize;
    lengths.sort_unstable_by(f32::total_cmp);
    (below > 0).then(|| lengths[below])
}

/// Groups of people who are alike.
const ALIKE_GROUPS: usize = 8;

/// The first face of each person.
fn one_a_person(known: &[(usize, Embedding)]) -> Vec<Embedding> {
    let mut seen = HashSet::new();
    known.iter().filter(|(person, _)| seen.insert(*person)).map(|(_, embedding)| embedding.clone()).collect()
}

/// Photos whose distances to all later ones are measured before they are counted: bounds memory.
const ROWS: usize = 256;

/// Distances of all pairs of photos.
fn distances(known: &[(usize, Embedding)]) -> Result<Distances> {
    let mut distances = Distances::default();
    for first in (0..known.len()).step_by(ROWS) {
        let row = |i: usize| -> Result<Vec<f32>> {
            known[i + 1..].iter().map(|(_, other)| Ok(known[i].1.distance(other)?)).collect()
        };
        let last = (first + ROWS).min(known.len());
        let rows: Vec<Vec<f32>> = (first..last).into_par_iter().map(row).collect::<Result<_>>()?;
        for (i, row) in (first..last).zip(rows) {
            known[i + 1..]
                .iter()
                .zip(row)
                .for_each(|((other, _), distance)| distances.add(known[i].0, *other, distance));
        }
    }
    Ok(distances)
}
