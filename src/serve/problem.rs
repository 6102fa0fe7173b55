//! The one place where errors become HTTP answers: RFC 9457 problem details with stable codes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::context::request_id;
use super::pool::Refused;
use crate::Error;
use crate::error::{GalleryError, LibraryError, ModelError, PhotoError, RefusalError, ServeError, StoreError};

/// Seconds after which an overloaded service is worth asking again.
const RETRY_SECONDS: u64 = 1;

/// Why a request was not answered as asked (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Problem(Box<ProblemDetails>);

/// Problem details as RFC 9457 has them, with a code and the request's id.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct ProblemDetails {
    /// A URI that names the kind of problem: `urn:kith:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What was wrong with this request, and what to do.
    detail: String,
    /// A stable, dotted name for programs.
    #[schema(example = "refusal.no_face")]
    code: String,
    /// The request's id, as in the header `x-request-id` and in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// More about it, by kind of problem.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    more: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(ProblemDetails {
            kind: format!("urn:kith:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_string(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_string(),
            request_id: None,
            more: Map::new(),
            retry_after: None,
        }))
    }

    pub(super) fn bad(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Tells the caller when to come again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(name.to_string(), value.into());
        self
    }

    /// Of a request with several photos: which of them it is about.
    pub(super) fn about(mut self, field: &str) -> Self {
        self.0.detail = format!("{field}: {}", self.0.detail);
        self.with("photo", field)
    }

    /// What else can be done about it.
    pub(super) fn advising(mut self, what: &str) -> Self {
        self.0.detail.push_str(what);
        self
    }

    /// The problem where the request has an option `face`: several faces can be chosen among by it.
    pub(super) fn offering_largest(mut self) -> Self {
        if self.0.code == "refusal.several_faces" {
            self.0.detail.push_str(", or say face=largest");
        }
        self
    }

    /// The problem where `face` may be the number of a face, too.
    pub(super) fn offering_numbers(mut self) -> Self {
        if self.0.code == "refusal.several_faces" {
            self.0.detail.push_str(", or say which is meant (face=2, by its number), or face=largest");
        }
        self
    }

    pub(super) fn code(&self) -> &str {
        &self.0.code
    }

    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn seconds_to_wait(&self) -> Option<u64> {
        self.0.retry_after
    }

    /// A fault of ours: logged in full, and named to the caller by its code alone.
    fn ours(code: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(code, %error, "the request failed");
        let detail = "the service failed; the log says more under this request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.0.request_id = request_id();
        let (status, retry) = (self.status(), self.0.retry_after);
        let mut response = (status, Json(&self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        // For the log, the counts, and clients that are told of problems in another form.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let unavailable = |code, detail| Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        match refused {
            Refused::Full => unavailable("overload.queue_full", "as many requests are waiting as may; try again later")
                .retry_after(RETRY_SECONDS),
            Refused::TooLate => {
                unavailable("overload.waited", "the request waited too long for its turn; try again later")
                    .retry_after(RETRY_SECONDS)
            }
            Refused::Stopping => unavailable("overload.stopping", "the service is stopping").retry_after(RETRY_SECONDS),
            Refused::TimedOut => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout.work",
                "the request took longer than the service allows; send a smaller photo, or have work_seconds raised",
            ),
            Refused::Failed => Self::ours("internal.panic", &"a job panicked"),
        }
    }
}

impl From<PhotoError> for Problem {
    fn from(error: PhotoError) -> Self {
        let status = match &error {
            PhotoError::UnknownFormat { .. } | PhotoError::Foreign { .. } | PhotoError::Unsupported { .. } => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            PhotoError::TooManyPixels { .. } | PhotoError::TooManyBytes { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            PhotoError::Empty { .. } => StatusCode::BAD_REQUEST,
            PhotoError::Damaged { .. } | PhotoError::Disproportionate { .. } | PhotoError::WrongBuffer { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            _ => return Self::ours(error.code(), &error),
        };
        let detail = match &error {
            PhotoError::TooManyPixels { width, height, limit, .. } => {
                format!("the photo is {width}x{height} pixels; the service takes up to {limit:.1} megapixels")
            }
            other => other.to_string(),
        };
        Self::new(status, error.code(), detail)
    }
}

impl From<RefusalError> for Problem {
    fn from(error: RefusalError) -> Self {
        let (status, detail) = match &error {
            RefusalError::NoFace { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "no face was found in the photo".to_string())
            }
            RefusalError::SeveralFaces { faces, numbers, .. } => {
                // Not over HTTP's own words: doors, whose policy says which face counts, have no `face`.
                return Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
                    .with("faces", crate::json::json!(faces))
                    .with("numbers", crate::json::json!(numbers));
            }
            RefusalError::NoSuchFace { .. } => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            RefusalError::PoorFaces { left, right, .. } => {
                let named =
                    |r: &crate::error::GateRefusal| crate::json::json!({ "code": r.code(), "reason": r.to_string() });
                let detail = format!("{error}; say accept_poor=true to have it decided all the same");
                return Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), detail)
                    .with("left", named(left))
                    .with("right", named(right));
            }
            RefusalError::NotCalibrated { model } => (
                StatusCode::CONFLICT,
                format!("{model} has no calibration on this service, so no rate is known for it; say threshold"),
            ),
            RefusalError::WrongCalibration { .. } | RefusalError::WrongDetector { .. } => {
                (StatusCode::CONFLICT, error.to_string())
            }
            RefusalError::Unsupported { .. } | RefusalError::CannotCalibrate { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            RefusalError::InvalidThreshold { .. } => (StatusCode::BAD_REQUEST, error.to_string()),
        };
        Self::new(status, error.code(), detail)
    }
}

impl From<GalleryError> for Problem {
    fn from(error: GalleryError) -> Self {
        let code = error.code();
        let (status, detail) = match &error {
            GalleryError::UnknownPerson { name, gallery } => {
                (StatusCode::NOT_FOUND, format!("nobody called {name:?} is in gallery {gallery:?}"))
            }
            GalleryError::UnknownFace { face, gallery } => {
                (StatusCode::NOT_FOUND, format!("no face {face} is in gallery {gallery:?}"))
            }
            GalleryError::UnknownGallery { gallery } => {
                (StatusCode::NOT_FOUND, format!("there is no gallery {gallery:?}; enrolling into it makes it"))
            }
            GalleryError::NameTaken { name, gallery } => {
                (StatusCode::CONFLICT, format!("{name:?} is enrolled already in gallery {gallery:?}; merge the two"))
            }
            GalleryError::AmbiguousName { .. } | GalleryError::NothingMerged { .. } => {
                (StatusCode::CONFLICT, error.to_string())
            }
            GalleryError::FarApart { from, into, distance, threshold } => (
                StatusCode::CONFLICT,
                format!(
                    "{from:?} and {into:?} are not alike: their nearest faces are at distance {distance:.3}, and of one \
                     person's faces 99 in 100 are within {threshold:.3}; say far_apart to make them one all the same"
                ),
            ),
            GalleryError::GalleryTaken { name, there } => (
                StatusCode::CONFLICT,
                format!("gallery {name:?} cannot be made: there is {there:?}, and the two names are the same"),
            ),
            GalleryError::BadName { .. } => (StatusCode::BAD_REQUEST, error.to_string()),
            GalleryError::WrongModel { .. }
            | GalleryError::WrongDetector { .. }
            | GalleryError::NotReembedded { .. }
            | GalleryError::NoIdLeft => (StatusCode::CONFLICT, error.to_string()),
            GalleryError::Gate { refusal, .. } => {
                let word = refusal.name();
                let detail = format!("not enrolled: {refusal}; say allow={word} to enrol it all the same");
                let status = match word {
                    "duplicate" | "different" => StatusCode::CONFLICT,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                return Self::new(status, code, detail).with("allow", word);
            }
        };
        Self::new(status, code, detail)
    }
}

impl From<LibraryError> for Problem {
    fn from(error: LibraryError) -> Self {
        let (status, detail) = match &error {
            LibraryError::UnknownGroup { group } => {
                let detail =
                    format!("there is no group {}; GET /v1/library/groups lists them", group.trim_start_matches('#'));
                (StatusCode::NOT_FOUND, detail)
            }
            LibraryError::UnknownFace { face } => (StatusCode::NOT_FOUND, format!("no face {face} is in the library")),
            LibraryError::UnknownPhoto { photo } => {
                (StatusCode::NOT_FOUND, format!("no photo {photo} is in the library"))
            }
            LibraryError::PhotoAway { .. } => {
                let detail = "the photo's file is not where it was, or has changed since the library looked at it; \
                              kith library add looks again";
                (StatusCode::NOT_FOUND, detail.to_string())
            }
            LibraryError::Ungrouped { .. }
            | LibraryError::TwoNames { .. }
            | LibraryError::Empty
            | LibraryError::NoFaces { .. } => (StatusCode::CONFLICT, error.to_string()),
            LibraryError::SameName { group, into, name } => {
                let detail = format!(
                    "group {into} is {name:?} already; where group {group} is the same person, say merge to make the two one, \
                     else give another name"
                );
                let problem = Self::new(StatusCode::CONFLICT, error.code(), detail);
                return problem
                    .with("group", *group)
                    .with("into", *into)
                    .with("name", name.as_str())
                    .with("say", "merge");
            }
            LibraryError::ChangedMeanwhile | LibraryError::NotInGroup { .. } => {
                (StatusCode::CONFLICT, error.to_string())
            }
            LibraryError::Contradiction { .. } => (StatusCode::CONFLICT, error.to_string()),
            LibraryError::BadName { .. } | LibraryError::BadDate { .. } => (StatusCode::BAD_REQUEST, error.to_string()),
            _ => return Self::ours(error.code(), &error),
        };
        Self::new(status, error.code(), detail)
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        match &error {
            // Vectors come from callers too.
            ModelError::BadEmbedding { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
            }
            _ => Self::ours(error.code(), &error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotEncrypted { .. } => Self::new(
                StatusCode::CONFLICT,
                error.code(),
                "the database is not encrypted: there is no key ring to copy; leave ring away",
            ),
            StoreError::Full { .. } => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                error.code(),
                "the disk of the database is full; nothing was changed: make room, and try again",
            ),
            StoreError::ReadOnly { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.code(),
                "the database may only be read where the service runs; nothing was changed",
            ),
            StoreError::Poisoned { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.code(),
                "an earlier write did not reach the disk, and nothing more is written; restart the service once the \
                 disk is in order",
            ),
            _ => Self::ours(error.code(), &error),
        }
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::UnknownKey { ref id, .. } => {
                let detail = format!("there is no key {id:?}; GET /v1/keys lists them");
                Self::new(StatusCode::NOT_FOUND, error.code(), detail)
            }
            ServeError::BadOption { .. } => Self::bad(error.code(), error.to_string()),
            _ => Self::ours(error.code(), &error),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Photo(e) => e.into(),
            Error::Refusal(e) => e.into(),
            Error::Gallery(e) => e.into(),
            Error::Model(e) => e.into(),
            Error::Store(e) => e.into(),
            Error::Serve(e) => e.into(),
            Error::Library(e) => e.into(),
            other => Self::ours(other.code(), &other),
        }
    }
}
