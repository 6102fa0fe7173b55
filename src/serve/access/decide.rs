//! `POST /v1/access/decide`: photo, policy, and perhaps who it is said to be; allow or deny.
//!
//! 1. Only [`Reason::Allowed`] opens, and only with status 200.
//! 2. Whatever goes wrong after the caller is known is a denial with its own reason.
//! 3. A decision is in the audit log, on disk, before it is answered; where it cannot be, the answer is a
//!    denial.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::evidence::Evidence;
use super::judge::{Outcome, Question, judge};
use super::reason::Reason;
use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Caller, Decide, Known};
use crate::serve::bodies::{PhotoFiles, PhotoTexts};
use crate::serve::input::Form;
use crate::serve::pool::Refused;
use crate::serve::problem::Problem;
use crate::serve::random::random_hex;
use crate::serve::state::{Parts, Service};

/// A decision.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct DecisionView {
    /// The decision's own id, as in the audit log.
    id: String,
    /// `allow` or `deny`. Open for `allow` with status 200 alone.
    decision: &'static str,
    /// A stable code: `allowed`, or why not.
    reason: &'static str,
    /// The reason in words.
    detail: String,
    policy: String,
    /// Who was recognised.
    person: Option<String>,
    door: Option<String>,
    /// When: RFC 3339.
    at: String,
    /// What it rests on; null where the photo was not looked at.
    #[schema(value_type = Option<Evidence>)]
    evidence: Value,
}

/// May whoever is in this photo come in?
///
/// Several photos of one moment may be sent (`file` again, or `files` in JSON): the sharpest good one is decided on.
#[utoipa::path(post, path = "/v1/access/decide", tag = "access", params(Question),
    request_body(content((PhotoFiles = "multipart/form-data"), (PhotoTexts = "application/json"), (Vec<u8> = "image/jpeg"))),
    responses((status = 200, body = DecisionView),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "A denial too, as every other status is")))]
pub(in super::super) async fn decide(State(parts): State<Parts>, request: Request) -> Response {
    let service = parts.0.clone();
    let shut = |problem: Problem| {
        let reason = Reason::of(&problem);
        service.metrics().decided("-", "deny", reason.text());
        problem.with("decision", "deny").with("reason", reason.text()).into_response()
    };
    let (mut head, body) = request.into_parts();
    let known = match Known::<Decide>::from_request_parts(&mut head, &parts).await {
        Ok(known) => known,
        Err(problem) => return shut(problem),
    };
    let form = match Form::from_request(Request::from_parts(head, body), &parts).await {
        Ok(form) => form,
        Err(problem) => return settle(&service, &known.caller, None, Outcome::of(&problem)).await,
    };
    let question = match form.options::<Question>() {
        Ok(question) => question,
        Err(problem) => return settle(&service, &known.caller, None, Outcome::of(&problem)).await,
    };
    let outcome = unless_it_panics(&service, judge(&service, &known.caller, &question, form)).await;
    settle(&service, &known.caller, Some(&question), outcome).await
}

/// What it comes to; a denial where that panics.
async fn unless_it_panics(service: &Service, judging: impl Future<Output = Outcome>) -> Outcome {
    AssertUnwindSafe(judging).catch_unwind().await.unwrap_or_else(|_| {
        service.metrics().panicked();
        Outcome::of(&Refused::Failed.into())
    })
}

/// Notes the decision, and only then answers it.
async fn settle(service: &Arc<Service>, caller: &Caller, question: Option<&Question>, outcome: Outcome) -> Response {
    let mut outcome = outcome;
    let id = random_hex::<12>().unwrap_or_else(|_| "-".to_string());
    let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let (policy, door) = (question.map_or("-", |q| q.policy.as_str()), question.and_then(|q| q.door.clone()));
    let word = |o: &Outcome| if o.reason == Reason::Allowed { "allow" } else { "deny" };
    let mut event = caller.event("decide");
    event.gallery = service.policies().get(policy).map(|p| p.gallery.clone());
    event.person = outcome.person.clone().or_else(|| question.and_then(|q| q.person.clone()));
    event.result = word(&outcome).to_string();
    event.code = Some(outcome.reason.text().to_string());
    event.evidence = json!({ "id": id, "policy": policy, "door": door, "evidence": outcome.evidence });
    if !recorded(service, event).await {
        outcome = Outcome {
            retry_after: Some(5),
            ..Outcome::deny(Reason::AuditUnavailable, "the decision cannot be put into the audit log")
        };
    }
    // Names of policies that are not there are the caller's to invent; series are not.
    let series = if service.policies().get(policy).is_some() { policy } else { "-" };
    service.metrics().decided(series, word(&outcome), outcome.reason.text());
    let status = outcome.reason.status();
    if !status.is_success() {
        let mut problem = Problem::new(status, &format!("access.{}", outcome.reason.text()), outcome.detail);
        if let Some(seconds) = outcome.retry_after.or_else(|| (status.as_u16() == 503).then_some(1)) {
            problem = problem.retry_after(seconds);
        }
        return problem.with("decision", "deny").with("reason", outcome.reason.text()).with("id", id).into_response();
    }
    let view = DecisionView {
        id,
        decision: word(&outcome),
        reason: outcome.reason.text(),
        detail: outcome.detail,
        policy: policy.to_string(),
        person: outcome.person,
        door,
        at,
        evidence: outcome.evidence,
    };
    (status, Json(view)).into_response()
}

/// The log gets its line even where the caller goes away meanwhile.
async fn recorded(service: &Arc<Service>, event: Event) -> bool {
    let service = service.clone();
    tokio::spawn(async move { service.ledger().record(event).await.is_some() }).await.unwrap_or(false)
}

#[cfg(all(test, feature = "embedded-weights"))]
mod tests {
    use axum::body::to_bytes;
    use axum::http::StatusCode;

    use super::*;
    use crate::serve::{ServeOptions, last_lines};
    use crate::{Database, DatabaseOptions, Engine};

    #[tokio::test]
    async fn a_panic_is_a_denial_with_its_line_and_its_count() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
        let state = folder.path().join("state");
        let service = Service::new(Engine::builder().build().unwrap(), database, ServeOptions::new(&state)).unwrap();
        let outcome = unless_it_panics(&service, async { panic!("of the test") }).await;
        let caller = Caller::local();
        let question = Question { policy: "door".into(), person: Some("Grace".into()), door: None };
        let answer = settle(&service, &caller, Some(&question), outcome).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body: Value = serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap();
        assert_eq!((body["decision"].as_str(), body["reason"].as_str()), (Some("deny"), Some("error")), "{body}");
        let line = &last_lines(&state, None, 1).unwrap()[0];
        let said = ["action", "result", "code", "person"].map(|name| line[name].as_str().unwrap_or("-"));
        assert_eq!(said, ["decide", "deny", "error", "Grace"]);
        assert!(
            service.metrics().text(&[], &[], |_| true).contains("kith_panics_total 1\n"),
            "{}",
            service.metrics().text(&[], &[], |_| true)
        );
    }
}
