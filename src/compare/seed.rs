//! The picture that this project grew from: both photos stretched to 800x600, side by side, every face
//! boxed, one score under every box. Faces are found in the stretched photos.

use super::similarity_colour;
use crate::geometry::BBox;
use crate::media::{Raster, draw_box, draw_text, resize_bilinear};

const WIDTH: u32 = 800;
const HEIGHT: u32 = 600;
const LINE: u32 = 2;
/// Baseline of the text, in pixels below the box.
const TEXT_BELOW: f32 = 25.0;
/// Capitals of this font size are as tall as those of the original picture (17 pixels).
const TEXT_SIZE: f32 = 23.0;

/// The photo as the picture shows it.
pub(crate) fn stretched(photo: &Raster) -> Raster {
    resize_bilinear(photo, WIDTH, HEIGHT)
}

/// Draws the picture from two stretched photos, the boxes of the faces in them, and the score: cosine
/// in percent, 0 to 100.
pub(crate) fn draw_seed(left: (Raster, &[BBox]), right: (Raster, &[BBox]), score: f32) -> Raster {
    let mut canvas = Raster::new(2 * WIDTH, HEIGHT, [0, 0, 0]);
    for ((mut shown, boxes), x) in [(left, 0), (right, WIDTH)] {
        let colour = similarity_colour(score);
        for b in boxes {
            let [x0, y0, x1, y1] = [b.x0, b.y0, b.x1, b.y1].map(f32::trunc);
            draw_box(&mut shown, x0, y0, x1, y1, LINE, colour);
            draw_text(&mut shown, x0, y1 + TEXT_BELOW, TEXT_SIZE, colour, &format!("Similarity: {score:.2}%"));
        }
        canvas.blit(&shown, i64::from(x), 0);
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_photos_fill_half_of_1600x600_and_carry_the_score() {
        let shown = |width, height| stretched(&Raster::new(width, height, [10, 20, 30]));
        let boxes = [BBox::new(200.7, 150.2, 400.0, 300.9)];
        let drawn = draw_seed((shown(400, 400), &boxes), (shown(1000, 300), &boxes), 75.0);
        assert_eq!((drawn.width(), drawn.height()), (1600, 600));
        let colour = similarity_colour(75.0);
        for x in [200, 1000] {
            assert_eq!(drawn.pixel(x, 200), colour);
            assert_eq!(drawn.pixel(x + 100, 200), [10, 20, 30]);
            let mut text = (305..330).flat_map(|y| (x..x + 150).map(move |x| (x, y)));
            assert!(text.any(|(x, y)| drawn.pixel(x, y) == colour));
        }
    }
}
