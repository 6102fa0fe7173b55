//! When a write is on disk for good.
//!
//! sled 0.34's own flush ends in `sync_file_range` on Linux, which promises nothing about a power cut.
//! So every settling here is: sled's flush, then `fdatasync` of sled's log and of new blobs, then the
//! write's number into `acknowledged`, and its `fdatasync`. Writers that settle at the same time share
//! one round of this.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::Store;
use super::witness::Witness;
use crate::error::StoreError;

/// sled's log inside the folder of records, and its folder of large values.
const LOG: &str = "db";
const BLOBS: &str = "blobs";

pub(super) fn io(path: &Path, doing: &'static str, e: &std::io::Error) -> StoreError {
    StoreError::Io { path: path.display().to_string(), doing, reason: e.to_string() }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // Only Unix lets a folder be opened and synced; elsewhere the file system keeps its own order.
    if cfg!(unix) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| io(folder, "syncing", &e))?;
    }
    Ok(())
}

/// sled's files of one folder of records, synced.
pub(super) struct Records {
    folder: PathBuf,
    log: File,
    blobs: HashSet<std::ffi::OsString>,
}

impl Records {
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOG);
        // Windows flushes only through handles that may write.
        let log = File::options().read(true).write(true).open(&path).map_err(|e| io(&path, "opening", &e))?;
        Ok(Self { folder: folder.to_path_buf(), log, blobs: HashSet::new() })
    }

    /// Syncs the log, and the blobs that were not synced before.
    pub(super) fn sync(&mut self) -> std::io::Result<()> {
        self.log.sync_data()?;
        let blobs = self.folder.join(BLOBS);
        let entries = match std::fs::read_dir(&blobs) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let before = self.blobs.len();
        for entry in entries {
            let name = entry?.file_name();
            if !self.blobs.contains(&name) {
                match File::options().read(true).write(true).open(blobs.join(&name)) {
                    Ok(file) => file.sync_all()?,
                    // sled collects blobs that nothing names any more.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(e),
                }
                self.blobs.insert(name);
            }
        }
        if self.blobs.len() > before && cfg!(unix) {
            File::open(&blobs)?.sync_all()?;
        }
        Ok(())
    }
}

struct Disk {
    settled: u64,
    witness: Witness,
    records: Records,
}

/// What is applied, what is on disk, and whether writing has failed.
pub(super) struct Durable {
    applied: AtomicU64,
    disk: Mutex<Disk>,
    poisoned: OnceLock<String>,
}

impl Durable {
    pub(super) fn new(settled: u64, witness: Witness, records: Records) -> Self {
        let disk = Mutex::new(Disk { settled, witness, records });
        Self { applied: AtomicU64::new(settled), disk, poisoned: OnceLock::new() }
    }

    /// Refuses after a failure.
    pub(super) fn check(&self, folder: &Path) -> Result<(), StoreError> {
        match self.poisoned.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Poisoned { path: folder.display().to_string(), reason: reason.clone() }),
        }
    }

    pub(super) fn poison(&self, reason: &StoreError) {
        let _ = self.poisoned.set(reason.to_string());
    }

    pub(super) fn applied(&self, write: u64) {
        self.applied.store(write, Ordering::Release);
    }

    /// The records stand in another folder now.
    pub(super) fn moved(&self, records: Records) {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).records = records;
    }

    pub(super) fn settle(&self, store: &Store, db: &sled::Db, write: u64) -> Result<(), StoreError> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if disk.settled >= write {
            return Ok(());
        }
        self.check(&store.folder)?;
        let target = self.applied.load(Ordering::Acquire);
        let settled = (|| {
            fault::point();
            store.guarded("flushing", || db.flush())?;
            fault::point();
            disk.records.sync().map_err(|e| io(&disk.records.folder, "syncing", &e))?;
            fault::point();
            disk.witness.acknowledge(target).map_err(|e| io(&store.folder, "acknowledging", &e))?;
            fault::point();
            Ok(())
        })();
        match settled {
            Ok(()) => disk.settled = target,
            // The kernel may have dropped the pages that it could not write: what is on disk is unknown.
            Err(ref e) => self.poison(e),
        }
        settled
    }
}

/// Where the crash tests end the process.
pub(super) mod fault {
    /// Ends the process at the point whose number (from 1) the environment names. Nothing outside tests.
    #[cfg(test)]
    pub(in crate::store) fn point() {
        use std::sync::atomic::{AtomicU64, Ordering};
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        let chosen = std::env::var("KITH_TEST_ABORT_AT").ok().and_then(|n| n.parse().ok());
        if chosen == Some(number) {
            std::process::abort();
        }
    }

    #[cfg(not(test))]
    pub(in crate::store) fn point() {}
}
