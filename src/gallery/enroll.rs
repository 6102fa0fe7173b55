//! Enrolment: a face becomes a person's, once, unless the gallery would take it for somebody else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Database;
use super::names::usable;
use super::people::{join, set};
use super::shelf::Shelf;
use crate::error::{GalleryError, GateRefusal, Result};
use crate::files::now_ms;
use crate::geometry::{BBox, FaceQuality, Landmarks};
use crate::store::{ChipRecord, FaceRecord, Key, PersonRecord, Ticket, rounded};
use crate::vector::{Embedding, squared_distance};
use crate::verify::Threshold;

/// Two vectors of one photo, compressed again or resized, lie nearer than this; two photos taken one
/// after the other lie farther.
const SAME_PICTURE: f32 = 0.03;
/// Nearest faces of other people that are looked at for a duplicate.
const NEAREST: usize = 16;

/// A face to enrol, and what is kept of it.
#[derive(Debug, Clone)]
pub struct NewFace {
    /// The unit vector.
    pub embedding: Embedding,
    /// The box in the photo.
    pub bbox: BBox,
    /// Eyes, nose, mouth corners in the photo.
    pub landmarks: Landmarks,
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// How good its picture is.
    pub quality: FaceQuality,
    /// The photo's path or name.
    pub source: String,
    /// Digest of the photo's bytes, where it came as bytes.
    pub source_sha256: Option<[u8; 32]>,
    /// What is kept to be looked at and embedded again, where it is.
    pub pictures: Option<FacePictures>,
}

/// The pictures of a face that are kept beside its vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacePictures {
    /// The aligned chip, as PNG.
    pub chip: Vec<u8>,
    /// A thumbnail, as JPEG.
    pub thumbnail: Vec<u8>,
}

/// What the gallery checks before it takes a face in.
#[derive(Debug, Clone, Default)]
pub struct EnrolmentPolicy {
    /// Where another person's face counts as the same: the face is refused then. `None` does not look.
    pub duplicates: Option<Threshold>,
    /// Where the person has faces and none of them is this near, the face is refused: it is somebody else's. `None`
    /// does not look.
    pub apart: Option<Threshold>,
    /// Groups that the person is put into.
    pub groups: Vec<String>,
    /// Labels that the person gets.
    pub labels: BTreeMap<String, String>,
    /// Where this enrolment makes the gallery: store its vectors as f16, in half the space. What is
    /// searched is the rounded vector, so that answers stay the same when the database is opened again.
    pub half: bool,
    /// When the face was enrolled, in milliseconds since 1970; now, when not said.
    pub at_ms: Option<u64>,
}

/// Whether a face was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EnrolmentStatus {
    /// It was stored.
    Added,
    /// The person has a face from the very same file.
    SamePhoto,
    /// The person has a face whose vector is the same picture's.
    SameFace,
}

/// An enrolled face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The person's name.
    pub name: String,
    /// The person's number.
    pub person: u64,
    /// The face's number: the new one, or the one that was there.
    pub face: u64,
    /// Whether it was new.
    pub status: EnrolmentStatus,
}

/// A write that is in memory and in the store's log, and not yet on disk for good.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is acknowledged before it is settled"]
pub struct Pending(pub(super) Ticket);

impl Database {
    /// Enrols a face and returns when it is on disk for good.
    ///
    /// # Errors
    /// [`GalleryError::Gate`] when the gallery takes the face for somebody else,
    /// [`GalleryError::WrongModel`], [`GalleryError::BadName`], or a store's error.
    pub fn enroll(&self, gallery: &str, name: &str, face: NewFace, policy: &EnrolmentPolicy) -> Result<Enrolled> {
        let (enrolled, pending) = self.enroll_pending(gallery, name, face, policy)?;
        self.settle(pending)?;
        Ok(enrolled)
    }

    /// [`Database::enroll`] without the wait: for many faces under one [`Database::settle`].
    ///
    /// # Errors
    /// As [`Database::enroll`].
    pub fn enroll_pending(
        &self,
        gallery: &str,
        name: &str,
        face: NewFace,
        policy: &EnrolmentPolicy,
    ) -> Result<(Enrolled, Pending)> {
        let mut writer = self.store.writer()?;
        let shape = (face.embedding.dimension(), policy.half);
        let shelf = self.create_gallery(&mut writer, gallery, face.embedding.model(), shape)?;
        shelf.same_model(&face.embedding)?;
        let (person, known) = {
            let inside = shelf.read();
            let person = inside.person(name, gallery)?;
            (person, person.and_then(|p| inside.people.get(&p).cloned()))
        };
        let mut record = match &known {
            Some(record) => record.clone(),
            None => PersonRecord {
                name: usable("name", name)?,
                groups: Vec::new(),
                labels: BTreeMap::new(),
                created_ms: now_ms(),
            },
        };
        join(&mut record, &policy.groups)?;
        set(&mut record, &policy.labels)?;
        let name = record.name.clone();
        if let Some((person, enrolled)) = person.and_then(|p| Some((p, shelf.already(p, &name, &face)?))) {
            // The photo is known, and what is said of the person holds all the same.
            if known.as_ref() != Some(&record) {
                let key = Key::Person(shelf.id, person);
                writer.put(key, &record, self.store.data_key(key)?)?;
            }
            // What is there may have been written a moment ago by another thread: it is waited for too.
            let ticket = writer.commit()?;
            shelf.write().change_person(person, record);
            return Ok((enrolled, Pending(ticket)));
        }
        if let Some(threshold) = policy.duplicates {
            shelf.refuse_duplicate(person, &face, threshold)?;
        }
        if let (Some(person), Some(threshold)) = (person, policy.apart) {
            shelf.refuse_different(person, &name, &face, threshold)?;
        }

        let id = person.unwrap_or_else(|| writer.new_id());
        let data_key = match person {
            Some(person) => self.store.data_key(Key::Person(shelf.id, person))?,
            None => writer.new_data_key()?,
        };
        if known.as_ref() != Some(&record) {
            writer.put(Key::Person(shelf.id, id), &record, data_key)?;
        }
        let number = writer.new_id();
        let stored = stored(id, &face, shelf.record().half, policy.at_ms);
        writer.put(Key::Face(shelf.id, number), &stored, data_key)?;
        if let Some(FacePictures { chip, thumbnail }) = face.pictures {
            writer.put(Key::Chip(shelf.id, number), &ChipRecord { chip, thumbnail }, data_key)?;
        }
        let ticket = writer.commit()?;
        {
            let mut inside = shelf.write();
            inside.change_person(id, record);
            inside.add_face(number, &stored);
        }
        self.shelve(&shelf);
        drop(writer);
        shelf.tend();
        let enrolled = Enrolled { name, person: id, face: number, status: EnrolmentStatus::Added };
        Ok((enrolled, Pending(ticket)))
    }

    /// Returns when the write, and every one before it, is on disk for good.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`]; the database takes no more writes then.
    pub fn settle(&self, pending: Pending) -> Result<()> {
        Ok(self.store.settle(pending.0)?)
    }

    /// The face that a person has from the file with that digest, if any: such a photo need not be
    /// looked at again.
    pub fn has_photo(&self, gallery: &str, name: &str, sha256: &[u8; 32]) -> Option<Enrolled> {
        let shelf = self.find(gallery)?;
        let inside = shelf.read();
        let person = inside.person(name, gallery).ok()??;
        let face = inside.seen(sha256).iter().find(|&&f| inside.face(f).is_some_and(|h| h.person == person))?;
        let (name, status) = (inside.people.get(&person)?.name.clone(), EnrolmentStatus::SamePhoto);
        Some(Enrolled { name, person, face: *face, status })
    }
}

pub(super) fn stored(person: u64, face: &NewFace, half: bool, at_ms: Option<u64>) -> FaceRecord {
    FaceRecord {
        person,
        half,
        vector: if half { rounded(face.embedding.values()) } else { face.embedding.values().to_vec() },
        bbox: [face.bbox.x0, face.bbox.y0, face.bbox.x1, face.bbox.y1],
        landmarks: face.landmarks.0,
        score: face.score,
        quality: face.quality.into(),
        source: face.source.clone(),
        source_sha256: face.source_sha256,
        enrolled_ms: at_ms.unwrap_or_else(now_ms),
        detector: face.embedding.detector().unwrap_or_default().to_string(),
    }
}

impl Shelf {
    /// Refuses an embedding of another model than the gallery's, and one behind another detector than its faces'. A
    /// face whose detector is not known meets every other.
    pub(super) fn same_model(&self, embedding: &Embedding) -> Result<(), GalleryError> {
        let gallery = || self.record().name.clone();
        let (enrolled, running) = (&self.record().model, embedding.model().as_str());
        if enrolled != running || embedding.dimension() != self.record().dimension as usize {
            return Err(GalleryError::WrongModel {
                gallery: gallery(),
                enrolled: enrolled.clone(),
                running: running.to_string(),
            });
        }
        let inside = self.read();
        match (embedding.detector(), inside.other_detector(embedding.detector())) {
            (Some(running), Some(enrolled)) => Err(GalleryError::WrongDetector {
                gallery: gallery(),
                enrolled: enrolled.to_string(),
                running: running.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// The person's own face that this one repeats.
    fn already(&self, person: u64, name: &str, face: &NewFace) -> Option<Enrolled> {
        let inside = self.read();
        let found = |face, status| Some(Enrolled { name: name.to_string(), person, face, status });
        if let Some(source) = &face.source_sha256 {
            let theirs = |f: &&u64| inside.face(**f).is_some_and(|h| h.person == person);
            if let Some(&face) = inside.seen(source).iter().find(theirs) {
                return found(face, EnrolmentStatus::SamePhoto);
            }
        }
        let vector = face.embedding.values();
        let near =
            |f: &&u64| inside.vector(**f).is_some_and(|v| squared_distance(&v, vector) < SAME_PICTURE * SAME_PICTURE);
        let face = *inside.faces_of(person).iter().find(near)?;
        found(face, EnrolmentStatus::SameFace)
    }

    /// Refuses a face that is nearer than the threshold to somebody else's.
    fn refuse_duplicate(&self, person: Option<u64>, face: &NewFace, threshold: Threshold) -> Result<(), GalleryError> {
        let inside = self.read();
        let bound = threshold.distance;
        let others = |f: u64| inside.face(f).is_some_and(|h| Some(h.person) != person);
        let near = inside.index().nearest(face.embedding.values(), NEAREST, Some(&others));
        let Some(nearest) = near.first().filter(|n| n.distance <= bound) else { return Ok(()) };
        let owner = inside.face(nearest.face).and_then(|h| inside.people.get(&h.person));
        Err(GalleryError::Gate {
            photo: face.source.clone(),
            refusal: GateRefusal::SomeoneElse {
                name: owner.map_or_else(String::new, |p| p.name.clone()),
                face: nearest.face,
                distance: nearest.distance,
                threshold: bound,
            },
        })
    }

    /// Refuses a face that is farther than the threshold from every face that the person has.
    fn refuse_different(
        &self,
        person: u64,
        name: &str,
        face: &NewFace,
        threshold: Threshold,
    ) -> Result<(), GalleryError> {
        let Some((nearest, distance)) = self.read().nearest_of(person, face.embedding.values()) else { return Ok(()) };
        if distance <= threshold.distance {
            return Ok(());
        }
        Err(GalleryError::Gate {
            photo: face.source.clone(),
            refusal: GateRefusal::DifferentPerson {
                name: name.to_string(),
                face: nearest,
                distance,
                threshold: threshold.distance,
            },
        })
    }
}

impl super::shelf::Inside {
    /// The nearest of a person's faces to a vector, and its distance; none where they have no face.
    pub(super) fn nearest_of(&self, person: u64, vector: &[f32]) -> Option<(u64, f32)> {
        let faces = self.faces_of(person).iter();
        let distances = faces.filter_map(|&f| Some((f, squared_distance(&self.vector(f)?, vector).max(0.0).sqrt())));
        distances.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}
