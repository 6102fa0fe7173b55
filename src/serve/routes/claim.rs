//! `/v1/people/{name}/verify`: is it the person that it is said to be?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::compare::{Line, one_face, policy};
use crate::json::json;
use crate::serve::audit::Event;
use crate::serve::auth::{Identify, May};
use crate::serve::bodies::{PhotoFile, PhotoText};
use crate::serve::input::{Form, Path};
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::terms::Name;
use crate::serve::views::SeenView;
use crate::{Database, Embedding, SearchPolicy, Threshold};

/// Whether a face is the enrolled person's, and what that rests on.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct ClaimView {
    pub name: String,
    pub same: bool,
    /// The person's nearest face; null where they have none.
    pub face: Option<u64>,
    /// Distance to it.
    pub distance: Option<f32>,
    /// In percent; null where the person has no face, or the model no calibration.
    pub similarity: Option<f32>,
    /// A stranger is compared with every face of the person: the rate holds for all of them together.
    pub threshold: Threshold,
    /// Faces of the person.
    pub compared: usize,
    /// Id of the calibration record.
    pub calibration: Option<String>,
    /// The face in the photo; null where a vector was sent.
    pub seen: Option<SeenView>,
    /// Groups of the person.
    #[serde(skip)]
    pub groups: Vec<String>,
}

/// Is this face the person's? `max_fmr` bounds the chance of a stranger over all of the person's faces.
pub(in crate::serve) fn claim(
    service: &Service,
    gallery: &str,
    name: &str,
    probe: &Embedding,
    max_fmr: f64,
    threshold: Option<f32>,
) -> Result<ClaimView, Problem> {
    let (person, nearest) = service.database().nearest_face_of(gallery, name, probe)?;
    let engine = service.engine();
    let policy = SearchPolicy { max_fpir: max_fmr, threshold, ..SearchPolicy::default() };
    let line = Database::threshold(&policy, engine.calibration(), engine.model(), person.faces)?;
    let distance = nearest.map(|(_, d)| d);
    Ok(ClaimView {
        name: person.name,
        same: distance.is_some_and(|d| d <= line.distance),
        face: nearest.map(|(f, _)| f),
        distance,
        similarity: distance.zip(engine.calibration()).map(|(d, c)| c.similarity_at(line.distance, d)),
        threshold: line,
        compared: person.faces,
        calibration: engine.calibration().map(crate::Calibration::id),
        seen: None,
        groups: person.groups,
    })
}

/// Does this photo show that person?
#[utoipa::path(post, path = "/v1/people/{name}/verify", tag = "identify",
    params(("name" = inline(Name), Path), ("gallery" = inline(Option<Name>), Query), Line),
    request_body(content((PhotoFile = "multipart/form-data"), (PhotoText = "application/json"), (Vec<u8> = "image/jpeg"))),
    responses((status = 200, body = ClaimView)))]
pub(super) async fn verify_person(
    State(service): State<Arc<Service>>,
    may: May<Identify>,
    Path(name): Path<String>,
    form: Form,
) -> Result<Json<ClaimView>, Problem> {
    let photo = form.one()?.clone();
    let line = form.options::<Line>()?;
    policy(line.max_fmr, line.threshold)?;
    let which = line.selection()?;
    let rate = line.max_fmr.unwrap_or(crate::Calibration::MIDPOINT_FMR);
    let event = may.event_about("verify person", &name);
    let work = service.with_networks(move |s| {
        // A name that is not there is told before any network runs.
        s.database().faces_page(&may.gallery, Some(&name), 0, 0)?;
        let (seen, face) = one_face(s, &photo, which)?;
        let claimed = claim(s, &may.gallery, &name, &face.embedding, rate, line.threshold)?;
        Ok::<_, Problem>(ClaimView { seen: Some(seen.into()), ..claimed })
    });
    let told = |c: &ClaimView, e: &mut Event| e.evidence = json!({ "same": c.same, "distance": c.distance });
    Ok(Json(service.audited(event, work, told).await?))
}
