//! Nearest faces: a [`FaceIndex`] holds the vectors of a gallery and answers by one of several ways. It is
//! a cache over the store, and can be made again from it at any time.
//!
//! | way | answers | for |
//! | --- | --- | --- |
//! | exact | the true nearest, by a scan over all rows' 8-bit codes and a bound on what they leave out | galleries below `CROSSOVER`, very selective filters, and whatever a graph cannot answer |
//! | `graph` | the nearest by a walk over neighbours of neighbours, ranked by the vectors themselves | larger galleries |
//! | `hnsw` | the same by the crate `hnsw_rs` | whoever asks for it |

mod exact;
mod graph;
mod hnsw;
mod neighbour;
mod rows;
mod structure;
mod table;
#[cfg(test)]
mod tests;

use std::io::Read;

use serde::{Deserialize, Serialize};

pub(crate) use graph::{Graph, Parameters, Plan, Snapshot, Stamp};
use hnsw::HnswRs;
pub use neighbour::{FaceFilter, Neighbour};
pub use rows::Precision;
use rows::{Probe, Rows};
use structure::Index;

/// Faces from which on a graph answers sooner than the exact scan.
pub(crate) const CROSSOVER: usize = 30_000;

/// What answers the searches of a gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IndexChoice {
    /// The exact scan in a small gallery, the graph in a large one.
    #[default]
    Auto,
    /// Every vector is looked at: the answer is the true one.
    Exact,
    /// The graph of this crate, whatever the gallery's size.
    Graph,
    /// The crate `hnsw_rs`, whatever the gallery's size. It is kept in no file.
    Hnsw,
}

impl Index for Graph {
    fn inserted(&mut self, _: &Rows, row: u32) {
        Graph::inserted(self, row);
    }

    fn removed(&mut self, rows: &mut Rows, row: u32) {
        Graph::removed(self, rows, row);
    }

    fn nearest(&self, rows: &Rows, probe: &Probe, count: usize, allowed: FaceFilter) -> Option<Vec<Neighbour>> {
        self.nearest_by(rows, probe, count, allowed, Graph::width(self)?)
    }

    fn width(&self) -> Option<usize> {
        Graph::width(self)
    }

    fn removed_rows(&self) -> usize {
        self.tombstones()
    }

    fn bytes(&self, _: &Rows) -> usize {
        Graph::bytes(self)
    }

    fn check(&self, rows: &Rows) -> Result<(), String> {
        Graph::check(self, rows)
    }
}

/// What stands over the rows.
#[derive(Debug)]
enum Over {
    /// Nothing: the exact scan answers.
    Exact,
    Graph(Graph),
    Hnsw(HnswRs),
}

/// Unit vectors under the numbers of faces, searchable: what a gallery is searched by, and free for other
/// use.
///
/// ```
/// use kith::{FaceIndex, IndexChoice, Precision};
/// let mut index = FaceIndex::new(2, Precision::F32);
/// index.insert(7, &[0.6, 0.8]);
/// index.insert(9, &[1.0, 0.0]);
/// index.build(IndexChoice::Auto, &|_, _| {});
/// let near = index.nearest(&[0.8, 0.6], 1, None);
/// assert_eq!(near[0].face, 7);
/// assert!(index.remove(7) && index.len() == 1);
/// ```
#[derive(Debug)]
pub struct FaceIndex {
    rows: Rows,
    over: Over,
}

impl FaceIndex {
    /// An empty index of vectors of `dimension` numbers.
    pub fn new(dimension: usize, precision: Precision) -> Self {
        Self { rows: Rows::new(dimension, precision), over: Over::Exact }
    }

    fn over(&self) -> Option<&dyn Index> {
        match &self.over {
            Over::Exact => None,
            Over::Graph(graph) => Some(graph),
            Over::Hnsw(graph) => Some(graph),
        }
    }

    /// Values in each vector.
    pub(crate) fn dimension(&self) -> usize {
        self.rows.dimension()
    }

    /// Faces in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Builds what `choice` says over the faces. `progress` is told faces done and all faces.
    pub fn build(&mut self, choice: IndexChoice, progress: &dyn Fn(usize, usize)) {
        match choice {
            IndexChoice::Auto if self.len() < CROSSOVER => self.drop_over(),
            IndexChoice::Exact => self.drop_over(),
            IndexChoice::Hnsw => {
                let built = self.build_hnsw(progress);
                self.put_hnsw(built);
            }
            IndexChoice::Auto | IndexChoice::Graph => {
                self.begin_graph(Parameters::default());
                while let Some(plan) = self.plan(true) {
                    self.apply(plan);
                    let waiting = self.graph().map_or(0, Graph::waiting);
                    progress(self.len() - waiting.min(self.len()), self.len());
                }
            }
        }
    }

    /// What answers: [`IndexChoice::Exact`] while something else is being built.
    pub fn kind(&self) -> IndexChoice {
        match &self.over {
            Over::Graph(graph) if graph.width().is_some() => IndexChoice::Graph,
            Over::Hnsw(_) => IndexChoice::Hnsw,
            _ => IndexChoice::Exact,
        }
    }

    /// Candidates that a search keeps, as measured when the index was built; `None` for the exact scan.
    pub fn width(&self) -> Option<usize> {
        self.over()?.width()
    }

    /// Rows of the forgotten that searches still step on.
    pub(crate) fn removed_rows(&self) -> usize {
        self.over().map_or(0, Index::removed_rows)
    }

    pub(crate) fn build_hnsw(&self, progress: &dyn Fn(usize, usize)) -> HnswRs {
        HnswRs::build(&self.rows, Parameters::default().recall, progress)
    }

    /// Puts to use what was built over exactly these faces.
    pub(crate) fn put_hnsw(&mut self, built: HnswRs) {
        self.over = Over::Hnsw(built);
    }

    /// The vector of a face, as it is held.
    pub fn vector(&self, face: u64) -> Option<Vec<f32>> {
        Some(self.rows.vector(self.rows.row_of(face)?))
    }

    /// Whether the face is there.
    pub(crate) fn has(&self, face: u64) -> bool {
        self.rows.row_of(face).is_some()
    }

    /// Adds a unit vector under a face's number, in place of the one that the number had.
    ///
    /// # Panics
    /// When the vector is not of the index's dimension: the gallery checks what it takes in.
    pub fn insert(&mut self, face: u64, vector: &[f32]) {
        self.remove(face);
        let row = self.rows.insert(face, vector);
        match &mut self.over {
            Over::Exact => {}
            Over::Graph(graph) => Index::inserted(graph, &self.rows, row),
            Over::Hnsw(graph) => graph.inserted(&self.rows, row),
        }
    }

    /// Removes a face; `false` when it was not there.
    pub fn remove(&mut self, face: u64) -> bool {
        let Some(row) = self.rows.remove(face) else { return false };
        match &mut self.over {
            Over::Exact => {
                self.rows.free(row);
                if self.rows.rows() > 2 * self.rows.len() + 64 {
                    self.rows.compact();
                }
            }
            Over::Graph(graph) => Index::removed(graph, &mut self.rows, row),
            Over::Hnsw(graph) => graph.removed(&mut self.rows, row),
        }
        true
    }

    /// The `count` nearest of the allowed faces (all when `None`), nearest first; equal distances in order
    /// of their numbers. Nothing for a probe of another dimension or that is not finite.
    pub fn nearest(&self, probe: &[f32], count: usize, allowed: FaceFilter) -> Vec<Neighbour> {
        if let Some(over) = self.over() {
            let Some(probe) = self.rows.probe(probe) else { return Vec::new() };
            if let Some(near) = over.nearest(&self.rows, &probe, count, allowed) {
                return near;
            }
        }
        self.exact(probe, count, allowed)
    }

    /// [`FaceIndex::nearest`] by the exact scan, whatever stands over the rows.
    pub fn exact(&self, probe: &[f32], count: usize, allowed: FaceFilter) -> Vec<Neighbour> {
        exact::nearest_of_each(&self.rows, &[probe], count, allowed).pop().unwrap_or_default()
    }

    /// The true nearest of many probes, in fewer passes over the rows than one by one.
    pub fn exact_of_each(&self, probes: &[&[f32]], count: usize, allowed: FaceFilter) -> Vec<Vec<Neighbour>> {
        exact::nearest_of_each(&self.rows, probes, count, allowed)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.over().map_or(0, |over| over.bytes(&self.rows))
    }

    /// The graph, where one answers.
    pub(crate) fn graph(&self) -> Option<&Graph> {
        match &self.over {
            Over::Graph(graph) => Some(graph),
            Over::Exact | Over::Hnsw(_) => None,
        }
    }

    /// Begins a graph over the faces. Upkeep links them, with `all` to the last; the exact scan answers
    /// until then.
    pub(crate) fn begin_graph(&mut self, parameters: Parameters) {
        self.drop_over();
        self.over = Over::Graph(Graph::begin(&self.rows, parameters));
    }

    /// Puts to use a graph that was built or read over exactly these faces.
    pub(crate) fn put_graph(&mut self, graph: Graph) {
        self.over = Over::Graph(graph);
    }

    /// Lets the exact scan answer.
    pub(crate) fn drop_over(&mut self) {
        // Rows that only the graph stepped on are nobody's.
        self.over = Over::Exact;
        self.rows.free_unused();
    }

    /// The next piece of upkeep, if any is due; worked out while others search. `all` leaves nothing undone.
    pub(crate) fn plan(&self, all: bool) -> Option<Plan> {
        self.graph()?.plan(&self.rows, all)
    }

    /// Carries out what was planned, unless the index has changed since.
    pub(crate) fn apply(&mut self, plan: Plan) -> bool {
        match &mut self.over {
            Over::Graph(graph) => graph.apply(&mut self.rows, plan),
            Over::Exact | Over::Hnsw(_) => false,
        }
    }

    /// The graph as of this moment, where there is one: to be written while others go on.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        Some(self.graph()?.snapshot(&self.rows))
    }

    /// The checksum of each face's vector as a graph's file names it; 0 for a face that is not there.
    pub(crate) fn sums(&self, faces: &[u64]) -> Vec<u32> {
        faces.iter().map(|&face| self.rows.row_of(face).map_or(0, |row| graph::fingerprint(&self.rows, row))).collect()
    }

    /// Reads a graph that was written and brings it up to the faces that are here.
    ///
    /// # Errors
    /// A sentence that says why it is of no use.
    pub(crate) fn read_graph(&self, stamp: &Stamp, mut from: &mut dyn Read) -> Result<Graph, String> {
        Graph::read(&self.rows, stamp, &mut from)
    }

    /// Checks the index's own invariants; the error is a sentence that names the first one broken.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.rows.check()?;
        self.over().map_or(Ok(()), |over| over.check(&self.rows))
    }
}
