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
#[non_exhaustive]
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
}
