//! Faces to learn from: chips in memory, with whose they are.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::error::{ModelError, Result};
use crate::files::hex;
use crate::media::Raster;

/// Chips of one size, each with the number of its person.
#[derive(Debug, Clone, Default)]
pub struct FaceSet {
    chips: Vec<Raster>,
    people: Vec<usize>,
}

impl FaceSet {
    /// A set; `people` has the number of each chip's person.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] for other numbers of people than of chips, or for chips of several sizes.
    pub fn new(chips: Vec<Raster>, people: Vec<usize>) -> Result<Self> {
        let size = |c: &Raster| (c.width(), c.height());
        let invalid = |received: String, expected| ModelError::InvalidOption { option: "faces", received, expected };
        if chips.len() != people.len() {
            let received = format!("{} chips, {} people", chips.len(), people.len());
            return Err(invalid(received, "a person's number for each chip").into());
        }
        if let Some(other) = chips.iter().find(|c| size(c) != size(&chips[0])) {
            return Err(invalid(format!("{:?} and {:?}", size(&chips[0]), size(other)), "chips of one size").into());
        }
        Ok(Self { chips, people })
    }

    /// How many faces.
    pub fn len(&self) -> usize {
        self.chips.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chips.is_empty()
    }

    /// The chips.
    pub fn chips(&self) -> &[Raster] {
        &self.chips
    }

    /// Each face's person.
    pub fn people(&self) -> &[usize] {
        &self.people
    }

    /// How many different people.
    pub fn people_count(&self) -> usize {
        self.people.iter().collect::<BTreeSet<_>>().len()
    }

    /// Hex sha256 of all chips and of who is on them.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        for (chip, person) in self.chips.iter().zip(&self.people) {
            digest.update((*person as u64).to_le_bytes());
            digest.update(chip.data());
        }
        hex(&digest.finalize())
    }

    /// Parts the people, `share` of those with two faces or more (at least one) into the second set: no person is in both.
    pub fn hold_out(self, share: f64, seed: u64) -> (Self, Self) {
        let mut counts = BTreeMap::<usize, usize>::new();
        self.people.iter().for_each(|p| *counts.entry(*p).or_default() += 1);
        let mut able: Vec<usize> = counts.into_iter().filter(|(_, n)| *n > 1).map(|(p, _)| p).collect();
        able.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let held = ((able.len() as f64 * share).round() as usize).clamp(1.min(able.len()), able.len());
        let held: BTreeSet<usize> = able[..held].iter().copied().collect();
        let (mut kept, mut out) = (Self::default(), Self::default());
        for (chip, person) in self.chips.into_iter().zip(self.people) {
            let into = if held.contains(&person) { &mut out } else { &mut kept };
            into.chips.push(chip);
            into.people.push(person);
        }
        (kept, out)
    }
}
