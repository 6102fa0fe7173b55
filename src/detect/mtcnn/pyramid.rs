//! The image pyramid that P-net slides over.

use super::options::{CELL, MtcnnOptions};
use crate::media::{AreaRows, Frame, Raster};

/// Step of the window, in pixels of the level.
pub(super) const STRIDE: u32 = 2;

/// One level: the photo at `scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub scale: f64,
    pub width: usize,
    pub height: usize,
}

/// The levels from the finest (faces of `min_face` pixels fill the window) to the coarsest that still
/// holds one window.
pub(super) fn levels(width: u32, height: u32, options: &MtcnnOptions) -> Vec<Level> {
    let cell = f64::from(CELL);
    let longest = f64::from(width.max(height));
    let shrunk = options.max_side.map_or(1.0, |side| (f64::from(side) / longest).min(1.0));
    let mut scale = cell / f64::from(options.min_face) * shrunk;
    let mut shorter = f64::from(width.min(height)) * scale;
    let mut levels = Vec::new();
    while shorter >= cell {
        let at = |length: u32| (f64::from(length) * scale + 1.0) as usize;
        levels.push(Level { scale, width: at(width), height: at(height) });
        scale *= options.factor;
        shorter *= options.factor;
    }
    levels
}

impl Level {
    /// The normalised pixels of that part of the photo at this level, row by row; each level from the photo itself.
    pub(super) fn pixels<'a>(&self, photo: &'a Raster, frame: Frame) -> AreaRows<'a> {
        AreaRows::new(photo, frame, self.width, self.height)
    }

    /// Rows and columns of P-net's window positions: a 3x3 convolution, 2x2 pooling in ceil mode, two more
    /// 3x3.
    pub(super) fn cells(&self) -> (usize, usize) {
        let along = |length: usize| (length - 2).div_ceil(2) - 4;
        (along(self.height), along(self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_shrink_by_the_factor_until_the_window_no_longer_fits() {
        let levels = levels(512, 600, &MtcnnOptions::default());
        assert_eq!((levels[0].width, levels[0].height), (308, 361));
        assert_eq!(levels.len(), 10);
        let last = levels[9];
        assert!(512.0 * last.scale >= 12.0 && 512.0 * last.scale * 0.709 < 12.0);
    }

    #[test]
    fn a_bound_on_the_longer_side_drops_the_finest_levels_alone() {
        let bounded = |max_side| levels(3000, 2000, &MtcnnOptions { max_side, ..Default::default() });
        assert_eq!(bounded(Some(3000)), bounded(None));
        assert_eq!(bounded(Some(5000)), bounded(None));
        assert_eq!((bounded(Some(1500))[0].width, bounded(Some(1500))[0].height), (901, 601));
        assert!(bounded(Some(12)).is_empty());
    }

    #[test]
    fn a_photo_smaller_than_a_face_has_no_level() {
        assert!(levels(1, 1, &MtcnnOptions::default()).is_empty());
        assert!(levels(10_000, 19, &MtcnnOptions::default()).is_empty());
        assert_eq!(levels(20, 20, &MtcnnOptions::default()).len(), 1);
    }
}
