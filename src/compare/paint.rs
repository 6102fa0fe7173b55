//! The picture in the photos' own proportions.

use super::{Pane, Picture, similarity_colour};
use crate::media::{Raster, draw_box, draw_disc, draw_label, draw_line, draw_text, fit_within, measure};

/// Both photos are shown at one height, within these bounds in pixels.
const LEAST_HEIGHT: u32 = 360;
const GREATEST_HEIGHT: u32 = 720;
/// A photo wider than this many times its height is shown lower instead.
const GREATEST_WIDTH: u32 = 960;
/// Space around and between the photos.
const GAP: u32 = 16;
const BACKGROUND: [u8; 3] = [24, 26, 30];
const PLATE: [u8; 3] = [16, 17, 20];
const BRIGHT: [u8; 3] = [240, 242, 245];
const DIM: [u8; 3] = [165, 170, 180];
/// Lines of the nearest pair, and of all the rest.
const STRONG: u32 = 4;
const THIN: u32 = 1;
/// Height of the percentage, of the verdict, and of the small print, in pixels.
const LABEL_SIZE: f32 = 18.0;
const SMALL_LABEL_SIZE: f32 = 13.0;
const VERDICT_SIZE: f32 = 26.0;
const SMALL_PRINT_SIZE: f32 = 15.0;
/// Least height of the small print when a long line is shrunk to fit.
const LEAST_PRINT_SIZE: f32 = 11.0;

/// A photo as it stands in the picture.
struct Placed<'a> {
    pane: &'a Pane<'a>,
    shown: Raster,
    x: u32,
    y: u32,
    scale: f32,
}

impl Placed<'_> {
    /// The face's box in pixels of the picture, kept inside the photo's frame.
    fn edges(&self, face: usize) -> [f32; 4] {
        let b = &self.pane.faces[face].bbox;
        let (w, h) = (self.shown.width() as f32 - 1.0, self.shown.height() as f32 - 1.0);
        let across = |v: f32| self.x as f32 + (v * self.scale).clamp(0.0, w);
        let down = |v: f32| self.y as f32 + (v * self.scale).clamp(0.0, h);
        [across(b.x0), down(b.y0), across(b.x1), down(b.y1)]
    }
}

pub(super) fn draw(picture: &Picture) -> Raster {
    let taller = picture.left.picture.height().max(picture.right.picture.height());
    let height = taller.clamp(LEAST_HEIGHT, GREATEST_HEIGHT);
    let left = fit_within(&picture.left.picture, GREATEST_WIDTH, height);
    let right = fit_within(&picture.right.picture, GREATEST_WIDTH, height);
    let tallest = left.height().max(right.height());
    let width = 3 * GAP + left.width() + right.width();
    let name_bar = (SMALL_PRINT_SIZE * 1.9) as u32;
    let caption_bar = (VERDICT_SIZE * 1.4 + SMALL_PRINT_SIZE * 2.4) as u32;
    let mut canvas = Raster::new(width, GAP + tallest + name_bar + caption_bar, BACKGROUND);

    let place = |pane, shown: Raster, x: u32| {
        let scale = shown.width() as f32 / Pane::width_of(pane) as f32;
        Placed { pane, x, y: GAP + (tallest - shown.height()) / 2, scale, shown }
    };
    let right_x = 2 * GAP + left.width();
    let sides = [place(&picture.left, left, GAP), place(&picture.right, right, right_x)];
    for side in &sides {
        canvas.blit(&side.shown, i64::from(side.x), i64::from(side.y));
        let baseline = (GAP + tallest) as f32 + SMALL_PRINT_SIZE * 1.4;
        fitted_text(
            &mut canvas,
            side.x,
            baseline,
            side.shown.width(),
            SMALL_PRINT_SIZE,
            DIM,
            file_name(&side.pane.name),
        );
    }

    let strong = picture.best.map(|at| picture.pairs[at]);
    for (is_left, side) in [(true, &sides[0]), (false, &sides[1])] {
        for face in 0..side.pane.faces.len() {
            let in_strong = strong.is_some_and(|(l, r, _)| face == if is_left { l } else { r });
            if !in_strong {
                mark(&mut canvas, side, face, picture.best_of(is_left, face), false);
            }
        }
    }
    if let Some((l, r, similarity)) = strong {
        join(&mut canvas, sides[0].edges(l), sides[1].edges(r), similarity);
        mark(&mut canvas, &sides[0], l, Some(similarity), true);
        mark(&mut canvas, &sides[1], r, Some(similarity), true);
    }

    let top = (GAP + tallest + name_bar) as f32;
    let colour = strong.filter(|_| picture.decided).map_or(BRIGHT, |s| similarity_colour(s.2));
    let within = width - 2 * GAP;
    let [verdict, evidence] = &picture.caption;
    fitted_text(&mut canvas, GAP, top + VERDICT_SIZE, within, VERDICT_SIZE, colour, verdict);
    let line = top + VERDICT_SIZE + SMALL_PRINT_SIZE * 1.7;
    fitted_text(&mut canvas, GAP, line, within, SMALL_PRINT_SIZE, BRIGHT, evidence);
    canvas
}

impl Pane<'_> {
    fn width_of(&self) -> u32 {
        self.picture.width()
    }
}

/// Box, landmarks and percentage of a face.
fn mark(canvas: &mut Raster, side: &Placed, face: usize, similarity: Option<f32>, strong: bool) {
    let [x0, y0, x1, y1] = side.edges(face);
    let colour = similarity.map_or(DIM, similarity_colour);
    draw_box(canvas, x0, y0, x1, y1, if strong { STRONG } else { THIN }, colour);
    for [x, y] in side.pane.faces[face].landmarks.0 {
        let (x, y) = (side.x as f32 + x * side.scale, side.y as f32 + y * side.scale);
        let inside = x >= side.x as f32 && x < (side.x + side.shown.width()) as f32;
        if strong && inside && y >= side.y as f32 && y < (side.y + side.shown.height()) as f32 {
            draw_disc(canvas, x, y, 2.5, colour);
        }
    }
    if let Some(similarity) = similarity {
        let size = if strong { LABEL_SIZE } else { SMALL_LABEL_SIZE };
        draw_label(canvas, x0, y1 + 4.0, size, &format!("{similarity:.1}%"), colour, PLATE);
    }
}

/// The line from the inner edge of one box to the inner edge of the other.
fn join(canvas: &mut Raster, left: [f32; 4], right: [f32; 4], similarity: f32) {
    let middle = |b: [f32; 4]| (b[1] + b[3]) / 2.0;
    let colour = similarity_colour(similarity);
    draw_line(canvas, left[2], middle(left), right[0], middle(right), 2.5, colour);
    draw_disc(canvas, left[2], middle(left), 5.0, colour);
    draw_disc(canvas, right[0], middle(right), 5.0, colour);
}

/// Text that is shrunk, and at last cut, so that it fits.
fn fitted_text(canvas: &mut Raster, x: u32, baseline: f32, within: u32, size: f32, colour: [u8; 3], text: &str) {
    let mut size = size;
    let mut text = text.to_string();
    while measure(&text, size).0 > within as f32 && size > LEAST_PRINT_SIZE {
        size -= 1.0;
    }
    while measure(&text, size).0 > within as f32 && text.chars().count() > 1 {
        text = text.chars().take(text.chars().count() - 2).chain(['…']).collect();
    }
    draw_text(canvas, x as f32, baseline, size, colour, &text);
}

/// The last part of a path, which is what people call the photo.
fn file_name(origin: &str) -> &str {
    origin.rsplit(['/', '\\']).next().unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;
    use crate::geometry::{BBox, Landmarks};

    fn pane(width: u32, height: u32, boxes: &[[f32; 4]]) -> Pane<'static> {
        let mark = |b: &[f32; 4]| Mark {
            bbox: BBox::new(b[0], b[1], b[2], b[3]),
            landmarks: Landmarks([[b[0] + 10.0, b[1] + 10.0]; 5]),
        };
        Pane {
            picture: std::borrow::Cow::Owned(Raster::new(width, height, [90, 90, 90])),
            name: "folder/photo.jpg".to_string(),
            faces: boxes.iter().map(mark).collect(),
        }
    }

    fn picture() -> Picture<'static> {
        Picture {
            left: pane(600, 450, &[[50.0, 50.0, 150.0, 170.0], [300.0, 50.0, 400.0, 170.0]]),
            right: pane(300, 450, &[[60.0, 80.0, 160.0, 200.0]]),
            pairs: vec![(0, 0, 10.0), (1, 0, 90.0)],
            best: Some(1),
            caption: ["Same person: 90.0% alike".to_string(), "distance 0.2, threshold 0.4".to_string()],
            decided: true,
        }
    }

    #[test]
    fn proportions_are_kept_and_the_pair_is_joined_in_its_colour() {
        let drawn = picture().draw();
        assert_eq!(drawn.width(), 3 * GAP + 600 + 300);
        let strong = similarity_colour(90.0);
        // The boxes' left edges: the strong one four pixels wide, the weak one in its own colour.
        assert_eq!(drawn.pixel(GAP + 300, GAP + 110), strong);
        assert_eq!(drawn.pixel(2 * GAP + 600 + 60, GAP + 120), strong);
        assert_eq!(drawn.pixel(GAP + 50, GAP + 110), similarity_colour(10.0));
        // Halfway between the boxes runs the line.
        let (x0, y0) = (GAP + 400, GAP + 110);
        let (x1, y1) = (2 * GAP + 600 + 60, GAP + 140);
        assert_eq!(drawn.pixel(x0.midpoint(x1), y0.midpoint(y1)), strong);
        // The caption is written beneath.
        let caption: Vec<u32> = (drawn.height() - 60..drawn.height()).collect();
        assert!(caption.iter().any(|&y| (0..drawn.width()).any(|x| drawn.pixel(x, y) == strong)));
    }

    #[test]
    fn odd_inputs_are_drawn_all_the_same() {
        let mut p = picture();
        p.left = pane(1, 1, &[[f32::NAN, -1e30, f32::INFINITY, 1e30], [0.0, 0.0, 0.0, 0.0]]);
        p.right = pane(3000, 20, &[[-50.0, -50.0, 5000.0, 5000.0]]);
        p.caption = ["Undecided".to_string(), "why ".repeat(300)];
        assert!(p.draw().width() > 0);
        p.pairs.clear();
        p.best = None;
        p.left.faces.clear();
        assert!(p.draw().width() > 0);
    }
}
