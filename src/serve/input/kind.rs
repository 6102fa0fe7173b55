//! What a body says that it is.

use axum::http::{HeaderMap, StatusCode, header};

use super::super::problem::Problem;

pub(super) fn wrong_kind(wanted: &str) -> Problem {
    let detail = format!("the body must be {wanted}; say so in content-type");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.content_type", detail)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Multipart,
    Json,
    Raw,
    Other,
}

impl Kind {
    pub(super) fn of(headers: &HeaderMap) -> Self {
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
