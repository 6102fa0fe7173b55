//! The pictures of saved faces: the thumbnail that was kept, as JPEG.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::super::auth::{AtHome, Gate, Known, May, Read};
use super::super::input::Path;
use super::super::problem::Problem;
use super::super::routes::faces::thumbnail_of;
use super::super::state::Service;
use super::ids;

/// The face as it was saved, with its surroundings
#[utoipa::path(get, path = "/api/v1/recognition/faces/{image_id}/img", tag = "compreface", operation_id = "compreface_face_image",
    params(("image_id" = String, Path, format = "uuid")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg")))]
pub(super) async fn image(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Read>,
    Path(image_id): Path<String>,
) -> Result<Response, Problem> {
    answer(&service, &may, &image_id).await
}

/// The face as it was saved, for a page that can send no header: the key is in the path
#[utoipa::path(get, path = "/api/v1/static/{api_key}/images/{image_id}", tag = "compreface", operation_id = "compreface_face_image_by_key",
    params(("api_key" = String, Path), ("image_id" = String, Path, format = "uuid")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg")))]
pub(super) async fn image_by_key(
    State(service): State<Arc<Service>>,
    State(gate): State<Arc<Gate>>,
    Path((api_key, image_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let may = Known::<Read>::by_key(&gate, &api_key, &headers).await?.at_home()?;
    answer(&service, &may, &image_id).await
}

async fn answer(service: &Arc<Service>, may: &May<Read>, image_id: &str) -> Result<Response, Problem> {
    let (face, gallery) = (ids::known(image_id)?, may.gallery.clone());
    let bytes = thumbnail_of(service, gallery, face).await?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}
