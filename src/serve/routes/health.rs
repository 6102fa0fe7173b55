//! `/healthz/live`, `/healthz/ready`, `/metrics`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

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

/// It can answer: the networks are loaded, the database takes reads, it is not stopping
#[utoipa::path(get, path = "/healthz/ready", tag = "service",
    responses((status = 200, body = Health), (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Result<Json<Health>, Problem> {
    if service.is_stopping() {
        let detail = "the service is stopping";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overload.stopping", detail).retry_after(1));
    }
    service
        .with_searches(|s| s.database().stats().map(drop))
        .await
        .map_err(|e| Problem::new(StatusCode::SERVICE_UNAVAILABLE, e.code(), e.detail()).retry_after(1))?;
    Ok(Json(Health { status: "ok" }))
}

/// Counts and times for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(service): State<Arc<Service>>, _: Known<Read>) -> Result<Response, Problem> {
    service.with_searches(Service::measure).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], service.metrics().text()).into_response())
}
