//! What is known of the request that is being answered, wherever a part of it runs.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What is known of the request that the current task answers.
#[derive(Debug)]
pub(super) struct Context {
    pub id: String,
    /// Id of the key that it came with, and what that is for, once these are known.
    pub key: OnceLock<(String, String)>,
    pub from: Option<IpAddr>,
    /// Whether the audit log has a line of it.
    pub noted: AtomicBool,
}

impl Context {
    pub(super) fn is_noted(&self) {
        self.noted.store(true, Ordering::Relaxed);
    }
}

tokio::task_local! {
    pub(super) static CONTEXT: Arc<Context>;
}

/// The request that is being answered.
pub(super) fn context() -> Option<Arc<Context>> {
    CONTEXT.try_with(Clone::clone).ok()
}

/// `work` as a part of the request that is being answered, wherever it runs.
pub(super) fn in_context<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    let context = context();
    async move {
        match context {
            Some(context) => CONTEXT.scope(context, work).await,
            None => work.await,
        }
    }
}

/// Id of the request that is being answered.
pub(super) fn request_id() -> Option<String> {
    CONTEXT.try_with(|c| c.id.clone()).ok()
}

/// The address that the request came from, where it came over a socket.
pub(super) fn asked_from() -> Option<IpAddr> {
    CONTEXT.try_with(|c| c.from).ok().flatten()
}

/// Notes whose request this is, for the logs.
pub(super) fn came_with(key: &str, name: &str) {
    let _ = CONTEXT.try_with(|c| c.key.set((key.to_string(), name.to_string())));
}

/// What the audit log calls the opening of a session.
pub(super) const LOG_IN: &str = "log in";
