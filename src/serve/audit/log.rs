//! The log's two files: lines are appended and made durable together with the head that names them.
//!
//! What was written and could not be made durable is taken back; where even that fails, nothing more is written.

use std::fs::{File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::super::files::{hex, io, private, sync_folder};
use super::chain::{AuditHead, read_log};
use super::event::Event;
use super::key_changes::Noted;
use super::{head_in, log_in};
use crate::error::ServeError;

/// Between two tries to get hold of the log.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: String,
    prev: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

/// The files of the log, held by one process.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    head_file: File,
    pub head: AuditHead,
    /// Length of the file up to the last acknowledged line.
    length: u64,
    broken: bool,
    /// What the lines say of the keys, by id.
    pub keys: Noted,
}

impl Log {
    /// Opens the log, or makes it; what is there is read and verified first. `patience` is how long another
    /// process may still hold it.
    ///
    /// # Errors
    /// [`ServeError::AuditHeld`], [`ServeError::AuditBroken`], [`ServeError::Io`].
    pub(super) fn open(state: &Path, patience: Duration) -> Result<Self, ServeError> {
        let (path, head_path) = (log_in(state), head_in(state));
        let open = |path: &Path| {
            private()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(|e| io(path, "opening", &e))
        };
        // Before anything is made: a log or a head that is gone is found so.
        if !(path.exists() && head_path.exists()) {
            read_log(state, None, |_, _| {})?;
        }
        let (mut file, head_file) = (open(&path)?, open(&head_path)?);
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(ServeError::AuditHeld { path: path.display().to_string() });
                }
                Err(TryLockError::Error(e)) => return Err(io(&path, "locking", &e)),
            }
        }
        let mut keys = Noted::default();
        let report = read_log(state, None, |action, line| keys.read(action, line))?;
        let whole = file.seek(SeekFrom::End(0)).map_err(|e| io(&path, "reading", &e))?;
        let length = whole - report.torn_bytes.min(whole);
        let mut log = Self { path, file, head_file, head: report.head, length, broken: false, keys };
        // A line that was cut off when the service was killed was never acknowledged.
        log.file.set_len(length).map_err(|e| io(&log.path, "cutting off a torn line", &e))?;
        log.write_head(&log.head.clone()).map_err(|e| io(&head_path, "writing", &e))?;
        sync_folder(&log.path)?;
        Ok(log)
    }

    fn write_head(&mut self, head: &AuditHead) -> std::io::Result<()> {
        self.head_file.seek(SeekFrom::Start(0))?;
        self.head_file.write_all(&head.to_bytes())?;
        self.head_file.sync_data()
    }

    /// Whether the events are in the log, on disk: all of them or none.
    pub(super) fn append<'a>(&mut self, events: impl Iterator<Item = &'a Event>) -> bool {
        if self.broken {
            return false;
        }
        let (mut text, mut head) = (Vec::new(), self.head.clone());
        for event in events {
            let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            let line = Line { seq: head.lines + 1, at, prev: &head.sha256, event };
            let Ok(line) = serde_json::to_vec(&line) else { return false };
            head = AuditHead { lines: head.lines + 1, sha256: hex(&Sha256::digest(&line)) };
            text.extend(line);
            text.push(b'\n');
        }
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&text))
            .and_then(|()| self.file.sync_data())
            .and_then(|()| self.write_head(&head));
        match written {
            Ok(()) => {
                self.length += text.len() as u64;
                self.head = head;
                true
            }
            Err(e) => {
                tracing::error!(error = %e, path = %self.path.display(), "the audit log cannot be written");
                // Both ends go back, so that the next try starts from what was acknowledged.
                let back = self.file.set_len(self.length).and_then(|()| self.write_head(&self.head.clone()));
                self.broken = back.is_err();
                false
            }
        }
    }
}
