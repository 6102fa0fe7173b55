//! `/api/v1`: the routes that CompreFace's clients speak (Double Take, home automation, the SDKs), on the same
//! engine, keys, pools, limits and audit log as `/v1`.
//!
//! | there | here |
//! | --- | --- |
//! | API key of a service | a key of kith; each call needs the role that its twin under `/v1` needs |
//! | collection | the gallery that the key is for: its only one, else the default one |
//! | subject | person |
//! | example, `image_id` | face, its number as a UUID ([`ids`]) |
//! | saved image | the thumbnail: kept of every face that these routes add |
//! | similarity, 0 to 1 | kith's calibrated similarity: 0.5 at the threshold for a false-match rate of 1 in 1000 |
//!
//! Where the two differ, kith refuses rather than guesses: plugins that it does not have, crops that were cut
//! by somebody else (`detect_faces=false`), photos that its enrolment gate does not take.

mod alike;
mod embeddings;
mod examples;
mod fault;
mod ids;
mod images;
mod look;
mod options;
mod recognition;
mod subjects;
mod views;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use fault::{Fault, fault};

use super::state::Parts;

/// What every path here begins with.
pub(super) const ROOT: &str = "/api/v1/";

/// Whether the path is one that CompreFace's clients ask.
pub(super) fn is_theirs(path: &str) -> bool {
    path.starts_with(ROOT)
}

/// Every route of theirs.
pub(super) fn routes() -> OpenApiRouter<Parts> {
    OpenApiRouter::new()
        .routes(routes!(subjects::list, subjects::add, subjects::delete_all))
        .routes(routes!(subjects::list_at_slash))
        .routes(routes!(subjects::rename, subjects::delete))
        .routes(routes!(examples::list, examples::add, examples::delete_all))
        .routes(routes!(examples::delete))
        .routes(routes!(examples::delete_several))
        .routes(routes!(images::image))
        .routes(routes!(images::image_by_key))
        .routes(routes!(recognition::recognize))
        .routes(routes!(recognition::verify_example))
        .routes(routes!(recognition::detect))
        .routes(routes!(recognition::verify))
        .routes(routes!(embeddings::recognize))
        .routes(routes!(embeddings::verify_example))
        .routes(routes!(embeddings::verify))
}
