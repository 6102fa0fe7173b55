//! The vectors of a gallery in memory, and their 8-bit codes: what every index answers from.
//!
//! A code is `round(value / scale)`, with one scale for all rows, so that products of codes are integers
//! that order as the products of the vectors do, to within a bound. For unit vectors `p` (the probe) and
//! `v`, with code errors `e_p` and `e_v`:
//!
//! ```text
//! p.v = (p - e_p).(v - e_v) + e_p.(v - e_v) + p.e_v
//! |p.v - product of codes| <= |e_p| (1 + |e_v|) + |p| |e_v|         (Cauchy and Schwarz)
//! ```
//!
//! [`Probe::margin`] is twice that with the largest `|e_v|` of all rows, the largest departure of a row's
//! length from 1 and the rounding of f32 sums added: whatever lies more than the margin under the k-th
//! best product of codes is not among the k nearest.
//!
//! Invariants, held against by `check`:
//! 1. every table has `faces.len()` rows; row `i` is the vector of `faces[i]`, or nobody's;
//! 2. `at` gives the row of every face, and names nothing else;
//! 3. codes are the vectors' at `scale`, and no row errs more than `code_error`;
//! 4. rows in `free` are nobody's, each once.

use std::collections::HashMap;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::neighbour::Neighbour;
use super::table::Table;
use crate::vector::{CodedProbe, LINE, Layout, squared_distance, stored};

/// Stands for a face in a row that is nobody's.
pub(super) const NOBODY: u64 = u64::MAX;
/// The largest code.
const LARGEST: f32 = 127.0;
/// Room above the largest value seen when a scale has to grow, so that it grows a few times only.
const HEADROOM: f32 = 1.25;
/// What rounding of f32 sums can add to a product of unit vectors, generously.
const ROUNDING: f64 = 1e-5;

/// How vectors are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// As they were given.
    #[default]
    F32,
    /// Rounded to 16 bits: half the memory, and distances of the rounded vectors.
    F16,
}

#[derive(Debug, Clone)]
enum Vectors {
    F32(Table<f32>),
    F16(Table<f16>),
}

/// Vectors under the numbers of faces.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    dimension: usize,
    vectors: Vectors,
    codes: Table<u8>,
    faces: Vec<u64>,
    at: HashMap<u64, u32>,
    free: Vec<u32>,
    /// What a code of one stands for.
    scale: f32,
    /// Largest Euclidean length of a vector less its codes' value.
    code_error: f64,
    /// Largest departure of a squared length from 1.
    length_error: f64,
}

/// A vector to search for.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    pub values: &'a [f32],
    pub coded: CodedProbe,
    /// Rows whose product of codes is this much under the k-th best are not among the k nearest.
    pub margin: i32,
}

impl Rows {
    pub(super) fn new(dimension: usize, precision: Precision) -> Self {
        let vectors = match precision {
            Precision::F32 => Vectors::F32(Table::new(dimension)),
            Precision::F16 => Vectors::F16(Table::new(dimension)),
        };
        Self {
            dimension,
            vectors,
            codes: Table::new(dimension.max(1).next_multiple_of(LINE)),
            faces: Vec::new(),
            at: HashMap::new(),
            free: Vec::new(),
            scale: 0.0,
            code_error: 0.0,
            length_error: 0.0,
        }
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Faces that are there.
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Rows, whether somebody's or nobody's.
    pub(super) fn rows(&self) -> usize {
        self.faces.len()
    }

    pub(super) fn face(&self, row: u32) -> Option<u64> {
        Some(self.faces[row as usize]).filter(|f| *f != NOBODY)
    }

    pub(super) fn row_of(&self, face: u64) -> Option<u32> {
        self.at.get(&face).copied()
    }

    /// Faces and their rows, in order of rows.
    pub(super) fn faces(&self) -> impl Iterator<Item = (u32, u64)> {
        self.faces.iter().enumerate().filter(|(_, f)| **f != NOBODY).map(|(row, f)| (row as u32, *f))
    }

    pub(super) fn vector(&self, row: u32) -> Vec<f32> {
        match &self.vectors {
            Vectors::F32(t) => t.row(row).to_vec(),
            Vectors::F16(t) => t.row(row).to_f32_vec(),
        }
    }

    pub(super) fn layout(&self) -> Layout<'_> {
        self.codes.layout()
    }

    pub(super) fn chunks(&self) -> &[Vec<u8>] {
        self.codes.chunks()
    }

    pub(super) fn codes(&self, row: u32) -> &[u8] {
        self.codes.row(row)
    }

    /// The squared length of a unit vector in products of codes.
    pub(super) fn one(&self) -> i32 {
        (1.0 / (self.scale * self.scale)).round() as i32
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let vectors = match &self.vectors {
            Vectors::F32(t) => t.bytes(),
            Vectors::F16(t) => t.bytes(),
        };
        let map = self.at.capacity() * (size_of::<(u64, u32)>() + 1);
        vectors + self.codes.bytes() + self.faces.capacity() * size_of::<u64>() + map + self.free.capacity() * 4
    }

    /// Adds a unit vector under a number that is not there yet; returns its row.
    pub(super) fn insert(&mut self, face: u64, vector: &[f32]) -> u32 {
        assert_eq!(vector.len(), self.dimension, "a vector of another dimension");
        assert!(face != NOBODY && !self.at.contains_key(&face), "face {face} has a row already");
        let row = match self.free.pop() {
            Some(row) => {
                self.faces[row as usize] = face;
                match &mut self.vectors {
                    Vectors::F32(t) => t.row_mut(row).copy_from_slice(vector),
                    Vectors::F16(t) => t.row_mut(row).convert_from_f32_slice(vector),
                }
                row
            }
            None => {
                self.faces.push(face);
                match &mut self.vectors {
                    Vectors::F32(t) => t.push(vector.iter().copied()),
                    Vectors::F16(t) => t.push(vector.iter().map(|&v| f16::from_f32(v))),
                }
                self.codes.push(std::iter::repeat(stored(0)));
                (self.faces.len() - 1) as u32
            }
        };
        self.at.insert(face, row);
        self.encode_row(row);
        row
    }

    /// Takes a face out; its row is nobody's, and keeps its codes until it is freed.
    pub(super) fn remove(&mut self, face: u64) -> Option<u32> {
        let row = self.at.remove(&face)?;
        self.faces[row as usize] = NOBODY;
        match &mut self.vectors {
            Vectors::F32(t) => t.row_mut(row).fill(0.0),
            Vectors::F16(t) => t.row_mut(row).fill(f16::ZERO),
        }
        Some(row)
    }

    /// Lets a row that is nobody's be used again.
    pub(super) fn free(&mut self, row: u32) {
        self.codes.row_mut(row).fill(stored(0));
        self.free.push(row);
    }

    /// Frees every row that is nobody's. No index may stand over the rows.
    pub(super) fn free_unused(&mut self) {
        let free: std::collections::HashSet<u32> = self.free.iter().copied().collect();
        let nobody = |row: &u32| self.faces[*row as usize] == NOBODY && !free.contains(row);
        let unused: Vec<u32> = (0..self.faces.len() as u32).filter(nobody).collect();
        unused.into_iter().for_each(|row| self.free(row));
    }

    /// Moves the last rows into the free ones. No index may stand over the rows.
    pub(super) fn compact(&mut self) {
        let mut free = std::mem::take(&mut self.free);
        free.sort_unstable_by(|a, b| b.cmp(a));
        for gap in free {
            let last = (self.faces.len() - 1) as u32;
            if gap != last {
                let face = self.faces[last as usize];
                match &mut self.vectors {
                    Vectors::F32(t) => {
                        let moved = t.row(last).to_vec();
                        t.row_mut(gap).copy_from_slice(&moved);
                    }
                    Vectors::F16(t) => {
                        let moved = t.row(last).to_vec();
                        t.row_mut(gap).copy_from_slice(&moved);
                    }
                }
                let moved = self.codes.row(last).to_vec();
                self.codes.row_mut(gap).copy_from_slice(&moved);
                self.faces[gap as usize] = face;
                self.at.insert(face, gap);
            }
            self.faces.pop();
            let left = self.faces.len();
            self.codes.truncate(left);
            match &mut self.vectors {
                Vectors::F32(t) => t.truncate(left),
                Vectors::F16(t) => t.truncate(left),
            }
        }
    }

    fn encode_row(&mut self, row: u32) {
        let vector = self.vector(row);
        let largest = vector.iter().fold(0f32, |m, v| m.max(v.abs()));
        if largest > self.scale * LARGEST {
            self.scale = largest * HEADROOM / LARGEST;
            self.encode_all();
            return;
        }
        let (codes, error) = encode(&vector, self.scale);
        self.codes.row_mut(row)[..codes.len()].copy_from_slice(&codes);
        self.code_error = self.code_error.max(error);
        self.length_error = self.length_error.max(length_error(&vector));
    }

    /// Encodes every row anew, at the current scale.
    fn encode_all(&mut self) {
        let (mut code_error, mut length_error) = (0f64, 0f64);
        let faces: Vec<(u32, u64)> = self.faces().collect();
        for block in faces.chunks(4096) {
            let encoded: Vec<(u32, Vec<u8>, f64, f64)> = block
                .par_iter()
                .map(|&(row, _)| {
                    let vector = self.vector(row);
                    let (codes, error) = encode(&vector, self.scale);
                    (row, codes, error, self::length_error(&vector))
                })
                .collect();
            for (row, codes, error, length) in encoded {
                self.codes.row_mut(row)[..codes.len()].copy_from_slice(&codes);
                (code_error, length_error) = (code_error.max(error), length_error.max(length));
            }
        }
        (self.code_error, self.length_error) = (code_error, length_error);
    }

    /// Prepares a search; `None` for what is no vector of this space.
    pub(super) fn probe<'a>(&self, values: &'a [f32]) -> Option<Probe<'a>> {
        if values.len() != self.dimension || !values.iter().all(|v| v.is_finite()) {
            return None;
        }
        let largest = values.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
        let scale = largest / LARGEST;
        let codes: Vec<i8> = values.iter().map(|v| (v / scale).round() as i8).collect();
        let square = |v: f64| v * v;
        let (mut error, mut length) = (0.0, 0.0);
        for (&v, &c) in values.iter().zip(&codes) {
            error += square(f64::from(v) - f64::from(c) * f64::from(scale));
            length += square(f64::from(v));
        }
        let (error, length) = (error.sqrt(), length.sqrt());
        let product = error * (1.0 + self.code_error + self.length_error) + length * self.code_error;
        let bound = product + self.length_error / 2.0 + ROUNDING * (1.0 + length);
        let unit = f64::from(scale) * f64::from(self.scale);
        let margin = (2.0 * bound / unit).ceil() + 1.0;
        // Above this a product cannot come, so everything is within the margin.
        let margin = if margin.is_finite() { margin.min(f64::from(i32::MAX / 2)) as i32 } else { i32::MAX / 2 };
        Some(Probe { values, coded: CodedProbe::new(codes.into_iter()), margin })
    }

    /// The nearest of the rows by true distance, those that are somebody's.
    pub(super) fn rank(&self, rows: impl Iterator<Item = u32>, probe: &[f32], count: usize) -> Vec<Neighbour> {
        let mut wide = vec![0f32; self.dimension];
        let mut near: Vec<Neighbour> = rows
            .filter_map(|row| {
                let face = self.face(row)?;
                let squared = match &self.vectors {
                    Vectors::F32(t) => squared_distance(probe, t.row(row)),
                    Vectors::F16(t) => {
                        t.row(row).convert_to_f32_slice(&mut wide);
                        squared_distance(probe, &wide)
                    }
                };
                Some(Neighbour { face, distance: squared.sqrt() })
            })
            .collect();
        let order = |a: &Neighbour, b: &Neighbour| a.distance.total_cmp(&b.distance).then(a.face.cmp(&b.face));
        near.sort_unstable_by(order);
        near.truncate(count);
        near
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let vectors = match &self.vectors {
            Vectors::F32(t) => t.len(),
            Vectors::F16(t) => t.len(),
        };
        let rows = self.faces.len();
        if vectors != rows || self.codes.len() != rows {
            return Err(format!("{rows} rows, {vectors} vectors, {} rows of codes", self.codes.len()));
        }
        let held = self.faces().count();
        if held != self.at.len() || held + self.free.len() > rows {
            return Err(format!("{held} faces in {rows} rows, {} looked up, {} free", self.at.len(), self.free.len()));
        }
        let mut free = self.free.clone();
        free.sort_unstable();
        free.dedup();
        if free.len() != self.free.len() || free.iter().any(|&row| self.face(row).is_some()) {
            return Err("a row is free twice, or somebody's".to_string());
        }
        for (row, face) in self.faces() {
            if self.at.get(&face) != Some(&row) {
                return Err(format!("face {face} stands in row {row}, and is looked for in {:?}", self.at.get(&face)));
            }
            let vector = self.vector(row);
            let off = length_error(&vector);
            // Written so that a length that is not a number is a fault.
            let sound = off < 3e-3 && off <= self.length_error;
            if !sound {
                return Err(format!("the vector of face {face} is {off} from length 1"));
            }
            let (codes, error) = encode(&vector, self.scale);
            if codes != self.codes.row(row)[..codes.len()] || error > self.code_error {
                return Err(format!("the codes of face {face} are not its vector's"));
            }
        }
        Ok(())
    }
}

fn length_error(vector: &[f32]) -> f64 {
    (vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() - 1.0).abs()
}

/// Codes as stored, and the length of what they leave out.
fn encode(vector: &[f32], scale: f32) -> (Vec<u8>, f64) {
    let mut error = 0.0;
    let unit = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let code = |&v: &f32| {
        let code = (v * unit).round().clamp(-LARGEST, LARGEST) as i8;
        error += (f64::from(v) - f64::from(code) * f64::from(scale)).powi(2);
        stored(code)
    };
    let codes = vector.iter().map(code).collect();
    (codes, error.sqrt())
}
