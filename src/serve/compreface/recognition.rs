//! Who is in a photo, where are its faces, and how like are they to others?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::super::audit::Event;
use super::super::auth::{AtHome, Identify, Known};
use super::super::bodies::{SourceAndTargetFiles, SourceAndTargetTexts, TheirPhotoFile, TheirPhotoText};
use super::super::input::{Form, Path, Upload};
use super::super::problem::Problem;
use super::super::state::Service;
use super::alike::{or_none_yet, scale, similarity};
use super::ids;
use super::look::{look, look_at_one, versions};
use super::options::{Detection, FaceOptions, Predictions, photo};
use super::views::{Answer, ComparedFace, RecognizedFace, SeenFace, SimilarSubject, Verification, Verifications};
use crate::json::json;
use crate::{Embedding, SearchPolicy};

/// The people of a gallery whom a vector is like, the most similar first.
pub(super) fn like(
    service: &Service,
    gallery: &str,
    probe: &Embedding,
    count: usize,
) -> Result<Vec<SimilarSubject>, Problem> {
    let (database, calibration) = (service.database(), scale(service.engine())?);
    // CompreFace's clients draw the line themselves: everybody is within the greatest distance that there is.
    let policy = SearchPolicy { top: count, threshold: Some(2.0), ..SearchPolicy::default() };
    let found = database.identify(gallery, probe, &policy, Some(calibration)).map(|i| i.candidates);
    let near = or_none_yet(found)?.into_iter();
    Ok(near.map(|c| SimilarSubject { subject: c.name, similarity: similarity(calibration, c.distance) }).collect())
}

fn tell_subjects<'a>(subjects: impl Iterator<Item = &'a Vec<SimilarSubject>>, event: &mut Event) {
    let nearest: Vec<_> =
        subjects.map(|s| s.first().map(|n| json!({ "name": n.subject, "similarity": n.similarity }))).collect();
    event.evidence = json!({ "faces": nearest });
}

/// Who is in this photo? Every face is answered with whom it is most like, however little: the caller draws the line
#[utoipa::path(post, path = "/api/v1/recognition/recognize", tag = "compreface", operation_id = "compreface_recognize",
    params(FaceOptions, Predictions, Detection),
    request_body(content((TheirPhotoFile = "multipart/form-data"), (TheirPhotoText = "application/json"))),
    responses((status = 200, body = Answer<RecognizedFace>)))]
pub(super) async fn recognize(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Identify>,
    form: Form,
) -> Result<Json<Answer<RecognizedFace>>, Problem> {
    let options: FaceOptions = form.options()?;
    let count = form.options::<Predictions>()?.count()?;
    form.options::<Detection>()?.check()?;
    let photo = photo(&form, "file")?;
    let event = may.event("identify");
    let work = service.with_networks(move |s| {
        scale(s.engine())?;
        let mut result = Vec::new();
        for looked in look(s, &photo, &options, true)? {
            let (face, embedding) = looked.into_parts()?;
            result.push(RecognizedFace { face, subjects: like(s, &may.gallery, &embedding, count)? });
        }
        Ok::<_, Problem>(Answer { result, plugins_versions: versions(s.engine(), &options) })
    });
    let told = |a: &Answer<RecognizedFace>, e: &mut Event| tell_subjects(a.result.iter().map(|f| &f.subjects), e);
    Ok(Json(service.audited(event, work, told).await?))
}

/// How like are the faces in this photo to a saved one?
#[utoipa::path(post, path = "/api/v1/recognition/faces/{image_id}/verify", tag = "compreface", operation_id = "compreface_verify_face",
    params(("image_id" = String, Path, format = "uuid"), FaceOptions),
    request_body(content((TheirPhotoFile = "multipart/form-data"), (TheirPhotoText = "application/json"))),
    responses((status = 200, body = Answer<ComparedFace>)))]
pub(super) async fn verify_example(
    State(service): State<Arc<Service>>,
    AtHome(may): AtHome<Identify>,
    Path(image_id): Path<String>,
    form: Form,
) -> Result<Json<Answer<ComparedFace>>, Problem> {
    let known = ids::known(&image_id)?;
    let options: FaceOptions = form.options()?;
    let photo = photo(&form, "file")?;
    let event = may.event("verify person");
    let work = service.with_networks(move |s| {
        let (database, calibration) = (s.database(), scale(s.engine())?);
        // A face that is not there is told before any network runs.
        database.face(&may.gallery, known)?;
        let mut result = Vec::new();
        for looked in look(s, &photo, &options, true)? {
            let (face, embedding) = looked.into_parts()?;
            let distance = database.distance_to_face(&may.gallery, known, &embedding)?;
            result.push(ComparedFace { face, similarity: similarity(calibration, distance) });
        }
        Ok::<_, Problem>(Answer { result, plugins_versions: versions(s.engine(), &options) })
    });
    let told = move |a: &Answer<ComparedFace>, e: &mut Event| {
        e.evidence = json!({ "face": known, "similarity": a.result.iter().map(|f| f.similarity).collect::<Vec<_>>() });
    };
    Ok(Json(service.audited(event, work, told).await?))
}

/// Where are the faces?
#[utoipa::path(post, path = "/api/v1/detection/detect", tag = "compreface", operation_id = "compreface_detect", params(FaceOptions),
    request_body(content((TheirPhotoFile = "multipart/form-data"), (TheirPhotoText = "application/json"))),
    responses((status = 200, body = Answer<SeenFace>)))]
pub(super) async fn detect(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<Answer<SeenFace>>, Problem> {
    let options: FaceOptions = form.options()?;
    let photo = photo(&form, "file")?;
    let work = service.with_networks(move |s| {
        let result = look(s, &photo, &options, false)?.into_iter().map(|l| l.face).collect();
        Ok::<_, Problem>(Answer { result, plugins_versions: versions(s.engine(), &options) })
    });
    let told = |a: &Answer<SeenFace>, e: &mut Event| e.evidence = json!({ "faces": a.result.len() });
    Ok(Json(service.audited(known.caller.event("detect"), work, told).await?))
}

/// How like are the faces of a target to the one face of a source?
#[utoipa::path(post, path = "/api/v1/verification/verify", tag = "compreface", operation_id = "compreface_verify", params(FaceOptions),
    request_body(content((SourceAndTargetFiles = "multipart/form-data"), (SourceAndTargetTexts = "application/json"))),
    responses((status = 200, body = Verifications)))]
pub(super) async fn verify(
    State(service): State<Arc<Service>>,
    known: Known<Identify>,
    form: Form,
) -> Result<Json<Verifications>, Problem> {
    let options: FaceOptions = form.options()?;
    let (source, target) = (photo(&form, "source_image")?, photo(&form, "target_image")?);
    let work = service.with_networks(move |s| {
        let calibration = scale(s.engine())?;
        let about = |photo: &Upload| {
            let field = photo.field.clone();
            move |problem: Problem| problem.about(&field)
        };
        let (source_image_face, probe) = look_at_one(s, &source, &options).map_err(about(&source))?.into_parts()?;
        let mut face_matches = Vec::new();
        for looked in look(s, &target, &options, true).map_err(about(&target))? {
            let (face, embedding) = looked.into_parts()?;
            let similarity = similarity(calibration, probe.distance(&embedding)?);
            face_matches.push(ComparedFace { face, similarity });
        }
        face_matches.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        let plugins_versions = versions(s.engine(), &options);
        Ok::<_, Problem>(Verifications {
            result: vec![Verification { source_image_face, face_matches, plugins_versions }],
        })
    });
    let told = |v: &Verifications, e: &mut Event| {
        let best = v.result.first().and_then(|r| r.face_matches.first()).map(|m| m.similarity);
        e.evidence = json!({ "similarity": best });
    };
    Ok(Json(service.audited(known.caller.event("verify"), work, told).await?))
}
