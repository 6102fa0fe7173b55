//! The picture that this project grew from: both photos stretched to 800x600, side by side, every face
//! boxed, one score under every box. Faces are found in the stretched photos.
//!
//! Pixel for pixel what OpenCV 4.10 draws with `rectangle` and `putText` (Hershey's duplex letters, scale
//! 0.8, two pixels wide). The letters were cut out of its output by `tests/golden/seed_picture.py`, which
//! also proves that the cut-outs put together give every score from 0.00% to 100.00%; see
//! `seed_letters.md` for where the letters come from.

use std::sync::LazyLock;

use super::similarity_colour;
use crate::geometry::BBox;
use crate::media::{Limits, Photo, Raster, fill_rect, resize_bilinear_fixed};

const WIDTH: u32 = 800;
const HEIGHT: u32 = 600;
/// Baseline of the text, in pixels below the box.
const TEXT_BELOW: i64 = 25;

/// The letters, side by side: the words before the score, then for one, two and three digits before the
/// point what may stand in each place (OpenCV sets each letter at a fraction of a pixel, so that one
/// letter looks different in different places).
static LETTERS: LazyLock<Raster> = LazyLock::new(|| {
    let bytes = include_bytes!("seed_letters.png").to_vec();
    // A test draws with it; bytes compiled in cannot change afterwards.
    let photo = Photo::from_bytes(&bytes, "the letters", &Limits::default());
    photo.map_or_else(|e| unreachable!("the bundled letters are sound: {e}"), |p| p.raster().clone())
});

/// Pixels of the words before the score, and of any other letter.
const WORDS_WIDTH: u32 = 144;
const LETTER_WIDTH: u32 = 26;
const LETTER_HEIGHT: u32 = 32;
/// Pixels of a cut-out left of the pen, and above the baseline.
const LEFT_OF_PEN: i64 = 4;
const ABOVE_BASELINE: i64 = 24;
/// How far the pen moves over the words, a digit and the point, in units of the font.
const WORDS_UNITS: i64 = 175;
const DIGIT_UNITS: i64 = 20;
const POINT_UNITS: i64 = 11;
/// 0.8 pixels a unit, with 16 binary places.
const PIXELS_A_UNIT: i64 = 52_429;

/// The photo as the picture shows it.
pub(crate) fn stretched(photo: &Raster) -> Raster {
    resize_bilinear_fixed(photo, WIDTH, HEIGHT)
}

/// Draws the picture from two stretched photos, the boxes of the faces in them, and the score: cosine
/// in percent, 0 to 100.
pub(crate) fn draw_seed(left: (Raster, &[BBox]), right: (Raster, &[BBox]), score: f64) -> Raster {
    let mut canvas = Raster::new(2 * WIDTH, HEIGHT, [0, 0, 0]);
    let colour = similarity_colour(score);
    for ((mut shown, boxes), x) in [(left, 0), (right, WIDTH)] {
        for b in boxes {
            // Rust's conversion cuts the fraction off, as NumPy's does.
            let [x0, y0, x1, y1] = [b.x0, b.y0, b.x1, b.y1].map(|v| i64::from(v as i32));
            frame(&mut shown, [x0, y0, x1, y1], colour);
            write_score(&mut shown, x0, y1 + TEXT_BELOW, colour, score);
        }
        canvas.blit(&shown, i64::from(x), 0);
    }
    canvas
}

/// The outline of the box and every pixel beside one of its pixels: a line two pixels wide, as OpenCV
/// draws it.
fn frame(r: &mut Raster, [x0, y0, x1, y1]: [i64; 4], colour: [u8; 3]) {
    let (left, right, top, bottom) = (x0.min(x1), x0.max(x1), y0.min(y1), y0.max(y1));
    let mut fill = |left: i64, top: i64, right: i64, bottom: i64| {
        fill_rect(r, left as f32, top as f32, right as f32 + 1.0, bottom as f32 + 1.0, colour, 1.0);
    };
    for y in [top, bottom] {
        fill(left - 1, y, right + 1, y);
        fill(left, y - 1, right, y + 1);
    }
    for x in [left, right] {
        fill(x, top - 1, x, bottom + 1);
        fill(x - 1, top, x + 1, bottom);
    }
}

/// `Similarity: 12.34%` from the pen at `x` on the baseline `y`.
fn write_score(r: &mut Raster, x: i64, y: i64, colour: [u8; 3], score: f64) {
    stamp(r, 0, WORDS_WIDTH, x - LEFT_OF_PEN, y, colour);
    let text = format!("{score:.2}%");
    let whole = text.find('.').unwrap_or(0);
    // Letters of texts with fewer digits before the point stand first.
    let mut cell: u32 = (1..whole).map(|digits| (digits as u32 + 2) * 10 + 2).sum();
    let mut units = WORDS_UNITS;
    for letter in text.chars() {
        let (kinds, width) = match letter {
            '.' => (1, POINT_UNITS),
            '%' => (1, 0),
            _ => (10, DIGIT_UNITS),
        };
        let at = WORDS_WIDTH + (cell + letter.to_digit(10).unwrap_or(0)) * LETTER_WIDTH;
        stamp(r, at, LETTER_WIDTH, x + ((units * PIXELS_A_UNIT) >> 16) - LEFT_OF_PEN, y, colour);
        cell += kinds;
        units += width;
    }
}

/// Colours the pixels of the cut-out that begins at column `from`.
fn stamp(r: &mut Raster, from: u32, width: u32, x: i64, baseline: i64, colour: [u8; 3]) {
    for (dy, dx) in (0..LETTER_HEIGHT).flat_map(|dy| (0..width).map(move |dx| (dy, dx))) {
        if LETTERS.pixel(from + dx, dy)[0] > 0 {
            r.blend(x + i64::from(dx), baseline - ABOVE_BASELINE + i64::from(dy), colour, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::media::encode_jpeg_like_opencv;

    #[derive(serde::Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        score: f64,
        panes: Vec<PaneCase>,
        pixels: String,
        jpeg: String,
    }

    #[derive(serde::Deserialize)]
    struct PaneCase {
        photo: String,
        boxes: Vec<[f32; 4]>,
    }

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Thirteen scores over eight photos, boxes inside and across the edges.
    #[test]
    fn pixels_and_jpeg_files_are_opencvs() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let golden = std::fs::read_to_string(root.join("golden/seed_picture.json")).unwrap();
        let golden: Golden = serde_json::from_str(&golden).unwrap();
        assert_eq!(golden.cases.len(), 13);
        for case in &golden.cases {
            let pane = |pane: &PaneCase| {
                let photo = Photo::open(root.join("fixtures/photos").join(&pane.photo)).unwrap();
                let boxes: Vec<BBox> = pane.boxes.iter().map(|b| BBox::new(b[0], b[1], b[2], b[3])).collect();
                (stretched(photo.raster()), boxes)
            };
            let (left, right) = (pane(&case.panes[0]), pane(&case.panes[1]));
            let drawn = draw_seed((left.0, &left.1), (right.0, &right.1), case.score);
            let names = [&case.panes[0].photo, &case.panes[1].photo];
            assert_eq!(sha256(drawn.data()), case.pixels, "{names:?} at {}", case.score);
            assert_eq!(sha256(&encode_jpeg_like_opencv(&drawn).unwrap()), case.jpeg, "{names:?} at {}", case.score);
        }
    }

    #[test]
    fn boxes_that_are_none_are_drawn_without_panic() {
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -5.0];
        let boxes: Vec<BBox> = odd.iter().map(|&v| BBox::new(v, -v, 3.0, v)).collect();
        let shown = || stretched(&Raster::new(3, 2, [1, 2, 3]));
        assert_eq!(draw_seed((shown(), &boxes), (shown(), &boxes), 50.0).width(), 2 * WIDTH);
    }
}
