//! Another master key, or encryption where there was none, or none where there was.
//!
//! Everything new is complete on disk before `CURRENT` names it, in one step; what was before is
//! overwritten after. sled's files are made from the new journal at the next opening. With another master key only the ring is written anew: the data keys stay, so that
//! backups taken before open with the new ring. Otherwise the files that can be made again from the records
//! are removed, since what they are sealed with, or are not, is not the database's any more.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::journal::Journal;
use super::layout::{self, Current};
use super::ring::Ring;
use super::{DataKey, FaceRecord, HeadRecord, Key, MasterKey, PersonRecord, PhotoRecord, Store, generation, records};
use crate::error::StoreError;

impl Store {
    /// Closes the database under another master key; `None` for no encryption.
    ///
    /// # Errors
    /// A [`StoreError`]; the database is then as it was.
    pub(crate) fn rekey(self, new: Option<&MasterKey>) -> Result<(), StoreError> {
        if let Some(reason) = self.lock.read_only() {
            let path = self.folder.display().to_string();
            return Err(StoreError::ReadOnly { path, reason: reason.to_string() });
        }
        let before = self.writing().current.clone();
        let mut after = before.with_new_ring(new.is_some());
        let ring = after.ring(&self.folder);
        let changed = match (&self.ring, new, &ring) {
            (None, None, _) => return Ok(()),
            (Some(held), Some(new), Some(path)) => held.read().unwrap_or_else(PoisonError::into_inner).copy(path, new),
            _ => {
                after = after.next();
                self.resealed_into(&after, new)
            }
        };
        let changed = changed.and_then(|()| layout::point_to(&self.folder, &after));
        if let Err(e) = changed {
            // Unless it may be the one that the next opening takes, what was made is taken away.
            if !matches!(e, StoreError::Poisoned { .. }) {
                let _ = layout::remove_others(&self.folder, Some(&before));
            }
            return Err(e);
        }
        // sled writes when it is dropped, and the lock must outlast what follows.
        let Self { folder, view, lock, .. } = self;
        drop(view);
        let removed = layout::remove_others(&folder, Some(&after));
        drop(lock);
        removed
    }

    /// Writes every record sealed with a new ring, or with none, into the journal of `after`.
    fn resealed_into(&self, after: &Current, new: Option<&MasterKey>) -> Result<(), StoreError> {
        let mut head = self.head();
        let made = match (new, after.ring(&self.folder)) {
            (Some(new), Some(path)) => Some(Ring::create(&path, head.id, new)?),
            _ => None,
        };
        head.sealed = made.is_some();
        self.reseal(after, made, head)?;
        Self::drop_caches(&self.folder)
    }

    /// Copies every record into a new journal, sealed with `ring`, a data key for each person.
    fn reseal(&self, after: &Current, ring: Option<Ring>, head: HeadRecord) -> Result<Journal, StoreError> {
        let (mut ring, mut head) = (ring, head);
        // People's ids are given once in the whole database.
        let mut owners: HashMap<u64, u64> = HashMap::new();
        self.scan::<PersonRecord, StoreError>(|key, _| {
            let Key::Person(_, person) = key else { return Ok(()) };
            owners.insert(person, 0);
            Ok(())
        })?;
        // And so are photos', from the same numbers.
        self.scan::<PhotoRecord, StoreError>(|key, _| {
            let Key::Photo(photo) = key else { return Ok(()) };
            owners.insert(photo, 0);
            Ok(())
        })?;
        head.next_key = 1;
        if let Some(ring) = &mut ring {
            for number in owners.values_mut() {
                if head.next_key >= ring.len() {
                    ring.extend()?;
                }
                *number = head.next_key;
                head.next_key += 1;
            }
        }
        let mut faces: HashMap<Key, u64> = HashMap::new();
        self.scan::<FaceRecord, StoreError>(|key, record| {
            let Key::Face(gallery, face) = key else { return Ok(()) };
            faces.extend(owners.get(&record.person).map(|owner| (Key::Face(gallery, face), *owner)));
            Ok(())
        })?;
        let owner = |key: Key| match key {
            Key::Head | Key::Gallery(_) | Key::Group(_) => Some(0),
            Key::Photo(photo) | Key::Pictures(photo) => owners.get(&photo).copied(),
            Key::Person(_, person) => owners.get(&person).copied(),
            Key::Face(..) => faces.get(&key).copied(),
            Key::Chip(gallery, face) => faces.get(&Key::Face(gallery, face)).copied(),
        };

        let view = self.view();
        let entries = view.entries(&[]).map(|entry| {
            let (key, value) = entry?;
            let number = Key::parse(&key).and_then(owner);
            let number = number.ok_or_else(|| self.damaged(format!("entry {key:?} is of nobody")))?;
            let sealed = self.with_ring(|from| records::resealed(&key, &value, from, DataKey(number), ring.as_ref()));
            Ok((key, sealed.map_err(|what| self.damaged(what))?))
        });
        generation::write(&self.folder, after, &head, entries).map(|(journal, _)| journal)
    }
}
