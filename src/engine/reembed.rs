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
use crate::gallery::{FaceAnew, FaceToEmbed};
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
        if database.model_of(gallery).as_ref() == Some(self.model()) {
            return Ok(Reembedded::default());
        }
        let change = database.reembed_start(gallery, self.model(), self.dimension())?;
        let chips_fit = alignment(&change.from) == alignment(self.model());
        let (left, before) = database.reembed_left(&change)?;
        begun(left.len());
        let photos = by_digest(&options.photos, &options.limits);
        let mut done = Reembedded { before, ..Reembedded::default() };
        for together in left.chunks(TOGETHER) {
            let embedded: Vec<(FaceAnew, bool)> = together
                .par_iter()
                .map(|&face| {
                    let anew = match database.reembed_face(&change, face)? {
                        Some(f) => self.anew(face, &f, chips_fit, &photos, &options.limits)?,
                        None => None,
                    };
                    progress();
                    Ok(anew)
                })
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect();
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
        number: u64,
        face: &FaceToEmbed,
        chips_fit: bool,
        photos: &HashMap<[u8; 32], PathBuf>,
        limits: &Limits,
    ) -> Result<Option<(FaceAnew, bool)>> {
        if let Some((chip, _)) = face.pictures.as_ref().filter(|_| chips_fit) {
            let chip = Photo::from_bytes(chip, "a kept chip", limits)?;
            let embedding = self.embed_chips(&[chip.raster().clone()])?.remove(0);
            let pictures = face.pictures.clone();
            return Ok(Some((FaceAnew { face: number, embedding, pictures }, false)));
        }
        let Some(wanted) = &face.source_sha256 else { return Ok(None) };
        // As it is written there, too: sources from before had no escapes.
        let own = [PathBuf::from(&face.source), path_of(&face.source)];
        let found = photos.get(wanted).into_iter().chain(own.iter().filter(|path| path.is_file()));
        for path in found {
            let Ok(bytes) = Photo::read(path, limits) else { continue };
            if Sha256::digest(&bytes)[..] != wanted[..] {
                continue;
            }
            let photo = Photo::from_bytes(&bytes, &spelled(path), limits)?;
            let detection = Detection { bbox: face.bbox, landmarks: face.landmarks, score: face.score, turned: 0 };
            let chips = self.chips(&photo, &[detection])?;
            let embedding = self.embed_chips(&chips)?.remove(0);
            let pictures = match &face.pictures {
                Some((_, thumbnail)) => Some((encode_png(&chips[0])?, thumbnail.clone())),
                None => None,
            };
            return Ok(Some((FaceAnew { face: number, embedding, pictures }, true)));
        }
        Ok(None)
    }
}

/// Photos by the digest of their bytes. What cannot be read is no photo of anybody.
fn by_digest(photos: &[PathBuf], limits: &Limits) -> HashMap<[u8; 32], PathBuf> {
    let digest = |path: &PathBuf| Some((Sha256::digest(Photo::read(path, limits).ok()?).into(), path.clone()));
    photos.par_iter().filter_map(digest).collect()
}
