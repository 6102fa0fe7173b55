//! The two faces that a verdict is about, as they were seen: where, how well, and what was passed over.

use std::ops::Deref;

use serde::{Serialize, Serializer};

use super::Selection;
use crate::detect::Detection;
use crate::error::{GateRefusal, RefusalError};
use crate::geometry::FaceQuality;
use crate::json::json;
use crate::verify::{Policy, Verdict};

/// What is asked of two photos.
///
/// ```
/// use kith::{Policy, Question};
/// let strict = Question { accept_poor: true, ..Policy::MaxFmr(1e-4).into() };
/// assert_eq!(strict.policy, Policy::MaxFmr(1e-4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Question {
    /// Where the line is drawn.
    pub policy: Policy,
    /// Which boxes count, and which face is meant.
    pub selection: Selection,
    /// Decide even where neither face would be enrolled. The stated rate does not hold then.
    pub accept_poor: bool,
}

impl From<Policy> for Question {
    fn from(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }
}

/// A face that a verdict is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeenFace {
    /// Where it is.
    #[serde(flatten)]
    pub found: Detection,
    /// How good its picture is.
    pub quality: FaceQuality,
    /// Why it would not be enrolled; the measured error rates are those of faces that would.
    #[serde(serialize_with = "named")]
    pub refusal: Option<GateRefusal>,
    /// Boxes of the photo that did not count.
    pub passed_over: Vec<Detection>,
}

impl SeenFace {
    pub(super) fn new(
        found: Detection,
        quality: FaceQuality,
        refusal: Option<GateRefusal>,
        passed_over: Vec<Detection>,
    ) -> Self {
        Self { found, quality, refusal, passed_over }
    }
}

/// A refusal by code and reason.
pub(super) fn named<S: Serializer>(refusal: &Option<GateRefusal>, serializer: S) -> Result<S::Ok, S::Error> {
    let named = refusal.as_ref().map(|r| json!({ "code": r.code(), "reason": r.to_string() }));
    named.serialize(serializer)
}

/// A verdict, and the two faces that it is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// The decision and what it rests on.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The face in the first photo.
    pub left: SeenFace,
    /// The face in the second photo.
    pub right: SeenFace,
}

impl Deref for Verification {
    type Target = Verdict;

    fn deref(&self) -> &Verdict {
        &self.verdict
    }
}

/// The refusal to decide where neither face would be enrolled.
pub(super) fn poor_faces(
    (left_photo, left): (&str, Option<GateRefusal>),
    (right_photo, right): (&str, Option<GateRefusal>),
) -> Option<RefusalError> {
    let (left_photo, right_photo) = (left_photo.to_string(), right_photo.to_string());
    left.zip(right).map(|(left, right)| {
        let (left, right) = (Box::new(left), Box::new(right));
        RefusalError::PoorFaces { left_photo, left, right_photo, right }
    })
}
