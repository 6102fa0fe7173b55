//! `hnsw_rs` over the rows, for whoever wants that crate's graph (Malkov and Yashunin, 2016).
//!
//! It is given this crate's product as its distance, and keeps vectors of its own beside the rows'. What it
//! lacks is made up for here: it has no deletion, so rows of the forgotten are passed over in its answers
//! and never used again, and once they are many the exact scan answers until it is built anew; its answers
//! are ranked by the rows' vectors. Its files are not used: it writes them in place without a sync, and
//! ends the process on a damaged one. So it is built again by whoever asks for it.

use hnsw_rs::prelude::{Distance, Hnsw};

use super::graph::measured;
use super::neighbour::{FaceFilter, Neighbour};
use super::rows::{Probe, Rows};
use super::structure::Index;
use crate::vector::products;

/// Neighbours of a point on the upper layers; twice that on the lowest.
const CONNECTIONS: usize = 16;
const LAYERS: usize = 16;
/// Candidates when a point is put in.
const CANDIDATES: usize = 200;
/// Points put in at once between two reports of progress.
const TOGETHER: usize = 2048;
/// Candidates beyond those asked for that are ranked by their vectors.
const RANKED: usize = 16;
/// When more than one in this many points is nobody's, the exact scan answers.
const DEAD: usize = 4;

/// One less the product: half the squared distance of unit vectors.
#[derive(Debug, Clone, Copy, Default)]
struct Apart;

impl Distance<f32> for Apart {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        let mut product = [0.0];
        products(a, b, &mut product);
        // The crate takes no distance below zero.
        (1.0 - product[0]).max(0.0)
    }
}

/// The crate's graph; points are numbered as rows.
pub(crate) struct HnswRs {
    graph: Hnsw<'static, f32, Apart>,
    points: usize,
    dead: usize,
    width: usize,
}

impl std::fmt::Debug for HnswRs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HnswRs({} points, {} of them nobody's)", self.points, self.dead)
    }
}

impl HnswRs {
    /// Builds the graph, and measures how wide its searches must be for that share of true nearest.
    pub(super) fn build(rows: &Rows, recall: f64, progress: &dyn Fn(usize, usize)) -> Self {
        let faces: Vec<u32> = rows.faces().map(|(row, _)| row).collect();
        let graph = Hnsw::new(CONNECTIONS, faces.len().max(1), LAYERS, CANDIDATES, Apart);
        let mut done = 0;
        for some in faces.chunks(TOGETHER) {
            let vectors: Vec<(Vec<f32>, usize)> = some.iter().map(|&row| (rows.vector(row), row as usize)).collect();
            let borrowed: Vec<(&Vec<f32>, usize)> = vectors.iter().map(|(v, row)| (v, *row)).collect();
            graph.parallel_insert(&borrowed);
            done += some.len();
            progress(done, faces.len());
        }
        let mut built = Self { graph, points: faces.len(), dead: 0, width: 0 };
        built.width = measured(rows, recall, |probe, width| built.search(rows, probe, 2, None, width));
        built
    }

    fn search(
        &self,
        rows: &Rows,
        probe: &Probe,
        count: usize,
        allowed: FaceFilter,
        width: usize,
    ) -> Option<Vec<Neighbour>> {
        // What is passed over takes places away, so more is asked for; a filter is the scan's to answer.
        let asked = count + RANKED + self.dead.min(width);
        if allowed.is_some() || self.dead * DEAD > self.points || 4 * width.max(asked) > rows.len() {
            return None;
        }
        let found = self.graph.search(probe.values, asked, width.max(asked));
        let near = rows.rank(found.iter().map(|n| n.d_id as u32), probe.values, count);
        (near.len() == count.min(rows.len())).then_some(near)
    }
}

impl Index for HnswRs {
    fn inserted(&mut self, rows: &Rows, row: u32) {
        self.graph.insert((&rows.vector(row), row as usize));
        self.points += 1;
    }

    fn removed(&mut self, _: &mut Rows, _: u32) {
        // The row is not freed: the crate would answer it for whoever got it.
        self.dead += 1;
    }

    fn nearest(&self, rows: &Rows, probe: &Probe, count: usize, allowed: FaceFilter) -> Option<Vec<Neighbour>> {
        self.search(rows, probe, count, allowed, self.width)
    }

    fn width(&self) -> Option<usize> {
        Some(self.width)
    }

    fn removed_rows(&self) -> usize {
        self.dead
    }

    fn bytes(&self, rows: &Rows) -> usize {
        // By the crate's own types: a vector of its own, and about 24 bytes for each of its neighbours' links.
        self.points * (rows.dimension() * size_of::<f32>() + 2 * CONNECTIONS * 24)
    }

    fn check(&self, rows: &Rows) -> Result<(), String> {
        let held = self.graph.get_nb_point();
        let wanted = rows.len() + self.dead;
        if held != self.points || held != wanted {
            return Err(format!("hnsw_rs holds {held} points, {wanted} were put in"));
        }
        Ok(())
    }
}
