//! Backups of a whole database, and moving people between databases.

use std::path::Path;

use serde::Serialize;

use super::Database;
use crate::error::Result;
use crate::store::Store;

/// A backup that was written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// Entries in it.
    pub entries: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Database {
    /// Writes the whole database, as of one moment, into one file. Searching goes on meanwhile.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`], [`crate::error::StoreError::Damaged`].
    pub fn backup(&self, file: impl AsRef<Path>) -> Result<Backup> {
        let done = self.store.backup(file.as_ref())?;
        Ok(Backup { entries: done.entries, bytes: done.bytes })
    }

    /// Makes a database in a new or empty folder out of a backup.
    ///
    /// # Errors
    /// [`crate::error::StoreError::BadArchive`] for a file that is not a whole backup,
    /// [`crate::error::StoreError::NotADatabase`] when something is in the folder.
    pub fn restore(file: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<Backup> {
        let done = Store::restore(file.as_ref(), folder.as_ref())?;
        Ok(Backup { entries: done.entries, bytes: done.bytes })
    }
}
