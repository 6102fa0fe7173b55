//! Grouping faces into people: pure numbers. Who is near whom comes from the caller, who has an index.
//!
//! | method | merges | for |
//! | --- | --- | --- |
//! | [`Method::Linkage`] | the two groups whose faces are most alike, while they are alike enough: agglomerative clustering over the neighbours' graph (as in F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet", 2015, section 5.6) | the default: a chain of look-alikes is no group |
//! | [`Method::Whispers`] | nothing: every face takes the label that weighs most among its neighbours, in rounds (C. Biemann, "Chinese whispers", 2006) | comparison with dlib |
//!
//! Invariants:
//! 1. the same faces, rules and options give the same groups, on every machine that computes products alike; another
//!    order of the faces gives the same groups but where similarities tie to the last bit;
//! 2. no group breaks a [`Rules`] rule, whatever the similarities say;
//! 3. memory is linear in the faces: vectors, their sums, and at most [`Options::neighbours`] neighbours each.

mod line;
mod linkage;
mod rules;
#[cfg(test)]
mod tests;
mod whispers;

pub use line::Line;
pub use rules::{Contradiction, Rules};

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

/// The group of each row: groups are numbered from 0 in order of their first rows.
///
/// # Panics
/// Where the rules are for another number of rows.
pub fn group(rows: Rows, rules: &Rules, options: &Options, nearest: Nearest) -> Vec<u32> {
    assert_eq!(rules.len(), rows.len(), "rules for other rows");
    let groups = match options.method {
        Method::Linkage => linkage::group(rows, rules, options, nearest),
        Method::Whispers => whispers::group(rows, rules, options, nearest),
    };
    numbered(&groups)
}

/// The same groups, numbered in order of their first rows.
fn numbered(groups: &[u32]) -> Vec<u32> {
    let mut numbers = std::collections::HashMap::new();
    let number = |group: &u32| {
        let next = numbers.len() as u32;
        *numbers.entry(*group).or_insert(next)
    };
    groups.iter().map(number).collect()
}

/// The cosine between two unit vectors at a distance.
pub fn cosine_at(distance: f32) -> f32 {
    1.0 - distance * distance / 2.0
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut product = [0.0];
    crate::vector::products(a, b, &mut product);
    product[0]
}
