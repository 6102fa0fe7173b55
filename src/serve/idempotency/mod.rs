//! Writes that are sent again: the answer of the first try is given once more, and nothing is done twice.
//!
//! A caller who is not sure whether a write arrived sends it again under the same `Idempotency-Key`. What is known of
//! a key is kept for a day, also when the service stops or is killed ([`journal`]):
//!
//! 1. That a write is begun is on disk before it is begun, and its answer is before it is sent.
//! 2. A write goes on when its caller goes away or is told that it takes too long; its key stays taken until it ends.
//! 3. A write of which it is not known what came of it (the service was killed, or failed half-way) is never done
//!    again under its key: 409 `idempotency.unknown_outcome`. One that was refused changed nothing, and may be tried
//!    again. So may one before which the service was killed: the database has no write after its beginning.

mod journal;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use journal::{Journal, Line, MOST, MOST_BYTES, Slot, What};

use super::bounded_map::{BoundedMap, Bounds, Kept};
use super::carried::Carried;
use super::pool::Refused;
use super::problem::Problem;
use crate::error::ServeError;
use crate::files::now_ms;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LONGEST: usize = 200;

/// How far a write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// It is known what came of it where the line says so.
    Ended,
    /// It is done, and its answer is not on disk.
    Unsaved,
}

#[derive(Debug)]
struct Write {
    line: Line,
    state: State,
}

impl Kept for Write {
    /// Milliseconds since 1970.
    type Time = u64;
    type Order = u64;

    fn is_over(&self, now_ms: u64) -> bool {
        self.state != State::Running && self.line.is_over(now_ms)
    }

    fn order(&self, _: u64) -> Option<u64> {
        (self.state != State::Running).then_some(self.line.since_ms)
    }

    fn weight(&self) -> usize {
        self.line.weight()
    }
}

/// The writes that are known.
#[derive(Debug)]
struct Known(BoundedMap<Slot, Write>);

impl Default for Known {
    fn default() -> Self {
        Self(BoundedMap::new(Bounds { entries: MOST, weight: MOST_BYTES, spare: 16 }))
    }
}

impl Known {
    fn put(&mut self, line: Line, state: State) {
        self.0.put(line.slot, Write { line, state });
    }
}

/// A write as it is asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Id of the caller's key.
    pub caller: &'a str,
    pub again: Again,
    /// Digest of what the body says.
    pub body: [u8; 32],
    /// Number of the database's last write.
    pub writes: u64,
}

/// The answers of writes that may be sent again.
#[derive(Debug)]
pub(super) struct Repeats {
    known: Mutex<Known>,
    journal: Journal,
}

/// The request's `Idempotency-Key`, bound to its method and path; none where it has none.
#[derive(Debug, Clone)]
pub(super) struct Again(Option<[u8; 32]>);

impl<S: Sync> FromRequestParts<S> for Again {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
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

/// A request without `Idempotency-Key`: for writes whose answer cannot be given again, since it is kept nowhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Once;

impl<S: Sync> FromRequestParts<S> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.headers.contains_key(&KEY) {
            let detail = "this call takes no idempotency-key: what it answers is kept nowhere, and is not given again; \
                          look whether a try before was done";
            return Err(Problem::bad("request.no_idempotency", detail));
        }
        Ok(Self)
    }
}

/// What a key stands for when its write comes.
enum Found {
    /// Nothing yet: the write is this one's to do.
    New(Line),
    /// It is done; whether its answer is on disk.
    Done(Line, bool),
}

/// Holds a key's place while its write runs. Dropped before the end is known, it leaves the key as one of which nobody
/// knows what came of it.
struct Turn {
    repeats: Arc<Repeats>,
    line: Line,
    ended: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            self.repeats.known().put(self.line.clone(), State::Ended);
        }
    }
}

/// Whether a write that came to this has surely changed nothing.
fn changed_nothing(problem: &Problem) -> bool {
    let (area, _) = problem.code().split_once('.').unwrap_or((problem.code(), ""));
    // What came too late for its turn, or before any write, was not begun.
    !problem.status().is_server_error() || matches!(area, "overload" | "timeout")
}

fn unwritable(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "idempotency.unwritable", detail).retry_after(5)
}

fn answered(status: u16, text: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// What a caller is told whose write goes on without them.
pub(super) fn goes_on() -> Problem {
    let detail = "the write takes longer than the service allows, and goes on; look whether it is done, or send it again \
                  with the idempotency-key that it had, before you send it with a new one";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout.work", detail)
}

impl Repeats {
    /// What is known from before; `writes` is the number of the database's last write.
    ///
    /// # Errors
    /// [`ServeError::Io`].
    pub(super) fn open(state: &Path, writes: u64) -> Result<Arc<Self>, ServeError> {
        let (journal, lines) = Journal::open(state)?;
        let mut known = Known::default();
        let never_begun = |line: &Line| line.what == What::Begun && line.writes == Some(writes);
        lines.into_iter().filter(|line| !never_begun(line)).for_each(|line| known.put(line, State::Ended));
        Ok(Arc::new(Self { known: Mutex::new(known), journal }))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `write`, unless this caller's write of that key is done: then its answer is given again. The caller waits
    /// for it no longer than `within`.
    pub(super) async fn once<T: Serialize + Send + 'static>(
        self: &Arc<Self>,
        carried: &Carried,
        within: Duration,
        Asked { caller, again, body, writes }: Asked<'_>,
        status: StatusCode,
        write: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<Response, Problem> {
        let Again(Some(key)) = again else {
            let done = tokio::time::timeout(within, write).await.map_err(|_| goes_on())?;
            return Ok((status, axum::Json(done?)).into_response());
        };
        let slot: Slot = Sha256::new().chain_update(key).chain_update(caller).finalize().into();
        let task = match self.find(slot, body, now_ms(), writes)? {
            Found::Done(line, saved) => return self.again(line, saved).await,
            Found::New(line) => {
                let turn = Turn { repeats: self.clone(), line, ended: false };
                carried.spawn(turn.take(status, write))
            }
        };
        match tokio::time::timeout(within, task).await {
            Err(_) => Err(goes_on()),
            Ok(ended) => ended.unwrap_or_else(|_| Err(Refused::Failed.into())),
        }
    }

    fn find(&self, slot: Slot, body: [u8; 32], now_ms: u64, writes: u64) -> Result<Found, Problem> {
        let mut known = self.known();
        let conflict = |code, detail| Err(Problem::new(StatusCode::CONFLICT, code, detail));
        match known.0.get(&slot).filter(|k| k.state == State::Running || !k.line.is_over(now_ms)) {
            Some(Write { line, .. }) if line.body != body => {
                let detail = "this idempotency-key was sent with another body before";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "request.idempotency_mismatch", detail))
            }
            Some(Write { state: State::Running, .. }) => {
                let detail = "the first request with this idempotency-key is still running";
                conflict("request.idempotency_running", detail).map_err(|p: Problem| p.retry_after(1))
            }
            Some(Write { line, state }) if matches!(line.what, What::Done { .. }) => {
                Ok(Found::Done(line.clone(), *state == State::Ended))
            }
            Some(_) => conflict(
                "idempotency.unknown_outcome",
                "a write with this idempotency-key was begun, and the service was stopped or failed before it knew what \
                 came of it: look whether it was done, and if not, send it with a new key",
            ),
            None => {
                known.0.make_room(now_ms);
                let line = Line { slot, body, since_ms: now_ms, writes: Some(writes), what: What::Begun };
                known.put(line.clone(), State::Running);
                Ok(Found::New(line))
            }
        }
    }

    /// The answer of a write that is done.
    async fn again(&self, line: Line, saved: bool) -> Result<Response, Problem> {
        if !saved {
            if !self.journal.append(&line, true).await {
                return Err(unwritable("the write is done, and its answer cannot be stored yet; send it again later"));
            }
            self.known().put(line.clone(), State::Ended);
        }
        let What::Done { status, answer } = line.what else { return Err(Refused::Failed.into()) };
        let mut response = answered(status, answer);
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }

    /// Returns when what is to be stored is.
    pub(super) fn stop(&self) {
        self.journal.stop();
    }
}

impl Turn {
    async fn take<T: Serialize>(
        mut self,
        status: StatusCode,
        write: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Response, Problem> {
        if !self.repeats.journal.append(&self.line, true).await {
            self.ended = true;
            self.repeats.known().0.remove(&self.line.slot);
            return Err(unwritable(
                "the idempotency-key cannot be stored, so the write was not begun; send it again later",
            ));
        }
        let done = match write.await {
            Ok(done) => done,
            Err(problem) if changed_nothing(&problem) => {
                self.ended = true;
                let dropped = Line { what: What::Dropped, ..self.line.clone() };
                // Lost, it leaves a key that is not known to have failed: no write is done twice for that.
                self.repeats.journal.append(&dropped, false).await;
                self.repeats.known().0.remove(&self.line.slot);
                return Err(problem);
            }
            Err(problem) => return Err(problem),
        };
        let answer = serde_json::to_string(&done).map_err(|e| {
            tracing::error!(error = %e, "an answer cannot be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal.answer", "the answer cannot be written")
        })?;
        let line = Line { what: What::Done { status: status.as_u16(), answer: answer.clone() }, ..self.line.clone() };
        self.ended = true;
        // Until it is on disk, nobody is given it.
        self.repeats.known().put(line.clone(), State::Unsaved);
        if !self.repeats.journal.append(&line, true).await {
            return Err(unwritable("the write is done, and its answer cannot be stored yet; send it again later"));
        }
        self.repeats.known().put(line, State::Ended);
        Ok(answered(status.as_u16(), answer))
    }
}

#[cfg(test)]
mod tests;
