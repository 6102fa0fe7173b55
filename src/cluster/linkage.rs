//! Agglomerative clustering over the neighbours' graph.
//!
//! For unit vectors the mean cosine between two groups is the product of their sums over the product of their sizes
//! (average linkage), and the cosine between their mean directions is that product over the product of the sums' lengths
//! (centroid linkage), so a group is one vector however large it is. The first is strict with faces that are unlike their
//! group, as one in profile is; the second is lenient with groups that are no person's. Two groups are as alike as the
//! geometric mean of both says, which on people of folds 1 and 2 of LFW was a little better than either.
//!
//! Merged are the two groups most alike, as long as they are alike enough. Each group has its best partner in a heap, so
//! that this is linear in memory, however many faces one person has: of the pair that is best of all, the one that has
//! grown last has looked at all its neighbours since. Then those that have changed are asked for
//! their neighbours anew, by their mean directions, until nothing merges: what a burst of one scene has hidden among its
//! own neighbours is found then, and what is near to a person and not to one of their faces.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};

use super::faces::{Nearest, Options, Rows, dot};
use super::rules::{Kept, Rules, join, root};

/// Rounds of asking for groups' neighbours, at most: each has fewer groups than the one before.
const ROUNDS: usize = 8;
/// Faces less alike than this share of the line are no neighbours: groups alike enough have a nearer pair of faces.
const NEAR: f32 = 0.75;

/// A group and the best of its partners, and how far they were above their line when both were at these versions.
#[derive(Debug, Clone, Copy)]
struct Pair {
    worth: f32,
    group: u32,
    partner: u32,
    versions: (u32, u32),
}

impl Pair {
    /// By their first rows.
    fn ordered(&self) -> (u32, u32) {
        (self.group.min(self.partner), self.group.max(self.partner))
    }
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        // The largest worth first, then the first rows: the order does not depend on how the heap was filled.
        self.worth.total_cmp(&other.worth).then(other.ordered().cmp(&self.ordered()))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

/// How alike two groups are, of the product of their sums, and of each its size and the length of its sum.
pub(super) fn alike(product: f32, a: (u32, f32), b: (u32, f32)) -> f32 {
    let weight = |(size, length): (u32, f32)| size as f32 * length;
    product / (weight(a) * weight(b)).sqrt().max(f32::MIN_POSITIVE)
}

struct Groups<'a> {
    parent: Vec<u32>,
    sizes: Vec<u32>,
    versions: Vec<u32>,
    sums: Vec<f32>,
    lengths: Vec<f32>,
    /// Groups near each, by any row that was in them.
    near: Vec<Vec<u32>>,
    /// Groups that have grown since they were asked for their neighbours.
    grown: BTreeSet<u32>,
    dimension: usize,
    kept: Kept,
    options: &'a Options,
    heap: BinaryHeap<Pair>,
}

pub(super) fn group(rows: Rows, rules: &Rules, options: &Options, nearest: Nearest) -> Vec<u32> {
    let count = rows.len();
    let mut groups = Groups {
        parent: (0..count as u32).collect(),
        sizes: vec![1; count],
        versions: vec![0; count],
        sums: (0..count).flat_map(|at| rows.row(at)).copied().collect(),
        lengths: vec![1.0; count],
        near: vec![Vec::new(); count],
        grown: BTreeSet::new(),
        dimension: rows.dimension(),
        kept: rules.begin(),
        options,
        heap: BinaryHeap::new(),
    };
    let all: Vec<u32> = (0..count as u32).collect();
    for (row, near) in all.iter().zip(nearest(rows, &all, options.neighbours)) {
        groups.meet(*row, &near, &all);
    }
    for row in 0..count as u32 {
        let atom = rules.atom(row);
        if atom != row {
            groups.join(atom, row);
        }
    }
    groups.weigh_all();
    groups.merge();
    for _ in 0..ROUNDS {
        if !groups.ask_again(nearest) || !groups.merge() {
            break;
        }
    }
    (0..count as u32).map(|row| root(&mut groups.parent, row)).collect()
}

impl Groups<'_> {
    fn sum(&self, group: u32) -> &[f32] {
        &self.sums[group as usize * self.dimension..(group as usize + 1) * self.dimension]
    }

    /// Notes which rows (by their places in `of`) are near a group.
    fn meet(&mut self, group: u32, near: &[(u32, f32)], of: &[u32]) {
        let floor = NEAR * self.options.line.lowest();
        for (place, _) in near.iter().filter(|(_, cosine)| *cosine >= floor) {
            let other = of[*place as usize];
            if other != group {
                self.near[group as usize].push(other);
                self.near[other as usize].push(group);
            }
        }
    }

    /// How far two groups are above their line.
    fn worth(&self, a: u32, b: u32) -> f32 {
        let of = |group: u32| (self.sizes[group as usize], self.lengths[group as usize]);
        alike(dot(self.sum(a), self.sum(b)), of(a), of(b))
            - self.options.line.between(self.sizes[a as usize], self.sizes[b as usize])
    }

    /// Puts a group with the best of its neighbours into the heap, if any may be one with it and is alike enough.
    fn weigh(&mut self, group: u32) {
        let near = self.neighbours(group);
        let version = |of: u32| self.versions[of as usize];
        let may = near.iter().filter(|other| self.kept.may_join(group, **other));
        let pairs = may.map(|&partner| Pair {
            worth: self.worth(group.min(partner), group.max(partner)),
            group,
            partner,
            versions: (version(group), version(partner)),
        });
        if let Some(best) = pairs.filter(|pair| pair.worth >= 0.0).max() {
            self.heap.push(best);
        }
    }

    /// Weighs every group.
    fn weigh_all(&mut self) {
        for group in 0..self.parent.len() as u32 {
            if self.parent[group as usize] == group {
                self.weigh(group);
            }
        }
    }

    /// Groups near a group, each once.
    fn neighbours(&mut self, group: u32) -> Vec<u32> {
        let mut near = std::mem::take(&mut self.near[group as usize]);
        near.iter_mut().for_each(|other| *other = root(&mut self.parent, *other));
        near.sort_unstable();
        near.dedup();
        near.retain(|other| *other != group);
        self.near[group as usize].clone_from(&near);
        near
    }

    /// Makes two groups one, called by the first of their rows.
    fn join(&mut self, a: u32, b: u32) -> u32 {
        let (a, b) = (root(&mut self.parent, a), root(&mut self.parent, b));
        let (kept, gone) = (a.min(b), a.max(b));
        if kept == gone {
            return kept;
        }
        join(&mut self.parent, kept, gone);
        self.kept.joined(kept, gone);
        let (before, after) = self.sums.split_at_mut(gone as usize * self.dimension);
        let into = &mut before[kept as usize * self.dimension..(kept as usize + 1) * self.dimension];
        into.iter_mut().zip(&after[..self.dimension]).for_each(|(into, from)| *into += from);
        self.lengths[kept as usize] = dot(into, into).sqrt();
        self.sizes[kept as usize] += self.sizes[gone as usize];
        self.versions[kept as usize] += 1;
        let near = std::mem::take(&mut self.near[gone as usize]);
        self.near[kept as usize].extend(near);
        self.grown.remove(&gone);
        self.grown.insert(kept);
        kept
    }

    /// Merges while any two groups are alike enough; whether any were.
    fn merge(&mut self) -> bool {
        let mut merged = false;
        while let Some(pair) = self.heap.pop() {
            let is_now = |g: u32, version: u32| self.parent[g as usize] == g && self.versions[g as usize] == version;
            // Of a group that has grown a younger one is there.
            if !is_now(pair.group, pair.versions.0) {
                continue;
            }
            if !is_now(pair.partner, pair.versions.1) || !self.kept.may_join(pair.group, pair.partner) {
                self.weigh(pair.group);
                continue;
            }
            let group = self.join(pair.group, pair.partner);
            merged = true;
            self.weigh(group);
        }
        merged
    }

    /// Asks for the neighbours of groups that have grown; whether there are any.
    fn ask_again(&mut self, nearest: Nearest) -> bool {
        let grown = std::mem::take(&mut self.grown);
        if grown.is_empty() {
            return false;
        }
        let roots: Vec<u32> = (0..self.parent.len() as u32).filter(|&g| self.parent[g as usize] == g).collect();
        let mut means = Vec::with_capacity(roots.len() * self.dimension);
        for &group in &roots {
            let length = self.lengths[group as usize].max(f32::MIN_POSITIVE);
            means.extend(self.sum(group).iter().map(|s| s / length));
        }
        let probes: Vec<u32> =
            roots.iter().enumerate().filter(|(_, g)| grown.contains(g)).map(|(at, _)| at as u32).collect();
        let near = nearest(Rows::new(&means, self.dimension), &probes, self.options.neighbours);
        for (probe, near) in probes.iter().zip(near) {
            let group = roots[*probe as usize];
            self.meet(group, &near, &roots);
        }
        probes.iter().for_each(|probe| self.weigh(roots[*probe as usize]));
        true
    }
}
