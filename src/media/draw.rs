//! Boxes, lines and discs. Everything is cut off at the picture's edge, and numbers that are none
//! draw nothing.

use super::Raster;

/// Colours the rectangle between the edges (rounded to pixels, `x1` and `y1` outside) with opacity
/// `alpha`, 0 to 1.
pub fn fill_rect(r: &mut Raster, x0: f32, y0: f32, x1: f32, y1: f32, colour: [u8; 3], alpha: f32) {
    if [x0, y0, x1, y1].iter().any(|v| v.is_nan()) {
        return;
    }
    let across = |v: f32| v.round().clamp(0.0, r.width() as f32) as i64;
    let down = |v: f32| v.round().clamp(0.0, r.height() as f32) as i64;
    let (left, right, top, bottom) = (across(x0), across(x1), down(y0), down(y1));
    for y in top..bottom {
        for x in left..right {
            r.blend(x, y, colour, alpha);
        }
    }
}

/// Frames the box: the outer edge of the line is the box, it is `thickness` pixels wide.
pub fn draw_box(r: &mut Raster, x0: f32, y0: f32, x1: f32, y1: f32, thickness: u32, colour: [u8; 3]) {
    let t = thickness as f32;
    let (x0, y0, x1, y1) = (x0.round(), y0.round(), x1.round() + 1.0, y1.round() + 1.0);
    fill_rect(r, x0, y0, x1, y0 + t, colour, 1.0);
    fill_rect(r, x0, y1 - t, x1, y1, colour, 1.0);
    fill_rect(r, x0, y0 + t, x0 + t, y1 - t, colour, 1.0);
    fill_rect(r, x1 - t, y0 + t, x1, y1 - t, colour, 1.0);
}

/// A straight line of that thickness with smooth edges and round ends.
pub fn draw_line(r: &mut Raster, x0: f32, y0: f32, x1: f32, y1: f32, thickness: f32, colour: [u8; 3]) {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let square = dx * dx + dy * dy;
    let nearest = move |x: f32, y: f32| {
        let along = if square > 0.0 { (((x - x0) * dx + (y - y0) * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
        (x - x0 - along * dx).hypot(y - y0 - along * dy)
    };
    smooth(r, [x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)], thickness / 2.0, colour, nearest);
}

/// A filled disc with smooth edges.
pub fn draw_disc(r: &mut Raster, x: f32, y: f32, radius: f32, colour: [u8; 3]) {
    smooth(r, [x, y, x, y], radius, colour, move |px, py| (px - x).hypot(py - y));
}

/// Colours every pixel whose distance to a shape inside `bounds` is below `radius`, fading over the
/// last pixel.
fn smooth(r: &mut Raster, bounds: [f32; 4], radius: f32, colour: [u8; 3], distance: impl Fn(f32, f32) -> f32) {
    if !(bounds.iter().all(|v| v.is_finite()) && radius.is_finite() && radius > 0.0) {
        return;
    }
    let reach = radius + 1.0;
    let across = |v: f32| v.clamp(0.0, r.width() as f32) as i64;
    let down = |v: f32| v.clamp(0.0, r.height() as f32) as i64;
    let (left, right) = (across(bounds[0] - reach), across(bounds[2] + reach + 1.0));
    let (top, bottom) = (down(bounds[1] - reach), down(bounds[3] + reach + 1.0));
    for y in top..bottom {
        for x in left..right {
            let share = radius + 0.5 - distance(x as f32, y as f32);
            if share > 0.0 {
                r.blend(x, y, colour, share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_a_frame_of_its_thickness() {
        let mut r = Raster::new(20, 20, [0; 3]);
        draw_box(&mut r, 4.0, 5.0, 14.0, 15.0, 2, [255, 0, 0]);
        for (x, y) in [(4, 5), (5, 6), (14, 15), (13, 10), (9, 14)] {
            assert_eq!(r.pixel(x, y), [255, 0, 0], "{x}, {y}");
        }
        for (x, y) in [(3, 5), (6, 7), (9, 10), (15, 15), (9, 16)] {
            assert_eq!(r.pixel(x, y), [0; 3], "{x}, {y}");
        }
    }

    #[test]
    fn lines_and_discs_cover_what_they_should() {
        let mut r = Raster::new(40, 40, [0; 3]);
        draw_line(&mut r, 5.0, 5.0, 35.0, 35.0, 3.0, [0, 255, 0]);
        assert_eq!(r.pixel(20, 20), [0, 255, 0]);
        assert_eq!(r.pixel(20, 25), [0; 3]);
        draw_disc(&mut r, 30.0, 10.0, 4.0, [0, 0, 255]);
        assert_eq!(r.pixel(33, 10), [0, 0, 255]);
        assert_eq!(r.pixel(36, 10), [0; 3]);
    }

    #[test]
    fn nothing_outside_or_undefined_panics() {
        let mut r = Raster::new(8, 8, [0; 3]);
        for v in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, -5.0, 0.0] {
            for w in [f32::NAN, f32::INFINITY, 3.0, 1e30] {
                draw_box(&mut r, v, w, w, v, 3, [1, 2, 3]);
                draw_line(&mut r, v, w, w, v, 2.0, [1, 2, 3]);
                draw_disc(&mut r, v, w, 3.0, [1, 2, 3]);
                fill_rect(&mut r, v, v, w, w, [1, 2, 3], w);
            }
        }
    }
}
