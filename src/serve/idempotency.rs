//! Writes that are sent again: the answer of the first try is given once more, and nothing is done twice.
//!
//! A caller who is not sure whether a write arrived sends it again under the same `Idempotency-Key`. Answers
//! are kept in memory for a day, until the service stops: after a restart a repeated write is judged
//! anew (the same photo is known, an enrolled name is taken).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::state::Service;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LIFE: Duration = Duration::from_secs(24 * 3600);
const MOST: usize = 10_000;
const LONGEST: usize = 200;

/// What is known of a key.
#[derive(Debug, Clone)]
enum State {
    Running,
    Done(StatusCode, Value),
}

#[derive(Debug)]
struct Kept {
    body: [u8; 32],
    since: Instant,
    state: State,
}

/// The answers of writes that may be sent again.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kept: Mutex<HashMap<[u8; 32], Kept>>,
}

/// The request's `Idempotency-Key`, bound to its method and path; none where it has none.
#[derive(Debug, Clone)]
pub(super) struct Again(Option<[u8; 32]>);

impl FromRequestParts<Arc<Service>> for Again {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Service>) -> Result<Self, Problem> {
        let Some(key) = parts.headers.get(&KEY) else { return Ok(Self(None)) };
        let key = key.to_str().unwrap_or_default();
        if key.is_empty() || key.len() > LONGEST {
            let detail = format!("idempotency-key: 1 to {LONGEST} visible ASCII characters");
            return Err(Problem::bad("request.bad_idempotency_key", detail));
        }
        let mut digest = Sha256::new();
        for part in [key, parts.method.as_str(), &parts.uri.to_string()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Ok(Self(Some(digest.finalize().into())))
    }
}

/// Takes a key's place until the write is done; gives it back where it was not.
struct Turn<'a> {
    repeats: &'a Repeats,
    slot: [u8; 32],
    done: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.repeats.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.slot);
        }
    }
}

impl Repeats {
    /// Does `write`, unless this caller's write of that key is done: then its answer is given again. A
    /// write that failed is not kept, and may be tried again.
    pub(super) async fn once<T: Serialize>(
        &self,
        caller: &str,
        again: Again,
        body: [u8; 32],
        status: StatusCode,
        write: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Response, Problem> {
        let Again(Some(key)) = again else {
            return Ok((status, Json(write.await?)).into_response());
        };
        let slot: [u8; 32] = Sha256::new().chain_update(key).chain_update(caller).finalize().into();
        if let Some(known) = self.begin(slot, body, Instant::now())? {
            let (status, body) = known;
            let mut response = (status, Json(body)).into_response();
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            return Ok(response);
        }
        let mut turn = Turn { repeats: self, slot, done: false };
        let answer = serde_json::to_value(write.await?);
        let answer = answer.map_err(|e| {
            tracing::error!(error = %e, "an answer cannot be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal.answer", "the answer cannot be written")
        })?;
        if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&slot) {
            kept.state = State::Done(status, answer.clone());
        }
        turn.done = true;
        Ok((status, Json(answer)).into_response())
    }

    fn begin(&self, slot: [u8; 32], body: [u8; 32], now: Instant) -> Result<Option<(StatusCode, Value)>, Problem> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, k| now.saturating_duration_since(k.since) < LIFE);
            while kept.len() >= MOST {
                let Some(oldest) = kept.iter().min_by_key(|(_, k)| k.since).map(|(s, _)| *s) else { break };
                kept.remove(&oldest);
            }
        }
        match kept.get(&slot).filter(|k| now.saturating_duration_since(k.since) < LIFE) {
            Some(known) if known.body != body => {
                let detail = "this idempotency-key was sent with another body before";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "request.idempotency_mismatch", detail))
            }
            Some(Kept { state: State::Running, .. }) => {
                let detail = "the first request with this idempotency-key is still running";
                Err(Problem::new(StatusCode::CONFLICT, "request.idempotency_running", detail).retry_after(1))
            }
            Some(Kept { state: State::Done(status, answer), .. }) => Ok(Some((*status, answer.clone()))),
            None => {
                kept.insert(slot, Kept { body, since: now, state: State::Running });
                Ok(None)
            }
        }
    }
}
