//! Where what is said of each face is written: beside its box, and neither on a face nor on another's words. Where that
//! cannot be had for all, a number stands for the words, which are then said in a list.

use crate::media::{Raster, draw_box, draw_label, label_size};

/// Letters' height as a share of the face's greater side.
const LETTER_SHARE: f32 = 0.2;
/// Bounds of that height, and of the line's width, in pixels of a picture up to [`COMMON_SIDE`] long; in a longer one,
/// which is looked at from further away, they grow with it.
const LETTERS: (f32, f32) = (11.0, 30.0);
const LINES: (f32, f32) = (1.0, 5.0);
const COMMON_SIDE: f32 = 1600.0;
/// A line's width as a share of the face's greater side; a landmark's radius is half as much again.
const LINE_SHARE: f32 = 0.02;
const DOT_SHARE: f32 = 0.015;
/// How small letters may be made, as a share of what they should be, so that all find room.
const SHRINKING: [f32; 5] = [1.0, 0.85, 0.7, 0.6, 0.5];
/// Among more faces than so many, words are at most so many times as wide as their face: wider ones reach other faces'
/// places.
const FEW: usize = 3;
const MOST_WIDER: f32 = 2.5;
/// Numbers may be smaller than words.
const LEAST_NUMBER: f32 = 9.0;

/// A box in pixels of the picture: left, top, right, bottom.
pub(super) type Edges = [f32; 4];

/// How large what belongs to one face is drawn, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    pub line: u32,
    pub dot: f32,
    pub letters: f32,
}

impl Sizes {
    /// For a face in a picture of this size.
    pub fn of(face: Edges, width: u32, height: u32) -> Self {
        let unit = (width.max(height) as f32 / COMMON_SIDE).max(1.0);
        let side = (face[2] - face[0]).max(face[3] - face[1]);
        let bounded = |share: f32, (least, most): (f32, f32)| (side * share).max(least * unit).min(most * unit);
        Self {
            line: bounded(LINE_SHARE, LINES).round() as u32,
            dot: bounded(DOT_SHARE, LINES),
            letters: bounded(LETTER_SHARE, LETTERS),
        }
    }
}

/// Words, or a number, with their place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    pub text: String,
    pub x: f32,
    pub y: f32,
    pub letters: f32,
}

impl Label {
    fn edges(&self) -> Edges {
        let (width, height) = label_size(&self.text, self.letters);
        [self.x, self.y, self.x + width, self.y + height]
    }

    pub fn draw(&self, picture: &mut Raster, colour: [u8; 3], plate: [u8; 3]) {
        draw_label(picture, self.x, self.y, self.letters, &self.text, colour, plate);
    }
}

/// What is written at the faces, one label for each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labels {
    pub labels: Vec<Label>,
    /// Whether they are numbers, from 1 on in the order of the faces.
    pub numbers: bool,
}

/// A box around a face and all that belongs to it, drawn.
pub(super) fn frame(picture: &mut Raster, face: Edges, colour: [u8; 3]) {
    let line = Sizes::of(face, picture.width(), picture.height()).line;
    draw_box(picture, face[0], face[1], face[2], face[3], line, colour);
}

/// Places for the words of every face in a picture of that size; for numbers, where there is no room for the words.
pub(super) fn place(faces: &[Edges], words: &[String], width: u32, height: u32) -> Labels {
    let sizes: Vec<f32> = faces.iter().map(|f| Sizes::of(*f, width, height).letters).collect();
    let least = LETTERS.0.min(sizes.iter().copied().fold(f32::INFINITY, f32::min));
    let picture = [0.0, 0.0, width as f32, height as f32];
    for share in SHRINKING {
        let letters: Vec<f32> = sizes.iter().map(|s| (s * share).max(least)).collect();
        let placed = fitted(faces, words, &letters, picture, false);
        if let Some(labels) = placed.into_iter().collect() {
            return Labels { labels, numbers: false };
        }
    }
    let numbers: Vec<String> = (1..=faces.len()).map(|n| n.to_string()).collect();
    let mut best: Option<Vec<Option<Label>>> = None;
    for share in SHRINKING {
        let letters: Vec<f32> = sizes.iter().map(|s| (s * share).max(LEAST_NUMBER)).collect();
        let placed = fitted(faces, &numbers, &letters, picture, true);
        let without = |p: &[Option<Label>]| p.iter().filter(|l| l.is_none()).count();
        if best.as_deref().is_none_or(|b| without(&placed) < without(b)) {
            best = Some(placed);
        }
    }
    let corner = |((face, text), letters): ((&Edges, &String), &f32)| {
        // On the box's own corner, where there is hair at most.
        let letters = (letters * SHRINKING[4]).max(LEAST_NUMBER);
        let (_, high) = label_size(text, letters);
        Label { text: text.clone(), x: face[0], y: (face[1] - high / 2.0).max(0.0), letters }
    };
    let corners = faces.iter().zip(&numbers).zip(&sizes).map(corner);
    let labels = best.unwrap_or_default().into_iter().zip(corners).map(|(l, corner)| l.unwrap_or(corner)).collect();
    Labels { labels, numbers: true }
}

/// For each face the first place beside it that is free of faces and of labels placed before.
fn fitted(faces: &[Edges], words: &[String], letters: &[f32], picture: Edges, numbers: bool) -> Vec<Option<Label>> {
    let mut placed: Vec<Edges> = Vec::new();
    let mut labels = vec![None; faces.len()];
    // Large faces first: their words need most room.
    let mut order: Vec<usize> = (0..faces.len()).collect();
    let high = |i: &usize| faces[*i][3] - faces[*i][1];
    order.sort_by(|a, b| high(b).total_cmp(&high(a)));
    for i in order {
        let wide = label_size(&words[i], letters[i]).0;
        if !numbers && faces.len() > FEW && wide > MOST_WIDER * (faces[i][2] - faces[i][0]) {
            continue;
        }
        // A number touches its own frame, or it might be the next one's.
        let gap = if numbers { 0.0 } else { (letters[i] * 0.2).max(2.0) };
        let label = spots(faces[i], &words[i], letters[i], gap).into_iter().find(|label| {
            let edges = label.edges();
            inside(edges, picture) && !faces.iter().chain(&placed).any(|taken| meet(edges, *taken))
        });
        if let Some(label) = &label {
            placed.push(label.edges());
        }
        labels[i] = label;
    }
    labels
}

/// Places beside a box, the best first: below, above, to the right, to the left; along its left edge, its middle, its
/// right edge.
fn spots(face: Edges, text: &str, letters: f32, gap: f32) -> Vec<Label> {
    let (wide, high) = label_size(text, letters);
    let [x0, y0, x1, y1] = face;
    let along = [x0, (x0 + x1 - wide) / 2.0, x1 - wide, x0 - wide / 2.0, x1 - wide / 2.0];
    let down = [y0, (y0 + y1 - high) / 2.0, y1 - high];
    let below = along.map(|x| (x, y1 + gap));
    let above = along.map(|x| (x, y0 - gap - high));
    let right = down.map(|y| (x1 + gap, y));
    let left = down.map(|y| (x0 - gap - wide, y));
    let all = below.into_iter().chain(above).chain(right).chain(left);
    all.map(|(x, y)| Label { text: text.to_string(), x, y, letters }).collect()
}

fn inside(label: Edges, picture: Edges) -> bool {
    label[0] >= picture[0] && label[1] >= picture[1] && label[2] <= picture[2] && label[3] <= picture[3]
}

fn meet(a: Edges, b: Edges) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(columns: usize, rows: usize, side: f32, gap: f32) -> Vec<Edges> {
        let at = |i: usize| {
            let (x, y) = ((i % columns) as f32 * (side + gap) + gap, (i / columns) as f32 * (side + gap) + gap);
            [x, y, x + side, y + side]
        };
        (0..columns * rows).map(at).collect()
    }

    fn words(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("Ada Lovelace {i}: 93%")).collect()
    }

    fn nothing_meets(faces: &[Edges], found: &Labels) {
        for (i, label) in found.labels.iter().enumerate() {
            let edges = label.edges();
            assert!(faces.iter().all(|f| !meet(edges, *f)), "label {i} lies on a face: {edges:?}");
            let others = found.labels.iter().enumerate().filter(|(j, _)| *j != i);
            assert!(others.into_iter().all(|(_, o)| !meet(edges, o.edges())), "label {i} lies on another");
        }
    }

    #[test]
    fn words_where_there_is_room_and_numbers_where_there_is_none() {
        let faces = grid(3, 2, 200.0, 150.0);
        let few = place(&faces, &words(6), 1200, 900);
        assert!(!few.numbers);
        nothing_meets(&faces, &few);
        let faces = grid(9, 6, 90.0, 13.0);
        let many = place(&faces, &words(54), 940, 640);
        assert!(many.numbers);
        let texts: Vec<&str> = many.labels.iter().map(|l| l.text.as_str()).collect();
        assert_eq!((texts[0], texts[53]), ("1", "54"));
        nothing_meets(&faces, &many);
    }

    #[test]
    fn in_a_crowd_without_gaps_numbers_stand_on_corners_and_cover_no_face() {
        let faces = grid(10, 8, 60.0, 0.0);
        let found = place(&faces, &words(80), 600, 480);
        assert!(found.numbers && found.labels.len() == 80);
        for label in &found.labels {
            let [x0, y0, x1, y1] = label.edges();
            for face in &faces {
                let wide = (x1.min(face[2]) - x0.max(face[0])).max(0.0);
                let high = (y1.min(face[3]) - y0.max(face[1])).max(0.0);
                assert!(wide * high < 0.12 * 3600.0, "{label:?} covers {} of {face:?}", wide * high);
            }
        }
    }

    #[test]
    fn line_letters_and_landmarks_grow_with_the_face_and_with_the_picture() {
        let of = |side: f32, picture: u32| Sizes::of([0.0, 0.0, side, side], picture, picture);
        let (small, large) = (of(40.0, 1600), of(220.0, 1600));
        assert!(small.line < large.line && small.dot < large.dot && small.letters < large.letters);
        assert_eq!((small.line, small.letters), (1, 11.0));
        assert_eq!(of(2000.0, 6400), Sizes { line: 20, dot: 20.0, letters: 120.0 });
        // The words of nothing, or of no numbers, are placed all the same.
        assert!(place(&[], &[], 10, 10).labels.is_empty());
        let odd = [[f32::NAN; 4], [f32::NEG_INFINITY, 0.0, f32::INFINITY, 5.0]];
        assert_eq!(place(&odd, &words(2), 10, 10).labels.len(), 2);
    }
}
