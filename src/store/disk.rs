//! Failures of the disk as errors of the store, and where the crash tests end the process.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::StoreError;
use crate::files;

/// An error of the file system.
pub(super) fn io(path: &Path, doing: &'static str, e: &io::Error) -> StoreError {
    StoreError::Io { path: path.display().to_string(), doing, reason: e.to_string() }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    files::sync_folder(folder).map_err(|e| io(folder, "syncing", &e))
}

/// An error of the file system, told apart where the cause is that there is no room.
pub(super) fn failed(path: &Path, doing: &'static str, e: &io::Error) -> StoreError {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match e.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => StoreError::Full { path: path.display().to_string(), doing },
        _ => io(path, doing, e),
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
