//! The log's files as one process writes them: lines are appended and made durable together with the head that names
//! them.
//!
//! 1. What was written and could not be made durable is taken back before anything else is written.
//! 2. Before each write the files are looked at: a log that is no longer the file that was opened, or no longer as
//!    long as it was left, is not written to, and nothing is acknowledged.
//! 3. A full file is renamed after its first line, and an empty one takes its place. A crash between the two leaves
//!    no file being written, which opening makes anew; the chain and the head go on as they were.

use std::fs::{File, TryLockError};
use std::io::{Result as IoResult, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::super::files::{Identity, create_private, io, open_private, sync_folder};
use super::chain::{AuditHead, read_log};
use super::event::Event;
use super::noted::Noted;
use super::segments::{head_in, lock_in, log_in, next_in, rotated_in};
use crate::error::ServeError;
use crate::files::hex;

/// Between two tries to get hold of the log.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes after which the log goes on in a new file, when nothing else is said.
pub const ROTATE_BYTES: u64 = 64 << 20;
/// Bytes that must be free before a log that was full takes lines again.
const ROOM: usize = 64 << 10;
/// Bounds of what can be said.
const ROTATION: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 40;

/// Whether files of at most that many bytes can be kept.
pub(in super::super) fn check_rotation(bytes: u64) -> Result<(), ServeError> {
    if ROTATION.contains(&bytes) {
        return Ok(());
    }
    let (least, most) = (ROTATION.start(), ROTATION.end());
    let expected = format!("bytes of one file of the audit log, {least} to {most}");
    Err(ServeError::BadOption { option: "audit_bytes".to_string(), received: bytes.to_string(), expected })
}

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
    state: PathBuf,
    /// Locked as long as the log is held.
    _lock: File,
    file: File,
    head_file: File,
    pub head: AuditHead,
    /// Length of the file up to the last acknowledged line.
    length: u64,
    /// Number of the file's first line.
    first: u64,
    /// Length beyond which a new file is begun.
    rotate_bytes: u64,
    /// Whether the files may hold more than what was acknowledged.
    dirty: bool,
    /// Whether the files' names may not outlive a crash.
    unnamed: bool,
    /// What the lines say of the keys, by id.
    pub keys: Noted,
}

impl Log {
    /// Opens the log, or makes it; what is there is read and verified first. `patience` is how long another
    /// process may still hold it.
    ///
    /// # Errors
    /// [`ServeError::AuditHeld`], [`ServeError::AuditBroken`], [`ServeError::Io`].
    pub(super) fn open(state: &Path, patience: Duration, rotate_bytes: u64) -> Result<Self, ServeError> {
        let (path, head_path) = (log_in(state), head_in(state));
        let lock = held(&lock_in(state), patience)?;
        // Before anything is made: a log or a head that is gone is found so.
        if !(path.exists() && head_path.exists()) {
            read_log(state, None, |_, _| {})?;
        }
        let _ = std::fs::remove_file(next_in(state));
        let (mut file, head_file) = (open_private(&path)?, open_private(&head_path)?);
        let mut keys = Noted::default();
        let read = read_log(state, None, |action, line| keys.read(action, line))?;
        let whole = file.seek(SeekFrom::End(0)).map_err(|e| io(&path, "reading", &e))?;
        let length = whole - read.report.torn_bytes.min(whole);
        let mut log = Self {
            state: state.to_path_buf(),
            _lock: lock,
            file,
            head_file,
            head: read.report.head,
            length,
            first: read.first,
            rotate_bytes,
            dirty: true,
            unnamed: true,
            keys,
        };
        // A line that was cut off when the service was killed was never acknowledged.
        log.settle().map_err(|e| io(&path, "cutting off a torn line and writing the head", &e))?;
        Ok(log)
    }

    fn write_head(&mut self, head: &AuditHead) -> IoResult<()> {
        self.head_file.seek(SeekFrom::Start(0))?;
        self.head_file.write_all(&head.to_bytes())?;
        self.head_file.sync_data()
    }

    /// Takes back what is beyond the last acknowledged line, and makes the names durable.
    fn settle(&mut self) -> IoResult<()> {
        if self.dirty {
            self.file.set_len(self.length)?;
            self.file.sync_data()?;
            self.write_head(&self.head.clone())?;
            self.dirty = false;
        }
        if self.unnamed {
            sync_folder(&log_in(&self.state)).map_err(std::io::Error::other)?;
            self.unnamed = false;
        }
        Ok(())
    }

    /// Why the log is not where and what it was when it was last written; nothing where it is.
    pub(super) fn displaced(&self) -> Option<String> {
        let gone = |path: &Path, file: &File| {
            let open = file.metadata().map(|m| (Identity::of(&m), m.len()));
            let there = std::fs::symlink_metadata(path).map(|m| Identity::of(&m));
            let name = path.file_name().unwrap_or_default().display();
            match (open, there) {
                (Ok((open, length)), Ok(there)) if open == there => Ok(length),
                _ => {
                    Err(format!("{name} was moved, deleted or replaced while the service ran; put it back, or restart"))
                }
            }
        };
        let length = match gone(&log_in(&self.state), &self.file) {
            Ok(length) => length,
            Err(why) => return Some(why),
        };
        if !self.dirty && length != self.length {
            return Some("audit.jsonl was cut or written to by something else; keep it as evidence".to_string());
        }
        gone(&head_in(&self.state), &self.head_file).err()
    }

    /// Whether there is room for many more lines, so that a log that was full does not take one, and then no other.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn has_room(&mut self) -> Result<(), String> {
        if let Some(why) = self.displaced() {
            return Err(why);
        }
        self.settle().map_err(|e| e.to_string())?;
        self.dirty = true;
        // Cut off again below; after a crash, as a line that was never finished.
        let tried = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&[b' '; ROOM]))
            .and_then(|()| self.file.sync_data());
        let settled = self.settle();
        tried.and(settled).map_err(|e| e.to_string())
    }

    /// Puts the events into the log, on disk: all of them or none. The number of the first one's line.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn append<'a>(&mut self, events: impl Iterator<Item = &'a Event>) -> Result<u64, String> {
        if let Some(why) = self.displaced() {
            return Err(why);
        }
        self.settle().map_err(|e| e.to_string())?;
        let (mut text, mut head) = (Vec::new(), self.head.clone());
        for event in events {
            let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            let line = Line { seq: head.lines + 1, at, prev: &head.sha256, event: &event.bounded() };
            let line = serde_json::to_vec(&line).map_err(|e| e.to_string())?;
            head = AuditHead { lines: head.lines + 1, sha256: hex(&Sha256::digest(&line)) };
            text.extend(line);
            text.push(b'\n');
        }
        if self.length > 0 && self.length + text.len() as u64 > self.rotate_bytes {
            // Where there is no room for a new file there may be some in the old one.
            if let Err(e) = self.rotate() {
                tracing::error!(error = %e, "the audit log cannot go on in a new file");
            }
            self.settle().map_err(|e| e.to_string())?;
        }
        self.dirty = true;
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&text))
            .and_then(|()| self.file.sync_data())
            .and_then(|()| self.write_head(&head));
        if let Err(e) = written {
            // Both ends go back now where they can, else before the next try.
            let _ = self.settle();
            return Err(e.to_string());
        }
        self.dirty = false;
        self.length += text.len() as u64;
        let first = self.head.lines + 1;
        self.head = head;
        Ok(first)
    }

    /// Renames the file after its first line, and goes on in a new one.
    fn rotate(&mut self) -> IoResult<()> {
        let (path, next) = (log_in(&self.state), next_in(&self.state));
        let full = rotated_in(&self.state, self.first);
        if full.symlink_metadata().is_ok() {
            return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, format!("{} is there", full.display())));
        }
        let file = create_private(&next)?;
        std::fs::rename(&path, &full)?;
        if let Err(e) = std::fs::rename(&next, &path) {
            let _ = std::fs::rename(&full, &path);
            return Err(e);
        }
        (self.file, self.length, self.first, self.unnamed) = (file, 0, self.head.lines + 1, true);
        Ok(())
    }
}

/// The lock, once nobody else has it.
fn held(path: &Path, patience: Duration) -> Result<File, ServeError> {
    let lock = open_private(path)?;
    let until = Instant::now() + patience;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(ServeError::AuditHeld { path: path.display().to_string() }),
            Err(TryLockError::Error(e)) => return Err(io(path, "locking", &e)),
        }
    }
}
