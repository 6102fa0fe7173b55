//! Writing the log: one thread, which makes many lines durable with one sync. A line is acknowledged when it
//! and the head that names it are on disk.
//!
//! While the log cannot be written every line is refused, and the first that can be written again says for how long
//! that was, why, and how many were refused.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::super::auth::ApiKey;
use super::super::files::io;
use super::event::Event;
use super::log::Log;
use super::noted::Noted;
use crate::error::ServeError;
use crate::json::json;

/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Lines that share a sync, at most.
const TOGETHER: usize = 256;
/// How long a command that notes a change of keys may still hold the log.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread is asked.
enum Wanted {
    /// A line, and whom to tell its number: nothing where it is not on disk.
    Line(Box<Event>, oneshot::Sender<Option<u64>>),
    /// A look at whether the log can be written.
    Look(oneshot::Sender<()>),
}

/// Since when the log cannot be written, and why.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Unwritable {
    pub why: String,
    since: Timestamp,
    refused: u64,
}

/// What the thread tells of itself.
#[derive(Debug, Default)]
struct Told {
    lines: AtomicU64,
    unwritable: Mutex<Option<Unwritable>>,
}

impl Told {
    fn unwritable(&self) -> Option<Unwritable> {
        self.unwritable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fault: Option<Unwritable>) {
        *self.unwritable.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// The log, open for writing.
#[derive(Debug)]
pub(in super::super) struct Audit {
    sender: Mutex<Option<SyncSender<Wanted>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    told: Arc<Told>,
    keys: tokio::sync::Mutex<Noted>,
}

impl Audit {
    /// Opens the log of a service, or makes it; what is there is read and verified first. A file of it holds about
    /// `rotate_bytes`.
    ///
    /// # Errors
    /// [`ServeError::AuditHeld`], [`ServeError::AuditBroken`], [`ServeError::Io`].
    pub(in super::super) fn open(state: &Path, rotate_bytes: u64) -> Result<Self, ServeError> {
        let log = Log::open(state, PATIENCE, rotate_bytes)?;
        let keys = tokio::sync::Mutex::new(log.keys.clone());
        let told = Arc::new(Told { lines: AtomicU64::new(log.head.lines), unwritable: Mutex::default() });
        let (sender, receiver) = sync_channel(QUEUE);
        let writer = Writer { log, told: told.clone() };
        let thread = std::thread::Builder::new()
            .name("kith-audit".to_string())
            .spawn(move || writer.run(&receiver))
            .map_err(|e| io(state, "starting the audit log's thread", &e))?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), told, keys })
    }

    fn send(&self, wanted: Wanted) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().is_some_and(|s| match s.try_send(wanted) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        })
    }

    /// Puts the event into the log; the number of its line once that is on disk, nothing where it is not.
    pub(in super::super) async fn record(&self, event: Event) -> Option<u64> {
        let (done, told) = oneshot::channel();
        match self.send(Wanted::Line(Box::new(event), done)) {
            true => told.await.ok().flatten(),
            false => None,
        }
    }

    /// Brings what the log says of the keys up to the file; whether that is on disk now.
    pub(in super::super) async fn record_keys(&self, keys: &[ApiKey]) -> bool {
        // One at a time, so that no change is noted twice.
        let mut noted = self.keys.lock().await;
        for (event, change) in noted.changes(keys, "seen by the service") {
            if self.record(event).await.is_none() {
                return false;
            }
            noted.apply(change);
        }
        true
    }

    /// Looks whether the log can be written, and tries to where it could not be the last time. Why it cannot be.
    pub(in super::super) async fn look(&self) -> Option<Unwritable> {
        let (done, looked) = oneshot::channel();
        if self.send(Wanted::Look(done)) {
            let _ = looked.await;
        }
        self.told.unwritable()
    }

    /// Lines in the log.
    pub(in super::super) fn lines(&self) -> u64 {
        self.told.lines.load(Ordering::Relaxed)
    }

    /// Whether the last line that was to be written was.
    pub(in super::super) fn is_writable(&self) -> bool {
        self.told.unwritable().is_none()
    }

    /// Takes no more, and returns when what it has is written.
    pub(in super::super) fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Writer {
    log: Log,
    told: Arc<Told>,
}

impl Writer {
    /// The thread's work: whatever waits is written with one sync.
    fn run(mut self, receiver: &Receiver<Wanted>) {
        while let Ok(first) = receiver.recv() {
            let (mut lines, mut looks) = (Vec::new(), Vec::new());
            let waiting = std::iter::once(first).chain(receiver.try_iter());
            for wanted in waiting.take(TOGETHER) {
                match wanted {
                    Wanted::Line(event, done) => lines.push((event, done)),
                    Wanted::Look(done) => looks.push(done),
                }
            }
            self.look();
            if !lines.is_empty() {
                let number = self.append(lines.iter().map(|(event, _)| &**event));
                for (i, (event, done)) in lines.into_iter().enumerate() {
                    if number.is_some() {
                        event.is_noted();
                    }
                    let _ = done.send(number.map(|n| n + i as u64));
                }
            }
            for look in looks {
                // Whoever asked may have gone.
                let _ = look.send(());
            }
        }
    }

    /// Whether the log is where it was; and where it could not be written, whether it can be now.
    fn look(&mut self) {
        match self.told.unwritable() {
            Some(fault) => {
                let mut event = Event::of_itself("-", "the audit log", "audit log unwritable");
                event.result = "written again".to_string();
                let since = fault.since.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
                event.evidence = json!({ "why": fault.why, "since": since, "refused": fault.refused });
                match self.log.has_room().and_then(|()| self.log.append(std::iter::once(&event))) {
                    Ok(_) => {
                        tracing::warn!(refused = fault.refused, "the audit log can be written again");
                        self.told.lines.store(self.log.head.lines, Ordering::Relaxed);
                        self.told.set(None);
                    }
                    Err(why) => self.failed(why, 0),
                }
            }
            None => {
                if let Some(why) = self.log.displaced() {
                    self.failed(why, 0);
                }
            }
        }
    }

    /// The number of the first line, once all are on disk.
    fn append<'a>(&mut self, events: impl Iterator<Item = &'a Event> + Clone) -> Option<u64> {
        let refused = events.clone().count() as u64;
        // What keeps it from being written was looked at a moment ago.
        let known = self.told.unwritable().map_or(Ok(()), |fault| Err(fault.why));
        match known.and_then(|()| self.log.append(events)) {
            Ok(number) => {
                self.told.lines.store(self.log.head.lines, Ordering::Relaxed);
                Some(number)
            }
            Err(why) => {
                self.failed(why, refused);
                None
            }
        }
    }

    fn failed(&self, why: String, refused: u64) {
        let known = self.told.unwritable();
        if known.as_ref().is_none_or(|k| k.why != why) {
            tracing::error!(why, "the audit log cannot be written: what needs a line is refused");
        }
        let known = known.unwrap_or_else(|| Unwritable { why: String::new(), since: Timestamp::now(), refused: 0 });
        self.told.set(Some(Unwritable { why, since: known.since, refused: known.refused + refused }));
    }
}

#[cfg(test)]
mod tests;
