//! One process at a time: a lock that the operating system drops when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::durable::io;
use crate::error::StoreError;

pub(super) const NAME: &str = "LOCK";
/// How often a waiting process looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Said, not left to the closing of the file: while another thread starts a process, that process has a
    /// copy of every descriptor until it is its own program, and a copy keeps the lock.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock, waiting for it for at most `wait`.
    pub(super) fn take(folder: &Path, wait: Duration) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let failed = |e: std::io::Error| io(&path, "taking the lock", &e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
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
        }
        // The name is for whoever meets the lock; that it is held matters, not that it is legible.
        let program = std::env::args().next().unwrap_or_default();
        let command = std::env::args().nth(1).unwrap_or_default();
        let name = Path::new(&program).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let holder = format!("process {} ({name} {command})", std::process::id());
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{holder}"));
        Ok(Self { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_lock_is_free_though_a_copy_of_its_descriptor_lives() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path(), Duration::ZERO).unwrap();
        let copy = lock.file.try_clone().unwrap();
        let refused = Lock::take(folder.path(), Duration::ZERO).unwrap_err();
        assert_eq!(refused.code(), "store.locked");
        drop(lock);
        Lock::take(folder.path(), Duration::ZERO).unwrap();
        drop(copy);
    }
}
