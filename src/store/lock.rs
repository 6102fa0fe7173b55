//! One process at a time: a lock that the operating system drops when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::files;

pub(super) const NAME: &str = "LOCK";
/// How often a waiting process looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// None on a disk that nobody can write to, where there is none to hold.
    file: Option<File>,
    /// Why the folder cannot be written, where it cannot.
    read_only: Option<String>,
}

impl Drop for Lock {
    /// Said, not left to the closing of the file: while another thread starts a process, that process has a
    /// copy of every descriptor until it is its own program, and a copy keeps the lock.
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = file.unlock();
        }
    }
}

impl Lock {
    /// Takes the lock, waiting for it for at most `wait`. Where the folder may only be read, the file that is there is
    /// locked all the same, and none is needed where there is none.
    pub(super) fn take(folder: &Path, wait: Duration) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let failed = |e: std::io::Error| super::disk::failed(&path, "taking the lock", &e);
        let start = Instant::now();
        let (mut file, read_only) = loop {
            let (mut file, read_only) = match files::open_private(&path) {
                Ok(file) => (file, None),
                Err(e) if matches!(e.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => {
                    let read_only = Some(e.to_string());
                    match File::open(&path) {
                        Ok(file) => (file, read_only),
                        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self { file: None, read_only }),
                        Err(e) => return Err(failed(e)),
                    }
                }
                Err(e) => return Err(failed(e)),
            };
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => break (file, read_only),
                // Whoever had it before took it away.
                Ok(()) => {}
                Err(TryLockError::Error(e)) => return Err(failed(e)),
                Err(TryLockError::WouldBlock) if start.elapsed() < wait => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder);
                    let holder = holder.trim();
                    let holder = if holder.is_empty() { "another process" } else { holder };
                    let path = folder.display().to_string();
                    return Err(StoreError::Locked { path, holder: holder.to_string() });
                }
            }
        };
        // The name is for whoever meets the lock; that it is held matters, not that it is legible.
        let program = std::env::args().next().unwrap_or_default();
        let command = std::env::args().nth(1).unwrap_or_default();
        let name = Path::new(&program).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let holder = format!("process {} ({name} {command})", std::process::id());
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{holder}"));
        Ok(Self { file: Some(file), read_only })
    }

    /// Why the folder cannot be written, where it cannot.
    pub(super) fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }
}

/// Whether the open file is the one that has this name now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_lock_is_free_though_a_copy_of_its_descriptor_lives() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path(), Duration::ZERO).unwrap();
        let copy = lock.file.as_ref().unwrap().try_clone().unwrap();
        let refused = Lock::take(folder.path(), Duration::ZERO).unwrap_err();
        assert_eq!(refused.code(), "store.locked");
        drop(lock);
        Lock::take(folder.path(), Duration::ZERO).unwrap();
        drop(copy);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_whose_file_was_taken_away_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let lock = Lock::take(&path, Duration::ZERO).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Lock::take(&path, Duration::from_secs(20)).unwrap()
        });
        std::thread::sleep(4 * PAUSE);
        std::fs::remove_file(path.join(NAME)).unwrap();
        drop(lock);
        let held = waiting.join().unwrap();
        assert_eq!(Lock::take(&path, Duration::ZERO).unwrap_err().code(), "store.locked", "both would have it");
        drop(held);
    }
}
