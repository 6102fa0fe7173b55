//! The same questions about vectors, as the plugin `calculator` answers them: no photo, no network.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::audit::Event;
use super::super::auth::{AtHome, Identify, Known};
use super::super::input::{Object, Options, Path};
use super::super::problem::Problem;
use super::super::routes::identify::embeddings;
use super::super::state::Service;
use super::alike::{scale, similarity};
use super::ids;
use super::options::Predictions;
use super::recognition::like;
use super::views::{ComparedEmbedding, RecognizedEmbedding, VectorAnswer};
use crate::json::json;
use crate::{Embedding, Engine};

/// Vectors of the service's model.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = compreface::Embeddings)]
pub(super) struct Embeddings {
    /// 1 to 256 vectors; each is scaled to length one.
    #[schema(min_items = 1, max_items = 256)]
    embeddings: Vec<Vec<f32>>,
}

/// A vector, and those to hold against it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = compreface::SourceAndTargets)]
pub(super) struct SourceAndTargets {
    source: Vec<f32>,
    /// 1 to 256 vectors.
    #[schema(min_items = 1, max_items = 256)]
    targets: Vec<Vec<f32>>,
}

/// The vectors as the engine compares them, each beside what was sent.
fn paired(engine: &Engine, sent: Vec<Vec<f32>>) -> Result<Vec<(Vec<f32>, Embedding)>, Problem> {
    let probes = embeddings(engine, None, None, Some(sent.clone()))?;
    Ok(sent.into_iter().zip(probes).collect())
}

/// Who are these vectors?
#[utoipa::path(post, path = "/api/v1/recognition/embeddings/recognize", tag = "compreface", operation_id = "compreface_recognize_embeddings", params(Predictions),
    request_body = Embeddings, responses((status = 200, body = VectorAnswer<RecognizedEmbedding>)))]
pub(super) async fn recognize(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Identify>,
    Options(predictions): Options<Predictions>,
    Object(Embeddings { embeddings }, _): Object<Embeddings>,
) -> Result<Json<VectorAnswer<RecognizedEmbedding>>, Problem> {
    let count = predictions.count()?;
    let event = may.event("search");
    let work = service.with_searches(move |s| {
        let recognize = |(embedding, probe): (Vec<f32>, Embedding)| -> Result<RecognizedEmbedding, Problem> {
            Ok(RecognizedEmbedding { embedding, similarities: like(s, &may.gallery, &probe, count)? })
        };
        let result = paired(s.engine(), embeddings)?.into_iter().map(recognize).collect::<Result<_, _>>()?;
        Ok::<_, Problem>(VectorAnswer { result })
    });
    let told = |a: &VectorAnswer<RecognizedEmbedding>, e: &mut Event| {
        let names = a.result.iter().map(|r| r.similarities.first().map(|s| &s.subject));
        e.evidence = json!({ "vectors": names.collect::<Vec<_>>() });
    };
    Ok(Json(service.audited(event, work, told).await?))
}

fn tell(answer: &VectorAnswer<ComparedEmbedding>, event: &mut Event) {
    event.evidence = json!({ "similarity": answer.result.iter().map(|r| r.similarity).collect::<Vec<_>>() });
}

/// How like are these vectors to a saved face?
#[utoipa::path(post, path = "/api/v1/recognition/embeddings/faces/{image_id}/verify", tag = "compreface", operation_id = "compreface_verify_embeddings_of_face",
    params(("image_id" = String, Path, format = "uuid")), request_body = Embeddings,
    responses((status = 200, body = VectorAnswer<ComparedEmbedding>)))]
pub(super) async fn verify_example(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Identify>,
    Path(image_id): Path<String>,
    Object(Embeddings { embeddings }, _): Object<Embeddings>,
) -> Result<Json<VectorAnswer<ComparedEmbedding>>, Problem> {
    let known = ids::known(&image_id)?;
    let event = may.event("verify person");
    let work = service.with_searches(move |s| {
        let calibration = scale(s.engine())?;
        let compare = |(embedding, probe): (Vec<f32>, Embedding)| -> Result<ComparedEmbedding, Problem> {
            let distance = s.database().distance_to_face(&may.gallery, known, &probe)?;
            Ok(ComparedEmbedding { embedding, similarity: similarity(calibration, distance) })
        };
        let result = paired(s.engine(), embeddings)?.into_iter().map(compare).collect::<Result<_, _>>()?;
        Ok::<_, Problem>(VectorAnswer { result })
    });
    Ok(Json(service.audited(event, work, tell).await?))
}

/// How like are these vectors to another?
#[utoipa::path(post, path = "/api/v1/verification/embeddings/verify", tag = "compreface", operation_id = "compreface_verify_embeddings",
    request_body = SourceAndTargets, responses((status = 200, body = VectorAnswer<ComparedEmbedding>)))]
pub(super) async fn verify(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    Object(SourceAndTargets { source, targets }, _): Object<SourceAndTargets>,
) -> Result<Json<VectorAnswer<ComparedEmbedding>>, Problem> {
    let work = service.with_searches(move |s| {
        let calibration = scale(s.engine())?;
        let source = embeddings(s.engine(), None, Some(source), None)?.remove(0);
        let compare = |(embedding, target): (Vec<f32>, Embedding)| -> Result<ComparedEmbedding, Problem> {
            Ok(ComparedEmbedding { embedding, similarity: similarity(calibration, source.distance(&target)?) })
        };
        let result = paired(s.engine(), targets)?.into_iter().map(compare).collect::<Result<_, _>>()?;
        Ok::<_, Problem>(VectorAnswer { result })
    });
    Ok(Json(service.audited(known.caller.event("verify"), work, tell).await?))
}
