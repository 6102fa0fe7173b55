//! A graph over the rows: the nearest are found by walking from neighbour to neighbour.
//!
//! One flat graph with `degree` neighbours a row at most. A walk starts at the best of a few hundred
//! pivots, all of which are looked at, so no layers are needed to come near. Neighbours are chosen by the
//! rule of relative neighbourhoods (Malkov and Yashunin, "Efficient and robust approximate nearest
//! neighbor search using hierarchical navigable small world graphs", 2016, algorithm 4; with the slack
//! `alpha` of Subramanya et al., "DiskANN", 2019): a candidate that lies nearer to a neighbour already
//! chosen than to the row itself is left out. Walks compare products of 8-bit codes alone; what they find
//! is ranked by the vectors themselves.
//!
//! The graph grows in batches: each new row's neighbours are found on the graph as it is, then every
//! change is applied at once (Dobson et al., "Scaling graph-based ANNS algorithms to billion-size
//! datasets", 2023). So the work runs on all cores without a lock, the outcome is the same on any number
//! of them, and it can be worked out while others search: only applying needs the graph alone.
//!
//! Rows that are not linked yet (and any that no walk can reach) are in `tail`, which every search scans
//! whole: an answer never lacks what was just enrolled. Removed rows stay as tombstones that walks step on but do not
//! answer with, until a sweep gives their neighbours new ones and frees them.
//!
//! Invariants, held against by `check`:
//! 1. `links` has a row for every row; neighbours come first, [`NONE`] after; none is the row itself, a
//!    row twice, or free;
//! 2. every face is in the tail or reached by a walk that goes everywhere, when nothing was linked or freed
//!    since that was last looked at (`disturbed`);
//! 3. pivots and the dead are linked rows.

mod build;
mod file;
mod scratch;
mod search;
mod tune;

use std::sync::Mutex;

use super::rows::Rows;
use super::table::Table;
pub(crate) use build::Plan;
pub(crate) use file::{Snapshot, Stamp, fingerprint};
use scratch::Scratch;
pub(crate) use tune::measured;

/// No neighbour.
const NONE: u32 = u32::MAX;

/// What shapes a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Parameters {
    /// Most neighbours of a row.
    pub degree: usize,
    /// Candidates that a new row's neighbours are chosen from.
    pub candidates: usize,
    /// Above 1, more distant neighbours are kept beside near ones (in squared distance).
    pub alpha: f32,
    /// Share of the searches whose nearest must be the true one, when the width is chosen: 0.999 is promised.
    pub recall: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { degree: 32, candidates: 96, alpha: 1.1, recall: 0.9995 }
    }
}

/// The graph. Its vectors are the rows'.
#[derive(Debug)]
pub(crate) struct Graph {
    parameters: Parameters,
    links: Table<u32>,
    pivots: Vec<u32>,
    /// Rows that every search scans.
    tail: Vec<u32>,
    /// Linked rows that are nobody's any more.
    dead: Vec<u32>,
    /// How many candidates a walk keeps, as measured once all faces were linked. Until then the exact scan
    /// answers.
    width: Option<usize>,
    /// Rows of the tail that stay there, since linking them did not lead to them.
    stubborn: usize,
    /// Rows linked and freed since it was last seen that a walk can come to every other.
    disturbed: usize,
    /// How often rows that no walk came to were linked again, since faces last came or went.
    rounds: u8,
    /// Counts what makes a plan stale.
    version: u64,
    /// Working memory of searches, one for each that runs.
    spare: Mutex<Vec<Scratch>>,
}

impl Graph {
    fn empty(rows: &Rows, parameters: Parameters) -> Self {
        let mut links = Table::new(parameters.degree);
        (0..rows.rows()).for_each(|_| links.push(std::iter::repeat(NONE)));
        let tail = rows.faces().map(|(row, _)| row).collect();
        Self {
            parameters,
            links,
            pivots: Vec::new(),
            tail,
            dead: Vec::new(),
            width: None,
            stubborn: 0,
            disturbed: 0,
            rounds: 0,
            version: 0,
            spare: Mutex::new(Vec::new()),
        }
    }

    /// The neighbours of a row.
    fn neighbours(&self, row: u32) -> &[u32] {
        let links = self.links.row(row);
        let count = links.iter().position(|&n| n == NONE).unwrap_or(links.len());
        &links[..count]
    }

    fn set(&mut self, row: u32, neighbours: &[u32]) {
        let links = self.links.row_mut(row);
        links[..neighbours.len()].copy_from_slice(neighbours);
        links[neighbours.len()..].fill(NONE);
    }

    /// How many candidates a walk keeps; `None` until all faces were linked once.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Rows that wait to be linked.
    pub(crate) fn waiting(&self) -> usize {
        self.tail.len()
    }

    /// Removed rows that are still stepped on.
    pub(crate) fn tombstones(&self) -> usize {
        self.dead.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.links.bytes() + (self.tail.capacity() + self.dead.capacity() + self.pivots.capacity()) * size_of::<u32>()
    }

    /// A row was added: it is scanned until it is linked.
    pub(super) fn inserted(&mut self, row: u32) {
        if row as usize == self.links.len() {
            self.links.push(std::iter::repeat(NONE));
        }
        self.tail.push(row);
        self.rounds = 0;
    }

    /// A row is nobody's any more.
    pub(super) fn removed(&mut self, rows: &mut Rows, row: u32) {
        self.version += 1;
        self.rounds = 0;
        let waiting = self.tail.iter().position(|&t| t == row);
        if let Some(at) = waiting {
            self.tail.swap_remove(at);
            self.stubborn = self.stubborn.min(self.tail.len());
        }
        if waiting.is_some() && self.links.row(row)[0] == NONE {
            rows.free(row);
        } else {
            self.dead.push(row);
        }
    }

    /// Which rows a walk that goes everywhere comes to.
    fn reached(&self) -> Vec<bool> {
        let mut reached = vec![false; self.links.len()];
        let mut open = self.pivots.clone();
        open.iter().for_each(|&p| reached[p as usize] = true);
        while let Some(row) = open.pop() {
            for &next in self.neighbours(row) {
                if !std::mem::replace(&mut reached[next as usize], true) {
                    open.push(next);
                }
            }
        }
        reached
    }

    pub(super) fn check(&self, rows: &Rows) -> Result<(), String> {
        let count = rows.rows();
        if self.links.len() != count {
            return Err(format!("{count} rows, {} rows of neighbours", self.links.len()));
        }
        let dead: std::collections::HashSet<u32> = self.dead.iter().copied().collect();
        let usable = |row: u32| (row as usize) < count && (rows.face(row).is_some() || dead.contains(&row));
        for row in 0..count as u32 {
            let neighbours = self.neighbours(row);
            if self.links.row(row)[neighbours.len()..].iter().any(|&n| n != NONE) {
                return Err(format!("row {row} has a gap among its neighbours"));
            }
            let mut sorted = neighbours.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            if sorted.len() != neighbours.len() || sorted.contains(&row) {
                return Err(format!("row {row} is its own neighbour, or has one twice"));
            }
            if let Some(bad) = neighbours.iter().find(|&&n| !usable(n)) {
                return Err(format!("row {row} leads to {bad}, which is nobody's"));
            }
            if rows.face(row).is_none() && !neighbours.is_empty() && !dead.contains(&row) {
                return Err(format!("row {row} is nobody's and linked, and not counted as removed"));
            }
        }
        if let Some(bad) = self.pivots.iter().find(|&&p| !usable(p)) {
            return Err(format!("pivot {bad} is nobody's"));
        }
        if let Some(bad) = self.dead.iter().find(|&&d| rows.face(d).is_some()) {
            return Err(format!("row {bad} counts as removed, and is somebody's"));
        }
        let mut tail = self.tail.clone();
        tail.sort_unstable();
        tail.dedup();
        if tail.len() != self.tail.len() || tail.iter().any(|&t| rows.face(t).is_none()) {
            return Err("a row waits twice, or is nobody's".to_string());
        }
        if self.disturbed > 0 {
            return Ok(());
        }
        let reached = self.reached();
        let lost = rows.faces().find(|(row, _)| !reached[*row as usize] && tail.binary_search(row).is_err());
        lost.map_or(Ok(()), |(row, face)| Err(format!("no walk comes to row {row} (face {face})")))
    }
}
