//! What is grouped, and by what: vectors, their neighbours, the method and its line.

use super::line::Line;

/// Unit vectors in rows.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    dimension: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `dimension` values each.
    ///
    /// # Panics
    /// Where the values are no whole number of rows.
    pub fn new(values: &'a [f32], dimension: usize) -> Self {
        assert!(dimension > 0 && values.len().is_multiple_of(dimension), "values that are no rows");
        Self { values, dimension }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values in each.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// One of them.
    pub fn row(&self, at: usize) -> &'a [f32] {
        &self.values[at * self.dimension..(at + 1) * self.dimension]
    }
}

/// A row near another, and the cosine between them.
pub type Near = (u32, f32);

/// For each of the rows whose places are given, at most so many of the others that are nearest to it, nearest first.
pub type Nearest<'a> = &'a (dyn Fn(Rows, &[u32], usize) -> Vec<Vec<Near>> + Sync);

/// How faces are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Agglomerative, by the geometric mean of average and centroid linkage.
    #[default]
    Linkage,
    /// Chinese whispers.
    Whispers,
}

/// What grouping goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How.
    pub method: Method,
    /// Where the line between one person and two is.
    pub line: Line,
    /// Neighbours that are asked for of each face, and of each group that has grown.
    pub neighbours: usize,
    /// For the order in which faces take their turns, where a method draws one.
    pub seed: u64,
}

impl Options {
    /// Neighbours of each face where nothing is said.
    pub const NEIGHBOURS: usize = 48;
}

/// The cosine between two unit vectors at a distance.
pub fn cosine_at(distance: f32) -> f32 {
    1.0 - distance * distance / 2.0
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut product = [0.0];
    crate::vector::products(a, b, &mut product);
    product[0]
}
