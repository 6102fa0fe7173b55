//! The facade: one [`Engine`] holds the networks and answers questions about photos.
//!
//! ```
//! use kith::{Decision, Engine, Photo, Policy};
//! # fn main() -> kith::Result<()> {
//! # let (a, b) = ("tests/fixtures/photos/grace_hopper.jpg", "tests/fixtures/photos/hopper_tilt.jpg");
//! let engine = Engine::builder().build()?;
//! let verdict = engine.verify(&Photo::open(a)?, &Photo::open(b)?, Policy::MaxFmr(1e-3), Default::default())?;
//! assert_eq!(verdict.decision, Decision::Same);
//! println!("{:.0}% alike, distance {:.3}", verdict.similarity.unwrap_or_default(), verdict.distance);
//! # Ok(())
//! # }
//! ```

mod builder;
mod calibrate;
mod calibrations;
mod choose;
mod comparison;
mod gallery;
mod grouping;
mod look;
mod profile;
mod reembed;
mod seed;
mod seen;
mod upright;

use std::time::Instant;

pub use builder::EngineBuilder;
pub use calibrate::{LabelledPhoto, MeasuredCalibration};
pub use choose::{Counted, FaceChoice, Selection};
pub use comparison::{Comparison, ComparisonOutcome, ComparisonTimes, ScoredPair, SideFaces};
pub(crate) use gallery::thumbnail;
pub use gallery::{EnrolOptions, IdentifiedFace};
pub(crate) use grouping::doubtful;
pub use grouping::{Strangers, group_rows, line_among, line_by};
pub use profile::Profile;
pub use reembed::{ReembedOptions, Reembedded};
pub use seed::draw_seed;
pub use seen::{Question, SeenFace, Verification};
pub(crate) use upright::known_face;

use crate::align::{Alignment, DLIB_150};
use crate::compare::{Mark, Pair, Pane, Picture, Tag, draw_found};
use crate::detect::Detection;
use crate::error::{ModelError, Result};
use crate::geometry::FaceQuality;
use crate::media::{Photo, Raster};
use crate::nn::Device;
use crate::pipeline::{Face, Pipeline, StageTimes, milliseconds};
use crate::vector::ModelId;
use crate::verify::{Calibration, Judge, Policy, nearness, percent_text};

/// Colour of faces that were found, and of which nothing else is known.
const FOUND: [u8; 3] = [64, 220, 120];

/// Finds, embeds and compares faces. Built once (a fraction of a second), shared by any number of
/// threads: `Engine` is `Send + Sync` and every method takes `&self`.
///
/// ```
/// fn shared_by_threads<T: Send + Sync>() {}
/// shared_by_threads::<kith::Engine>();
/// ```
pub struct Engine {
    pipeline: Pipeline,
    calibration: Option<Calibration>,
    device: Device,
}

impl Engine {
    /// The model that makes the embeddings.
    pub fn model(&self) -> &ModelId {
        self.pipeline.embedder.model()
    }

    /// Name of the detector.
    pub fn detector(&self) -> &str {
        self.pipeline.detector.name()
    }

    /// Numbers in an embedding.
    pub fn dimension(&self) -> usize {
        self.pipeline.embedder.dimension()
    }

    /// Where the networks run: `cpu`, `cuda:N` or `metal`.
    pub fn device(&self) -> String {
        self.device.name()
    }

    /// The numbers that the embedder's large convolutions are computed in: `f32`, `f16` or `int16`.
    pub fn precision(&self) -> &'static str {
        self.pipeline.embedder.precision()
    }

    /// The model's calibration record, where one is known.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// A calibration record that came with the model of that id, if one did; no network is loaded for it.
    pub fn shipped_calibration(model: &ModelId) -> Option<Calibration> {
        calibrations::shipped_for_model(model.as_str())
    }

    /// The faces of the photo, most confident first, not embedded. Where no upright face is in it, it is turned by 90,
    /// 180 and 270 degrees; what was found so says so ([`Detection::turned`]).
    ///
    /// # Errors
    /// [`crate::error::ModelError::Backend`] when the device fails.
    pub fn detect(&self, photo: &Photo) -> Result<Vec<Detection>> {
        Ok(self.look(photo.raster())?)
    }

    /// The faces of the photo, most confident first, embedded.
    ///
    /// # Errors
    /// [`crate::error::ModelError::Backend`] when the device fails.
    pub fn faces(&self, photo: &Photo) -> Result<Vec<Face>> {
        Ok(self.faces_timed(photo)?.0)
    }

    /// [`Engine::faces`], with the time of each stage.
    ///
    /// # Errors
    /// As [`Engine::faces`].
    pub fn faces_timed(&self, photo: &Photo) -> Result<(Vec<Face>, StageTimes)> {
        let start = Instant::now();
        let found = self.look(photo.raster())?;
        let detected = start.elapsed();
        let (faces, _, mut times) = self.pipeline.embed(photo.raster(), &found)?;
        times.detect_ms = milliseconds(detected);
        Ok((faces, times))
    }

    /// The chips that [`Engine::faces`] would embed, one a detection.
    ///
    /// # Errors
    /// [`crate::error::ModelError::BadEmbedding`] for a detection that encloses nothing.
    pub fn chips(&self, photo: &Photo, detections: &[Detection]) -> Result<Vec<Raster>> {
        Ok(self.pipeline.chips(photo.raster(), detections)?)
    }

    /// How the embedder's chips are cut.
    pub(crate) fn alignment(&self) -> Alignment {
        self.pipeline.embedder.alignment()
    }

    /// The quality of a face, of which the embedder's chip is at hand. Sharpness and light are measured on a chip of one
    /// kind, on which their bounds were chosen: a smaller chip hides blur.
    pub(crate) fn measured(&self, photo: &Raster, chip: &Raster, face: &Detection) -> Result<FaceQuality, ModelError> {
        let measure = |chip: &Raster| FaceQuality::measure(photo, chip, &face.landmarks, face.turned);
        let mut quality = match self.alignment() {
            Alignment::FivePoint(template) if template == &DLIB_150 => measure(chip),
            _ => measure(&DLIB_150.cut(photo, &face.landmarks)?),
        };
        if let Some(cover) = &mut quality.cover {
            cover.inverted = self.second_look(photo, face, cover.inverted)?;
        }
        Ok(quality)
    }

    /// Embeds ready-made chips of the size that the model takes.
    ///
    /// # Errors
    /// [`crate::error::ModelError::WrongChip`] for another size.
    pub fn embed_chips(&self, chips: &[Raster]) -> Result<Vec<crate::vector::Embedding>> {
        Ok(self.pipeline.embedder.embed(chips)?)
    }

    /// [`Engine::embed_chips`], each embedding with the length that the network's output had.
    pub(crate) fn embed_with_lengths(&self, chips: &[Raster]) -> Result<Vec<(crate::vector::Embedding, f32)>> {
        Ok(self.pipeline.embedder.embed_with_lengths(chips)?)
    }

    /// The judge for this engine's model under `policy`.
    ///
    /// # Errors
    /// A [`crate::error::RefusalError`] when the policy asks for what the calibration does not support.
    pub fn judge(&self, policy: Policy) -> Result<Judge> {
        Ok(Judge::new(self.model(), self.calibration.as_ref(), policy)?)
    }

    /// The photo's one face, embedded.
    ///
    /// # Errors
    /// [`crate::error::RefusalError::NoFace`], or [`crate::error::RefusalError::SeveralFaces`] under [`FaceChoice::Only`].
    pub fn one_face(&self, photo: &Photo, which: impl Into<Selection>) -> Result<Face> {
        let chosen = self.find_one(photo, which)?;
        let (mut faces, ..) = self.pipeline.embed(photo.raster(), &[chosen])?;
        Ok(faces.remove(0))
    }

    /// The photo's one face, not embedded.
    ///
    /// # Errors
    /// [`crate::error::RefusalError::NoFace`], or [`crate::error::RefusalError::SeveralFaces`] under [`FaceChoice::Only`].
    pub fn find_one(&self, photo: &Photo, which: impl Into<Selection>) -> Result<Detection> {
        self.pick(&self.look(photo.raster())?, photo, which)
    }

    /// The one of the faces found in a photo that counts.
    ///
    /// # Errors
    /// As [`Engine::find_one`].
    pub fn pick(&self, found: &[Detection], photo: &Photo, which: impl Into<Selection>) -> Result<Detection> {
        Ok(which.into().choose(found, photo)?.0)
    }

    /// [`Engine::pick`], embedded and measured, with the boxes that were passed over.
    ///
    /// # Errors
    /// As [`Engine::find_one`].
    pub fn see(&self, found: &[Detection], photo: &Photo, which: impl Into<Selection>) -> Result<(SeenFace, Face)> {
        let (chosen, passed_over) = which.into().choose(found, photo)?;
        let (mut faces, chips, _) = self.pipeline.embed(photo.raster(), &[chosen])?;
        let face = faces.remove(0);
        let mut quality = self.measured(photo.raster(), &chips[0], &chosen)?;
        quality.embedding_length = Some(face.embedding_length);
        Ok((SeenFace::new(chosen, quality, self.refusal(&quality), passed_over), face))
    }

    /// Embeds faces that were found before, in order.
    ///
    /// # Errors
    /// [`crate::error::ModelError::BadEmbedding`] for a detection that encloses nothing.
    pub fn embed_detections(&self, photo: &Photo, found: &[Detection]) -> Result<Vec<Face>> {
        Ok(self.pipeline.embed(photo.raster(), found)?.0)
    }

    /// Is it the same person? One face in each photo.
    ///
    /// # Errors
    /// As [`Engine::answer`].
    pub fn verify(&self, a: &Photo, b: &Photo, policy: Policy, choice: FaceChoice) -> Result<Verification> {
        self.answer(a, b, &Question { selection: choice.into(), ..policy.into() })
    }

    /// [`Engine::verify`], asked in full.
    ///
    /// # Errors
    /// [`crate::error::RefusalError`] when a photo has no face or several, when neither face would be enrolled
    /// ([`crate::error::RefusalError::PoorFaces`]), or when the policy is not supported; never a match then.
    pub fn answer(&self, a: &Photo, b: &Photo, question: &Question) -> Result<Verification> {
        let judge = self.judge(question.policy)?;
        let see = |photo: &Photo| self.see(&self.look(photo.raster())?, photo, question.selection);
        let (left, right) = self.both(a, b, see);
        self.decide(&judge, (a.origin(), left?), (b.origin(), right?), question.accept_poor)
    }

    /// The verdict about two faces that were seen before, each with its photo's name.
    ///
    /// # Errors
    /// [`crate::error::RefusalError::PoorFaces`] where neither would be enrolled, unless `accept_poor`.
    pub fn decide(
        &self,
        judge: &Judge,
        (left_photo, (left, a)): (&str, (SeenFace, Face)),
        (right_photo, (right, b)): (&str, (SeenFace, Face)),
        accept_poor: bool,
    ) -> Result<Verification> {
        let verdict = judge.judge(&a.embedding, &b.embedding)?;
        let poor = seen::poor_faces((left_photo, left.refusal.clone()), (right_photo, right.refusal.clone()));
        match poor.filter(|_| !accept_poor) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(Verification { verdict, left, right }),
        }
    }

    /// Scores every face of one photo against every face of the other.
    ///
    /// What cannot be decided (no face, no calibration) is an [`ComparisonOutcome::Undecided`], so that the
    /// picture can still be drawn.
    ///
    /// # Errors
    /// [`crate::error::ModelError::Backend`] when the device fails.
    pub fn compare(&self, a: &Photo, b: &Photo, question: impl Into<Question>) -> Result<Comparison> {
        let question = question.into();
        let (left, right) = self.both(a, b, |photo| {
            let start = Instant::now();
            let found = self.look(photo.raster())?;
            let detected = milliseconds(start.elapsed());
            let mut side = self.side(photo, &found, &question.selection)?;
            side.times.detect_ms = detected;
            side.total_ms = milliseconds(start.elapsed());
            Ok::<_, crate::Error>(side)
        });
        self.score(left?, right?, question)
    }

    /// [`Engine::compare`] of faces that were found and embedded before.
    ///
    /// # Errors
    /// [`crate::error::ModelError::MixedModels`] for faces of another model.
    pub fn score(&self, left: SideFaces, right: SideFaces, question: impl Into<Question>) -> Result<Comparison> {
        let question = question.into();
        let judge = Judge::new(self.model(), self.calibration.as_ref(), question.policy);
        comparison::score(left, right, judge, self.calibration.as_ref(), question.accept_poor)
    }

    /// Draws the similarity picture of a comparison of these two photos.
    pub fn draw(&self, a: &Photo, b: &Photo, comparison: &Comparison) -> Raster {
        fn pane<'a>(photo: &'a Photo, side: &SideFaces) -> Pane<'a> {
            Pane {
                picture: std::borrow::Cow::Borrowed(photo.raster()),
                name: photo.origin().to_string(),
                faces: side.faces.iter().map(|f| Mark { bbox: f.bbox, landmarks: f.landmarks }).collect(),
            }
        }
        let line = comparison.verdict().map(|v| v.threshold.distance);
        let pair = |p: &ScoredPair| Pair {
            left: p.left,
            right: p.right,
            alike: line.map(|line| p.similarity.unwrap_or_else(|| nearness(line, p.distance))),
            text: match (line, p.similarity) {
                (Some(_), Some(percent)) => percent_text(percent, 1),
                _ => format!("distance {:.3}", p.distance),
            },
        };
        let picture = Picture {
            left: pane(a, &comparison.left),
            right: pane(b, &comparison.right),
            pairs: comparison.pairs.iter().map(pair).collect(),
            best: comparison.best,
            caption: comparison.caption(),
            decided: comparison.verdict().is_some(),
        };
        picture.draw()
    }

    /// Draws the photo, in its own size, with the box, landmarks and score of every face; with its number, from 1 on in
    /// their order, where there is no room for the score.
    pub fn draw_found(&self, photo: &Photo, faces: &[Detection]) -> Raster {
        let tag = |(i, f): (usize, &Detection)| Tag {
            bbox: f.bbox,
            landmarks: Some(f.landmarks),
            text: format!("{}: {:.3}", i + 1, f.score),
            colour: FOUND,
            own: true,
        };
        draw_found(photo.raster(), &faces.iter().enumerate().map(tag).collect::<Vec<_>>())
    }

    /// What `look` sees in both photos: side by side, or one after the other where the maps of two would take much
    /// memory (each uses all threads anyway).
    fn both<T: Send>(&self, a: &Photo, b: &Photo, look: impl Fn(&Photo) -> T + Sync) -> (T, T) {
        match [a, b].iter().all(|photo| self.pipeline.detector.is_light(photo.width(), photo.height())) {
            true => rayon::join(|| look(a), || look(b)),
            false => (look(a), look(b)),
        }
    }

    /// One photo of a comparison: of the boxes found in it those that count, embedded and measured.
    ///
    /// # Errors
    /// As [`Engine::embed_detections`].
    pub fn side(&self, photo: &Photo, found: &[Detection], selection: &Selection) -> Result<SideFaces> {
        let start = Instant::now();
        let Counted { faces, passed_over } = selection.count(found);
        let (embedded, chips, times) = self.pipeline.embed(photo.raster(), &faces)?;
        let measure = |((chip, d), face): ((&Raster, &Detection), &Face)| {
            let quality = self.measured(photo.raster(), chip, d)?;
            Ok::<_, ModelError>(FaceQuality { embedding_length: Some(face.embedding_length), ..quality })
        };
        let quality: Vec<FaceQuality> =
            chips.iter().zip(&faces).zip(&embedded).map(measure).collect::<Result<_, _>>()?;
        Ok(SideFaces {
            photo: photo.origin().to_string(),
            width: photo.width(),
            height: photo.height(),
            refusals: quality.iter().map(|q| self.refusal(q)).collect(),
            quality,
            faces: embedded,
            passed_over,
            times,
            total_ms: milliseconds(start.elapsed()),
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({}, {}, {})", self.detector(), self.model(), self.device())
    }
}
