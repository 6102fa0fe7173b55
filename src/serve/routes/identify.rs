//! `/v1/identify`: who is in this photo?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::batch::Batch;
use super::people::labels;
use crate::engine::thumbnail;
use crate::geometry::BBox;
use crate::json::json;
use crate::media::encode_jpeg;
use crate::serve::audit::Event;
use crate::serve::auth::{Identify, May};
use crate::serve::bodies::{PhotoFile, PhotoFiles, PhotoText, PhotoTexts};
use crate::serve::input::{Form, MOST_VECTORS, Object, Options, Upload, flag};
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::terms::{LabelSought, Name};
use crate::serve::views::{AnswerView, IdentifiedView, IdentifyView};
use crate::serve::work;
use crate::{Database, Embedding, Engine, PersonFilter, Photo, SearchPolicy, TemplateRule};

/// Most people that are named for a face.
const MOST_PEOPLE: usize = 100;

/// How the gallery is searched.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Name at most this many people, 1 to 100; 3 when not said.
    #[param(minimum = 1, maximum = 100)]
    top: Option<usize>,
    /// Share of strangers who may be taken for somebody; 0.01 when not said.
    #[param(exclusive_minimum = 0, exclusive_maximum = 1)]
    max_fpir: Option<f64>,
    /// Bound the false-match rate of each comparison instead.
    #[param(exclusive_minimum = 0, exclusive_maximum = 1)]
    max_fmr: Option<f64>,
    /// Decide at this distance instead, above 0 and at most 2.
    #[param(exclusive_minimum = 0, maximum = 2)]
    threshold: Option<f32>,
    /// `best`: a person's nearest face counts (when not said); `mean`: the mean of their faces.
    #[param(pattern = "^(best|mean)$")]
    by: Option<String>,
    /// Only people in this group; said again, in all of them.
    #[serde(default)]
    group: Vec<String>,
    /// Only people with this label, as `key=value`; said again, with all of them.
    #[serde(default)]
    #[param(value_type = Vec<LabelSought>, inline)]
    label: Vec<String>,
}

impl Search {
    pub(super) fn policy(self) -> Result<SearchPolicy, Problem> {
        let bad = |detail: String| Err(Problem::bad("request.bad_option", detail));
        let said = [self.max_fpir.is_some(), self.max_fmr.is_some(), self.threshold.is_some()];
        if said.into_iter().filter(|s| *s).count() > 1 {
            return bad("say one of max_fpir, max_fmr and threshold".to_string());
        }
        let top = self.top.unwrap_or(3);
        if !(1..=MOST_PEOPLE).contains(&top) {
            return bad(format!("top must be 1 to {MOST_PEOPLE}"));
        }
        let by = match self.by.as_deref() {
            None | Some("best") => TemplateRule::Best,
            Some("mean") => TemplateRule::Mean,
            Some(other) => return bad(format!("by is best or mean, not {other:?}")),
        };
        Ok(SearchPolicy {
            top,
            max_fpir: self.max_fpir.unwrap_or(SearchPolicy::DEFAULT_FPIR),
            max_fmr: self.max_fmr,
            threshold: self.threshold,
            by,
            filter: PersonFilter { groups: self.group, labels: labels(&self.label)? },
        })
    }
}

/// What is answered beside the names.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Shown {
    /// Answer each face as a picture, too.
    #[serde(default, deserialize_with = "flag")]
    with_crops: bool,
}

impl Shown {
    const OPTIONS: &[&str] = &["with_crops"];
}

/// Who is in this photo? Every face is answered; a photo without a face has an empty list. An unknown face is enrolled by
/// sending the photo again to `/v1/people/{name}/faces` with `face` as its number
#[utoipa::path(post, path = "/v1/identify", tag = "identify", params(("gallery" = inline(Option<Name>), Query), Search, Shown),
    request_body(content((PhotoFile = "multipart/form-data"), (PhotoText = "application/json"), (Vec<u8> = "image/jpeg"))),
    responses((status = 200, body = IdentifyView)))]
pub(super) async fn identify(
    State(service): State<Arc<Service>>,
    may: May<Identify>,
    form: Form,
) -> Result<Json<IdentifyView>, Problem> {
    let photo = form.one()?.clone();
    let (shown, search) = form.options_apart::<Shown, Search>(Shown::OPTIONS)?;
    let asked = (search.policy()?, shown.with_crops);
    Ok(Json(identify_photo(&service, may.event("identify"), may.gallery.clone(), asked, photo).await?))
}

/// Who is in several photos? Each is answered, or refused, by itself
#[utoipa::path(post, path = "/v1/batch/identify", tag = "identify", params(("gallery" = inline(Option<Name>), Query), Search, Shown),
    request_body(content((PhotoFiles = "multipart/form-data"), (PhotoTexts = "application/json"))),
    responses((status = 200, body = Batch<IdentifyView>)))]
pub(super) async fn identify_batch(
    State(service): State<Arc<Service>>,
    may: May<Identify>,
    form: Form,
) -> Result<Json<Batch<IdentifyView>>, Problem> {
    let photos = form.several()?;
    let (shown, search) = form.options_apart::<Shown, Search>(Shown::OPTIONS)?;
    let asked = (search.policy()?, shown.with_crops);
    let identify = |p| identify_photo(&service, may.event("identify"), may.gallery.clone(), asked.clone(), p);
    Ok(Json(Batch::of(&service, photos, identify).await))
}

async fn identify_photo(
    service: &Arc<Service>,
    event: Event,
    gallery: String,
    (policy, with_crops): (SearchPolicy, bool),
    photo: Upload,
) -> Result<IdentifyView, Problem> {
    let work = service.with_networks(move |s| {
        let (database, engine) = (s.database(), s.engine());
        // Refused before any network runs, not after.
        let searched = database.searched(&gallery, &policy)?;
        Database::threshold(&policy, engine.calibration(), engine.model(), searched)?;
        let (photo, faces) = work::faces(s, &photo)?;
        let identify = |(number, f): (usize, &crate::Face)| -> Result<IdentifiedView, Problem> {
            let answer = database.identify(&gallery, &f.embedding, &policy, engine.calibration())?;
            let crop = with_crops.then(|| crop(&photo, &f.bbox, f.turned)).transpose()?;
            Ok(IdentifiedView { number, crop, found: f.into(), answer: answer.into() })
        };
        Ok::<_, Problem>(IdentifyView {
            faces: (1..).zip(&faces).map(identify).collect::<Result<_, _>>()?,
            model: engine.model().to_string(),
            width: photo.width(),
            height: photo.height(),
            gallery,
        })
    });
    let told = |answer: &IdentifyView, event: &mut Event| {
        let names = answer.faces.iter().map(|f| f.answer.name.as_deref().unwrap_or("unknown"));
        event.evidence = json!({ "faces": names.collect::<Vec<_>>() });
    };
    service.audited(event, work, told).await
}

/// A face in its surroundings, as a data URL.
fn crop(photo: &Photo, bbox: &BBox, turned: u16) -> Result<String, Problem> {
    let jpeg = encode_jpeg(&thumbnail(photo.raster(), bbox, turned)).map_err(crate::Error::from)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

/// Vectors to search for, as `/v1/embed` answers them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Probes {
    /// The model that made them: one that is not the service's is refused.
    model: Option<String>,
    /// One vector; it is scaled to length one.
    embedding: Option<Vec<f32>>,
    /// Or several, at most 256.
    #[schema(min_items = 1, max_items = 256)]
    embeddings: Option<Vec<Vec<f32>>>,
}

/// Who each vector is, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::serve) struct SearchView {
    gallery: String,
    model: String,
    answers: Vec<AnswerView>,
}

/// Who are these vectors? No photo, no network: as fast as the index
#[utoipa::path(post, path = "/v1/search", tag = "identify", params(("gallery" = inline(Option<Name>), Query), Search),
    request_body = Probes, responses((status = 200, body = SearchView)))]
pub(super) async fn search(
    State(service): State<Arc<Service>>,
    may: May<Identify>,
    Options(options): Options<Search>,
    Object(probes, _): Object<Probes>,
) -> Result<Json<SearchView>, Problem> {
    let policy = options.policy()?;
    let event = may.event("search");
    let work = service.with_searches(move |s| {
        let (database, engine) = (s.database(), s.engine());
        let probes = embeddings(engine, probes.model.as_deref(), probes.embedding, probes.embeddings)?;
        let identify = |probe: &Embedding| -> Result<AnswerView, Problem> {
            Ok(database.identify(&may.gallery, probe, &policy, engine.calibration())?.into())
        };
        let answers = probes.iter().map(identify).collect::<Result<_, _>>()?;
        Ok::<_, Problem>(SearchView { gallery: may.gallery, model: engine.model().to_string(), answers })
    });
    let told = |found: &SearchView, event: &mut Event| {
        let names = found.answers.iter().map(|a| a.name.as_deref().unwrap_or("unknown"));
        event.evidence = json!({ "vectors": names.collect::<Vec<_>>() });
    };
    Ok(Json(service.audited(event, work, told).await?))
}

/// Numbers of a caller as vectors of the engine's model.
pub(in crate::serve) fn embeddings(
    engine: &Engine,
    model: Option<&str>,
    one: Option<Vec<f32>>,
    several: Option<Vec<Vec<f32>>>,
) -> Result<Vec<Embedding>, Problem> {
    let given = match (one, several) {
        (Some(one), None) => vec![one],
        (None, Some(several)) if (1..=MOST_VECTORS).contains(&several.len()) => several,
        (None, Some(_)) => {
            return Err(Problem::bad("request.vectors", format!("embeddings takes 1 to {MOST_VECTORS} vectors")));
        }
        _ => return Err(Problem::bad("request.vectors", "say embedding, or embeddings")),
    };
    if model.is_some_and(|m| m != engine.model().as_str()) {
        let detail = format!("these vectors are of another model; the service's is {}", engine.model());
        return Err(Problem::new(StatusCode::CONFLICT, "model.mixed_models", detail));
    }
    let dimension = engine.dimension();
    if let Some(wrong) = given.iter().find(|v| v.len() != dimension) {
        let detail = format!("a vector has {} numbers, the model's have {dimension}", wrong.len());
        return Err(Problem::bad("request.vectors", detail));
    }
    given.into_iter().map(|v| Ok(Embedding::from_raw(v, engine.model().clone())?)).collect()
}
