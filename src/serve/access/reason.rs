//! Why a door stays shut, or opens: stable codes for programs.

use axum::http::StatusCode;

use super::super::problem::Problem;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $text:literal,)*) => {
        /// Why it was decided so.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in super::super) enum Reason {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Reason {
            pub(in super::super) fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The only one that opens.
    Allowed => "allowed",
    /// Nobody in the gallery is near enough.
    NoMatch => "no_match",
    /// The face is not the claimed person's.
    ClaimRejected => "claim_rejected",
    /// Nobody of the claimed name is enrolled.
    PersonUnknown => "person_unknown",
    /// The person is in none of the policy's groups.
    GroupNotAllowed => "group_not_allowed",
    /// Not at this time.
    OutsideHours => "outside_hours",
    /// Too many failures before.
    CoolingDown => "cooling_down",
    /// No face was found.
    NoFace => "no_face",
    /// Several faces where one was asked for.
    SeveralFaces => "several_faces",
    /// No photo is good enough.
    PoorQuality => "poor_quality",
    /// A photo cannot be read.
    PhotoUnreadable => "photo_unreadable",
    /// There is no such policy.
    PolicyUnknown => "policy_unknown",
    /// The policy does not say how this is decided: with a name or without.
    PolicyIncomplete => "policy_incomplete",
    /// There is no such gallery.
    GalleryUnknown => "gallery_unknown",
    /// The policy's model is not the one that runs.
    ModelMissing => "model_missing",
    /// The gallery's faces are of another model than the one that runs.
    ModelMismatch => "model_mismatch",
    /// The model has no calibration.
    CalibrationMissing => "calibration_missing",
    /// The calibration is not the one that the policy was made for, or is of another model.
    CalibrationStale => "calibration_stale",
    /// The calibration does not support the policy's rate in a gallery of this size.
    CalibrationInsufficient => "calibration_insufficient",
    /// The caller is not known, or may not ask.
    Unauthorized => "unauthorized",
    /// The caller asks too often.
    RateLimited => "rate_limited",
    /// The request cannot be understood.
    BadRequest => "bad_request",
    /// Too much is waiting.
    Overloaded => "overloaded",
    /// It took too long.
    Timeout => "timeout",
    /// The audit log cannot be written.
    AuditUnavailable => "audit_unavailable",
    /// Anything else.
    Error => "error",
}

impl Reason {
    /// What a problem means for a door.
    pub(super) fn of(problem: &Problem) -> Self {
        let (area, rest) = problem.code().split_once('.').unwrap_or((problem.code(), ""));
        match (area, rest) {
            ("refusal", "no_face") => Self::NoFace,
            ("refusal", "several_faces") => Self::SeveralFaces,
            ("refusal", "not_calibrated") => Self::CalibrationMissing,
            ("refusal", "wrong_calibration" | "wrong_detector") | ("gallery", "wrong_detector") => {
                Self::CalibrationStale
            }
            ("refusal", "unsupported_rate") => Self::CalibrationInsufficient,
            ("gallery", "unknown_person") => Self::PersonUnknown,
            ("gallery", "unknown_gallery") => Self::GalleryUnknown,
            ("gallery", "wrong_model") | ("model", "mixed_models") => Self::ModelMismatch,
            ("gate", _) => Self::PoorQuality,
            ("photo", _) => Self::PhotoUnreadable,
            ("overload", _) => Self::Overloaded,
            ("timeout", _) => Self::Timeout,
            ("limit", _) => Self::RateLimited,
            ("audit", _) => Self::AuditUnavailable,
            ("auth", _) => Self::Unauthorized,
            ("request", _) => Self::BadRequest,
            _ => Self::Error,
        }
    }

    /// 200 where the policy was asked and answered; another status where it could not be.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::PolicyUnknown => StatusCode::NOT_FOUND,
            Self::BadRequest | Self::PolicyIncomplete => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::FORBIDDEN,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::AuditUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Error => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        }
    }

    /// Whether it counts as a try that failed.
    pub(super) fn is_failed_try(self) -> bool {
        matches!(self, Self::NoMatch | Self::ClaimRejected | Self::GroupNotAllowed | Self::PersonUnknown)
    }
}
