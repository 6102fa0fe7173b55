//! The people of a gallery: listing, renaming, merging, labelling, forgetting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Database;
use super::labels::shown_labels;
use super::names::{self, usable};
use crate::error::{GalleryError, Result};
use crate::files::hex;
use crate::geometry::{BBox, FaceQuality};
use crate::store::{ChipRecord, DataKey, FaceRecord, Key, PersonRecord, Writer};

/// Which people: all of the groups and labels named must fit. Empty takes everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PersonFilter {
    /// In every one of these groups.
    pub groups: Vec<String>,
    /// With these labels at these values.
    pub labels: BTreeMap<String, String>,
}

impl PersonFilter {
    /// Whether everybody is taken.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.labels.is_empty()
    }

    pub(super) fn takes(&self, person: &PersonRecord) -> bool {
        self.groups.iter().all(|g| person.groups.iter().any(|theirs| names::same(theirs, g)))
            && self.labels.iter().all(|(k, v)| {
                person.labels.iter().any(|(key, value)| names::same(key, k) && names::same_text(value, v))
            })
    }
}

/// Somebody who is enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Their id.
    pub id: u64,
    /// Their name, unique in the gallery.
    pub name: String,
    /// How many faces they have.
    pub faces: usize,
    /// Groups, sorted.
    pub groups: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When they were enrolled: milliseconds since 1970.
    pub created_ms: u64,
}

/// A face of a person, without its vector: a template is shown to nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "ShownFace", into = "ShownFace")]
pub struct EnrolledFace {
    /// Its number.
    pub id: u64,
    /// The photo's path or name.
    pub source: String,
    /// Hex SHA-256 of the photo's bytes, where it came as bytes.
    pub source_sha256: Option<String>,
    /// The detector that found it; none where it was enrolled before that was recorded.
    pub detector: Option<String>,
    /// The box in pixels of the upright photo; it may reach beyond the edges.
    pub bbox: BBox,
    /// The detector's confidence.
    pub score: f32,
    /// How good its picture was.
    pub quality: FaceQuality,
    /// When it was enrolled: milliseconds since 1970.
    pub enrolled_ms: u64,
    /// Whether its chip is kept.
    pub chip: bool,
}

/// [`EnrolledFace`] as it is written.
#[derive(Serialize, Deserialize)]
struct ShownFace {
    id: u64,
    source: String,
    source_sha256: Option<String>,
    detector: Option<String>,
    #[serde(rename = "box")]
    bbox: BBox,
    score: f32,
    eye_distance: f32,
    sharpness: f32,
    brightness: f32,
    pose: [f32; 3],
    enrolled_ms: u64,
    chip: bool,
}

impl From<EnrolledFace> for ShownFace {
    fn from(face: EnrolledFace) -> Self {
        let EnrolledFace { id, source, source_sha256, detector, bbox, score, quality, enrolled_ms, chip } = face;
        let FaceQuality { eye_distance, sharpness, brightness, .. } = quality;
        let pose = quality.pose();
        Self {
            id,
            source,
            source_sha256,
            detector,
            bbox,
            score,
            eye_distance,
            sharpness,
            brightness,
            pose,
            enrolled_ms,
            chip,
        }
    }
}

impl From<ShownFace> for EnrolledFace {
    fn from(shown: ShownFace) -> Self {
        let ShownFace { id, source, source_sha256, detector, bbox, score, enrolled_ms, chip, .. } = shown;
        let [yaw, pitch, roll] = shown.pose;
        let quality = [shown.eye_distance, shown.sharpness, shown.brightness, yaw, pitch, roll].into();
        Self { id, source, source_sha256, detector, bbox, score, quality, enrolled_ms, chip }
    }
}

/// A change of a person's groups and labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PersonChange {
    /// Groups to join.
    pub join: Vec<String>,
    /// Groups to leave.
    pub leave: Vec<String>,
    /// Labels to set.
    pub set: BTreeMap<String, String>,
    /// Labels to take off.
    pub unset: Vec<String>,
}

impl Database {
    /// The people of a gallery, by name.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`].
    pub fn people(&self, gallery: &str, filter: &PersonFilter) -> Result<Vec<Person>> {
        let shelf = self.shelf(gallery)?;
        let inside = shelf.read();
        let taken = inside.people_after(None).filter(|(_, p)| filter.takes(p));
        Ok(taken.map(|(id, p)| listed(id, p, inside.faces_of(id).len())).collect())
    }

    /// A person and their faces.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`].
    pub fn person(&self, gallery: &str, name: &str) -> Result<(Person, Vec<EnrolledFace>)> {
        let shelf = self.shelf(gallery)?;
        let (person, faces) = {
            let inside = shelf.read();
            let (id, record) = inside.known(name, gallery)?;
            (listed(id, record, inside.faces_of(id).len()), inside.faces_of(id).to_vec())
        };
        let mut shown = Vec::new();
        for id in faces {
            // A face forgotten since is not there to show.
            shown.extend(self.enrolled(shelf.id, id)?);
        }
        Ok((person, shown))
    }

    /// The face as it is shown; none where there is no such face.
    pub(super) fn enrolled(&self, gallery: u32, id: u64) -> Result<Option<EnrolledFace>> {
        let Some(f) = self.store.get::<FaceRecord>(Key::Face(gallery, id))? else { return Ok(None) };
        Ok(Some(EnrolledFace {
            id,
            source: f.source,
            source_sha256: f.source_sha256.map(|s| hex(&s)),
            detector: (!f.detector.is_empty()).then_some(f.detector),
            bbox: f.bbox.into(),
            score: f.score,
            quality: f.quality.into(),
            enrolled_ms: f.enrolled_ms,
            chip: self.store.holds(Key::Chip(gallery, id))?,
        }))
    }

    /// Gives a person another name.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`], [`GalleryError::NameTaken`], [`GalleryError::BadName`].
    pub fn rename(&self, gallery: &str, name: &str, to: &str) -> Result<Person> {
        let to = usable("name", to)?;
        self.change(gallery, name, |inside, id, record| {
            if let Some(taken) = inside.taken(&to, Some(id)) {
                return Err(GalleryError::NameTaken { name: taken.to_string(), gallery: gallery.to_string() });
            }
            record.name = to;
            Ok(())
        })
    }

    /// Changes a person's groups and labels.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`], [`GalleryError::BadName`].
    pub fn label(&self, gallery: &str, name: &str, change: &PersonChange) -> Result<Person> {
        self.change(gallery, name, |_, _, record| {
            join(record, &change.join)?;
            record.groups.retain(|g| !change.leave.iter().any(|l| names::same(l, g)));
            set(record, &change.set)?;
            record.labels.retain(|key, _| !change.unset.iter().any(|u| names::same(u, key)));
            Ok(())
        })
    }

    fn change(
        &self,
        gallery: &str,
        name: &str,
        edit: impl FnOnce(&super::shelf::Inside, u64, &mut PersonRecord) -> Result<(), GalleryError>,
    ) -> Result<Person> {
        let shelf = self.shelf(gallery)?;
        let (person, ticket) = {
            let mut writer = self.store.writer()?;
            let (id, record, faces) = {
                let inside = shelf.read();
                let (id, known) = inside.known(name, gallery)?;
                let mut record = known.clone();
                edit(&inside, id, &mut record)?;
                (id, record, inside.faces_of(id).len())
            };
            let key = Key::Person(shelf.id, id);
            if shelf.read().people.get(&id) != Some(&record) {
                writer.put(key, &record, self.store.data_key(key)?)?;
            }
            let ticket = writer.commit()?;
            let person = listed(id, &record, faces);
            shelf.write().change_person(id, record);
            (person, ticket)
        };
        self.store.settle(ticket)?;
        Ok(person)
    }

    /// Forgets a person: their record, faces and chips, and their name where groups of the photo library have it from
    /// them. Returns how many faces went. In an encrypted
    /// database the person's data keys are destroyed, so that no copy of what was theirs can be read any
    /// more, in backups neither. With `scrub` the store is rewritten, so that none of it is in any of its
    /// files any more; where that is interrupted, the next opening does it. It is possible on a full disk too.
    ///
    /// # Errors
    /// [`GalleryError::UnknownPerson`], or a store's error.
    pub fn forget(&self, gallery: &str, name: &str, scrub: bool) -> Result<usize> {
        let shelf = self.shelf(gallery)?;
        let (gone, ticket, keys) = {
            let mut groups = self.groups_to_change();
            let mut writer = self.store.writer()?;
            let (id, faces) = {
                let inside = shelf.read();
                let (id, _) = inside.known(name, gallery)?;
                (id, inside.faces_of(id).to_vec())
            };
            let mut keys = vec![self.store.data_key(Key::Person(shelf.id, id))?];
            for &face in &faces {
                keys.push(self.store.data_key(Key::Face(shelf.id, face))?);
                writer.remove(Key::Face(shelf.id, face));
                writer.remove(Key::Chip(shelf.id, face));
                self.remove_successors(&mut writer, shelf.id, face);
            }
            writer.remove(Key::Person(shelf.id, id));
            self.unname_groups(&mut writer, &mut groups, name, shelf.id)?;
            if scrub {
                writer.scrub_after();
            }
            let ticket = writer.commit()?;
            shelf.write().remove_person(id);
            (faces.len(), ticket, keys)
        };
        self.forgotten(&shelf, ticket, &keys, scrub)?;
        Ok(gone)
    }

    /// Forgets one face; its person stays, with whatever faces are left. In an encrypted database these
    /// are sealed with a new data key, and the old one is destroyed: backups taken before hold nothing of
    /// this person that could be read.
    ///
    /// # Errors
    /// [`GalleryError::UnknownFace`], or a store's error.
    pub fn forget_face(&self, gallery: &str, face: u64, scrub: bool) -> Result<Person> {
        let shelf = self.shelf(gallery)?;
        let (person, ticket, keys) = {
            let mut writer = self.store.writer()?;
            let held = shelf.read().face(face);
            let held = held.ok_or_else(|| GalleryError::UnknownFace { face, gallery: gallery.to_string() })?;
            let mut keys = Vec::new();
            if self.store.is_encrypted() {
                let kept: Vec<u64> =
                    shelf.read().faces_of(held.person).iter().copied().filter(|f| *f != face).collect();
                keys = self.renew_keys(&mut writer, shelf.id, held.person, &kept)?;
                keys.push(self.store.data_key(Key::Face(shelf.id, face))?);
            }
            writer.remove(Key::Face(shelf.id, face));
            writer.remove(Key::Chip(shelf.id, face));
            self.remove_successors(&mut writer, shelf.id, face);
            if scrub {
                writer.scrub_after();
            }
            let ticket = writer.commit()?;
            let mut inside = shelf.write();
            inside.remove_face(face);
            let faces = inside.faces_of(held.person).len();
            let record = inside.people.get(&held.person);
            (record.map(|r| listed(held.person, r, faces)), ticket, keys)
        };
        self.forgotten(&shelf, ticket, &keys, scrub)?;
        Ok(person.ok_or_else(|| GalleryError::UnknownFace { face, gallery: gallery.to_string() })?)
    }

    /// Seals what is left of a person anew, with one new data key for each that it had (people who were merged have
    /// several, and may be parted again); the keys to destroy once that is settled.
    fn renew_keys(&self, writer: &mut Writer, gallery: u32, person: u64, faces: &[u64]) -> Result<Vec<DataKey>> {
        let mut renewed: BTreeMap<DataKey, DataKey> = BTreeMap::new();
        let mut fresh = |writer: &mut Writer, old: DataKey| -> Result<DataKey> {
            if let Some(fresh) = renewed.get(&old) {
                return Ok(*fresh);
            }
            let fresh = writer.new_data_key()?;
            renewed.insert(old, fresh);
            Ok(fresh)
        };
        let key = Key::Person(gallery, person);
        let own = fresh(writer, self.store.data_key(key)?)?;
        if let Some(record) = self.store.get::<PersonRecord>(key)? {
            writer.put(key, &record, own)?;
        }
        for &face in faces {
            let key = Key::Face(gallery, face);
            let fresh = fresh(writer, self.store.data_key(key)?)?;
            if let Some(record) = self.store.get::<FaceRecord>(key)? {
                writer.put(key, &record, fresh)?;
            }
            let key = Key::Chip(gallery, face);
            if let Some(record) = self.store.get::<ChipRecord>(key)? {
                writer.put(key, &record, fresh)?;
            }
            self.remove_successors(writer, gallery, face);
        }
        Ok(renewed.into_keys().collect())
    }

    /// Removes what an unfinished change of model has made of a face.
    pub(super) fn remove_successors(&self, writer: &mut Writer, gallery: u32, face: u64) {
        if let Some(successor) = self.successor(gallery) {
            writer.remove(Key::Face(successor, face));
            writer.remove(Key::Chip(successor, face));
        }
    }

    fn forgotten(
        &self,
        shelf: &super::shelf::Shelf,
        ticket: crate::store::Ticket,
        keys: &[DataKey],
        scrub: bool,
    ) -> Result<()> {
        self.store.settle(ticket)?;
        self.store.destroy(keys)?;
        shelf.tend();
        // The graph's file tells whom somebody resembled, and is sealed with a key that outlives them.
        if scrub || self.store.is_encrypted() {
            self.scrub_index(shelf)?;
        }
        if scrub {
            self.store.rewrite()?;
        }
        Ok(())
    }
}

impl super::shelf::Inside {
    /// The person of that name.
    pub(super) fn known(&self, name: &str, gallery: &str) -> Result<(u64, &PersonRecord), GalleryError> {
        let unknown = || GalleryError::UnknownPerson { name: name.to_string(), gallery: gallery.to_string() };
        let id = self.person(name, gallery)?.ok_or_else(unknown)?;
        Ok((id, self.people.get(&id).ok_or_else(unknown)?))
    }

    /// The name of somebody else that is the same as this one.
    pub(super) fn taken(&self, name: &str, by_other_than: Option<u64>) -> Option<&str> {
        let others = self.with_key(name).iter().filter(|id| Some(**id) != by_other_than);
        others.filter_map(|id| Some(self.people.get(id)?.name.as_str())).next()
    }
}

/// Puts a person into groups; into none twice.
///
/// # Errors
/// [`GalleryError::BadName`]: the record is changed up to that group then.
pub(super) fn join<'a>(
    record: &mut PersonRecord,
    groups: impl IntoIterator<Item = &'a String>,
) -> Result<(), GalleryError> {
    for group in groups {
        if !record.groups.iter().any(|theirs| names::same(theirs, group)) {
            record.groups.push(usable("group", group)?);
        }
    }
    record.groups.sort();
    Ok(())
}

/// Gives a person labels.
///
/// # Errors
/// [`GalleryError::BadName`]: the record is changed up to that label then.
pub(super) fn set(record: &mut PersonRecord, labels: &BTreeMap<String, String>) -> Result<(), GalleryError> {
    for (i, key) in labels.keys().enumerate() {
        if labels.keys().skip(i + 1).any(|other| names::same(other, key)) {
            let reason = "another label has the same name, but for case or how its letters are written";
            return Err(GalleryError::BadName { what: "label", name: key.clone(), reason });
        }
    }
    for (key, value) in labels {
        let (key, value) = (usable("label", key)?, usable("label", value)?);
        record.labels.retain(|theirs, _| *theirs == key || !names::same(theirs, &key));
        record.labels.insert(key, value);
    }
    Ok(())
}

pub(super) fn listed(id: u64, record: &PersonRecord, faces: usize) -> Person {
    Person {
        id,
        name: record.name.clone(),
        faces,
        groups: record.groups.clone(),
        labels: shown_labels(record),
        created_ms: record.created_ms,
    }
}
