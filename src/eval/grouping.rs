//! Grouping measured on labelled people: how pure the groups are, and how whole.
//!
//! BCubed as in A. Bagga, B. Baldwin, "Entity-based cross-document coreferencing using the vector space model", 1998:
//! for each face the share of its group that is the same person's (precision), and the share of its person that is in
//! its group (recall), in the mean over faces. Pairwise: the same shares of pairs of faces.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::acquire::{Failure, acquire, at_least_one};
use super::people::Person;
use super::{EmbeddingCache, Machine};
use crate::cluster::Method;
use crate::engine::{Engine, FaceChoice};
use crate::error::{EvalError, Result};
use crate::media::Limits;
use crate::vector::Embedding;

/// Precision, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Of what was put together, the share that belongs together.
    pub precision: f64,
    /// Of what belongs together, the share that was put together.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Agreement {
    fn of(precision: f64, recall: f64) -> Self {
        let sum = precision + recall;
        Self { precision, recall, f1: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 } }
    }
}

/// Groups held against the truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GroupScores {
    /// Over faces.
    pub bcubed: Agreement,
    /// Over pairs of faces. Where no pair was put together, or none belongs together, that share is 1.
    pub pairwise: Agreement,
    /// Groups with faces of several people.
    pub mixed_groups: usize,
    /// People whose faces are in several groups.
    pub split_people: usize,
}

/// Holds groups against people: for each face the person whose it is, and the group that it was put into.
pub fn group_scores(people: &[u32], groups: &[u32]) -> GroupScores {
    let mut cells: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    let (mut of_person, mut of_group): (BTreeMap<u32, f64>, BTreeMap<u32, f64>) = Default::default();
    for (&person, &group) in people.iter().zip(groups) {
        *cells.entry((person, group)).or_default() += 1.0;
        *of_person.entry(person).or_default() += 1.0;
        *of_group.entry(group).or_default() += 1.0;
    }
    let faces = people.len().max(1) as f64;
    let (mut precision, mut recall) = (0.0, 0.0);
    let (mut parts_of_group, mut parts_of_person): (BTreeMap<u32, usize>, BTreeMap<u32, usize>) = Default::default();
    for ((person, group), count) in &cells {
        precision += count * count / of_group[group] / faces;
        recall += count * count / of_person[person] / faces;
        *parts_of_group.entry(*group).or_default() += 1;
        *parts_of_person.entry(*person).or_default() += 1;
    }
    let pairs = |counts: &mut dyn Iterator<Item = &f64>| counts.map(|n| n * (n - 1.0) / 2.0).sum::<f64>();
    let right = pairs(&mut cells.values());
    let (made, true_ones) = (pairs(&mut of_group.values()), pairs(&mut of_person.values()));
    let share = |of: f64| if of > 0.0 { right / of } else { 1.0 };
    let several = |parts: &BTreeMap<u32, usize>| parts.values().filter(|n| **n > 1).count();
    GroupScores {
        bcubed: Agreement::of(precision, recall),
        pairwise: Agreement::of(share(made), share(true_ones)),
        mixed_groups: several(&parts_of_group),
        split_people: several(&parts_of_person),
    }
}

/// One model's groups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelGrouping {
    /// What it was called by.
    pub name: String,
    /// Its id.
    pub model: String,
    /// Groups made.
    pub groups: usize,
    /// How right they are.
    #[serde(flatten)]
    pub scores: GroupScores,
    /// Groups with several people in them, each by its photos; the largest first, at most twenty.
    pub mixed: Vec<Vec<String>>,
    /// Seconds that the grouping took.
    pub grouping_seconds: f64,
}

/// Grouping measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupingReport {
    /// People.
    pub people: usize,
    /// Photos with a usable face.
    pub faces: usize,
    /// `linkage` or `whispers`.
    pub method: &'static str,
    /// Each model.
    pub models: Vec<ModelGrouping>,
    /// Photos from which no embedding came; they are in no score.
    pub failures: Vec<Failure>,
    /// Photos that came from the cache.
    pub from_cache: usize,
    /// Seconds from the first photo to the last number.
    pub seconds: f64,
    /// Where it was measured.
    pub machine: Machine,
}

/// Groups that are shown.
const SHOWN: usize = 20;

/// Groups the photos of labelled people without their labels, and holds the groups against them.
///
/// # Errors
/// [`EvalError::TooLittle`] without a model; [`crate::error::RefusalError::NotCalibrated`] for a model without a record;
/// a device's error.
#[allow(clippy::too_many_arguments)] // each is a separate choice of the caller's
pub fn grouping(
    engines: &[Engine],
    names: &[String],
    people: &[Person],
    method: Method,
    choice: FaceChoice,
    limits: &Limits,
    cache: &EmbeddingCache,
    done: &(dyn Fn() + Sync),
) -> Result<GroupingReport> {
    at_least_one(engines)?;
    let start = Instant::now();
    let photos: Vec<PathBuf> = people.iter().flat_map(|p| p.photos.iter().cloned()).collect();
    let owners: Vec<u32> = (0u32..).zip(people).flat_map(|(n, p)| std::iter::repeat_n(n, p.photos.len())).collect();
    let acquired = acquire(engines, &photos, choice, limits, cache, done)?;
    let (mut models, mut faces) = (Vec::new(), 0);
    for ((engine, name), samples) in engines.iter().zip(names).zip(&acquired.samples) {
        let usable: Vec<(usize, &Embedding)> =
            samples.iter().enumerate().filter_map(|(at, s)| Some((at, s.as_ref()?))).collect();
        let embeddings: Vec<Embedding> = usable.iter().map(|(_, e)| (*e).clone()).collect();
        let truth: Vec<u32> = usable.iter().map(|(at, _)| owners[*at]).collect();
        let began = Instant::now();
        let groups = engine.group_by(&embeddings, method)?;
        let grouping_seconds = began.elapsed().as_secs_f64();
        let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        groups.iter().zip(&usable).for_each(|(group, (at, _))| members.entry(*group).or_default().push(*at));
        let count = members.len();
        let mut mixed: Vec<Vec<usize>> =
            members.into_values().filter(|m| m.iter().any(|at| owners[*at] != owners[m[0]])).collect();
        mixed.sort_by_key(|m| std::cmp::Reverse(m.len()));
        mixed.truncate(SHOWN);
        let spelled = |at: &usize| crate::files::spelled(&photos[*at]);
        faces = faces.max(usable.len());
        models.push(ModelGrouping {
            name: name.clone(),
            model: engine.model().to_string(),
            groups: count,
            scores: group_scores(&truth, &groups),
            mixed: mixed.iter().map(|m| m.iter().map(spelled).collect()).collect(),
            grouping_seconds,
        });
    }
    Ok(GroupingReport {
        people: people.len(),
        faces,
        method: match method {
            Method::Linkage => "linkage",
            Method::Whispers => "whispers",
        },
        models,
        failures: acquired.failures,
        from_cache: acquired.from_cache,
        seconds: start.elapsed().as_secs_f64(),
        machine: Machine::of(&engines[0]),
    })
}

/// The people with at least so many photos.
///
/// # Errors
/// [`EvalError::TooLittle`] where nobody has.
pub fn with_photos(mut people: Vec<Person>, least: usize) -> Result<Vec<Person>, EvalError> {
    people.retain(|p| p.photos.len() >= least);
    if people.is_empty() {
        return Err(EvalError::TooLittle { reason: format!("nobody has {least} photos") });
    }
    Ok(people)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_definition() {
        // Person 0: a a b; person 1: b b. Precision: (1 + 1 + 1/3 + 2/3 + 2/3) / 5; recall: (2/3 + 2/3 + 1/3 + 1 + 1) / 5.
        let s = group_scores(&[0, 0, 0, 1, 1], &[7, 7, 3, 3, 3]);
        assert!((s.bcubed.precision - 11.0 / 15.0).abs() < 1e-12, "{s:?}");
        assert!((s.bcubed.recall - 11.0 / 15.0).abs() < 1e-12, "{s:?}");
        // Pairs: one of three and one of one are put together and right: 1 + 1 of 1 + 3 made, of 3 + 1 true ones.
        assert_eq!((s.pairwise.precision, s.pairwise.recall), (0.5, 0.5));
        assert_eq!((s.mixed_groups, s.split_people), (1, 1));
        let perfect = group_scores(&[4, 4, 9], &[1, 1, 0]);
        assert_eq!((perfect.bcubed.f1, perfect.pairwise.f1, perfect.mixed_groups), (1.0, 1.0, 0));
        // Nobody has two faces and nothing was put together.
        assert_eq!(group_scores(&[0, 1], &[0, 1]).pairwise.f1, 1.0);
        assert_eq!(group_scores(&[0, 1], &[0, 0]).pairwise.precision, 0.0);
    }
}
