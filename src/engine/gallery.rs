//! Photos and galleries: enrolling who is in a photo, and asking who it is.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::{Engine, Selection};
use crate::attributes::QualityBounds;
use crate::compare::{Tag, draw_names, similarity_colour};
use crate::database::{Database, Pending};
use crate::detect::Detection;
use crate::error::{Error, GalleryError, Gate, GateRefusal, Result};
use crate::files::unhex;
use crate::gallery::{Enrolled, EnrolmentPolicy, FacePictures, Identification, NewFace, SearchPolicy};
use crate::geometry::BBox;
use crate::geometry::FaceQuality;
use crate::media::{Photo, Raster, encode_jpeg, encode_png, fit_within};
use crate::nn::on_this_thread;
use crate::verify::{Calibration, Threshold, nearness, percent_text};

/// Longer side of a kept thumbnail, in pixels.
const THUMBNAIL: u32 = 160;
/// Colour of a face whom nobody knows.
const UNKNOWN: [u8; 3] = [175, 180, 190];
/// Photos for each thread from which on none helps another: the last ones, for which some wait, are few beside them.
const A_THREAD: usize = 4;
/// Surroundings of the face on a thumbnail, as a share of the box on each side.
const SURROUNDINGS: f32 = 0.4;

/// What a photo must be to be enrolled, and what is kept of it.
#[derive(Debug, Clone, Default)]
pub struct EnrolOptions {
    /// Which boxes count, and which face is meant where the photo shows several.
    pub selection: Selection,
    /// What the face must be.
    pub bounds: QualityBounds,
    /// Checks whose refusal is passed over.
    pub allow: BTreeSet<Gate>,
    /// Keep the chip and a thumbnail beside the vector.
    pub keep_chips: bool,
    /// How the gallery is asked whether it knows the face as somebody else.
    pub search: SearchPolicy,
    /// Groups that the person is put into.
    pub groups: Vec<String>,
    /// Labels that the person gets.
    pub labels: BTreeMap<String, String>,
    /// Where this enrolment makes the gallery: store its vectors as f16, in half the space.
    pub half: bool,
}

impl EnrolOptions {
    fn allows(&self, gate: Gate) -> bool {
        self.allow.contains(&gate)
    }
}

/// A face of a photo, and who it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdentifiedFace {
    /// Its number in the photo, from 1 on: what [`super::FaceChoice::Number`] calls it.
    pub number: usize,
    /// The box in pixels of the upright photo.
    #[serde(rename = "box")]
    pub bbox: BBox,
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// Who.
    #[serde(flatten)]
    pub answer: Identification,
}

impl Engine {
    /// Why a face of that quality would not be enrolled when nothing else is said.
    pub(crate) fn refusal(&self, quality: &FaceQuality) -> Option<GateRefusal> {
        quality.within(&self.bounds_of(QualityBounds::default()), &|_| false).err()
    }

    /// The bounds, with that of the model's record where they leave one open.
    pub(crate) fn bounds_of(&self, bounds: QualityBounds) -> QualityBounds {
        let recorded = || self.calibration()?.least_length;
        QualityBounds { embedding_length: bounds.embedding_length.or_else(recorded), ..bounds }
    }

    /// Measures the quality of each detected face.
    ///
    /// # Errors
    /// As [`Engine::chips`].
    pub fn quality(&self, photo: &Photo, detections: &[Detection]) -> Result<Vec<FaceQuality>> {
        let chips = self.chips(photo, detections)?;
        chips.iter().zip(detections).map(|(chip, d)| Ok(self.measured(photo.raster(), chip, d)?)).collect()
    }

    /// Finds, measures and embeds the face that [`Engine::enroll`] would store: everything that needs
    /// the networks and not the database.
    ///
    /// # Errors
    /// [`crate::error::RefusalError`] for no face or several, [`GalleryError::Gate`] for a face that is
    /// too small, blurred, dark, bright, turned away, covered, upside down or unclear.
    pub fn prepare(&self, photo: &Photo, options: &EnrolOptions) -> Result<NewFace> {
        self.prepare_found(photo, self.detect(photo)?, options)
    }

    /// [`Engine::prepare`] of faces that were found before.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    pub fn prepare_found(&self, photo: &Photo, found: Vec<Detection>, options: &EnrolOptions) -> Result<NewFace> {
        let (chosen, _) = options.selection.choose(&found, photo)?;
        let chips = self.pipeline.chips(photo.raster(), &[chosen])?;
        let quality = self.measured(photo.raster(), &chips[0], &chosen)?;
        let bounds = self.bounds_of(options.bounds);
        let passed = |quality: &FaceQuality| {
            let refused = |refusal| GalleryError::Gate { photo: photo.origin().to_string(), refusal };
            quality.within(&bounds, &|gate| options.allows(gate)).map_err(refused)
        };
        // Before the embedder runs, which takes longer than all else, and with what it says.
        passed(&quality)?;
        let (embedding, length) = self.embed_with_lengths(&chips)?.remove(0);
        let embedding = embedding.found_by(self.detector());
        passed(&FaceQuality { embedding_length: Some(length), ..quality })?;
        let pictures = match options.keep_chips {
            false => None,
            true => {
                let thumbnail = encode_jpeg(&thumbnail(photo.raster(), &chosen.bbox, chosen.turned))?;
                Some(FacePictures { chip: encode_png(&chips[0])?, thumbnail })
            }
        };
        Ok(NewFace {
            embedding,
            bbox: chosen.bbox,
            landmarks: chosen.landmarks,
            score: chosen.score,
            quality,
            source: photo.origin().to_string(),
            source_sha256: photo.sha256().and_then(unhex),
            pictures,
        })
    }

    /// What `work` makes of each item, by all threads, in their order. Where there are several items for every thread, a
    /// network that `work` runs is run by the thread that called it alone: others have items of their own.
    pub fn of_each<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        match items.len() < A_THREAD * rayon::current_num_threads() {
            true => items.par_iter().map(&work).collect(),
            false => items.par_iter().with_max_len(1).map(|item| on_this_thread(|| work(item))).collect(),
        }
    }

    /// Enrols a prepared face without waiting for the disk: for many under one [`Database::settle`].
    ///
    /// # Errors
    /// As [`Database::enroll`].
    pub fn enroll_prepared(
        &self,
        database: &Database,
        gallery: &str,
        name: &str,
        face: NewFace,
        options: &EnrolOptions,
    ) -> Result<(Enrolled, Pending)> {
        let duplicates = match options.allows(Gate::Duplicate) {
            true => None,
            false => {
                let searched = match database.searched(gallery, &options.search) {
                    Ok(searched) => searched,
                    Err(Error::Gallery(GalleryError::UnknownGallery { .. })) => 0,
                    Err(e) => return Err(e),
                };
                Some(Database::threshold(&options.search, self.calibration(), self.model(), searched)?)
            }
        };
        let apart = match options.allows(Gate::Different) {
            true => None,
            false => Some(self.farthest_apart(options.search.threshold)?),
        };
        let (groups, labels) = (options.groups.clone(), options.labels.clone());
        let policy = EnrolmentPolicy { duplicates, apart, groups, labels, half: options.half, at_ms: None };
        database.enroll_pending(gallery, name, face, &policy)
    }

    /// Where two faces are too far apart to be one person's: the strictest calibrated distance within which 99 in 100
    /// genuine pairs lie, or a distance of one's own where that is farther.
    ///
    /// # Errors
    /// [`crate::error::RefusalError::NotCalibrated`] where there is neither.
    fn farthest_apart(&self, own: Option<f32>) -> Result<Threshold> {
        let calibrated = self.calibration().map(|c| c.farthest_apart(Calibration::MOST_APART));
        match calibrated.into_iter().chain(own).max_by(f32::total_cmp) {
            Some(distance) => Ok(Threshold::at(distance)),
            None => Err(crate::error::RefusalError::NotCalibrated { model: self.model().to_string() }.into()),
        }
    }

    /// Enrols the photo's face under a name; returns when it is on disk for good.
    ///
    /// ```
    /// use kith::{Database, DatabaseOptions, Engine, EnrolOptions, Photo, SearchPolicy};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("faces");
    /// let engine = Engine::builder().build()?;
    /// let database = Database::open(path, &DatabaseOptions::default())?;
    /// let portrait = Photo::open("tests/fixtures/photos/grace_hopper.jpg")?;
    /// engine.enroll(&database, "main", "Grace Hopper", &portrait, &EnrolOptions::default())?;
    ///
    /// let other = Photo::open("tests/fixtures/photos/hopper_tilt.jpg")?;
    /// let faces = engine.identify(&database, "main", &other, &SearchPolicy::default())?;
    /// assert_eq!(faces[0].answer.name.as_deref(), Some("Grace Hopper"));
    /// # Ok::<(), kith::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Engine::prepare`] and [`Database::enroll`].
    pub fn enroll(
        &self,
        database: &Database,
        gallery: &str,
        name: &str,
        photo: &Photo,
        options: &EnrolOptions,
    ) -> Result<Enrolled> {
        let face = self.prepare(photo, options)?;
        let (enrolled, pending) = self.enroll_prepared(database, gallery, name, face, options)?;
        database.settle(pending)?;
        Ok(enrolled)
    }

    /// Who in the gallery each face of the photo is, most confident face first. No face is an empty list.
    ///
    /// # Errors
    /// As [`Database::identify`]; [`crate::error::ModelError`] when the device fails.
    pub fn identify(
        &self,
        database: &Database,
        gallery: &str,
        photo: &Photo,
        policy: &SearchPolicy,
    ) -> Result<Vec<IdentifiedFace>> {
        // Refused before any network runs, not after.
        let searched = database.searched(gallery, policy)?;
        Database::threshold(policy, self.calibration(), self.model(), searched)?;
        let faces = self.faces(photo)?;
        let identify = |(number, f): (usize, &crate::pipeline::Face)| {
            let answer = database.identify(gallery, &f.embedding, policy, self.calibration())?;
            Ok(IdentifiedFace { number, bbox: f.bbox, score: f.score, answer })
        };
        (1..).zip(&faces).map(identify).collect()
    }

    /// Draws the photo with a name and a similarity at every face. Where there is no room for the names their numbers stand
    /// there, from 1 on in the order of the faces, and the names in a list beneath.
    pub fn draw_names(&self, photo: &Photo, faces: &[IdentifiedFace]) -> Raster {
        let tag = |f: &IdentifiedFace| {
            let (text, colour, own) = match (&f.answer.name, f.answer.candidates.first()) {
                (Some(name), Some(best)) => {
                    let alike = best.similarity.unwrap_or_else(|| nearness(f.answer.threshold.distance, best.distance));
                    let text = match best.similarity {
                        Some(percent) => format!("{} {}", Database::name_shown(name), percent_text(percent, 0)),
                        None => Database::name_shown(name),
                    };
                    (text, similarity_colour(alike), true)
                }
                _ => ("unknown".to_string(), UNKNOWN, false),
            };
            Tag { bbox: f.bbox, landmarks: None, text, colour, own }
        };
        let tags: Vec<Tag> = faces.iter().map(tag).collect();
        draw_names(photo.raster(), &tags)
    }
}

/// A face in its surroundings, the way up that it was found: the photo was turned clockwise by so many degrees for that.
pub(crate) fn thumbnail(photo: &Raster, bbox: &BBox, turned: u16) -> Raster {
    let (dx, dy) = ((bbox.x1 - bbox.x0) * SURROUNDINGS, (bbox.y1 - bbox.y0) * SURROUNDINGS);
    let whole = |v: f32, most: u32| v.round().clamp(0.0, most as f32) as u32;
    let (x0, x1) = (whole(bbox.x0 - dx, photo.width() - 1), whole(bbox.x1 + dx, photo.width()));
    let (y0, y1) = (whole(bbox.y0 - dy, photo.height() - 1), whole(bbox.y1 + dy, photo.height()));
    let mut cut = Raster::new((x1.max(x0 + 1)) - x0, (y1.max(y0 + 1)) - y0, [0; 3]);
    cut.blit(photo, -i64::from(x0), -i64::from(y0));
    let small = fit_within(&cut, THUMBNAIL, THUMBNAIL);
    if turned == 0 { small } else { small.turned(u32::from(turned / 90)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_of_a_face_that_lies_is_the_way_up_that_it_was_found() {
        // Light above, dark below; the photo lies on its side, and has to be turned clockwise by so many degrees.
        let mut upright = Raster::new(100, 100, [20; 3]);
        upright.blit(&Raster::new(100, 50, [230; 3]), 0, 0);
        for turned in [0u16, 90, 180, 270] {
            let lying = upright.turned(u32::from((360 - turned) / 90 % 4));
            let picture = thumbnail(&lying, &BBox::new(20.0, 20.0, 80.0, 80.0), turned);
            let middle = picture.width() / 2;
            let (above, below) = (picture.pixel(middle, 2)[0], picture.pixel(middle, picture.height() - 3)[0]);
            assert!(above > 200 && below < 50, "{turned}: {above} over {below}");
        }
    }

    #[test]
    fn a_face_of_which_the_model_makes_little_is_neither_enrolled_nor_decided_unasked() {
        let record = Engine::builder().build().unwrap().calibration().unwrap().clone();
        let with = |least_length| Calibration { least_length, ..record.clone() };
        let engine = |least| Engine::builder().calibration(with(least)).build().unwrap();
        let photo = Photo::open("tests/fixtures/photos/grace_hopper.jpg").unwrap();
        let prepared = |engine: &Engine, options: &EnrolOptions| engine.prepare(&photo, options).map_err(|e| e.code());
        let strict = engine(Some(1e6));
        assert_eq!(prepared(&engine(None), &EnrolOptions::default()).err(), None);
        assert_eq!(prepared(&strict, &EnrolOptions::default()).err(), Some("gate.unclear"));
        let said = strict.prepare(&photo, &EnrolOptions::default()).unwrap_err().to_string();
        assert!(said.contains("unclear") && said.contains("--allow unclear"), "{said}");
        let allowed = EnrolOptions { allow: [Gate::Unclear].into(), ..EnrolOptions::default() };
        assert!(prepared(&strict, &allowed).is_ok());
        let own = QualityBounds { embedding_length: Some(0.0), ..QualityBounds::default() };
        assert!(prepared(&strict, &EnrolOptions { bounds: own, ..EnrolOptions::default() }).is_ok());

        let question = crate::Question::default();
        let refused = strict.answer(&photo, &photo, &question).map(|v| v.decision).map_err(|e| e.code());
        assert_eq!(refused, Err("refusal.poor_faces"));
        let compared = strict.compare(&photo, &photo, question).unwrap();
        assert!(compared.verdict().is_none(), "{:?}", compared.caption());
        let all_the_same = crate::Question { accept_poor: true, ..question };
        assert!(strict.answer(&photo, &photo, &all_the_same).is_ok());
        let length = compared.left.quality[0].embedding_length.unwrap();
        assert!(length > 1.0 && length < 100.0, "{length}");
    }
}
