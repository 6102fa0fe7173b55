//! Photos of people to chips of a network's size, cut once and kept where a folder is given.
//!
//! A kept chip is a PNG file called by the sha256 of what it was made from: the photo's bytes, the template, the detector
//! and which face counts. So a photo that changed is cut again, and one that moved is not.

use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::faces::FaceSet;
use crate::embed::trained::alignment_of;
use crate::engine::{Engine, FaceChoice, LabelledPhoto};
use crate::error::{Error, ModelError, Result, TrainError};
use crate::files::{self, Audience, hex, spelled};
use crate::media::{Limits, Photo, Raster, encode_png};
use crate::nn::graph::Network;

/// A face's chip, and a teacher's vector of the face where one is wanted.
type Cut = (Raster, Option<Vec<f32>>);

/// As [`chips_of`], with the vector that the engine's model makes of each face: what a student is to learn
/// ([`FaceSet::targets`]). Vectors are kept beside the chips.
///
/// # Errors
/// As [`chips_of`].
pub fn taught_by(
    teacher: &Engine,
    network: &Network,
    photos: &[LabelledPhoto],
    choice: FaceChoice,
    limits: &Limits,
    kept: Option<&Path>,
    done: &(dyn Fn() + Sync),
) -> Result<(FaceSet, Vec<String>)> {
    let (faces, vectors, failures) = cut_all(teacher, network, photos, (choice, true), limits, kept, done)?;
    Ok((faces.taught(vectors)?, failures))
}

/// Cuts the faces of photos for a network; a photo that cannot be read, or without a usable face, is named among the
/// failures and left out. `done` is called after each photo.
///
/// # Errors
/// [`TrainError::Checkpoint`] where a chip cannot be kept; a device's error.
pub fn chips_of(
    engine: &Engine,
    network: &Network,
    photos: &[LabelledPhoto],
    choice: FaceChoice,
    limits: &Limits,
    kept: Option<&Path>,
    done: &(dyn Fn() + Sync),
) -> Result<(FaceSet, Vec<String>)> {
    let (faces, _, failures) = cut_all(engine, network, photos, (choice, false), limits, kept, done)?;
    Ok((faces, failures))
}

fn cut_all(
    engine: &Engine,
    network: &Network,
    photos: &[LabelledPhoto],
    (choice, teaches): (FaceChoice, bool),
    limits: &Limits,
    kept: Option<&Path>,
    done: &(dyn Fn() + Sync),
) -> Result<(FaceSet, Vec<Vec<f32>>, Vec<String>)> {
    let alignment = alignment_of(network).ok_or_else(|| ModelError::InvalidOption {
        option: "network",
        received: network.name().to_string(),
        expected: "one with a template for its chips",
    })?;
    let unkept = |what: &str, path: &Path, e: std::io::Error| {
        Error::from(TrainError::Checkpoint { path: spelled(path), reason: format!("{what} was not kept: {e}") })
    };
    if let Some(folder) = kept {
        files::private_folder(folder).map_err(|e| unkept("the folder of chips", folder, e))?;
    }
    let cut = |labelled: &LabelledPhoto| -> Result<Cut> {
        let bytes = Photo::read(&labelled.path, limits)?;
        let of = |what: &str, ending: &str| {
            kept.map(|folder| {
                let mut digest = Sha256::new();
                digest.update(&bytes);
                digest.update(format!("{what} {} {choice:?}", engine.detector()));
                folder.join(format!("{}.{ending}", hex(&digest.finalize())))
            })
        };
        let place = of(&alignment.name(), "png");
        let lesson = of(&engine.model().to_string(), "f32").filter(|_| teaches);
        let learnt = lesson.as_ref().and_then(|path| vector_in(path, engine.dimension()));
        let kept_chip = place.as_ref().filter(|_| learnt.is_some() || !teaches);
        if let Some(chip) = kept_chip.and_then(|p| Photo::open(p).ok()) {
            let chip = chip.raster().clone();
            if (chip.width(), chip.height()) == alignment.chip_size() {
                return Ok((chip, learnt));
            }
        }
        let photo = Photo::from_bytes(&bytes, &spelled(&labelled.path), limits)?;
        let face = engine.find_one(&photo, choice)?;
        let chip = alignment.cut(photo.raster(), &face.bbox, &face.landmarks)?;
        if let Some(place) = place {
            files::write_whole(&place, &encode_png(&chip)?, Audience::Owner)
                .map_err(|e| unkept("a chip", &place, e))?;
        }
        if !teaches {
            return Ok((chip, None));
        }
        let own = engine.chips(&photo, std::slice::from_ref(&face))?;
        let vector = engine.embed_chips(&own)?.remove(0).values().to_vec();
        if let Some(path) = lesson {
            let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
            files::write_whole(&path, &bytes, Audience::Owner).map_err(|e| unkept("a teacher's vector", &path, e))?;
        }
        Ok((chip, Some(vector)))
    };
    let answers: Vec<Result<Cut>> = photos
        .par_iter()
        .map(|labelled| {
            let answer = cut(labelled);
            done();
            answer
        })
        .collect();
    let (mut chips, mut people, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let mut vectors = Vec::new();
    for (labelled, answer) in photos.iter().zip(answers) {
        match answer {
            Ok((chip, vector)) => {
                chips.push(chip);
                vectors.extend(vector);
                people.push(labelled.person);
            }
            Err(e @ (Error::Photo(_) | Error::Refusal(_) | Error::Model(ModelError::BadEmbedding { .. }))) => {
                failures.push(e.to_string());
            }
            Err(e) => return Err(e),
        }
    }
    Ok((FaceSet::new(chips, people)?, vectors, failures))
}

/// A kept vector; none where the file is not there, or is not one of so many numbers.
fn vector_in(path: &Path, dimension: usize) -> Option<Vec<f32>> {
    let bytes = std::fs::read(path).ok()?;
    let (values, rest) = bytes.as_chunks::<4>();
    let vector: Vec<f32> = values.iter().map(|v| f32::from_le_bytes(*v)).collect();
    (rest.is_empty() && vector.len() == dimension && vector.iter().all(|v| v.is_finite())).then_some(vector)
}

#[cfg(all(test, feature = "embedded-weights"))]
mod tests {
    use super::*;
    use crate::nn::graph::presets;

    #[test]
    fn chips_are_cut_once_and_a_broken_photo_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
        let broken = folder.path().join("broken.jpg");
        let whole = std::fs::read(fixtures.join("grace_hopper.jpg")).unwrap();
        std::fs::write(&broken, &whole[..200]).unwrap();
        let photo = |person, path: &Path| LabelledPhoto { person, path: path.to_path_buf() };
        let photos = [
            photo(0, &fixtures.join("grace_hopper.jpg")),
            photo(0, &broken),
            photo(1, &fixtures.join("astronaut.png")),
        ];
        let engine = Engine::builder().build().unwrap();
        let (network, kept) = (presets::named("tiny").unwrap(), folder.path().join("chips"));
        let cut = || {
            let limits = Limits::default();
            chips_of(&engine, &network, &photos, FaceChoice::Largest, &limits, Some(&kept), &|| ()).unwrap()
        };
        let (faces, failures) = cut();
        assert_eq!((faces.len(), faces.people(), failures.len()), (2, [0, 1].as_slice(), 1));
        assert!(failures[0].contains("broken.jpg"), "{failures:?}");
        let files: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        assert_eq!(cut().0.sha256(), faces.sha256());
        // What is kept is what is used: another picture in its place shows.
        std::fs::write(&files[0], encode_png(&Raster::new(112, 112, [9; 3])).unwrap()).unwrap();
        assert!(cut().0.chips().iter().any(|c| c.data().iter().all(|v| *v == 9)));
        // But not one of another size.
        std::fs::write(&files[0], encode_png(&Raster::new(9, 9, [9; 3])).unwrap()).unwrap();
        assert_eq!(cut().0.sha256(), faces.sha256());
    }
}
