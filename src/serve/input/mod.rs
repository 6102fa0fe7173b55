//! What a request brings: photos, objects and options.

mod form;

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

pub(super) use form::{Form, Upload};

use super::problem::Problem;
use super::state::Service;
use crate::DEFAULT_GALLERY;

/// The query's member that [`super::auth::May`] has taken already.
const GALLERY: &str = "gallery";

type Pairs = Vec<(String, String)>;

fn pairs_of(query: &str) -> Result<Pairs, Problem> {
    serde_html_form::from_str(query).map_err(|e| Problem::bad("request.bad_query", format!("the query: {e}")))
}

/// The gallery that a query names.
pub(super) fn gallery_of(query: &str) -> Result<String, Problem> {
    let mut named = pairs_of(query)?.into_iter().filter(|(name, _)| name == GALLERY).map(|(_, value)| value);
    match (named.next(), named.next()) {
        (None, _) => Ok(DEFAULT_GALLERY.to_string()),
        (Some(_), Some(_)) => Err(Problem::bad("request.bad_query", "gallery is said more than once")),
        (Some(one), None) => Ok(one.trim().to_string()),
    }
}

/// Pairs as options of a call. One that the call does not know is refused, not passed over.
fn options_of<T: DeserializeOwned>(pairs: &Pairs) -> Result<T, Problem> {
    let bad = |e: String| Problem::bad("request.bad_option", e);
    let text = serde_html_form::to_string(pairs).map_err(|e| bad(e.to_string()))?;
    serde_html_form::from_str(&text).map_err(|e| bad(e.to_string()))
}

fn query_without_gallery(query: &str) -> Result<Pairs, Problem> {
    Ok(pairs_of(query)?.into_iter().filter(|(name, _)| name != GALLERY).collect())
}

/// What the path holds: names, numbers.
#[derive(Debug)]
pub(super) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Service>> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Problem> {
        let bad = |e: PathRejection| Problem::bad("request.bad_path", e.body_text());
        axum::extract::Path::from_request_parts(parts, service).await.map(|p| Self(p.0)).map_err(bad)
    }
}

/// The options in the query.
#[derive(Debug)]
pub(super) struct Options<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Service>> for Options<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Service>) -> Result<Self, Problem> {
        options_of(&query_without_gallery(parts.uri.query().unwrap_or_default())?).map(Self)
    }
}

/// An object in the body, as JSON, and the SHA-256 of the body.
#[derive(Debug)]
pub(super) struct Object<T>(pub T, pub [u8; 32]);

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for Object<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let kind = Kind::of(request.headers());
        if kind != Kind::Json {
            return Err(wrong_kind("application/json"));
        }
        let (bytes, _held) = body(request.into_body(), service).await?;
        let digest = Sha256::digest(&bytes).into();
        let object = serde_json::from_slice(&bytes).map_err(|e| Problem::bad("request.bad_json", e.to_string()))?;
        Ok(Self(object, digest))
    }
}

fn wrong_kind(wanted: &str) -> Problem {
    let detail = format!("the body must be {wanted}; say so in content-type");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.content_type", detail)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Multipart,
    Json,
    Raw,
    Other,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "multipart/form-data" => Self::Multipart,
            "application/json" => Self::Json,
            "application/octet-stream" => Self::Raw,
            image if image.starts_with("image/") => Self::Raw,
            _ => Self::Other,
        }
    }
}

/// The whole body, within the service's bounds of size, time and memory.
async fn body(body: Body, service: &Arc<Service>) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    use axum::body::HttpBody;
    let limits = service.limits();
    let stated = body.size_hint().exact();
    let too_large = || {
        let detail = format!("the body may have {} bytes", limits.body_bytes);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", detail)
    };
    if stated.is_some_and(|n| n > limits.body_bytes as u64) {
        return Err(too_large());
    }
    let needed = stated.map_or(limits.body_bytes, |n| n as usize);
    let held = service.take_memory(needed)?;
    let read = tokio::time::timeout(limits.body(), to_bytes(body, limits.body_bytes)).await;
    let timeout = || {
        let detail = format!("the body did not arrive within {} seconds", limits.body_seconds);
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout.body", detail)
    };
    match read {
        Err(_) => Err(timeout()),
        Ok(Ok(bytes)) => Ok((bytes, held)),
        Ok(Err(e)) if is_length_limit(&e) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::bad("request.broken_off", "the body broke off")),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(e) = source {
        if e.to_string().contains("length limit exceeded") {
            return true;
        }
        source = e.source();
    }
    error.to_string().contains("length limit exceeded")
}

/// `1`, `true`, `yes` or nothing: a flag; `0`, `false`, `no`: none.
pub(super) fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text: String = serde::Deserialize::deserialize(deserializer)?;
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(serde::de::Error::custom(format!("{text:?} is neither true nor false"))),
    }
}
