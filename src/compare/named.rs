//! A photo with a name on every face.

use super::similarity_colour;
use crate::geometry::BBox;
use crate::media::{Raster, draw_box, draw_label, fit_within};

/// The picture is shown within these bounds in pixels.
const GREATEST_WIDTH: u32 = 1600;
const GREATEST_HEIGHT: u32 = 1200;
const PLATE: [u8; 3] = [16, 17, 20];
/// Of a face whom nobody knows.
const UNKNOWN: [u8; 3] = [175, 180, 190];
/// Letters' height as a share of the picture's shorter side, and its bounds in pixels.
const LETTER_SHARE: f32 = 1.0 / 32.0;
const LETTER_BOUNDS: (f32, f32) = (14.0, 30.0);

/// A face and what is written at it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NameTag {
    /// The box in pixels of the photo.
    pub bbox: BBox,
    /// The words.
    pub text: String,
    /// Similarity in percent where the face is known.
    pub similarity: Option<f32>,
}

/// Draws the photo with its faces named.
pub(crate) fn draw_names(photo: &Raster, tags: &[NameTag]) -> Raster {
    let mut shown = if photo.width() > GREATEST_WIDTH || photo.height() > GREATEST_HEIGHT {
        fit_within(photo, GREATEST_WIDTH, GREATEST_HEIGHT)
    } else {
        photo.clone()
    };
    let scale = shown.width() as f32 / photo.width() as f32;
    let side = shown.width().min(shown.height()) as f32;
    let letters = (side * LETTER_SHARE).clamp(LETTER_BOUNDS.0, LETTER_BOUNDS.1);
    let line = (letters / 6.0).round() as u32;
    // All boxes first, so that no box crosses a name.
    for tag in tags {
        let b = tag.bbox.scaled(scale);
        draw_box(&mut shown, b.x0, b.y0, b.x1, b.y1, line, colour(tag));
    }
    for tag in tags {
        let b = tag.bbox.scaled(scale);
        draw_label(&mut shown, b.x0, b.y1 + 3.0, letters, &tag.text, colour(tag), PLATE);
    }
    shown
}

fn colour(tag: &NameTag) -> [u8; 3] {
    tag.similarity.map_or(UNKNOWN, similarity_colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_is_boxed_and_named_at_any_size() {
        for (width, height) in [(300, 200), (4000, 1000), (40, 30)] {
            let photo = Raster::new(width, height, [90, 90, 90]);
            let at = |x: f32| {
                BBox::new(x * width as f32, 0.2 * height as f32, (x + 0.2) * width as f32, 0.6 * height as f32)
            };
            let tag = |x, text: &str, similarity| NameTag { bbox: at(x), text: text.to_string(), similarity };
            let drawn = draw_names(&photo, &[tag(0.1, "Ada 93%", Some(93.0)), tag(0.6, "unknown", None)]);
            assert!(drawn.width() <= GREATEST_WIDTH && drawn.height() <= GREATEST_HEIGHT);
            for wanted in [similarity_colour(93.0), UNKNOWN] {
                assert!(drawn.data().chunks(3).any(|p| p == wanted), "{width}x{height}: {wanted:?}");
            }
        }
    }
}
