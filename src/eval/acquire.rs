//! From photos to embeddings, for any number of models at once: each photo is decoded and searched for
//! faces once, and what the cache knows is not computed again.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::EmbeddingCache;
use crate::detect::Detection;
use crate::engine::{Engine, FaceChoice};
use crate::error::{Error, EvalError, ModelError, RefusalError, Result};
use crate::files::spelled;
use crate::media::{Limits, Photo};
use crate::nn::weights::sha256_hex;
use crate::vector::Embedding;

/// A photo from which no embedding came.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The photo.
    #[serde(serialize_with = "crate::files::as_text")]
    pub photo: PathBuf,
    /// Stable name of the reason: `refusal.no_face`, `refusal.several_faces`, `photo.damaged` and so on.
    pub code: &'static str,
    /// The reason in words.
    pub message: String,
}

/// Embeddings of photos.
#[derive(Debug)]
pub struct Acquired {
    /// For each engine, for each photo, the face; none for a failure to acquire.
    pub samples: Vec<Vec<Option<Embedding>>>,
    /// The failures, in order of the photos.
    pub failures: Vec<Failure>,
    /// Photos that needed no decoding, since the cache knew everything of them.
    pub from_cache: usize,
}

/// Embeds one face of every photo with every engine; `done` is called after each photo. A photo that cannot
/// be read, or in which there is no such face, is a failure to acquire, not an error.
///
/// # Errors
/// A device's error; [`EvalError::Io`] when the cache cannot be written.
pub fn acquire(
    engines: &[Engine],
    photos: &[PathBuf],
    choice: FaceChoice,
    limits: &Limits,
    cache: &EmbeddingCache,
    done: &(dyn Fn() + Sync),
) -> Result<Acquired> {
    let answers: Vec<Result<One>> = photos
        .par_iter()
        .map(|path| {
            let answer = one(engines, path, choice, limits, cache);
            done();
            answer
        })
        .collect();
    let mut acquired = Acquired { samples: vec![Vec::new(); engines.len()], failures: Vec::new(), from_cache: 0 };
    for (path, answer) in photos.iter().zip(answers) {
        let failure = match answer {
            Ok(One { samples, cached }) => {
                acquired.from_cache += usize::from(cached);
                let none = samples.iter().any(Option::is_none);
                for (row, sample) in acquired.samples.iter_mut().zip(samples) {
                    row.push(sample);
                }
                let error = || Error::from(RefusalError::NoFace { photo: spelled(path) });
                if none { Some(error()) } else { None }
            }
            Err(e @ (Error::Photo(_) | Error::Refusal(_) | Error::Model(ModelError::BadEmbedding { .. }))) => {
                acquired.samples.iter_mut().for_each(|row| row.push(None));
                Some(e)
            }
            Err(e) => return Err(e),
        };
        acquired.failures.extend(failure.map(|e| Failure {
            photo: path.clone(),
            code: e.code(),
            message: e.to_string(),
        }));
    }
    Ok(acquired)
}

struct One {
    samples: Vec<Option<Embedding>>,
    cached: bool,
}

fn one(engines: &[Engine], path: &Path, choice: FaceChoice, limits: &Limits, cache: &EmbeddingCache) -> Result<One> {
    let bytes = Photo::read(path, limits)?;
    let sha256 = sha256_hex(&bytes);
    let mut known: Vec<Option<Option<Embedding>>> = engines.iter().map(|e| cache.get(&sha256, e.model())).collect();
    if known.iter().all(Option::is_some) {
        return Ok(One { samples: known.into_iter().map(Option::flatten).collect(), cached: true });
    }
    let photo = Photo::from_bytes(&bytes, &spelled(path), limits)?;
    let mut found: Vec<(&str, Option<Detection>)> = Vec::new();
    for (engine, known) in engines.iter().zip(&mut known).filter(|(_, k)| k.is_none()) {
        let seen = found.iter().find(|(detector, _)| *detector == engine.detector()).map(|(_, face)| *face);
        let face = match seen {
            Some(face) => face,
            None => {
                let face = match engine.find_one(&photo, choice) {
                    Ok(face) => Some(face),
                    Err(Error::Refusal(RefusalError::NoFace { .. })) => None,
                    Err(e) => return Err(e),
                };
                found.push((engine.detector(), face));
                face
            }
        };
        let sample = match face {
            Some(face) => engine.embed_detections(&photo, &[face])?.pop().map(|f| f.embedding),
            None => None,
        };
        cache.put(&sha256, engine.model(), sample.as_ref())?;
        *known = Some(sample);
    }
    Ok(One { samples: known.into_iter().map(Option::flatten).collect(), cached: false })
}

/// Distance of two acquired embeddings; infinite where either is missing.
///
/// # Errors
/// [`crate::error::ModelError::MixedModels`], which embeddings of one engine never are.
pub(super) fn distance(a: Option<&Embedding>, b: Option<&Embedding>) -> Result<f32> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(a.distance(b)?),
        _ => Ok(f32::INFINITY),
    }
}

/// Engines of a list, or a sentence that there are none.
pub(super) fn at_least_one(engines: &[Engine]) -> Result<(), EvalError> {
    if engines.is_empty() {
        return Err(EvalError::TooLittle { reason: "no model to evaluate".to_string() });
    }
    Ok(())
}
