//! Nearest faces: a [`FaceIndex`] holds the vectors of a gallery and answers by one of several ways. It is
//! a cache over the store, and can be made again from it at any time.
//!
//! | way | answers | for |
//! | --- | --- | --- |
//! | exact | the true nearest, by a scan over all rows' 8-bit codes and a bound on what they leave out | galleries below [`CROSSOVER`], very selective filters, and whatever a graph cannot answer |
//! | [`graph`] | the nearest by a walk over neighbours of neighbours, ranked by the vectors themselves | larger galleries |

mod exact;
mod graph;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

pub(crate) use graph::{Graph, Parameters, Plan, Stamp};
pub(crate) use rows::Precision;
use rows::{Probe, Rows};

/// Faces from which on a graph answers sooner than the exact scan.
pub(crate) const CROSSOVER: usize = 30_000;

/// A face near a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbour {
    /// The face's number.
    pub face: u64,
    /// Euclidean distance between the unit vectors, 0 to 2.
    pub distance: f32,
}

/// Which faces may be answered.
pub(crate) type Allowed<'a> = Option<&'a (dyn Fn(u64) -> bool + Sync)>;

/// A way to find near rows that is not the exact scan. It keeps no vectors of its own truth: those are the
/// rows'.
pub(crate) trait Index: Send + Sync {
    /// A row was added.
    fn inserted(&mut self, rows: &Rows, row: u32);

    /// A row is nobody's any more; it is freed now or later.
    fn removed(&mut self, rows: &mut Rows, row: u32);

    /// The `count` nearest of the allowed faces, nearest first; `None` where the exact scan is to answer.
    fn nearest(&self, rows: &Rows, probe: &Probe, count: usize, allowed: Allowed) -> Option<Vec<Neighbour>>;

    /// Bytes in memory, without the rows'.
    fn bytes(&self) -> usize;

    /// The first invariant that does not hold, as a sentence.
    fn check(&self, rows: &Rows) -> Result<(), String>;
}

impl Index for Graph {
    fn inserted(&mut self, _: &Rows, row: u32) {
        Graph::inserted(self, row);
    }

    fn removed(&mut self, rows: &mut Rows, row: u32) {
        Graph::removed(self, rows, row);
    }

    fn nearest(&self, rows: &Rows, probe: &Probe, count: usize, allowed: Allowed) -> Option<Vec<Neighbour>> {
        self.nearest_by(rows, probe, count, allowed, self.width()?)
    }

    fn bytes(&self) -> usize {
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
}

/// The vectors of a gallery's faces, searchable.
#[derive(Debug)]
pub(crate) struct FaceIndex {
    rows: Rows,
    over: Over,
}

impl FaceIndex {
    /// An empty index of vectors of `dimension` numbers.
    pub(crate) fn new(dimension: usize, precision: Precision) -> Self {
        Self { rows: Rows::new(dimension, precision), over: Over::Exact }
    }

    fn over(&self) -> Option<&dyn Index> {
        match &self.over {
            Over::Exact => None,
            Over::Graph(graph) => Some(graph),
        }
    }

    /// Faces in it.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The vector of a face, as it is held.
    pub(crate) fn vector(&self, face: u64) -> Option<Vec<f32>> {
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
    pub(crate) fn insert(&mut self, face: u64, vector: &[f32]) {
        self.remove(face);
        let row = self.rows.insert(face, vector);
        match &mut self.over {
            Over::Exact => {}
            Over::Graph(graph) => Index::inserted(graph, &self.rows, row),
        }
    }

    /// Removes a face; `false` when it was not there.
    pub(crate) fn remove(&mut self, face: u64) -> bool {
        let Some(row) = self.rows.remove(face) else { return false };
        match &mut self.over {
            Over::Exact => {
                self.rows.free(row);
                if self.rows.rows() > 2 * self.rows.len() + 64 {
                    self.rows.compact();
                }
            }
            Over::Graph(graph) => Index::removed(graph, &mut self.rows, row),
        }
        true
    }

    /// The `count` nearest of the allowed faces (all when `None`), nearest first; equal distances in order
    /// of their numbers. Nothing for a probe of another dimension or that is not finite.
    pub(crate) fn nearest(&self, probe: &[f32], count: usize, allowed: Allowed) -> Vec<Neighbour> {
        if let Some(over) = self.over() {
            let Some(probe) = self.rows.probe(probe) else { return Vec::new() };
            if let Some(near) = over.nearest(&self.rows, &probe, count, allowed) {
                return near;
            }
        }
        self.exact(probe, count, allowed)
    }

    /// [`FaceIndex::nearest`] by the exact scan, whatever stands over the rows.
    pub(crate) fn exact(&self, probe: &[f32], count: usize, allowed: Allowed) -> Vec<Neighbour> {
        exact::nearest_of_each(&self.rows, &[probe], count, allowed).pop().unwrap_or_default()
    }

    /// The true nearest of many probes, in fewer passes over the rows than one by one.
    pub(crate) fn exact_of_each(&self, probes: &[&[f32]], count: usize, allowed: Allowed) -> Vec<Vec<Neighbour>> {
        exact::nearest_of_each(&self.rows, probes, count, allowed)
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.over().map_or(0, Index::bytes)
    }

    /// The graph, where one answers.
    pub(crate) fn graph(&self) -> Option<&Graph> {
        match &self.over {
            Over::Graph(graph) => Some(graph),
            Over::Exact => None,
        }
    }

    /// Begins a graph over the faces. Upkeep links them, with `all` to the last; the exact scan answers
    /// until then.
    pub(crate) fn begin_graph(&mut self, parameters: Parameters) {
        self.over = Over::Graph(Graph::begin(&self.rows, parameters));
    }

    /// Puts to use a graph that was built or read over exactly these faces.
    pub(crate) fn put_graph(&mut self, graph: Graph) {
        self.over = Over::Graph(graph);
    }

    /// Lets the exact scan answer.
    pub(crate) fn drop_graph(&mut self) {
        self.over = Over::Exact;
    }

    /// The next piece of upkeep, if any is due; worked out while others search. `all` leaves nothing undone.
    pub(crate) fn plan(&self, all: bool) -> Option<Plan> {
        self.graph()?.plan(&self.rows, all)
    }

    /// Carries out what was planned, unless the index has changed since.
    pub(crate) fn apply(&mut self, plan: Plan) -> bool {
        match &mut self.over {
            Over::Graph(graph) => graph.apply(&mut self.rows, plan),
            Over::Exact => false,
        }
    }

    /// Writes the graph, where there is one, whole or not at all; it is on disk when this returns.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn save(&self, path: &Path, stamp: &Stamp) -> std::io::Result<bool> {
        let Some(graph) = self.graph() else { return Ok(false) };
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let beside = path.with_extension("new");
        let written = File::create(&beside).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            graph.write(&self.rows, stamp, &mut out)?;
            out.flush()?;
            out.get_ref().sync_all()?;
            fs::rename(&beside, path)?;
            if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
        });
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written.map(|()| true)
    }

    /// Reads a graph that was saved and brings it up to the faces that are here.
    ///
    /// # Errors
    /// A sentence that says why the file is of no use.
    pub(crate) fn load(&self, path: &Path, stamp: &Stamp) -> Result<Graph, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        Graph::read(&self.rows, stamp, &mut BufReader::with_capacity(1 << 20, file))
    }

    /// Checks the index's own invariants; the error is a sentence that names the first one broken.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.rows.check()?;
        self.over().map_or(Ok(()), |over| over.check(&self.rows))
    }

    /// LAB
    pub(crate) fn walked(&self, probe: &[f32], count: usize, width: usize) -> Vec<Neighbour> {
        let p = self.rows.probe(probe).unwrap();
        self.graph().unwrap().nearest_by(&self.rows, &p, count, None, width).unwrap_or_default()
    }
}
