//! Errors of galleries: what cannot be enrolled, found, renamed or merged.

use serde::{Deserialize, Serialize};

use super::{Lasting, lasting_text};

/// Why a gallery refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GalleryError {
    /// Nobody of that name is enrolled.
    #[error("nobody called {name:?} is in gallery {gallery:?}; `kith people` lists who is")]
    UnknownPerson {
        /// The name asked for.
        name: String,
        /// The gallery.
        gallery: String,
    },
    /// There is no such face.
    #[error("no face {face} is in gallery {gallery:?}; `kith people show NAME` lists a person's faces")]
    UnknownFace {
        /// The number asked for.
        face: u64,
        /// The gallery.
        gallery: String,
    },
    /// There is no such gallery.
    #[error("there is no gallery {gallery:?}; enrolling with --gallery makes one")]
    UnknownGallery {
        /// The name asked for.
        gallery: String,
    },
    /// The gallery's faces are another detector's.
    #[error(
        "the faces of gallery {gallery:?} were found by {enrolled}, this one by {running}: their chips are cut otherwise, \
         and distances between them are not what the calibration record was measured on; say --detector {enrolled}, or \
         enrol into another gallery"
    )]
    WrongDetector {
        /// The gallery.
        gallery: String,
        /// The detector of its faces.
        enrolled: String,
        /// The detector of the face that was brought.
        running: String,
    },
    /// Every id that a gallery may have has been given.
    #[error("this database has given four thousand million ids; export its galleries and import them into a new one")]
    NoIdLeft,
    /// The new name is taken.
    #[error("{name:?} is enrolled already in gallery {gallery:?}; `kith people merge` makes two people one")]
    NameTaken {
        /// The name.
        name: String,
        /// The gallery.
        gallery: String,
    },
    /// The name cannot be used.
    #[error("{what} {name:?} cannot be used: {reason}")]
    BadName {
        /// `name`, `gallery`, `group` or `label`.
        #[serde(deserialize_with = "lasting_text")]
        what: Lasting,
        /// The text.
        name: String,
        /// Why.
        #[serde(deserialize_with = "lasting_text")]
        reason: Lasting,
    },
    /// The gallery's faces are of another model.
    #[error(
        "gallery {gallery:?} holds faces of {enrolled}, this engine makes {running}; run with the model that it was \
         enrolled with, or enrol into another --gallery"
    )]
    WrongModel {
        /// The gallery.
        gallery: String,
        /// Model of its faces.
        enrolled: String,
        /// Model of the engine.
        running: String,
    },
    /// For some faces there is nothing to embed anew.
    #[error(
        "gallery {gallery:?}: {left} faces cannot be embedded by {model}: no chip that fits it is kept, and their \
         photos are not where they were ({example:?} is one); say --photos FOLDER, or --leave-out to drop these \
         faces. The others are done and need not be done again; the gallery answers as before"
    )]
    NotReembedded {
        /// The gallery.
        gallery: String,
        /// The new model.
        model: String,
        /// How many faces.
        left: usize,
        /// The photo of one of them.
        example: String,
    },
    /// The photo does not pass the enrolment gate.
    #[error("{photo}: not enrolled: {refusal}; say --allow {} to enrol it all the same", refusal.name())]
    Gate {
        /// The photo.
        photo: String,
        /// What is wrong with it.
        refusal: GateRefusal,
    },
}

/// What the enrolment gate found. The numbers are measures of the face and the gate's bounds for them.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GateRefusal {
    /// The eyes are too near each other in pixels.
    #[error("the face is too small: {eye_distance:.0} pixels between the eyes, at least {least:.0} are wanted")]
    TooSmall {
        /// Distance between the eyes in pixels.
        eye_distance: f32,
        /// The bound.
        least: f32,
    },
    /// The face carries no fine detail.
    #[error("the face is too blurred: sharpness {sharpness:.4}, at least {least:.4} is wanted")]
    Blurred {
        /// See `FaceQuality::sharpness`.
        sharpness: f32,
        /// The bound.
        least: f32,
    },
    /// Too little light on the face.
    #[error("the face is too dark: mean brightness {brightness:.2} of 1, at least {least:.2} is wanted")]
    TooDark {
        /// Mean luma, 0 to 1.
        brightness: f32,
        /// The bound.
        least: f32,
    },
    /// Too much light on the face.
    #[error("the face is too bright: mean brightness {brightness:.2} of 1, at most {most:.2} is wanted")]
    TooBright {
        /// Mean luma, 0 to 1.
        brightness: f32,
        /// The bound.
        most: f32,
    },
    /// The face looks aside, up or down, or is tilted.
    #[error("the face is turned away: {axis} about {degrees:.0} degrees, at most {most:.0} are accepted")]
    TurnedAway {
        /// `yaw`, `pitch` or `roll`.
        #[serde(deserialize_with = "lasting_text")]
        axis: Lasting,
        /// Estimated from five landmarks.
        degrees: f32,
        /// The bound.
        most: f32,
    },
    /// Something covers a part of the face that it is told by.
    #[error(
        "the face is covered: {part} {}% likely hidden by a mask, glasses, a hand or the like, at most {}% is accepted",
        (certainty * 100.0).floor(), (most * 100.0).floor()
    )]
    Covered {
        /// `mouth and nose`, or `eyes`.
        #[serde(deserialize_with = "lasting_text")]
        part: Lasting,
        /// Estimated, 0 to 1.
        certainty: f32,
        /// The bound.
        most: f32,
    },
    /// The face is upside down on its chip.
    #[error(
        "the face is upside down: {}% likely, at most {}% is accepted; turn the photo",
        (certainty * 100.0).floor(), (most * 100.0).floor()
    )]
    Inverted {
        /// Estimated, 0 to 1.
        certainty: f32,
        /// The bound.
        most: f32,
    },
    /// The gallery would answer somebody else for this face.
    #[error(
        "this face is enrolled already as {name:?} (face {face}, distance {distance:.3}, within the threshold \
         {threshold:.3})"
    )]
    SomeoneElse {
        /// Who.
        name: String,
        /// The nearest face of theirs.
        face: u64,
        /// Distance to it.
        distance: f32,
        /// The gallery's threshold.
        threshold: f32,
    },
}

impl GateRefusal {
    /// The stable name of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooSmall { .. } => "gate.too_small",
            Self::Blurred { .. } => "gate.blurred",
            Self::TooDark { .. } => "gate.too_dark",
            Self::TooBright { .. } => "gate.too_bright",
            Self::TurnedAway { .. } => "gate.turned_away",
            Self::Covered { .. } => "gate.covered",
            Self::Inverted { .. } => "gate.inverted",
            Self::SomeoneElse { .. } => "gate.someone_else",
        }
    }

    /// The word that overrides this refusal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooSmall { .. } => "small",
            Self::Blurred { .. } => "blurred",
            Self::TooDark { .. } | Self::TooBright { .. } => "light",
            Self::TurnedAway { .. } => "turned",
            Self::Covered { .. } => "covered",
            Self::Inverted { .. } => "inverted",
            Self::SomeoneElse { .. } => "duplicate",
        }
    }
}

impl GalleryError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownPerson { .. } => "gallery.unknown_person",
            Self::UnknownFace { .. } => "gallery.unknown_face",
            Self::UnknownGallery { .. } => "gallery.unknown_gallery",
            Self::WrongDetector { .. } => "gallery.wrong_detector",
            Self::NoIdLeft => "gallery.no_id_left",
            Self::NameTaken { .. } => "gallery.name_taken",
            Self::BadName { .. } => "gallery.bad_name",
            Self::WrongModel { .. } => "gallery.wrong_model",
            Self::NotReembedded { .. } => "gallery.not_reembedded",
            Self::Gate { refusal, .. } => refusal.code(),
        }
    }
}
