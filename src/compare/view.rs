//! What of a photo the picture shows: all of it, or, where its faces would be too small to be seen, the part with the
//! faces, and the whole small in a corner.

use super::labels::Edges;
use super::picture::Pane;
use crate::media::{Raster, draw_box, fit_within};

/// A face that is shown with less than this share of the pane's height is brought nearer, in pixels at least so many.
const LEAST_SHARE: f32 = 0.22;
/// The nearest pair's face is shown at least so high, in pixels, where the photo has several.
const LEAST_STRONG: f32 = 72.0;
/// Space around the faces, as a share of the greatest face's side.
const AROUND: f32 = 0.9;
/// A part that is hardly smaller than the whole is not worth an inset.
const WORTH_IT: f32 = 0.7;
/// The part's sides differ by this factor at most, where the photo lets it.
const LONGEST: f32 = 1.6;
/// Greater side of the whole in the corner, as a share of the pane's smaller one; where a face is there, this much less.
const INSET_SHARES: [f32; 3] = [0.34, 0.26, 0.2];
/// Faces that are framed in the inset, at most.
const MOST_FRAMED: usize = 12;
const EDGE: [u8; 3] = [240, 242, 245];
const FRAME: u32 = 2;

/// A photo as it stands in the picture.
pub(super) struct View<'a> {
    pub pane: &'a Pane<'a>,
    /// The part, in pixels of the picture.
    pub shown: Raster,
    /// Left and upper edge in the picture.
    pub x: u32,
    pub y: u32,
    scale: f32,
    /// The part, in pixels of the photo.
    part: Edges,
    whole: bool,
}

impl<'a> View<'a> {
    /// The photo at that height, or lower where it would be wider than `widest`; `strong` is the face of the nearest pair.
    pub fn of(pane: &'a Pane<'a>, strong: Option<usize>, widest: u32, height: u32) -> Self {
        let photo = &*pane.picture;
        let all = [0.0, 0.0, photo.width() as f32, photo.height() as f32];
        let part = part_of(pane, strong, all, (widest, height)).unwrap_or(all);
        let whole = part == all;
        let cut = if whole { None } else { Some(cut_out(photo, part)) };
        let shown = fit_within(cut.as_ref().unwrap_or(photo), widest, height);
        let scale = shown.width() as f32 / (part[2] - part[0]);
        Self { pane, shown, x: 0, y: 0, scale, part, whole }
    }

    /// The face's box in pixels of the picture, kept inside the part's frame.
    pub fn edges(&self, face: usize) -> Edges {
        let b = &self.pane.faces[face].bbox;
        let (w, h) = (self.shown.width() as f32 - 1.0, self.shown.height() as f32 - 1.0);
        let across = |v: f32| self.x as f32 + ((v - self.part[0]) * self.scale).clamp(0.0, w);
        let down = |v: f32| self.y as f32 + ((v - self.part[1]) * self.scale).clamp(0.0, h);
        [across(b.x0), down(b.y0), across(b.x1), down(b.y1)]
    }

    /// Whether most of the face is in the part.
    pub fn shows(&self, face: usize) -> bool {
        let b = &self.pane.faces[face].bbox;
        let inside = |a: f32, b: f32, from: f32, to: f32| (a + b) / 2.0 >= from && (a + b) / 2.0 <= to;
        self.whole || inside(b.x0, b.x1, self.part[0], self.part[2]) && inside(b.y0, b.y1, self.part[1], self.part[3])
    }

    /// A point of the photo in the picture; none where it is outside the part.
    pub fn point(&self, [x, y]: [f32; 2]) -> Option<[f32; 2]> {
        let (x, y) = ((x - self.part[0]) * self.scale, (y - self.part[1]) * self.scale);
        let inside = x >= 0.0 && y >= 0.0 && x < self.shown.width() as f32 && y < self.shown.height() as f32;
        inside.then_some([self.x as f32 + x, self.y as f32 + y])
    }

    /// Draws the whole photo, with its faces and the part that is shown, into the corner where fewest faces are. Its
    /// place in the picture; none where all is shown.
    pub fn inset(&self, canvas: &mut Raster, strong: Option<usize>) -> Option<Edges> {
        if self.whole {
            return None;
        }
        let (photo, pane) = (&*self.pane.picture, (self.shown.width(), self.shown.height()));
        let faces: Vec<(usize, Edges)> =
            (0..self.pane.faces.len()).filter(|f| self.shows(*f)).map(|f| (f, self.edges(f))).collect();
        for share in INSET_SHARES {
            let side = ((pane.0.min(pane.1) as f32 * share) as u32).max(1);
            let small = fit_within(photo, side, side);
            let (wide, high) = (small.width() + 2 * FRAME, small.height() + 2 * FRAME);
            let (right, low) = (pane.0.saturating_sub(wide), pane.1.saturating_sub(high));
            let corners = [(0, low), (right, low), (0, 0), (right, 0)];
            let at = |(x, y): (u32, u32)| {
                let (x, y) = ((self.x + x) as f32, (self.y + y) as f32);
                [x, y, x + wide as f32, y + high as f32]
            };
            let covered = |corner: &(u32, u32)| faces.iter().map(|(_, f)| common(at(*corner), *f)).sum::<f32>();
            let Some(corner) = corners.into_iter().min_by(|a, b| covered(a).total_cmp(&covered(b))) else { continue };
            let last = share == INSET_SHARES[INSET_SHARES.len() - 1];
            let hides = strong.is_some_and(|s| faces.iter().any(|(f, e)| *f == s && common(at(corner), *e) > 0.0));
            if (covered(&corner) > 0.0 && !last) || hides {
                continue;
            }
            let place = at(corner);
            self.draw_inset(canvas, &small, place);
            return Some(place);
        }
        None
    }

    fn draw_inset(&self, canvas: &mut Raster, small: &Raster, place: Edges) {
        let scale = small.width() as f32 / self.pane.picture.width() as f32;
        let (left, top) = (place[0] + FRAME as f32, place[1] + FRAME as f32);
        canvas.blit(small, left as i64, top as i64);
        let inner = |e: Edges, line: u32, canvas: &mut Raster| {
            let x = |v: f32| left + (v * scale).clamp(0.0, small.width() as f32 - 1.0);
            let y = |v: f32| top + (v * scale).clamp(0.0, small.height() as f32 - 1.0);
            draw_box(canvas, x(e[0]), y(e[1]), x(e[2]), y(e[3]), line, EDGE);
        };
        // The frames of a crowd would hide it.
        for face in self.pane.faces.iter().filter(|_| self.pane.faces.len() <= MOST_FRAMED) {
            let b = face.bbox;
            inner([b.x0, b.y0, b.x1, b.y1], 1, canvas);
        }
        inner(self.part, FRAME, canvas);
        draw_box(canvas, place[0], place[1], place[2] - 1.0, place[3] - 1.0, FRAME, EDGE);
    }
}

/// The part of the photo to show; none where that is all of it.
fn part_of(pane: &Pane, strong: Option<usize>, all: Edges, (widest, height): (u32, u32)) -> Option<Edges> {
    let boxes = pane.faces.iter().map(|f| [f.bbox.x0, f.bbox.y0, f.bbox.x1, f.bbox.y1]);
    let kept = |b: Edges| [b[0].max(0.0), b[1].max(0.0), b[2].min(all[2]), b[3].min(all[3])];
    let boxes: Vec<Edges> = boxes.collect();
    if boxes.iter().flatten().any(|v| !v.is_finite()) {
        return None;
    }
    let boxes: Vec<Edges> = boxes.into_iter().map(kept).collect();
    if boxes.iter().any(|b| b[0] >= b[2] || b[1] >= b[3]) {
        return None;
    }
    let shown_at = |part: Edges| (widest as f32 / (part[2] - part[0])).min(height as f32 / (part[3] - part[1]));
    let high = |b: &Edges| b[3] - b[1];
    let counts = strong.and_then(|s| boxes.get(s)).copied();
    let greatest = boxes.iter().map(high).fold(0.0, f32::max);
    let judged = counts.as_ref().map_or(greatest, high);
    if boxes.is_empty() || judged * shown_at(all) >= LEAST_SHARE * height as f32 {
        return None;
    }
    let around = |boxes: &[Edges]| -> Edges {
        let joined = boxes
            .iter()
            .skip(1)
            .fold(boxes[0], |a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
        let space = AROUND * boxes.iter().map(|b| high(b).max(b[2] - b[0])).fold(0.0, f32::max);
        shaped([joined[0] - space, joined[1] - space, joined[2] + space, joined[3] + space], all)
    };
    let mut part = around(&boxes);
    if let Some(face) = counts.filter(|f| high(f) * shown_at(part) < LEAST_STRONG) {
        part = around(&[face]);
    }
    let smaller = shown_at(all) / shown_at(part) < WORTH_IT;
    smaller.then_some(part)
}

/// The part in whole pixels of the photo, and not much longer than wide.
fn shaped(part: Edges, all: Edges) -> Edges {
    let (wide, high) = (part[2] - part[0], part[3] - part[1]);
    let (wide, high) = (wide.max(high / LONGEST).min(all[2]), high.max(wide / LONGEST).min(all[3]));
    let along = |from: f32, to: f32, length: f32, most: f32| {
        let start = ((from + to - length) / 2.0).clamp(0.0, most - length).floor();
        (start, (start + length).ceil().min(most))
    };
    let (x0, x1) = along(part[0], part[2], wide, all[2]);
    let (y0, y1) = along(part[1], part[3], high, all[3]);
    [x0, y0, x1, y1]
}

/// What two boxes have in common, in square pixels.
fn common(a: Edges, b: Edges) -> f32 {
    let along = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    along(0) * along(1)
}

fn cut_out(photo: &Raster, part: Edges) -> Raster {
    let [x0, y0, x1, y1] = part.map(|v| v as i64);
    let mut cut = Raster::new((x1 - x0).max(1) as u32, (y1 - y0).max(1) as u32, [0; 3]);
    cut.blit(photo, -x0, -y0);
    cut
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;
    use crate::geometry::{BBox, Landmarks};

    fn pane(width: u32, height: u32, boxes: &[Edges]) -> Pane<'static> {
        let mark =
            |b: &Edges| Mark { bbox: BBox::new(b[0], b[1], b[2], b[3]), landmarks: Landmarks([[b[0], b[1]]; 5]) };
        Pane {
            picture: std::borrow::Cow::Owned(Raster::new(width, height, [90, 90, 90])),
            name: "photo.jpg".to_string(),
            faces: boxes.iter().map(mark).collect(),
        }
    }

    #[test]
    fn small_faces_of_tall_and_wide_photos_are_brought_near_with_the_whole_in_a_corner() {
        for (width, height) in [(4000, 400), (500, 5000), (4000, 3000)] {
            let b = [width as f32 * 0.6, height as f32 * 0.4, width as f32 * 0.6 + 60.0, height as f32 * 0.4 + 80.0];
            let pane = pane(width, height, &[b]);
            let view = View::of(&pane, Some(0), 960, 720);
            let e = view.edges(0);
            assert!(e[3] - e[1] > 150.0, "{width}x{height}: {e:?}");
            let (wide, high) = (view.shown.width() as f32, view.shown.height() as f32);
            assert!(wide / high <= LONGEST + 0.1 && high / wide <= LONGEST + 0.1, "{wide}x{high}");
            let mut canvas = Raster::new(view.shown.width(), view.shown.height(), [0; 3]);
            canvas.blit(&view.shown, 0, 0);
            let inset = view.inset(&mut canvas, Some(0)).unwrap();
            assert_eq!(common(inset, e), 0.0, "the inset covers no face");
            // The middle of the face in the photo is the middle of its box in the picture.
            let [x, y] = view.point([(b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0]).unwrap();
            assert!((x - (e[0] + e[2]) / 2.0).abs() < 2.0 && (y - (e[1] + e[3]) / 2.0).abs() < 2.0);
        }
    }

    #[test]
    fn what_is_seen_well_is_shown_whole_and_of_a_crowd_the_face_that_counts() {
        let portrait = pane(600, 450, &[[100.0, 100.0, 250.0, 280.0]]);
        assert!(View::of(&portrait, Some(0), 960, 720).whole);
        assert!(View::of(&pane(600, 450, &[]), None, 960, 720).whole);
        let at = |i: usize| {
            let (x, y) = ((i % 13) as f32 * 300.0, (i / 13) as f32 * 500.0);
            [x + 20.0, y + 20.0, x + 100.0, y + 120.0]
        };
        let crowd = pane(4000, 2000, &(0..52).map(at).collect::<Vec<_>>());
        let view = View::of(&crowd, Some(17), 960, 720);
        assert!(view.shows(17) && !view.shows(0));
        let e = view.edges(17);
        assert!(e[3] - e[1] > 150.0);
        let six: Vec<Edges> =
            (0..6).map(|i| [1000.0 + i as f32 * 120.0, 800.0, 1090.0 + i as f32 * 120.0, 920.0]).collect();
        let six = pane(4000, 2000, &six);
        let view = View::of(&six, Some(2), 960, 720);
        assert!(!view.whole && (0..6).all(|f| view.shows(f)), "all six are in the part");
    }

    #[test]
    fn odd_boxes_show_the_whole() {
        for b in [[f32::NAN, 0.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0], [-1e30, -1e30, -1e29, -1e29]] {
            assert!(View::of(&pane(4000, 30, &[b]), Some(0), 960, 720).whole, "{b:?}");
        }
    }
}
