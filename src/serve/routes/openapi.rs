//! `/openapi.json`: the API's description, made from the handlers themselves.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement,
};

use crate::serve::state::Service;

/// Everything but these needs a key.
const OPEN: [&str; 4] = ["/healthz/live", "/healthz/ready", "/openapi.json", "/session"];
/// What any route may answer beside its own answer.
const PROBLEMS: [(&str, &str); 12] = [
    ("400", "The request cannot be understood"),
    ("401", "No key, or a wrong one"),
    ("403", "The key lacks the role or the gallery"),
    ("404", "Nothing of that name"),
    ("408", "The body did not arrive in time"),
    ("409", "It contradicts what is there"),
    ("413", "Too large"),
    ("415", "Of another kind than is taken"),
    ("422", "Understood, and refused: no face, poor quality, unsupported rate"),
    ("429", "This key asks too often; see Retry-After"),
    ("500", "The service failed; the log says why"),
    ("503", "Overloaded or stopping; see Retry-After"),
];

/// What the macros do not say: who made it, keys, and the problems that any route may answer.
fn complete(mut api: OpenApi) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("kith")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Who is this face? Enrol people, identify, verify and compare faces, decide on access."))
        .build();
    let components = api.components.get_or_insert_with(Components::new);
    components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for (path, item) in &mut api.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            if !OPEN.contains(&path.as_str()) {
                let none: [&str; 0] = [];
                operation.security = Some(vec![SecurityRequirement::new("key", none)]);
            }
            for (status, description) in PROBLEMS {
                let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let problem =
                    ResponseBuilder::new().description(description).content("application/problem+json", body).build();
                let answers = &mut operation.responses.responses;
                answers.entry(status.to_string()).or_insert(RefOr::T(problem));
            }
        }
    }
    api
}

/// The route that answers it.
pub(super) fn route(api: OpenApi) -> Router<Arc<Service>> {
    let text = complete(api).to_json().unwrap_or_else(|e| {
        tracing::error!(error = %e, "the API's description cannot be written");
        "{}".to_string()
    });
    let text = Bytes::from(text);
    Router::new().route(
        "/openapi.json",
        get(move || {
            let text = text.clone();
            async move { ([(header::CONTENT_TYPE, "application/json")], text) }
        }),
    )
}
