//! Another master key, or encryption where there was none, or none where there was.
//!
//! Everything new is complete on disk before `CURRENT` names it, in one step; what was before is
//! overwritten after. With another master key only the ring is written anew: the data keys stay, so that
//! backups taken before open with the new ring. Otherwise the files that can be made again from the records
//! are removed, since what they are sealed with, or are not, is not the database's any more.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::open::{current, fill, finish, open_sled, point_to, put_head, remove_others};
use super::ring::Ring;
use super::{DataKey, FaceRecord, Key, MasterKey, PersonRecord, Store, guarded, records};
use crate::error::StoreError;

impl Store {
    /// Closes the database under another master key; `None` for no encryption.
    ///
    /// # Errors
    /// A [`StoreError`]; the database is then as it was.
    pub(crate) fn rekey(self, new: Option<&MasterKey>) -> Result<(), StoreError> {
        let before = current(&self.folder)?;
        let mut after = before.clone();
        let (records, ring) = before.next();
        match (&self.ring, new) {
            (None, None) => return Ok(()),
            (Some(held), Some(new)) => {
                held.read().unwrap_or_else(PoisonError::into_inner).copy(&self.folder.join(&ring), new)?;
                after.ring = Some(ring);
            }
            (_, new) => {
                after.records = records;
                let mut head = self.head();
                let made = match new {
                    Some(new) => {
                        let path = self.folder.join(&ring);
                        after.ring = Some(ring);
                        Some(Ring::create(&path, head.id, new)?)
                    }
                    None => {
                        after.ring = None;
                        None
                    }
                };
                head.sealed = made.is_some();
                self.reseal(&after.records, made, head)?;
            }
        }
        if before.records != after.records {
            Self::drop_caches(&self.folder)?;
        }
        point_to(&self.folder, &after)?;
        // sled writes when it is dropped, and the lock must outlast what follows.
        let Self { folder, db, _lock, .. } = self;
        drop(db);
        remove_others(&folder, &after);
        Ok(())
    }

    /// Copies every record into a new folder, sealed with `ring`, a data key for each person.
    fn reseal(&self, name: &str, ring: Option<Ring>, head: super::HeadRecord) -> Result<(), StoreError> {
        let (mut ring, mut head) = (ring, head);
        // People's numbers are given once in the whole database.
        let mut owners: HashMap<u64, u64> = HashMap::new();
        self.scan::<PersonRecord, StoreError>(|key, _| {
            let Key::Person(_, person) = key else { return Ok(()) };
            owners.insert(person, 0);
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
            Key::Head | Key::Gallery(_) => Some(0),
            Key::Person(_, person) => owners.get(&person).copied(),
            Key::Face(..) => faces.get(&key).copied(),
            Key::Chip(gallery, face) => faces.get(&Key::Face(gallery, face)).copied(),
        };

        let path = self.folder.join(name);
        let fresh = open_sled(&path)?;
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let entries = db.iter().map(|entry| {
            let (key, value) = guarded(&self.folder, "reading", || entry)?;
            let number = Key::parse(&key).and_then(owner);
            let number = number.ok_or_else(|| self.damaged(format!("entry {key:?} is of nobody")))?;
            let sealed = self.with_ring(|from| records::resealed(&key, &value, from, DataKey(number), ring.as_ref()));
            Ok((key, sealed.map_err(|what| self.damaged(what))?))
        });
        fill(&fresh, &path, entries)?;
        put_head(&fresh, &head, &self.folder)?;
        finish(&fresh, &path).map(drop)
    }
}
