//! Writes: what is in the audit log before and after, what goes on without its caller, what may be sent again.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::super::audit::Event;
use super::super::idempotency::{Again, Asked, goes_on};
use super::super::pool::Refused;
use super::super::problem::Problem;
use super::Service;

impl Service {
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
            let whole = async move { whole.ledger.noted_write(event, whole.with_disk(work), told).await };
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
}
