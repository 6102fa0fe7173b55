//! What a decision's evidence holds, for the API's description and for whoever reads the audit log.

use utoipa::ToSchema;

use super::super::views::QualityView;
use crate::Threshold;
use crate::geometry::BBox;

/// What a decision rests on. What was not come to is not there.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the judge notes members as it comes to them")]
pub(super) struct Evidence {
    /// Index of the photo that was decided on.
    #[schema(required = false)]
    photo: usize,
    /// How many photos there were.
    #[schema(required = false)]
    photos: usize,
    #[schema(required = false)]
    quality: QualityView,
    /// How good the picture of the enrolled face compared with was, when it was enrolled; null where that is not known.
    #[schema(required = false)]
    enrolled_quality: Option<EnrolledQuality>,
    /// By how many degrees the photo was turned clockwise to find the face; 0 where it is upright.
    #[schema(required = false)]
    turned: u16,
    /// Boxes that did not count: both much smaller and less certain than the face.
    #[schema(required = false)]
    passed_over: Vec<BBox>,
    /// Id of the model that made the vectors.
    #[schema(required = false)]
    model: String,
    /// Id of the calibration record.
    #[schema(required = false)]
    calibration: Option<String>,
    /// Whether a person was named, and compared with alone.
    #[schema(required = false)]
    claimed: bool,
    /// Euclidean distance to the nearest face, 0 to 2; null where there was none to compare with.
    #[schema(required = false)]
    distance: Option<f32>,
    /// In percent: 50 or more exactly where the distance is within the threshold.
    #[schema(required = false)]
    similarity: Option<f32>,
    /// Faces compared with.
    #[schema(required = false)]
    searched: usize,
    #[schema(required = false)]
    threshold: Threshold,
    /// Seconds until another try counts.
    #[schema(required = false)]
    seconds_left: u64,
}

/// How good the picture of an enrolled face was.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct EnrolledQuality {
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
}
