//! The working memory of a walk through the graph.

/// Marks a candidate whose neighbours have been looked at.
pub(super) const SEEN: u32 = 1 << 31;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub product: i32,
    /// With [`SEEN`] in its highest bit.
    pub marked: u32,
}

impl Candidate {
    pub(super) fn row(self) -> u32 {
        self.marked & !SEEN
    }
}

/// Working memory of a walk.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The walk that last came to each row.
    stamps: Vec<u8>,
    epoch: u8,
    /// Best first.
    pub pool: Vec<Candidate>,
    pub fresh: Vec<u32>,
    pub products: Vec<i32>,
    pub starts: Vec<(i32, u32)>,
}

impl Scratch {
    pub(super) fn begin(&mut self, rows: usize) {
        self.pool.clear();
        if self.stamps.len() < rows {
            self.stamps.resize(rows, 0);
        }
        if self.epoch == u8::MAX {
            self.stamps.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
    }

    /// Whether this walk comes to the row for the first time.
    #[inline]
    pub(super) fn first_time(&mut self, row: u32) -> bool {
        let stamp = &mut self.stamps[row as usize];
        std::mem::replace(stamp, self.epoch) != self.epoch
    }
}
