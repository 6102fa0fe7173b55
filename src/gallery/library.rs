//! The photo library's records: photos, the pictures of their faces, and groups of faces. What they mean is for the room
//! `library` to say; here they are written and read, as one with the rest of the database.
//!
//! 1. a change of photos and groups is one write: all of it is there after a crash, or none;
//! 2. a face has its number from its first write on, and the numbers of all faces and people are different;
//! 3. each photo is sealed with a data key of its own, which is destroyed when the photo is forgotten.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::{Database, names};
use crate::error::{LibraryError, Result};
use crate::store::{DataKey, GroupRecord, Key, PhotoRecord, PicturesRecord, Writer};

/// What becomes of a photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhotoChange {
    /// Its number; none for a new one.
    pub id: Option<u64>,
    /// The record; none forgets the photo. Faces with the number 0 get one.
    pub record: Option<PhotoRecord>,
    /// A picture of each face, in their order; none leaves what is kept.
    pub pictures: Option<Vec<Vec<u8>>>,
    /// Of each face the one that it is another picture of, 0 where it is of none, or nothing at all: what was said of that
    /// one is said of it.
    pub like: Vec<u64>,
}

/// What becomes of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupChange {
    /// Its number; none for a new one.
    pub id: Option<u64>,
    /// The record; none removes the group.
    pub record: Option<GroupRecord>,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct LibraryChange {
    pub photos: Vec<PhotoChange>,
    pub groups: Vec<GroupChange>,
    /// The state of the groups ([`LibraryGroups::state`]) that the change was made of; it is refused where they are in
    /// another by now. None for a change that rests on no group.
    pub made_of: Option<u64>,
    /// Photos and their faces that are no faces from now on.
    pub no_faces: Vec<(u64, u64)>,
    /// Photos and their faces that were said to be none, and are after all.
    pub faces_again: Vec<(u64, u64)>,
    /// Take what is forgotten out of the files, too.
    pub scrub: bool,
}

/// The groups by number, and which state they are in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LibraryGroups {
    pub state: u64,
    pub groups: Vec<(u64, GroupRecord)>,
}

/// Numbers that a change gave: of each photo and its faces, and of each group, in order.
pub(crate) type Numbers = (Vec<(u64, Vec<u64>)>, Vec<u64>);

/// A face of somebody who is enrolled: name, number of the face, vector.
pub(crate) type NamedVector = (String, u64, Vec<f32>);

impl Database {
    /// At most `most` photos whose numbers come after `after`, by number.
    pub(crate) fn library_photos(&self, after: Option<u64>, most: usize) -> Result<Vec<(u64, PhotoRecord)>> {
        let page = self.store.page::<PhotoRecord>(after.map(Key::Photo), most)?;
        Ok(page.into_iter().filter_map(|(key, record)| numbered(key).map(|id| (id, record))).collect())
    }

    /// All groups, by number.
    pub(crate) fn library_groups(&self) -> Result<LibraryGroups> {
        let state = self.groups_to_change();
        let all = self.store.page::<GroupRecord>(None, usize::MAX)?;
        let groups = all.into_iter().filter_map(|(key, record)| numbered(key).map(|id| (id, record))).collect();
        Ok(LibraryGroups { state: *state, groups })
    }

    /// The pictures of a photo's faces, by the faces' numbers.
    pub(crate) fn library_pictures(&self, photo: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        Ok(self.store.get::<PicturesRecord>(Key::Pictures(photo))?.map_or_else(Vec::new, |p| p.thumbnails))
    }

    /// Makes the change and returns when it is on disk for good: the numbers that it gave.
    ///
    /// # Errors
    /// [`LibraryError::ChangedMeanwhile`] for a change that was made of groups as they are no more: two commands at once
    /// would put a face into two groups, and lose what one of them said.
    pub(crate) fn library_change(&self, change: LibraryChange) -> Result<Numbers> {
        let LibraryChange { photos, groups, made_of, no_faces, faces_again, scrub } = change;
        let mut state = self.groups_to_change();
        if made_of.is_some_and(|made_of| made_of != *state) {
            return Err(LibraryError::ChangedMeanwhile.into());
        }
        if !groups.is_empty() || !no_faces.is_empty() || !faces_again.is_empty() {
            *state += 1;
        }
        let forgets = photos.iter().any(|p| p.record.is_none());
        let mut twins: Vec<(u64, u64)> = Vec::new();
        let (ticket, keys, numbers) = {
            let mut writer = self.store.writer()?;
            let mut keys = Vec::new();
            let mut numbers = (Vec::with_capacity(photos.len()), Vec::with_capacity(groups.len()));
            for photo in photos {
                let id = photo.id.unwrap_or_else(|| writer.new_id());
                let mut faces = Vec::new();
                let like = photo.like;
                match photo.record {
                    Some(record) => faces = self.put_photo(&mut writer, photo.id, id, record, photo.pictures)?,
                    None => {
                        keys.push(self.store.data_key(Key::Photo(id))?);
                        writer.remove(Key::Photo(id));
                        writer.remove(Key::Pictures(id));
                    }
                }
                twins.extend(like.into_iter().zip(&faces).filter(|(old, _)| *old != 0).map(|(old, new)| (old, *new)));
                numbers.0.push((id, faces));
            }
            if !twins.is_empty() && self.say_of_twins(&mut writer, &twins)? {
                *state += 1;
            }
            for ((photo, face), none) in
                no_faces.into_iter().map(|f| (f, true)).chain(faces_again.into_iter().map(|f| (f, false)))
            {
                self.mark(&mut writer, (photo, face), none)?;
            }
            for group in groups {
                let id = group.id.unwrap_or_else(|| writer.new_id());
                numbers.1.push(id);
                match group.record {
                    Some(record) => writer.put(Key::Group(id), &record, DataKey::DATABASE)?,
                    None => writer.remove(Key::Group(id)),
                }
            }
            if forgets && scrub {
                writer.scrub_after();
            }
            (writer.commit()?, keys, numbers)
        };
        drop(state);
        self.store.settle(ticket)?;
        self.store.destroy(&keys)?;
        if forgets && scrub {
            self.store.rewrite()?;
        }
        Ok(numbers)
    }

    /// Says of faces (the second of each pair) what was said of others (the first); whether anything was.
    fn say_of_twins(&self, writer: &mut Writer, twins: &[(u64, u64)]) -> Result<bool> {
        let mut said = false;
        for (place, mut group) in self.store.page::<GroupRecord>(None, usize::MAX)?.into_iter().filter(|(_, g)| g.kept)
        {
            let of = |faces: &[u64]| -> Vec<u64> {
                let known = twins.iter().filter(|(old, _)| faces.binary_search(old).is_ok());
                known.map(|(_, new)| *new).filter(|new| faces.binary_search(new).is_err()).collect()
            };
            let (theirs, not) = (of(&group.faces), of(&group.not));
            if theirs.is_empty() && not.is_empty() {
                continue;
            }
            group.faces.extend(theirs);
            group.not.extend(not);
            group.faces.sort_unstable();
            group.not.sort_unstable();
            writer.put(place, &group, DataKey::DATABASE)?;
            said = true;
        }
        Ok(said)
    }

    fn put_photo(
        &self,
        writer: &mut Writer,
        known: Option<u64>,
        id: u64,
        mut record: PhotoRecord,
        pictures: Option<Vec<Vec<u8>>>,
    ) -> Result<Vec<u64>> {
        // What was said of a face while the photo was looked at again holds.
        let before = known.map(|id| self.store.get::<PhotoRecord>(Key::Photo(id))).transpose()?.flatten();
        for said in before.iter().flat_map(|p| &p.faces) {
            record.faces.iter_mut().filter(|f| f.id == said.id).for_each(|face| face.no_face = said.no_face);
        }
        record.faces.iter_mut().filter(|f| f.id == 0).for_each(|face| face.id = writer.new_id());
        let data_key = match known {
            Some(id) if self.store.holds(Key::Photo(id))? => self.store.data_key(Key::Photo(id))?,
            _ => writer.new_data_key()?,
        };
        if let Some(pictures) = pictures {
            let thumbnails: Vec<(u64, Vec<u8>)> = record.faces.iter().map(|f| f.id).zip(pictures).collect();
            match thumbnails.is_empty() {
                true => writer.remove(Key::Pictures(id)),
                false => writer.put(Key::Pictures(id), &PicturesRecord { thumbnails }, data_key)?,
            }
        }
        writer.put(Key::Photo(id), &record, data_key)?;
        Ok(record.faces.iter().map(|f| f.id).collect())
    }

    /// Says of a face of a photo whether it is none.
    fn mark(&self, writer: &mut Writer, (photo, face): (u64, u64), none: bool) -> Result<()> {
        let unknown = || LibraryError::UnknownFace { face };
        let mut record = self.store.get::<PhotoRecord>(Key::Photo(photo))?.ok_or_else(unknown)?;
        let found = record.faces.iter_mut().find(|f| f.id == face).ok_or_else(unknown)?;
        found.no_face = none;
        writer.put(Key::Photo(photo), &record, self.store.data_key(Key::Photo(photo))?)?;
        Ok(())
    }

    /// Takes the name of somebody who is forgotten from the library's groups that have it from their enrolment: nobody has
    /// said it of these, and nobody of that name is enrolled anywhere else.
    pub(super) fn unname_groups(&self, writer: &mut Writer, state: &mut u64, name: &str, of: u32) -> Result<()> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let mut others = shelves.iter().filter(|(_, shelf)| shelf.id != of);
        if others.any(|(gallery, shelf)| shelf.read().known(name, gallery).is_ok()) {
            return Ok(());
        }
        for (place, group) in self.store.page::<GroupRecord>(None, usize::MAX)? {
            if !group.kept && names::same(&group.name, name) {
                writer.put(place, &GroupRecord { name: String::new(), ..group }, DataKey::DATABASE)?;
                *state += 1;
            }
        }
        Ok(())
    }

    /// The state of the library's groups, for a change of them: taken before the store's writer, as everywhere.
    pub(super) fn groups_to_change(&self) -> std::sync::MutexGuard<'_, u64> {
        self.groups_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Model and vectors of a gallery's faces; `None` where there is no such gallery.
    pub(crate) fn named_vectors(&self, gallery: &str) -> Option<(String, Vec<NamedVector>)> {
        let shelf = self.find(gallery)?;
        let inside = shelf.read();
        let mut vectors = Vec::new();
        for (id, person) in &inside.people {
            let of = inside.faces_of(*id).iter();
            vectors.extend(of.filter_map(|&face| Some((person.name.clone(), face, inside.vector(face)?))));
        }
        Some((shelf.record().model.clone(), vectors))
    }
}

fn numbered(key: Key) -> Option<u64> {
    match key {
        Key::Photo(id) | Key::Group(id) => Some(id),
        _ => None,
    }
}
