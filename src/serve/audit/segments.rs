//! Where the log's lines lie: rotated files, each named by the number of its first line, and the one being written.
//!
//! ```text
//! audit-00000000000000000001.jsonl   lines 1 to 9000, rotated: never written again
//! audit-00000000000000009001.jsonl   lines 9001 to 17500, rotated
//! audit.jsonl                        from line 17501 on
//! audit.head                         how many lines there are, and the SHA-256 of the last
//! audit.lock                         held by whoever writes
//! audit.jsonl.next                   the file that a rotation is about to begin; left by a crash, it is empty
//! ```

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::files::io;
use crate::error::ServeError;

/// Digits of a line's number in a file's name, so that names sort as line numbers do.
const DIGITS: usize = 20;

/// The file being written.
pub(super) fn log_in(state: &Path) -> PathBuf {
    state.join("audit.jsonl")
}

/// The head.
pub(super) fn head_in(state: &Path) -> PathBuf {
    state.join("audit.head")
}

/// Held by whoever writes, whichever file that is.
pub(super) fn lock_in(state: &Path) -> PathBuf {
    state.join("audit.lock")
}

/// The file that a rotation is about to begin.
pub(super) fn next_in(state: &Path) -> PathBuf {
    state.join("audit.jsonl.next")
}

/// The rotated file whose first line has that number.
pub(super) fn rotated_in(state: &Path, first: u64) -> PathBuf {
    state.join(format!("audit-{first:0DIGITS$}.jsonl"))
}

/// A rotated file, and the number of its first line as the name says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotated {
    pub first: u64,
    pub path: PathBuf,
}

/// The rotated files in the order of their lines.
pub(super) fn rotated(state: &Path) -> Result<Vec<Rotated>, ServeError> {
    let entries = match std::fs::read_dir(state) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io(state, "reading the folder", &e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| io(state, "reading the folder", &e))?.file_name();
        let digits = name.to_str().and_then(|n| n.strip_prefix("audit-")?.strip_suffix(".jsonl"));
        let digits = digits.filter(|d| d.len() == DIGITS && d.bytes().all(|b| b.is_ascii_digit()));
        if let Some(first) = digits.and_then(|d| d.parse().ok()) {
            found.push(Rotated { first, path: state.join(&name) });
        }
    }
    found.sort_by_key(|r| r.first);
    Ok(found)
}

/// The file being written, where there is one, opened for reading; and every rotated file before it. Where a rotation
/// comes between the two looks, both are taken again.
pub(super) fn whole(state: &Path) -> Result<(Vec<Rotated>, Option<File>), ServeError> {
    let log = log_in(state);
    loop {
        let before = rotated(state)?;
        let active = match File::open(&log) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(io(&log, "reading", &e)),
        };
        if rotated(state)? == before {
            return Ok((before, active));
        }
    }
}
