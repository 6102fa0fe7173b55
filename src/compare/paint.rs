//! The picture in the photos' own proportions.

use super::labels::{Edges, Sizes, place};
use super::picture::Picture;
use super::view::View;
use crate::media::{Raster, draw_box, draw_disc, draw_label, draw_line, draw_text, measure};

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
/// The line of the nearest pair, and between its faces, in pixels at least.
const LEAST_STRONG: u32 = 3;
const JOIN: f32 = 2.5;
/// Height of the verdict, of the small print, and of what a photo without a face says, in pixels.
const VERDICT_SIZE: f32 = 26.0;
const SMALL_PRINT_SIZE: f32 = 15.0;
const NOTE_SIZE: f32 = 20.0;
/// Least height of the small print when a long line is shrunk to fit.
const LEAST_PRINT_SIZE: f32 = 11.0;

impl Picture<'_> {
    /// Draws it.
    pub fn draw(&self) -> Raster {
        draw(self)
    }
}

fn draw(picture: &Picture) -> Raster {
    let taller = picture.left.picture.height().max(picture.right.picture.height());
    let height = taller.clamp(LEAST_HEIGHT, GREATEST_HEIGHT);
    let strong = picture.best.map(|at| &picture.pairs[at]);
    let left = View::of(&picture.left, strong.map(|p| p.left), GREATEST_WIDTH, height);
    let right = View::of(&picture.right, strong.map(|p| p.right), GREATEST_WIDTH, height);
    let tallest = left.shown.height().max(right.shown.height());
    let width = 3 * GAP + left.shown.width() + right.shown.width();
    let name_bar = (SMALL_PRINT_SIZE * 1.9) as u32;
    let caption_bar = (VERDICT_SIZE * 1.4 + SMALL_PRINT_SIZE * 2.4) as u32;
    let mut canvas = Raster::new(width, GAP + tallest + name_bar + caption_bar, BACKGROUND);

    let right_x = 2 * GAP + left.shown.width();
    let mut sides = [left, right];
    for (side, x) in sides.iter_mut().zip([GAP, right_x]) {
        (side.x, side.y) = (x, GAP + (tallest - side.shown.height()) / 2);
        canvas.blit(&side.shown, i64::from(side.x), i64::from(side.y));
        let baseline = (GAP + tallest) as f32 + SMALL_PRINT_SIZE * 1.4;
        let within = side.shown.width();
        let line = Line { x, baseline, within, size: SMALL_PRINT_SIZE, colour: DIM };
        fitted_text(&mut canvas, line, file_name(&side.pane.name));
    }
    let of = |is_left: bool| strong.map(|p| if is_left { p.left } else { p.right });
    let insets = [true, false].map(|is_left| sides[usize::from(!is_left)].inset(&mut canvas, of(is_left)));
    if let Some(pair) = strong {
        let colour = picture.colour(pair);
        join(&mut canvas, sides[0].edges(pair.left), sides[1].edges(pair.right), colour);
    }
    for (is_left, inset) in [true, false].into_iter().zip(insets) {
        mark(&mut canvas, picture, is_left, &sides[usize::from(!is_left)], inset);
    }

    let top = (GAP + tallest + name_bar) as f32;
    let colour = strong.filter(|_| picture.decided).map_or(BRIGHT, |s| picture.colour(s));
    let within = width - 2 * GAP;
    let [verdict, evidence] = &picture.caption;
    let line = Line { x: GAP, baseline: top + VERDICT_SIZE, within, size: VERDICT_SIZE, colour };
    fitted_text(&mut canvas, line, verdict);
    let baseline = top + VERDICT_SIZE + SMALL_PRINT_SIZE * 1.7;
    let line = Line { x: GAP, baseline, within, size: SMALL_PRINT_SIZE, colour: BRIGHT };
    fitted_text(&mut canvas, line, evidence);
    canvas
}

/// Frames, landmarks and words of one photo's faces; of a crowd in whose gaps the words find no room only the nearest
/// pair's.
fn mark(canvas: &mut Raster, picture: &Picture, is_left: bool, side: &View, inset: Option<Edges>) {
    let faces: Vec<usize> = (0..side.pane.faces.len()).filter(|f| side.shows(*f)).collect();
    if side.pane.faces.is_empty() {
        let words = "no face found";
        let x = side.x as f32 + NOTE_SIZE / 2.0;
        draw_label(canvas, x, (side.y + side.shown.height()) as f32 - 2.0 * NOTE_SIZE, NOTE_SIZE, words, BRIGHT, PLATE);
    }
    let best = picture.best.map(|at| &picture.pairs[at]);
    let in_best = |face: usize| best.is_some_and(|p| face == if is_left { p.left } else { p.right });
    let told = |face: usize| {
        let pair = best.filter(|_| in_best(face)).or_else(|| picture.best_of(is_left, face));
        match pair {
            Some(pair) => (pair.text.clone(), picture.colour(pair)),
            None => (format!("face {}", face + 1), BRIGHT),
        }
    };
    // The nearest pair's last, above all others.
    let mut order = faces;
    order.sort_by_key(|f| in_best(*f));
    let offset = |[x0, y0, x1, y1]: Edges| {
        let (x, y) = (side.x as f32, side.y as f32);
        [x0 - x, y0 - y, x1 - x, y1 - y]
    };
    let boxes: Vec<Edges> = order.iter().map(|f| side.edges(*f)).collect();
    let mut taken: Vec<Edges> = boxes.iter().map(|e| offset(*e)).collect();
    let mut words: Vec<String> = order.iter().map(|f| told(*f).0).collect();
    if let Some(inset) = inset {
        taken.push(offset(inset));
        words.push(String::new());
    }
    let placed = place(&taken, &words, side.shown.width(), side.shown.height());
    for (i, face) in order.iter().enumerate() {
        let colour = told(*face).1;
        if !in_best(*face) {
            let thin = (Sizes::of(boxes[i], canvas.width(), canvas.height()).line / 2).max(1);
            let [x0, y0, x1, y1] = boxes[i];
            draw_box(canvas, x0, y0, x1, y1, thin, colour);
            continue;
        }
        let sizes = Sizes::of(boxes[i], canvas.width(), canvas.height());
        let [x0, y0, x1, y1] = boxes[i];
        draw_box(canvas, x0, y0, x1, y1, sizes.line.max(LEAST_STRONG), colour);
        for [x, y] in side.pane.faces[*face].landmarks.0.iter().filter_map(|p| side.point(*p)) {
            draw_disc(canvas, x, y, sizes.dot.max(1.5), colour);
        }
    }
    for (i, face) in order.iter().enumerate() {
        let (text, colour) = told(*face);
        let mut label = placed.labels[i].clone();
        if placed.numbers {
            if !in_best(*face) {
                continue;
            }
            label.text = text;
        }
        (label.x, label.y) = (label.x + side.x as f32, label.y + side.y as f32);
        label.draw(canvas, colour, PLATE);
    }
}

/// The line from the inner edge of one box to the inner edge of the other.
fn join(canvas: &mut Raster, left: Edges, right: Edges, colour: [u8; 3]) {
    let middle = |b: Edges| (b[1] + b[3]) / 2.0;
    draw_line(canvas, left[2], middle(left), right[0], middle(right), JOIN, colour);
    draw_disc(canvas, left[2], middle(left), 2.0 * JOIN, colour);
    draw_disc(canvas, right[0], middle(right), 2.0 * JOIN, colour);
}

/// Where a line of text stands, how long it may be, how high its letters are where it is short enough, and its colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub x: u32,
    pub baseline: f32,
    pub within: u32,
    pub size: f32,
    pub colour: [u8; 3],
}

/// Text that is shrunk, and at last cut, so that it fits.
pub(super) fn fitted_text(canvas: &mut Raster, line: Line, text: &str) {
    let within = line.within as f32;
    let mut size = line.size;
    let mut text = text.to_string();
    while measure(&text, size).0 > within && size > LEAST_PRINT_SIZE {
        size -= 1.0;
    }
    while measure(&text, size).0 > within && text.chars().count() > 1 {
        text = text.chars().take(text.chars().count() - 2).chain(['…']).collect();
    }
    draw_text(canvas, line.x as f32, line.baseline, size, line.colour, &text);
}

/// The last part of a path, which is what people call the photo.
fn file_name(origin: &str) -> &str {
    origin.rsplit(['/', '\\']).next().unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::super::{Mark, Pair, Pane, similarity_colour};
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

    fn pair(left: usize, alike: f32) -> Pair {
        Pair { left, right: 0, alike: Some(alike), text: format!("{alike:.1}%") }
    }

    fn picture() -> Picture<'static> {
        Picture {
            left: pane(600, 450, &[[50.0, 50.0, 150.0, 170.0], [300.0, 50.0, 400.0, 170.0]]),
            right: pane(300, 450, &[[60.0, 80.0, 160.0, 200.0]]),
            pairs: vec![pair(0, 10.0), pair(1, 90.0)],
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
