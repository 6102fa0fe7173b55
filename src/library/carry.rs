//! Faces of a photo that was looked at again, to those that it had.

use std::collections::BTreeSet;

use super::people::record_of;
use crate::cluster::cosine_at;
use crate::detect::Detection;
use crate::geometry::{BBox, Landmarks, Overlap};
use crate::store::{PhotoFace, PhotoRecord};

/// Share of two boxes' union that they must both cover to be of one face.
const SAME_FACE: f32 = 0.5;

/// The photo that a file was.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub id: u64,
    pub record: &'a PhotoRecord,
    /// Faces of which somebody has said something.
    pub said: &'a BTreeSet<u64>,
}

/// Faces of the same picture of which somebody has said something and that were not found this time (another detector
/// sees otherwise): they are where they were.
pub(super) fn remembered(before: &Before, record: &PhotoRecord, found: &[Detection]) -> Vec<Detection> {
    let mut all = Vec::new();
    for face in before.record.faces.iter().filter(|f| f.no_face || before.said.contains(&f.id)) {
        let (bbox, landmarks) = at_scale(before.record, record, face);
        if found.iter().all(|d| d.bbox.overlap(&bbox, Overlap::Union) < SAME_FACE) {
            all.push(Detection { bbox, score: face.score, landmarks, turned: turned(&landmarks) });
        }
    }
    all
}

/// Gives faces of the same picture, perhaps of another size, the numbers that they had, and what was said of them. How
/// many there are.
pub(super) fn carry_by_place(before: &PhotoRecord, after: &mut PhotoRecord) -> usize {
    let old: Vec<BBox> = before.faces.iter().map(|face| at_scale(before, after, face).0).collect();
    carry(before, after, SAME_FACE, |i, new| {
        let [x0, y0, x1, y1] = new.bbox;
        old[i].overlap(&BBox::new(x0, y0, x1, y1), Overlap::Union)
    })
}

/// The same for a picture that was cut, turned or drawn upon: faces that are as alike as the strictest point of the model's
/// record asks. None are where vectors are of two models, or of one without a record.
pub(super) fn carry_by_likeness(before: &PhotoRecord, after: &mut PhotoRecord) -> usize {
    let record = record_of(&before.model, None).ok().filter(|_| before.model == after.model);
    let strictest = record.and_then(|r| r.points.iter().map(|p| p.distance).min_by(f32::total_cmp));
    let Some(least) = strictest.map(cosine_at) else { return 0 };
    carry(before, after, least, |i, new| before.faces[i].vector.iter().zip(&new.vector).map(|(a, b)| a * b).sum())
}

/// Each face once, the likest pair first. `likeness` is of a face before, by its place, and one now.
fn carry(
    before: &PhotoRecord,
    after: &mut PhotoRecord,
    least: f32,
    likeness: impl Fn(usize, &PhotoFace) -> f32,
) -> usize {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for i in 0..before.faces.len() {
        let of = after.faces.iter().enumerate().map(|(j, new)| (likeness(i, new), i, j));
        pairs.extend(of.filter(|(likeness, ..)| *likeness >= least));
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut taken = vec![false; before.faces.len()];
    for (_, i, j) in pairs {
        if !taken[i] && after.faces[j].id == 0 {
            taken[i] = true;
            (after.faces[j].id, after.faces[j].no_face) = (before.faces[i].id, before.faces[i].no_face);
        }
    }
    after.added_ms = before.added_ms;
    taken.into_iter().filter(|taken| *taken).count()
}

/// Box and landmarks of a face in the same picture of another size.
fn at_scale(before: &PhotoRecord, after: &PhotoRecord, face: &PhotoFace) -> (BBox, Landmarks) {
    let share = |now: u32, then: u32| now as f32 / then.max(1) as f32;
    let (x, y) = (share(after.width, before.width), share(after.height, before.height));
    let [x0, y0, x1, y1] = face.bbox;
    (BBox::new(x0 * x, y0 * y, x1 * x, y1 * y), Landmarks(face.landmarks.map(|[px, py]| [px * x, py * y])))
}

/// By how many degrees a photo has to be turned clockwise for a face to be upright: from its eyes to its mouth is down.
fn turned(landmarks: &Landmarks) -> u16 {
    let both = |a: usize, b: usize, axis: usize| landmarks.0[a][axis] + landmarks.0[b][axis];
    let [x, y] = [0, 1].map(|axis| both(3, 4, axis) - both(0, 1, axis));
    match (x.abs() > y.abs(), x > 0.0, y > 0.0) {
        (true, true, _) => 90,
        (true, false, _) => 270,
        (false, _, true) => 0,
        (false, _, false) => 180,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::library::look::{Looked, look};
    use crate::media::Limits;
    use crate::store::PhotoFile;

    fn looked(engine: &Engine, before: Option<Before>) -> Looked {
        let bytes = std::fs::read("tests/fixtures/photos/two_faces.jpg").unwrap();
        let file = PhotoFile { path: "two_faces.jpg".into(), size: 1, modified_ns: 1, missing: false };
        look(engine, &Limits::default(), &bytes, [7; 32], file, (before, &[])).unwrap()
    }

    #[test]
    fn a_face_that_is_not_found_this_time_stays_where_somebody_has_said_something_of_it() {
        let engine = Engine::builder().build().unwrap();
        let mut record = looked(&engine, None).record;
        let found = record.faces.len();
        assert_eq!(found, 2);
        // What another detector had found: one that was said to be none, one with a name, one of which nothing was said.
        let places = [[1.0, 1.0, 31.0, 31.0], [1.0, 41.0, 31.0, 71.0], [41.0, 1.0, 71.0, 31.0]];
        for (number, bbox) in (20..).zip(places) {
            let [x, y, ..] = bbox;
            let landmarks = [[8.0, 10.0], [22.0, 10.0], [15.0, 16.0], [9.0, 22.0], [21.0, 22.0]];
            let landmarks = landmarks.map(|[dx, dy]| [x + dx, y + dy]);
            let face = PhotoFace { id: number, bbox, landmarks, no_face: number == 20, ..record.faces[0].clone() };
            record.faces.push(face);
        }
        (record.faces[0].id, record.faces[1].id) = (10, 11);
        record.detector = "another".into();
        let said = BTreeSet::from([21]);
        let again = looked(&engine, Some(Before { id: 5, record: &record, said: &said }));
        let mut faces: Vec<(u64, bool)> = again.record.faces.iter().map(|f| (f.id, f.no_face)).collect();
        faces.sort_unstable();
        assert_eq!(faces, [(10, false), (11, false), (20, true), (21, false)]);
        assert_eq!(again.follows, Some(5));
        assert!(again.record.faces.iter().all(|f| f.vector.len() == record.faces[0].vector.len()));
        assert_eq!(again.pictures.len(), 4);
    }

    #[test]
    fn a_face_is_turned_as_its_mouth_lies_below_its_eyes() {
        let upright = [[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0], [-1.0, 1.0], [1.0, 1.0f32]];
        // Clockwise, with y downwards.
        let turn = |p: [[f32; 2]; 5]| p.map(|[x, y]| [-y, x]);
        let mut landmarks = upright;
        for degrees in [0, 270, 180, 90] {
            assert_eq!(turned(&Landmarks(landmarks)), degrees);
            landmarks = turn(landmarks);
        }
    }
}
