//! From a photo to the faces that count, on the threads of the networks.

use std::time::Instant;

use super::super::input::Upload;
use super::super::problem::Problem;
use super::super::state::Service;
use super::super::work;
use super::options::FaceOptions;
use super::views::{ExecutionTime, FaceBox, PluginsVersions, Pose, SeenFace};
use crate::error::RefusalError;
use crate::geometry::BBox;
use crate::{Detection, Embedding, Engine, FaceQuality, Photo};

/// A face of the photo: what is answered of it, and its vector where one was made.
pub(super) struct Looked {
    pub face: SeenFace,
    embedding: Option<Embedding>,
}

impl Looked {
    /// The face and its vector.
    ///
    /// # Errors
    /// 500 where no vector was asked for.
    pub(super) fn into_parts(self) -> Result<(SeenFace, Embedding), Problem> {
        let Self { face, embedding } = self;
        let missing = || {
            tracing::error!("a face was to be compared and was not embedded");
            let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "internal.not_embedded", "the service failed; the log says more")
        };
        Ok((face, embedding.ok_or_else(missing)?))
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The faces of a photo that count, the biggest first; embedded where `compared`, or where the caller wants the
/// vectors.
///
/// # Errors
/// [`RefusalError::NoFace`] where there is none: CompreFace's clients are told so.
pub(super) fn look(
    service: &Service,
    upload: &Upload,
    options: &FaceOptions,
    compared: bool,
) -> Result<Vec<Looked>, Problem> {
    let (photo, found, detector) = find(service, upload, options)?;
    let most = match options.limit {
        0 => usize::MAX,
        limit => limit as usize,
    };
    let found = &found[..found.len().min(most)];
    finish(service, &photo, found, options, compared, detector)
}

/// The one face of a photo, embedded.
///
/// # Errors
/// [`RefusalError::NoFace`], [`RefusalError::SeveralFaces`].
pub(super) fn look_at_one(service: &Service, upload: &Upload, options: &FaceOptions) -> Result<Looked, Problem> {
    let (photo, found, detector) = find(service, upload, options)?;
    if found.len() > 1 {
        let faces = found.iter().map(|d| [d.bbox.x0, d.bbox.y0, d.bbox.x1, d.bbox.y1]).collect();
        let numbers = (1..=found.len()).collect();
        return Err(RefusalError::SeveralFaces { photo: upload.name.clone(), faces, numbers }.into());
    }
    Ok(finish(service, &photo, &found, options, true, detector)?.remove(0))
}

/// At least one face, the biggest first, and the milliseconds that finding took.
fn find(service: &Service, upload: &Upload, options: &FaceOptions) -> Result<(Photo, Vec<Detection>, f64), Problem> {
    let photo = work::decode(service, upload)?;
    let start = Instant::now();
    let mut found = work::find(service, &photo)?;
    let detector = milliseconds(start);
    found.retain(|d| options.det_prob_threshold.is_none_or(|least| d.score >= least));
    found.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
    if found.is_empty() {
        return Err(RefusalError::NoFace { photo: upload.name.clone() }.into());
    }
    Ok((photo, found, detector))
}

fn finish(
    service: &Service,
    photo: &Photo,
    found: &[Detection],
    options: &FaceOptions,
    compared: bool,
    detector: f64,
) -> Result<Vec<Looked>, Problem> {
    let plugins = options.face_plugins;
    let start = Instant::now();
    let embeddings: Vec<Option<Embedding>> = match compared || plugins.calculator {
        true => work::embed(service, photo, found)?.into_iter().map(|f| Some(f.embedding)).collect(),
        false => vec![None; found.len()],
    };
    let calculator = (compared || plugins.calculator).then(|| milliseconds(start));
    let poses: Vec<Option<Pose>> = match plugins.pose {
        true => service.engine().quality(photo, found)?.iter().map(|q| Some(pose(q))).collect(),
        false => found.iter().map(|_| None).collect(),
    };
    let time = options.status.then_some(ExecutionTime { detector, calculator });
    let looked = found.iter().zip(embeddings).zip(poses).map(|((d, embedding), pose)| Looked {
        face: SeenFace {
            bbox: boxed(&d.bbox, d.score, photo),
            landmarks: plugins.landmarks.then(|| d.landmarks.0.iter().map(|p| p.map(|v| v.round() as i64)).collect()),
            embedding: embedding.as_ref().filter(|_| plugins.calculator).map(|e| e.values().to_vec()),
            pose,
            execution_time: time,
        },
        embedding,
    });
    Ok(looked.collect())
}

fn pose(q: &FaceQuality) -> Pose {
    Pose { pitch: q.pitch, roll: q.roll, yaw: q.yaw }
}

/// The part of the box that lies in the photo.
fn boxed(b: &BBox, probability: f32, photo: &Photo) -> FaceBox {
    let inside = |v: f32, most: u32| v.round().clamp(0.0, most as f32) as u32;
    let (width, height) = (photo.width(), photo.height());
    FaceBox {
        probability,
        x_min: inside(b.x0, width),
        y_min: inside(b.y0, height),
        x_max: inside(b.x1, width),
        y_max: inside(b.y1, height),
    }
}

/// What made the answer, where the caller asks.
pub(super) fn versions(engine: &Engine, options: &FaceOptions) -> Option<PluginsVersions> {
    let versions =
        || PluginsVersions { detector: engine.detector().to_string(), calculator: engine.model().to_string() };
    options.status.then(versions)
}
