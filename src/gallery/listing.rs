//! What a long-running service asks of a gallery beside searching: pages of people and faces, one face
//! and its picture, people before their first face, one person's nearest face.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::names::{self, usable};
use super::people::{join, listed, set};
use super::{Database, EnrolledFace, Person, PersonFilter};
use crate::error::{GalleryError, Result};
use crate::files::now_ms;
use crate::store::{ChipRecord, FaceRecord, Key, PersonRecord};
use crate::vector::{Embedding, ModelId, squared_distance};

/// Some of the people of a gallery, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeoplePage {
    /// The people.
    pub people: Vec<Person>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

/// Some of the faces of a gallery, by person and order of enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacePage {
    /// Number of the face, and the name of its person.
    pub faces: Vec<(u64, String)>,
    /// Faces in all.
    pub total: usize,
}

/// Faces of one person that are looked at for the best picture.
const PICTURES_LOOKED_AT: usize = 64;
/// Between the eyes in pixels, and sharpness, beyond which a picture of the size of a thumbnail gets no better.
const EYES_ENOUGH: f32 = 60.0;
const SHARP_ENOUGH: f32 = 0.03;

/// How well a face stands for its person in a list: frontal, sharp, large, sure; 0 to 1.
fn shown_worth(face: &FaceRecord) -> f32 {
    let q = &face.quality;
    let frontal = |degrees: f32| degrees.clamp(-90.0, 90.0).to_radians().cos();
    let share = |value: f32, enough: f32| (value / enough).clamp(0.0, 1.0);
    let light = 1.0 - (q.brightness - 0.5).abs();
    face.score
        * frontal(q.yaw)
        * frontal(q.pitch)
        * frontal(q.roll)
        * light
        * share(q.eye_distance, EYES_ENOUGH)
        * share(q.sharpness, SHARP_ENOUGH)
}

impl Database {
    /// At most `limit` people of a gallery, by name, from the first after `after`; with `containing` only
    /// those whose name holds that text, in whatever case and however its letters are written.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`].
    pub fn people_page(
        &self,
        gallery: &str,
        filter: &PersonFilter,
        containing: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<PeoplePage> {
        let shelf = self.shelf(gallery)?;
        let inside = shelf.read();
        let wanted = containing.map(names::key);
        let named = |p: &PersonRecord| wanted.as_ref().is_none_or(|w| names::key(&p.name).contains(&**w));
        let mut taken = inside.people_after(after).filter(|(_, p)| filter.takes(p) && named(p));
        let page = taken.by_ref().take(limit);
        let people = page.map(|(id, p)| listed(id, p, inside.faces_of(id).len())).collect();
        Ok(PeoplePage { people, more: taken.next().is_some() })
    }

    /// At most `limit` faces of a gallery, or of one person, after the first `skip`.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownPerson`].
    pub fn faces_page(&self, gallery: &str, person: Option<&str>, skip: usize, limit: usize) -> Result<FacePage> {
        let shelf = self.shelf(gallery)?;
        let inside = shelf.read();
        let people = match person {
            Some(name) => vec![inside.known(name, gallery)?],
            None => inside.people_after(None).collect(),
        };
        let total = people.iter().map(|(id, _)| inside.faces_of(*id).len()).sum();
        let all = people.iter().flat_map(|(id, p)| inside.faces_of(*id).iter().map(|f| (*f, p.name.clone())));
        Ok(FacePage { faces: all.skip(skip).take(limit).collect(), total })
    }

    /// A face, and the person whose it is.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownFace`].
    pub fn face(&self, gallery: &str, face: u64) -> Result<(Person, EnrolledFace)> {
        let shelf = self.shelf(gallery)?;
        let unknown = || GalleryError::UnknownFace { face, gallery: gallery.to_string() };
        let person = {
            let inside = shelf.read();
            let held = inside.face(face).ok_or_else(unknown)?;
            let record = inside.people.get(&held.person).ok_or_else(unknown)?;
            listed(held.person, record, inside.faces_of(held.person).len())
        };
        Ok((person, self.enrolled(shelf.id, face)?.ok_or_else(unknown)?))
    }

    /// A face in its surroundings, as a JPEG file, where it was kept.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownFace`].
    pub fn thumbnail(&self, gallery: &str, face: u64) -> Result<Option<Vec<u8>>> {
        let shelf = self.shelf(gallery)?;
        if shelf.read().face(face).is_none() {
            return Err(GalleryError::UnknownFace { face, gallery: gallery.to_string() }.into());
        }
        Ok(self.store.get::<ChipRecord>(Key::Chip(shelf.id, face))?.map(|c| c.thumbnail))
    }

    /// The best face of a person of which a picture was kept: frontal, sharp, large, sure; among their first 64. None for
    /// one who is not there.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`].
    pub fn pictured_face(&self, gallery: &str, person: u64) -> Result<Option<u64>> {
        let shelf = self.shelf(gallery)?;
        let mut best: Option<(f32, u64)> = None;
        let faces: Vec<u64> = shelf.read().faces_of(person).iter().copied().take(PICTURES_LOOKED_AT).collect();
        let alone = faces.len() == 1;
        for face in faces {
            if !self.store.holds(Key::Chip(shelf.id, face))? {
                continue;
            }
            if alone {
                return Ok(Some(face));
            }
            let Some(record) = self.store.get::<FaceRecord>(Key::Face(shelf.id, face))? else { continue };
            let worth = shown_worth(&record);
            if best.is_none_or(|(most, _)| worth > most) {
                best = Some((worth, face));
            }
        }
        Ok(best.map(|(_, face)| face))
    }

    /// Puts somebody into a gallery before their first face, and the gallery into the database where there
    /// is none of that name: its faces will be of `model`, with vectors of `dimension` dimensions. Returns when
    /// it is on disk for good.
    ///
    /// # Errors
    /// [`GalleryError::NameTaken`], [`GalleryError::BadName`], or a store's error.
    pub fn add_person(
        &self,
        gallery: &str,
        name: &str,
        groups: &[String],
        labels: &BTreeMap<String, String>,
        model: &ModelId,
        dimension: usize,
    ) -> Result<Person> {
        let name = usable("name", name)?;
        let (groups_of, labels_of) = (groups, labels);
        let (groups, labels, created_ms) = (Vec::new(), BTreeMap::new(), now_ms());
        let mut record = PersonRecord { name, groups, labels, created_ms };
        join(&mut record, groups_of)?;
        set(&mut record, labels_of)?;
        let (person, ticket) = {
            let mut writer = self.store.writer()?;
            let shelf = self.create_gallery(&mut writer, gallery, model, (dimension, false))?;
            if let Some(taken) = shelf.read().taken(&record.name, None) {
                return Err(GalleryError::NameTaken { name: taken.to_string(), gallery: gallery.to_string() }.into());
            }
            let id = writer.new_id();
            let data_key = writer.new_data_key()?;
            writer.put(Key::Person(shelf.id, id), &record, data_key)?;
            let ticket = writer.commit()?;
            self.shelve(&shelf);
            let person = listed(id, &record, 0);
            shelf.write().add_person(id, record);
            (person, ticket)
        };
        self.store.settle(ticket)?;
        Ok(person)
    }

    /// How far a probe is from a face of the gallery: the Euclidean distance between the unit vectors, 0 to 2.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownFace`], [`GalleryError::WrongModel`].
    pub fn distance_to_face(&self, gallery: &str, face: u64, probe: &Embedding) -> Result<f32> {
        let shelf = self.shelf(gallery)?;
        shelf.same_model(probe)?;
        let inside = shelf.read();
        let unknown = || GalleryError::UnknownFace { face, gallery: gallery.to_string() };
        let vector = inside.vector(face).ok_or_else(unknown)?;
        Ok(squared_distance(&vector, probe.values()).max(0.0).sqrt())
    }

    /// The nearest of one person's faces to a probe: its number, and the Euclidean distance; none where the
    /// person has no face. Beside it how many faces the person has.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownPerson`], [`GalleryError::WrongModel`].
    pub fn nearest_face_of(
        &self,
        gallery: &str,
        name: &str,
        probe: &Embedding,
    ) -> Result<(Person, Option<(u64, f32)>)> {
        let shelf = self.shelf(gallery)?;
        shelf.same_model(probe)?;
        let inside = shelf.read();
        let (id, record) = inside.known(name, gallery)?;
        Ok((listed(id, record, inside.faces_of(id).len()), inside.nearest_of(id, probe.values())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DatabaseOptions, EnrolmentPolicy, NewFace};
    use super::*;
    use crate::geometry::{BBox, Landmarks};

    fn model() -> ModelId {
        ModelId::from_text("m/abc/test")
    }

    fn face(angle: f32) -> NewFace {
        NewFace {
            embedding: Embedding::from_raw(vec![angle.cos(), angle.sin()], model()).unwrap(),
            bbox: BBox::new(0.0, 0.0, 9.0, 9.0),
            landmarks: Landmarks([[0.0; 2]; 5]),
            score: 0.9,
            quality: crate::geometry::FaceQuality::default(),
            source: "drawn".to_string(),
            source_sha256: None,
            pictures: Some(crate::gallery::FacePictures { chip: vec![1], thumbnail: vec![2] }),
        }
    }

    fn database() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
        (folder, database)
    }

    #[test]
    fn pages_meet_everybody_once() {
        let (_folder, database) = database();
        let names: Vec<String> = (0..23).map(|i| format!("Person {:02}", (i * 7) % 23)).collect();
        for name in &names {
            database.add_person("main", name, &[], &BTreeMap::new(), &model(), 2).unwrap();
        }
        for limit in [1, 5, 23, 100] {
            let (mut met, mut after) = (Vec::new(), None);
            loop {
                let page =
                    database.people_page("main", &PersonFilter::default(), None, after.as_deref(), limit).unwrap();
                met.extend(page.people.iter().map(|p| p.name.clone()));
                after = met.last().cloned();
                if !page.more {
                    break;
                }
            }
            let mut sorted = names.clone();
            sorted.sort();
            assert_eq!(met, sorted, "{limit}");
        }
        let found = database.people_page("main", &PersonFilter::default(), Some("SON 1"), None, 4).unwrap();
        assert!(found.more && found.people.len() == 4 && found.people[0].name == "Person 10");
    }

    #[test]
    fn somebody_without_a_face_is_there_and_stays_there() {
        let (folder, database) = database();
        let (groups, labels) = (vec!["navy".to_string()], BTreeMap::from([("door".to_string(), "3".to_string())]));
        let person = database.add_person("main", " Grace ", &groups, &labels, &model(), 2).unwrap();
        assert_eq!((person.name.as_str(), person.faces), ("Grace", 0));
        let again = database.add_person("main", "Grace", &[], &labels, &model(), 2).unwrap_err();
        assert_eq!(again.code(), "gallery.name_taken");
        let enrolled = database.enroll("main", "Grace", face(0.0), &EnrolmentPolicy::default()).unwrap();
        assert_eq!(enrolled.person, person.id);
        assert!(database.check().unwrap().is_clean());
        drop(database);
        let again = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
        let (person, faces) = again.person("main", "Grace").unwrap();
        assert_eq!((person.groups, person.labels, faces.len()), (groups, labels, 1));
    }

    #[test]
    fn a_face_is_found_by_number_and_by_nearness() {
        let (_folder, database) = database();
        let enroll =
            |name: &str, angle| database.enroll("main", name, face(angle), &EnrolmentPolicy::default()).unwrap().face;
        let (near, far, other) = (enroll("Ada", 0.2), enroll("Ada", 1.0), enroll("Grace", 0.1));
        let probe = face(0.1).embedding;
        let (person, nearest) = database.nearest_face_of("main", "Ada", &probe).unwrap();
        let (number, distance) = nearest.unwrap();
        assert_eq!((person.faces, number), (2, near));
        assert!((distance - 2.0 * (0.05f32).sin()).abs() < 1e-5, "{distance}");
        assert_eq!(database.distance_to_face("main", near, &probe).unwrap(), distance);
        assert_eq!(database.distance_to_face("main", 9999, &probe).unwrap_err().code(), "gallery.unknown_face");
        assert_eq!(database.face("main", other).unwrap().0.name, "Grace");
        assert_eq!(database.thumbnail("main", far).unwrap(), Some(vec![2]));
        let pictured = |person| database.pictured_face("main", person).unwrap();
        assert_eq!((pictured(person.id), pictured(9999)), (Some(near), None));
        assert_eq!(database.face("main", 9999).unwrap_err().code(), "gallery.unknown_face");
        let page = database.faces_page("main", None, 1, 5).unwrap();
        assert_eq!((page.total, page.faces), (3, vec![(far, "Ada".to_string()), (other, "Grace".to_string())]));
        assert_eq!(database.faces_page("main", Some("Ada"), 0, 1).unwrap().total, 2);
        let blind = NewFace { pictures: None, ..face(2.0) };
        let blind = database.enroll("main", "Mary", blind, &EnrolmentPolicy::default()).unwrap();
        assert_eq!(pictured(blind.person), None);
        let wrong = Embedding::from_raw(vec![1.0, 0.0], ModelId::from_text("other/1/x")).unwrap();
        assert_eq!(database.nearest_face_of("main", "Ada", &wrong).unwrap_err().code(), "gallery.wrong_model");
        assert_eq!(database.distance_to_face("main", near, &wrong).unwrap_err().code(), "gallery.wrong_model");
    }
}
