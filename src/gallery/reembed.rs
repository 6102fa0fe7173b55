//! A change of model. The faces embedded anew go into a gallery beside the old one, which answers until
//! every face has its new vector; then the new one takes its place, in one write. What is done stays done
//! when the process ends in between.
//!
//! The new gallery's faces have the ids, people and data keys of the old one's; its people and
//! its name come with the last write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::shelf::Shelf;
use super::{Database, Pending};
use crate::error::{Error, GalleryError, Result, StoreError};
use crate::files::now_ms;
use crate::geometry::{BBox, Landmarks};
use crate::store::{ChipRecord, DataKey, FaceRecord, GalleryRecord, Key, PersonRecord, Writer, rounded};
use crate::vector::{Embedding, ModelId};

/// A change of model under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reembedding {
    pub gallery: String,
    /// Model of the faces so far.
    pub from: ModelId,
    to: GalleryRecord,
    old: u32,
    new: u32,
}

/// A face without its new vector, and what that can be made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FaceToEmbed {
    pub bbox: BBox,
    pub landmarks: Landmarks,
    pub score: f32,
    pub source: String,
    pub source_sha256: Option<[u8; 32]>,
    /// Chip as PNG and thumbnail as JPEG, where they were kept.
    pub pictures: Option<(Vec<u8>, Vec<u8>)>,
}

/// A face with its new vector.
#[derive(Debug, Clone)]
pub(crate) struct FaceAnew {
    pub face: u64,
    pub embedding: Embedding,
    /// As in [`FaceToEmbed`], to be kept.
    pub pictures: Option<(Vec<u8>, Vec<u8>)>,
}

impl Database {
    /// Begins a change of model, or goes on with one. One to yet another model is given up.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], or a store's error.
    pub(crate) fn reembed_start(&self, gallery: &str, model: &ModelId, dimension: usize) -> Result<Reembedding> {
        let shelf = self.shelf(gallery)?;
        let record = shelf.record();
        let (from, old) = (ModelId::from_text(&record.model), shelf.id);
        let mut writer = self.store.writer()?;
        if let Some(new) = self.successor(old)
            && let Some(to) = self.store.get::<GalleryRecord>(Key::Gallery(new))?
        {
            if to.model == model.as_str() {
                return Ok(Reembedding { gallery: record.name.clone(), from, to, old, new });
            }
            for face in self.faces_stored_in(new)?.into_keys() {
                writer.remove(Key::Face(new, face));
                writer.remove(Key::Chip(new, face));
            }
            writer.remove(Key::Gallery(new));
        }
        let new = super::gallery_id(&mut writer)?;
        let to = GalleryRecord {
            name: record.name.clone(),
            model: model.to_string(),
            dimension: dimension as u32,
            created_ms: now_ms(),
            half: record.half,
            replaces: Some(old),
        };
        writer.put(Key::Gallery(new), &to, DataKey::DATABASE)?;
        writer.commit()?;
        self.successors.write().unwrap_or_else(PoisonError::into_inner).insert(old, new);
        Ok(Reembedding { gallery: record.name.clone(), from, to, old, new })
    }

    /// Faces of a gallery as they are stored, and whose they are.
    fn faces_stored_in(&self, gallery: u32) -> Result<BTreeMap<u64, u64>> {
        let mut faces = BTreeMap::new();
        self.store.scan::<FaceRecord, Error>(|key, record| {
            if let Key::Face(of, face) = key
                && of == gallery
            {
                faces.insert(face, record.person);
            }
            Ok(())
        })?;
        Ok(faces)
    }

    /// Faces that have no new vector yet; those done already are as many as the second number.
    pub(crate) fn reembed_left(&self, change: &Reembedding) -> Result<(Vec<u64>, usize)> {
        let (mut wanted, done) = (self.faces_stored_in(change.old)?, self.faces_stored_in(change.new)?);
        wanted.retain(|face, person| done.get(face) != Some(person));
        Ok((wanted.into_keys().collect(), done.len()))
    }

    /// What the new vector of a face can be made from; `None` when it was forgotten since.
    pub(crate) fn reembed_face(&self, change: &Reembedding, face: u64) -> Result<Option<FaceToEmbed>> {
        let Some(f) = self.store.get::<FaceRecord>(Key::Face(change.old, face))? else { return Ok(None) };
        let kept = self.store.get::<ChipRecord>(Key::Chip(change.old, face))?;
        let [x0, y0, x1, y1] = f.bbox;
        Ok(Some(FaceToEmbed {
            bbox: BBox::new(x0, y0, x1, y1),
            landmarks: Landmarks(f.landmarks),
            score: f.score,
            source: f.source,
            source_sha256: f.source_sha256,
            pictures: kept.map(|k| (k.chip, k.thumbnail)),
        }))
    }

    /// Stores new vectors, in one write.
    pub(crate) fn reembed_put(&self, change: &Reembedding, faces: Vec<FaceAnew>) -> Result<Pending> {
        let mut writer = self.store.writer()?;
        for FaceAnew { face, embedding, pictures } in faces {
            let key = Key::Face(change.old, face);
            let Some(mut record) = self.store.get::<FaceRecord>(key)? else { continue };
            record.half = change.to.half;
            let values = embedding.values();
            record.vector = if record.half { rounded(values) } else { values.to_vec() };
            let data_key = self.store.data_key(key)?;
            writer.put(Key::Face(change.new, face), &record, data_key)?;
            if let Some((chip, thumbnail)) = pictures {
                writer.put(Key::Chip(change.new, face), &ChipRecord { chip, thumbnail }, data_key)?;
            }
        }
        Ok(Pending(writer.commit()?))
    }

    /// Puts the new gallery in the place of the old one; how many faces were left out.
    ///
    /// # Errors
    /// [`GalleryError::NotReembedded`] when faces are left and `leave_out` is not said.
    pub(crate) fn reembed_finish(&self, change: &Reembedding, leave_out: bool) -> Result<usize> {
        let shelf = self.shelf(&change.gallery)?;
        let (ticket, left) = {
            let mut writer = self.store.writer()?;
            let (left, _) = self.reembed_left(change)?;
            if let Some(first) = left.first().filter(|_| !leave_out) {
                let example = self.reembed_face(change, *first)?.map_or_else(String::new, |f| f.source);
                let (gallery, model) = (change.gallery.clone(), change.to.model.clone());
                return Err(GalleryError::NotReembedded { gallery, model, left: left.len(), example }.into());
            }
            let record = GalleryRecord { replaces: None, ..change.to.clone() };
            let fresh = self.assemble(change, &shelf, &record, &left, &mut writer)?;
            writer.put(Key::Gallery(change.new), &record, DataKey::DATABASE)?;
            writer.remove(Key::Gallery(change.old));
            let ticket = writer.commit()?;
            self.successors.write().unwrap_or_else(PoisonError::into_inner).remove(&change.old);
            let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
            shelves.insert(change.gallery.clone(), Arc::new(fresh));
            (ticket, left.len())
        };
        self.store.settle(ticket)?;
        // A file that cannot be removed is no gallery's any more, and holds no vector.
        let _ = self.remove_index(&shelf);
        Ok(left)
    }

    /// The new gallery in memory, and into `writer` what makes it so on disk.
    fn assemble(
        &self,
        change: &Reembedding,
        old: &Shelf,
        record: &GalleryRecord,
        left: &[u64],
        writer: &mut Writer,
    ) -> Result<Shelf> {
        let damaged =
            |what: String| Error::from(StoreError::Damaged { path: self.store.folder().display().to_string(), what });
        let mut fresh = Shelf::new(change.new, record.clone());
        let people: Vec<(u64, PersonRecord)> = {
            let inside = old.read();
            inside.people.iter().map(|(id, p)| (*id, p.clone())).collect()
        };
        for (id, person) in people {
            let key = Key::Person(change.old, id);
            writer.put(Key::Person(change.new, id), &person, self.store.data_key(key)?)?;
            writer.remove(key);
            fresh.load_person(id, person).map_err(damaged)?;
        }
        let faces = self.faces_stored_in(change.old)?;
        let left: BTreeSet<&u64> = left.iter().collect();
        for &face in faces.keys() {
            writer.remove(Key::Face(change.old, face));
            writer.remove(Key::Chip(change.old, face));
        }
        let stale = self.faces_stored_in(change.new)?;
        for &face in stale.keys().filter(|f| left.contains(f) || !faces.contains_key(f)) {
            writer.remove(Key::Face(change.new, face));
            writer.remove(Key::Chip(change.new, face));
        }
        self.store.scan::<FaceRecord, Error>(|key, record| match key {
            Key::Face(of, face) if of == change.new && faces.contains_key(&face) && !left.contains(&face) => {
                fresh.load_face(face, &record).map_err(damaged)
            }
            _ => Ok(()),
        })?;
        Ok(fresh)
    }
}
