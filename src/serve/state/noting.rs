//! What the service puts into its audit log, and what it does not answer before that is done.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::super::audit::{Event, Refusal};
use super::super::idempotency::{Again, goes_on};
use super::super::pool::Refused;
use super::super::problem::Problem;
use super::Service;

impl Service {
    /// Puts an event into the audit log; false where it is not on disk in time.
    pub(in super::super) async fn record(&self, event: Event) -> bool {
        tokio::time::timeout(self.limits().work(), self.audit.record(event)).await.unwrap_or(false)
    }

    /// Does `work`, and puts what came of it into the audit log before it is answered; `told` says what
    /// that was. A caller who goes away ends it.
    ///
    /// # Errors
    /// What the work failed with, or 503 when the log cannot be written.
    pub(in super::super) async fn audited<T>(
        &self,
        mut event: Event,
        work: impl Future<Output = Result<T, Problem>>,
        told: impl FnOnce(&T, &mut Event),
    ) -> Result<T, Problem> {
        let answer = work.await;
        match &answer {
            Ok(answer) => {
                event.result = "done".to_string();
                told(answer, &mut event);
            }
            Err(problem) => {
                event.result = "refused".to_string();
                event.code = Some(problem.code().to_string());
            }
        }
        if self.record(event).await {
            return answer;
        }
        let detail = "the audit log cannot be written, so nothing is answered; the log says why";
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit.unwritable", detail).retry_after(5))
    }

    /// [`Service::audited`] for what changes something: it goes on to its end, and to its line in the log, when the
    /// caller goes away. It takes as long as the disk does: see [`Service::once`] and [`Service::in_time`].
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
            let whole = async move { whole.audited(event, whole.with_disk(work), told).await };
            service.carried.spawn(whole).await.unwrap_or_else(|_| Err(Refused::Failed.into()))
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
        self.repeats.once(&self.carried, self.limits().write(), (caller, again), body, status, write).await
    }

    /// Puts a refused request into the audit log, after the changes of keys that it may be due to. It is refused
    /// whatever comes of its line.
    pub(in super::super) async fn note_refusal(&self, refusal: &Refusal) {
        self.note_keys().await;
        for event in self.refusals.refused(refusal, Instant::now()) {
            self.record(event).await;
        }
    }

    async fn note_keys(&self) {
        let Some(keys) = self.keys.to_note() else { return };
        if !self.audit.record_keys(&keys).await {
            self.keys.not_noted();
        }
    }

    /// What is to be noted without being asked: changed keys, and counts of refusals.
    pub(in super::super) async fn look_after(&self) {
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
