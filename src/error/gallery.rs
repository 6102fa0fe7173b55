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
    /// No merge into this person is remembered.
    #[error(
        "no such merge into {name:?} is remembered in gallery {gallery:?}; of those merged into them, these can be taken \
         back: {candidates:?}"
    )]
    NothingMerged {
        /// Who has the faces.
        name: String,
        /// The gallery.
        gallery: String,
        /// Who can be parted from them.
        candidates: Vec<String>,
    },
    /// Two people are too unlike each other to be made one unasked.
    #[error(
        "{from:?} and {into:?} are not alike: their nearest faces are at distance {}, and of one person's faces 99 in \
         100 are within {threshold:.3}; say --yes to make them one all the same",
        told(*distance, *threshold, 3)
    )]
    FarApart {
        /// Who would be no more.
        from: String,
        /// Who would get the faces.
        into: String,
        /// Distance of their nearest faces.
        distance: f32,
        /// Faces of one person are seldom farther apart.
        threshold: f32,
    },
    /// Several people have names that are the same as this one, and none has exactly it.
    #[error(
        "{name:?} could be any of {candidates:?} in gallery {gallery:?}; say one of these exactly, and rename the others"
    )]
    AmbiguousName {
        /// The name asked for.
        name: String,
        /// The gallery.
        gallery: String,
        /// The people's names.
        candidates: Vec<String>,
    },
    /// The new gallery's name is the same as another's.
    #[error(
        "gallery {name:?} cannot be made: there is {there:?}, and the two names are the same; say --gallery {there:?}"
    )]
    GalleryTaken {
        /// The name.
        name: String,
        /// The gallery that is there.
        there: String,
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
         enrolled with (`kith weights list` shows what is at hand; of a model of your own, an adapted one too, the file whose \
         SHA-256 begins with the digits in its name is needed), or enrol into another --gallery"
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
        "gallery {gallery:?}: {left} faces cannot be embedded by {model}: {detector} finds them in no kept chip, and \
         their photos are not where they were or it does not find them there either ({example:?} is one); say --photos \
         FOLDER, or --leave-out to drop these faces. The others are done and need not be done again; the gallery \
         answers as before"
    )]
    NotReembedded {
        /// The gallery.
        gallery: String,
        /// The new model.
        model: String,
        /// The detector that is to find the faces.
        detector: String,
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

/// A check that a face goes through before it is enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Gate {
    /// The face is large enough.
    Small,
    /// It is sharp enough.
    Blurred,
    /// There is neither too little nor too much light on it.
    Light,
    /// It looks towards the camera.
    Turned,
    /// Nothing hides it.
    Covered,
    /// It is not upside down.
    Inverted,
    /// The embedder makes enough of it.
    Unclear,
    /// The gallery does not know it as somebody else's.
    Duplicate,
    /// It is like the person's other faces.
    Different,
}

impl Gate {
    /// Every check.
    pub const ALL: [Gate; 9] = [
        Self::Small,
        Self::Blurred,
        Self::Light,
        Self::Turned,
        Self::Covered,
        Self::Inverted,
        Self::Unclear,
        Self::Duplicate,
        Self::Different,
    ];

    /// The word for its refusal, by which it is passed over.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Blurred => "blurred",
            Self::Light => "light",
            Self::Turned => "turned",
            Self::Covered => "covered",
            Self::Inverted => "inverted",
            Self::Unclear => "unclear",
            Self::Duplicate => "duplicate",
            Self::Different => "different",
        }
    }
}

impl std::str::FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|g| g.name() == text).ok_or_else(|| format!("one of {}, not {text:?}", known()))
    }
}

/// What the enrolment gate found. The numbers are measures of the face and the gate's bounds for them.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GateRefusal {
    /// The eyes are too near each other in pixels.
    #[error("the face is too small: {} pixels between the eyes, at least {least} are wanted", told(*eye_distance, *least, 0))]
    TooSmall {
        /// Distance between the eyes in pixels.
        eye_distance: f32,
        /// The bound.
        least: f32,
    },
    /// The face carries no fine detail.
    #[error("the face is too blurred: sharpness {}, at least {least} is wanted", told(*sharpness, *least, 4))]
    Blurred {
        /// See `FaceQuality::sharpness`.
        sharpness: f32,
        /// The bound.
        least: f32,
    },
    /// Too little light on the face.
    #[error("the face is too dark: mean brightness {} of 1, at least {least} is wanted", told(*brightness, *least, 2))]
    TooDark {
        /// Mean luma, 0 to 1.
        brightness: f32,
        /// The bound.
        least: f32,
    },
    /// Too much light on the face.
    #[error("the face is too bright: mean brightness {} of 1, at most {most} is wanted", told(*brightness, *most, 2))]
    TooBright {
        /// Mean luma, 0 to 1.
        brightness: f32,
        /// The bound.
        most: f32,
    },
    /// The face looks aside, up or down, or is tilted.
    #[error("the face is turned away: {axis} about {} degrees, at most {most} are accepted", told(*degrees, if *degrees < 0.0 { -*most } else { *most }, 0))]
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
    /// The embedder can make little of the face.
    #[error(
        "the face is unclear: the model's output for it has length {}, at least {least:.2} is wanted; it is covered, blurred, \
         badly cut or no face",
        told(*length, *least, 2)
    )]
    Unclear {
        /// See `FaceQuality::embedding_length`.
        length: f32,
        /// The bound.
        least: f32,
    },
    /// The gallery would answer somebody else for this face.
    #[error(
        "the gallery takes this face for {name:?}, another person (their face {face} is at distance {}, within the \
         threshold {threshold:.3})",
        told(*distance, *threshold, 3)
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
    /// The person's other faces are somebody else's.
    #[error(
        "this face is not like those enrolled as {name:?} (the nearest, face {face}, is at distance {}, beyond \
         {threshold:.3}): one of the two is somebody else's",
        told(*distance, *threshold, 3)
    )]
    DifferentPerson {
        /// The person.
        name: String,
        /// The nearest face of theirs.
        face: u64,
        /// Distance to it.
        distance: f32,
        /// Faces of one person are seldom farther apart.
        threshold: f32,
    },
}

/// A measure with as many decimals as it takes to tell it from its bound, and no fewer than `least`.
fn told(measure: f32, bound: f32, least: usize) -> String {
    let written = |decimals: usize| (format!("{measure:.decimals$}"), format!("{bound:.decimals$}"));
    let apart = (least..=8).map(written).find(|(measure, bound)| measure != bound);
    apart.map_or_else(|| measure.to_string(), |(measure, _)| measure)
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
            Self::Unclear { .. } => "gate.unclear",
            Self::SomeoneElse { .. } => "gate.someone_else",
            Self::DifferentPerson { .. } => "gate.different_person",
        }
    }

    /// The check that refused.
    pub fn gate(&self) -> Gate {
        match self {
            Self::TooSmall { .. } => Gate::Small,
            Self::Blurred { .. } => Gate::Blurred,
            Self::TooDark { .. } | Self::TooBright { .. } => Gate::Light,
            Self::TurnedAway { .. } => Gate::Turned,
            Self::Covered { .. } => Gate::Covered,
            Self::Inverted { .. } => Gate::Inverted,
            Self::Unclear { .. } => Gate::Unclear,
            Self::SomeoneElse { .. } => Gate::Duplicate,
            Self::DifferentPerson { .. } => Gate::Different,
        }
    }

    /// The word that overrides this refusal.
    pub fn name(&self) -> &'static str {
        self.gate().name()
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
            Self::NothingMerged { .. } => "gallery.nothing_merged",
            Self::FarApart { .. } => "gallery.far_apart",
            Self::AmbiguousName { .. } => "gallery.ambiguous_name",
            Self::GalleryTaken { .. } => "gallery.gallery_taken",
            Self::BadName { .. } => "gallery.bad_name",
            Self::WrongModel { .. } => "gallery.wrong_model",
            Self::NotReembedded { .. } => "gallery.not_reembedded",
            Self::Gate { refusal, .. } => refusal.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_never_reads_like_the_bound_that_it_does_not_keep() {
        for (refusal, text) in [
            (
                GateRefusal::TooSmall { eye_distance: 19.97, least: 20.0 },
                "19.97 pixels between the eyes, at least 20 are",
            ),
            (GateRefusal::TooSmall { eye_distance: 12.4, least: 20.0 }, "12 pixels between the eyes, at least 20 are"),
            (GateRefusal::Blurred { sharpness: 0.00799, least: 0.008 }, "sharpness 0.00799, at least 0.008 is"),
            (GateRefusal::TooDark { brightness: 0.1196, least: 0.12 }, "0.1196 of 1, at least 0.12 is"),
            (GateRefusal::TooBright { brightness: 0.9001, most: 0.9 }, "0.9001 of 1, at most 0.9 is"),
            (
                GateRefusal::TurnedAway { axis: "yaw", degrees: -50.3, most: 50.0 },
                "yaw about -50.3 degrees, at most 50 are",
            ),
        ] {
            assert!(refusal.to_string().contains(text), "{refusal}");
        }
        assert_eq!(told(20.0, 20.0, 0), "20");
    }

    #[test]
    fn a_face_that_is_another_persons_is_not_said_to_be_enrolled() {
        let said = GateRefusal::SomeoneElse { name: "Ada".into(), face: 3, distance: 0.3849, threshold: 0.3851 };
        let said = said.to_string();
        assert!(!said.contains("already") && said.contains("another person") && said.contains("0.3849"), "{said}");
    }
}
