//! `/v1/verify` and `/v1/compare`: is it the same person?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::faces::selection;
use crate::error::{Error, RefusalError};
use crate::json::json;
use crate::media::{encode_jpeg, encode_png};
use crate::serve::audit::Event;
use crate::serve::auth::{Identify, Known};
use crate::serve::bodies::{PairFiles, PairTexts};
use crate::serve::input::{Form, Upload, flag};
use crate::serve::problem::Problem;
use crate::serve::state::Service;
use crate::serve::views::{FoundView, SeenView};
use crate::serve::work;
use crate::{
    Comparison, ComparisonOutcome, Decision, Face, Photo, Policy, Question, SeenFace, Selection, SideFaces, StageTimes,
    Threshold, Verdict, Verification,
};

/// Where the line is drawn between same and different, and which face counts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Line {
    /// Highest false-match rate to accept; 0.001 when not said.
    #[param(exclusive_minimum = 0, exclusive_maximum = 1)]
    pub max_fmr: Option<f64>,
    /// Decide at this distance instead, above 0 and at most 2.
    #[param(exclusive_minimum = 0, maximum = 2)]
    pub threshold: Option<f32>,
    /// `only`: a photo must show one face (when not said); `largest`: the largest counts.
    #[param(pattern = "^(only|largest)$")]
    pub face: Option<String>,
    /// Count every box with at least this score, and no other; when not said, boxes that are both much smaller and
    /// less certain than the main face do not count.
    #[param(minimum = 0, maximum = 1)]
    pub min_score: Option<f32>,
    /// Decide even where neither face would be enrolled; the stated rate does not hold then.
    #[serde(default, deserialize_with = "flag")]
    pub accept_poor: bool,
}

impl Line {
    pub(super) fn selection(&self) -> Result<Selection, Problem> {
        selection(self.face.as_deref(), self.min_score)
    }
}

/// Where the line is drawn where every face counts, and how to answer.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Comparing {
    /// Highest false-match rate to accept; 0.001 when not said.
    #[param(exclusive_minimum = 0, exclusive_maximum = 1)]
    max_fmr: Option<f64>,
    /// Decide at this distance instead, above 0 and at most 2.
    #[param(exclusive_minimum = 0, maximum = 2)]
    threshold: Option<f32>,
    /// Count every box with at least this score, and no other; when not said, boxes that are both much smaller and
    /// less certain than the main face do not count.
    #[param(minimum = 0, maximum = 1)]
    min_score: Option<f32>,
    /// Decide even where neither face of the nearest pair would be enrolled; the stated rate does not hold then.
    #[serde(default, deserialize_with = "flag")]
    accept_poor: bool,
    /// Answer with the picture, as PNG, in place of the numbers. `Accept: image/png` or `image/jpeg` does the same.
    #[serde(default, deserialize_with = "flag")]
    picture: bool,
    /// Answer with the numbers and, in their `picture`, the picture too: the networks run once
    /// for both.
    #[serde(default, deserialize_with = "flag")]
    with_picture: bool,
}

/// Where the line is drawn; by the default rate where nothing is said.
pub(super) fn policy(max_fmr: Option<f64>, threshold: Option<f32>) -> Result<Policy, Problem> {
    match (threshold, max_fmr) {
        (Some(_), Some(_)) => Err(Problem::bad("request.bad_option", "say one of max_fmr and threshold")),
        (Some(distance), None) => Ok(Policy::Distance(distance)),
        (None, rate) => Ok(rate.map_or_else(Policy::default, Policy::MaxFmr)),
    }
}

/// A decision about two faces, and what it rests on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictView {
    same: bool,
    /// Euclidean distance between the unit vectors, 0 to 2.
    distance: f32,
    /// Cosine between them, -1 to 1.
    cosine: f32,
    /// In percent: 50 or more exactly where `same`. Null where the model has no calibration.
    similarity: Option<f32>,
    threshold: Threshold,
    /// Smallest calibrated false-match rate at which these two would still pass.
    passes_at_fmr: Option<f64>,
    model: String,
    /// Id of the calibration record.
    calibration: Option<String>,
}

impl From<&Verdict> for VerdictView {
    fn from(v: &Verdict) -> Self {
        Self {
            same: v.decision == Decision::Same,
            distance: v.distance,
            cosine: v.cosine,
            similarity: v.similarity,
            threshold: v.threshold,
            passes_at_fmr: v.passes_at_fmr,
            model: v.model.to_string(),
            calibration: v.calibration.clone(),
        }
    }
}

/// A decision about two photos with a face each.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerifyView {
    #[serde(flatten)]
    verdict: VerdictView,
    /// The face in the first photo.
    left: SeenView,
    /// The face in the second photo.
    right: SeenView,
}

impl From<Verification> for VerifyView {
    fn from(v: Verification) -> Self {
        Self { verdict: (&v.verdict).into(), left: v.left.into(), right: v.right.into() }
    }
}

/// Two photos with a face each, as the fields `a` and `b`: do they show one person?
#[utoipa::path(post, path = "/v1/verify", tag = "identify", params(Line),
    request_body(content((PairFiles = "multipart/form-data"), (PairTexts = "application/json"))),
    responses((status = 200, body = VerifyView)))]
pub(super) async fn verify(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<VerifyView>, Problem> {
    form.only(&["a", "b"])?;
    let (a, b) = (form.of("a")?.clone(), form.of("b")?.clone());
    let line = form.options::<Line>()?;
    let (policy, which) = (policy(line.max_fmr, line.threshold)?, line.selection()?);
    let work = service.with_networks(move |s| {
        let judge = s.engine().judge(policy)?;
        let face = |photo: &Upload| one_face(s, photo, which).map_err(|problem| problem.about(&photo.field));
        let (left, right) = (face(&a)?, face(&b)?);
        let decided =
            s.engine().decide(&judge, ("the first photo", left), ("the second photo", right), line.accept_poor);
        Ok::<_, Problem>(VerifyView::from(decided?))
    });
    let told = |v: &VerifyView, e: &mut Event| {
        e.evidence = json!({ "same": v.verdict.same, "distance": v.verdict.distance });
    };
    Ok(Json(service.audited(known.caller.event("verify"), work, told).await?))
}

/// The one face of an upload that counts, measured and embedded.
pub(in crate::serve) fn one_face(
    service: &Service,
    upload: &Upload,
    which: Selection,
) -> Result<(SeenFace, Face), Problem> {
    let photo = work::decode(service, upload)?;
    let found = work::find(service, &photo)?;
    work::see(service, &photo, &found, which).map_err(Problem::offering_largest)
}

/// One photo of a comparison.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SideView {
    /// Size of the upright photo in pixels.
    width: u32,
    height: u32,
    /// Those that count, most confident first.
    faces: Vec<FoundView>,
    /// Boxes that did not count.
    passed_over: Vec<FoundView>,
}

/// How alike two faces are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PairView {
    /// Index of the face in the left photo.
    left: usize,
    /// Index of the face in the right photo.
    right: usize,
    distance: f32,
    /// As in a verdict.
    similarity: Option<f32>,
}

/// Why nothing was decided.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UndecidedView {
    code: &'static str,
    reason: String,
}

/// Every face of one photo against every face of the other.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CompareView {
    left: SideView,
    right: SideView,
    pairs: Vec<PairView>,
    /// Index of the nearest pair.
    best: Option<usize>,
    /// About the nearest pair; null where nothing could be decided.
    verdict: Option<VerdictView>,
    /// The two faces of the nearest pair, the left one first; empty where there is none.
    nearest: Vec<SeenView>,
    undecided: Option<UndecidedView>,
    /// Chance of a false match over all pairs, at most.
    fmr_over_all_pairs: Option<f64>,
    /// The verdict in two short lines.
    caption: Vec<String>,
    /// The picture as a `data:` address of a JPEG, where `with_picture` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
}

fn side_view(side: &SideFaces) -> SideView {
    let faces = side.faces.iter().map(Into::into).collect();
    let passed_over = side.passed_over.iter().map(Into::into).collect();
    SideView { width: side.width, height: side.height, faces, passed_over }
}

impl From<&Comparison> for CompareView {
    fn from(c: &Comparison) -> Self {
        let pair = |p: &crate::ScoredPair| PairView {
            left: p.left,
            right: p.right,
            distance: p.distance,
            similarity: p.similarity,
        };
        Self {
            left: side_view(&c.left),
            right: side_view(&c.right),
            pairs: c.pairs.iter().map(pair).collect(),
            best: c.best,
            verdict: c.verdict().map(Into::into),
            nearest: c.nearest().into_iter().flatten().map(Into::into).collect(),
            undecided: match &c.outcome {
                ComparisonOutcome::Decided(_) => None,
                ComparisonOutcome::Undecided(r) => Some(UndecidedView { code: r.code(), reason: reason(r) }),
            },
            fmr_over_all_pairs: c.fmr_over_all_pairs(),
            caption: c.caption().to_vec(),
            picture: None,
        }
    }
}

/// Why nothing was decided, with the words that a caller of the service can use.
fn reason(refusal: &RefusalError) -> String {
    match refusal {
        RefusalError::NoFace { photo } => format!("{photo}: no face was found in the photo"),
        other => Problem::from(other.clone()).detail().to_string(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Numbers,
    Both,
    Png,
    Jpeg,
}

fn wanted(headers: &HeaderMap, asked: &Comparing) -> Wanted {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match (accept.contains("image/jpeg"), accept.contains("image/png") || asked.picture) {
        _ if asked.with_picture => Wanted::Both,
        (true, _) if !accept.contains("image/png") => Wanted::Jpeg,
        (_, true) => Wanted::Png,
        _ => Wanted::Numbers,
    }
}

/// How alike are the faces in two photos (`a` and `b`)? As numbers, or as the picture
#[utoipa::path(post, path = "/v1/compare", tag = "identify", params(Comparing),
    request_body(content((PairFiles = "multipart/form-data"), (PairTexts = "application/json"))),
    responses((status = 200, content((CompareView = "application/json"), (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg")))))]
pub(super) async fn compare(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Problem> {
    form.only(&["a", "b"])?;
    let (a, b) = (form.of("a")?.clone(), form.of("b")?.clone());
    let asked = form.options::<Comparing>()?;
    let (policy, wanted) = (policy(asked.max_fmr, asked.threshold)?, wanted(&headers, &asked));
    let question = Question { policy, selection: selection(None, asked.min_score)?, accept_poor: asked.accept_poor };
    let work = service.with_networks(move |s| {
        // A line that cannot be drawn is the caller's mistake; one that is not known leaves the pictures undecided.
        if let Err(Error::Refusal(wrong @ RefusalError::InvalidThreshold { .. })) = s.engine().judge(policy) {
            return Err(wrong.into());
        }
        let (a, left) = side(s, &a, &question.selection)?;
        let (b, right) = side(s, &b, &question.selection)?;
        let comparison = s.engine().score(left, right, question)?;
        let draw = || s.engine().draw(&a, &b, &comparison);
        let mut numbers = CompareView::from(&comparison);
        let picture = match wanted {
            Wanted::Numbers => None,
            Wanted::Both => {
                let text = STANDARD.encode(encode_jpeg(&draw())?);
                numbers.picture = Some(format!("data:image/jpeg;base64,{text}"));
                None
            }
            Wanted::Png => Some(("image/png", encode_png(&draw())?)),
            Wanted::Jpeg => Some(("image/jpeg", encode_jpeg(&draw())?)),
        };
        Ok::<_, Problem>((numbers, picture))
    });
    let told = |(c, _): &(CompareView, _), e: &mut Event| {
        e.evidence = json!({ "pairs": c.pairs.len(), "same": c.verdict.as_ref().map(|v| v.same) });
    };
    let (numbers, picture) = service.audited(known.caller.event("compare"), work, told).await?;
    Ok(match picture {
        None => Json(numbers).into_response(),
        Some((kind, bytes)) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
    })
}

fn side(service: &Service, upload: &Upload, selection: &Selection) -> Result<(Photo, SideFaces), Problem> {
    let about = |problem: Problem| problem.about(&upload.field);
    let photo = work::decode(service, upload).map_err(about)?;
    let found = work::find(service, &photo).map_err(about)?;
    let mut side = work::side(service, &photo, &found, selection).map_err(about)?;
    side.photo = upload.field.clone();
    Ok((photo, SideFaces { times: StageTimes::default(), total_ms: 0.0, ..side }))
}
