//! What calls of a running service are made of, as they are sent: plain data without a tie to this process.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result, StoreError};
use crate::gallery::{EnrolmentPolicy, FaceAnew, FacePictures, FacePlace, NewFace, PersonFilter, SearchPolicy};
use crate::geometry::{BBox, Landmarks};
use crate::vector::{Embedding, ModelId, TemplateRule};
use crate::verify::Threshold;

/// An embedding.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Vector {
    values: Vec<f32>,
    model: ModelId,
    detector: Option<String>,
}

/// A template is printed nowhere.
impl std::fmt::Debug for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vector({}, {} values)", self.model, self.values.len())
    }
}

impl From<&Embedding> for Vector {
    fn from(embedding: &Embedding) -> Self {
        let detector = embedding.detector().map(str::to_string);
        Self { values: embedding.values().to_vec(), model: embedding.model().clone(), detector }
    }
}

impl TryFrom<Vector> for Embedding {
    type Error = ModelError;

    fn try_from(vector: Vector) -> Result<Self, ModelError> {
        Ok(Embedding::of_unit(vector.values, vector.model)?.found_by(&vector.detector.unwrap_or_default()))
    }
}

/// A [`NewFace`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Face {
    vector: Vector,
    bbox: BBox,
    landmarks: Landmarks,
    score: f32,
    quality: [f32; 6],
    source: String,
    source_sha256: Option<[u8; 32]>,
    pictures: Option<(Vec<u8>, Vec<u8>)>,
}

impl From<NewFace> for Face {
    fn from(face: NewFace) -> Self {
        let NewFace { embedding, bbox, landmarks, score, quality, source, source_sha256, pictures } = face;
        let (quality, pictures) = (quality.stored(), pictures.map(|p| (p.chip, p.thumbnail)));
        Self { vector: (&embedding).into(), bbox, landmarks, score, quality, source, source_sha256, pictures }
    }
}

impl TryFrom<Face> for NewFace {
    type Error = ModelError;

    fn try_from(face: Face) -> Result<Self, ModelError> {
        let Face { vector, bbox, landmarks, score, quality, source, source_sha256, pictures } = face;
        let pictures = pictures.map(|(chip, thumbnail)| FacePictures { chip, thumbnail });
        let (embedding, quality) = (vector.try_into()?, quality.into());
        Ok(Self { embedding, bbox, landmarks, score, quality, source, source_sha256, pictures })
    }
}

/// A [`FaceAnew`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Anew {
    face: u64,
    vector: Vector,
    pictures: Option<(Vec<u8>, Vec<u8>)>,
    place: Option<FacePlace>,
}

impl From<FaceAnew> for Anew {
    fn from(FaceAnew { face, embedding, pictures, place }: FaceAnew) -> Self {
        Self { face, vector: (&embedding).into(), pictures, place }
    }
}

impl TryFrom<Anew> for FaceAnew {
    type Error = ModelError;

    fn try_from(Anew { face, vector, pictures, place }: Anew) -> Result<Self, ModelError> {
        Ok(Self { face, embedding: vector.try_into()?, pictures, place })
    }
}

/// What of an [`EnrolmentPolicy`] is for the gallery to keep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// The distance of the threshold.
    duplicates: Option<f32>,
    apart: Option<f32>,
    groups: Vec<String>,
    labels: BTreeMap<String, String>,
    half: bool,
    at_ms: Option<u64>,
}

impl From<&EnrolmentPolicy> for Policy {
    fn from(policy: &EnrolmentPolicy) -> Self {
        let EnrolmentPolicy { duplicates, apart, groups, labels, half, at_ms } = policy.clone();
        let distance = |t: Option<Threshold>| t.map(|t| t.distance);
        Self { duplicates: distance(duplicates), apart: distance(apart), groups, labels, half, at_ms }
    }
}

impl From<Policy> for EnrolmentPolicy {
    fn from(policy: Policy) -> Self {
        let Policy { duplicates, apart, groups, labels, half, at_ms } = policy;
        let [duplicates, apart] = [duplicates, apart].map(|line| line.map(Threshold::at));
        Self { duplicates, apart, groups, labels, half, at_ms }
    }
}

/// What of a [`SearchPolicy`] is for the gallery to look for: the line is drawn by whoever asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sought {
    top: usize,
    by: TemplateRule,
    filter: PersonFilter,
}

impl From<&SearchPolicy> for Sought {
    fn from(policy: &SearchPolicy) -> Self {
        Self { top: policy.top, by: policy.by, filter: policy.filter.clone() }
    }
}

impl From<Sought> for SearchPolicy {
    fn from(Sought { top, by, filter }: Sought) -> Self {
        Self { top, by, filter, ..Self::default() }
    }
}

/// A path as the system has it, which need not be text. It is absolute: the two have folders of their own to start at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilePath(Vec<u8>);

impl FilePath {
    /// As an error names it.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    pub(crate) fn of(path: &Path) -> Result<Self> {
        let whole = std::path::absolute(path).map_err(|e| StoreError::Io {
            path: path.display().to_string(),
            doing: "finding the folder that it is in",
            reason: e.to_string(),
        })?;
        Ok(Self(whole.into_os_string().into_encoded_bytes()))
    }

    #[cfg(all(unix, any(test, feature = "serve")))]
    pub(crate) fn path(self) -> std::path::PathBuf {
        use std::os::unix::ffi::OsStringExt;
        std::ffi::OsString::from_vec(self.0).into()
    }
}
