//! What the service puts into its audit log, and what it does not do or answer before that is done.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

use super::audit::{Audit, AuditCheck, Event, Refusal, Refusals, Unwritable};
use super::auth::Keys;
use super::problem::Problem;
use crate::error::ServeError;

/// What the first of a change's two lines says of it.
const BEGUN: &str = "begun";

fn unwritable(so: &str) -> Problem {
    let detail = format!("the audit log cannot be written, so {so}; /healthz/ready says why");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit.unwritable", detail).retry_after(5)
}

/// The event with what came of it.
fn outcome<T>(mut event: Event, answer: &Result<T, Problem>, told: impl FnOnce(&T, &mut Event)) -> Event {
    match answer {
        Ok(answer) => {
            event.result = "done".to_string();
            told(answer, &mut event);
        }
        Err(problem) => {
            event.result = "refused".to_string();
            event.code = Some(problem.code().to_string());
        }
    }
    event
}

/// The part of the service that writes down what is asked and done.
#[derive(Debug)]
pub(super) struct Ledger {
    audit: Audit,
    refusals: Refusals,
    keys: Arc<Keys>,
    /// How long a line may take to be on disk.
    patience: Duration,
    /// The service's folder.
    state: PathBuf,
    /// When the audit log was last read as a whole, and what came of it.
    checked: Mutex<AuditCheck>,
}

impl Ledger {
    /// # Errors
    /// Those of [`Audit::open`].
    pub(super) fn open(state: &Path, bytes: u64, keys: Arc<Keys>, patience: Duration) -> Result<Self, ServeError> {
        let audit = Audit::open(state, bytes)?;
        // Opening it read it from its first line to its last.
        let checked = Mutex::new(AuditCheck::sound(audit.lines()));
        Ok(Self { audit, refusals: Refusals::default(), keys, patience, state: state.to_path_buf(), checked })
    }

    pub(super) fn stop(&self) {
        self.audit.stop();
    }

    pub(super) fn audit_lines(&self) -> u64 {
        self.audit.lines()
    }

    pub(super) fn is_writable(&self) -> bool {
        self.audit.is_writable()
    }

    /// Why the log cannot be written, where it cannot.
    pub(super) async fn look(&self) -> Option<Unwritable> {
        self.audit.look().await
    }

    /// Reads the whole audit log.
    pub(super) fn check_audit(&self) -> AuditCheck {
        let check = AuditCheck::of(&self.state, self.audit.lines());
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = check.clone();
        check
    }

    pub(super) fn audit_checked(&self) -> AuditCheck {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts an event into the audit log; the number of its line, nothing where that is not on disk in time.
    pub(super) async fn record(&self, event: Event) -> Option<u64> {
        tokio::time::timeout(self.patience, self.audit.record(event)).await.ok().flatten()
    }

    /// Does `work`, and puts what came of it into the audit log before it is answered; `told` says what
    /// that was. A caller who goes away ends it. For what changes nothing.
    ///
    /// # Errors
    /// What the work failed with, or 503 when the log cannot be written.
    pub(super) async fn audited<T>(
        &self,
        event: Event,
        work: impl Future<Output = Result<T, Problem>>,
        told: impl FnOnce(&T, &mut Event),
    ) -> Result<T, Problem> {
        let answer = work.await;
        match self.record(outcome(event, &answer, told)).await {
            Some(_) => answer,
            None => Err(unwritable("nothing is answered")),
        }
    }

    /// A change with its two lines (see `Service::audited_write`), wherever it runs; a caller who goes away ends it.
    pub(super) async fn noted_write<T>(
        &self,
        event: Event,
        work: impl Future<Output = Result<T, Problem>>,
        told: impl FnOnce(&T, &mut Event),
    ) -> Result<T, Problem> {
        let begun = Event { result: BEGUN.to_string(), ..event.clone() };
        let Some(line) = self.record(begun).await else { return Err(unwritable("nothing is changed")) };
        let answer = work.await;
        let outcome = outcome(Event { begun: Some(line), ..event }, &answer, told);
        if self.record(outcome).await.is_some() || answer.is_err() {
            return answer;
        }
        Err(unwritable(&format!("line {line} says that the change was begun, and none that it was made; it was")))
    }

    /// Puts a refused request into the audit log, after the changes of keys that it may be due to. It is refused
    /// whatever comes of its line.
    pub(super) async fn note_refusal(&self, refusal: &Refusal) {
        self.note_keys().await;
        for event in self.refusals.refused(refusal, Instant::now()) {
            self.record(event).await;
        }
    }

    /// Puts changes of the keys into the audit log.
    ///
    /// # Errors
    /// 503 where the log does not say yet what the file of keys does: a key that it does not know lets nobody in.
    pub(super) async fn keys_noted(&self) -> Result<(), Problem> {
        self.note_keys()
            .await
            .then_some(())
            .ok_or_else(|| unwritable("nobody is let in by a key that it does not know"))
    }

    async fn note_keys(&self) -> bool {
        let Some((keys, state)) = self.keys.to_note() else { return true };
        let noted = self.audit.record_keys(&keys).await;
        if noted {
            self.keys.noted(state);
        }
        noted
    }

    /// What is to be noted without being asked: changed keys, and counts of refusals.
    pub(super) async fn look_after(&self) {
        self.audit.look().await;
        self.note_keys().await;
        for event in self.refusals.due(Instant::now()) {
            self.record(event).await;
        }
    }

    /// What is left to be noted when the service stops.
    pub(super) async fn last_words(&self) {
        self.note_keys().await;
        for event in self.refusals.last() {
            self.record(event).await;
        }
    }
}
