//! MTCNN's box arithmetic: from P-net's maps to candidates, and how the stages move them.
//!
//! Two conventions of length live side by side in the reference, and both are kept: after P-net a
//! box is as wide as the difference of its edges; after R-net and O-net it is one pixel wider.

use super::nets::Maps;
use super::options::CELL;
use super::pyramid::STRIDE;
use crate::geometry::{BBox, Landmarks, Overlap, non_maximum_suppression};
use crate::media::Frame;

/// A box on its way through the cascade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub bbox: BBox,
    pub score: f32,
    /// How far the network wants each edge (x0, y0, x1, y1) moved, in box widths and heights.
    pub shift: [f32; 4],
}

/// The box of P-net's cell at column `x` and row `y` of the level at `scale`.
pub(super) fn of_cell(x: usize, y: usize, scale: f64, score: f32, shift: [f32; 4]) -> Candidate {
    let (scale, stride, cell) = (scale as f32, STRIDE as f32, CELL as f32);
    let near = |at: usize| ((stride * at as f32 + 1.0) / scale).floor();
    let far = |at: usize| ((stride * at as f32 + cell) / scale).floor();
    Candidate { bbox: BBox::new(near(x), near(y), far(x), far(y)), score, shift }
}

/// P-net's cells with at least `threshold`, as boxes of the photo.
pub(super) fn from_maps(maps: &Maps, scale: f64, threshold: f32) -> Vec<Candidate> {
    let plane = maps.scores.len();
    let passed = maps.scores.iter().enumerate().filter(|(_, score)| **score >= threshold);
    passed
        .map(|(at, &score)| {
            let shift = std::array::from_fn(|k| maps.shifts[k * plane + at]);
            of_cell(at % maps.columns, at / maps.columns, scale, score, shift)
        })
        .collect()
}

/// The candidates that non-maximum suppression by IoU keeps, best first.
pub(super) fn suppress(candidates: &[Candidate], threshold: f32) -> Vec<Candidate> {
    let boxes: Vec<_> = candidates.iter().map(|c| c.bbox).collect();
    let scores: Vec<_> = candidates.iter().map(|c| c.score).collect();
    let kept = non_maximum_suppression(&boxes, &scores, threshold, Overlap::Union);
    kept.into_iter().map(|i| candidates[i]).collect()
}

impl Candidate {
    /// Edges moved by the shift, in units of the box's width and height.
    pub(super) fn moved_by_plain_lengths(&self) -> Self {
        self.moved(self.bbox.width(), self.bbox.height())
    }

    /// Edges moved by the shift, in units of the box's width and height counted in whole pixels.
    pub(super) fn moved_by_pixel_lengths(&self) -> Self {
        self.moved(self.bbox.width() + 1.0, self.bbox.height() + 1.0)
    }

    fn moved(&self, width: f32, height: f32) -> Self {
        let (b, s) = (&self.bbox, &self.shift);
        let bbox = BBox::new(b.x0 + s[0] * width, b.y0 + s[1] * height, b.x1 + s[2] * width, b.y1 + s[3] * height);
        Self { bbox, ..*self }
    }

    /// The same box that far right and down.
    pub(super) fn shifted(&self, x: f32, y: f32) -> Self {
        let b = &self.bbox;
        Self { bbox: BBox::new(b.x0 + x, b.y0 + y, b.x1 + x, b.y1 + y), ..*self }
    }

    /// The square about the same centre with the longer side.
    pub(super) fn squared(&self) -> Self {
        let b = &self.bbox;
        let side = b.width().max(b.height());
        let x0 = b.x0 + b.width() * 0.5 - side * 0.5;
        let y0 = b.y0 + b.height() * 0.5 - side * 0.5;
        Self { bbox: BBox::new(x0, y0, x0 + side, y0 + side), ..*self }
    }

    /// What the box covers, beyond the photo's edges too; `None` when no pixel of the photo is in it.
    ///
    /// The reference counts pixels from 1 and includes the last one. Where a box reaches beyond the photo it stretches
    /// what is left to the network's square, so that a face at the edge is seen out of proportion, and its landmarks are
    /// placed wrongly; the paper's own program fills up with black, and so does this.
    pub(super) fn frame(&self, width: u32, height: u32) -> Option<Frame> {
        // A cast from f32 saturates, and NaN becomes 0. However far the box reaches, no more than the photo's own
        // length is filled up on each side.
        let edge = |edge: f32, length: u32| {
            let length = i64::from(length);
            (edge.trunc() as i64).clamp(-length, 2 * length)
        };
        // A box that begins in the photo's first pixel begins with it.
        let first = |edge_at: f32, length: u32| match edge_at >= 0.0 {
            true => (edge(edge_at, length) - 1).max(0),
            false => edge(edge_at, length) - 1,
        };
        let (x0, y0) = (first(self.bbox.x0, width), first(self.bbox.y0, height));
        let (x1, y1) = (edge(self.bbox.x1, width), edge(self.bbox.y1, height));
        let holds = |from: i64, to: i64, length: u32| from.max(0) < to.min(i64::from(length));
        (holds(x0, x1, width) && holds(y0, y1, height)).then_some(Frame { x0, y0, x1, y1 })
    }

    /// O-net's landmarks (five x, then five y, in box lengths) as points of the photo.
    pub(super) fn place(&self, relative: &[f32; 10]) -> Landmarks {
        let (width, height) = (self.bbox.width() + 1.0, self.bbox.height() + 1.0);
        Landmarks(std::array::from_fn(|k| {
            [width * relative[k] + self.bbox.x0 - 1.0, height * relative[5 + k] + self.bbox.y0 - 1.0]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(x0: f32, y0: f32, x1: f32, y1: f32) -> Candidate {
        Candidate { bbox: BBox::new(x0, y0, x1, y1), score: 1.0, shift: [0.1, 0.0, -0.1, 0.5] }
    }

    #[test]
    fn the_two_length_conventions_differ_by_one_pixel() {
        let c = candidate(10.0, 20.0, 20.0, 30.0);
        assert_eq!(c.moved_by_plain_lengths().bbox, BBox::new(11.0, 20.0, 19.0, 35.0));
        assert_eq!(c.moved_by_pixel_lengths().bbox, BBox::new(11.1, 20.0, 18.9, 35.5));
    }

    #[test]
    fn squaring_keeps_the_centre() {
        let c = candidate(10.0, 0.0, 20.0, 40.0).squared();
        assert_eq!(c.bbox, BBox::new(-5.0, 0.0, 35.0, 40.0));
    }

    #[test]
    fn frames_keep_the_boxes_proportions_at_the_edge_and_are_bounded() {
        let frame = |x0, y0, x1, y1| Some(Frame { x0, y0, x1, y1 });
        // Within the photo as the reference cuts.
        assert_eq!(candidate(3.2, 2.9, 20.9, 19.9).frame(30, 100), frame(2, 1, 20, 19));
        assert_eq!(candidate(0.4, 1.0, 20.9, 19.9).frame(30, 100), frame(0, 0, 20, 19));
        // As wide and as high as the box, wherever it lies.
        assert_eq!(candidate(-5.5, 2.9, 35.2, 43.9).frame(30, 100), frame(-6, 1, 35, 43));
        assert_eq!(candidate(40.0, 0.0, 60.0, 20.0).frame(30, 30), None);
        assert_eq!(candidate(-60.0, -60.0, -20.0, -20.0).frame(30, 30), None);
        let nan = f32::NAN;
        assert_eq!(candidate(nan, nan, nan, nan).frame(30, 30), None);
        let huge = f32::INFINITY;
        assert_eq!(candidate(-huge, -huge, huge, huge).frame(30, 20), frame(-31, -21, 60, 40));
    }
}
