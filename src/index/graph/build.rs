//! Growing, sweeping and building.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::super::rows::Rows;
use super::{Graph, NONE, Parameters};
use crate::vector::{CodedProbe, products_at};

/// Largest batch, as a share of the rows linked already: its rows do not see each other.
const BATCH_SHARE: usize = 32;
/// Rows in the first batches.
const FIRST_BATCH: usize = 16;
/// Tails up to this long are scanned, longer ones are linked.
const TAIL: usize = 1024;
/// Rows linked in one go of upkeep: a few milliseconds.
const UPKEEP: usize = 16;
/// Removed rows that are stepped on before a sweep, and swept at once.
const SWEEP: usize = 256;
/// How often rows that no walk comes to are linked again before they are left to the scan.
const ROUNDS: u8 = 2;
/// Most pivots.
const PIVOTS: usize = 512;
/// Neighbours whose products with a candidate are computed at once.
const AT_ONCE: usize = 8;

/// Changes that were worked out on a snapshot of the graph.
#[derive(Debug)]
pub(crate) struct Plan {
    version: u64,
    /// New neighbours by row.
    lists: Vec<(u32, Vec<u32>)>,
    /// Rows that leave the tail.
    linked: Vec<u32>,
    /// Rows that are free from now on.
    freed: Vec<u32>,
    /// Linked rows that no walk comes to, where they were looked for.
    stranded: Option<Vec<u32>>,
    /// The width, where it was measured.
    width: Option<usize>,
}

impl Graph {
    /// A graph over all faces that has linked none yet: upkeep does, see [`Graph::plan`].
    pub(crate) fn begin(rows: &Rows, parameters: Parameters) -> Self {
        let mut graph = Self::empty(rows, parameters);
        shuffle(&mut graph.tail);
        graph
    }

    /// Linked faces that no walk comes to, and that are not scanned either.
    pub(super) fn stranded(&self, rows: &Rows) -> Vec<u32> {
        let reached = self.reached();
        let waiting: HashSet<u32> = self.tail.iter().copied().collect();
        let lost = |row: &u32| !reached[*row as usize] && !waiting.contains(row);
        rows.faces().map(|(row, _)| row).filter(lost).collect()
    }

    fn put(&mut self, lists: Vec<(u32, Vec<u32>)>) {
        for (row, list) in lists {
            self.set(row, &list);
        }
    }

    /// The neighbours that `batch` would get, and those of the rows that would lead to it.
    fn link(&self, rows: &Rows, batch: &[u32]) -> Vec<(u32, Vec<u32>)> {
        // Rows that are linked again may lead to each other.
        let own: HashMap<u32, usize> = batch.iter().enumerate().map(|(at, &row)| (row, at)).collect();
        let mut lists: Vec<(u32, Vec<u32>)> = batch.par_iter().map(|&row| (row, self.chosen(rows, row))).collect();
        let mut back: Vec<(u32, u32)> =
            lists.iter().flat_map(|(row, list)| list.iter().map(|&target| (target, *row))).collect();
        back.par_sort_unstable();
        let groups: Vec<&[(u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
        let led: Vec<(u32, Vec<u32>)> = groups
            .par_iter()
            .map(|group| {
                let target = group[0].0;
                let mut list = own.get(&target).map_or(self.neighbours(target), |&at| &lists[at].1).to_vec();
                list.extend(group.iter().map(|&(_, row)| row));
                list.sort_unstable();
                list.dedup();
                (target, self.no_more_than_fit(rows, target, list))
            })
            .collect();
        // Later lists win: those of the batch come first.
        lists.extend(led);
        lists
    }

    /// The neighbours of a row that is not linked yet, found by a walk.
    fn chosen(&self, rows: &Rows, row: u32) -> Vec<u32> {
        let mut probe = CodedProbe::default();
        probe.copy_row(rows.codes(row));
        let mut scratch = self.borrow();
        let alive = |r: u32| rows.face(r).is_some();
        self.walk(rows, &probe, self.parameters.candidates, alive, &mut scratch);
        let found = scratch.pool.iter().map(|c| (c.product, c.row()));
        let found: Vec<(i32, u32)> = found.filter(|&(_, r)| r != row && alive(r)).collect();
        self.give_back(scratch);
        self.prune(rows, found)
    }

    fn no_more_than_fit(&self, rows: &Rows, row: u32, list: Vec<u32>) -> Vec<u32> {
        if list.len() <= self.parameters.degree {
            return list;
        }
        let mut probe = CodedProbe::default();
        probe.copy_row(rows.codes(row));
        let mut products = vec![0; list.len()];
        products_at(&probe, rows.layout(), &list, &mut products);
        let mut found: Vec<(i32, u32)> = products.into_iter().zip(list).collect();
        found.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        self.prune(rows, found)
    }

    /// Of candidates, best first with their products with the row, those that no chosen one occludes.
    fn prune(&self, rows: &Rows, found: Vec<(i32, u32)>) -> Vec<u32> {
        let (one, layout) = (rows.one(), rows.layout());
        // Half the squared distance in units of codes.
        let apart = |product: i32| (one - product).max(0) as f32;
        let mut chosen: Vec<u32> = Vec::with_capacity(self.parameters.degree);
        let mut probe = CodedProbe::default();
        let mut products = [0; AT_ONCE];
        for (product, row) in found {
            if chosen.len() == self.parameters.degree {
                break;
            }
            probe.copy_row(rows.codes(row));
            let own = apart(product);
            let before = chosen.chunks(AT_ONCE).any(|some| {
                let products = &mut products[..some.len()];
                products_at(&probe, layout, some, products);
                products.iter().any(|&p| apart(p) * self.parameters.alpha <= own)
            });
            if !before {
                chosen.push(row);
            }
        }
        chosen
    }

    /// The next piece of upkeep, if any is due: a sweep, linking a part of the tail, or measuring the width
    /// of a graph that has none. `all` leaves no row waiting and none removed; otherwise a tail that is
    /// quickly scanned stays, and a piece takes milliseconds.
    pub(crate) fn plan(&self, rows: &Rows, all: bool) -> Option<Plan> {
        let all = all || self.width.is_none();
        let dead = self.dead.len();
        if dead > if all { 0 } else { SWEEP } {
            return Some(self.sweep(rows, if all { SWEEP.max(rows.rows() / BATCH_SHARE) } else { SWEEP }));
        }
        if self.tail.len() > if all { self.stubborn } else { TAIL.max(self.stubborn) } {
            let linked = self.links.len().saturating_sub(self.tail.len());
            let batch = if all { (linked / BATCH_SHARE).max(FIRST_BATCH.min(linked)).max(1) } else { UPKEEP };
            // From the tail's end, where it is cut off most cheaply.
            let batch = self.tail[self.tail.len() - batch.min(self.tail.len())..].to_vec();
            let lists = self.link(rows, &batch);
            return Some(Plan { lists, linked: batch, ..self.nothing() });
        }
        if self.disturbed > if all { 0 } else { TAIL.max(rows.rows() / BATCH_SHARE) } {
            return Some(Plan { stranded: Some(self.stranded(rows)), ..self.nothing() });
        }
        if self.width.is_none() && !rows.is_empty() {
            return Some(Plan { width: Some(self.measure(rows)), ..self.nothing() });
        }
        None
    }

    fn nothing(&self) -> Plan {
        let version = self.version;
        Plan { version, lists: Vec::new(), linked: Vec::new(), freed: Vec::new(), stranded: None, width: None }
    }

    /// New neighbours for every row that leads to a removed one: from its own and those of the removed.
    fn sweep(&self, rows: &Rows, most: usize) -> Plan {
        let freed = self.dead[..most.min(self.dead.len())].to_vec();
        let mut gone = vec![false; rows.rows()];
        freed.iter().for_each(|&d| gone[d as usize] = true);
        let alive = |row: &u32| !gone[*row as usize];
        let lists = (0..rows.rows() as u32)
            .into_par_iter()
            .filter(|row| alive(row) && !self.neighbours(*row).iter().all(alive))
            .map(|row| {
                let (kept, lost): (Vec<u32>, Vec<u32>) = self.neighbours(row).iter().partition(|n| alive(n));
                let mut list = kept;
                let beyond = lost.iter().flat_map(|&l| self.neighbours(l)).copied();
                list.extend(beyond.filter(|n| alive(n) && *n != row));
                list.sort_unstable();
                list.dedup();
                (row, self.no_more_than_fit(rows, row, list))
            })
            .collect();
        Plan { lists, freed, ..self.nothing() }
    }

    /// Carries a plan out; `false` when the graph has changed since, and nothing was done.
    pub(crate) fn apply(&mut self, rows: &mut Rows, plan: Plan) -> bool {
        if plan.version != self.version {
            return false;
        }
        self.version += 1;
        self.put(plan.lists);
        if !plan.linked.is_empty() {
            if self.tail.ends_with(&plan.linked) {
                self.tail.truncate(self.tail.len() - plan.linked.len());
            } else {
                let linked: HashSet<u32> = plan.linked.iter().copied().collect();
                self.tail.retain(|t| !linked.contains(t));
            }
            let most = (2 * rows.len().isqrt()).clamp(1, PIVOTS);
            let room = most.saturating_sub(self.pivots.len());
            self.pivots.extend(plan.linked.iter().take(room));
            // A row whose every neighbour declined to lead to it is still scanned.
            let led = |row: &u32| {
                self.pivots.contains(row) || self.neighbours(*row).iter().any(|&n| self.neighbours(n).contains(row))
            };
            let declined: Vec<u32> = plan.linked.iter().copied().filter(|row| !led(row)).collect();
            // At the front, so that the next batch is another.
            self.tail.splice(0..0, declined.iter().copied());
            let gone_in = declined.len() < plan.linked.len();
            self.disturbed += plan.linked.len();
            self.stubborn = if gone_in { self.stubborn.min(self.tail.len()) } else { self.tail.len() };
        }
        if let Some(stranded) = plan.stranded {
            self.disturbed = 0;
            self.tail.extend(stranded);
            self.rounds = self.rounds.saturating_add(1);
            if self.rounds >= ROUNDS {
                self.stubborn = self.tail.len();
            }
        }
        if plan.width.is_some() {
            self.width = plan.width;
        }
        if !plan.freed.is_empty() {
            for &row in &plan.freed {
                self.set(row, &[]);
                rows.free(row);
            }
            self.disturbed += plan.freed.len();
            let freed: HashSet<u32> = plan.freed.into_iter().collect();
            self.pivots.retain(|p| !freed.contains(p));
            self.dead.retain(|d| !freed.contains(d));
            if self.pivots.is_empty() {
                self.pivots.extend(rows.faces().map(|(row, _)| row).find(|&row| self.links.row(row)[0] != NONE));
            }
        }
        true
    }
}

/// The order in which rows are linked: shuffled, since the faces of a person are neighbours in the store, and always
/// in the same way.
fn shuffle(rows: &mut [u32]) {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for at in (1..rows.len()).rev() {
        // splitmix64 (Steele, Lea and Flood, 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        rows.swap(at, ((z ^ (z >> 31)) % (at as u64 + 1)) as usize);
    }
}
