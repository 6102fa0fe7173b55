//! What the query and the path of a request say.

use axum::extract::FromRequestParts;
use axum::extract::rejection::PathRejection;
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::super::problem::Problem;
use crate::DEFAULT_GALLERY;

/// The query's member that `May` has taken already.
const GALLERY: &str = "gallery";

/// Most options in a query, and fields in a body.
pub(super) const MOST_FIELDS: usize = 1024;

/// Characters of an option's value that are said back.
const LONGEST_SAID: usize = 60;

pub(super) type Pairs = Vec<(String, String)>;

pub(super) fn too_many(what: &str, most: usize) -> Problem {
    Problem::bad("request.too_many_values", format!("{what}: more than {most} values are taken by no call"))
}

fn pairs_of(query: &str) -> Result<Pairs, Problem> {
    if query.bytes().filter(|b| *b == b'&').count() >= MOST_FIELDS {
        return Err(too_many("the query", MOST_FIELDS));
    }
    serde_html_form::from_str(query).map_err(|e| Problem::bad("request.bad_query", format!("the query: {e}")))
}

/// The gallery that a query names.
pub(in super::super) fn gallery_of(query: &str) -> Result<String, Problem> {
    let mut named = pairs_of(query)?.into_iter().filter(|(name, _)| name == GALLERY).map(|(_, value)| value);
    match (named.next(), named.next()) {
        (None, _) => Ok(DEFAULT_GALLERY.to_string()),
        (Some(_), Some(_)) => Err(Problem::bad("request.bad_query", "gallery is said more than once")),
        (Some(one), None) => Ok(one.trim().to_string()),
    }
}

/// Pairs as options of a call. One that the call does not know is refused, not passed over.
pub(super) fn options_of<T: DeserializeOwned>(pairs: &Pairs) -> Result<T, Problem> {
    let read = |pairs: &[&(String, String)]| -> Result<T, String> {
        let text = serde_html_form::to_string(pairs).map_err(|e| e.to_string())?;
        serde_html_form::from_str(&text).map_err(|e| e.to_string())
    };
    let all: Vec<&(String, String)> = pairs.iter().collect();
    read(&all).map_err(|fault| {
        // The parser says what is wrong and not where: the option that alone is wrong in the same way is it.
        let of = |name: &String| all.iter().copied().filter(|(n, _)| n == name).collect::<Vec<_>>();
        let wrong = all.iter().find(|(name, _)| read(&of(name)).is_err_and(|alone| alone == fault));
        let detail = match wrong {
            Some((name, value)) if !fault.starts_with("missing field") && !fault.contains(name.as_str()) => {
                let value: String = value.chars().take(LONGEST_SAID).collect();
                format!("{name} is {value:?}: {fault}")
            }
            _ => fault,
        };
        Problem::bad("request.bad_option", detail)
    })
}

pub(super) fn query_without_gallery(query: &str) -> Result<Pairs, Problem> {
    Ok(pairs_of(query)?.into_iter().filter(|(name, _)| name != GALLERY).collect())
}

/// What the path holds: names, ids.
#[derive(Debug)]
pub(in super::super) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bad = |e: PathRejection| Problem::bad("request.bad_path", e.body_text());
        axum::extract::Path::from_request_parts(parts, state).await.map(|p| Self(p.0)).map_err(bad)
    }
}

/// The options in the query.
#[derive(Debug)]
pub(in super::super) struct Options<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Options<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        options_of(&query_without_gallery(parts.uri.query().unwrap_or_default())?).map(Self)
    }
}

/// No body: the options of the call are in its query, and what a body said would be passed over.
#[derive(Debug)]
pub(in super::super) struct NoBody;

impl<S: Sync> FromRequestParts<S> for NoBody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let length = parts.headers.get(header::CONTENT_LENGTH).map(|length| length.as_bytes() != b"0");
        if length.unwrap_or_else(|| parts.headers.contains_key(header::TRANSFER_ENCODING)) {
            return Err(Problem::bad("request.bad_option", "this call takes no body: say its options in the query"));
        }
        Ok(Self)
    }
}

/// `1`, `true`, `yes` or nothing: a flag; `0`, `false`, `no`: none.
pub(in super::super) fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text: String = serde::Deserialize::deserialize(deserializer)?;
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(serde::de::Error::custom(format!("{text:?} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(default)]
        page: usize,
        #[serde(default)]
        size: usize,
        #[serde(default, deserialize_with = "flag")]
        scrub: bool,
        max_fmr: f64,
    }

    #[test]
    fn an_option_that_is_wrong_is_named() {
        let fault = |query: &str| options_of::<Asked>(&pairs_of(query).unwrap()).unwrap_err().detail().to_string();
        for (query, said) in [
            ("max_fmr=0.1&page=-1", "page is \"-1\": "),
            ("max_fmr=0.1&size=-1&page=-1", "size is \"-1\": "),
            ("page=1&max_fmr=0.1%25", "max_fmr is \"0.1%\": "),
            ("max_fmr=0.1&scrub=perhaps", "scrub is \"perhaps\": "),
            ("max_fmr=0.1&pages=1", "unknown field `pages`"),
            ("page=1", "missing field `max_fmr`"),
        ] {
            assert!(fault(query).starts_with(said), "{query}: {}", fault(query));
        }
        let read = options_of::<Asked>(&pairs_of("max_fmr=0.5&page=2&size=3&scrub=1").unwrap()).unwrap();
        assert_eq!((read.page, read.size, read.scrub, read.max_fmr), (2, 3, true, 0.5));
    }
}
