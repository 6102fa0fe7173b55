//! Faces of a photo that was looked at again, to those that it had.

use std::collections::BTreeSet;

use super::people::record_of;
use crate::cluster::cosine_at;
use crate::geometry::{BBox, Landmarks, Overlap};
use crate::store::{PhotoFace, PhotoRecord};

/// Share of two boxes' union that they must both cover to be of one face.
const SAME_FACE: f32 = 0.5;

/// False matches among faces at the same place of the same picture that are taken for one. Faces too small to tell people by
/// are found there, too, and few of them are somebody else's.
const PLACE_FMR: f64 = 1e-3;
/// Least cosine of two faces of one photo before and after an edit, by a model of which nothing was measured.
const WITHOUT_RECORD: f32 = 0.95;

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
pub(super) fn remembered(before: &Before, record: &PhotoRecord, found: &[BBox]) -> Vec<(BBox, Landmarks, f32)> {
    let mut all = Vec::new();
    for face in before.record.faces.iter().filter(|f| f.no_face || before.said.contains(&f.id)) {
        let (bbox, landmarks) = at_scale(before.record, record, face);
        if found.iter().all(|other| other.overlap(&bbox, Overlap::Union) < SAME_FACE) {
            all.push((bbox, landmarks, face.score));
        }
    }
    all
}

/// Gives faces of the same picture, perhaps of another size, the numbers that they had, and what was said of them. How
/// many there are. Where the bytes are others a face must be alike, too: a camera at a door makes the same picture of
/// everybody.
pub(super) fn carry_by_place(before: &PhotoRecord, after: &mut PhotoRecord) -> usize {
    let old: Vec<BBox> = before.faces.iter().map(|face| at_scale(before, after, face).0).collect();
    let least = if before.sha256 == after.sha256 { None } else { Some(least_likeness(before, after, PLACE_FMR)) };
    carry(before, after, SAME_FACE, |i, new| {
        let [x0, y0, x1, y1] = new.bbox;
        // What is no face has a vector that says nothing.
        let is_other = least.is_some_and(|least| !before.faces[i].no_face && cosine(&before.faces[i], new) < least);
        if is_other { 0.0 } else { old[i].overlap(&BBox::new(x0, y0, x1, y1), Overlap::Union) }
    })
}

/// The same for a picture that was cut, turned or drawn upon: faces that are alike.
pub(super) fn carry_by_likeness(before: &PhotoRecord, after: &mut PhotoRecord) -> usize {
    carry(before, after, least_likeness(before, after, 0.0), |i, new| cosine(&before.faces[i], new))
}

/// From which cosine on two faces of a photo before and after an edit are one: what the model's record asks for so many false
/// matches, its strictest point where it knows of none as few; for a model without one, what hardly any two photos reach; for vectors of two models, what none do.
fn least_likeness(before: &PhotoRecord, after: &PhotoRecord, fmr: f64) -> f32 {
    if before.model != after.model {
        return f32::INFINITY;
    }
    let points = record_of(&before.model, None).map(|record| record.points).unwrap_or_default();
    let point = points.iter().find(|p| p.fmr <= fmr).or(points.last());
    point.map_or(WITHOUT_RECORD, |p| cosine_at(p.distance))
}

fn cosine(a: &PhotoFace, b: &PhotoFace) -> f32 {
    a.vector.iter().zip(&b.vector).map(|(a, b)| a * b).sum()
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
    fn what_looks_the_same_and_shows_another_face_is_another_photo() {
        let engine = Engine::builder().build().unwrap();
        let mut record = looked(&engine, None).record;
        (record.faces[0].id, record.faces[1].id) = (10, 11);
        record.sha256 = [8; 32];
        let said = BTreeSet::from([10, 11, 12]);
        let again = |record: &PhotoRecord| looked(&engine, Some(Before { id: 5, record, said: &said }));
        assert_eq!(again(&record).follows, Some(5), "saved again");
        // Somebody else before the same wall.
        for face in &mut record.faces {
            face.vector.iter_mut().step_by(2).for_each(|value| *value = -*value);
        }
        let other = again(&record);
        assert_eq!(other.follows, None);
        assert!(other.record.faces.iter().all(|face| face.id == 0));
        // A face that is not there any more is not made up where it was.
        let mut record = looked(&engine, None).record;
        (record.faces[0].id, record.faces[1].id) = (10, 11);
        record.sha256 = [8; 32];
        let landmarks = [[8.0, 10.0], [22.0, 10.0], [15.0, 16.0], [9.0, 22.0], [21.0, 22.0]];
        let gone = PhotoFace { id: 12, bbox: [1.0, 1.0, 31.0, 31.0], landmarks, ..record.faces[0].clone() };
        record.faces.push(gone);
        let ids: Vec<u64> = again(&record).record.faces.iter().map(|face| face.id).collect();
        assert_eq!(ids.len(), 2, "{ids:?}");
    }
}
