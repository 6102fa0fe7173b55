//! The database: sled, and what sled alone does not promise. The truth about people and their faces.
//!
//! A database is a folder:
//!
//! | name | what |
//! | --- | --- |
//! | `CURRENT` | lines: `kith database`, the name of the folder with the records, of an encrypted database the name of its key ring |
//! | `records-N` | sled's files; one tree, keys as in `keys`, values as in `codec` |
//! | `ring-N` | the data keys of an encrypted database (`ring`) |
//! | `acknowledged` | the number of the last acknowledged write, in a file of its own (`witness`) |
//! | `index` | what can be made again from the records: indexes of large galleries (`cache`) |
//! | `LOCK` | held by the one process that has the database open, with its name in it (`lock`) |
//!
//! Invariants:
//! 1. `CURRENT` is replaced as a whole and only when the folder that it names is complete on disk.
//! 2. Every write also stores its number in the head record, in the same atomic batch.
//! 3. [`Store::settle`] returns after the batch is synced (fdatasync), and after its number is synced
//!    into `acknowledged`: records older than that number mean lost writes, which opening reports.
//! 4. Every value carries its format version and a checksum over its key and itself.
//! 5. In an encrypted database every record but the head is sealed, and every file in `index`. A data key is on
//!    disk before anything is sealed with it, is one person's for ever, and is destroyed once no record of that
//!    person is left.

mod archive;
mod cache;
mod codec;
mod durable;
mod key;
mod keys;
mod lock;
mod migrate;
mod open;
mod records;
mod rekey;
mod ring;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

pub(crate) use archive::Archived;
pub(crate) use codec::{DataKey, Record};
pub use key::MasterKey;
#[cfg(all(unix, feature = "serve"))]
pub(crate) use key::random;
pub(crate) use keys::Key;
pub(crate) use migrate::now_ms;
pub(crate) use open::OpenMode;
pub(crate) use records::{ChipRecord, FaceRecord, GalleryRecord, HeadRecord, PersonRecord, QualityRecord, rounded};

use ring::Ring;

use crate::error::StoreError;

/// The folder of what can be made again from the records.
const CACHES: &str = "index";

/// What has been applied, and what of it is on disk for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// An open database. Shared by threads; readers never wait for a sync.
pub(crate) struct Store {
    folder: PathBuf,
    db: RwLock<sled::Db>,
    /// The data keys of an encrypted database. Taken after `db`, where both are.
    ring: Option<RwLock<Ring>>,
    /// The head as last applied, behind the lock that makes writers take turns.
    writer: Mutex<HeadRecord>,
    durable: durable::Durable,
    /// Held for as long as the store is open.
    _lock: lock::Lock,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.folder.display())
    }
}

/// One writer's turn: changes are gathered, then applied as one atomic batch.
pub(crate) struct Writer<'a> {
    store: &'a Store,
    head: MutexGuard<'a, HeadRecord>,
    next: u64,
    next_key: u64,
    batch: sled::Batch,
    changes: usize,
}

impl Store {
    /// The database's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The head record as last applied.
    pub(crate) fn head(&self) -> HeadRecord {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn size_on_disk(&self) -> Result<u64, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        self.guarded("measuring", || db.size_on_disk())
    }

    /// Waits for its turn to write.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a write that failed half-way.
    pub(crate) fn writer(&self) -> Result<Writer<'_>, StoreError> {
        self.durable.check(&self.folder)?;
        let head = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, next_key) = (head.next_id, head.next_key);
        Ok(Writer { store: self, head, next, next_key, batch: sled::Batch::default(), changes: 0 })
    }

    /// Returns when everything up to `ticket` is on disk for good. Calls at the same time share a sync.
    ///
    /// # Errors
    /// [`StoreError::Io`], after which the store takes no more writes.
    pub(crate) fn settle(&self, ticket: Ticket) -> Result<(), StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        self.durable.settle(self, &db, ticket.0)
    }

    /// Visits every record of `kind`, in order of its key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for the first record that is not what was written; what `visit` returns.
    pub(crate) fn scan<R: Record, E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(Key, R) -> Result<(), E>,
    ) -> Result<(), E> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = db.scan_prefix([R::KIND]);
        loop {
            let entry = self.guarded("reading", || entries.next().transpose())?;
            let Some((key, value)) = entry else { return Ok(()) };
            let record = self.decode(&key, &value)?;
            let key = Key::parse(&key).ok_or_else(|| self.damaged(format!("key {key:?} is none of ours")))?;
            visit(key, record)?;
        }
    }

    /// Visits the records of a kind whose keys `sound` takes, in order of their keys.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub(crate) fn scan_sound<R: Record>(
        &self,
        sound: &dyn Fn(Key) -> bool,
        mut visit: impl FnMut(Key, R),
    ) -> Result<(), StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = db.scan_prefix([R::KIND]);
        while let Some((bytes, value)) = self.guarded("reading", || entries.next().transpose())? {
            if let Some(key) = Key::parse(&bytes).filter(|k| sound(*k)) {
                visit(key, self.decode(&bytes, &value)?);
            }
        }
        Ok(())
    }

    /// Every entry as it is stored, in order, for checking and copying.
    pub(crate) fn raw(&self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = db.iter();
        while let Some((key, value)) = self.guarded("reading", || entries.next().transpose())? {
            visit(&key, &value);
        }
        Ok(())
    }

    /// What is wrong with an entry, if anything.
    pub(crate) fn fault(&self, key: &[u8], value: &[u8]) -> Option<String> {
        self.with_ring(|ring| records::fault(key, value, ring))
    }

    /// What is wrong with the key ring: one sentence for each slot that cannot be used.
    pub(crate) fn ring_faults(&self) -> Vec<String> {
        let faults = |ring: &Ring| {
            let damaged = ring.damaged().iter();
            damaged.map(|n| format!("slot {n} of the key ring is damaged; what was sealed with it is lost")).collect()
        };
        self.with_ring(|ring| ring.map_or_else(Vec::new, faults))
    }

    /// Overwrites the slots of the ring that cannot be used.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn clear_ring_faults(&self) -> Result<(), StoreError> {
        let damaged = self.with_ring(|ring| ring.map_or_else(Vec::new, |r| r.damaged().to_vec()));
        self.destroy(&damaged.into_iter().map(DataKey).collect::<Vec<_>>())
    }

    /// Whether somebody who proves that they know a key, or says that they have none, could open this database.
    ///
    /// # Errors
    /// As on opening: [`StoreError::KeyNeeded`], [`StoreError::WrongKey`], [`StoreError::NotEncrypted`].
    #[cfg(all(unix, feature = "serve"))]
    pub(crate) fn check_proof(&self, challenge: &[u8; 32], proof: Option<&[u8]>) -> Result<(), StoreError> {
        let path = || self.folder.display().to_string();
        self.with_ring(|ring| match (ring, proof) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(StoreError::NotEncrypted { path: path() }),
            (Some(_), None) => Err(StoreError::KeyNeeded { path: path() }),
            (Some(ring), Some(proof)) => ring.check_proof(challenge, proof),
        })
    }

    /// Whether the records are sealed.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.ring.is_some()
    }

    /// The data key that the record under a key is sealed with; [`DataKey::DATABASE`] where there is no
    /// such record or it is not sealed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn data_key(&self, key: Key) -> Result<DataKey, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let value = self.guarded("reading", || db.get(key.bytes()))?;
        Ok(value.and_then(|v| codec::data_key(&v)).unwrap_or(DataKey::DATABASE))
    }

    /// Destroys data keys, so that nothing sealed with them can be read again, in this database or in any
    /// copy of it. The records themselves must be gone, and settled. Returns when the keys are overwritten
    /// on disk; without encryption there is nothing to do.
    ///
    /// # Errors
    /// [`StoreError::Io`]; opening the database again destroys what is left over.
    pub(crate) fn destroy(&self, keys: &[DataKey]) -> Result<(), StoreError> {
        let Some(ring) = &self.ring else { return Ok(()) };
        let mut numbers: Vec<u64> = keys.iter().filter(|k| **k != DataKey::DATABASE).map(|k| k.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.is_empty() {
            return Ok(());
        }
        ring.write().unwrap_or_else(PoisonError::into_inner).destroy(&numbers)
    }

    fn with_ring<T>(&self, with: impl FnOnce(Option<&Ring>) -> T) -> T {
        let held = self.ring.as_ref().map(|r| r.read().unwrap_or_else(PoisonError::into_inner));
        with(held.as_deref())
    }

    fn decode<R: Record>(&self, key: &[u8], value: &[u8]) -> Result<R, StoreError> {
        self.with_ring(|ring| codec::decode(key, value, ring)).map_err(|what| self.damaged(what))
    }

    /// The record under a key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn get<R: Record>(&self, key: Key) -> Result<Option<R>, StoreError> {
        let bytes = key.bytes();
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        match self.guarded("reading", || db.get(&bytes))? {
            None => Ok(None),
            Some(value) => self.decode(&bytes, &value).map(Some),
        }
    }

    /// Whether there is a record under a key, unread.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn holds(&self, key: Key) -> Result<bool, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        self.guarded("looking", || db.contains_key(key.bytes()))
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { path: self.folder.display().to_string(), what }
    }

    /// Runs a call into sled; its errors, and its panics on bytes that it did not expect, become ours.
    fn guarded<T>(&self, doing: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        guarded(&self.folder, doing, call)
    }
}

fn guarded<T>(folder: &Path, doing: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    let path = || folder.display().to_string();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Corruption { at, .. })) => {
            Err(StoreError::Damaged { path: path(), what: format!("sled found corruption at {at:?} while {doing}") })
        }
        Ok(Err(e)) => Err(StoreError::Io { path: path(), doing, reason: e.to_string() }),
        Err(_) => Err(StoreError::Damaged { path: path(), what: format!("sled gave up while {doing}") }),
    }
}

impl Writer<'_> {
    /// A number never given before in this database, and never again.
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
        self.batch.insert(bytes, value);
        self.changes += 1;
        Ok(())
    }

    /// Removes a record.
    pub(crate) fn remove(&mut self, key: Key) {
        self.batch.remove(key.bytes());
        self.changes += 1;
    }

    /// Removes an entry under any key, sound or not.
    pub(crate) fn remove_raw(&mut self, key: &[u8]) {
        self.batch.remove(key);
        self.changes += 1;
    }

    /// Applies all changes, or none. They are on disk for good once [`Store::settle`] of the ticket
    /// returns. The turn lasts until the writer is dropped.
    ///
    /// # Errors
    /// [`StoreError::Io`]; nothing was applied then, and the store takes no more writes, since sled does
    /// not say how far it came.
    pub(crate) fn commit(&mut self) -> Result<Ticket, StoreError> {
        let changes = std::mem::take(&mut self.changes);
        let mut batch = std::mem::take(&mut self.batch);
        if changes == 0 {
            return Ok(Ticket(self.head.write));
        }
        let head =
            HeadRecord { write: self.head.write + 1, next_id: self.next, next_key: self.next_key, ..self.head.clone() };
        let key = Key::Head.bytes();
        let value = codec::encode(&key, &head, DataKey::DATABASE, None).map_err(|what| self.store.damaged(what))?;
        batch.insert(key, value);
        let applied = {
            let db = self.store.db.read().unwrap_or_else(PoisonError::into_inner);
            self.store.guarded("writing", || db.apply_batch(batch))
        };
        if let Err(e) = applied {
            self.store.durable.poison(&e);
            return Err(e);
        }
        *self.head = head;
        self.store.durable.applied(self.head.write);
        Ok(Ticket(self.head.write))
    }
}
