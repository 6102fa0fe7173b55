//! Why new requests should go elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::problem::Problem;
use super::Service;
use super::unready::Unready;

/// How long a look at whether the service is ready stays true.
const LOOK: Duration = Duration::from_millis(100);

impl Service {
    /// Every reason why the service is not ready, as of a moment ago; none where it is. Anybody may ask that, as often as
    /// they like: there is one look at a time, and few in a second.
    pub(in super::super) async fn unready(self: &Arc<Self>) -> Vec<Unready> {
        let mut looked = self.looked.lock().await;
        if let Some((_, found)) = looked.as_ref().filter(|(at, _)| at.elapsed() < LOOK) {
            return found.clone();
        }
        let found = self.look_now().await;
        *looked = Some((Instant::now(), found.clone()));
        found
    }

    async fn look_now(self: &Arc<Self>) -> Vec<Unready> {
        let mut reasons = Vec::new();
        if self.is_stopping() {
            reasons.push(Unready::new("overload.stopping", "the service is stopping"));
        }
        if let Some(fault) = self.ledger.look().await {
            let detail = format!("the audit log cannot be written, so nothing is changed or decided: {}", fault.why);
            reasons.push(Unready::new("audit.unwritable", detail));
        }
        if let Err(problem) = self.with_searches(|s| s.database().stats().map(drop)).await {
            reasons.push(Unready::new(problem.code(), problem.detail()));
        }
        // A disk that has room again is noticed here.
        let trouble = self.with_searches(|s| Ok::<_, Problem>(s.database().trouble().map(Problem::from))).await;
        if let Ok(Some(problem)) = trouble {
            reasons.push(Unready::new(problem.code(), problem.detail()));
        }
        reasons
    }
}
