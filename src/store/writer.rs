//! Writing: one writer's turn, and what a write is.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use super::journal::Change;
use super::sum::Sum;
use super::{DataKey, HeadRecord, Key, Record, Store, Ticket, Writing, codec, layout, migrate};
use crate::error::StoreError;

/// One writer's turn: changes are gathered, then applied as one atomic batch.
pub(crate) struct Writer<'a> {
    store: &'a Store,
    writing: MutexGuard<'a, Writing>,
    next: u64,
    next_key: u64,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    scrub_due: bool,
}

impl Store {
    /// Waits for its turn to write.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a write that failed half-way, [`StoreError::ReadOnly`].
    pub(crate) fn writer(&self) -> Result<Writer<'_>, StoreError> {
        let path = || self.folder.display().to_string();
        if let Some(reason) = self.lock.read_only() {
            return Err(StoreError::ReadOnly { path: path(), reason: reason.to_string() });
        }
        let writing = self.writing();
        self.durable.check(&self.folder)?;
        let (next, next_key) = (writing.head.next_id, writing.head.next_key);
        Ok(Writer { store: self, writing, next, next_key, changes: BTreeMap::new(), scrub_due: false })
    }

    /// Without sled's files, whose room a rewritten journal would take, as much room is kept as that needs. A write
    /// that leaves less is refused: there must always be room to forget somebody.
    pub(super) fn keep_room_for(&self, writing: &Writing, bytes: usize) -> Result<(), StoreError> {
        let (short, on_disk) = {
            let view = self.view();
            (view.is_short_of_room(), view.is_on_disk())
        };
        if short {
            self.without_sled();
        } else if on_disk {
            return Ok(());
        }
        layout::keep_room(&self.folder, writing.journal.end() + bytes as u64)
    }

    /// Keeps writers out, so that what is read is of one moment.
    pub(crate) fn hold_writers(&self) -> impl Drop + '_ {
        self.writing()
    }
}

impl Writer<'_> {
    /// An id never given before in this database, and never again.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// A data key for one person, never given before. It is on disk.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the key ring cannot be written.
    pub(crate) fn new_data_key(&mut self) -> Result<DataKey, StoreError> {
        let Some(ring) = &self.store.ring else { return Ok(DataKey::DATABASE) };
        let mut ring = ring.write().unwrap_or_else(PoisonError::into_inner);
        loop {
            let number = self.next_key;
            if number >= ring.len() {
                ring.extend()?;
            }
            self.next_key += 1;
            // A slot that a crash left torn is passed over.
            if ring.key(number).is_some() {
                return Ok(DataKey(number));
            }
        }
    }

    /// Stores a record; where the database is encrypted, sealed with a person's data key.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the record cannot be encoded.
    pub(crate) fn put<R: Record>(&mut self, key: Key, record: &R, data_key: DataKey) -> Result<(), StoreError> {
        let bytes = key.bytes();
        let value = self.store.with_ring(|ring| codec::encode(&bytes, record, data_key, ring)).map_err(|reason| {
            StoreError::Io { path: self.store.folder.display().to_string(), doing: "encoding a record", reason }
        })?;
        self.changes.insert(bytes, Some(value));
        Ok(())
    }

    /// Removes a record.
    pub(crate) fn remove(&mut self, key: Key) {
        self.changes.insert(key.bytes(), None);
    }

    /// Removes an entry under any key, sound or not.
    pub(crate) fn remove_raw(&mut self, key: &[u8]) {
        self.changes.insert(key.to_vec(), None);
    }

    /// What this write removes is to be taken out of the files too: if that is interrupted, the next opening does it.
    pub(crate) fn scrub_after(&mut self) {
        self.scrub_due = true;
    }

    /// Applies all changes, or none. They are on disk for good once [`Store::settle`] of the ticket
    /// returns. The turn lasts until the writer is dropped.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`]: nothing was applied then. [`StoreError::Poisoned`] where it is not
    /// known how far the write came; the store takes no more writes then.
    pub(crate) fn commit(&mut self) -> Result<Ticket, StoreError> {
        let changes: Vec<Change> = std::mem::take(&mut self.changes).into_iter().collect();
        if changes.is_empty() {
            return Ok(Ticket(self.writing.head.write));
        }
        let frees = changes.iter().all(|(_, value)| value.is_none());
        let (store, writing) = (self.store, &mut *self.writing);
        let sum = {
            let mut sum = Sum { entries: writing.head.entries, digest: writing.head.digest };
            for (key, value) in &changes {
                if let Some(old) = store.value(key)? {
                    sum.take(key, &old);
                }
                if let Some(value) = value {
                    sum.add(key, value);
                }
            }
            sum
        };
        let head = HeadRecord {
            // A database of an older format becomes one of this with its first write: see `migrations/v0004.rs`.
            format: migrate::FORMAT,
            write: writing.head.write + 1,
            next_id: self.next,
            next_key: self.next_key,
            frame: writing.journal.end(),
            entries: sum.entries,
            digest: sum.digest,
            scrub_due: writing.head.scrub_due || self.scrub_due,
            ..writing.head.clone()
        };
        let key = Key::Head.bytes();
        let value = codec::encode(&key, &head, DataKey::DATABASE, None).map_err(|what| store.damaged(what))?;
        let changes = [changes, vec![(key, Some(value))]].concat();
        let bytes: usize = changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        let kept = if frees { Ok(()) } else { store.keep_room_for(writing, bytes) };
        let mut appended = kept.and_then(|()| writing.journal.append(head.write, &changes));
        if matches!(appended, Err(StoreError::Full { .. })) && frees && layout::give_room(&store.folder) {
            appended = writing.journal.append(head.write, &changes);
        }
        writing.full = matches!(appended, Err(StoreError::Full { .. }));
        if let Err(e) = appended {
            if matches!(e, StoreError::Poisoned { .. }) {
                store.durable.poison(&e);
            }
            return Err(e);
        }
        super::disk::fault::point();
        let applied = {
            let mut view = store.view.write().unwrap_or_else(PoisonError::into_inner);
            // The journal has it: where sled fails, what is held is read from there.
            view.apply(changes).or_else(|_| view.give_up_sled())
        };
        if let Err(e) = applied {
            store.durable.poison(&e);
            return Err(StoreError::Poisoned { path: store.folder.display().to_string(), reason: e.to_string() });
        }
        writing.head = head;
        store.durable.applied(writing.head.write);
        Ok(Ticket(writing.head.write))
    }
}
