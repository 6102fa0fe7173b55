//! Batches of P people with K faces each, so that every batch has genuine pairs (Schroff et al. 2015, section 3.2).
//!
//! An epoch shows each person once. Batches follow from the seed and the number of the epoch alone, so that a run that
//! goes on from a checkpoint sees what it would have seen. A person with one face forms no genuine pair and is left out
//! ([`Sampler::single`]); one with fewer than K faces is shown with each of them before any is repeated. The last batch
//! is filled up with people of the epoch's beginning who are not in it.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::TrainError;

/// Draws batches.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// Places of each usable person's faces.
    faces: Vec<Vec<usize>>,
    people: usize,
    each: usize,
    seed: u64,
    single: usize,
}

impl Sampler {
    /// Batches of `people` people with `each` faces, from faces of people `labels`.
    ///
    /// # Errors
    /// [`TrainError::TooFewPeople`] where fewer people than that have two faces, or fewer than two.
    pub fn new(labels: &[usize], people: usize, each: usize, seed: u64) -> Result<Self, TrainError> {
        let mut by_person = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        labels.iter().enumerate().for_each(|(place, person)| by_person.entry(*person).or_default().push(place));
        let (faces, single): (Vec<_>, Vec<_>) = by_person.into_values().partition(|faces| faces.len() > 1);
        let wanted = people.max(2);
        if faces.len() < wanted {
            return Err(TrainError::TooFewPeople { usable: faces.len(), wanted, single: single.len() });
        }
        Ok(Self { faces, people: wanted, each: each.max(2), seed, single: single.len() })
    }

    /// Batches of `together` of `count` faces, whoever is on them; each is shown once an epoch.
    ///
    /// # Errors
    /// [`TrainError::TooFewFaces`] for fewer faces than that.
    pub fn of_faces(count: usize, together: usize, seed: u64) -> Result<Self, TrainError> {
        let wanted = together.max(2);
        if count < wanted {
            return Err(TrainError::TooFewFaces { usable: count, wanted });
        }
        let faces = (0..count).map(|face| vec![face]).collect();
        Ok(Self { faces, people: wanted, each: 1, seed, single: 0 })
    }

    /// People with one face, who are not shown.
    pub fn single(&self) -> usize {
        self.single
    }

    /// People who are shown.
    pub fn people(&self) -> usize {
        self.faces.len()
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        self.faces.len().div_ceil(self.people)
    }

    /// Faces of a batch.
    pub fn batch_size(&self) -> usize {
        self.people * self.each
    }

    /// The epoch's batches: places of faces, K of one person after the other.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch);
        let mut order: Vec<usize> = (0..self.faces.len()).collect();
        order.shuffle(&mut rng);
        let missing = self.batches() * self.people - order.len();
        // The last batch begins behind them, since all batches together are no shorter than two of them.
        let again: Vec<usize> = order[..missing].to_vec();
        order.extend(again);
        let batch = |people: &[usize], rng: &mut ChaCha8Rng| {
            let mut batch = Vec::with_capacity(self.batch_size());
            for &person in people {
                let mut left = self.each;
                while left > 0 {
                    let mut faces = self.faces[person].clone();
                    faces.shuffle(rng);
                    faces.truncate(left);
                    left -= faces.len();
                    batch.extend(faces);
                }
            }
            batch
        };
        order.chunks(self.people).map(|people| batch(people, &mut rng)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// People with these numbers of faces.
    fn labels(counts: &[usize]) -> Vec<usize> {
        counts.iter().enumerate().flat_map(|(person, &n)| std::iter::repeat_n(person, n)).collect()
    }

    #[test]
    fn an_epoch_shows_everybody_in_batches_of_people_and_faces() {
        let labels = labels(&[5, 2, 3, 1, 9, 4, 2, 1]);
        let sampler = Sampler::new(&labels, 4, 3, 7).unwrap();
        assert_eq!((sampler.single(), sampler.people(), sampler.batches(), sampler.batch_size()), (2, 6, 2, 12));
        let mut different = BTreeSet::new();
        for epoch in 0..20 {
            let batches = sampler.epoch(epoch);
            assert_eq!(batches, sampler.epoch(epoch));
            let mut shown = BTreeMap::<usize, usize>::new();
            for batch in &batches {
                assert_eq!(batch.len(), 12);
                let mut people = BTreeSet::new();
                for three in batch.chunks(3) {
                    let who: BTreeSet<usize> = three.iter().map(|&f| labels[f]).collect();
                    assert_eq!(who.len(), 1, "K faces of one person together");
                    let person = *who.first().unwrap();
                    assert!(people.insert(person), "nobody twice in a batch");
                    *shown.entry(person).or_default() += 1;
                    let faces = labels.iter().filter(|l| **l == person).count();
                    let distinct: BTreeSet<_> = three.iter().collect();
                    assert_eq!(distinct.len(), faces.min(3), "no face again before all were shown");
                }
            }
            assert_eq!(shown.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6]);
            assert_eq!(shown.values().sum::<usize>(), 8);
            different.insert(batches);
        }
        assert!(different.len() > 15, "epochs differ");
        assert_ne!(sampler.epoch(0), Sampler::new(&labels, 4, 3, 8).unwrap().epoch(0));
    }

    #[test]
    fn faces_without_people_are_each_shown_once() {
        let sampler = Sampler::of_faces(23, 5, 3).unwrap();
        assert_eq!((sampler.batches(), sampler.batch_size(), sampler.single()), (5, 5, 0));
        let batches = sampler.epoch(1);
        assert!(batches.iter().all(|b| b.len() == 5 && b.iter().collect::<BTreeSet<_>>().len() == 5));
        let shown: Vec<usize> = batches.concat();
        assert_eq!(shown[..23].iter().copied().collect::<BTreeSet<_>>().len(), 23);
        assert_eq!(Sampler::of_faces(4, 5, 3).unwrap_err(), TrainError::TooFewFaces { usable: 4, wanted: 5 });
    }

    #[test]
    fn too_few_people_are_refused_with_their_numbers() {
        let wanted = TrainError::TooFewPeople { usable: 2, wanted: 3, single: 1 };
        assert_eq!(Sampler::new(&labels(&[2, 1, 4]), 3, 2, 0).unwrap_err(), wanted);
        assert_eq!(Sampler::new(&labels(&[3]), 1, 2, 0).unwrap_err().code(), "train.too_few_people");
        assert!(Sampler::new(&[], 2, 2, 0).is_err());
        // Nobody can be missing twice: two people in batches of two, three of two, five of four.
        for (people, at) in [(2, 2), (3, 2), (5, 4), (7, 5)] {
            let sampler = Sampler::new(&labels(&vec![2; people]), at, 2, 1).unwrap();
            for batch in sampler.epoch(3) {
                assert_eq!(batch.iter().map(|f| f / 2).collect::<BTreeSet<_>>().len(), at);
            }
        }
    }
}
