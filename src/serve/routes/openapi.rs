//! `/openapi.json`: the API's description, made from the handlers themselves.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ArrayItems, KnownFormat, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder,
    Schema, SecurityRequirement, Server,
};
use utoipa::{PartialSchema, ToSchema};

use crate::serve::compreface::{self, Fault};
use crate::serve::problem::Problem;
use crate::serve::state::Parts;

/// Everything but these needs a key in a header.
const OPEN: [&str; 5] =
    ["/healthz/live", "/healthz/ready", "/openapi.json", "/session", "/api/v1/static/{api_key}/images/{image_id}"];
/// What any route may answer beside its own answer.
const PROBLEMS: [(&str, &str); 13] = [
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
    ("504", "It took too long"),
];
/// Answers that are described by nothing but what they hold.
const DONE: [(&str, &str); 3] =
    [("200", "Done"), ("201", "Done, and something new is there"), ("204", "Done; there is nothing more to say")];
/// Those that CompreFace's clients are told as 400.
const THEIR_400: [&str; 3] = ["409", "415", "422"];

/// Bodies that hold vectors of the model.
const WITH_VECTORS: [&str; 3] = ["Probes", "compreface.Embeddings", "compreface.SourceAndTargets"];

/// Says how many numbers a vector has, wherever the schema has one.
fn measure(schema: &mut RefOr<Schema>, dimension: usize) {
    match schema {
        RefOr::T(Schema::Object(object)) => object.properties.values_mut().for_each(|p| measure(p, dimension)),
        RefOr::T(Schema::Array(array)) => {
            let ArrayItems::RefOrSchema(items) = &mut array.items else { return };
            match items.as_mut() {
                RefOr::T(Schema::Object(number)) if number.schema_type == SchemaType::Type(Type::Number) => {
                    (array.min_items, array.max_items) = (Some(dimension), Some(dimension));
                }
                other => measure(other, dimension),
            }
        }
        _ => {}
    }
}

/// The bytes of an image are bytes: the macros make an array of numbers of them.
fn as_bytes<'a>(contents: impl Iterator<Item = (&'a String, &'a mut RefOr<Content>)>) {
    for (kind, content) in contents {
        if let RefOr::T(content) = content
            && kind.starts_with("image/")
        {
            let bytes = ObjectBuilder::new().schema_type(Type::String);
            let bytes = bytes.format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))).build();
            content.schema = Some(RefOr::T(Schema::Object(bytes)));
        }
    }
}

/// What the macros do not say: who made it, where it is, keys, what an answer means, the problems that any route may
/// answer, and how many f32 values the model's vectors have.
fn complete(mut api: OpenApi, dimension: usize) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("kith")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Who is this face? Enrol people, identify, verify and compare faces, decide on access."))
        .build();
    // Where the description itself came from.
    api.servers = Some(vec![Server::new("/")]);
    let components = api.components.get_or_insert_with(Components::new);
    components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let header = ApiKey::Header(ApiKeyValue::new("x-api-key"));
    components.add_security_scheme("x-api-key", SecurityScheme::ApiKey(header));
    components.schemas.insert(Fault::name().into_owned(), Fault::schema());
    for (_, schema) in components.schemas.iter_mut().filter(|(name, _)| WITH_VECTORS.contains(&name.as_str())) {
        measure(schema, dimension);
    }
    for (path, item) in &mut api.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete_operation(path, operation);
        }
    }
    api
}

fn complete_operation(path: &str, operation: &mut Operation) {
    let theirs = compreface::is_theirs(path);
    if !OPEN.contains(&path) {
        let none: [&str; 0] = [];
        let keys = ["key", "x-api-key"].map(|scheme| SecurityRequirement::new(scheme, none));
        operation.security = Some(keys.into());
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        as_bytes(body.content.iter_mut());
        // No call does without a body that it takes.
        body.required = Some(Required::True);
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        as_bytes(response.content.iter_mut());
        if response.description.is_empty() {
            let known = DONE.iter().chain(&PROBLEMS).find(|(s, _)| s == status);
            response.description = known.map_or("", |(_, words)| words).to_string();
        }
    }
    let (schema, kind) = match theirs {
        true => (Fault::name(), "application/json"),
        false => (Problem::name(), "application/problem+json"),
    };
    for (status, description) in PROBLEMS {
        if theirs && THEIR_400.contains(&status) {
            continue;
        }
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema.as_ref()))).build();
        let problem = ResponseBuilder::new().description(description).content(kind, body).build();
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(problem));
    }
}

/// The route that answers it.
pub(super) fn route(api: OpenApi, dimension: usize) -> Router<Parts> {
    let text = complete(api, dimension).to_json().unwrap_or_else(|e| {
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
