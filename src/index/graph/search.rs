//! Walks through the graph.

use std::sync::PoisonError;

use super::super::rows::{Probe, Rows};
use super::super::{FaceFilter, Neighbour};
use super::Graph;
use super::scratch::{Candidate, SEEN, Scratch};
use crate::vector::{CodedProbe, products_at};

/// Pivots that a walk starts from.
const STARTS: usize = 8;
/// A walk that has to keep more candidates than this, times its width, since most are no answers, gives
/// up: the exact scan is quicker then.
const STRETCH: usize = 8;
/// Faces whose permission is asked to learn how selective a filter is.
const ASKED: usize = 128;
/// Filters that let fewer than one in this many faces through are answered by the exact scan.
const SELECTIVE: usize = 8;
/// Candidates that are ranked by their vectors, beside twice those asked for.
const RANKED: usize = 32;

impl Graph {
    pub(super) fn borrow(&self) -> Scratch {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, scratch: Scratch) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }

    /// Fills the pool with the `width` best candidates that `counts`, and those between them that do not;
    /// `false` when so few count that the walk gave up.
    pub(super) fn walk(
        &self,
        rows: &Rows,
        probe: &CodedProbe,
        width: usize,
        counts: impl Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.begin(rows.rows());
        let layout = rows.layout();
        let mut room = width;
        scratch.products.resize(self.pivots.len().max(self.parameters.degree), 0);
        let products = &mut scratch.products[..self.pivots.len()];
        products_at(probe, layout, &self.pivots, products);
        scratch.starts.clear();
        scratch.starts.extend(products.iter().copied().zip(self.pivots.iter().copied()));
        let starts = scratch.starts.len().min(STARTS);
        if starts > 0 {
            scratch.starts.select_nth_unstable_by(starts - 1, |a, b| b.cmp(a));
        }
        for at in 0..starts {
            let (product, row) = scratch.starts[at];
            scratch.first_time(row);
            room += usize::from(!counts(row));
            insert(&mut scratch.pool, Candidate { product, marked: row }, room);
        }
        let mut at = 0;
        while at < scratch.pool.len() {
            let candidate = scratch.pool[at];
            if candidate.marked & SEEN != 0 {
                at += 1;
                continue;
            }
            scratch.pool[at].marked |= SEEN;
            let mut fresh = std::mem::take(&mut scratch.fresh);
            fresh.clear();
            for &next in self.links.row(candidate.row()) {
                if next == super::NONE {
                    break;
                }
                if scratch.first_time(next) {
                    fresh.push(next);
                }
            }
            let products = &mut scratch.products[..fresh.len()];
            products_at(probe, layout, &fresh, products);
            let mut first = at + 1;
            for (&row, &product) in fresh.iter().zip(products.iter()) {
                if scratch.pool.len() >= room && scratch.pool.last().is_some_and(|worst| product <= worst.product) {
                    continue;
                }
                room += usize::from(!counts(row));
                first = first.min(insert(&mut scratch.pool, Candidate { product, marked: row }, room));
            }
            scratch.fresh = fresh;
            if room > width * STRETCH + STARTS {
                return false;
            }
            at = first;
        }
        true
    }

    /// The nearest by a walk; `None` where the exact scan answers better.
    pub(crate) fn nearest_by(
        &self,
        rows: &Rows,
        probe: &Probe,
        count: usize,
        allowed: FaceFilter,
        width: usize,
    ) -> Option<Vec<Neighbour>> {
        if let Some(is) = allowed {
            // Spread over all rows, so that faces enrolled one after the other do not stand for all.
            let step = (rows.rows() / ASKED).max(1);
            let asked = (0..rows.rows()).step_by(step).filter_map(|row| rows.face(row as u32));
            let (mut all, mut taken) = (0, 0);
            asked.for_each(|face| {
                all += 1;
                taken += usize::from(is(face));
            });
            if taken * SELECTIVE < all {
                return None;
            }
        }
        let width = width.max(2 * count);
        if width * 4 > rows.len() {
            return None;
        }
        let takes = |row: u32| rows.face(row).is_some_and(|f| allowed.is_none_or(|is| is(f)));
        let mut scratch = self.borrow();
        let arrived = match (allowed, self.dead.is_empty()) {
            (None, true) => self.walk(rows, &probe.coded, width, |_| true, &mut scratch),
            _ => self.walk(rows, &probe.coded, width, takes, &mut scratch),
        };
        let mut found: Vec<(i32, u32)> = if arrived {
            let ranked = RANKED + 2 * count;
            scratch.pool.iter().filter(|c| takes(c.row())).take(ranked).map(|c| (c.product, c.row())).collect()
        } else {
            Vec::new()
        };
        self.give_back(scratch);
        if !arrived {
            return None;
        }
        if !self.tail.is_empty() {
            let mut products = vec![0; self.tail.len()];
            products_at(&probe.coded, rows.layout(), &self.tail, &mut products);
            let mut waiting: Vec<(i32, u32)> = products.into_iter().zip(self.tail.iter().copied()).collect();
            waiting.sort_unstable_by(|a, b| b.cmp(a));
            // As exactly as in the exact scan: whatever may be among the nearest of the tail is ranked.
            let taken: Vec<(i32, u32)> = waiting.into_iter().filter(|(_, row)| takes(*row)).collect();
            let cutoff = taken.get(count.saturating_sub(1)).map_or(i32::MIN, |(p, _)| p.saturating_sub(probe.margin));
            found.extend(taken.into_iter().take_while(|(p, _)| *p >= cutoff));
            found.sort_unstable_by_key(|&(_, row)| row);
            found.dedup_by_key(|(_, row)| *row);
        }
        let near = rows.rank(found.into_iter().map(|(_, row)| row), probe.values, count);
        // Fewer than asked for, where there may be more: the scan knows.
        (near.len() == count.min(rows.len())).then_some(near)
    }
}

/// Puts a candidate in its place among the `room` best; returns the place.
#[inline]
fn insert(pool: &mut Vec<Candidate>, candidate: Candidate, room: usize) -> usize {
    let at = pool.partition_point(|c| c.product >= candidate.product);
    pool.truncate(room - 1);
    if at <= pool.len() {
        pool.insert(at, candidate);
    }
    at
}
