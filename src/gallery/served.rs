//! What whoever answers for a database in this process has to know of it.

use std::path::Path;

use super::Database;
use crate::error::StoreError;

impl Database {
    /// The database's folder, as it was named when it was opened.
    pub(crate) fn folder(&self) -> &Path {
        self.store.folder()
    }

    /// Whether it is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.store.is_encrypted()
    }

    /// Whether somebody who proves that they know a key, or says that they have none, could open this database.
    ///
    /// # Errors
    /// As on opening: [`StoreError::KeyNeeded`], [`StoreError::WrongKey`], [`StoreError::NotEncrypted`].
    pub(crate) fn check_proof(&self, challenge: &[u8; 32], proof: Option<&[u8]>) -> Result<(), StoreError> {
        self.store.check_proof(challenge, proof)
    }
}
