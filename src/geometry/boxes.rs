//! Boxes and their overlap.

use serde::{Deserialize, Serialize};

/// An axis-aligned box in pixels, `x0 <= x1`, `y0 <= y1` for a box that covers anything.
/// It may reach beyond the photo's edges.
///
/// ```
/// use kith::geometry::{BBox, Overlap};
/// let (a, b) = (BBox::new(0.0, 0.0, 2.0, 2.0), BBox::new(1.0, 0.0, 3.0, 2.0));
/// assert!((a.overlap(&b, Overlap::Union) - 1.0 / 3.0).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema), schema(as = Box))]
pub struct BBox {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
}

impl From<[f32; 4]> for BBox {
    /// Left, top, right, bottom.
    fn from([x0, y0, x1, y1]: [f32; 4]) -> Self {
        Self { x0, y0, x1, y1 }
    }
}

/// What two boxes' intersection is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The area of the union (IoU).
    Union,
    /// The smaller of the two areas, with lengths counted in whole pixels (one more than the
    /// difference of the edges), as MTCNN's last stage does.
    SmallerInPixels,
}

impl Overlap {
    /// What a length is longer than the difference of the edges.
    pub(super) fn extra(self) -> f32 {
        match self {
            Overlap::Union => 0.0,
            Overlap::SmallerInPixels => 1.0,
        }
    }
}

impl BBox {
    /// The box with these edges.
    pub const fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        Self { x0, y0, x1, y1 }
    }

    /// The box in a picture that is `factor` times as large.
    pub fn scaled(&self, factor: f32) -> BBox {
        BBox::new(self.x0 * factor, self.y0 * factor, self.x1 * factor, self.y1 * factor)
    }

    /// Width in pixels; negative for a box turned inside out.
    pub fn width(&self) -> f32 {
        self.x1 - self.x0
    }

    /// Height in pixels; negative for a box turned inside out.
    pub fn height(&self) -> f32 {
        self.y1 - self.y0
    }

    /// Width times height, 0 for a box that is empty or turned inside out.
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// The middle of the box, `(x, y)`.
    pub fn centre(&self) -> (f32, f32) {
        ((self.x0 + self.x1) * 0.5, (self.y0 + self.y1) * 0.5)
    }

    /// How much the two boxes share, 0 to 1.
    pub fn overlap(&self, other: &BBox, measure: Overlap) -> f32 {
        let extra = measure.extra();
        let width = (self.x1.min(other.x1) - self.x0.max(other.x0) + extra).max(0.0);
        let height = (self.y1.min(other.y1) - self.y0.max(other.y0) + extra).max(0.0);
        let shared = width * height;
        let size = |b: &BBox| (b.width() + extra) * (b.height() + extra);
        let whole = match measure {
            Overlap::Union => size(self) + size(other) - shared,
            Overlap::SmallerInPixels => size(self).min(size(other)),
        };
        if whole > 0.0 { shared / whole } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn overlap_counts_pixels_or_lengths() {
        let a = BBox::new(0.0, 0.0, 9.0, 9.0);
        let b = BBox::new(5.0, 0.0, 14.0, 9.0);
        assert!((a.overlap(&b, Overlap::Union) - 36.0 / (81.0 + 81.0 - 36.0)).abs() < 1e-6);
        assert!((a.overlap(&b, Overlap::SmallerInPixels) - 0.5).abs() < 1e-6);
        let apart = BBox::new(100.0, 100.0, 110.0, 110.0);
        assert_eq!(a.overlap(&apart, Overlap::Union), 0.0);
        let nothing = BBox::new(3.0, 3.0, 3.0, 3.0);
        assert_eq!(nothing.overlap(&nothing, Overlap::Union), 0.0);
    }

    #[test]
    fn suppression_keeps_the_best_of_each_cluster() {
        let boxes = [
            BBox::new(0.0, 0.0, 10.0, 10.0),
            BBox::new(1.0, 0.0, 11.0, 10.0),
            BBox::new(50.0, 50.0, 60.0, 60.0),
            BBox::new(0.0, 1.0, 10.0, 11.0),
        ];
        let kept = non_maximum_suppression(&boxes, &[0.8, 0.9, 0.5, 0.7], 0.5, Overlap::Union);
        assert_eq!(kept, vec![1, 2]);
        assert!(non_maximum_suppression(&[], &[], 0.5, Overlap::Union).is_empty());
    }

    #[test]
    fn a_nan_score_does_not_panic() {
        let boxes = [BBox::new(0.0, 0.0, 1.0, 1.0); 2];
        let kept = non_maximum_suppression(&boxes, &[f32::NAN, 0.5], 0.5, Overlap::Union);
        assert_eq!(kept.len(), 1);
    }

    /// The definition: every box against every kept one.
    fn by_all_pairs(boxes: &[BBox], scores: &[f32], threshold: f32, measure: Overlap) -> Vec<usize> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut gone = vec![false; boxes.len()];
        let mut kept = Vec::new();
        for (rank, &i) in order.iter().enumerate() {
            if gone[i] {
                continue;
            }
            kept.push(i);
            for &j in &order[rank + 1..] {
                gone[j] = gone[j] || boxes[i].overlap(&boxes[j], measure) > threshold;
            }
        }
        kept
    }

    /// Boxes of one kind, by a seed: what detectors give, and what none of them should.
    fn boxes_of(kind: usize, rng: &mut ChaCha8Rng) -> BBox {
        let mut within = |from: f32, to: f32| rng.random_range(from..to);
        let special = [0.0, -0.0, 1.0, 16.0, -16.0, 1e-30, -1e-30, 1e-7, 15.999_999, f32::EPSILON];
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e30, 1.1e9, -1.1e9, 0.0, 5.0];
        match kind {
            // Cells of one level: many with the very same edges.
            0 => {
                let (x, y) = (within(0.0, 40.0).floor() * 3.0, within(0.0, 40.0).floor() * 3.0);
                BBox::new(x, y, x + 19.0, y + 19.0)
            }
            // Squares of all sizes, crowded.
            1 => {
                let (x, y, side) = (within(-20.0, 300.0), within(-20.0, 300.0), within(0.0, 8.0).exp2());
                BBox::new(x, y, x + side, y + side)
            }
            // Any rectangle, slivers and boxes turned inside out among them.
            2 => {
                let (x, y) = (within(-50.0, 50.0), within(-50.0, 50.0));
                BBox::new(x, y, x + within(-10.0, 60.0), y + within(-1.0, 4.0))
            }
            // Edges at the bounds of cells, and so thin that products underflow.
            3 => {
                let mut edge =
                    || special[within(0.0, 10.0) as usize] * if within(0.0, 1.0) < 0.5 { 1.0 } else { 1e-22 };
                BBox::new(edge(), edge(), edge(), edge())
            }
            // Edges that are no edges.
            4 => {
                let mut edge = || wild[within(0.0, 10.0) as usize];
                BBox::new(edge(), edge(), edge(), edge())
            }
            // Whole pixels that just touch, or do but for one pixel.
            _ => {
                let (x, y) = (within(0.0, 12.0).floor() * 8.0, within(0.0, 12.0).floor() * 8.0);
                let side = [6.0, 7.0, 8.0, 9.0, 16.0][within(0.0, 5.0) as usize];
                BBox::new(x, y, x + side, y + side)
            }
        }
    }

    #[test]
    fn suppression_keeps_what_comparing_all_pairs_keeps() {
        for seed in 0..400u64 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            // One kind, or all of them mixed.
            let only = rng.random_range(0..9usize);
            let count = rng.random_range(0..300);
            let boxes: Vec<BBox> = (0..count)
                .map(|_| {
                    let kind = if only < 6 { only } else { rng.random_range(0..6) };
                    boxes_of(kind, &mut rng)
                })
                .collect();
            // Few different scores, so that many are equal.
            let scores: Vec<f32> = (0..count).map(|_| [0.1, 0.5, 0.9, 1.0, f32::NAN][rng.random_range(0..5)]).collect();
            for measure in [Overlap::Union, Overlap::SmallerInPixels] {
                for threshold in [0.0, 0.3, 0.5, 0.7, 1.0, -0.1, f32::NAN, 1e-6] {
                    let (found, wanted) = (
                        non_maximum_suppression(&boxes, &scores, threshold, measure),
                        by_all_pairs(&boxes, &scores, threshold, measure),
                    );
                    assert_eq!(found, wanted, "seed {seed}, {measure:?} above {threshold}");
                }
            }
        }
    }

    #[test]
    fn a_box_of_a_crowd_is_compared_with_those_near_it_alone() {
        let crowd = |faces: usize| -> Vec<BBox> {
            let at = |i: usize| ((i % 100) as f32 * 30.0, (i / 100) as f32 * 30.0);
            (0..faces).map(at).map(|(x, y)| BBox::new(x, y, x + 24.0, y + 24.0)).collect()
        };
        let looks = |boxes: &[BBox], measure: Overlap| {
            let mut near = NearBoxes::new(measure, 0.7);
            let mut looks = 0;
            for (i, b) in boxes.iter().enumerate() {
                near.any(b, |_| {
                    looks += 1;
                    false
                });
                near.insert(i, b);
            }
            looks
        };
        for measure in [Overlap::Union, Overlap::SmallerInPixels] {
            let (some, more) = (looks(&crowd(1500), measure), looks(&crowd(6000), measure));
            assert!(more <= 5 * some, "{measure:?}: {some} comparisons for 1,500 boxes, {more} for 6,000");
        }
    }
}
