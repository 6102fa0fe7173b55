//! Which boxes may overlap a box, found without looking at all of them: a grid for each size class.
//!
//! Boxes are filed by the power of two above their longer side, under the cell of that size that holds their upper
//! left corner. What can overlap a box then lies in a few cells of each class. By the intersection over the union only
//! boxes of about the same size can, so that other classes are not asked at all.

use std::collections::{BTreeMap, HashMap};

use super::boxes::{BBox, Overlap};

/// Edges beyond this, and those that are not finite, are compared with every box: no photo is that large, and up to
/// here f64 holds every sum of edges that matters.
const FARTHEST: f32 = (1u64 << 30) as f32;
/// Sides below this are compared with every box: products of them lose the accuracy that the classes rest on.
const THINNEST: f64 = 1e-6;
/// How far computed overlaps may be from the true ones, relatively, with room to spare: f32 rounds each by about 1e-6.
const ROUNDING: f64 = 1e-3;

/// An index of boxes that is asked which of them overlap another by more than a threshold. It names every box that
/// does, and some that do not.
pub(crate) struct NearBoxes {
    measure: Overlap,
    threshold: f32,
    /// By the exponent of the class's side.
    classes: BTreeMap<i32, Class>,
    /// Those that no cell holds.
    anywhere: Vec<usize>,
}

#[derive(Default)]
struct Class {
    members: Vec<usize>,
    cells: HashMap<(i64, i64), Vec<usize>>,
}

/// Where a box lies.
enum Place {
    /// It covers nothing, so that it overlaps no box.
    Nowhere,
    /// It is compared with every box.
    Anywhere,
    At(Extent),
}

struct Extent {
    from: [f64; 2],
    to: [f64; 2],
    longer: f64,
}

impl Extent {
    /// The exponent of the least power of two above the longer side; 0 for all sides below one pixel.
    fn class(&self) -> i32 {
        if self.longer < 1.0 { 0 } else { (self.longer.to_bits() >> 52) as i32 - 1022 }
    }
}

fn cell(edge: f64, side: f64) -> i64 {
    (edge / side).floor() as i64
}

impl NearBoxes {
    /// An index without boxes, for overlaps by `measure` of more than `threshold`.
    pub(crate) fn new(measure: Overlap, threshold: f32) -> Self {
        Self { measure, threshold, classes: BTreeMap::new(), anywhere: Vec::new() }
    }

    /// Files the box with index `at`.
    pub(crate) fn insert(&mut self, at: usize, bbox: &BBox) {
        match self.place(bbox) {
            Place::Nowhere => {}
            Place::Anywhere => self.anywhere.push(at),
            Place::At(extent) => {
                let exponent = extent.class();
                let side = 2f64.powi(exponent);
                let class = self.classes.entry(exponent).or_default();
                class.members.push(at);
                class.cells.entry((cell(extent.from[0], side), cell(extent.from[1], side))).or_default().push(at);
            }
        }
    }

    /// Whether `overlaps` says so of any box that may overlap this one. It is asked of every box that does, until it
    /// says yes.
    pub(crate) fn any(&self, bbox: &BBox, mut overlaps: impl FnMut(usize) -> bool) -> bool {
        let extent = match self.place(bbox) {
            Place::Nowhere => return false,
            Place::Anywhere => {
                let placed = self.classes.values().flat_map(|class| &class.members);
                return self.anywhere.iter().chain(placed).any(|&at| overlaps(at));
            }
            Place::At(extent) => extent,
        };
        if self.anywhere.iter().any(|&at| overlaps(at)) {
            return true;
        }
        self.classes.iter().any(|(&exponent, class)| {
            let side = 2f64.powi(exponent);
            if !self.sizes_fit(extent.longer, exponent, side) {
                return false;
            }
            // A member that reaches the box begins at most one cell before it.
            let [columns, rows] = [0, 1].map(|axis| cell(extent.from[axis], side) - 1..=cell(extent.to[axis], side));
            let cells = (columns.end() - columns.start() + 1).saturating_mul(rows.end() - rows.start() + 1);
            if cells >= class.members.len() as i64 {
                return class.members.iter().any(|&at| overlaps(at));
            }
            let mut held_at = |cell| class.cells.get(&cell).is_some_and(|held| held.iter().any(|&at| overlaps(at)));
            columns.clone().any(|x| rows.clone().any(|y| held_at((x, y))))
        })
    }

    /// Indices of the boxes for which `overlaps` says yes, in ascending order.
    pub(crate) fn all(&self, bbox: &BBox, mut overlaps: impl FnMut(usize) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        self.any(bbox, |at| {
            if overlaps(at) {
                found.push(at);
            }
            false
        });
        found.sort_unstable();
        found
    }

    /// Whether a box with that longer side may overlap one of the class. What two boxes share is at most the smaller
    /// width times the smaller height, and the union at least the larger box: above a threshold `t` of their ratio,
    /// each side is more than `t` times the other's.
    fn sizes_fit(&self, longer: f64, exponent: i32, side: f64) -> bool {
        if self.measure != Overlap::Union {
            return true;
        }
        let least = f64::from(self.threshold) * (1.0 - ROUNDING);
        let smallest = if exponent == 0 { 0.0 } else { side / 2.0 };
        side >= least * longer && longer >= least * smallest
    }

    fn place(&self, bbox: &BBox) -> Place {
        // Below nothing, boxes overlap wherever they are. Written so that a threshold that is not a number is none.
        if self.threshold < 0.0 {
            return Place::Anywhere;
        }
        let edges = [bbox.x0, bbox.y0, bbox.x1, bbox.y1];
        if !edges.iter().all(|edge| edge.abs() <= FARTHEST) {
            return Place::Anywhere;
        }
        let extra = self.measure.extra();
        // As `BBox::overlap` computes it: no other box leaves more of this one.
        if !(bbox.width() + extra > 0.0 && bbox.height() + extra > 0.0) {
            return Place::Nowhere;
        }
        let [x0, y0, x1, y1] = edges.map(f64::from);
        let extra = f64::from(extra);
        let (width, height) = (x1 - x0 + extra, y1 - y0 + extra);
        if width.min(height) < THINNEST {
            return Place::Anywhere;
        }
        Place::At(Extent { from: [x0, y0], to: [x1 + extra, y1 + extra], longer: width.max(height) })
    }
}
