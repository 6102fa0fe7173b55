//! A photo with every face framed, and what is said of it beside it.

use super::labels::{Edges, Sizes, frame, place};
use super::paint::{Line, fitted_text};
use crate::geometry::{BBox, Landmarks};
use crate::media::{Raster, draw_disc, draw_label, fit_within, label_size, measure, resize_triangle};

/// The picture with names is shown within these bounds in pixels.
const GREATEST_WIDTH: u32 = 1600;
const GREATEST_HEIGHT: u32 = 1200;
/// A photo whose faces are smaller than this is enlarged within those bounds.
const LEAST_FACE: f32 = 48.0;
const PLATE: [u8; 3] = [16, 17, 20];
const BACKGROUND: [u8; 3] = [24, 26, 30];
/// In the list beneath a crowd: the face's side, the letters' height, the space around.
const CROP: u32 = 64;
const LETTERS: f32 = 16.0;
const GAP: u32 = 12;
/// Beyond this, in pixels, there is no picture.
const FAR: f32 = 1e9;
/// A face in its surroundings: this share of its greater side more on each side.
const SURROUNDINGS: f32 = 0.2;

/// A face and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tag {
    /// The box in pixels of the photo.
    pub bbox: BBox,
    /// Eyes, nose, mouth corners, where they are to be shown.
    pub landmarks: Option<Landmarks>,
    /// The words.
    pub text: String,
    /// Of frame and words.
    pub colour: [u8; 3],
    /// Whether the words are this face's own, so that they have a line of their own in a list.
    pub own: bool,
}

/// Draws the photo with its faces named: within the bounds of a screen, with a list beneath where the names find no
/// room beside the faces.
pub(crate) fn draw_names(photo: &Raster, tags: &[Tag]) -> Raster {
    let shown = fit_for_names(photo, tags);
    let scale = shown.width() as f32 / photo.width() as f32;
    let (drawn, numbered) = marked(shown.clone(), tags, scale);
    match numbered {
        true => with_list(&drawn, &shown, tags, scale),
        false => drawn,
    }
}

/// Draws the faces that were found into the photo, in its own size: with what is said of each beside it, or with its
/// number where there is no room for that.
pub(crate) fn draw_found(photo: &Raster, tags: &[Tag]) -> Raster {
    marked(photo.clone(), tags, 1.0).0
}

/// The photo within bounds; larger than it is where its faces are small.
fn fit_for_names(photo: &Raster, tags: &[Tag]) -> Raster {
    let most = (GREATEST_WIDTH as f32 / photo.width() as f32).min(GREATEST_HEIGHT as f32 / photo.height() as f32);
    if most <= 1.0 {
        return fit_within(photo, GREATEST_WIDTH, GREATEST_HEIGHT);
    }
    let mut sides: Vec<f32> = tags.iter().map(|t| side(edges(t, 1.0))).filter(|s| s.is_finite() && *s > 0.0).collect();
    sides.sort_by(f32::total_cmp);
    let Some(middle) = sides.get(sides.len() / 2) else { return photo.clone() };
    let scale = (LEAST_FACE / middle).clamp(1.0, most);
    if scale == 1.0 {
        return photo.clone();
    }
    let scaled = |length: u32| (length as f32 * scale).round() as u32;
    resize_triangle(photo, scaled(photo.width()).max(1), scaled(photo.height()).max(1))
}

fn edges(tag: &Tag, scale: f32) -> Edges {
    let b = tag.bbox.scaled(scale);
    [b.x0, b.y0, b.x1, b.y1]
}

fn side(face: Edges) -> f32 {
    (face[2] - face[0]).max(face[3] - face[1])
}

/// The picture with frames, landmarks and labels, and whether those are numbers.
fn marked(mut picture: Raster, tags: &[Tag], scale: f32) -> (Raster, bool) {
    let faces: Vec<Edges> = tags.iter().map(|t| edges(t, scale)).collect();
    let words: Vec<String> = tags.iter().map(|t| t.text.clone()).collect();
    let labels = place(&faces, &words, picture.width(), picture.height());
    // All frames first, so that none crosses a label.
    for (tag, face) in tags.iter().zip(&faces) {
        frame(&mut picture, *face, tag.colour);
        let dot = Sizes::of(*face, picture.width(), picture.height()).dot;
        for [x, y] in tag.landmarks.iter().flat_map(|l| l.0) {
            draw_disc(&mut picture, x * scale, y * scale, dot, tag.colour);
        }
    }
    for (tag, label) in tags.iter().zip(&labels.labels) {
        // A number is of one piece with its frame.
        let (ink, plate) = if labels.numbers { (PLATE, tag.colour) } else { (tag.colour, PLATE) };
        label.draw(&mut picture, ink, plate);
    }
    (picture, labels.numbers)
}

/// The picture with a list beneath: each face whose words are its own, cut out, with its number; then the others by
/// their words.
fn with_list(drawn: &Raster, shown: &Raster, tags: &[Tag], scale: f32) -> Raster {
    let own: Vec<(usize, &Tag)> = tags.iter().enumerate().filter(|(_, t)| t.own).collect();
    let longest = own.iter().map(|(_, t)| measure(&t.text, LETTERS).0).fold(0.0, f32::max).ceil() as u32;
    let across = drawn.width().saturating_sub(GAP).max(1);
    let column = (CROP + GAP + longest + 2 * GAP).min(across);
    let columns = (across / column).max(1);
    let rows = (own.len() as u32).div_ceil(columns);
    let others = told_together(tags);
    let line = (LETTERS * 1.6) as u32;
    let list = GAP + rows * (CROP + GAP) + others.len() as u32 * line;
    let mut canvas = Raster::new(drawn.width(), drawn.height() + list, BACKGROUND);
    canvas.blit(drawn, 0, 0);
    for (place, (i, tag)) in own.iter().enumerate() {
        let (row, at) = (place as u32 / columns, place as u32 % columns);
        let (x, y) = (GAP + at * column, drawn.height() + GAP + row * (CROP + GAP));
        canvas.blit(&cut_out(shown, edges(tag, scale)), i64::from(x), i64::from(y));
        let number = (i + 1).to_string();
        let (wide, _) = label_size(&number, LETTERS * 0.8);
        draw_label(&mut canvas, (x + CROP) as f32 - wide, y as f32, LETTERS * 0.8, &number, PLATE, tag.colour);
        let left = x + CROP + GAP / 2;
        let within = (x + column).min(drawn.width()).saturating_sub(left);
        let baseline = (y + CROP / 2) as f32 + LETTERS * 0.35;
        fitted_text(&mut canvas, Line { x: left, baseline, within, size: LETTERS, colour: tag.colour }, &tag.text);
    }
    for (at, (text, colour)) in others.iter().enumerate() {
        let baseline = (drawn.height() + GAP + rows * (CROP + GAP) + at as u32 * line) as f32 + LETTERS;
        let line = Line { x: GAP, baseline, within: across.saturating_sub(GAP), size: LETTERS, colour: *colour };
        fitted_text(&mut canvas, line, text);
    }
    canvas
}

/// Words that several faces may share, with the numbers of those: "unknown: 3, 7".
fn told_together(tags: &[Tag]) -> Vec<(String, [u8; 3])> {
    let mut lines: Vec<(&str, Vec<String>, [u8; 3])> = Vec::new();
    for (i, tag) in tags.iter().enumerate().filter(|(_, t)| !t.own) {
        let number = (i + 1).to_string();
        match lines.iter_mut().find(|(text, ..)| *text == tag.text) {
            Some((_, numbers, _)) => numbers.push(number),
            None => lines.push((&tag.text, vec![number], tag.colour)),
        }
    }
    lines.into_iter().map(|(text, numbers, colour)| (format!("{text}: {}", numbers.join(", ")), colour)).collect()
}

/// A square around the face, as the list shows it.
fn cut_out(picture: &Raster, face: Edges) -> Raster {
    let half = side(face) * (0.5 + SURROUNDINGS);
    let half = if half.is_finite() { half.clamp(1.0, picture.width().max(picture.height()) as f32) } else { 1.0 };
    let square = (2.0 * half).round().max(1.0) as u32;
    let corner = |a: f32, b: f32| ((a + b) / 2.0 - half).round().clamp(-FAR, FAR) as i64;
    let mut cut = Raster::new(square, square, BACKGROUND);
    cut.blit(picture, -corner(face[0], face[2]), -corner(face[1], face[3]));
    if square > CROP { fit_within(&cut, CROP, CROP) } else { resize_triangle(&cut, CROP, CROP) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [u8; 3] = [20, 255, 0];
    const UNKNOWN: [u8; 3] = [175, 180, 190];

    fn tag(bbox: BBox, text: &str, own: bool) -> Tag {
        Tag { bbox, landmarks: None, text: text.to_string(), colour: if own { KNOWN } else { UNKNOWN }, own }
    }

    fn holds(picture: &Raster, rows: std::ops::Range<u32>, colour: [u8; 3]) -> bool {
        rows.into_iter().any(|y| picture.row(y).chunks(3).any(|p| p == colour))
    }

    #[test]
    fn every_face_is_framed_and_named_at_any_size() {
        for (width, height) in [(300, 200), (4000, 1000), (40, 30)] {
            let photo = Raster::new(width, height, [90, 90, 90]);
            let at = |x: f32| {
                BBox::new(x * width as f32, 0.2 * height as f32, (x + 0.2) * width as f32, 0.6 * height as f32)
            };
            let tags = [tag(at(0.1), "Ada 93%", true), tag(at(0.6), "unknown", false)];
            let drawn = draw_names(&photo, &tags);
            assert!(drawn.width() <= GREATEST_WIDTH);
            for wanted in [KNOWN, UNKNOWN] {
                assert!(holds(&drawn, 0..drawn.height(), wanted), "{width}x{height}: {wanted:?}");
            }
            assert_eq!(draw_found(&photo, &tags).width(), width);
        }
    }

    #[test]
    fn a_crowd_has_numbers_and_a_list_and_no_face_is_covered() {
        let photo = Raster::new(1040, 480, [90, 90, 90]);
        let at = |i: u32| {
            let (x, y) = ((i % 13 * 80) as f32, (i / 13 * 120) as f32);
            BBox::new(x + 10.0, y + 20.0, x + 70.0, y + 90.0)
        };
        let name =
            |i: u32| if i.is_multiple_of(2) { format!("Somebody Called {i}: 91%") } else { "unknown".to_string() };
        let tags: Vec<Tag> = (0..52).map(|i| tag(at(i), &name(i), i % 2 == 0)).collect();
        let drawn = draw_names(&photo, &tags);
        assert!(drawn.height() > 480 + CROP, "there is a list beneath");
        assert!(holds(&drawn, 480..drawn.height(), KNOWN) && holds(&drawn, 480..drawn.height(), UNKNOWN));
        for i in 0..52 {
            let b = at(i);
            // Within its frame a face is as it was.
            for y in (b.y0 as u32 + 3)..(b.y1 as u32 - 2) {
                for x in (b.x0 as u32 + 3)..(b.x1 as u32 - 2) {
                    assert_eq!(drawn.pixel(x, y), [90, 90, 90], "face {i} at {x}, {y}");
                }
            }
        }
        assert_eq!(told_together(&tags[..4]), [("unknown: 2, 4".to_string(), UNKNOWN)]);
    }

    #[test]
    fn small_faces_are_enlarged_and_odd_boxes_are_drawn_all_the_same() {
        let photo = Raster::new(200, 100, [90, 90, 90]);
        let small = tag(BBox::new(10.0, 10.0, 22.0, 22.0), "Ada", true);
        assert_eq!(draw_names(&photo, &[small]).width(), 800);
        for bad in [f32::NAN, f32::INFINITY, -1e30] {
            let tags: Vec<Tag> =
                (0..30).map(|_| tag(BBox::new(bad, 0.0, bad, 5.0), "a long name here", true)).collect();
            assert!(draw_names(&photo, &tags).width() > 0);
        }
    }
}
