//! Text in the bundled font, DejaVu Sans (its licence lies beside it).

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use super::{Raster, fill_rect};

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    let bytes = include_bytes!("font/DejaVuSans.ttf");
    // A test draws with it; bytes compiled in cannot change afterwards.
    FontRef::try_from_slice(bytes).unwrap_or_else(|e| unreachable!("the bundled font is sound: {e}"))
});

/// Largest letters drawn, in pixels: each glyph is first drawn into a buffer of its own.
const LARGEST: f32 = 1000.0;
/// Opacity of a label's plate.
const PLATE_OPACITY: f32 = 0.8;
/// Its edge around the letters, as a share of their height.
const PLATE_PADDING: f32 = 0.3;

/// Calls `each` with every glyph and its pen position; returns the width of it all.
fn lay_out(text: &str, px: f32, mut each: impl FnMut(ab_glyph::GlyphId, f32)) -> f32 {
    let font = FONT.as_scaled(PxScale::from(px));
    let mut pen = 0.0;
    let mut before = None;
    for character in text.chars().filter(|c| !c.is_control()) {
        let glyph = font.glyph_id(character);
        if let Some(before) = before {
            pen += font.kern(before, glyph);
        }
        each(glyph, pen);
        pen += font.h_advance(glyph);
        before = Some(glyph);
    }
    pen
}

/// Width and height in pixels of `text` at `px` pixels from the top of the highest letter to the
/// bottom of the lowest.
pub fn measure(text: &str, px: f32) -> (f32, f32) {
    (lay_out(text, px, |_, _| {}), px)
}

/// Writes `text` from `x` on the given baseline. Letters that the font lacks become a box, control
/// characters are left out. Nothing is written at sizes above 1,000 pixels.
pub fn draw_text(r: &mut Raster, x: f32, baseline: f32, px: f32, colour: [u8; 3], text: &str) {
    if !(x.is_finite() && baseline.is_finite() && px > 0.0 && px <= LARGEST) {
        return;
    }
    lay_out(text, px, |glyph, pen| {
        let placed = glyph.with_scale_and_position(PxScale::from(px), point(x + pen, baseline));
        if let Some(outline) = FONT.outline_glyph(placed) {
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, share| {
                r.blend(corner.x as i64 + i64::from(dx), corner.y as i64 + i64::from(dy), colour, share);
            });
        }
    });
}

/// Width and height in pixels of what [`draw_label`] draws.
pub fn label_size(text: &str, px: f32) -> (f32, f32) {
    let px = px.min(LARGEST);
    let padding = px * PLATE_PADDING;
    (measure(text, px).0 + 2.0 * padding, px + padding)
}

/// Writes `text` on a translucent plate whose top left corner is `(x, y)`, moved as far as it takes to
/// lie inside the picture.
pub fn draw_label(r: &mut Raster, x: f32, y: f32, px: f32, text: &str, colour: [u8; 3], plate: [u8; 3]) {
    let px = px.min(LARGEST);
    let padding = px * PLATE_PADDING;
    let (width, height) = label_size(text, px);
    let x = x.min(r.width() as f32 - width).max(0.0);
    let y = y.min(r.height() as f32 - height).max(0.0);
    fill_rect(r, x, y, x + width, y + height, plate, PLATE_OPACITY);
    let ascent = FONT.as_scaled(PxScale::from(px)).ascent();
    draw_text(r, x + padding, y + padding / 2.0 + ascent, px, colour, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inked(r: &Raster) -> usize {
        r.data().chunks(3).filter(|p| p[0] > 127).count()
    }

    #[test]
    fn letters_appear_above_the_baseline_at_every_size() {
        for px in [9.0, 16.0, 40.0] {
            let mut r = Raster::new(400, 60, [0; 3]);
            draw_text(&mut r, 5.0, 45.0, px, [255; 3], "97.3% HELLO");
            assert!(inked(&r) > 30, "{px}");
            assert!((47..60).all(|y| r.row(y).iter().all(|&v| v == 0)), "nothing hangs below");
            let (width, _) = measure("97.3% HELLO", px);
            let last = (0..400).rev().find(|&x| (0..60).any(|y| r.pixel(x, y)[0] > 0)).unwrap();
            assert!((last as f32 - 5.0 - width).abs() < 2.0 + px * 0.2);
        }
    }

    #[test]
    fn a_label_stays_inside() {
        for (x, y) in [(-50.0, -50.0), (500.0, 500.0), (f32::NAN, 3.0)] {
            let mut r = Raster::new(200, 60, [0; 3]);
            draw_label(&mut r, x, y, 18.0, "50.0%", [255; 3], [40, 0, 0]);
            assert!(inked(&r) > 20 || x.is_nan(), "{x}, {y}");
        }
    }

    #[test]
    fn any_text_is_drawn_without_panic() {
        let mut r = Raster::new(30, 30, [0; 3]);
        for text in ["", "\n\t\u{7f}", "漢字 🙂", "Ünïcödé Ωλ Привет", "\u{200d}\u{202e}"] {
            draw_text(&mut r, -5.0, 20.0, 14.0, [255; 3], text);
            draw_label(&mut r, 0.0, 0.0, 1e6, text, [255; 3], [0; 3]);
        }
        draw_text(&mut r, f32::NAN, 1.0, 10.0, [255; 3], "x");
        draw_text(&mut r, 0.0, 1.0, -10.0, [255; 3], "x");
    }
}
