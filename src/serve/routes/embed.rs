//! `/v1/detect` and `/v1/embed`: the faces of a photo, or of several.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::batch::Batch;
use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Identify, Known};
use crate::serve::bodies::{PhotoFile, PhotoFiles, PhotoText, PhotoTexts};
use crate::serve::input::{Form, Upload};
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
    /// How likely mouth and nose are hidden, 0 to 1.
    mouth_covered: f32,
    /// How likely the eyes are hidden, 0 to 1.
    eyes_covered: f32,
    /// How likely the face is upside down, 0 to 1.
    inverted: f32,
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
    request_body(content((PhotoFile = "multipart/form-data"), (PhotoText = "application/json"), (Vec<u8> = "image/jpeg"))),
    responses((status = 200, body = DetectView)))]
pub(super) async fn detect(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<DetectView>, Problem> {
    form.options::<NoOptions>()?;
    Ok(Json(detect_photo(&service, known.caller.event("detect"), form.one()?.clone()).await?))
}

/// Where are the faces of several photos? Each is answered, or refused, by itself
#[utoipa::path(post, path = "/v1/batch/detect", tag = "identify",
    request_body(content((PhotoFiles = "multipart/form-data"), (PhotoTexts = "application/json"))),
    responses((status = 200, body = Batch<DetectView>)))]
pub(super) async fn detect_batch(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<Batch<DetectView>>, Problem> {
    form.options::<NoOptions>()?;
    let detect = |p| detect_photo(&service, known.caller.event("detect"), p);
    Ok(Json(Batch::of(&service, form.several()?, detect).await))
}

async fn detect_photo(service: &Arc<Service>, event: Event, upload: Upload) -> Result<DetectView, Problem> {
    let work = service.with_networks(move |s| {
        let photo = work::decode(s, &upload)?;
        let found = work::find(s, &photo)?;
        let quality = s.engine().quality(&photo, &found)?;
        let faces = found.iter().zip(&quality).map(|(d, q)| MeasuredView {
            found: d.into(),
            eye_distance: q.eye_distance,
            sharpness: q.sharpness,
            brightness: q.brightness,
            pose: q.pose(),
            mouth_covered: q.cover.unwrap_or_default().mouth_covered,
            eyes_covered: q.cover.unwrap_or_default().eyes_covered,
            inverted: q.cover.unwrap_or_default().inverted,
        });
        Ok::<_, Problem>(DetectView {
            detector: s.engine().detector().to_string(),
            width: photo.width(),
            height: photo.height(),
            faces: faces.collect(),
        })
    });
    let told = |d: &DetectView, e: &mut Event| e.evidence = json!({ "faces": d.faces.len() });
    service.audited(event, work, told).await
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
    request_body(content((PhotoFile = "multipart/form-data"), (PhotoText = "application/json"), (Vec<u8> = "image/jpeg"))),
    responses((status = 200, body = EmbedView)))]
pub(super) async fn embed(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<EmbedView>, Problem> {
    form.options::<NoOptions>()?;
    Ok(Json(embed_photo(&service, known.caller.event("embed"), form.one()?.clone()).await?))
}

/// The faces of several photos as vectors. Each photo is answered, or refused, by itself
#[utoipa::path(post, path = "/v1/batch/embed", tag = "identify",
    request_body(content((PhotoFiles = "multipart/form-data"), (PhotoTexts = "application/json"))),
    responses((status = 200, body = Batch<EmbedView>)))]
pub(super) async fn embed_batch(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<Batch<EmbedView>>, Problem> {
    form.options::<NoOptions>()?;
    let embed = |p| embed_photo(&service, known.caller.event("embed"), p);
    Ok(Json(Batch::of(&service, form.several()?, embed).await))
}

async fn embed_photo(service: &Arc<Service>, event: Event, upload: Upload) -> Result<EmbedView, Problem> {
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
    service.audited(event, work, told).await
}
