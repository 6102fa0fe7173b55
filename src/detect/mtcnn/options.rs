//! MTCNN's options and their ranges.

use crate::error::ModelError;

/// Side of P-net's window in pixels of its level.
pub(super) const CELL: u32 = 12;

/// What MTCNN can be told. The defaults are facenet-pytorch's.
///
/// ```
/// let options = kith::MtcnnOptions { min_face: 40, ..Default::default() };
/// assert_eq!(options.thresholds, [0.6, 0.7, 0.7]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MtcnnOptions {
    /// Side of the smallest face looked for, in pixels; at least 12 (P-net's own window).
    pub min_face: u32,
    /// Least score that P-, R- and O-net let pass, each 0 to 1.
    pub thresholds: [f32; 3],
    /// Ratio between neighbouring levels of the pyramid, above 0 and below 1.
    pub factor: f64,
    /// A photo whose longer side is longer is treated as if it were this long: `min_face` grows in
    /// proportion. `None`, the default, looks for `min_face` in photos of any size.
    pub max_side: Option<u32>,
}

impl Default for MtcnnOptions {
    fn default() -> Self {
        Self { min_face: 20, thresholds: [0.6, 0.7, 0.7], factor: 0.709, max_side: None }
    }
}

impl MtcnnOptions {
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let wrong = |option, received: String, expected| Err(ModelError::InvalidOption { option, received, expected });
        if self.min_face < CELL {
            return wrong("min-face", self.min_face.to_string(), "at least 12 pixels");
        }
        if self.max_side.is_some_and(|side| side < CELL) {
            return wrong("max-side", format!("{:?}", self.max_side.unwrap_or_default()), "at least 12 pixels");
        }
        if self.thresholds.iter().any(|t| !(0.0..=1.0).contains(t)) {
            return wrong("detection thresholds", format!("{:?}", self.thresholds), "between 0 and 1");
        }
        if !(self.factor > 0.0 && self.factor < 1.0) {
            return wrong("pyramid factor", self.factor.to_string(), "above 0 and below 1");
        }
        Ok(())
    }
}
