//! Identification: who in the gallery is this face, or nobody.

use std::collections::HashMap;

use serde::Serialize;

use super::shelf::{Inside, Shelf};
use super::{Database, PersonFilter};
use crate::error::Result;
use crate::vector::{By, Embedding, template_comparisons};
use crate::verify::{Calibration, Threshold};

/// Faces fetched for each person asked for, at first: most people have a few.
const FACES_A_PERSON: usize = 4;

/// What to search for.
#[derive(Debug, Clone)]
pub struct SearchPolicy {
    /// People to name at most.
    pub top: usize,
    /// Share of strangers who may be taken for somebody, above 0 and below 1.
    pub max_fpir: f64,
    /// Bound the false-match rate of each comparison instead, above 0 and below 1.
    pub max_fmr: Option<f64>,
    /// Decide at this distance instead.
    pub threshold: Option<f32>,
    /// How a person's faces stand for the person.
    pub by: By,
    /// Who may be named.
    pub filter: PersonFilter,
}

impl SearchPolicy {
    /// One stranger in a hundred.
    pub const DEFAULT_FPIR: f64 = 1e-2;
}

impl Default for SearchPolicy {
    fn default() -> Self {
        Self {
            top: 3,
            max_fpir: Self::DEFAULT_FPIR,
            max_fmr: None,
            threshold: None,
            by: By::default(),
            filter: PersonFilter::default(),
        }
    }
}

/// A person near the probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Their name.
    pub name: String,
    /// Their number.
    pub person: u64,
    /// Their nearest face; none when they were found by their mean.
    pub face: Option<u64>,
    /// Euclidean distance between the unit vectors, 0 to 2.
    pub distance: f32,
    /// In percent: 50 at the threshold for a false-match rate of one in a thousand. None where the model has no
    /// calibration.
    pub similarity: Option<f32>,
    /// Whether the distance is within the threshold.
    pub within: bool,
}

/// The answer for one probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identification {
    /// The nearest person, when within the threshold; `None` is "unknown".
    pub name: Option<String>,
    /// People by distance, nearest first.
    pub candidates: Vec<Candidate>,
    /// Where the line was drawn, and what it rests on.
    pub threshold: Threshold,
    /// Faces searched; where templates are, what they count as: [`template_comparisons`].
    pub searched: usize,
    /// Id of the calibration record that the threshold or the similarities are of; none without one.
    pub calibration: Option<String>,
}

impl Database {
    /// The line that `policy` draws in a gallery of `comparisons` faces.
    ///
    /// # Errors
    /// [`crate::error::RefusalError`] when the policy asks for a rate and there is no calibration.
    pub fn threshold(
        policy: &SearchPolicy,
        calibration: Option<&Calibration>,
        model: &crate::vector::ModelId,
        comparisons: usize,
    ) -> Result<Threshold> {
        use crate::error::RefusalError;
        if let Some(c) = calibration.filter(|c| c.model != model.as_str()) {
            let (calibrated, model) = (c.model.clone(), model.to_string());
            return Err(RefusalError::WrongCalibration { calibrated, model }.into());
        }
        match (policy.threshold, calibration) {
            (Some(d), _) if d > 0.0 && d <= 2.0 => {
                Ok(Threshold { fmr: calibration.and_then(|c| c.fmr_of(d)), ..Threshold::at(d) })
            }
            (Some(d), _) => Err(RefusalError::InvalidThreshold {
                option: "threshold",
                received: f64::from(d),
                expected: "a distance above 0 and at most 2",
            }
            .into()),
            (None, None) => Err(RefusalError::NotCalibrated { model: model.to_string() }.into()),
            (None, Some(c)) => Ok(Threshold::from(match policy.max_fmr {
                Some(rate) => c.search_at_fmr(rate, comparisons)?,
                None => c.for_search(policy.max_fpir, comparisons)?,
            })),
        }
    }

    /// Comparisons that a search under `policy` counts as: faces looked at, or [`template_comparisons`] of each
    /// template.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn searched(&self, gallery: &str, policy: &SearchPolicy) -> Result<usize> {
        let shelf = self.shelf(gallery)?;
        // Without a filter everybody counts: nobody need be looked at, which would take longer than the search.
        if policy.filter.is_empty() {
            return Ok(match policy.by {
                By::Best => shelf.read().face_count(),
                By::Mean | By::Weighted => shelf.templates(policy.by).comparisons,
            });
        }
        let inside = shelf.read();
        let allowed = inside.people.iter().filter(|(_, p)| policy.filter.takes(p)).map(|(id, _)| *id);
        Ok(match policy.by {
            By::Best => allowed.map(|id| inside.faces_of(id).len()).sum(),
            By::Mean | By::Weighted => allowed.map(|id| template_comparisons(inside.faces_of(id).len())).sum(),
        })
    }

    /// The people of a gallery nearest to a face, and whether the nearest is near enough.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::WrongModel`], or
    /// [`crate::error::RefusalError`] when the policy cannot be kept.
    pub fn identify(
        &self,
        gallery: &str,
        probe: &Embedding,
        policy: &SearchPolicy,
        calibration: Option<&Calibration>,
    ) -> Result<Identification> {
        let shelf = self.shelf(gallery)?;
        shelf.same_model(probe)?;
        let searched = self.searched(gallery, policy)?;
        // A rate for each comparison holds for the largest template, which counts as several.
        let largest = match policy.by {
            By::Best => 1,
            By::Mean | By::Weighted => shelf.templates(policy.by).largest.max(1),
        };
        let each = policy.max_fmr.map(|rate| rate / largest as f64);
        let line = SearchPolicy { max_fmr: each, ..policy.clone() };
        let threshold = Self::threshold(&line, calibration, probe.model(), searched)?;
        let bound = threshold.distance;
        let near = match policy.by {
            By::Best => shelf.read().nearest_people(probe.values(), policy),
            By::Mean | By::Weighted => shelf.nearest_templates(probe.values(), policy),
        };
        let inside = shelf.read();
        let candidates: Vec<Candidate> = near
            .into_iter()
            .filter_map(|(person, face, distance)| {
                // Somebody forgotten since the search is no answer.
                let record = inside.people.get(&person)?;
                let similarity = calibration.map(|c| c.similarity(distance));
                let within = distance <= bound;
                Some(Candidate { name: record.name.clone(), person, face, distance, similarity, within })
            })
            .collect();
        Ok(Identification {
            name: candidates.first().filter(|c| c.within).map(|c| c.name.clone()),
            candidates,
            threshold,
            searched,
            calibration: calibration.map(Calibration::id),
        })
    }
}

impl Inside {
    /// People by their best face: person, face, distance.
    fn nearest_people(&self, probe: &[f32], policy: &SearchPolicy) -> Vec<(u64, Option<u64>, f32)> {
        let takes = |face: u64| {
            let person = self.face(face).and_then(|h| self.people.get(&h.person));
            person.is_some_and(|p| policy.filter.takes(p))
        };
        let filtered = !policy.filter.is_empty();
        let mut wanted = policy.top.saturating_mul(FACES_A_PERSON).max(1);
        loop {
            let near = self.index().nearest(probe, wanted, filtered.then_some(&takes));
            let mut best: HashMap<u64, usize> = HashMap::new();
            let mut people = Vec::new();
            for n in &near {
                let Some(held) = self.face(n.face) else { continue };
                best.entry(held.person).or_insert_with(|| {
                    people.push((held.person, Some(n.face), n.distance));
                    people.len()
                });
            }
            // Fewer faces than asked for: there are no more. Otherwise the nearest may all be one person's.
            if people.len() >= policy.top || near.len() < wanted {
                people.truncate(policy.top);
                return people;
            }
            wanted = wanted.saturating_mul(4);
        }
    }
}

impl Shelf {
    /// People by their template.
    fn nearest_templates(&self, probe: &[f32], policy: &SearchPolicy) -> Vec<(u64, Option<u64>, f32)> {
        let templates = self.templates(policy.by);
        let inside = self.read();
        let takes = |person: u64| inside.people.get(&person).is_some_and(|p| policy.filter.takes(p));
        templates
            .index
            .nearest(probe, policy.top, Some(&takes))
            .into_iter()
            .map(|n| (n.face, None, n.distance))
            .collect()
    }
}
