//! `/v1/identify`: who is in this photo?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::people::labels;
use crate::serve::auth::{Identify, May};
use crate::serve::input::Form;
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::views::{IdentifiedView, IdentifyView};
use crate::serve::work;
use crate::{By, Database, PersonFilter, SearchPolicy};

/// Most people that are named for a face.
const MOST_PEOPLE: usize = 100;

/// How the gallery is searched.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Name at most this many people, 1 to 100; 3 when not said.
    top: Option<usize>,
    /// Share of strangers who may be taken for somebody; 0.01 when not said.
    max_fpir: Option<f64>,
    /// Bound the false-match rate of each comparison instead.
    max_fmr: Option<f64>,
    /// Decide at this distance instead, above 0 and at most 2.
    threshold: Option<f32>,
    /// `best`: a person's nearest face counts (when not said); `mean`: the mean of their faces.
    by: Option<String>,
    /// Only people in this group; said again, in all of them.
    #[serde(default)]
    group: Vec<String>,
    /// Only people with this label, as `key=value`; said again, with all of them.
    #[serde(default)]
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
            None | Some("best") => By::Best,
            Some("mean") => By::Mean,
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

/// Who is in this photo? Every face is answered; a photo without a face has an empty list
#[utoipa::path(post, path = "/v1/identify", tag = "identify", params(("gallery" = Option<String>, Query), Search),
    request_body(content_type = "multipart/form-data"),
    responses((status = 200, body = IdentifyView)))]
pub(super) async fn identify(
    State(service): State<Arc<Service>>,
    may: May<Identify>,
    form: Form,
) -> Result<Json<IdentifyView>, Problem> {
    let photo = form.one()?.clone();
    let policy = form.options::<Search>()?.policy()?;
    let answer = service
        .with_networks(move |s| {
            let gallery = &may.gallery;
            let (database, engine) = (s.database(), s.engine());
            // Refused before any network runs, not after.
            let searched = database.searched(gallery, &policy)?;
            Database::threshold(&policy, engine.calibration(), engine.model(), searched)?;
            let (photo, faces) = work::faces(s, &photo)?;
            let identify = |f: &crate::Face| -> Result<IdentifiedView, Problem> {
                let answer = database.identify(gallery, &f.embedding, &policy, engine.calibration())?;
                Ok(IdentifiedView { found: f.into(), answer: answer.into() })
            };
            Ok::<_, Problem>(IdentifyView {
                gallery: gallery.clone(),
                model: engine.model().to_string(),
                width: photo.width(),
                height: photo.height(),
                faces: faces.iter().map(identify).collect::<Result<_, _>>()?,
            })
        })
        .await?;
    Ok(Json(answer))
}
