//! What CompreFace's clients read, field by field.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::terms::Name;
use super::ids::id_of;

/// Somebody, by name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = compreface::Subject)]
pub(super) struct Subject {
    /// Unique in the collection.
    #[schema(value_type = Name)]
    pub subject: String,
}

/// Everybody in the collection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Subjects)]
pub(super) struct Subjects {
    /// By name.
    pub subjects: Vec<String>,
}

/// Whether a subject has its new name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Updated)]
pub(super) struct Updated {
    pub updated: bool,
}

/// How many went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Deleted)]
pub(super) struct Deleted {
    pub deleted: usize,
}

/// A saved face, and whose it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Example)]
pub(super) struct Example {
    #[schema(format = "uuid")]
    pub image_id: String,
    pub subject: String,
}

impl Example {
    pub(super) fn new(face: u64, subject: String) -> Self {
        Self { image_id: id_of(face).to_string(), subject }
    }
}

/// Some of the saved faces.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Examples)]
pub(super) struct Examples {
    pub faces: Vec<Example>,
    pub page_number: usize,
    /// As asked for.
    pub page_size: usize,
    pub total_pages: usize,
    pub total_elements: usize,
}

/// Where a face is, in whole pixels of the upright photo.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Box)]
pub(super) struct FaceBox {
    /// The detector's confidence, 0 to 1.
    pub probability: f32,
    pub x_min: u32,
    pub y_min: u32,
    pub x_max: u32,
    pub y_max: u32,
}

/// How the head is turned, in degrees; estimated from five landmarks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Pose)]
pub(super) struct Pose {
    pub pitch: f32,
    pub roll: f32,
    pub yaw: f32,
}

/// Milliseconds that the photo took.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = compreface::ExecutionTime)]
pub(super) struct ExecutionTime {
    /// Finding its faces.
    pub detector: f64,
    /// Embedding them all; not there where none was embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calculator: Option<f64>,
}

/// What made the answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::PluginsVersions)]
pub(super) struct PluginsVersions {
    pub detector: String,
    /// The model of the embeddings.
    pub calculator: String,
}

/// A face that was found, and what the plugins say of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Face)]
pub(super) struct SeenFace {
    #[serde(rename = "box")]
    pub bbox: FaceBox,
    /// With the plugin `landmarks`: left eye, right eye, nose, left and right mouth corner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landmarks: Option<Vec<[i64; 2]>>,
    /// With the plugin `calculator`: the unit vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
    /// With the plugin `pose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pose: Option<Pose>,
    /// With `status=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_time: Option<ExecutionTime>,
}

/// Somebody whom a face is like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::SimilarSubject)]
pub(super) struct SimilarSubject {
    pub subject: String,
    /// 0 to 1; 0.5 at the threshold for a false-match rate of 1 in 1000.
    pub similarity: f32,
}

/// A face, and whom it is like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::RecognizedFace)]
pub(super) struct RecognizedFace {
    #[serde(flatten)]
    pub face: SeenFace,
    /// The most similar first; empty where nobody is enrolled.
    pub subjects: Vec<SimilarSubject>,
}

/// A face, and how like it is to the other.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::ComparedFace)]
pub(super) struct ComparedFace {
    #[serde(flatten)]
    pub face: SeenFace,
    /// 0 to 1; 0.5 at the threshold for a false-match rate of 1 in 1000.
    pub similarity: f32,
}

/// An answer about the faces of a photo.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answer<T> {
    /// The biggest face first.
    pub result: Vec<T>,
    /// With `status=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugins_versions: Option<PluginsVersions>,
}

/// A face of one photo against those of another.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Verification)]
pub(super) struct Verification {
    /// The one face of the source.
    pub source_image_face: SeenFace,
    /// The faces of the target, the most similar first.
    pub face_matches: Vec<ComparedFace>,
    /// With `status=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugins_versions: Option<PluginsVersions>,
}

/// The only verification.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::Verifications)]
pub(super) struct Verifications {
    pub result: Vec<Verification>,
}

/// A vector, and whom it is like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::RecognizedEmbedding)]
pub(super) struct RecognizedEmbedding {
    /// As it was sent.
    pub embedding: Vec<f32>,
    /// The most similar first; empty where nobody is enrolled.
    pub similarities: Vec<SimilarSubject>,
}

/// A vector, and how like it is to the other.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = compreface::ComparedEmbedding)]
pub(super) struct ComparedEmbedding {
    /// As it was sent.
    pub embedding: Vec<f32>,
    /// 0 to 1; 0.5 at the threshold for a false-match rate of 1 in 1000.
    pub similarity: f32,
}

/// Answers about vectors, in the order in which they were sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VectorAnswer<T> {
    pub result: Vec<T>,
}
