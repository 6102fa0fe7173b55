//! What the service puts into its audit log, and what it does not do or answer before that is done.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::super::audit::{Event, Refusal};
use super::super::idempotency::{Again, Asked, goes_on};
use super::super::pool::Refused;
use super::super::problem::Problem;
use super::Service;

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

impl Service {
    /// Puts an event into the audit log; the number of its line, nothing where that is not on disk in time.
    pub(in super::super) async fn record(&self, event: Event) -> Option<u64> {
        tokio::time::timeout(self.limits().work(), self.audit.record(event)).await.ok().flatten()
    }

    /// Does `work`, and puts what came of it into the audit log before it is answered; `told` says what
    /// that was. A caller who goes away ends it. For what changes nothing.
    ///
    /// # Errors
    /// What the work failed with, or 503 when the log cannot be written.
    pub(in super::super) async fn audited<T>(
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

    /// [`Service::audited_write`] wherever it runs; a caller who goes away ends it.
    pub(in super::super) async fn noted_write<T>(
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

    /// Does what changes something: its line is in the audit log before anything is changed, and another that says what
    /// came of it before that is answered. It goes on to that line when the caller goes away. It takes as long as the
    /// disk does: see [`Service::once`] and [`Service::in_time`].
    ///
    /// # Errors
    /// What the work failed with, or 503 when the log cannot be written: before the change nothing is done, and after it
    /// the answer says that it was.
    pub(in super::super) fn audited_write<T, W, D>(
        self: &Arc<Self>,
        event: Event,
        work: W,
        told: D,
    ) -> impl Future<Output = Result<T, Problem>> + Send + use<T, W, D>
    where
        T: Send + 'static,
        W: FnOnce(&Service) -> Result<T, Problem> + Send + 'static,
        D: FnOnce(&T, &mut Event) + Send + 'static,
    {
        let service = self.clone();
        async move {
            let whole = service.clone();
            let whole = async move { whole.noted_write(event, whole.with_disk(work), told).await };
            service.carried.spawn(whole).await.unwrap_or_else(|_| {
                service.metrics.panicked();
                Err(Refused::Failed.into())
            })
        }
    }

    /// What came of a write, for a caller who waits no longer than the service allows; it goes on all the same.
    pub(in super::super) async fn in_time<T>(
        &self,
        write: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        tokio::time::timeout(self.limits().write(), write).await.unwrap_or_else(|_| Err(goes_on()))
    }

    /// Does a write of this caller once, however often it is sent with that key: see `Repeats::once`.
    pub(in super::super) async fn once<T: Serialize + Send + 'static>(
        &self,
        caller: &str,
        again: Again,
        body: [u8; 32],
        status: StatusCode,
        write: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<Response, Problem> {
        let asked = Asked { caller, again, body, writes: self.database.writes() };
        self.repeats.once(&self.carried, self.limits().write(), asked, status, write).await
    }

    /// Puts a refused request into the audit log, after the changes of keys that it may be due to. It is refused
    /// whatever comes of its line.
    pub(in super::super) async fn note_refusal(&self, refusal: &Refusal) {
        self.note_keys().await;
        for event in self.refusals.refused(refusal, Instant::now()) {
            self.record(event).await;
        }
    }

    /// Puts changes of the keys into the audit log.
    ///
    /// # Errors
    /// 503 where the log does not say yet what the file of keys does: a key that it does not know lets nobody in.
    pub(in super::super) async fn keys_noted(&self) -> Result<(), Problem> {
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
    pub(in super::super) async fn look_after(&self) {
        self.audit.look().await;
        self.note_keys().await;
        for event in self.refusals.due(Instant::now()) {
            self.record(event).await;
        }
    }

    /// What is left to be noted when the service stops.
    pub(in super::super) async fn last_words(&self) {
        self.note_keys().await;
        for event in self.refusals.last() {
            self.record(event).await;
        }
    }
}
