//! Writing the log: one thread, which makes many lines durable with one sync.
//!
//! A line is acknowledged when it and the head that names it are on disk. What was written and could not
//! be made durable is taken back; where even that fails, nothing more is written.

use std::fs::{File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::super::files::{hex, io, private, sync_folder};
use super::super::request::request_id;
use super::chain::{AuditHead, verify_log};
use super::{head_in, log_in};
use crate::error::ServeError;

/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Lines that share a sync, at most.
const TOGETHER: usize = 256;

/// Something that happened. Never a photo, a template or a key.
#[derive(Debug, Clone, Serialize)]
pub(in super::super) struct Event {
    /// Id of the request.
    pub request: Option<String>,
    /// Id of the key, and what it is for.
    pub key: String,
    pub key_name: String,
    /// What was asked.
    pub action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gallery: Option<String>,
    /// About whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// What came of it.
    pub result: String,
    /// The code of a refusal or a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
}

impl Event {
    pub(in super::super) fn new(key: &str, key_name: &str, action: &'static str) -> Self {
        Self {
            request: request_id(),
            key: key.to_string(),
            key_name: key_name.to_string(),
            action,
            gallery: None,
            person: None,
            result: String::new(),
            code: None,
            evidence: Value::Null,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: String,
    prev: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

struct Entry {
    event: Event,
    done: oneshot::Sender<bool>,
}

/// The log, open for writing.
#[derive(Debug)]
pub(in super::super) struct Audit {
    sender: Mutex<Option<SyncSender<Entry>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lines: Arc<AtomicU64>,
}

impl Audit {
    /// Opens the log of a service, or makes it; what is there is read and verified first.
    ///
    /// # Errors
    /// [`ServeError::AuditBroken`], [`ServeError::Io`].
    pub(in super::super) fn open(state: &Path) -> Result<Self, ServeError> {
        let mut log = Log::open(state)?;
        let lines = Arc::new(AtomicU64::new(log.head.lines));
        let (sender, receiver) = sync_channel(QUEUE);
        let written = lines.clone();
        let thread = std::thread::Builder::new()
            .name("kith-audit".to_string())
            .spawn(move || log.write_all(&receiver, &written))
            .map_err(|e| io(state, "starting the audit log's thread", &e))?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), lines })
    }

    /// Whether the event is in the log, on disk.
    pub(in super::super) async fn record(&self, event: Event) -> bool {
        let (done, told) = oneshot::channel();
        let sent = {
            let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
            sender.as_ref().is_some_and(|s| match s.try_send(Entry { event, done }) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            })
        };
        sent && told.await.unwrap_or(false)
    }

    /// Lines in the log.
    pub(in super::super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Takes no more, and returns when what it has is written.
    pub(in super::super) fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

struct Log {
    path: PathBuf,
    file: File,
    head_file: File,
    head: AuditHead,
    /// Length of the file up to the last acknowledged line.
    length: u64,
    broken: bool,
}

impl Log {
    fn open(state: &Path) -> Result<Self, ServeError> {
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
        // Verified before anything is made: a log or a head that is gone is found so.
        let report = verify_log(state, None)?;
        let (mut file, head_file) = (open(&path)?, open(&head_path)?);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = "another service writes this audit log; say --state elsewhere".to_string();
                return Err(ServeError::Malformed { path: path.display().to_string(), what });
            }
            Err(TryLockError::Error(e)) => return Err(io(&path, "locking", &e)),
        }
        let whole = file.seek(SeekFrom::End(0)).map_err(|e| io(&path, "reading", &e))?;
        let length = whole - report.torn_bytes.min(whole);
        let mut log = Self { path, file, head_file, head: report.head, length, broken: false };
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

    fn write_all(&mut self, receiver: &Receiver<Entry>, lines: &AtomicU64) {
        while let Ok(first) = receiver.recv() {
            let mut together = vec![first];
            while together.len() < TOGETHER
                && let Ok(next) = receiver.try_recv()
            {
                together.push(next);
            }
            let written = !self.broken && self.append(&together);
            lines.store(self.head.lines, Ordering::Relaxed);
            for entry in together {
                let _ = entry.done.send(written);
            }
        }
    }

    fn append(&mut self, entries: &[Entry]) -> bool {
        let (mut text, mut head) = (Vec::new(), self.head.clone());
        for entry in entries {
            let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            let line = Line { seq: head.lines + 1, at, prev: &head.sha256, event: &entry.event };
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

#[cfg(test)]
mod tests {
    use super::super::last_lines;
    use super::*;

    fn event(person: &str) -> Event {
        Event { person: Some(person.to_string()), ..Event::new("key", "a test's", "identify") }
    }

    async fn written(state: &Path, count: usize) {
        let audit = Audit::open(state).unwrap();
        for i in 0..count {
            assert!(audit.record(event(&format!("person {i}"))).await);
        }
        audit.stop();
        assert!(!audit.record(event("too late")).await);
    }

    fn lines(state: &Path) -> Vec<String> {
        std::fs::read_to_string(log_in(state)).unwrap().lines().map(str::to_string).collect()
    }

    fn put(state: &Path, lines: &[String]) {
        std::fs::write(log_in(state), lines.iter().map(|l| format!("{l}\n")).collect::<String>()).unwrap();
    }

    #[tokio::test]
    async fn lines_follow_from_one_another_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 3).await;
        written(folder.path(), 2).await;
        let report = verify_log(folder.path(), None).unwrap();
        assert_eq!((report.head.lines, report.after_head, report.torn_bytes), (5, 0, 0));
        let last = last_lines(folder.path(), None, 2).unwrap();
        assert_eq!((last[0]["seq"].clone(), last[1]["person"].as_str()), (5.into(), Some("person 0")));
        assert_eq!(last_lines(folder.path(), Some(3), 10).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn many_at_once_are_all_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Arc::new(Audit::open(folder.path()).unwrap());
        let all: Vec<_> = (0..300)
            .map(|i| {
                let audit = audit.clone();
                tokio::spawn(async move { audit.record(event(&i.to_string())).await })
            })
            .collect();
        for one in all {
            assert!(one.await.unwrap());
        }
        audit.stop();
        assert_eq!(verify_log(folder.path(), None).unwrap().head.lines, 300);
        let all = last_lines(folder.path(), None, 1000).unwrap();
        let seqs: Vec<u64> = all.iter().map(|l| l["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=300).rev().collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn every_way_to_change_a_log_shows_and_keeps_the_service_from_starting() {
        type Harm = fn(&mut Vec<String>);
        let harms: [(&str, u64, Harm); 6] = [
            ("an edit", 3, |l| l[1] = l[1].replace("person 1", "person 9")),
            ("an edit of the last", 4, |l| l[3] = l[3].replace("person 3", "person 9")),
            ("a deletion", 2, |l| drop(l.remove(1))),
            ("another order", 2, |l| l.swap(1, 2)),
            ("a missing end", 4, |l| l.truncate(3)),
            ("nothing left", 1, |l| l.clear()),
        ];
        for (name, at, harm) in harms {
            let folder = tempfile::tempdir().unwrap();
            written(folder.path(), 4).await;
            let mut changed = lines(folder.path());
            harm(&mut changed);
            put(folder.path(), &changed);
            let error = verify_log(folder.path(), None).unwrap_err();
            assert!(matches!(&error, ServeError::AuditBroken { line, .. } if *line == at), "{name}: {error}");
            assert!(Audit::open(folder.path()).is_err(), "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 4).await;
        std::fs::remove_file(head_in(folder.path())).unwrap();
        assert!(verify_log(folder.path(), None).is_err(), "without its head");
        written_away(folder.path());
    }

    fn written_away(state: &Path) {
        std::fs::write(head_in(state), AuditHead { lines: 4, sha256: "0".repeat(64) }.to_bytes()).unwrap();
        std::fs::remove_file(log_in(state)).unwrap();
        assert!(verify_log(state, None).is_err(), "without its log");
    }

    #[tokio::test]
    async fn a_line_cut_off_by_a_kill_is_taken_back_and_a_whole_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 3).await;
        let head = std::fs::read(head_in(folder.path())).unwrap();
        written(folder.path(), 1).await;
        // As if killed between the log's sync and the head's, in the middle of a further line.
        std::fs::write(head_in(folder.path()), head).unwrap();
        let mut text = std::fs::read(log_in(folder.path())).unwrap();
        text.extend(b"{\"seq\":5,\"at\"");
        std::fs::write(log_in(folder.path()), text).unwrap();
        let report = verify_log(folder.path(), None).unwrap();
        assert_eq!((report.head.lines, report.after_head, report.torn_bytes), (4, 1, 13));
        written(folder.path(), 1).await;
        let report = verify_log(folder.path(), None).unwrap();
        assert_eq!((report.head.lines, report.after_head, report.torn_bytes), (5, 0, 0));
    }

    #[tokio::test]
    async fn a_new_chain_is_found_by_a_head_that_was_noted() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 3).await;
        let noted = verify_log(folder.path(), None).unwrap().head;
        written(folder.path(), 1).await;
        assert!(verify_log(folder.path(), Some(&noted)).is_ok());
        let forged = tempfile::tempdir().unwrap();
        written(forged.path(), 4).await;
        assert!(verify_log(forged.path(), None).is_ok() && verify_log(forged.path(), Some(&noted)).is_err());
        let short = AuditHead { lines: 9, ..noted };
        assert!(verify_log(folder.path(), Some(&short)).is_err());
    }

    #[test]
    fn two_services_do_not_share_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let held = Audit::open(folder.path()).unwrap();
        assert_eq!(Audit::open(folder.path()).unwrap_err().code(), "serve.malformed");
        held.stop();
        assert!(Audit::open(folder.path()).is_ok());
    }
}
