//! `/v1/detect` and `/v1/embed`: the faces of a photo.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::serve::audit::Event;
use crate::serve::auth::{Identify, Known};
use crate::serve::input::Form;
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::views::FoundView;
use crate::serve::work;

/// Nothing can be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// A face that was found, and how good its picture is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MeasuredView {
    #[serde(flatten)]
    found: FoundView,
    /// Between the eyes, in pixels.
    eye_distance: f32,
    /// Standard deviation of the luma's Laplacian: 0 for an even surface.
    sharpness: f32,
    /// Mean luma, 0 to 1.
    brightness: f32,
    /// Yaw, pitch and roll in degrees.
    pose: [f32; 3],
}

/// The faces of a photo.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DetectView {
    detector: String,
    /// Size of the upright photo in pixels.
    width: u32,
    height: u32,
    /// Most confident first.
    faces: Vec<MeasuredView>,
}

/// Where are the faces, and how good are they?
#[utoipa::path(post, path = "/v1/detect", tag = "identify",
    request_body(content_type = "multipart/form-data"), responses((status = 200, body = DetectView)))]
pub(super) async fn detect(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<DetectView>, Problem> {
    form.options::<NoOptions>()?;
    let upload = form.one()?.clone();
    let work = service.with_networks(move |s| {
        let photo = work::decode(s, &upload)?;
        let found = work::find(s, &photo)?;
        let quality = s.engine().quality(&photo, &found)?;
        let faces = found.iter().zip(&quality).map(|(d, q)| MeasuredView {
            found: d.into(),
            eye_distance: q.eye_distance,
            sharpness: q.sharpness,
            brightness: q.brightness,
            pose: [q.yaw, q.pitch, q.roll],
        });
        Ok::<_, Problem>(DetectView {
            detector: s.engine().detector().to_string(),
            width: photo.width(),
            height: photo.height(),
            faces: faces.collect(),
        })
    });
    let told = |d: &DetectView, e: &mut Event| e.evidence = json!({ "faces": d.faces.len() });
    Ok(Json(service.audited(known.caller.event("detect"), work, told).await?))
}

/// A face, and its vector.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VectorView {
    #[serde(flatten)]
    found: FoundView,
    /// The unit vector. It is biometric data: keep it as you would keep the photo.
    embedding: Vec<f32>,
}

/// The vectors of a photo's faces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbedView {
    /// The model that made them: only vectors of one model can be compared.
    model: String,
    /// Size of the upright photo in pixels.
    width: u32,
    height: u32,
    /// Most confident first.
    faces: Vec<VectorView>,
}

/// The faces as vectors, for `/v1/search`
#[utoipa::path(post, path = "/v1/embed", tag = "identify",
    request_body(content_type = "multipart/form-data"), responses((status = 200, body = EmbedView)))]
pub(super) async fn embed(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<EmbedView>, Problem> {
    form.options::<NoOptions>()?;
    let upload = form.one()?.clone();
    let work = service.with_networks(move |s| {
        let (photo, faces) = work::faces(s, &upload)?;
        let vector = |f: &crate::Face| VectorView { found: f.into(), embedding: f.embedding.values().to_vec() };
        Ok::<_, Problem>(EmbedView {
            model: s.engine().model().to_string(),
            width: photo.width(),
            height: photo.height(),
            faces: faces.iter().map(vector).collect(),
        })
    });
    let told = |d: &EmbedView, e: &mut Event| e.evidence = json!({ "faces": d.faces.len() });
    Ok(Json(service.audited(known.caller.event("embed"), work, told).await?))
}
