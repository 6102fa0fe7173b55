//! The page at `/`: who is enrolled, who is in a photo, how alike two photos are; and at `/docs` the API, call by
//! call, made from its description.
//!
//! Its files are in the binary and hold no data, so they are answered without a key; whatever the page shows
//! it asks of the API like any other client.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::state::Parts;
use crate::files::hex;

/// Nothing from elsewhere, nothing inline; `blob:` for photos that the browser holds itself.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      media-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
/// The camera, and only for the page itself.
const PERMISSIONS: &str = "camera=(self), microphone=(), geolocation=()";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
    /// SHA-256 of the text, quoted: it changes when the file does.
    tag: String,
}

/// The page itself, first, and what it loads.
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    macro_rules! assets {
        ($($name:literal: $kind:expr),* $(,)?) => {
            [$(($name, $kind, include_str!($name))),*]
        };
    }
    let files = assets![
        "index.html": HTML,
        "app.css": CSS,
        "icon.svg": SVG,
        "app.js": SCRIPT,
        "api.js": SCRIPT,
        "address.js": SCRIPT,
        "dom.js": SCRIPT,
        "photo.js": SCRIPT,
        "people.js": SCRIPT,
        "person.js": SCRIPT,
        "enrol.js": SCRIPT,
        "name.js": SCRIPT,
        "labels.js": SCRIPT,
        "list.js": SCRIPT,
        "groups.js": SCRIPT,
        "library.js": SCRIPT,
        "questions.js": SCRIPT,
        "photos.js": SCRIPT,
        "identify.js": SCRIPT,
        "pair.js": SCRIPT,
        "compare.js": SCRIPT,
        "audit.js": SCRIPT,
        "keys.js": SCRIPT,
        "health.js": SCRIPT,
        "docs.html": HTML,
        "docs.css": CSS,
        "docs.js": SCRIPT,
        "schema.js": SCRIPT,
        "try.js": SCRIPT,
    ];
    let tagged = |(name, kind, text): (_, _, &'static str)| {
        let tag = format!("\"{}\"", hex(&Sha256::digest(text)[..16]));
        Asset { name, kind, text, tag }
    };
    files.into_iter().map(tagged).collect()
});

/// The page's own routes: everything at `/` that is not the API.
pub(super) fn routes() -> Router<Parts> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| answer("index.html", &headers)))
        .route("/docs", get(async |headers: HeaderMap| answer("docs.html", &headers)))
        .route("/assets/{name}", get(async |Path(name): Path<String>, headers: HeaderMap| answer(&name, &headers)))
}

/// The file, or 304 where the browser has it.
fn answer(name: &str, asked: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|a| a.name == name) else {
        let detail = format!("the page has no file {name:?}");
        return Problem::new(StatusCode::NOT_FOUND, "request.no_route", detail).into_response();
    };
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let known = known.flat_map(|v| v.split(',')).map(|t| t.trim().trim_start_matches("W/"));
    let fresh = known.into_iter().any(|t| t == "*" || t == asset.tag);
    let mut response = if fresh { StatusCode::NOT_MODIFIED.into_response() } else { asset.text.into_response() };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    if !fresh {
        set(header::CONTENT_TYPE, asset.kind);
    }
    // Kept, and asked about each time: a new binary's page is never mixed with an old one's.
    set(header::CACHE_CONTROL, "no-cache");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(HeaderName::from_static("permissions-policy"), PERMISSIONS);
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_one_names_is_there() {
        for asset in ASSETS.iter() {
            for quoted in asset.text.split(['"', '\'', '`']) {
                let named = quoted.strip_prefix("/assets/").or_else(|| quoted.strip_prefix("./"));
                if let Some(name) = named {
                    assert!(ASSETS.iter().any(|a| a.name == name), "{} names {name}", asset.name);
                }
            }
        }
    }

    #[test]
    fn nothing_is_inline_and_nothing_from_elsewhere() {
        for asset in ASSETS.iter() {
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            for never in ["http://", "https://", "<style", " style=", "onclick=", "javascript:", "eval(", "innerHTML"] {
                assert!(!text.contains(never), "{} holds {never}", asset.name);
            }
        }
    }

    #[test]
    fn a_file_is_sent_once_and_then_known() {
        let first = answer("app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], SCRIPT);
        assert_eq!(first.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let tag = first.headers()[header::ETAG].clone();
        let again = answer("app.js", &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]));
        assert_eq!((again.status(), &again.headers()[header::ETAG]), (StatusCode::NOT_MODIFIED, &tag));
        let other = answer("app.css", &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]));
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(answer("../mod.rs", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
