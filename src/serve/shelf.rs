//! The photo library as the service shows it: read once, and again when the database has been written to.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{Album, Database, Library, Result};

/// What was read last, and whose turn it is to change.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The number of the database's last write when the album was read.
    read: Mutex<Option<(u64, Arc<Album>)>>,
    /// A correction reads groups, changes them and writes them: two at once would lose one.
    changing: Mutex<()>,
}

impl Shelf {
    /// The library as it is now. Those who ask while it is read wait for the one reading.
    pub(super) fn album(&self, database: &Database) -> Result<Arc<Album>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it is read: what is written meanwhile has it read again.
        let writes = database.writes();
        if let Some((_, album)) = read.as_ref().filter(|(at, _)| *at == writes) {
            return Ok(album.clone());
        }
        let album = Arc::new(Library::of(database).album()?);
        *read = Some((writes, album.clone()));
        Ok(album)
    }

    /// Changes the library, one change after another.
    pub(super) fn change<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}
