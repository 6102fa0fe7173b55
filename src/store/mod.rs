//! The database: sled, and what sled alone does not promise. The truth about people and their faces.
//!
//! A database is a folder, its owner's alone:
//!
//! | name | what |
//! | --- | --- |
//! | `CURRENT` | lines: `kith database`, `records-N`, of an encrypted database `ring-M` |
//! | `journal-N` | every write in order: the truth (`journal`) |
//! | `records-N` | sled's files, a view of the journal: one tree, keys as in `keys`, values as in `codec` |
//! | `ring-M` | the data keys of an encrypted database; `ring-M.mirror` the same again (`ring`) |
//! | `acknowledged` | the number of the last acknowledged write, in a file of its own (`witness`) |
//! | `index` | what can be made again from the records: indexes of large galleries (`cache`) |
//! | `RESERVE` | room for forgetting somebody on a full disk |
//! | `LOCK` | held by the one process that has the database open, with its name in it (`lock`) |
//!
//! Invariants:
//! 1. Nothing is looked at before the lock is held, and nothing decided before that.
//! 2. `CURRENT` is replaced as a whole and only when the journal that it names is complete on disk.
//! 3. Every write is one frame of the journal and one atomic batch of the view. It also stores its number, the place
//!    of its frame, and the number and the digest of all records in the head record: a view that lacks anything, or
//!    has anything too much, is found out when it is opened, and made again from the journal.
//! 4. [`Store::settle`] returns after the journal is synced (fdatasync), and after the write's number is synced into
//!    `acknowledged`: a journal that ends before that number has lost writes, which opening reports.
//! 5. A journal that is damaged is made again from a sound view; where both are damaged, opening says so, and a repair
//!    puts together what each still holds and names every loss.
//! 6. Every value carries its format version and a checksum over its key and itself.
//! 7. In an encrypted database every record but the head is sealed, and every file in `index`. A data key is on
//!    disk before anything is sealed with it, is one person's for ever, and is destroyed once no record of that
//!    person is left.
//! 8. What was forgotten and is still in the files is remembered in the head record until the files are rewritten.

mod archive;
mod cache;
mod codec;
mod disk;
mod durable;
mod generation;
mod journal;
mod key;
mod keys;
mod layout;
mod lock;
mod migrate;
mod notes;
mod open;
mod records;
mod rekey;
mod repair;
mod replay;
mod ring;
mod sum;
mod view;
mod witness;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

pub(crate) use archive::Archived;
pub(crate) use codec::{DataKey, Record};
pub use key::MasterKey;
#[cfg(all(unix, feature = "serve"))]
pub(crate) use key::random;
pub(crate) use keys::Key;
pub(crate) use open::OpenMode;
#[cfg(test)]
pub(crate) use records::QualityRecord;
pub(crate) use records::{ChipRecord, FaceRecord, GalleryRecord, HeadRecord, PersonRecord, rounded};
pub use records::{GroupRecord, PhotoFace, PhotoFile, PhotoRecord, PicturesRecord};

pub(crate) use writer::Writer;

use journal::Journal;
use layout::Current;
use ring::Ring;
use view::View;

use crate::error::StoreError;

/// Bytes that must fit on the disk for it not to be full.
const PROBE: usize = 1 << 16;

/// What has been applied, and what of it is on disk for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// An open database. Shared by threads; readers never wait for a sync.
pub(crate) struct Store {
    folder: PathBuf,
    /// Taken after `writer`, and before `ring`.
    view: RwLock<View>,
    /// The data keys of an encrypted database.
    ring: Option<RwLock<Ring>>,
    /// What is written, behind the lock that makes writers take turns.
    writer: Mutex<Writing>,
    durable: durable::Durable,
    /// Held for as long as the store is open.
    lock: lock::Lock,
}

/// What a writer changes.
struct Writing {
    /// The head as last applied.
    head: HeadRecord,
    current: Current,
    journal: Journal,
    /// Whether the last write found no room on the disk.
    full: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.folder.display())
    }
}

impl Store {
    /// The database's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The head record as last applied.
    pub(crate) fn head(&self) -> HeadRecord {
        self.writing().head.clone()
    }

    /// Number of the last write that was applied. Waits for nothing.
    #[cfg(feature = "serve")]
    pub(crate) fn writes(&self) -> u64 {
        self.durable.last_applied()
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, Writing> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// After sled has refused something (once a write that it makes in the background has failed, it may refuse to read
    /// too): the entries are held in memory from here on, from the journal. Whether that is new.
    fn without_sled(&self) -> bool {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        view.is_on_disk() && view.give_up_sled().is_ok()
    }

    /// The value under a key.
    fn value(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let read = self.view().get(key);
        if read.is_err() && self.without_sled() { self.view().get(key) } else { read }
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn size_on_disk(&self) -> Result<u64, StoreError> {
        let size = |path: &Path| layout::size(path).map_err(|e| disk::io(path, "measuring", &e));
        let current = self.writing().current.clone();
        Ok(size(&current.journal(&self.folder))? + size(&current.records(&self.folder))?)
    }

    /// Why writes fail at present, where they do: one has failed half-way, or the disk has no room. The room is looked
    /// for again by this call.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        let path = || self.folder.display().to_string();
        if let Some(reason) = self.durable.poisoned() {
            return Some(StoreError::Poisoned { path: path(), reason: reason.to_string() });
        }
        let mut writing = self.writing();
        if writing.full {
            let kept = self.keep_room_for(&writing, PROBE).is_ok();
            writing.full = !(kept && writing.journal.has_room(PROBE));
        }
        writing.full.then(|| StoreError::Full { path: path(), doing: "writing the journal" })
    }

    /// Why the database cannot be changed here, where it was opened on a disk that may only be read.
    pub(crate) fn read_only(&self) -> Option<&str> {
        self.lock.read_only()
    }

    /// Returns when everything up to `ticket` is on disk for good. Calls at the same time share a sync.
    ///
    /// # Errors
    /// [`StoreError::Io`], after which the store takes no more writes.
    pub(crate) fn settle(&self, ticket: Ticket) -> Result<(), StoreError> {
        self.durable.settle(&self.folder, ticket.0)
    }

    /// Visits every record of `kind`, in order of its key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for the first record that is not what was written; what `visit` returns.
    pub(crate) fn scan<R: Record, E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(Key, R) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(&[R::KIND], |key, value| {
            let record = self.decode(key, value)?;
            let key = Key::parse(key).ok_or_else(|| self.damaged(format!("key {key:?} is none of ours")))?;
            visit(key, record)
        })
    }

    /// Visits every entry whose key begins with `prefix`, in order. Where sled stops answering on the way, what is left is
    /// visited in memory.
    fn each<E: From<StoreError>>(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut visited: Option<Vec<u8>> = None;
        loop {
            let view = self.view();
            let mut broken = None;
            for entry in view.entries(prefix) {
                match entry {
                    Ok((key, _)) if visited.as_ref().is_some_and(|last| **last >= *key) => {}
                    Ok((key, value)) => {
                        visit(&key, &value)?;
                        visited = Some(key.to_vec());
                    }
                    Err(e) => {
                        broken = Some(e);
                        break;
                    }
                }
            }
            drop(view);
            match broken {
                None => return Ok(()),
                Some(_) if self.without_sled() => {}
                Some(e) => return Err(e.into()),
            }
        }
    }

    /// At most `most` records of a kind behind a key, in order of their keys.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub(crate) fn page<R: Record>(&self, after: Option<Key>, most: usize) -> Result<Vec<(Key, R)>, StoreError> {
        let (after, mut page) = (after.map(Key::bytes), Vec::new());
        self.each(&[R::KIND], |bytes, value| {
            let before = after.as_ref().is_some_and(|after| bytes <= after.as_slice());
            if !before && page.len() < most {
                let key = Key::parse(bytes).ok_or_else(|| self.damaged(format!("key {bytes:?} is none of ours")))?;
                page.push((key, self.decode(bytes, value)?));
            }
            Ok::<(), StoreError>(())
        })?;
        Ok(page)
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
        self.each(&[R::KIND], |bytes, value| {
            if let Some(key) = Key::parse(bytes).filter(|k| sound(*k)) {
                visit(key, self.decode(bytes, value)?);
            }
            Ok(())
        })
    }

    /// Every entry as it is stored, in order, for checking and copying.
    pub(crate) fn raw(&self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.each(&[], |key, value| {
            visit(key, value);
            Ok(())
        })
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
        let value = self.value(&key.bytes())?;
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
        match self.value(&bytes)? {
            None => Ok(None),
            Some(value) => self.decode(&bytes, &value).map(Some),
        }
    }

    /// Whether there is a record under a key, unread.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn holds(&self, key: Key) -> Result<bool, StoreError> {
        Ok(self.value(&key.bytes())?.is_some())
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { path: self.folder.display().to_string(), what }
    }
}
