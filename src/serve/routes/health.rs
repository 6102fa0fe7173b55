//! `/healthz/live`, `/healthz/ready`, `/metrics`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::json::json;
use crate::serve::auth::{Known, Read};
use crate::serve::problem::Problem;
use crate::serve::state::Service;

/// Whether the service is well.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct Health {
    /// `ok`.
    status: &'static str,
}

/// The process is there
#[utoipa::path(get, path = "/healthz/live", tag = "service", responses((status = 200, body = Health)))]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// It can answer and change: the networks are loaded, the database takes reads, the audit log takes lines, it is not
/// stopping. Where it cannot, `reasons` names every one by its code
#[utoipa::path(get, path = "/healthz/ready", tag = "service",
    responses((status = 200, body = Health), (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Result<Json<Health>, Problem> {
    let reasons = service.unready().await;
    let Some(first) = reasons.first() else { return Ok(Json(Health { status: "ok" })) };
    let detail: Vec<&str> = reasons.iter().map(|r| r.detail.as_str()).collect();
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, &first.code, detail.join("; "));
    let all: Vec<_> = reasons.iter().map(|r| json!({ "code": r.code, "detail": r.detail })).collect();
    Err(problem.with("reasons", all).retry_after(1))
}

/// Counts and times for Prometheus; of galleries and their policies, those that the key reaches
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(service): State<Arc<Service>>, known: Known<Read>) -> Result<Response, Problem> {
    let mut galleries = service.with_searches(Service::measure).await?;
    galleries.retain(|g| known.caller.reaches(&g.name));
    let mut rooms = service.with_searches(|s| Ok::<_, Problem>(s.rooms(None))).await?;
    rooms.retain(|room| known.caller.reaches(&room.gallery));
    let reached = |policy: &str| service.policies().get(policy).is_none_or(|p| known.caller.reaches(&p.gallery));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], service.metrics().text(&galleries, &rooms, reached)).into_response())
}
