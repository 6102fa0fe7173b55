//! Reading the log: does every line follow from the one before, and is the end there?

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::files::io;
use super::segments::{head_in, log_in, whole};
use crate::error::ServeError;
use crate::files::hex;

/// The digest that the first line names.
pub(super) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Bytes of the head file: a fixed size, so that one write replaces the whole of it.
const HEAD_BYTES: usize = 128;
/// Read in blocks of this many bytes.
const BLOCK: usize = 1 << 16;

/// How long the log is, and the digest of its last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Lines.
    pub lines: u64,
    /// SHA-256 of the last line, in hex digits; zeros where there is none.
    pub sha256: String,
}

impl AuditHead {
    pub(super) fn empty() -> Self {
        Self { lines: 0, sha256: NOTHING.to_string() }
    }

    /// As it stands in its file: JSON, with spaces and a line end up to a fixed size.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let text = format!("{{\"lines\":{},\"sha256\":\"{}\"}}", self.lines, self.sha256);
        format!("{text:<width$}\n", width = HEAD_BYTES - 1).into_bytes()
    }
}

/// What a look at the whole log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The log's end, as it is.
    pub head: AuditHead,
    /// Files that the lines lie in: those that were full, and the one being written.
    pub files: u64,
    /// Whole lines after the end that the head file names: written and not acknowledged when the service
    /// was killed, or being written now.
    pub after_head: u64,
    /// Bytes after the last whole line: likewise.
    pub torn_bytes: u64,
}

/// What a line says of its place.
#[derive(Deserialize)]
struct Place<'a> {
    seq: u64,
    prev: String,
    #[serde(borrow, default)]
    action: Cow<'a, str>,
}

/// Reads a service's whole log, rotated files first, and holds it against its head file, and against a head that was
/// noted elsewhere.
///
/// # Errors
/// [`ServeError::AuditBroken`] that names the first line that does not fit; [`ServeError::Io`].
pub fn verify_log(state: &Path, noted: Option<&AuditHead>) -> Result<AuditReport, ServeError> {
    read_log(state, noted, |_, _| {}).map(|read| read.report)
}

/// The log as it was read.
pub(super) struct ReadLog {
    pub report: AuditReport,
    /// Number of the first line of the file being written, whether it is there yet or not.
    pub first: u64,
}

/// [`verify_log`], which shows each line that fits to `seen`: its action, and the line.
pub(super) fn read_log(
    state: &Path,
    noted: Option<&AuditHead>,
    seen: impl FnMut(&str, &[u8]),
) -> Result<ReadLog, ServeError> {
    let log = log_in(state);
    // The head first: lines that are written meanwhile come after it.
    let known = head_of(state)?;
    let (rotated, active) = whole(state)?;
    let files = rotated.len() as u64 + u64::from(active.is_some());
    let missing = active.is_none();
    let mut walk = Walk { known: known.as_ref(), noted, end: AuditHead::empty(), torn_bytes: 0, seen };
    for (i, file) in rotated.iter().enumerate() {
        let lines = walk.end.lines;
        if file.first != lines + 1 {
            let what = format!("the file before {} ends here; lines are missing", file.path.display());
            return Err(broken(&rotated[i.saturating_sub(1)].path, lines + 1, what));
        }
        walk.through(&file.path, File::open(&file.path).map_err(|e| io(&file.path, "reading", &e))?)?;
        if walk.torn_bytes > 0 {
            return Err(broken(&file.path, walk.end.lines + 1, "the line is cut off, and others follow".to_string()));
        }
    }
    let first = walk.end.lines + 1;
    if let Some(file) = active {
        walk.through(&log, file)?;
    }
    let Walk { end, torn_bytes, .. } = walk;
    if known.is_none() && end.lines > 0 {
        let what = "the head file is gone, so a missing end would not show".to_string();
        return Err(broken(&log, end.lines, what));
    }
    let known = known.map_or(0, |k| k.lines);
    let least = known.max(noted.map_or(0, |n| n.lines));
    if end.lines < least {
        let what = match missing {
            true => format!("the file is gone; the log had {least} lines"),
            false => format!("the log ends here; it had {least} lines"),
        };
        return Err(broken(&log, end.lines + 1, what));
    }
    let report = AuditReport { after_head: end.lines - known, head: end, files, torn_bytes };
    Ok(ReadLog { report, first })
}

fn broken(path: &Path, line: u64, what: String) -> ServeError {
    ServeError::AuditBroken { path: path.display().to_string(), line, what }
}

/// What the head file says; nothing where there is none yet.
fn head_of(state: &Path) -> Result<Option<AuditHead>, ServeError> {
    let (log, head_file) = (log_in(state), head_in(state));
    match std::fs::read_to_string(&head_file) {
        // Made, and killed before anything was written.
        Ok(text) if text.is_empty() && std::fs::metadata(&log).is_ok_and(|m| m.len() == 0) => Ok(None),
        Ok(text) => {
            let head = serde_json::from_str::<AuditHead>(text.trim());
            Ok(Some(head.map_err(|e| broken(&log, 0, format!("the head file cannot be read: {e}")))?))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io(&head_file, "reading", &e)),
    }
}

/// The chain from its first line on, over one file after the other.
struct Walk<'a, S> {
    known: Option<&'a AuditHead>,
    noted: Option<&'a AuditHead>,
    end: AuditHead,
    /// Bytes after the last whole line of the last file.
    torn_bytes: u64,
    seen: S,
}

impl<S: FnMut(&str, &[u8])> Walk<'_, S> {
    fn through(&mut self, path: &Path, file: File) -> Result<(), ServeError> {
        let mut reader = BufReader::with_capacity(BLOCK, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|e| io(path, "reading", &e))?;
            if read == 0 {
                return Ok(());
            }
            if line.pop() != Some(b'\n') {
                self.torn_bytes = read as u64;
                return Ok(());
            }
            self.line(&line).map_err(|what| broken(path, self.end.lines + 1, what))?;
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let number = self.end.lines + 1;
        let place: Place<'_> = serde_json::from_slice(line).map_err(|e| format!("this is no line of a log: {e}"))?;
        if place.seq != number {
            return Err(format!("line {} stands here: lines are missing or moved", place.seq));
        }
        if place.prev != self.end.sha256 {
            return Err("it does not follow from the line before, which was changed".to_string());
        }
        let sha256 = hex(&Sha256::digest(line));
        let differs = |other: Option<&AuditHead>| other.is_some_and(|o| o.lines == number && o.sha256 != sha256);
        if differs(self.known) {
            return Err("it is not the line that the head file names: it was changed".to_string());
        }
        if differs(self.noted) {
            return Err("it is not the line that was noted: it, or one before, was changed".to_string());
        }
        (self.seen)(&place.action, line);
        self.end = AuditHead { lines: number, sha256 };
        Ok(())
    }
}
