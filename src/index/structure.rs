//! What every index over the rows can do.

use super::neighbour::{FaceFilter, Neighbour};
use super::rows::{Probe, Rows};

/// A way to find near rows that is not the exact scan. The truth about vectors is the rows'.
pub(crate) trait Index: Send + Sync {
    /// A row was added.
    fn inserted(&mut self, rows: &Rows, row: u32);

    /// A row is nobody's any more; it is freed now, later or never.
    fn removed(&mut self, rows: &mut Rows, row: u32);

    /// The `count` nearest of the allowed faces, nearest first; `None` where the exact scan is to answer.
    fn nearest(&self, rows: &Rows, probe: &Probe, count: usize, allowed: FaceFilter) -> Option<Vec<Neighbour>>;

    /// Candidates that a search keeps, as measured; `None` while it is not ready to answer.
    fn width(&self) -> Option<usize>;

    /// Rows of the forgotten that it still steps on.
    fn removed_rows(&self) -> usize;

    /// Bytes in memory, without the rows'.
    fn bytes(&self, rows: &Rows) -> usize;

    /// The first invariant that does not hold, as a sentence.
    fn check(&self, rows: &Rows) -> Result<(), String>;
}
