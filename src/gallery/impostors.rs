//! How near the faces of different people in a gallery come to one another.

use rayon::prelude::*;

use super::Database;
use crate::error::Result;
use crate::vector::squared_distance;
use crate::verify::{Calibration, GroupedDistances, ImpostorReport, NearPair};

/// Faces that are compared with one another at most: fifty million pairs, of some seconds. Of a larger gallery each
/// person's first faces are taken, then their second.
const FACES: usize = 10_000;
/// Faces whose distances are counted together: bounds memory.
const ROWS: usize = 128;
/// Nearest pairs of people that are named.
const NEAREST: usize = 10;

impl Database {
    /// Holds a calibration record against the impostor pairs of a gallery: all pairs of faces of two people, of at most
    /// 10,000 faces.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`].
    pub fn impostors(&self, gallery: &str, record: &Calibration) -> Result<ImpostorReport> {
        let shelf = self.shelf(gallery)?;
        let inside = shelf.read();
        let people: Vec<(u64, String)> = inside.people.iter().map(|(id, p)| (*id, p.name.clone())).collect();
        let most = people.iter().map(|(id, _)| inside.faces_of(*id).len()).max().unwrap_or(0);
        let (people, held) = (&people, &*inside);
        let of_turn = |turn: usize| {
            let faces = people.iter().enumerate();
            faces.filter_map(move |(person, (id, _))| Some((person, *held.faces_of(*id).get(turn)?)))
        };
        let chosen = (0..most).flat_map(of_turn).take(FACES);
        let faces: Vec<(usize, Vec<f32>)> =
            chosen.filter_map(|(person, face)| Some((person, inside.vector(face)?))).collect();
        // Searches and enrolments need not wait for the rest.
        drop(inside);
        let (distances, nearest) = compared(&faces);
        let compared_people = faces.iter().map(|(person, _)| person).collect::<std::collections::BTreeSet<_>>().len();
        let name = |person: usize| people[person].1.clone();
        let named = nearest.into_iter().map(|(distance, a, b)| NearPair { a: name(a), b: name(b), distance });
        Ok(ImpostorReport::of(record, (compared_people, faces.len()), &distances, named.collect()))
    }
}

/// Distances of all pairs of two people's faces, and the nearest pairs of people.
fn compared(faces: &[(usize, Vec<f32>)]) -> (GroupedDistances, Vec<(f32, usize, usize)>) {
    let mut distances = GroupedDistances::default();
    let mut nearest: Vec<(f32, usize, usize)> = Vec::new();
    for first in (0..faces.len()).step_by(ROWS) {
        let last = (first + ROWS).min(faces.len());
        let row = |i: usize| -> Vec<f32> {
            faces[i + 1..].iter().map(|(_, other)| squared_distance(&faces[i].1, other).max(0.0).sqrt()).collect()
        };
        let rows: Vec<Vec<f32>> = (first..last).into_par_iter().map(row).collect();
        for (i, row) in (first..last).zip(rows) {
            let person = faces[i].0;
            for ((other, _), distance) in faces[i + 1..].iter().zip(row).filter(|((other, _), _)| *other != person) {
                distances.add(person, *other, distance);
                if nearest.len() < NEAREST || nearest.last().is_some_and(|worst| distance < worst.0) {
                    remember(&mut nearest, (distance, person.min(*other), person.max(*other)));
                }
            }
        }
    }
    (distances, nearest)
}

/// Keeps the list short, in order, and each two people once.
fn remember(nearest: &mut Vec<(f32, usize, usize)>, pair: (f32, usize, usize)) {
    if let Some(known) = nearest.iter_mut().find(|known| (known.1, known.2) == (pair.1, pair.2)) {
        known.0 = known.0.min(pair.0);
    } else {
        nearest.push(pair);
    }
    nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
    nearest.truncate(NEAREST);
}
