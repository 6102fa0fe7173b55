//! Work that goes on when the request that asked for it is gone: writes, to their lines in the logs.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::context::in_context;

/// Counts the work that goes on, so that a stop can wait for it.
#[derive(Debug)]
pub(super) struct Carried {
    running: watch::Sender<usize>,
}

impl Default for Carried {
    fn default() -> Self {
        Self { running: watch::Sender::new(0) }
    }
}

struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

impl Carried {
    /// Begins work that nobody's leaving ends; it knows whose request it is.
    pub(super) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.running.send_modify(|n| *n += 1);
        let counted = Counted(self.running.clone());
        let counting = async move {
            let _counted = counted;
            work.await
        };
        tokio::spawn(in_context(counting).in_current_span())
    }

    /// Returns when none goes on, or `within` is over.
    pub(super) async fn ended(&self, within: Duration) {
        let mut running = self.running.subscribe();
        if tokio::time::timeout(within, running.wait_for(|n| *n == 0)).await.is_err() {
            tracing::warn!(writes = *self.running.borrow(), "writes go on that the service does not wait for");
        }
    }
}
