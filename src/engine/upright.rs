//! Does a face stand upright? Asked of the detector where the network of `attributes` calls it upside down.
//!
//! That network sees 48x48 pixels and has learned from one collection: long dark hair below a light face, which most of
//! its upright faces lack, looks to it like hair on a head that is turned over. The detector knows faces of every kind, and
//! is surer of them the right way up: the face is cut out, and looked at both ways.

use super::Engine;
use crate::attributes::QualityBounds;
use crate::detect::Detection;
use crate::error::ModelError;
use crate::geometry::{BBox, Landmarks, Similarity};
use crate::media::{Raster, warp};

/// Side of what is cut out, in pixels.
const SIDE: u32 = 160;
/// Where the landmarks come to lie in it: dlib's chip in the middle, with as much again around it as the face is wide.
const POINTS: [[f64; 2]; 5] = [[62.0, 64.0], [98.0, 64.0], [80.0, 84.0], [65.0, 101.0], [95.0, 101.0]];
/// How much likelier it is of an upright face than of one that is not that the detector is surer of it as it stands. YuNet is
/// so of 49 of 60 upright faces that were called upside down (every fifth photo of Labeled Faces in the Wild), and of 17 of
/// 4,155 that lay (every fifth, turned by 90, 180 and 270 degrees). With it one of all 6,922 upright faces is refused as
/// upside down; see the guide's page on galleries for what comes of photos that are turned by 180 degrees.
const SURER: f32 = 200.0;

impl Engine {
    /// How likely a face is upside down, after a second look where `inverted` is more than is accepted.
    pub(super) fn second_look(&self, photo: &Raster, face: &Detection, inverted: f32) -> Result<f32, ModelError> {
        if inverted <= QualityBounds::default().inverted {
            return Ok(inverted);
        }
        let Some(to_cut) = Similarity::fit(&face.landmarks.to_f64(), &POINTS) else { return Ok(inverted) };
        let cut = warp(photo, to_cut.inverse().rows(), SIDE, SIDE);
        let surest = |view: &Raster| -> Result<f32, ModelError> {
            let found = self.pipeline.detector.detect(view)?;
            let middle = SIDE as f32 / 2.0;
            let of_it = |d: &&Detection| {
                let b = &d.bbox;
                b.x0 < middle && middle < b.x1 && b.y0 < middle && middle < b.y1
            };
            Ok(found.iter().filter(of_it).map(|d| d.score).fold(0.0, f32::max))
        };
        let (stands, over) = (surest(&cut)?, surest(&cut.turned(2))?);
        if stands <= over {
            return Ok(inverted);
        }
        // Bayes' rule, with the detector's word as the evidence.
        let odds = inverted / (1.0 - inverted).max(f32::EPSILON) / SURER;
        Ok(odds / (1.0 + odds))
    }
}

/// A face that is known from before, as a detector would answer it.
pub(crate) fn known_face(bbox: BBox, landmarks: Landmarks, score: f32) -> Detection {
    Detection { bbox, score, landmarks, turned: turned(&landmarks) }
}

/// By how many degrees a photo has to be turned clockwise for a face to be upright: from its eyes to its mouth is down.
fn turned(landmarks: &Landmarks) -> u16 {
    let both = |a: usize, b: usize, axis: usize| landmarks.0[a][axis] + landmarks.0[b][axis];
    let [x, y] = [0, 1].map(|axis| both(3, 4, axis) - both(0, 1, axis));
    match (x.abs() > y.abs(), x > 0.0, y > 0.0) {
        (true, true, _) => 90,
        (true, false, _) => 270,
        (false, _, true) => 0,
        (false, _, false) => 180,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_turned_as_its_mouth_lies_below_its_eyes() {
        let upright = [[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [-1.0, 1.0], [1.0, 1.0f32]];
        // Clockwise, with y downwards.
        let turn = |p: [[f32; 2]; 5]| p.map(|[x, y]| [-y, x]);
        let mut landmarks = upright;
        for degrees in [0, 270, 180, 90] {
            assert_eq!(turned(&Landmarks(landmarks)), degrees);
            landmarks = turn(landmarks);
        }
    }
}
