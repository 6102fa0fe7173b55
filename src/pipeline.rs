//! From a photo to its faces: the only place where detection, alignment and embedding meet.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::detect::{Detection, Detector};
use crate::embed::Embedder;
use crate::error::ModelError;
use crate::geometry::{BBox, Landmarks};
use crate::media::Raster;
use crate::vector::Embedding;

/// A face that was found and embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// The box in pixels of the upright photo; it may reach beyond the edges.
    pub bbox: BBox,
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// Eyes, nose, mouth corners.
    pub landmarks: Landmarks,
    /// By how many degrees the photo was turned clockwise to find it; see [`Detection::turned`].
    pub turned: u16,
    /// The unit vector.
    pub embedding: Embedding,
    /// Length that the embedder's output had before; see [`crate::FaceQuality::embedding_length`].
    pub embedding_length: f32,
}

/// Time that each stage took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct StageTimes {
    /// Finding boxes and landmarks.
    pub detect_ms: f64,
    /// Cutting chips.
    pub align_ms: f64,
    /// Running the embedder.
    pub embed_ms: f64,
}

/// Milliseconds with fractions.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A detector and an embedder.
pub(crate) struct Pipeline {
    pub(crate) detector: Box<dyn Detector>,
    pub(crate) embedder: Box<dyn Embedder>,
}

impl Pipeline {
    /// Chips of the detections, cut as the embedder wants them.
    pub(crate) fn chips(&self, photo: &Raster, found: &[Detection]) -> Result<Vec<Raster>, ModelError> {
        let alignment = self.embedder.alignment();
        found.iter().map(|d| alignment.cut(photo, &d.bbox, &d.landmarks)).collect()
    }

    /// The given detections, embedded, and their chips.
    pub(crate) fn embed(
        &self,
        photo: &Raster,
        found: &[Detection],
    ) -> Result<(Vec<Face>, Vec<Raster>, StageTimes), ModelError> {
        let start = Instant::now();
        let chips = self.chips(photo, found)?;
        let aligned = start.elapsed();
        let embeddings = self.embedder.embed_with_lengths(&chips)?;
        let faces = found.iter().zip(embeddings).map(|(d, (embedding, embedding_length))| Face {
            bbox: d.bbox,
            score: d.score,
            landmarks: d.landmarks,
            turned: d.turned,
            embedding: embedding.found_by(self.detector.name()),
            embedding_length,
        });
        let times = StageTimes {
            detect_ms: 0.0,
            align_ms: milliseconds(aligned),
            embed_ms: milliseconds(start.elapsed() - aligned),
        };
        Ok((faces.collect(), chips, times))
    }
}
