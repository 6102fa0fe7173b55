//! What the API answers with, field by field: its promise to clients, whatever the engine's types become.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::error::GateRefusal;
use crate::geometry::BBox;
use crate::{
    Candidate, Database, Detection, EnrolledFace, Face, FaceCover, FaceQuality, Identification, Person, SeenFace,
    Threshold,
};

/// A face that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FoundView {
    #[serde(rename = "box")]
    bbox: BBox,
    /// The detector's confidence, 0 to 1.
    score: f32,
    /// Left eye, right eye, nose, left and right mouth corner: `[x, y]` in pixels of the upright photo.
    landmarks: Vec<[f32; 2]>,
    /// By how many degrees the photo was turned clockwise to find it, where no upright face is in it: 90, 180 or 270.
    /// Box and landmarks are in the photo's own pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    turned: Option<u16>,
}

impl From<&Detection> for FoundView {
    fn from(d: &Detection) -> Self {
        Self { bbox: d.bbox, score: d.score, landmarks: d.landmarks.0.to_vec(), turned: said(d.turned) }
    }
}

/// A photo that was not turned is not spoken of.
fn said(turned: u16) -> Option<u16> {
    (turned != 0).then_some(turned)
}

/// How good the picture of a face is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QualityView {
    /// Between the eyes, in pixels.
    eye_distance: f32,
    /// Standard deviation of the luma's Laplacian: 0 for an even surface.
    sharpness: f32,
    /// Mean luma, 0 to 1.
    brightness: f32,
    /// Degrees.
    yaw: f32,
    /// Degrees.
    pitch: f32,
    /// Degrees.
    roll: f32,
    /// How likely mouth and nose are hidden, 0 to 1.
    mouth_covered: f32,
    /// How likely the eyes are hidden, 0 to 1.
    eyes_covered: f32,
    /// How likely the face is upside down, 0 to 1.
    inverted: f32,
    /// Length of the embedder's output, which is short for a face that it can make little of. Lengths of two models do not
    /// compare. Left out where the face was not embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_length: Option<f32>,
}

impl From<FaceQuality> for QualityView {
    fn from(q: FaceQuality) -> Self {
        let FaceQuality { eye_distance, sharpness, brightness, yaw, pitch, roll, cover, embedding_length } = q;
        let FaceCover { mouth_covered, eyes_covered, inverted } = cover.unwrap_or_default();
        Self {
            eye_distance,
            sharpness,
            brightness,
            yaw,
            pitch,
            roll,
            mouth_covered,
            eyes_covered,
            inverted,
            embedding_length,
        }
    }
}

/// Why a face would not be enrolled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusalView {
    code: &'static str,
    reason: String,
}

impl From<&GateRefusal> for RefusalView {
    fn from(r: &GateRefusal) -> Self {
        Self { code: r.code(), reason: r.to_string() }
    }
}

/// A face that a verdict is about.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeenView {
    #[serde(flatten)]
    found: FoundView,
    quality: QualityView,
    /// Why it would not be enrolled; measured error rates are those of faces that would. Null where it would.
    refusal: Option<RefusalView>,
    /// Boxes of the photo that did not count: both much smaller and less certain than the main face, or below
    /// `min_score`.
    passed_over: Vec<FoundView>,
}

impl From<SeenFace> for SeenView {
    fn from(s: SeenFace) -> Self {
        Self {
            found: (&s.found).into(),
            quality: s.quality.into(),
            refusal: s.refusal.as_ref().map(Into::into),
            passed_over: s.passed_over.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Face> for FoundView {
    fn from(f: &Face) -> Self {
        Self { bbox: f.bbox, score: f.score, landmarks: f.landmarks.0.to_vec(), turned: said(f.turned) }
    }
}

/// Somebody who is enrolled.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonView {
    /// Their number.
    pub id: u64,
    /// Their name, unique in the gallery.
    pub name: String,
    /// How many faces they have.
    pub faces: usize,
    pub groups: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// When they were enrolled: milliseconds since 1970.
    pub created_ms: u64,
    /// Where a thumbnail of the best of their faces is, if one was kept.
    pub thumbnail: Option<String>,
}

impl PersonView {
    /// The person as the gallery has them now.
    pub(super) fn shown(database: &Database, gallery: &str, person: Person) -> Result<Self, Problem> {
        let Person { id, name, faces, groups, labels, created_ms } = person;
        let thumbnail = database.pictured_face(gallery, id)?.map(|face| thumbnail_of(gallery, face));
        Ok(Self { id, name, faces, groups, labels, created_ms, thumbnail })
    }
}

/// Where a face's thumbnail is answered.
fn thumbnail_of(gallery: &str, face: u64) -> String {
    let query = serde_html_form::to_string([("gallery", gallery)]).unwrap_or_default();
    format!("/v1/faces/{face}/thumbnail?{query}")
}

/// A face of a person, without its vector.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FaceView {
    /// Its number.
    pub id: u64,
    /// What the photo was called.
    source: String,
    #[serde(rename = "box")]
    bbox: BBox,
    /// The detector's confidence, 0 to 1.
    score: f32,
    /// Between the eyes, in pixels.
    eye_distance: f32,
    /// Standard deviation of the luma's Laplacian: 0 for an even surface.
    sharpness: f32,
    /// Mean luma, 0 to 1.
    brightness: f32,
    /// Yaw, pitch and roll in degrees.
    pose: [f32; 3],
    /// When it was enrolled: milliseconds since 1970.
    enrolled_ms: u64,
    /// Where its thumbnail is, if one was kept.
    thumbnail: Option<String>,
}

impl FaceView {
    pub(super) fn new(gallery: &str, f: EnrolledFace) -> Self {
        Self {
            id: f.id,
            source: f.source,
            bbox: f.bbox,
            score: f.score,
            eye_distance: f.quality.eye_distance,
            sharpness: f.quality.sharpness,
            brightness: f.quality.brightness,
            pose: f.quality.pose(),
            enrolled_ms: f.enrolled_ms,
            thumbnail: f.chip.then(|| thumbnail_of(gallery, f.id)),
        }
    }
}

/// A person and their faces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonDetail {
    pub person: PersonView,
    pub faces: Vec<FaceView>,
}

/// Some of the people of a gallery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PeopleList {
    /// By name, or in the order that was asked for.
    pub people: Vec<PersonView>,
    /// What to send as `after` for the rest; null when there are no more, or the order is not by name.
    pub next: Option<String>,
    /// How many there are in all; null where it goes on after an earlier answer.
    #[schema(value_type = Option<u64>)]
    pub total: Option<usize>,
}

/// Somebody near the face.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CandidateView {
    name: String,
    /// Their number.
    person: u64,
    /// Their nearest face; null when they were found by the mean of their faces.
    face: Option<u64>,
    /// Euclidean distance between the unit vectors, 0 to 2.
    distance: f32,
    /// In percent: 50 or more exactly where `within`. Null where the model has no calibration.
    similarity: Option<f32>,
    /// Whether the distance is within the threshold.
    within: bool,
}

impl From<Candidate> for CandidateView {
    fn from(c: Candidate) -> Self {
        let Candidate { name, person, face, distance, similarity, within } = c;
        Self { name, person, face, distance, similarity, within }
    }
}

/// Who a face is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnswerView {
    /// The nearest person, where within the threshold; null is "unknown".
    pub name: Option<String>,
    /// People by distance, nearest first.
    pub candidates: Vec<CandidateView>,
    pub threshold: Threshold,
    /// Faces (or mean vectors) searched.
    pub searched: usize,
    /// Id of the calibration record.
    pub calibration: Option<String>,
}

impl From<Identification> for AnswerView {
    fn from(i: Identification) -> Self {
        Self {
            name: i.name,
            candidates: i.candidates.into_iter().map(Into::into).collect(),
            threshold: i.threshold,
            searched: i.searched,
            calibration: i.calibration,
        }
    }
}

/// A face of the photo, and who it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentifiedView {
    /// Its number in the photo, from 1 on: what `face` of an enrolment calls it.
    pub number: usize,
    /// The face in its surroundings, as a data URL of a JPEG; only where `with_crops` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<String>,
    #[serde(flatten)]
    pub found: FoundView,
    #[serde(flatten)]
    pub answer: AnswerView,
}

/// Who is in the photo.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentifyView {
    pub gallery: String,
    /// Id of the model that made the vectors.
    pub model: String,
    /// Size of the upright photo in pixels.
    pub width: u32,
    pub height: u32,
    /// Most confident first; empty where no face was found.
    pub faces: Vec<IdentifiedView>,
}
