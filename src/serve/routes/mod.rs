//! Every route, and the answers to what is none.

mod admin;
pub(super) mod backups;
mod batch;
pub(super) mod claim;
mod compare;
mod corrections;
mod embed;
pub(super) mod faces;
mod health;
pub(super) mod identify;
mod keys;
mod library;
mod openapi;
mod people;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access;
use super::compreface;
use super::problem::Problem;
use super::request::around;
use super::state::{Parts, Service};

/// The routes of a service, to be driven with a socket ([`super::run`]) or without.
pub fn router(service: Arc<Service>) -> Router {
    let (api, description) = documented().merge(compreface::routes()).split_for_parts();
    Router::new()
        .merge(api)
        .merge(openapi::route(description, service.engine().dimension()))
        .merge(super::page::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(from_fn_with_state(service.clone(), around))
        .with_state(Parts(service))
}

fn documented() -> OpenApiRouter<Parts> {
    OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(session::show, session::open, session::close))
        .routes(routes!(people::list, people::add))
        .routes(routes!(people::show, people::change, people::forget))
        .routes(routes!(people::merge))
        .routes(routes!(people::split))
        .routes(routes!(faces::enroll))
        .routes(routes!(faces::enroll_batch))
        .routes(routes!(faces::show, faces::forget))
        .routes(routes!(faces::thumbnail))
        .routes(routes!(identify::identify))
        .routes(routes!(identify::identify_batch))
        .routes(routes!(identify::search))
        .routes(routes!(compare::verify))
        .routes(routes!(compare::compare))
        .routes(routes!(claim::verify_person))
        .routes(routes!(embed::detect))
        .routes(routes!(embed::embed))
        .routes(routes!(embed::detect_batch))
        .routes(routes!(embed::embed_batch))
        .routes(routes!(library::status))
        .routes(routes!(library::groups))
        .routes(routes!(library::group, corrections::change))
        .routes(routes!(library::group_faces))
        .routes(routes!(library::no_faces))
        .routes(routes!(library::thumbnail))
        .routes(routes!(library::photos))
        .routes(routes!(library::photo))
        .routes(routes!(library::picture))
        .routes(routes!(library::questions, corrections::answer))
        .routes(routes!(corrections::merge))
        .routes(routes!(corrections::split))
        .routes(routes!(corrections::face))
        .routes(routes!(corrections::group))
        .routes(routes!(access::decide))
        .routes(routes!(admin::galleries))
        .routes(routes!(admin::calibration))
        .routes(routes!(admin::stats))
        .routes(routes!(admin::backup))
        .routes(routes!(admin::audit))
        .routes(routes!(admin::check_audit))
        .routes(routes!(backups::list))
        .routes(routes!(backups::download))
        .routes(routes!(keys::list, keys::make))
        .routes(routes!(keys::revoke))
}

async fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "request.no_route", "there is nothing here; /openapi.json lists the routes")
}

async fn not_so() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "request.method",
        "this route is there, but not for this method; /openapi.json lists the routes",
    )
}
