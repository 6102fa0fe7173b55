//! What the service puts into its audit log, and what it does not answer before that is done.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;

use super::super::audit::{Event, Refusal};
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

    /// [`Service::audited`] for what changes something: it goes on to its line in the log when the caller
    /// goes away.
    pub(in super::super) async fn audited_write<T: Send + 'static>(
        self: &Arc<Self>,
        event: Event,
        work: impl FnOnce(&Service) -> Result<T, Problem> + Send + 'static,
        told: impl FnOnce(&T, &mut Event) + Send + 'static,
    ) -> Result<T, Problem> {
        let service = self.clone();
        let whole = async move { service.audited(event, service.with_disk(work), told).await };
        let done = tokio::spawn(tracing::Instrument::in_current_span(whole)).await;
        done.unwrap_or_else(|_| Err(super::super::pool::Refused::Failed.into()))
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
