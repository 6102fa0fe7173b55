//! Backups of a whole database, and moving people between databases.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Database, DatabaseOptions};
use crate::error::Result;
use crate::store::{Archived, MasterKey, Store};

/// A backup that was written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// Entries in it.
    pub entries: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Entries of people forgotten since, which a restored encrypted database does not hold.
    pub forgotten: u64,
}

impl From<Archived> for BackupReport {
    fn from(done: Archived) -> Self {
        Self { entries: done.entries, bytes: done.bytes, forgotten: done.forgotten }
    }
}

impl Database {
    /// Writes the whole database, as of one moment, into one file. Searching goes on meanwhile.
    ///
    /// What is encrypted stays so, and the key ring is not in that file: without it nobody can be read, and
    /// whoever is forgotten later cannot be read any more. `ring` names where a copy of the ring goes, in
    /// place of the copy that was there. Keep one copy, the newest.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`], [`crate::error::StoreError::Damaged`],
    /// [`crate::error::StoreError::NotEncrypted`] for a ring that there is not.
    pub fn backup(&self, file: impl AsRef<Path>, ring: Option<&Path>) -> Result<BackupReport> {
        Ok(self.store.backup(file.as_ref(), ring)?.into())
    }

    /// Makes a database in a new or empty folder out of a backup; out of an encrypted one with its master
    /// key and the newest copy of its key ring (the living database's own will do).
    ///
    /// # Errors
    /// [`crate::error::StoreError::BadArchive`] for a file that is not a whole backup,
    /// [`crate::error::StoreError::NotADatabase`] when something is in the folder, and those of keys.
    pub fn restore(
        file: impl AsRef<Path>,
        folder: impl AsRef<Path>,
        key: Option<&MasterKey>,
        ring: Option<&Path>,
    ) -> Result<BackupReport> {
        Ok(Store::restore(file.as_ref(), folder.as_ref(), key, ring)?.into())
    }

    /// Gives a database another master key, encrypts it (`options.key` is none), or makes it plain (`new`
    /// is none). With another master key the data keys stay, and backups taken before open with the new
    /// ring.
    ///
    /// # Errors
    /// A [`crate::error::StoreError`]; the database is then as it was.
    pub fn rekey(path: impl AsRef<Path>, options: &DatabaseOptions, new: Option<&MasterKey>) -> Result<()> {
        let options = DatabaseOptions { create: false, ..options.clone() };
        let (store, _) = Store::open(path.as_ref(), options.mode(false))?;
        Ok(store.rekey(new)?)
    }
}
