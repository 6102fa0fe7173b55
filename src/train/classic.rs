//! From a folder of people to Eigenfaces or Fisherfaces.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;

use super::subspace::{Kept, Learnt, eigenfaces, fisherfaces};
use crate::align::{Alignment, CLASSIC_48};
use crate::embed::classic::{EIGENFACES, FISHERFACES, Subspace, pixels};
use crate::engine::{Engine, FaceChoice, LabelledPhoto};
use crate::error::{Error, ModelError, Result};
use crate::media::{Limits, Photo};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassicKind {
    /// Directions of greatest variance.
    Eigenfaces,
    /// Directions that part people best.
    Fisherfaces,
}

impl ClassicKind {
    /// The architecture's name, and the name of the model unless another is given.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eigenfaces => EIGENFACES,
            Self::Fisherfaces => FISHERFACES,
        }
    }
}

/// How they are trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicOptions {
    /// Share of the chips' variance that the principal components hold.
    pub variance: f64,
    /// Leading components left out of Eigenfaces.
    pub drop: usize,
    /// Scale Eigenfaces to unit variance. Fisherfaces always have unit variance within people.
    pub whiten: bool,
    /// Which face of a photo counts.
    pub choice: FaceChoice,
}

impl Default for ClassicOptions {
    /// Three components dropped, as Belhumeur et al. do against the light.
    fn default() -> Self {
        Self { variance: 0.95, drop: 3, whiten: true, choice: FaceChoice::Central }
    }
}

/// What was trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trained {
    /// The file.
    #[serde(serialize_with = "crate::files::as_text")]
    pub path: std::path::PathBuf,
    /// Hex sha256 of the file.
    pub sha256: String,
    /// Its architecture.
    pub architecture: String,
    /// Faces learnt from.
    pub faces: usize,
    /// People in them.
    pub people: usize,
    /// Photos without a usable face, and photos that could not be read.
    pub failures: Vec<String>,
    /// Numbers in an embedding.
    pub dimension: usize,
    /// Seconds for finding the faces, and for learning.
    pub seconds: (f64, f64),
}

/// Finds the faces, learns, and writes the model to `out` with its checksum beside; `done` is called after
/// each photo.
///
/// # Errors
/// [`crate::error::EvalError::TooLittle`] for too few faces or people; a device's error; a file that cannot be
/// written.
pub fn train_classic(
    engine: &Engine,
    kind: ClassicKind,
    photos: &[LabelledPhoto],
    options: &ClassicOptions,
    limits: &Limits,
    out: &Path,
    done: &(dyn Fn() + Sync),
) -> Result<Trained> {
    if !(options.variance > 0.0 && options.variance <= 1.0) {
        return Err(Error::from(ModelError::InvalidOption {
            option: "variance",
            received: options.variance.to_string(),
            expected: "above 0 and at most 1",
        }));
    }
    let start = Instant::now();
    let cut = |labelled: &LabelledPhoto| -> Result<Vec<f32>> {
        let photo = Photo::open_with(&labelled.path, limits)?;
        let face = engine.find_one(&photo, options.choice)?;
        let chip = Alignment::FivePoint(&CLASSIC_48).cut(photo.raster(), &face.bbox, &face.landmarks)?;
        Ok(pixels(&chip))
    };
    let answers: Vec<Result<Vec<f32>>> = photos
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
    let found = start.elapsed().as_secs_f64();
    let learnt = match kind {
        ClassicKind::Eigenfaces => {
            eigenfaces(&chips, Kept { variance: options.variance, drop: options.drop, whiten: options.whiten })?
        }
        ClassicKind::Fisherfaces => fisherfaces(&chips, &people, options.variance)?,
    };
    let seconds = (found, start.elapsed().as_secs_f64() - found);
    let written = subspace(&learnt).write(kind.name(), out)?;
    let mut distinct = people;
    distinct.sort_unstable();
    distinct.dedup();
    Ok(Trained {
        path: written.path,
        sha256: written.sha256,
        architecture: written.architecture,
        faces: chips.len(),
        people: distinct.len(),
        failures,
        dimension: learnt.directions.len(),
        seconds,
    })
}

fn subspace(learnt: &Learnt) -> Subspace {
    let single = |row: &Vec<f64>| row.iter().map(|&v| v as f32).collect();
    Subspace { mean: single(&learnt.mean), directions: learnt.directions.iter().map(single).collect() }
}
