//! kith answers "who is this face?".
//!
//! ```text
//! bytes -> media -> detect -> align -> embed -> verify -> answer, picture
//! ```
//!
//! [`Engine`] is the way in: it finds the faces of a [`Photo`], turns each into an [`Embedding`] (a
//! unit vector), and decides whether two of them are one person at a false-match rate that you choose.
//!
//! ```
//! use kith::{Engine, Photo, Policy};
//!
//! # fn main() -> kith::Result<()> {
//! # let (a, b) = ("tests/fixtures/photos/grace_hopper.jpg", "tests/fixtures/photos/astronaut.png");
//! let engine = Engine::builder().build()?;
//! let comparison = engine.compare(&Photo::open(a)?, &Photo::open(b)?, Policy::MaxFmr(1e-3))?;
//! for line in comparison.caption() {
//!     println!("{line}");
//! }
//! # assert_eq!(comparison.verdict().unwrap().decision, kith::Decision::Different);
//! # Ok(())
//! # }
//! ```
//!
//! Photos are decoded upright and bounded ([`media`]), MTCNN finds boxes and five landmarks
//! (`detect`), each embedder names how its chips are cut (`align`) and turns them into vectors
//! (`embed`), and [`verify`] turns a distance into a [`Verdict`] with its evidence. Nothing flows
//! backwards, and a question that cannot be decided is a typed refusal, never a match. The [`guide`] has the rest:
//! calibration, galleries, encryption, the service, accuracy, speed, and the words used here.

mod align;
mod attributes;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod cluster;
mod compare;
mod database;
mod detect;
mod embed;
mod engine;
pub mod error;
pub mod eval;
mod files;
mod gallery;
pub mod geometry;
#[cfg(any(doc, doctest))]
pub mod guide;
mod index;
mod json;
mod library;
pub mod media;
mod nn;
mod pipeline;
#[cfg(test)]
#[path = "../tests/common/require.rs"]
mod require;
#[cfg(feature = "serve")]
pub mod serve;
mod store;
pub mod train;
mod vector;
pub mod verify;

pub use align::{ARCFACE_112, Alignment, DLIB_150, Template};
pub use attributes::QualityBounds;
pub use compare::similarity_colour;
pub use database::{Database, Pending, in_turn};
pub use detect::centerface::CenterFaceOptions;
pub use detect::mtcnn::MtcnnOptions;
pub use detect::yunet::YunetOptions;
pub use detect::{Detection, Enlarge};
pub use engine::{
    Comparison, ComparisonOutcome, ComparisonTimes, Counted, Engine, EngineBuilder, EnrolOptions, FaceChoice,
    IdentifiedFace, LabelledPhoto, MeasuredCalibration, Profile, Question, ReembedOptions, Reembedded, ScoredPair,
    SeenFace, Selection, SideFaces, Strangers, Verification, draw_seed, group_rows, line_among, line_by,
};
pub use error::{Error, Result};
pub use files::Secret;
pub use gallery::{
    BackupReport, Candidate, CheckReport, DEFAULT_GALLERY, DatabaseOptions, DatabaseStats, Enrolled, EnrolledFace,
    EnrolmentPolicy, EnrolmentStatus, Exported, FacePage, FacePictures, GalleryStats, Identification, Imported,
    IndexStats, MasterKey, NewFace, PeopleOrder, PeoplePage, PeopleSlice, Person, PersonChange, PersonFilter,
    SearchPolicy, Split, check_export, repair,
};
pub use geometry::{FaceCover, FaceQuality};
pub use index::{FaceFilter, FaceIndex, IndexChoice, Neighbour, Precision};
pub use library::{
    Album, Correction, Duplicates, FoundFace, FoundPhoto, GroupFace, GroupFilter, GroupOrder, GroupSummary, Grouped,
    Hanging, Library, LibraryStatus, PhotoFilter, Refused, SamePerson, ScanOptions, Scanned, Who,
};
pub use media::{Limits, Photo, Raster};
pub use nn::{DeviceChoice, PrecisionChoice, weights};
pub use pipeline::{Face, StageTimes};
pub use vector::{Embedding, ModelId, TemplateRule, template_comparisons};
pub use verify::{Calibration, Decision, Policy, SearchThreshold, Threshold, Verdict};
