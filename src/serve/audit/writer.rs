//! Writing the log: one thread, which makes many lines durable with one sync. A line is acknowledged when it
//! and the head that names it are on disk.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::auth::ApiKey;
use super::super::files::io;
use super::event::Event;
use super::key_changes::Noted;
use super::log::Log;
use crate::error::ServeError;

/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Lines that share a sync, at most.
const TOGETHER: usize = 256;
/// How long a command that notes a change of keys may still hold the log.
const PATIENCE: Duration = Duration::from_secs(1);

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
    keys: tokio::sync::Mutex<Noted>,
}

impl Audit {
    /// Opens the log of a service, or makes it; what is there is read and verified first.
    ///
    /// # Errors
    /// [`ServeError::AuditHeld`], [`ServeError::AuditBroken`], [`ServeError::Io`].
    pub(in super::super) fn open(state: &Path) -> Result<Self, ServeError> {
        let log = Log::open(state, PATIENCE)?;
        let keys = tokio::sync::Mutex::new(log.keys.clone());
        let lines = Arc::new(AtomicU64::new(log.head.lines));
        let (sender, receiver) = sync_channel(QUEUE);
        let written = lines.clone();
        let thread = std::thread::Builder::new()
            .name("kith-audit".to_string())
            .spawn(move || write_all(log, &receiver, &written))
            .map_err(|e| io(state, "starting the audit log's thread", &e))?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), lines, keys })
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

    /// Brings what the log says of the keys up to the file; whether that is on disk now.
    pub(in super::super) async fn record_keys(&self, keys: &[ApiKey]) -> bool {
        // One at a time, so that no change is noted twice.
        let mut noted = self.keys.lock().await;
        for (event, change) in noted.changes(keys, "seen by the service") {
            if !self.record(event).await {
                return false;
            }
            noted.apply(change);
        }
        true
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

/// The thread's work: whatever waits is written with one sync.
fn write_all(mut log: Log, receiver: &Receiver<Entry>, lines: &AtomicU64) {
    while let Ok(first) = receiver.recv() {
        let mut together = vec![first];
        while together.len() < TOGETHER
            && let Ok(next) = receiver.try_recv()
        {
            together.push(next);
        }
        let written = log.append(together.iter().map(|e| &e.event));
        lines.store(log.head.lines, Ordering::Relaxed);
        for entry in together {
            if written {
                entry.event.is_noted();
            }
            let _ = entry.done.send(written);
        }
    }
}

#[cfg(test)]
mod tests;
