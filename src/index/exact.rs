//! The exact scan: every row is looked at, so the answer is the true one.
//!
//! Products of 8-bit codes are computed for all rows; those within [`Probe::margin`] of the k-th best are
//! ranked again by the distance of the vectors themselves. The margin is a bound, not a guess, so no true
//! neighbour is lost. Large galleries are scanned on all cores, and the k-th best of one part cuts off the
//! others.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicI32, Ordering};

use rayon::prelude::*;

use super::rows::{Probe, Rows};
use super::table::CHUNK_BITS;
use super::{FaceFilter, Neighbour};
use crate::vector::{Held, products_in};

/// Rows whose products are computed at once: their codes stay in the first cache for the next probe.
const BLOCK: usize = 128;
/// Codes that are worth another core: some fifty microseconds of scanning.
const WORTH_A_CORE: usize = 1 << 21;
/// Probes that share one pass over the codes.
const TOGETHER: usize = 32;

/// The rows that can still be among the nearest `count`.
struct Keeper<'a> {
    count: usize,
    margin: i32,
    /// Products below this are out.
    cutoff: i32,
    held: Vec<(i32, u32)>,
    /// How many are held before the hopeless are dropped.
    full: usize,
    /// The best cutoff of all parts.
    shared: &'a AtomicI32,
}

impl<'a> Keeper<'a> {
    fn new(count: usize, margin: i32, shared: &'a AtomicI32) -> Self {
        let full = 2 * count + 64;
        Self { count, margin, cutoff: shared.load(Ordering::Relaxed), held: Vec::with_capacity(full), full, shared }
    }

    fn keep(&mut self, product: i32, row: u32) {
        self.held.push((product, row));
        if self.held.len() >= self.full {
            self.drop_hopeless();
            self.full = (2 * self.held.len()).max(2 * self.count + 64);
        }
    }

    fn drop_hopeless(&mut self) {
        if self.held.len() > self.count {
            let (_, &mut (kth, _), _) = self.held.select_nth_unstable_by_key(self.count - 1, |&(p, _)| Reverse(p));
            let cutoff = kth.saturating_sub(self.margin);
            // The k-th best of a part is no better than that of the whole: it may cut there too.
            self.shared.fetch_max(cutoff, Ordering::Relaxed);
        }
        self.cutoff = self.cutoff.max(self.shared.load(Ordering::Relaxed));
        self.held.retain(|&(p, _)| p >= self.cutoff);
    }
}

/// Looks at the rows of one chunk.
fn scan(rows: &Rows, chunk: usize, probes: &[Probe], keepers: &mut [Keeper], allowed: FaceFilter) {
    let codes = &rows.chunks()[chunk];
    let stride = rows.layout().stride;
    let mut products = [0i32; BLOCK];
    for (block, codes) in codes.chunks(BLOCK * stride).enumerate() {
        let first = (chunk << CHUNK_BITS) + block * BLOCK;
        let products = &mut products[..codes.len() / stride];
        let mut held = Held::Memory;
        for (probe, keeper) in probes.iter().zip(keepers.iter_mut()) {
            products_in(&probe.coded, codes, held, products);
            held = Held::Cache;
            if products.iter().fold(i32::MIN, |m, &p| m.max(p)) < keeper.cutoff {
                continue;
            }
            for (row, &product) in (first as u32..).zip(products.iter()) {
                if product >= keeper.cutoff
                    && let Some(face) = rows.face(row)
                    && allowed.is_none_or(|is| is(face))
                {
                    keeper.keep(product, row);
                }
            }
        }
    }
}

/// The true nearest of each probe, nearest first; an empty answer for what is no vector of this space.
pub(super) fn nearest_of_each(
    rows: &Rows,
    probes: &[&[f32]],
    count: usize,
    allowed: FaceFilter,
) -> Vec<Vec<Neighbour>> {
    let answer = |probes: &&[&[f32]]| -> Vec<Vec<Neighbour>> {
        let coded: Vec<Option<Probe>> = probes.iter().map(|p| rows.probe(p)).collect();
        let fit: Vec<bool> = coded.iter().map(Option::is_some).collect();
        let usable: Vec<Probe> = coded.into_iter().flatten().collect();
        let mut found = together(rows, &usable, count, allowed).into_iter();
        fit.into_iter().map(|fits| if fits { found.next().unwrap_or_default() } else { Vec::new() }).collect()
    };
    let groups: Vec<&[&[f32]]> = probes.chunks(TOGETHER).collect();
    match groups.as_slice() {
        [one] => answer(one),
        // Groups go to cores, and each group's scan stays on its core when there are enough of them.
        _ => groups.par_iter().flat_map_iter(answer).collect(),
    }
}

fn together(rows: &Rows, probes: &[Probe], count: usize, allowed: FaceFilter) -> Vec<Vec<Neighbour>> {
    let count = count.min(rows.len());
    if count == 0 || probes.is_empty() {
        return vec![Vec::new(); probes.len()];
    }
    let cutoffs: Vec<AtomicI32> = probes.iter().map(|_| AtomicI32::new(i32::MIN)).collect();
    let keepers = || -> Vec<Keeper> {
        probes.iter().zip(&cutoffs).map(|(p, cutoff)| Keeper::new(count, p.margin, cutoff)).collect()
    };
    let chunks: Vec<usize> = (0..rows.chunks().len()).collect();
    let part = |chunks: &[usize]| {
        let mut keepers = keepers();
        chunks.iter().for_each(|&c| scan(rows, c, probes, &mut keepers, allowed));
        keepers.iter_mut().for_each(Keeper::drop_hopeless);
        keepers.into_iter().map(|k| k.held).collect::<Vec<_>>()
    };
    let bytes = rows.rows() * rows.layout().stride;
    let parts: Vec<Vec<Vec<(i32, u32)>>> = if bytes < 2 * WORTH_A_CORE || rayon::current_num_threads() == 1 {
        vec![part(&chunks)]
    } else {
        let cores = rayon::current_num_threads().min(bytes / WORTH_A_CORE).max(1);
        chunks.par_chunks(chunks.len().div_ceil(cores)).map(part).collect()
    };
    let ranked = probes.iter().enumerate().map(|(at, probe)| {
        let cutoff = cutoffs[at].load(Ordering::Relaxed);
        let held = parts.iter().flat_map(|p| &p[at]).filter(|(p, _)| *p >= cutoff);
        let mut held: Vec<(i32, u32)> = held.copied().collect();
        if held.len() > count {
            let (_, &mut (kth, _), _) = held.select_nth_unstable_by_key(count - 1, |&(p, _)| Reverse(p));
            held.retain(|&(p, _)| p >= kth.saturating_sub(probe.margin));
        }
        rows.rank(held.into_iter().map(|(_, row)| row), probe.values, count)
    });
    ranked.collect()
}
