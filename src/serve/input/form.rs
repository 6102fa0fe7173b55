//! A request's photos, as multipart parts, JSON base64 or a raw body, and its options.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRef, FromRequest, Multipart, Request};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::memory::Held;
use super::super::problem::Problem;
use super::body::{Came, parse};
use super::intake::Intake;
use super::json::{Json, Members, bounded};
use super::kind::{Kind, wrong_kind};
use super::query::{MOST_FIELDS, Pairs, options_of, query_without_gallery, too_many};

/// Longest name of a photo that is kept.
const LONGEST_NAME: usize = 120;
/// Most photos of a batch.
const MOST_PHOTOS: usize = 32;

/// A photo as it came.
#[derive(Debug, Clone)]
pub(in super::super) struct Upload {
    /// The part that it was in: `file` for a raw body.
    pub field: String,
    /// What the caller calls it; harmless to keep.
    pub name: String,
    pub bytes: Bytes,
    /// The part of the service's memory for bodies that they take: held for as long as anybody has them.
    _held: Arc<Held>,
}

/// A request's photos, and its options from query and body.
#[derive(Debug)]
pub(in super::super) struct Form {
    pub photos: Vec<Upload>,
    pairs: Pairs,
    /// SHA-256 of what the body says: the same for a form that is sent again with another boundary.
    pub digest: [u8; 32],
}

impl Form {
    /// The one photo, which must be in the field `file`.
    pub(in super::super) fn one(&self) -> Result<&Upload, Problem> {
        match self.photos.as_slice() {
            [one] if one.field == "file" => Ok(one),
            [] => Err(no_photo("file")),
            _ => Err(Problem::bad("request.photos", "one photo is taken, in the field file")),
        }
    }

    /// The photos of a batch: each in the field `file`.
    pub(in super::super) fn several(&self) -> Result<Vec<Upload>, Problem> {
        self.only(&["file"])?;
        match self.photos.len() {
            0 => Err(no_photo("file")),
            1..=MOST_PHOTOS => Ok(self.photos.clone()),
            more => {
                let detail = format!("{more} photos are too many for one request; it takes up to {MOST_PHOTOS}");
                Err(Problem::bad("request.photos", detail))
            }
        }
    }

    /// The photo of a field.
    pub(in super::super) fn of(&self, field: &str) -> Result<&Upload, Problem> {
        let mut found = self.photos.iter().filter(|p| p.field == field);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(no_photo(field)),
            (Some(_), Some(_)) => Err(Problem::bad("request.photos", format!("{field} is there more than once"))),
        }
    }

    /// Refuses photos in other fields.
    pub(in super::super) fn only(&self, fields: &[&str]) -> Result<(), Problem> {
        match self.photos.iter().find(|p| !fields.contains(&p.field.as_str())) {
            Some(p) => {
                let detail = format!("{:?} is no field of this call; it takes {}", p.field, fields.join(" and "));
                Err(Problem::bad("request.photos", detail))
            }
            None => Ok(()),
        }
    }

    /// The options in query and body together.
    pub(in super::super) fn options<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        options_of(&self.pairs)
    }
}

impl Form {
    /// The options of these names, and all others.
    pub(in super::super) fn options_apart<A: DeserializeOwned, B: DeserializeOwned>(
        &self,
        names: &[&str],
    ) -> Result<(A, B), Problem> {
        let (these, others): (Pairs, Pairs) =
            self.pairs.iter().cloned().partition(|(name, _)| names.contains(&name.as_str()));
        Ok((options_of(&these)?, options_of(&others)?))
    }
}

fn no_photo(field: &str) -> Problem {
    let detail = format!(
        "there is no photo: send it as multipart/form-data in the field {field}, as JSON {{\"{field}\": BASE64}}, or \
         (where one is taken) as the body itself with its image type"
    );
    Problem::bad("request.no_photo", detail)
}

impl<S> FromRequest<S> for Form
where
    S: Send + Sync,
    Arc<Intake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let intake = Arc::<Intake>::from_ref(state);
        let kind = Kind::of(request.headers());
        if kind == Kind::Other {
            return Err(wrong_kind("multipart/form-data, application/json, or an image"));
        }
        let mut pairs = query_without_gallery(request.uri().query().unwrap_or_default())?;
        // Only the parts know the boundary, and only the body may be read once.
        let (parts, content) = request.into_parts();
        let mut head = Request::new(Body::empty()).into_parts().0;
        (head.headers, head.extensions) = (parts.headers.clone(), parts.extensions.clone());
        let came = Came::all_of(Request::from_parts(parts, content), &intake).await?;
        let read = move |came: Came| {
            let whole = (kind != Kind::Multipart).then(|| came.digest());
            let mut fields = Fields { photos: Vec::new(), pairs: Vec::new(), held: came.held };
            match kind {
                Kind::Json => fields.read_json(&came.bytes)?,
                Kind::Multipart => fields.read_multipart(head, came.bytes)?,
                Kind::Raw if came.bytes.is_empty() => return Err(no_photo("file")),
                Kind::Raw | Kind::Other => fields.add_photo("file", "photo", came.bytes),
            }
            let digest = whole.unwrap_or_else(|| fields.digest());
            Ok((fields, digest))
        };
        let (fields, digest) = parse(&intake, came, read).await?;
        // What is said twice is a mistake somewhere.
        let said: HashSet<&String> = pairs.iter().map(|(name, _)| name).collect();
        if let Some((name, _)) = fields.pairs.iter().find(|(name, _)| said.contains(name)) {
            return Err(Problem::bad("request.bad_option", format!("{name} is both in the query and in the body")));
        }
        pairs.extend(fields.pairs);
        Ok(Self { photos: fields.photos, pairs, digest })
    }
}

struct Fields {
    photos: Vec<Upload>,
    pairs: Pairs,
    held: Arc<Held>,
}

/// Fields whose JSON text is a photo.
const PHOTO_FIELDS: [&str; 6] = ["file", "files", "a", "b", "source_image", "target_image"];

impl Fields {
    /// SHA-256 of the photos and options of a form. Its bytes are no measure: who sends it again draws a new boundary.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let photos = self.photos.iter().map(|p| [p.field.as_bytes(), p.name.as_bytes(), p.bytes.as_ref()]);
        let options = self.pairs.iter().map(|(name, value)| [&[], name.as_bytes(), value.as_bytes()]);
        for part in photos.chain(options).flatten() {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn add_photo(&mut self, field: &str, name: &str, bytes: Bytes) {
        let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        self.photos.push(Upload { field: field.to_string(), name, bytes, _held: self.held.clone() });
    }

    fn read_json(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        bounded(bytes, MOST_FIELDS)?;
        let Members(members) =
            serde_json::from_slice(bytes).map_err(|e| Problem::bad("request.bad_json", e.to_string()))?;
        for (name, value) in members {
            match value {
                Json::Text(text) if PHOTO_FIELDS.contains(&name.as_str()) => self.add_base64(&name, &text)?,
                Json::List(items) => {
                    for item in items {
                        match item {
                            // A burst: each of `files` is one more `file`.
                            Json::Text(text) if name == "files" => self.add_base64("file", &text)?,
                            other => self.add_value(&name, other),
                        }
                    }
                }
                other => self.add_value(&name, other),
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
        // Lines are broken by some; most text is one line, which is not copied.
        let bytes = match text.bytes().any(|b| b.is_ascii_whitespace()) {
            false => STANDARD.decode(text),
            true => STANDARD.decode(text.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<u8>>()),
        };
        let bytes = bytes.map_err(|e| Problem::bad("request.bad_base64", format!("{field}: not base64: {e}")))?;
        self.add_photo(field, "photo", bytes.into());
        Ok(())
    }

    fn add_value(&mut self, name: &str, value: Json<'_>) {
        let text = match value {
            Json::Other(Value::Null) => return,
            Json::Text(text) => text.into_owned(),
            // Lists in lists and objects are no option's value: whoever reads the option says so.
            Json::List(_) => "[...]".to_string(),
            Json::Other(other) => other.to_string(),
        };
        self.pairs.push((name.to_string(), text));
    }

    fn read_multipart(&mut self, head: Parts, bytes: Bytes) -> Result<(), Problem> {
        let mut request = Request::from_parts(head, Body::from(bytes));
        // The body is here, and was bounded on its way.
        DefaultBodyLimit::disable().apply(&mut request);
        // Nothing is waited for, so one look reads it all.
        let read = self.read_parts(request).now_or_never();
        read.unwrap_or_else(|| Err(Problem::bad("request.bad_multipart", "the body ends in the middle of a part")))
    }

    async fn read_parts(&mut self, request: Request) -> Result<(), Problem> {
        let bad = |e: String| Problem::bad("request.bad_multipart", e);
        let mut parts = Multipart::from_request(request, &()).await.map_err(|e| bad(e.body_text()))?;
        let mut count = 0;
        while let Some(part) = parts.next_field().await.map_err(|e| bad(e.body_text()))? {
            count += 1;
            if count > MOST_FIELDS {
                return Err(too_many("the form", MOST_FIELDS));
            }
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
