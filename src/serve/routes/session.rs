//! `/session`: the page's way in.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Caller, Gate, Role, Standing, caller_of, clear_cookie, cookie_of, set_cookie};
use crate::serve::context::{LOG_IN, asked_from, came_with};
use crate::serve::input::Object;
use crate::serve::ledger::Ledger;
use crate::serve::problem::Problem;

/// A key to open a session with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Login {
    /// The whole key, as `kith keys new` showed it.
    key: String,
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct SessionView {
    /// Id of the key; `local` where the service has no keys.
    id: String,
    /// What the key is for.
    name: String,
    roles: Vec<Role>,
    /// The galleries that it reaches; null is all.
    galleries: Option<Vec<String>>,
    /// What to send in `x-csrf-token` with every request but GET; null where no cookie was sent.
    csrf: Option<String>,
    /// Whether the service asks for keys at all.
    keys: bool,
}

fn view(gate: &Gate, caller: Caller) -> SessionView {
    SessionView {
        id: caller.id,
        name: caller.name,
        roles: caller.roles.into_iter().collect(),
        galleries: caller.galleries.map(|g| g.into_iter().collect()),
        csrf: caller.session.map(|s| s.csrf),
        keys: !gate.keys().keyless(),
    }
}

/// Who am I, and what may I do?
#[utoipa::path(get, path = "/session", tag = "session", operation_id = "show_session",
    responses((status = 200, body = SessionView), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn show(State(gate): State<Arc<Gate>>, headers: HeaderMap) -> Result<Json<SessionView>, Problem> {
    let caller = caller_of(&gate, &Method::GET, &headers)?;
    Ok(Json(view(&gate, caller)))
}

/// Gives a browser a cookie for a key
#[utoipa::path(post, path = "/session", tag = "session", operation_id = "open_session", request_body = Login,
    responses((status = 200, body = SessionView), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn open(
    State(gate): State<Arc<Gate>>,
    State(ledger): State<Arc<Ledger>>,
    Object(login, _): Object<Login>,
) -> Result<Response, Problem> {
    gate.keys_noted().await?;
    let key = zeroize::Zeroizing::new(login.key);
    let key = match gate.keys().check(key.trim()) {
        Standing::Valid(key) => key,
        Standing::Refused(known) => {
            if let Some(key) = known {
                came_with(&key.id, &key.name);
            }
            let detail = "this key is unknown, expired or revoked";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "auth.wrong_key", detail));
        }
        Standing::Unreadable => {
            let detail = "the keys cannot be read, so nobody is let in; the log says why";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "auth.keys_unreadable", detail));
        }
    };
    let (cookie, session) = gate.sessions().open(&key.id, Instant::now())?;
    let event = Event::new(&key.id, &key.name, LOG_IN);
    let told = |(): &(), e: &mut Event| e.evidence = json!({ "from": asked_from() });
    if let Err(problem) = ledger.audited(event, async { Ok(()) }, told).await {
        gate.sessions().close(&cookie);
        return Err(problem);
    }
    let answer = Json(view(&gate, Caller::of(key, Some(session))));
    let mut response = answer.into_response();
    if let Some(cookie) = set_cookie(&cookie, gate.has_tls()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends the session
#[utoipa::path(delete, path = "/session", tag = "session", operation_id = "close_session",
    responses((status = 204), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn close(
    State(gate): State<Arc<Gate>>,
    State(ledger): State<Arc<Ledger>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = caller_of(&gate, &Method::DELETE, &headers)?;
    if let Some(cookie) = cookie_of(&headers) {
        // Closed whatever comes of the line.
        gate.sessions().close(&cookie);
        ledger.audited(caller.event("log out"), async { Ok(()) }, |(), _| {}).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, clear_cookie(gate.has_tls()))]).into_response())
}
