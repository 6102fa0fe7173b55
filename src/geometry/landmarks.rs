//! The five points of a face.

use serde::{Deserialize, Serialize};

/// Five landmarks, `[x, y]` in pixels: left eye, right eye, nose, left and right mouth corner, where
/// left means left in the photo.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Landmarks(pub [[f32; 2]; 5]);

impl Landmarks {
    /// Names of the five points, in order.
    pub const NAMES: [&'static str; 5] = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"];

    /// The points in double precision, for fitting.
    pub fn to_f64(&self) -> [[f64; 2]; 5] {
        self.0.map(|[x, y]| [f64::from(x), f64::from(y)])
    }

    /// Distance between the eyes in pixels.
    pub fn eye_distance(&self) -> f32 {
        let [left, right, ..] = self.0;
        (right[0] - left[0]).hypot(right[1] - left[1])
    }
}
