//! Rows of equal width in chunks, so that growing moves nothing but the last chunk.

use crate::vector::Layout;

/// A chunk holds `1 << CHUNK_BITS` rows.
pub(super) const CHUNK_BITS: u32 = 14;
const IN_CHUNK: usize = 1 << CHUNK_BITS;

/// Rows of `width` values. All chunks but the last are full.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    width: usize,
    rows: usize,
    chunks: Vec<Vec<T>>,
}

impl<T: Copy + Send + Sync> Table<T> {
    pub(super) fn new(width: usize) -> Self {
        Self { width, rows: 0, chunks: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    #[inline]
    pub(super) fn row(&self, at: u32) -> &[T] {
        let first = (at as usize & (IN_CHUNK - 1)) * self.width;
        &self.chunks[(at >> CHUNK_BITS) as usize][first..first + self.width]
    }

    pub(super) fn row_mut(&mut self, at: u32) -> &mut [T] {
        let first = (at as usize & (IN_CHUNK - 1)) * self.width;
        &mut self.chunks[(at >> CHUNK_BITS) as usize][first..first + self.width]
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: impl Iterator<Item = T>) {
        if self.rows.is_multiple_of(IN_CHUNK) {
            self.chunks.push(Vec::new());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            if chunk.len() == chunk.capacity() {
                let (held, full) = (chunk.len(), IN_CHUNK * self.width);
                // Doubles as a vector does, but never past the chunk's end.
                chunk.reserve_exact(held.max(16 * self.width).min(full - held));
            }
            chunk.extend(row.take(self.width));
        }
        self.rows += 1;
    }

    /// Drops the rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.chunks.truncate(rows.div_ceil(IN_CHUNK));
        if let Some(last) = self.chunks.last_mut() {
            last.truncate((rows - (rows - 1) / IN_CHUNK * IN_CHUNK) * self.width);
        }
        self.rows = self.rows.min(rows);
    }

    /// The rows of each chunk, one after the other.
    pub(super) fn chunks(&self) -> &[Vec<T>] {
        &self.chunks
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(|c| c.capacity() * size_of::<T>()).sum()
    }
}

impl Table<u8> {
    pub(super) fn layout(&self) -> Layout<'_> {
        Layout { chunks: &self.chunks, chunk_bits: CHUNK_BITS, stride: self.width }
    }
}
