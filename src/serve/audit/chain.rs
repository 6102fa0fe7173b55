//! Reading the log: does every line follow from the one before, and is the end there?

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::files::{hex, io};
use super::{head_in, log_in};
use crate::error::ServeError;

/// The digest that the first line names.
pub(super) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Bytes of the head file: a fixed size, so that one write replaces the whole of it.
const HEAD_BYTES: usize = 128;
/// Read from the end in blocks of this many bytes.
const BLOCK: u64 = 1 << 16;

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

/// Reads a service's whole log, and holds it against its head file, and against a head that was noted
/// elsewhere.
///
/// # Errors
/// [`ServeError::AuditBroken`] that names the first line that does not fit; [`ServeError::Io`].
pub fn verify_log(state: &Path, noted: Option<&AuditHead>) -> Result<AuditReport, ServeError> {
    read_log(state, noted, |_, _| {})
}

/// [`verify_log`], which shows each line that fits to `seen`: its action, and the line.
pub(super) fn read_log(
    state: &Path,
    noted: Option<&AuditHead>,
    mut seen: impl FnMut(&str, &[u8]),
) -> Result<AuditReport, ServeError> {
    let (log, head_file) = (log_in(state), head_in(state));
    let broken = |line, what: String| ServeError::AuditBroken { path: log.display().to_string(), line, what };
    // The head first: lines that are written meanwhile come after it.
    let head = match std::fs::read_to_string(&head_file) {
        // Made, and killed before anything was written.
        Ok(text) if text.is_empty() && std::fs::metadata(&log).is_ok_and(|m| m.len() == 0) => None,
        Ok(text) => {
            let head = serde_json::from_str::<AuditHead>(text.trim());
            Some(head.map_err(|e| broken(0, format!("the head file cannot be read: {e}")))?)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(io(&head_file, "reading", &e)),
    };
    let known = head.clone().unwrap_or_else(AuditHead::empty);
    let file = match File::open(&log) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && known.lines == 0 => {
            return Ok(AuditReport { head: AuditHead::empty(), after_head: 0, torn_bytes: 0 });
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(broken(1, format!("the log is gone; it had {} lines", known.lines)));
        }
        Err(e) => return Err(io(&log, "reading", &e)),
    };
    let mut reader = BufReader::with_capacity(BLOCK as usize, file);
    let (mut end, mut torn_bytes) = (AuditHead::empty(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|e| io(&log, "reading", &e))?;
        if read == 0 {
            break;
        }
        if line.pop() != Some(b'\n') {
            torn_bytes = read as u64;
            break;
        }
        let number = end.lines + 1;
        let place: Place<'_> =
            serde_json::from_slice(&line).map_err(|e| broken(number, format!("this is no line of a log: {e}")))?;
        if place.seq != number {
            return Err(broken(number, format!("line {} stands here: lines are missing or moved", place.seq)));
        }
        if place.prev != end.sha256 {
            return Err(broken(number, "it does not follow from the line before, which was changed".to_string()));
        }
        end = AuditHead { lines: number, sha256: hex(&Sha256::digest(&line)) };
        if number == known.lines && end.sha256 != known.sha256 {
            return Err(broken(number, "it is not the line that the head file names: it was changed".to_string()));
        }
        if noted.is_some_and(|n| n.lines == number && n.sha256 != end.sha256) {
            return Err(broken(
                number,
                "it is not the line that was noted: it, or one before, was changed".to_string(),
            ));
        }
        seen(&place.action, &line);
    }
    if head.is_none() && end.lines > 0 {
        return Err(broken(end.lines, "the head file is gone, so a missing end would not show".to_string()));
    }
    let least = known.lines.max(noted.map_or(0, |n| n.lines));
    if end.lines < least {
        let what = format!("the log ends here; it had {least} lines");
        return Err(broken(end.lines + 1, what));
    }
    Ok(AuditReport { after_head: end.lines - known.lines, head: end, torn_bytes })
}

/// The last lines of a service's log, newest first: at most `limit`, and only those before line `before`.
///
/// # Errors
/// [`ServeError::Io`].
pub fn last_lines(state: &Path, before: Option<u64>, limit: usize) -> Result<Vec<Value>, ServeError> {
    let log = log_in(state);
    let failed = |e: std::io::Error| io(&log, "reading", &e);
    let mut file = match File::open(&log) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut at = file.metadata().map_err(failed)?.len();
    let mut found = Vec::new();
    // The beginning of a line whose end has been read already.
    let mut tail: Vec<u8> = Vec::new();
    let mut torn = true;
    while at > 0 && found.len() < limit {
        let size = BLOCK.min(at);
        at -= size;
        let mut block = vec![0; size as usize];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut block)).map_err(failed)?;
        block.append(&mut tail);
        let mut pieces: Vec<&[u8]> = block.split(|b| *b == b'\n').collect();
        let first = if at > 0 { pieces.remove(0).to_vec() } else { Vec::new() };
        for piece in pieces.into_iter().rev() {
            // What stands after the last line end is no line yet.
            if std::mem::take(&mut torn) || piece.is_empty() {
                continue;
            }
            let Ok(value) = serde_json::from_slice::<Value>(piece) else { continue };
            let seq = value["seq"].as_u64().unwrap_or(u64::MAX);
            if before.is_none_or(|b| seq < b) {
                found.push(value);
                if found.len() == limit {
                    break;
                }
            }
        }
        tail = first;
    }
    Ok(found)
}
