//! Refusals: questions that could not be decided. None of them is ever read as a match.

use super::GateRefusal;

/// Why no verdict was given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalError {
    /// No face was found.
    #[error("{photo}: no face found")]
    NoFace {
        /// The photo.
        photo: String,
    },
    /// Several faces where one was asked for.
    #[error("{photo}: {} faces found, one was asked for: {}; crop the photo to one of them", faces.len(), places(faces))]
    SeveralFaces {
        /// The photo.
        photo: String,
        /// Left, top, right and bottom edge of each in pixels of the upright photo, the most certain first.
        faces: Vec<[f32; 4]>,
        /// The number of each among all that were found, from 1 on: what [`crate::FaceChoice::Number`] calls it.
        numbers: Vec<usize>,
    },
    /// The face that was asked for by its number is not there.
    #[error("{photo}: there is no face {number}; {faces} {} found, numbered from 1", if *faces == 1 { "was" } else { "were" })]
    NoSuchFace {
        /// The photo.
        photo: String,
        /// The number that was asked for.
        number: usize,
        /// How many were found.
        faces: usize,
    },
    /// Neither face is good enough for the rates that the calibration measured.
    #[error(
        "it could not be decided: neither face would be enrolled, and error rates are measured on faces that would. {left_photo}: {left}. {right_photo}: {right}"
    )]
    PoorFaces {
        /// The first photo.
        left_photo: String,
        /// What is wrong with its face.
        left: Box<GateRefusal>,
        /// The second photo.
        right_photo: String,
        /// What is wrong with its face.
        right: Box<GateRefusal>,
    },
    /// The model has no calibration, so a false-match rate means nothing for it.
    #[error(
        "{model} has no calibration on this machine behind this detector, so no threshold is known for it; measure one on \
         labelled photos (`kith calibrate PEOPLE`, with the same --model and --detector), or say --threshold DISTANCE"
    )]
    NotCalibrated {
        /// Model id.
        model: String,
    },
    /// The calibration belongs to another model, other weights or another alignment.
    #[error("the calibration is for {calibrated}, the embeddings are of {model}; calibrate this model first")]
    WrongCalibration {
        /// Model id that the calibration names.
        calibrated: String,
        /// Model id of the embeddings.
        model: String,
    },
    /// The calibration was measured behind another detector, whose chips are cut a little otherwise.
    #[error("the calibration was measured with detector {calibrated}, this is {detector}; calibrate with it first")]
    WrongDetector {
        /// Detector that the calibration names.
        calibrated: String,
        /// The detector in use.
        detector: String,
    },
    /// A false-match rate below what the calibration rests on.
    #[error(
        "the calibration rests on {impostors} impostor pairs and supports false-match rates down to {supported:e}, not {requested:e}"
    )]
    Unsupported {
        /// The rate asked for.
        requested: f64,
        /// The smallest rate supported.
        supported: f64,
        /// How many impostor pairs the calibration saw.
        impostors: u64,
    },
    /// The labelled photos do not make a calibration.
    #[error("no calibration can be made of these photos: {reason}")]
    CannotCalibrate {
        /// What is missing.
        reason: String,
    },
    /// A threshold or rate outside its range.
    #[error("{option} is {received}, must be {expected}")]
    InvalidThreshold {
        /// The option.
        option: &'static str,
        /// The value given.
        received: f64,
        /// The range allowed.
        expected: &'static str,
    },
}

impl RefusalError {
    /// The stable name of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFace { .. } => "refusal.no_face",
            Self::SeveralFaces { .. } => "refusal.several_faces",
            Self::NoSuchFace { .. } => "refusal.no_such_face",
            Self::PoorFaces { .. } => "refusal.poor_faces",
            Self::NotCalibrated { .. } => "refusal.not_calibrated",
            Self::WrongCalibration { .. } => "refusal.wrong_calibration",
            Self::WrongDetector { .. } => "refusal.wrong_detector",
            Self::Unsupported { .. } => "refusal.unsupported_rate",
            Self::CannotCalibrate { .. } => "refusal.cannot_calibrate",
            Self::InvalidThreshold { .. } => "refusal.invalid_threshold",
        }
    }
}

/// Faces that a message names, at most.
const MOST_NAMED: usize = 8;

/// Where the faces are, in words.
fn places(faces: &[[f32; 4]]) -> String {
    let place = |f: &[f32; 4]| format!("{:.0},{:.0} to {:.0},{:.0}", f[0], f[1], f[2], f[3]);
    let named: Vec<String> = faces.iter().take(MOST_NAMED).map(place).collect();
    match faces.len().saturating_sub(MOST_NAMED) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}
