//! When a write is durable: its frame is in the write-ahead journal, the journal is synced (`fdatasync`), then the write's
//! number goes into `acknowledged`, which is synced too. Writers that settle at the same time share one round of
//! this. sled's files are synced by nobody: they are made again from the journal.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::disk::{fault, io};
use super::witness::Witness;
use crate::error::StoreError;

struct Disk {
    settled: u64,
    witness: Witness,
    journal: File,
}

/// What is applied, what is on disk, and whether writing has failed.
pub(super) struct Durable {
    applied: AtomicU64,
    disk: Mutex<Disk>,
    poisoned: OnceLock<String>,
}

impl Durable {
    pub(super) fn new(settled: u64, witness: Witness, journal: File) -> Self {
        let disk = Mutex::new(Disk { settled, witness, journal });
        Self { applied: AtomicU64::new(settled), disk, poisoned: OnceLock::new() }
    }

    /// Refuses after a failure.
    pub(super) fn check(&self, folder: &Path) -> Result<(), StoreError> {
        match self.poisoned.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Poisoned { path: folder.display().to_string(), reason: reason.clone() }),
        }
    }

    /// Why nothing more is written, where it is so.
    pub(super) fn poisoned(&self) -> Option<&str> {
        self.poisoned.get().map(String::as_str)
    }

    pub(super) fn poison(&self, reason: &StoreError) {
        let _ = self.poisoned.set(reason.to_string());
    }

    #[cfg(feature = "serve")]
    pub(super) fn last_applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    pub(super) fn applied(&self, write: u64) {
        self.applied.store(write, Ordering::Release);
    }

    /// The journal is another file now, and is on disk up to `write`.
    pub(super) fn moved(&self, journal: File, write: u64, folder: &Path) -> Result<(), StoreError> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.journal = journal;
        self.acknowledge(&mut disk, write, folder)
    }

    fn acknowledge(&self, disk: &mut Disk, write: u64, folder: &Path) -> Result<(), StoreError> {
        if disk.settled >= write {
            return Ok(());
        }
        let noted = disk.witness.acknowledge(write).map_err(|e| io(folder, "acknowledging", &e));
        match noted {
            Ok(()) => disk.settled = write,
            Err(ref e) => self.poison(e),
        }
        noted
    }

    pub(super) fn settle(&self, folder: &Path, write: u64) -> Result<(), StoreError> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if disk.settled >= write {
            return Ok(());
        }
        self.check(folder)?;
        let target = self.applied.load(Ordering::Acquire);
        fault::point();
        if let Err(e) = disk.journal.sync_data() {
            // The kernel may have dropped the pages that it could not write: what is on disk is unknown.
            let failure = io(folder, "syncing the journal", &e);
            self.poison(&failure);
            return Err(failure);
        }
        fault::point();
        self.acknowledge(&mut disk, target, folder)?;
        fault::point();
        Ok(())
    }
}
