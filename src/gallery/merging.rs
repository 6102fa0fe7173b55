//! Two people become one, and are two again.
//!
//! Whoever takes over another's faces remembers whose they were: name, groups, labels, and which faces. It is kept in
//! the person's own record, so that it is sealed, backed up and forgotten with them, under a label that nobody can
//! give ([`MEMORY`] begins with a control character, which [`super::names`] refuses) and nobody is shown.
//!
//! 1. Faces keep their data keys when they move. What came from one person is never sealed with another's key, also
//!    after one face is forgotten and the rest is sealed anew: so the two can be parted, and either be forgotten alone.
//! 2. A person who is parted has the number from before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::labels::MEMORY;
use super::names::{self, usable};
use super::people::listed;
use super::{Database, Person};
use crate::error::{GalleryError, Result};
use crate::files::now_ms;
use crate::store::{ChipRecord, DataKey, FaceRecord, Key, PersonRecord, Writer};
use crate::vector::squared_distance;

/// Two people who were one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Who has their faces again.
    pub person: Person,
    /// Who had them meanwhile.
    pub from: Person,
}

/// Somebody who was merged into another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Merged {
    at_ms: u64,
    person: u64,
    name: String,
    groups: Vec<String>,
    labels: BTreeMap<String, String>,
    created_ms: u64,
    faces: Vec<u64>,
    /// Groups that the other is in since then.
    joined: Vec<String>,
    /// Labels that the other has since then.
    set: Vec<String>,
    /// Who was merged into them before.
    #[serde(default)]
    merged: Vec<Merged>,
}

/// Takes out of a record who was merged into it, the latest last.
fn remembered(record: &mut PersonRecord) -> Vec<Merged> {
    let text = record.labels.remove(MEMORY);
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Puts it back.
fn remember(record: &mut PersonRecord, merged: &[Merged]) {
    if let Some(text) = (!merged.is_empty()).then(|| serde_json::to_string(merged).ok()).flatten() {
        record.labels.insert(MEMORY.to_string(), text);
    }
}

impl Database {
    /// How far apart the nearest faces of two people are: the Euclidean distance between the unit vectors, 0 to 2. None
    /// where one of them has no face.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`GalleryError::UnknownPerson`].
    pub fn distance_between(&self, gallery: &str, one: &str, other: &str) -> Result<Option<f32>> {
        let shelf = self.shelf(gallery)?;
        let inside = shelf.read();
        let (one, _) = inside.known(one, gallery)?;
        let (other, _) = inside.known(other, gallery)?;
        let vectors = |person| inside.faces_of(person).iter().filter_map(|&f| inside.vector(f)).collect::<Vec<_>>();
        let (ones, others) = (vectors(one), vectors(other));
        let pairs = ones.iter().flat_map(|a| others.iter().map(move |b| squared_distance(a, b)));
        Ok(pairs.min_by(f32::total_cmp).map(|squared| squared.max(0.0).sqrt()))
    }

    /// Makes two people one: `from`'s faces, groups and labels become `into`'s (whose labels win), and
    /// `from` is no more until [`Database::split`].
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`].
    pub fn merge(&self, gallery: &str, from: &str, into: &str) -> Result<Person> {
        let shelf = self.shelf(gallery)?;
        let (person, ticket) = {
            let mut writer = self.store.writer()?;
            let (source, mut gone, target, mut record, moved) = {
                let inside = shelf.read();
                let (source, gone) = inside.known(from, gallery)?;
                let (target, kept) = inside.known(into, gallery)?;
                (source, gone.clone(), target, kept.clone(), inside.faces_of(source).to_vec())
            };
            if source == target {
                return Err(GalleryError::NameTaken { name: record.name, gallery: gallery.to_string() }.into());
            }
            let (before, mut merged) = (remembered(&mut gone), remembered(&mut record));
            let new = |group: &&String| !record.groups.iter().any(|theirs| names::same(theirs, group));
            let joined: Vec<String> = gone.groups.iter().filter(new).cloned().collect();
            let set: Vec<String> =
                gone.labels.keys().filter(|key| !record.labels.contains_key(*key)).cloned().collect();
            record.groups.extend(joined.iter().cloned());
            record.groups.sort();
            record.labels.extend(set.iter().filter_map(|key| Some((key.clone(), gone.labels.get(key)?.clone()))));
            merged.push(Merged {
                at_ms: now_ms(),
                person: source,
                name: gone.name,
                groups: gone.groups,
                labels: gone.labels,
                created_ms: gone.created_ms,
                faces: moved.clone(),
                joined,
                set,
                merged: before,
            });
            remember(&mut record, &merged);
            self.give(&mut writer, shelf.id, &moved, target)?;
            let key = Key::Person(shelf.id, target);
            writer.put(key, &record, self.store.data_key(key)?)?;
            writer.remove(Key::Person(shelf.id, source));
            let ticket = writer.commit()?;
            let mut inside = shelf.write();
            for face in moved {
                inside.move_face(face, target);
            }
            inside.remove_person(source);
            let person = listed(target, &record, inside.faces_of(target).len());
            inside.change_person(target, record);
            (person, ticket)
        };
        self.store.settle(ticket)?;
        Ok(person)
    }

    /// Takes a merge back: whoever was merged into `name` (the last one, or the one called `taken`) is there again,
    /// with what is left of the faces that were theirs, under their own name or as `called`. Faces enrolled since stay.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`], [`GalleryError::NothingMerged`], [`GalleryError::NameTaken`],
    /// [`GalleryError::BadName`].
    pub fn split(&self, gallery: &str, name: &str, taken: Option<&str>, called: Option<&str>) -> Result<Split> {
        let shelf = self.shelf(gallery)?;
        let (split, ticket) = {
            let mut writer = self.store.writer()?;
            let (target, mut record) = {
                let inside = shelf.read();
                let (target, record) = inside.known(name, gallery)?;
                (target, record.clone())
            };
            let mut merged = remembered(&mut record);
            let found = match taken {
                None => merged.len().checked_sub(1),
                Some(taken) => merged.iter().rposition(|m| names::same(&m.name, taken)),
            };
            let Some(found) = found else {
                let candidates = merged.into_iter().map(|m| m.name).collect();
                let (name, gallery) = (record.name, gallery.to_string());
                return Err(GalleryError::NothingMerged { name, gallery, candidates }.into());
            };
            let back = merged.remove(found);
            let name = match called {
                Some(called) => usable("name", called)?,
                None => back.name,
            };
            let (faces, staying) = {
                let inside = shelf.read();
                if let Some(other) = inside.taken(&name, None) {
                    return Err(
                        GalleryError::NameTaken { name: other.to_string(), gallery: gallery.to_string() }.into()
                    );
                }
                let theirs: BTreeSet<u64> = back.faces.into_iter().collect();
                inside.faces_of(target).iter().partition::<Vec<u64>, _>(|face| theirs.contains(face))
            };
            let others = |group: &String| merged.iter().any(|m| m.groups.iter().any(|g| names::same(g, group)));
            record.groups.retain(|g| !back.joined.contains(g) || others(g));
            let kept = |key: &String, value: &String| {
                !back.set.contains(key)
                    || back.labels.get(key) != Some(value)
                    || merged.iter().any(|m| m.labels.get(key) == Some(value))
            };
            record.labels.retain(|key, value| kept(key, value));
            remember(&mut record, &merged);
            let mut person =
                PersonRecord { name, groups: back.groups, labels: back.labels, created_ms: back.created_ms };
            remember(&mut person, &back.merged);

            let key = Key::Person(shelf.id, target);
            let own_key = self.store.data_key(key)?;
            writer.put(key, &record, own_key)?;
            self.give(&mut writer, shelf.id, &faces, back.person)?;
            let data_key = self.parted_keys(&mut writer, shelf.id, &faces, &staying, (own_key, back.person))?;
            writer.put(Key::Person(shelf.id, back.person), &person, data_key)?;
            let ticket = writer.commit()?;
            let mut inside = shelf.write();
            inside.add_person(back.person, person.clone());
            for &face in &faces {
                inside.move_face(face, back.person);
            }
            inside.change_person(target, record.clone());
            let split = Split {
                person: listed(back.person, &person, faces.len()),
                from: listed(target, &record, staying.len()),
            };
            (split, ticket)
        };
        self.store.settle(ticket)?;
        Ok(split)
    }

    /// Writes faces as another person's. Each keeps the data key that it has: backups taken before still open, and
    /// forgetting destroys every key of the person's faces.
    fn give(&self, writer: &mut Writer, gallery: u32, faces: &[u64], to: u64) -> Result<()> {
        for &face in faces {
            let key = Key::Face(gallery, face);
            if let Some(mut stored) = self.store.get::<FaceRecord>(key)? {
                stored.person = to;
                writer.put(key, &stored, self.store.data_key(key)?)?;
            }
            self.remove_successors(writer, gallery, face);
        }
        Ok(())
    }

    /// The data key for the record of somebody who is parted from another. Faces that share a key with what stays,
    /// which only databases from before the first rule of this file have, are sealed anew.
    fn parted_keys(
        &self,
        writer: &mut Writer,
        gallery: u32,
        faces: &[u64],
        staying: &[u64],
        (own_key, to): (DataKey, u64),
    ) -> Result<DataKey> {
        if !self.store.is_encrypted() {
            return Ok(DataKey::DATABASE);
        }
        let mut shared = BTreeSet::from([own_key]);
        for &face in staying {
            shared.insert(self.store.data_key(Key::Face(gallery, face))?);
        }
        let mut fresh = None;
        let mut theirs = None;
        for &face in faces {
            let key = Key::Face(gallery, face);
            let held = self.store.data_key(key)?;
            if !shared.contains(&held) {
                theirs.get_or_insert(held);
                continue;
            }
            let fresh = match fresh {
                Some(fresh) => fresh,
                None => *fresh.insert(writer.new_data_key()?),
            };
            if let Some(stored) = self.store.get::<FaceRecord>(key)? {
                writer.put(key, &FaceRecord { person: to, ..stored }, fresh)?;
            }
            let key = Key::Chip(gallery, face);
            if let Some(chip) = self.store.get::<ChipRecord>(key)? {
                writer.put(key, &chip, fresh)?;
            }
        }
        match theirs.or(fresh) {
            Some(key) => Ok(key),
            None => Ok(writer.new_data_key()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DatabaseOptions, EnrolmentPolicy, MasterKey, NewFace, PersonChange, SearchPolicy};
    use super::*;
    use crate::geometry::{BBox, Landmarks};
    use crate::vector::{Embedding, ModelId};

    fn face(angle: f32) -> NewFace {
        NewFace {
            embedding: Embedding::from_raw(vec![angle.cos(), angle.sin()], ModelId::from_text("m/0/t")).unwrap(),
            bbox: BBox::new(0.0, 0.0, 9.0, 9.0),
            landmarks: Landmarks([[0.0; 2]; 5]),
            score: 0.9,
            quality: crate::geometry::FaceQuality::default(),
            source: format!("{angle}.jpg"),
            source_sha256: None,
            pictures: Some(crate::gallery::FacePictures { chip: vec![1], thumbnail: vec![2] }),
        }
    }

    fn options(sealed: bool) -> DatabaseOptions {
        let key = sealed.then(|| MasterKey::parse(&"5a".repeat(32)).unwrap());
        DatabaseOptions { key, ..DatabaseOptions::default() }
    }

    fn enroll(database: &Database, name: &str, angle: f32, group: &str) -> u64 {
        let policy = EnrolmentPolicy {
            groups: vec![group.to_string(), "all".to_string()],
            labels: BTreeMap::from([(format!("door of {group}"), "1".to_string())]),
            ..EnrolmentPolicy::default()
        };
        database.enroll("main", name, face(angle), &policy).unwrap().face
    }

    fn who(database: &Database, angle: f32) -> Option<String> {
        let policy = SearchPolicy { top: 1, threshold: Some(0.01), ..SearchPolicy::default() };
        database.identify("main", &face(angle).embedding, &policy, None).unwrap().name
    }

    #[test]
    fn a_merge_is_taken_back_with_all_that_was_the_persons() {
        for sealed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("faces");
            let database = Database::open(&path, &options(sealed)).unwrap();
            enroll(&database, "Ada", 0.0, "mathematics");
            enroll(&database, "Ada", 0.3, "mathematics");
            enroll(&database, "Grace", 1.0, "navy");
            let ada = database.person("main", "Ada").unwrap();
            let grace = database.person("main", "Grace").unwrap();
            let between = database.distance_between("main", "Ada", "grace").unwrap().unwrap();
            assert!((between - 2.0 * (0.35f32).sin()).abs() < 1e-5, "{between}");

            let merged = database.merge("main", "Ada", "Grace").unwrap();
            assert_eq!((merged.faces, merged.labels.len()), (3, 2), "what is remembered is no label");
            enroll(&database, "Grace", 1.3, "navy");
            let export = folder.path().join("export");
            database.export("main", &export, false, &|| ()).unwrap();
            assert!(!std::fs::read_to_string(export.join("gallery.jsonl")).unwrap().contains("u0001"));
            drop(database);

            let database = Database::open(&path, &options(sealed)).unwrap();
            assert_eq!(database.person("main", "Ada").unwrap_err().code(), "gallery.unknown_person");
            let split = database.split("main", "Grace", None, None).unwrap();
            assert_eq!((split.person.name.as_str(), split.from.faces), ("Ada", 2));
            assert_eq!(database.person("main", "Ada").unwrap(), ada);
            let again = database.person("main", "Grace").unwrap();
            assert_eq!((again.0.groups, again.0.labels), (grace.0.groups, grace.0.labels));
            assert_eq!([0.0, 0.3, 1.0, 1.3].map(|a| who(&database, a).unwrap()), ["Ada", "Ada", "Grace", "Grace"]);
            let none = database.split("main", "Grace", None, None).unwrap_err();
            assert_eq!(none.code(), "gallery.nothing_merged");
            assert!(database.check().unwrap().is_clean());
            drop(database);
            let database = Database::open(&path, &options(sealed)).unwrap();
            assert!(database.check().unwrap().is_clean());
            assert_eq!(database.person("main", "Ada").unwrap(), ada);
        }
    }

    #[test]
    fn whoever_is_parted_can_be_forgotten_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let database = Database::open(&path, &options(true)).unwrap();
        enroll(&database, "Ada", 0.0, "a");
        let lost = enroll(&database, "Ada", 0.3, "a");
        enroll(&database, "Grace", 1.0, "b");
        database.merge("main", "Ada", "Grace").unwrap();
        // Seals what is left of both anew.
        database.forget_face("main", lost, true).unwrap();
        assert_eq!(database.split("main", "Grace", Some("ADA"), None).unwrap().person.faces, 1);
        database.forget("main", "Grace", true).unwrap();
        assert_eq!(who(&database, 0.0).as_deref(), Some("Ada"));
        assert!(database.check().unwrap().is_clean());
        drop(database);
        let database = Database::open(&path, &options(true)).unwrap();
        assert!(database.check().unwrap().is_clean(), "{:?}", database.notes());
        assert_eq!(database.person("main", "Ada").unwrap().1.len(), 1);
        database.forget("main", "Ada", true).unwrap();
        assert!(database.check().unwrap().is_clean());
    }

    #[test]
    fn merges_of_merges_are_taken_back_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("faces"), &options(false)).unwrap();
        for (name, angle) in [("a", 0.0), ("b", 0.5), ("c", 1.0), ("d", 1.5)] {
            enroll(&database, name, angle, name);
        }
        for (from, into) in [("a", "b"), ("b", "c"), ("d", "c")] {
            database.merge("main", from, into).unwrap();
        }
        assert_eq!(database.people("main", &Default::default()).unwrap().len(), 1);
        let nested = database.split("main", "c", Some("a"), None).unwrap_err();
        assert!(nested.to_string().contains("\"b\""), "{nested}");
        // Somebody else has the name by now.
        enroll(&database, "B", 2.0, "b");
        assert_eq!(database.split("main", "c", Some("b"), None).unwrap_err().code(), "gallery.name_taken");
        assert_eq!(database.split("main", "c", Some("b"), Some("old b")).unwrap().person.faces, 2);
        let c = database.person("main", "c").unwrap().0;
        assert_eq!(c.groups, ["all", "c", "d"]);
        let change = PersonChange { leave: vec!["d".to_string()], ..PersonChange::default() };
        database.label("main", "c", &change).unwrap();
        assert_eq!(database.split("main", "c", None, None).unwrap().person.name, "d");
        assert_eq!(database.split("main", "old b", None, None).unwrap().person.name, "a");
        assert_eq!(database.person("main", "c").unwrap().0.groups, ["all", "c"]);
        let found = [0.0, 0.5, 1.0, 1.5].map(|angle| who(&database, angle).unwrap());
        assert_eq!(found, ["a", "old b", "c", "d"]);
        assert!(database.check().unwrap().is_clean());
    }
}
