//! The file of what is known of writes that may be sent again: `answers.log` in the service's folder, private to its
//! owner. It holds names of people and ids of faces, as answers do, and never a photo or a template.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | CRC-32 of the JSON, in hex digits |
//! | 1 | a space |
//! | rest of the line | JSON: [`Line`] |
//!
//! 1. What is appended is durable before that is acknowledged, where it must be; lines that wait share an fsync.
//! 2. Of a slot the last line counts. A line that does not fit its CRC is passed over; one that was cut off when the
//!    service was killed was never acknowledged.
//! 3. A file twice as large as what it says is written again without what is over, beside and renamed. So is one that
//!    could not be appended to: after a failed fsync nothing else makes its lines durable.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::super::files::{io, open_private, write_private};
use crate::error::ServeError;
use crate::files::now_ms;

const NAME: &str = "answers.log";
/// How long a key is remembered.
pub(super) const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Keys that are remembered, and bytes for them; beyond these the oldest of those that are done go.
pub(super) const MOST: usize = 20_000;
pub(super) const MOST_BYTES: usize = 32 << 20;
/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Lines that share an fsync, at most.
const TOGETHER: usize = 256;
/// A file below this is not written again for its size.
const SMALL: u64 = 1 << 20;

/// Which write of which caller: a digest.
pub(super) type Slot = [u8; 32];

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// It was begun.
    Begun,
    /// It is done, and was answered with this status and text.
    Done { status: u16, answer: String },
    /// It was refused: nothing was changed.
    Dropped,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub slot: Slot,
    /// SHA-256 of the request's body.
    pub body: [u8; 32],
    /// When it was begun: milliseconds since 1970.
    pub since_ms: u64,
    /// Number of the database's last write before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<u64>,
    pub what: What,
}

impl Line {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        let json = serde_json::to_vec(self).ok()?;
        let mut bytes = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
        bytes.extend(json);
        bytes.push(b'\n');
        Some(bytes)
    }

    fn from_bytes(line: &[u8]) -> Option<Self> {
        let (crc, json) = (std::str::from_utf8(line.get(..8)?).ok()?, line.get(9..)?);
        let fits = line[8] == b' ' && u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(json);
        fits.then(|| serde_json::from_slice(json).ok()).flatten()
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) > LIFE.as_millis() as u64
    }

    /// Bytes that it takes to keep.
    pub(super) fn weight(&self) -> usize {
        match &self.what {
            What::Done { answer, .. } => size_of::<Self>() + answer.len(),
            What::Begun | What::Dropped => size_of::<Self>(),
        }
    }
}

/// What the lines come to: the last of each slot, without what is over, oldest first.
fn read_lines(bytes: &[u8], now_ms: u64) -> Vec<Line> {
    let (mut last, mut damaged) = (HashMap::new(), 0);
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    for line in bytes[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        match Line::from_bytes(line) {
            Some(line) => drop(last.insert(line.slot, line)),
            None => damaged += 1,
        }
    }
    if damaged > 0 {
        tracing::error!(damaged, "{NAME} has lines that cannot be read: what they said of repeated writes is lost");
    }
    let mut lines: Vec<Line> = last.into_values().filter(|l| l.what != What::Dropped && !l.is_over(now_ms)).collect();
    lines.sort_by_key(|l| (l.since_ms, l.slot));
    // Those beyond the bounds go oldest first.
    let (mut count, mut weight) = (lines.len(), lines.iter().map(Line::weight).sum::<usize>());
    lines.retain(|l| {
        let kept = count <= MOST && weight <= MOST_BYTES;
        (count, weight) = if kept { (count, weight) } else { (count - 1, weight - l.weight()) };
        kept
    });
    lines
}

/// The file, held by the thread that writes it.
#[derive(Debug)]
struct Answers {
    path: PathBuf,
    file: File,
    /// Up to the last acknowledged line.
    length: u64,
    /// At which length the file is written again.
    rewrite_at: u64,
    broken: bool,
}

impl Answers {
    fn open(state: &Path) -> Result<(Self, Vec<Line>), ServeError> {
        let path = state.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(io(&path, "reading", &e)),
        };
        let lines = read_lines(&bytes, now_ms());
        let (file, length) = Self::write(&path, &lines)?;
        Ok((Self { path, file, length, rewrite_at: (2 * length).max(SMALL), broken: false }, lines))
    }

    /// Writes the whole file, and opens it to be appended to.
    fn write(path: &Path, lines: &[Line]) -> Result<(File, u64), ServeError> {
        let bytes: Vec<u8> = lines.iter().filter_map(Line::to_bytes).flatten().collect();
        write_private(path, &bytes)?;
        let file = open_private(path)?;
        Ok((file, bytes.len() as u64))
    }

    /// Writes the file again, without what is over and what was not acknowledged.
    fn rewrite(&mut self) {
        let mut bytes = Vec::new();
        let read =
            self.file.seek(SeekFrom::Start(0)).and_then(|_| (&self.file).take(self.length).read_to_end(&mut bytes));
        let lines = read_lines(&bytes, now_ms());
        match read.map_err(|e| io(&self.path, "reading", &e)).and_then(|_| Self::write(&self.path, &lines)) {
            Ok((file, length)) => {
                (self.file, self.length, self.broken) = (file, length, false);
                self.rewrite_at = (2 * length).max(SMALL);
            }
            Err(e) => {
                tracing::error!(error = %e, "the answers of writes cannot be written again");
                self.rewrite_at = self.length + SMALL;
            }
        }
    }

    /// Whether the bytes are in the file, and on disk where `sync` asks for that: all of them or none.
    fn append(&mut self, bytes: &[u8], sync: bool) -> bool {
        if self.broken || self.length > self.rewrite_at {
            self.rewrite();
        }
        if self.broken {
            return false;
        }
        let end = SeekFrom::Start(self.length);
        let written = self.file.seek(end).and_then(|_| self.file.write_all(bytes));
        match written.and_then(|()| if sync { self.file.sync_data() } else { Ok(()) }) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                true
            }
            Err(e) => {
                tracing::error!(error = %e, path = %self.path.display(), "the answers of writes cannot be stored");
                let _ = self.file.set_len(self.length);
                self.broken = true;
                false
            }
        }
    }
}

struct Entry {
    bytes: Vec<u8>,
    sync: bool,
    done: oneshot::Sender<bool>,
}

fn write_all(mut answers: Answers, receiver: &Receiver<Entry>) {
    while let Ok(first) = receiver.recv() {
        let together: Vec<Entry> = std::iter::once(first).chain(receiver.try_iter().take(TOGETHER - 1)).collect();
        let bytes: Vec<u8> = together.iter().flat_map(|e| e.bytes.iter().copied()).collect();
        let written = answers.append(&bytes, together.iter().any(|e| e.sync));
        for entry in together {
            let _ = entry.done.send(written);
        }
    }
}

/// The file, and the thread that writes it.
#[derive(Debug)]
pub(super) struct Journal {
    sender: Mutex<Option<SyncSender<Entry>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the file or makes it, and what it says.
    ///
    /// # Errors
    /// [`ServeError::Io`].
    pub(super) fn open(state: &Path) -> Result<(Self, Vec<Line>), ServeError> {
        let (answers, lines) = Answers::open(state)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("kith-answers".to_string())
            .spawn(move || write_all(answers, &receiver))
            .map_err(|e| io(state, "starting the thread of the answers", &e))?;
        Ok((Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) }, lines))
    }

    /// Whether the line is in the file, and on disk where `sync` asks for that.
    pub(super) async fn append(&self, line: &Line, sync: bool) -> bool {
        let Some(bytes) = line.to_bytes() else { return false };
        let (done, told) = oneshot::channel();
        let sent = {
            let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
            sender.as_ref().is_some_and(|s| s.try_send(Entry { bytes, sync, done }).is_ok())
        };
        sent && told.await.unwrap_or(false)
    }

    /// Takes no more, and returns when what it has is written.
    pub(super) fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slot: u8, since_ms: u64, what: What) -> Line {
        Line { slot: [slot; 32], body: [7; 32], since_ms, writes: Some(4), what }
    }

    fn done(text: &str) -> What {
        What::Done { status: 201, answer: text.to_string() }
    }

    #[test]
    fn wherever_the_file_is_cut_off_each_write_is_known_as_far_as_it_was_acknowledged() {
        let now = now_ms();
        let lines = [
            line(1, now, What::Begun),
            line(2, now, What::Begun),
            line(1, now, done("{\"name\":\"Ada\"}")),
            line(2, now, What::Dropped),
            line(3, now, What::Begun),
        ];
        let parts: Vec<Vec<u8>> = lines.iter().map(|l| l.to_bytes().unwrap()).collect();
        let whole = parts.concat();
        let ends: Vec<usize> = parts
            .iter()
            .scan(0, |end, part| {
                *end += part.len();
                Some(*end)
            })
            .collect();
        for cut in 0..=whole.len() {
            let acknowledged = ends.iter().filter(|end| **end <= cut).count();
            let mut expected: HashMap<Slot, &Line> = HashMap::new();
            for line in &lines[..acknowledged] {
                expected.insert(line.slot, line);
            }
            expected.retain(|_, l| l.what != What::Dropped);
            let read = read_lines(&whole[..cut], now);
            assert_eq!(read.len(), expected.len(), "cut off at {cut}");
            assert!(read.iter().all(|l| expected[&l.slot] == l), "cut off at {cut}");
        }
        // A flipped bit costs its own line alone.
        for flipped in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[flipped] ^= 1;
            let read = read_lines(&damaged, now);
            assert!(read.iter().all(|l| lines.contains(l)), "a bit flipped at {flipped}");
        }
    }

    #[test]
    fn what_is_over_or_beyond_the_bounds_is_not_kept() {
        let (now, life) = (now_ms(), LIFE.as_millis() as u64);
        let old = line(1, now - life - 1, done("old")).to_bytes().unwrap();
        assert!(read_lines(&old, now).is_empty());
        let heavy = |slot: u8| line(slot, now - 100 + u64::from(slot), done(&"x".repeat(MOST_BYTES / 4)));
        let bytes: Vec<u8> = (0..6).flat_map(|slot| heavy(slot).to_bytes().unwrap()).collect();
        let kept: Vec<u8> = read_lines(&bytes, now).iter().map(|l| l.slot[0]).collect();
        assert_eq!(kept, [3, 4, 5]);
    }

    #[tokio::test]
    async fn the_file_is_private_shrinks_and_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, lines) = Journal::open(folder.path()).unwrap();
        assert!(lines.is_empty());
        let now = now_ms();
        let big = "x".repeat(100_000);
        for _ in 0..60 {
            assert!(journal.append(&line(1, now, done(&big)), false).await);
        }
        assert!(journal.append(&line(2, now, What::Begun), true).await);
        let path = folder.path().join(NAME);
        let length = fs::metadata(&path).unwrap().len();
        assert!(length < 3 * SMALL, "{length} bytes for one answer of 100 kB");
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(&line(3, now, What::Begun).to_bytes().unwrap()[..20]);
        fs::write(&path, bytes).unwrap();
        let (journal, lines) = Journal::open(folder.path()).unwrap();
        assert_eq!(lines, [line(1, now, done(&big)), line(2, now, What::Begun)]);
        assert!(journal.append(&line(3, now, What::Begun), true).await);
        drop(journal);
        assert_eq!(Journal::open(folder.path()).unwrap().1.len(), 3);
    }

    #[test]
    fn a_file_that_could_not_be_appended_to_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut answers, _) = Answers::open(folder.path()).unwrap();
        let now = now_ms();
        assert!(answers.append(&line(1, now, What::Begun).to_bytes().unwrap(), true));
        // A file that takes no writes, as one on a disk that failed.
        answers.file = File::open(&answers.path).unwrap();
        assert!(!answers.append(&line(2, now, What::Begun).to_bytes().unwrap(), true));
        assert!(answers.append(&line(3, now, What::Begun).to_bytes().unwrap(), true));
        let slots: Vec<u8> = Answers::open(folder.path()).unwrap().1.iter().map(|l| l.slot[0]).collect();
        assert_eq!(slots, [1, 3]);
    }
}
