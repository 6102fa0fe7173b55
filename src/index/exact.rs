//! The exact scan: every vector is looked at, so the answer is the true one.
//!
//! Invariants, held against by `check`:
//! 1. `vectors` has `faces.len()` rows of `dimension` numbers; row `i` is the vector of `faces[i]`;
//! 2. `rows` gives the row of every face, and names nothing else.
//!
//! Removal moves the last row into the gap: there are no holes to skip.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use rayon::prelude::*;

use super::{Allowed, Index, Neighbour};
use crate::vector::{products, squared_distance};

/// Rows that one task scans: 2 MB of 128 numbers, a few hundred microseconds.
const SHARD: usize = 4096;
/// Rows whose products are computed at once: they stay in the first cache.
const BLOCK: usize = 64;

/// Contiguous vectors in memory.
#[derive(Debug, Clone)]
pub(crate) struct Exact {
    dimension: usize,
    vectors: Vec<f32>,
    faces: Vec<u64>,
    rows: HashMap<u64, usize>,
}

impl Exact {
    /// An empty index.
    pub(crate) fn new(dimension: usize) -> Self {
        Self { dimension, vectors: Vec::new(), faces: Vec::new(), rows: HashMap::new() }
    }

    /// The vector of a face.
    pub(crate) fn vector(&self, face: u64) -> Option<&[f32]> {
        self.rows.get(&face).map(|&at| self.row(at))
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.vectors[at * self.dimension..(at + 1) * self.dimension]
    }

    /// The best `count` of the rows from `start`, by product, in no order.
    fn scan(&self, probe: &[f32], start: usize, count: usize, allowed: Allowed) -> Vec<Candidate> {
        let end = (start + SHARD).min(self.faces.len());
        let mut best: BinaryHeap<Candidate> = BinaryHeap::with_capacity(count + 1);
        let mut found = [0f32; BLOCK];
        for first in (start..end).step_by(BLOCK) {
            let last = (first + BLOCK).min(end);
            let rows = &self.vectors[first * self.dimension..last * self.dimension];
            let found = &mut found[..last - first];
            products(probe, rows, found);
            for (at, &product) in (first..last).zip(found.iter()) {
                let candidate = Candidate { product, face: self.faces[at], at };
                let worth = best.len() < count || best.peek().is_some_and(|worst| candidate < *worst);
                if worth && allowed.is_none_or(|is| is(candidate.face)) {
                    best.push(candidate);
                    if best.len() > count {
                        best.pop();
                    }
                }
            }
        }
        best.into_vec()
    }
}

/// Orders better before worse: larger product first, then the smaller number.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    product: f32,
    face: u64,
    at: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        other.product.total_cmp(&self.product).then(self.face.cmp(&other.face))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// Candidates beyond `count` that are ranked again by true distance: products of nearly equal vectors
/// round away differences that distances keep.
const SPARE: usize = 8;

impl Index for Exact {
    fn len(&self) -> usize {
        self.faces.len()
    }

    fn insert(&mut self, face: u64, vector: &[f32]) {
        assert_eq!(vector.len(), self.dimension, "a vector of another dimension");
        if let Some(&at) = self.rows.get(&face) {
            self.vectors[at * self.dimension..(at + 1) * self.dimension].copy_from_slice(vector);
            return;
        }
        self.rows.insert(face, self.faces.len());
        self.faces.push(face);
        self.vectors.extend_from_slice(vector);
    }

    fn remove(&mut self, face: u64) -> bool {
        let Some(at) = self.rows.remove(&face) else { return false };
        let last = self.faces.len() - 1;
        if at != last {
            self.vectors.copy_within(last * self.dimension.., at * self.dimension);
            self.faces[at] = self.faces[last];
            self.rows.insert(self.faces[at], at);
        }
        self.faces.truncate(last);
        self.vectors.truncate(last * self.dimension);
        true
    }

    fn nearest(&self, probe: &[f32], count: usize, allowed: Allowed) -> Vec<Neighbour> {
        if count == 0 || probe.len() != self.dimension {
            return Vec::new();
        }
        let wanted = count.saturating_add(SPARE).min(self.faces.len());
        let starts: Vec<usize> = (0..self.faces.len()).step_by(SHARD).collect();
        let found: Vec<Candidate> = match starts.as_slice() {
            [] => Vec::new(),
            [only] => self.scan(probe, *only, wanted, allowed),
            _ => starts.par_iter().flat_map_iter(|&start| self.scan(probe, start, wanted, allowed)).collect(),
        };
        let mut near: Vec<Neighbour> = found
            .into_iter()
            .map(|c| Neighbour { face: c.face, distance: squared_distance(probe, self.row(c.at)).sqrt() })
            .collect();
        near.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.face.cmp(&b.face)));
        near.truncate(count);
        near
    }

    fn check(&self) -> Result<(), String> {
        if self.vectors.len() != self.faces.len() * self.dimension || self.rows.len() != self.faces.len() {
            let (n, rows) = (self.vectors.len(), self.rows.len());
            return Err(format!(
                "{} faces, {rows} rows, {n} numbers of dimension {}",
                self.faces.len(),
                self.dimension
            ));
        }
        for (at, face) in self.faces.iter().enumerate() {
            if self.rows.get(face) != Some(&at) {
                return Err(format!("face {face} stands in row {at}, and is looked for in {:?}", self.rows.get(face)));
            }
            let length = self.row(at).iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            if (length - 1.0).abs() > 1e-3 {
                return Err(format!("the vector of face {face} has length {length}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn unit(rng: &mut ChaCha8Rng, dimension: usize) -> Vec<f32> {
        let v: Vec<f32> = (0..dimension).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
        v.iter().map(|x| x / length).collect()
    }

    fn by_hand(kept: &[(u64, Vec<f32>)], probe: &[f32], count: usize, allowed: impl Fn(u64) -> bool) -> Vec<u64> {
        let distance = |v: &[f32]| -> f64 {
            v.iter().zip(probe).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
        };
        let mut all: Vec<(f64, u64)> =
            kept.iter().filter(|(f, _)| allowed(*f)).map(|(f, v)| (distance(v), *f)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(count).map(|(_, f)| f).collect()
    }

    #[test]
    fn the_nearest_are_the_true_ones_whatever_was_added_and_removed() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for (dimension, faces) in [(3, 50), (128, 300), (16, 3 * SHARD + 17)] {
            let mut index = Exact::new(dimension);
            let mut kept: Vec<(u64, Vec<f32>)> = Vec::new();
            for face in 0..faces as u64 {
                let v = unit(&mut rng, dimension);
                index.insert(face, &v);
                kept.push((face, v));
            }
            for _ in 0..faces / 3 {
                let (gone, _) = kept.swap_remove(rng.random_range(0..kept.len()));
                assert!(index.remove(gone));
                assert!(!index.remove(gone));
            }
            let replaced = unit(&mut rng, dimension);
            let at = rng.random_range(0..kept.len());
            index.insert(kept[at].0, &replaced);
            kept[at].1 = replaced;
            index.check().unwrap();
            assert_eq!(index.len(), kept.len());
            for _ in 0..20 {
                let probe = unit(&mut rng, dimension);
                for count in [1, 10] {
                    let got: Vec<u64> = index.nearest(&probe, count, None).iter().map(|n| n.face).collect();
                    assert_eq!(got, by_hand(&kept, &probe, count, |_| true));
                    let even = |f: u64| f.is_multiple_of(16);
                    let got: Vec<u64> = index.nearest(&probe, count, Some(&even)).iter().map(|n| n.face).collect();
                    assert_eq!(got, by_hand(&kept, &probe, count, even));
                }
            }
        }
    }

    #[test]
    fn empty_duplicate_and_ill_fitting_probes() {
        let mut index = Exact::new(2);
        assert!(index.nearest(&[1.0, 0.0], 5, None).is_empty());
        for face in [5, 3, 9] {
            index.insert(face, &[0.6, 0.8]);
        }
        let found = index.nearest(&[0.6, 0.8], 5, None);
        assert_eq!(found.iter().map(|n| n.face).collect::<Vec<_>>(), [3, 5, 9]);
        assert!(found.iter().all(|n| n.distance == 0.0));
        assert!(index.nearest(&[1.0, 0.0, 0.0], 5, None).is_empty(), "another dimension");
        assert!(index.nearest(&[1.0, 0.0], 0, None).is_empty());
        assert!(index.nearest(&[1.0, 0.0], 5, Some(&|_| false)).is_empty());
        let lost = index.nearest(&[f32::NAN, 0.0], 2, None);
        assert!(lost.iter().all(|n| n.distance.is_nan()), "a probe that is no vector is near nobody");
        for face in [3, 5, 9] {
            index.remove(face);
        }
        index.check().unwrap();
        assert_eq!(index.len(), 0);
    }
}
