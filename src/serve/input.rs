//! What a request brings: photos as multipart parts, JSON base64 or a raw body, and options.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::problem::Problem;
use super::state::Service;
use crate::DEFAULT_GALLERY;

/// Longest name of a photo that is kept.
const LONGEST_NAME: usize = 120;
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

/// A photo as it came.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// The part that it was in: `file` for a raw body.
    pub field: String,
    /// What the caller calls it; harmless to keep.
    pub name: String,
    pub bytes: Bytes,
}

/// A request's photos, and its options from query and body.
#[derive(Debug)]
pub(super) struct Form {
    pub photos: Vec<Upload>,
    pairs: Pairs,
    /// SHA-256 of the whole body.
    pub digest: [u8; 32],
    /// The part of the service's memory for bodies that this one takes.
    _held: OwnedSemaphorePermit,
}

impl Form {
    /// The one photo, which must be in the field `file`.
    pub(super) fn one(&self) -> Result<&Upload, Problem> {
        match self.photos.as_slice() {
            [one] if one.field == "file" => Ok(one),
            [] => Err(no_photo("file")),
            _ => Err(Problem::bad("request.photos", "one photo is taken, in the field file")),
        }
    }

    /// The photo of a field.
    pub(super) fn of(&self, field: &str) -> Result<&Upload, Problem> {
        let mut found = self.photos.iter().filter(|p| p.field == field);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(no_photo(field)),
            (Some(_), Some(_)) => Err(Problem::bad("request.photos", format!("{field} is there more than once"))),
        }
    }

    /// Refuses photos in other fields.
    pub(super) fn only(&self, fields: &[&str]) -> Result<(), Problem> {
        match self.photos.iter().find(|p| !fields.contains(&p.field.as_str())) {
            Some(p) => {
                let detail = format!("{:?} is no field of this call; it takes {}", p.field, fields.join(" and "));
                Err(Problem::bad("request.photos", detail))
            }
            None => Ok(()),
        }
    }

    /// The options in query and body together.
    pub(super) fn options<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        options_of(&self.pairs)
    }
}

fn no_photo(field: &str) -> Problem {
    let detail = format!(
        "there is no photo: send it as multipart/form-data in the field {field}, as JSON {{\"{field}\": BASE64}}, or \
         (where one is taken) as the body itself with its image type"
    );
    Problem::bad("request.no_photo", detail)
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

impl FromRequest<Arc<Service>> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let kind = Kind::of(request.headers());
        if kind == Kind::Other {
            return Err(wrong_kind("multipart/form-data, application/json, or an image"));
        }
        let mut pairs = query_without_gallery(request.uri().query().unwrap_or_default())?;
        let (parts, content) = request.into_parts();
        let (bytes, held) = body(content, service).await?;
        let digest = Sha256::digest(&bytes).into();
        let said: HashSet<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
        let mut fields = Fields { photos: Vec::new(), pairs: Vec::new() };
        match kind {
            Kind::Json => fields.read_json(&bytes)?,
            Kind::Multipart => fields.read_multipart(Request::from_parts(parts, Body::from(bytes))).await?,
            Kind::Raw if bytes.is_empty() => return Err(no_photo("file")),
            Kind::Raw | Kind::Other => fields.add_photo("file", "photo", bytes),
        }
        // What is said twice is a mistake somewhere.
        if let Some((name, _)) = fields.pairs.iter().find(|(name, _)| said.contains(name)) {
            return Err(Problem::bad("request.bad_option", format!("{name} is both in the query and in the body")));
        }
        pairs.extend(fields.pairs);
        Ok(Self { photos: fields.photos, pairs, digest, _held: held })
    }
}

struct Fields {
    photos: Vec<Upload>,
    pairs: Pairs,
}

/// Fields whose JSON text is a photo.
const PHOTO_FIELDS: [&str; 6] = ["file", "files", "a", "b", "source_image", "target_image"];

impl Fields {
    fn add_photo(&mut self, field: &str, name: &str, bytes: Bytes) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        self.photos.push(Upload { field: field.to_string(), name, bytes });
    }

    fn read_json(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let bad = |e: String| Problem::bad("request.bad_json", e);
        let object: serde_json::Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        for (name, value) in object {
            match value {
                Value::String(text) if PHOTO_FIELDS.contains(&name.as_str()) => self.add_base64(&name, &text)?,
                Value::Array(items) => {
                    for item in items {
                        match item {
                            // A burst: each of `files` is one more `file`.
                            Value::String(text) if name == "files" => self.add_base64("file", &text)?,
                            other => self.add_value(&name, other)?,
                        }
                    }
                }
                other => self.add_value(&name, other)?,
            }
        }
        Ok(())
    }

    fn add_base64(&mut self, field: &str, text: &str) -> Result<(), Problem> {
        // Browsers put `data:image/jpeg;base64,` before it.
        let text = match text.strip_prefix("data:").and_then(|t| t.split_once(',')) {
            Some((_, content)) => content,
            None => text,
        };
        let packed: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let bytes = STANDARD.decode(packed);
        let bytes = bytes.map_err(|e| Problem::bad("request.bad_base64", format!("{field}: not base64: {e}")))?;
        self.add_photo(field, "photo", bytes.into());
        Ok(())
    }

    fn add_value(&mut self, name: &str, value: Value) -> Result<(), Problem> {
        let text = match value {
            Value::Null => return Ok(()),
            Value::String(text) => text,
            Value::Number(n) => n.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(Problem::bad("request.bad_json", format!("{name}: text, a number or a list of these")));
            }
        };
        self.pairs.push((name.to_string(), text));
        Ok(())
    }

    async fn read_multipart(&mut self, request: Request) -> Result<(), Problem> {
        let bad = |e: String| Problem::bad("request.bad_multipart", e);
        let mut parts = Multipart::from_request(request, &()).await.map_err(|e| bad(e.body_text()))?;
        while let Some(part) = parts.next_field().await.map_err(|e| bad(e.body_text()))? {
            let field = part.name().unwrap_or_default().to_string();
            let (name, typed) = (part.file_name().map(str::to_string), part.content_type().is_some());
            let photo = name.is_some() || typed || PHOTO_FIELDS.contains(&field.as_str());
            let bytes = part.bytes().await.map_err(|e| bad(e.body_text()))?;
            if photo {
                self.add_photo(&field, name.as_deref().filter(|n| !n.is_empty()).unwrap_or("photo"), bytes);
            } else {
                let text = std::str::from_utf8(&bytes).map_err(|_| bad(format!("{field}: not text")))?;
                self.pairs.push((field, text.to_string()));
            }
        }
        Ok(())
    }
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
