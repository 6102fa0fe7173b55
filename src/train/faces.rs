//! Faces to learn from: chips in memory, with whose they are.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::error::{Error, ModelError, Result};
use crate::files::hex;
use crate::media::Raster;
use crate::nn::graph::Network;

/// Chips of one size, each with the number of its person.
#[derive(Debug, Clone, Default)]
pub struct FaceSet {
    chips: Vec<Raster>,
    people: Vec<usize>,
    /// A teacher's vector of each, or none at all.
    targets: Vec<Vec<f32>>,
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
        Ok(Self { chips, people, targets: Vec::new() })
    }

    /// The same faces with a teacher's vector of each, scaled to length one.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] for another number of vectors than of chips, vectors of several lengths, or one that is no
    /// direction.
    pub fn taught(mut self, targets: Vec<Vec<f32>>) -> Result<Self> {
        let invalid = |received: String, expected| ModelError::InvalidOption { option: "targets", received, expected };
        if targets.len() != self.chips.len() {
            let received = format!("{} chips, {} vectors", self.chips.len(), targets.len());
            return Err(invalid(received, "a vector for each chip").into());
        }
        let dimension = targets.first().map_or(0, Vec::len);
        let unit = |target: Vec<f32>| {
            let length = target.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let fits = target.len() == dimension && length.is_finite() && length > 0.0;
            fits.then(|| target.iter().map(|v| (f64::from(*v) / length) as f32).collect::<Vec<f32>>())
        };
        let units: Option<Vec<Vec<f32>>> = targets.into_iter().map(unit).collect();
        let received = || "a vector of nought, of no numbers or of another length".to_string();
        self.targets = units.ok_or_else(|| invalid(received(), "directions of one length"))?;
        Ok(self)
    }

    /// The teacher's vectors, of length one; empty where there is none.
    pub fn targets(&self) -> &[Vec<f32>] {
        &self.targets
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

    /// Faces and people that can be in a genuine pair, and people with one face, who cannot.
    pub fn paired(&self) -> (usize, usize, usize) {
        let counts = self.counts();
        let of = |single: bool| counts.values().filter(move |n| (**n == 1) == single);
        (of(false).sum(), of(false).count(), of(true).count())
    }

    fn counts(&self) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        self.people.iter().for_each(|p| *counts.entry(*p).or_default() += 1);
        counts
    }

    /// Hex sha256 of all chips, of who is on them, and of what a teacher made of them.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        for (chip, person) in self.chips.iter().zip(&self.people) {
            digest.update((*person as u64).to_le_bytes());
            digest.update(chip.data());
        }
        self.targets.iter().flatten().for_each(|v| digest.update(v.to_le_bytes()));
        hex(&digest.finalize())
    }

    /// Parts the people, `share` of those with two faces or more into the second set: no person is in both. At least two,
    /// where there are two, since impostor pairs take two people.
    pub fn hold_out(self, share: f64, seed: u64) -> (Self, Self) {
        let mut able: Vec<usize> = self.counts().into_iter().filter(|(_, n)| *n > 1).map(|(p, _)| p).collect();
        able.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let held = ((able.len() as f64 * share).round() as usize).clamp(2.min(able.len()), able.len());
        let held: BTreeSet<usize> = able[..held].iter().copied().collect();
        let out: Vec<bool> = self.people.iter().map(|person| held.contains(person)).collect();
        self.parted(&out)
    }

    /// As [`FaceSet::hold_out`] without regard to who is on a photo: `share` of the faces, at least one.
    pub fn hold_out_faces(self, share: f64, seed: u64) -> (Self, Self) {
        let mut places: Vec<usize> = (0..self.len()).collect();
        places.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let held = ((places.len() as f64 * share).round() as usize).clamp(1.min(places.len()), places.len());
        let mut out = vec![false; self.len()];
        places[..held].iter().for_each(|&place| out[place] = true);
        self.parted(&out)
    }

    /// Those of which `out` is false, and those of which it is true.
    fn parted(self, out: &[bool]) -> (Self, Self) {
        let (mut kept, mut held) = (Self::default(), Self::default());
        let mut targets = self.targets.into_iter();
        for ((chip, person), &out) in self.chips.into_iter().zip(self.people).zip(out) {
            let into = if out { &mut held } else { &mut kept };
            into.chips.push(chip);
            into.people.push(person);
            into.targets.extend(targets.next());
        }
        (kept, held)
    }
}

/// The refusal of faces that a run did not begin with.
pub(super) fn other_faces(faces: &FaceSet) -> Error {
    let received = format!("{} other faces", faces.len());
    ModelError::InvalidOption { option: "faces", received, expected: "the faces that the run began with" }.into()
}

/// Whether chips have the size that a network takes.
///
/// # Errors
/// [`ModelError::WrongChip`].
pub(super) fn fits(network: &Network, faces: &FaceSet) -> Result<()> {
    let (width, height) = network.chip_size();
    match faces.chips().first().filter(|c| (c.width(), c.height()) != (width, height)) {
        None => Ok(()),
        Some(other) => Err(ModelError::WrongChip {
            model: network.name().to_string(),
            expected: (width as usize, height as usize),
            received: (other.width() as usize, other.height() as usize),
        }
        .into()),
    }
}
