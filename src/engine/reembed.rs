//! A change of model: every face of a gallery embedded by this engine, from kept chips or from photos.

use std::collections::HashMap;
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Engine;
use crate::database::Database;
use crate::detect::Detection;
use crate::error::Result;
use crate::files::{path_of, spelled};
use crate::gallery::{FaceAnew, FacePlace, FaceToEmbed};
use crate::geometry::{BBox, Overlap};
use crate::media::{Limits, Photo, encode_png};
use crate::vector::ModelId;

/// Faces embedded and made durable together.
const TOGETHER: usize = 32;

/// What a change of model may draw on.
#[derive(Debug, Clone, Default)]
pub struct ReembedOptions {
    /// Photos, wherever they are now: each face's is found by the digest of its bytes. The paths that the
    /// faces were enrolled from are looked at too.
    pub photos: Vec<PathBuf>,
    /// Bounds for photos.
    pub limits: Limits,
    /// Leave out the faces for which there is neither a fitting chip nor the photo.
    pub leave_out: bool,
}

/// What became of a change of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Reembedded {
    /// Faces done by an earlier run.
    pub before: usize,
    /// Faces embedded from their kept chip.
    pub from_chips: usize,
    /// Faces embedded from their photo.
    pub from_photos: usize,
    /// Faces that the gallery holds no more.
    pub left_out: usize,
}

/// How chips are cut for a model: the last part of its id.
fn alignment(model: &ModelId) -> &str {
    model.as_str().rsplit('/').next().unwrap_or_default()
}

impl Engine {
    /// Embeds every face of a gallery with this engine's model; the gallery answers with the old vectors
    /// until all are done, and then with the new. Can be interrupted and called again. Chips serve where
    /// the new model cuts them as the old one did; otherwise the photos are needed. `begun` hears how many
    /// faces there are to do, `progress` of each.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::NotReembedded`] when for some faces there is neither; what is done is
    /// kept for the next call, and the gallery is as it was.
    pub fn reembed(
        &self,
        database: &Database,
        gallery: &str,
        options: &ReembedOptions,
        begun: &dyn Fn(usize),
        progress: &(dyn Fn() + Sync),
    ) -> Result<Reembedded> {
        let found_so = database.detector_of(gallery).is_none_or(|detector| detector == self.detector());
        if database.model_of(gallery).as_ref() == Some(self.model()) && found_so {
            return Ok(Reembedded::default());
        }
        let change = database.reembed_start(gallery, self.model(), self.detector(), self.dimension())?;
        let same_cut = alignment(&change.from) == alignment(self.model());
        let (left, before) = database.reembed_left(&change)?;
        begun(left.len());
        let photos = by_digest(&options.photos, &options.limits);
        let mut done = Reembedded { before, ..Reembedded::default() };
        for together in left.chunks(TOGETHER) {
            let anew = |&face: &u64| {
                let anew = match database.reembed_face(&change, face)? {
                    Some(f) => self.anew(face, &f, same_cut, &photos, &options.limits)?,
                    None => None,
                };
                progress();
                Ok(anew)
            };
            let embedded = self.of_each(together, anew).into_iter().collect::<Result<Vec<Option<_>>>>()?;
            let embedded: Vec<(FaceAnew, bool)> = embedded.into_iter().flatten().collect();
            let photos = embedded.iter().filter(|(_, from_photo)| *from_photo).count();
            done.from_photos += photos;
            done.from_chips += embedded.len() - photos;
            let faces = embedded.into_iter().map(|(anew, _)| anew).collect();
            database.settle(database.reembed_put(&change, faces)?)?;
        }
        done.left_out = database.reembed_finish(&change, options.leave_out)?;
        Ok(done)
    }

    /// A face's new vector, and whether it came from the photo; `None` when there is nothing to make it from.
    fn anew(
        &self,
        id: u64,
        face: &FaceToEmbed,
        same_cut: bool,
        photos: &HashMap<[u8; 32], PathBuf>,
        limits: &Limits,
    ) -> Result<Option<(FaceAnew, bool)>> {
        // Landmarks of another detector lie a little otherwise, and so would the vector.
        let same_detector = face.detector.is_empty() || face.detector == self.detector();
        if let Some((chip, _)) = face.pictures.as_ref().filter(|_| same_cut && same_detector) {
            let chip = Photo::from_bytes(chip, "a kept chip", limits)?;
            let embedding = self.embed_chips(&[chip.raster().clone()])?.remove(0).found_by(&face.detector);
            let pictures = face.pictures.clone();
            return Ok(Some((FaceAnew { face: id, embedding, pictures, place: None }, false)));
        }
        if let Some(wanted) = &face.source_sha256 {
            // As it is written there, too: sources from before had no escapes.
            let own = [PathBuf::from(&face.source), path_of(&face.source)];
            let found = photos.get(wanted).into_iter().chain(own.iter().filter(|path| path.is_file()));
            for path in found {
                let Ok(bytes) = Photo::read(path, limits) else { continue };
                if Sha256::digest(&bytes)[..] != wanted[..] {
                    continue;
                }
                let photo = Photo::from_bytes(&bytes, &spelled(path), limits)?;
                let known = Detection { bbox: face.bbox, landmarks: face.landmarks, score: face.score, turned: 0 };
                let seen = if same_detector { Some(known) } else { self.seen_again(&photo, &face.bbox)? };
                if let Some(seen) = seen {
                    let detector = if same_detector { face.detector.as_str() } else { self.detector() };
                    return Ok(Some((self.cut_anew(id, face, &photo, seen, detector, true)?, true)));
                }
            }
        }
        // The chip as a small photo: it shows the face whole, and hardly anything else.
        let Some((chip, _)) = &face.pictures else { return Ok(None) };
        let chip = Photo::from_bytes(chip, "a kept chip", limits)?;
        let whole = BBox::new(0.0, 0.0, chip.width() as f32, chip.height() as f32);
        match self.seen_again(&chip, &whole)? {
            Some(seen) => Ok(Some((self.cut_anew(id, face, &chip, seen, self.detector(), false)?, false))),
            None => Ok(None),
        }
    }

    /// What this engine's detector sees where a face was found before.
    fn seen_again(&self, photo: &Photo, place: &BBox) -> Result<Option<Detection>> {
        let shared = |d: &Detection| d.bbox.overlap(place, Overlap::Union);
        let best = self.detect(photo)?.into_iter().max_by(|a, b| shared(a).total_cmp(&shared(b)));
        Ok(best.filter(|d| shared(d) >= SAME_FACE))
    }

    /// The face cut and embedded; `of_photo` says whether `seen` is its place in its own photo.
    fn cut_anew(
        &self,
        id: u64,
        face: &FaceToEmbed,
        photo: &Photo,
        seen: Detection,
        detector: &str,
        of_photo: bool,
    ) -> Result<FaceAnew> {
        let chips = self.chips(photo, &[seen])?;
        let embedding = self.embed_chips(&chips)?.remove(0).found_by(detector);
        let pictures = match &face.pictures {
            Some((_, thumbnail)) => Some((encode_png(&chips[0])?, thumbnail.clone())),
            None => None,
        };
        let Detection { bbox, landmarks, score, .. } = seen;
        let place = of_photo.then_some(FacePlace { bbox, landmarks, score });
        Ok(FaceAnew { face: id, embedding, pictures, place })
    }
}

/// Share of two boxes' union that they have in common, from which they are one face's. Detectors draw boxes from the
/// brows or from the hair.
const SAME_FACE: f32 = 0.3;

/// Photos by the digest of their bytes. What cannot be read is no photo of anybody.
fn by_digest(photos: &[PathBuf], limits: &Limits) -> HashMap<[u8; 32], PathBuf> {
    let digest = |path: &PathBuf| Some((Sha256::digest(Photo::read(path, limits).ok()?).into(), path.clone()));
    photos.par_iter().filter_map(digest).collect()
}
