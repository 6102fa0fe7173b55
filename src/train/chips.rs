//! Photos of people to chips of a network's size, cut once and kept where a folder is given.
//!
//! A kept chip is a PNG file called by the sha256 of what it was made from: the photo's bytes, the template, the detector
//! and which face counts. So a photo that changed is cut again, and one that moved is not.

use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::faces::FaceSet;
use crate::align::{Alignment, of_size};
use crate::engine::{Engine, FaceChoice, LabelledPhoto};
use crate::error::{Error, ModelError, Result, TrainError};
use crate::files::{self, Audience, hex, spelled};
use crate::media::{Limits, Photo, Raster, encode_png};
use crate::nn::graph::Network;

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
    let template = of_size(network.chip_size()).ok_or_else(|| ModelError::InvalidOption {
        option: "network",
        received: network.name().to_string(),
        expected: "one with a template for its chips",
    })?;
    let unkept = |path: &Path, e: std::io::Error| {
        Error::from(TrainError::Checkpoint { path: spelled(path), reason: format!("a chip was not kept: {e}") })
    };
    if let Some(folder) = kept {
        files::private_folder(folder).map_err(|e| unkept(folder, e))?;
    }
    let cut = |labelled: &LabelledPhoto| -> Result<Raster> {
        let bytes = Photo::read(&labelled.path, limits)?;
        let place = kept.map(|folder| {
            let mut digest = Sha256::new();
            digest.update(&bytes);
            digest.update(format!("{} {} {choice:?}", template.name, engine.detector()));
            folder.join(format!("{}.png", hex(&digest.finalize())))
        });
        if let Some(chip) = place.as_ref().and_then(|p| Photo::open(p).ok()) {
            let chip = chip.raster().clone();
            if (chip.width(), chip.height()) == template.size {
                return Ok(chip);
            }
        }
        let photo = Photo::from_bytes(&bytes, &spelled(&labelled.path), limits)?;
        let face = engine.find_one(&photo, choice)?;
        let chip = Alignment::FivePoint(template).cut(photo.raster(), &face.bbox, &face.landmarks)?;
        if let Some(place) = place {
            files::write_whole(&place, &encode_png(&chip)?, Audience::Owner).map_err(|e| unkept(&place, e))?;
        }
        Ok(chip)
    };
    let answers: Vec<Result<Raster>> = photos
        .par_iter()
        .map(|labelled| {
            let answer = cut(labelled);
            done();
            answer
        })
        .collect();
    let (mut chips, mut people, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (labelled, answer) in photos.iter().zip(answers) {
        match answer {
            Ok(chip) => {
                chips.push(chip);
                people.push(labelled.person);
            }
            Err(e @ (Error::Photo(_) | Error::Refusal(_) | Error::Model(ModelError::BadEmbedding { .. }))) => {
                failures.push(e.to_string());
            }
            Err(e) => return Err(e),
        }
    }
    Ok((FaceSet::new(chips, people)?, failures))
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
