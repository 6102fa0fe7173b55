//! From a question and its photos to an outcome: every way that is not "allowed" has its own reason.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::cool_down::Counted;
use super::policy::Policy;
use super::reason::Reason;
use crate::error::GateRefusal;
use crate::json::json;
use crate::serve::auth::Caller;
use crate::serve::input::{Form, Upload};
use crate::serve::problem::Problem;
use crate::serve::rank::Rank;
use crate::serve::routes::claim::claim;
use crate::serve::state::Service;
use crate::serve::work;
use crate::{Calibration, Database, Detection, FaceQuality, Photo, SearchPolicy, Selection};

/// Photos of one moment, at most.
const MOST_PHOTOS: usize = 8;

/// Longest claim that is looked up, in bytes: four times the longest name, which may be written less shortly than it is
/// stored. Whoever claims a longer one claims nobody's.
const LONGEST_CLAIM: usize = 800;

/// What is asked.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::serve) struct Question {
    /// The policy's name.
    pub(super) policy: String,
    /// Who it is said to be; nobody, when not said: then the whole gallery is searched.
    pub(super) person: Option<String>,
    /// Which door, as the log will say. Failures are counted by key, whatever this is.
    pub(super) door: Option<String>,
}

/// What came of a question.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub reason: Reason,
    pub detail: String,
    pub person: Option<String>,
    pub evidence: Value,
    pub retry_after: Option<u64>,
}

impl Outcome {
    pub(super) fn deny(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), person: None, evidence: Value::Null, retry_after: None }
    }

    pub(super) fn of(problem: &Problem) -> Self {
        Self { retry_after: problem.seconds_to_wait(), ..Self::deny(Reason::of(problem), problem.detail()) }
    }
}

/// What the question comes to.
pub(super) async fn judge(service: &Arc<Service>, caller: &Caller, question: &Question, form: Form) -> Outcome {
    let Some(policy) = service.policies().get(&question.policy).cloned() else {
        return Outcome::deny(Reason::PolicyUnknown, format!("there is no policy {:?}", question.policy));
    };
    if !caller.reaches(&policy.gallery) {
        // Which gallery that is, is not this key's to know.
        return Outcome::deny(Reason::Unauthorized, "this key does not reach the gallery of this policy");
    }
    if question.door.as_ref().is_some_and(|d| d.len() > 100 || d.chars().any(char::is_control)) {
        return Outcome::deny(Reason::BadRequest, "door: at most 100 bytes without control characters");
    }
    // Every claim that could find somebody is counted below.
    if question.person.as_ref().is_some_and(|p| p.len() > LONGEST_CLAIM) {
        return Outcome::deny(Reason::PersonUnknown, "nobody has so long a name");
    }
    if let Err(refused) = ready(service, &policy, question, Timestamp::now()) {
        return *refused;
    }
    let counted = counted_by(&policy, caller, question);
    let cooling = |seconds: u64| Outcome {
        evidence: json!({ "seconds_left": seconds }),
        ..Outcome::deny(Reason::CoolingDown, format!("too many failures before; {seconds} seconds are left"))
    };
    if let Some(seconds) = service.cool_downs().left(&counted, Instant::now()) {
        return cooling(seconds);
    }
    let (asked, claimed) = (policy.clone(), question.person.clone());
    let decided = service.with_networks_as(Rank::Door, move |s| look(s, &asked, &form, claimed.as_deref())).await;
    let outcome = decided.unwrap_or_else(|problem| Outcome::of(&problem));
    if outcome.reason.is_failed_try()
        && let Some(rule) = policy.cool_down
    {
        // A name that nobody has is nobody to protect, and the caller's to invent.
        let known = if outcome.reason == Reason::PersonUnknown { 1 } else { counted.len() };
        service.cool_downs().failed(&counted[..known], rule, Instant::now());
    }
    // Others may have failed at the same door meanwhile.
    match service.cool_downs().left(&counted, Instant::now()) {
        Some(seconds) if outcome.reason == Reason::Allowed => cooling(seconds),
        _ => outcome,
    }
}

/// By what failures are counted: the key, whatever door it names or leaves out, and the person claimed.
fn counted_by(policy: &Policy, caller: &Caller, question: &Question) -> Vec<Counted> {
    let key = Counted::Key { policy: policy.name.clone(), key: caller.id.clone() };
    // However the name is written: another spelling of it is no fresh start.
    let person = question
        .person
        .as_ref()
        .map(|p| Counted::Person { policy: policy.name.clone(), person: Database::name_key(p) });
    std::iter::once(key).chain(person).collect()
}

/// What must hold before anybody looks at the photo.
fn ready(service: &Service, policy: &Policy, question: &Question, now: Timestamp) -> Result<(), Box<Outcome>> {
    let deny = |reason, detail: String| Err(Box::new(Outcome::deny(reason, detail)));
    if let Some((reason, why)) = policy.unfit(service.engine()) {
        return deny(reason, why);
    }
    if question.person.is_some() && policy.max_fmr.is_none() {
        return deny(Reason::PolicyIncomplete, "the policy has no max_fmr, so it decides on no claim".to_string());
    }
    if question.person.is_none() && policy.max_fpir.is_none() {
        return deny(Reason::PolicyIncomplete, "the policy has no max_fpir: say which person it is".to_string());
    }
    if !policy.is_open_at(now) {
        return deny(Reason::OutsideHours, "not at this time".to_string());
    }
    Ok(())
}

/// A photo whose face is good enough.
struct Good {
    index: usize,
    photo: Photo,
    face: Detection,
    quality: FaceQuality,
    passed_over: Vec<Detection>,
}

fn look(service: &Service, policy: &Policy, form: &Form, claimed: Option<&str>) -> Result<Outcome, Problem> {
    if !(1..=MOST_PHOTOS).contains(&form.photos.len()) {
        return Ok(Outcome::deny(Reason::BadRequest, format!("1 to {MOST_PHOTOS} photos, in the field file")));
    }
    form.only(&["file"])?;
    let good = match best_of(service, policy, &form.photos)? {
        Ok(good) => good,
        Err(outcome) => return Ok(outcome),
    };
    let face = work::embed(service, &good.photo, &[good.face])?.remove(0);
    let quality = FaceQuality { embedding_length: Some(face.embedding_length), ..good.quality };
    if let Err(problem) = kept(service, policy, &quality) {
        return Ok(Outcome::of(&problem));
    }
    let mut evidence = json!({
        "photo": good.index, "photos": form.photos.len(), "quality": quality, "turned": good.face.turned,
        "passed_over": good.passed_over.iter().map(|d| d.bbox).collect::<Vec<_>>(),
        "model": service.engine().model(), "calibration": service.engine().calibration().map(Calibration::id),
    });
    let (person, groups, within, line, mismatch) = match claimed {
        Some(name) => {
            let rate = policy.max_fmr.unwrap_or_default();
            let c = claim(service, &policy.gallery, name, &face.embedding, rate, None)?;
            note(
                &mut evidence,
                &json!({
                    "claimed": true, "distance": c.distance, "similarity": c.similarity, "searched": c.compared,
                    "enrolled_quality": enrolled_quality(service, &policy.gallery, c.face),
                }),
            );
            (c.same.then_some(c.name), c.groups, c.same, c.threshold, Reason::ClaimRejected)
        }
        None => {
            let search =
                SearchPolicy { top: 1, max_fpir: policy.max_fpir.unwrap_or_default(), ..SearchPolicy::default() };
            let (database, engine) = (service.database(), service.engine());
            let found = database.identify(&policy.gallery, &face.embedding, &search, engine.calibration())?;
            let nearest = found.candidates.first();
            note(
                &mut evidence,
                &json!({
                    "claimed": false, "distance": nearest.map(|c| c.distance),
                    "similarity": nearest.and_then(|c| c.similarity), "searched": found.searched,
                    "enrolled_quality": enrolled_quality(service, &policy.gallery, nearest.and_then(|c| c.face)),
                }),
            );
            let groups = match &found.name {
                Some(name) => groups_of(database, &policy.gallery, name, &face.embedding)?,
                None => Vec::new(),
            };
            let within = found.name.is_some();
            (found.name, groups, within, found.threshold, Reason::NoMatch)
        }
    };
    note(&mut evidence, &json!({ "threshold": line }));
    let answer =
        |reason, detail: &str, person| Outcome { person, evidence: evidence.clone(), ..Outcome::deny(reason, detail) };
    if line.extrapolated && !policy.extrapolate {
        let detail = "the calibration does not measure the rate that the policy needs in a gallery of this size";
        return Ok(answer(Reason::CalibrationInsufficient, detail, None));
    }
    let groups: Vec<String> = groups.iter().map(|g| Database::name_key(g)).collect();
    let among = policy.groups.is_empty() || policy.groups.iter().any(|g| groups.contains(&Database::name_key(g)));
    Ok(match (within, among) {
        (false, _) => answer(mismatch, "nobody who may come in is near enough", None),
        (true, false) => answer(Reason::GroupNotAllowed, "recognised, and in none of the policy's groups", person),
        (true, true) => answer(Reason::Allowed, "recognised, and allowed", person),
    })
}

/// How good the picture of an enrolled face was; null where none was compared with, or it is gone meanwhile.
fn enrolled_quality(service: &Service, gallery: &str, face: Option<u64>) -> Value {
    let known = face.and_then(|face| service.database().face(gallery, face).ok());
    known.map_or(Value::Null, |(_, f)| json!(f.quality))
}

/// Adds members to an object.
fn note(object: &mut Value, more: &Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more.clone());
    }
}

fn groups_of(database: &Database, gallery: &str, name: &str, probe: &crate::Embedding) -> Result<Vec<String>, Problem> {
    Ok(database.nearest_face_of(gallery, name, probe)?.0.groups)
}

/// The sharpest photo whose face keeps the policy's bounds; or why there is none.
fn best_of(service: &Service, policy: &Policy, photos: &[Upload]) -> Result<Result<Good, Outcome>, Problem> {
    let (mut best, mut refused): (Option<Good>, Option<Outcome>) = (None, None);
    for (index, upload) in photos.iter().enumerate() {
        match good_face(service, policy, index, upload) {
            Ok(good) if best.as_ref().is_none_or(|b| good.quality.sharpness > b.quality.sharpness) => best = Some(good),
            Ok(_) => {}
            Err(problem) => {
                let outcome = Outcome::of(&problem);
                // A fault of the service is no photo's.
                if !outcome.reason.status().is_success() {
                    return Err(problem);
                }
                refused.get_or_insert(outcome);
            }
        }
    }
    let none = || Outcome::deny(Reason::NoFace, "no face was found in the photo");
    Ok(best.ok_or_else(|| refused.unwrap_or_else(none)))
}

/// Whether a face of that quality keeps the policy's bounds. Said as what it is: nobody is being enrolled, and a request
/// has no word to overrule it.
fn kept(service: &Service, policy: &Policy, quality: &FaceQuality) -> Result<(), Problem> {
    let refused = |r: GateRefusal| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, r.code(), r.to_string());
    quality.within(&service.engine().bounds_of(policy.bounds), &|_| false).map_err(refused)
}

fn good_face(service: &Service, policy: &Policy, index: usize, upload: &Upload) -> Result<Good, Problem> {
    let photo = work::decode(service, upload)?;
    let found = work::find(service, &photo)?;
    let face = service.engine().pick(&found, &photo, policy.face).map_err(|error| {
        // A request has no word for it: which face counts is the policy's to say.
        let several = error.code() == "refusal.several_faces";
        let advice = if several { ", or have the policy say face = \"largest\"" } else { "" };
        Problem::from(error).advising(advice)
    })?;
    let quality = service.engine().quality(&photo, &[face])?.remove(0);
    kept(service, policy, &quality)?;
    let passed_over = Selection::from(policy.face).count(&found).passed_over;
    Ok(Good { index, photo, face, quality, passed_over })
}
