//! The similarity picture: two photos side by side, every face boxed, the nearest pair joined.

mod colour;
mod named;
mod paint;
mod seed;

pub use colour::similarity_colour;
pub(crate) use named::{NameTag, draw_names};
pub(crate) use seed::{draw_seed, stretched};

use std::borrow::Cow;

use crate::geometry::{BBox, Landmarks};
use crate::media::Raster;

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

/// All that the picture shows.
#[derive(Debug, Clone)]
pub struct Picture<'a> {
    /// The first photo.
    pub left: Pane<'a>,
    /// The second photo.
    pub right: Pane<'a>,
    /// Left face, right face, similarity in percent: every pair.
    pub pairs: Vec<(usize, usize, f32)>,
    /// Index of the pair to be drawn strong.
    pub best: Option<usize>,
    /// The verdict, and what it rests on.
    pub caption: [String; 2],
    /// Whether there is a verdict; only then is the caption in the pair's colour.
    pub decided: bool,
}

impl Picture<'_> {
    /// Draws it.
    pub fn draw(&self) -> Raster {
        paint::draw(self)
    }

    /// The best similarity of a left face over all right faces, or the other way round.
    fn best_of(&self, is_left: bool, face: usize) -> Option<f32> {
        let of = |&&(l, r, _): &&(usize, usize, f32)| if is_left { l == face } else { r == face };
        self.pairs.iter().filter(of).map(|p| p.2).max_by(f32::total_cmp)
    }
}
