//! The page at `/`: who is enrolled, who is in a photo, how alike two photos are.

use std::sync::Arc;

use axum::Router;

use super::state::Service;

/// The page's own routes: everything at `/` that is not the API.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
}
