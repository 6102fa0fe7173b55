//! Identification: who in the gallery is this face, or nobody.

use std::collections::HashMap;
use std::sync::RwLockReadGuard;

use serde::{Deserialize, Serialize};

use super::shelf::{Inside, Shelf};
use super::templates::Templates;
use super::{Database, PersonFilter};
use crate::error::Result;
use crate::index::FaceFilter;
use crate::vector::{Embedding, TemplateRule, template_comparisons};
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
    pub by: TemplateRule,
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
            by: TemplateRule::default(),
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
    /// In percent: 50 or more exactly where `within`. None where the model has no calibration.
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
        Ok(shelf.read_for(policy.by).searched(policy))
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
        self.nearest(gallery, probe, policy, false)?.judged(probe, policy, calibration)
    }

    /// The people of a gallery nearest to a face, all of one moment; `exact` by the exact scan, whatever index there
    /// is.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`crate::error::GalleryError::WrongModel`].
    pub(crate) fn nearest(
        &self,
        gallery: &str,
        probe: &Embedding,
        policy: &SearchPolicy,
        exact: bool,
    ) -> Result<Nearest> {
        let shelf = self.shelf(gallery)?;
        shelf.same_model(probe)?;
        let inside = shelf.read_for(policy.by);
        let (near, largest) = match policy.by {
            TemplateRule::Best => (inside.nearest_people(probe.values(), policy, exact), 1),
            TemplateRule::Mean => {
                let largest = inside.templates().map_or(1, |t| t.largest().max(1));
                (inside.nearest_templates(probe.values(), policy), largest)
            }
        };
        let people = near.into_iter().filter_map(|(person, face, distance)| {
            let name = inside.people.get(&person)?.name.clone();
            Some(NearPerson { name, person, face, distance })
        });
        Ok(Nearest { people: people.collect(), searched: inside.searched(policy), largest })
    }
}

/// People near a probe, before a line is drawn among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nearest {
    pub people: Vec<NearPerson>,
    /// Comparisons that the search counts as.
    pub searched: usize,
    /// Comparisons that the largest template counts as; 1 where faces were searched.
    pub largest: usize,
}

/// Somebody near a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NearPerson {
    pub name: String,
    pub person: u64,
    pub face: Option<u64>,
    pub distance: f32,
}

impl Nearest {
    /// Draws the line that the policy asks for.
    ///
    /// # Errors
    /// [`crate::error::RefusalError`] when the policy cannot be kept.
    pub(crate) fn judged(
        self,
        probe: &Embedding,
        policy: &SearchPolicy,
        calibration: Option<&Calibration>,
    ) -> Result<Identification> {
        // A rate for each comparison holds for the largest template, which counts as several.
        let each = policy.max_fmr.map(|rate| rate / self.largest as f64);
        let line = SearchPolicy { max_fmr: each, ..policy.clone() };
        let threshold = Database::threshold(&line, calibration, probe.model(), self.searched)?;
        let bound = threshold.distance;
        let candidate = |NearPerson { name, person, face, distance }| {
            let similarity = calibration.map(|c| c.similarity_at(bound, distance));
            Candidate { name, person, face, distance, similarity, within: distance <= bound }
        };
        let candidates: Vec<Candidate> = self.people.into_iter().map(candidate).collect();
        Ok(Identification {
            name: candidates.first().filter(|c| c.within).map(|c| c.name.clone()),
            candidates,
            threshold,
            searched: self.searched,
            calibration: calibration.map(Calibration::id),
        })
    }
}

impl Inside {
    /// Comparisons that a search under `policy` counts as.
    fn searched(&self, policy: &SearchPolicy) -> usize {
        // Without a filter everybody counts: nobody need be looked at, which would take longer than the search.
        if policy.filter.is_empty() {
            return match policy.by {
                TemplateRule::Best => self.face_count(),
                TemplateRule::Mean => self.templates().map_or(0, Templates::comparisons),
            };
        }
        let allowed = self.people.iter().filter(|(_, p)| policy.filter.takes(p)).map(|(id, _)| *id);
        match policy.by {
            TemplateRule::Best => allowed.map(|id| self.faces_of(id).len()).sum(),
            TemplateRule::Mean => allowed.map(|id| template_comparisons(self.faces_of(id).len())).sum(),
        }
    }

    /// People by their template.
    fn nearest_templates(&self, probe: &[f32], policy: &SearchPolicy) -> Vec<(u64, Option<u64>, f32)> {
        let Some(templates) = self.templates() else { return Vec::new() };
        let takes = |person: u64| self.people.get(&person).is_some_and(|p| policy.filter.takes(p));
        let filtered = !policy.filter.is_empty();
        let near = templates.index().nearest(probe, policy.top, filtered.then_some(&takes));
        near.into_iter().map(|n| (n.face, None, n.distance)).collect()
    }

    /// People by their best face: person, face, distance.
    fn nearest_people(&self, probe: &[f32], policy: &SearchPolicy, exact: bool) -> Vec<(u64, Option<u64>, f32)> {
        let takes = |face: u64| {
            let person = self.face(face).and_then(|h| self.people.get(&h.person));
            person.is_some_and(|p| policy.filter.takes(p))
        };
        let filtered = !policy.filter.is_empty();
        let mut wanted = policy.top.saturating_mul(FACES_A_PERSON).max(1);
        loop {
            let allowed: FaceFilter = if filtered { Some(&takes) } else { None };
            let near = match exact {
                true => self.index().exact(probe, wanted, allowed),
                false => self.index().nearest(probe, wanted, allowed),
            };
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
    /// The content, with what a search by `by` needs.
    fn read_for(&self, by: TemplateRule) -> RwLockReadGuard<'_, Inside> {
        match by {
            TemplateRule::Best => self.read(),
            TemplateRule::Mean => self.read_with_templates(),
        }
    }
}
