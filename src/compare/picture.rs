//! What the picture shows: two photos with their faces, every pair, the verdict.

use std::borrow::Cow;

use super::colour::similarity_colour;
use crate::geometry::{BBox, Landmarks};
use crate::media::Raster;

/// Where nothing is decided, no colour says that it was.
const UNDECIDED: [u8; 3] = [240, 242, 245];

/// A face to be marked, in pixels of its photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// The box.
    pub bbox: BBox,
    /// Eyes, nose, mouth corners.
    pub landmarks: Landmarks,
}

/// One photo and its faces.
#[derive(Debug, Clone)]
pub struct Pane<'a> {
    /// The upright photo, which may be large: borrowed where somebody has it already.
    pub picture: Cow<'a, Raster>,
    /// What to call it.
    pub name: String,
    /// Its faces.
    pub faces: Vec<Mark>,
}

/// A face of the left photo with one of the right.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Index of the left face.
    pub left: usize,
    /// Index of the right face.
    pub right: usize,
    /// How alike they are, 0 to 100, where 50 is the threshold in force: the colour. None where there is no threshold.
    pub alike: Option<f32>,
    /// What is written at them.
    pub text: String,
}

/// All that the picture shows.
#[derive(Debug, Clone)]
pub struct Picture<'a> {
    /// The first photo.
    pub left: Pane<'a>,
    /// The second photo.
    pub right: Pane<'a>,
    /// Every pair.
    pub pairs: Vec<Pair>,
    /// Index of the pair to be drawn strong.
    pub best: Option<usize>,
    /// The verdict, and what it rests on.
    pub caption: [String; 2],
    /// Whether there is a verdict; only then is a pair in the colour of how alike it is.
    pub decided: bool,
}

impl Picture<'_> {
    /// The best pair of a left face over all right faces, or the other way round.
    pub(super) fn best_of(&self, is_left: bool, face: usize) -> Option<&Pair> {
        let of = |p: &&Pair| if is_left { p.left == face } else { p.right == face };
        self.pairs.iter().filter(of).max_by(|a, b| a.alike.unwrap_or(0.0).total_cmp(&b.alike.unwrap_or(0.0)))
    }

    /// The colour of what is drawn for a pair.
    pub(super) fn colour(&self, pair: &Pair) -> [u8; 3] {
        pair.alike.filter(|_| self.decided).map_or(UNDECIDED, similarity_colour)
    }
}
