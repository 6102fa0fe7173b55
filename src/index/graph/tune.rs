//! How wide a walk must be, measured on the gallery's own faces.
//!
//! Each of two thousand faces and more (or of all), evenly spread, is searched for without itself: the nearest other face, as
//! the exact scan finds it, must be what the walk finds. The width is the smallest of a ladder whose walks do
//! so often enough. That is asked to be somewhat oftener than promised, and large galleries are asked more: of a
//! thousand, one miss says little about a promise of one in a thousand (a million faces, let through with it,
//! were found at 0.998).

use rayon::prelude::*;

use super::super::rows::{Probe, Rows};
use super::super::{Neighbour, exact};
use super::Graph;

/// Faces searched for: at least, at most, and one in this many between.
const FEWEST: usize = 2000;
const MOST: usize = 4000;
const ONE_IN: usize = 250;
/// Widths tried.
const LADDER: [usize; 14] = [16, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 384, 512, 768];
/// Wider than any gallery is large.
pub(super) const HOPELESS: usize = u32::MAX as usize;
/// Two distances are one when they differ by rounding only.
const SAME: f32 = 1e-6;

/// The width that `search` needs, see above; [`HOPELESS`] when none was enough, so that the exact scan
/// answers. `search` finds the nearest two with a width; `None` where it leaves the answer to the scan.
pub(crate) fn measured(
    rows: &Rows,
    recall: f64,
    search: impl Fn(&Probe, usize) -> Option<Vec<Neighbour>> + Sync,
) -> usize {
    let count = (rows.len() / ONE_IN).clamp(FEWEST, MOST);
    let all: Vec<u64> = rows.faces().map(|(_, face)| face).collect();
    let count = count.min(all.len());
    let asked: Vec<u64> = (0..count).map(|i| all[i * all.len() / count]).collect();
    let vectors: Vec<Vec<f32>> = asked.iter().filter_map(|&f| Some(rows.vector(rows.row_of(f)?))).collect();
    let values: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let probes: Vec<Probe> = values.iter().filter_map(|v| rows.probe(v)).collect();
    // The face itself is among the nearest two, unless others share its very place: then it does not matter.
    let truth = exact::nearest_of_each(rows, &values, 2, None);
    let other = |near: &[Neighbour], face: u64| near.iter().find(|n| n.face != face).map(|n| n.distance);
    let enough = (recall * probes.len() as f64).ceil() as usize;
    let found = |width: usize| -> usize {
        let hit = |at: usize| -> bool {
            let Some(near) = search(&probes[at], width) else { return true };
            let wanted = other(&truth[at], asked[at]).unwrap_or(0.0);
            other(&near, asked[at]).is_some_and(|distance| distance <= wanted + SAME)
        };
        (0..probes.len()).into_par_iter().filter(|&at| hit(at)).count()
    };
    LADDER.into_iter().find(|&width| found(width) >= enough).unwrap_or(HOPELESS)
}

impl Graph {
    /// How wide this graph's walks must be.
    pub(super) fn measure(&self, rows: &Rows) -> usize {
        measured(rows, self.parameters.recall, |probe, width| self.nearest_by(rows, probe, 2, None, width))
    }
}
