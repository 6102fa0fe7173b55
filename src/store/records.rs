//! What is stored, field by field. A field is never moved or changed in meaning: a new format gets a new
//! version of the record and a migration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::codec::{self, DataKey, Record};
use super::keys;
use super::ring::Ring;
use crate::geometry::FaceQuality;

/// The database's own record. Its key is the first byte alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadRecord {
    /// Version of the whole format: the last migration that was applied.
    pub format: u32,
    /// Drawn when the database was made.
    pub id: [u8; 16],
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Number of the last write.
    pub write: u64,
    /// The next number for a gallery, person or face.
    pub next_id: u64,
    /// The next data key to give to a person. Slot 0 of the ring is the database's own.
    pub next_key: u64,
    /// Whether every other record is sealed.
    pub sealed: bool,
    /// Where the frame of this write begins in the journal.
    pub frame: u64,
    /// Records but for this one.
    pub entries: u64,
    /// Their digest (`sum`).
    pub digest: u64,
    /// Whether somebody was forgotten whose bytes are still to be taken out of the files.
    pub scrub_due: bool,
}

/// A gallery: people whose faces are of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GalleryRecord {
    pub name: String,
    /// Model id of every face in it.
    pub model: String,
    /// Numbers in each vector.
    pub dimension: u32,
    pub created_ms: u64,
    /// Whether vectors are stored as f16.
    pub half: bool,
    /// The gallery that this one is to replace once every face of it is embedded anew; nobody sees it
    /// before.
    pub replaces: Option<u32>,
}

/// A person of a gallery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PersonRecord {
    /// Unique in the gallery.
    pub name: String,
    /// Sorted, each once.
    pub groups: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub created_ms: u64,
}

/// Measures of a face when it was enrolled; see `FaceQuality`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct QualityRecord {
    pub eye_distance: f32,
    pub sharpness: f32,
    pub brightness: f32,
    pub yaw: f32,
    pub pitch: f32,
    pub roll: f32,
}

impl From<FaceQuality> for QualityRecord {
    fn from(q: FaceQuality) -> Self {
        let FaceQuality { eye_distance, sharpness, brightness, yaw, pitch, roll, cover: _ } = q;
        Self { eye_distance, sharpness, brightness, yaw, pitch, roll }
    }
}

impl From<QualityRecord> for FaceQuality {
    fn from(q: QualityRecord) -> Self {
        [q.eye_distance, q.sharpness, q.brightness, q.yaw, q.pitch, q.roll].into()
    }
}

/// A face of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredFace", into = "StoredFace")]
pub(crate) struct FaceRecord {
    pub person: u64,
    /// Whether the vector is stored as f16.
    pub half: bool,
    /// The unit vector; where it is stored as f16, as [`rounded`] leaves it.
    pub vector: Vec<f32>,
    /// Left, top, right, bottom, in pixels of the upright photo.
    pub bbox: [f32; 4],
    pub landmarks: [[f32; 2]; 5],
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    pub quality: QualityRecord,
    /// The photo's path, or what it was called.
    pub source: String,
    /// Of the photo's bytes; none for a photo that came as pixels.
    pub source_sha256: Option<[u8; 32]>,
    pub enrolled_ms: u64,
    /// Id of the detector that found it; empty where that is not known.
    pub detector: String,
}

/// A [`FaceRecord`] as it is written.
#[derive(Clone, Serialize, Deserialize)]
struct StoredFace {
    person: u64,
    vector: StoredVector,
    bbox: [f32; 4],
    landmarks: [[f32; 2]; 5],
    score: f32,
    quality: QualityRecord,
    source: String,
    source_sha256: Option<[u8; 32]>,
    enrolled_ms: u64,
    detector: String,
}

#[derive(Clone, Serialize, Deserialize)]
enum StoredVector {
    F32(Vec<f32>),
    /// Bits of binary16 (f16) values.
    F16(Vec<u16>),
}

/// A unit vector as it comes back from f16. Its length is 1 to f16's rounding (5e-4 at worst); it is not
/// set right again, so that storing what was read changes nothing.
pub(crate) fn rounded(vector: &[f32]) -> Vec<f32> {
    restored(&halved(vector))
}

fn halved(vector: &[f32]) -> Vec<u16> {
    vector.iter().map(|v| half::f16::from_f32(*v).to_bits()).collect()
}

fn restored(bits: &[u16]) -> Vec<f32> {
    bits.iter().map(|b| half::f16::from_bits(*b).to_f32()).collect()
}

impl From<StoredFace> for FaceRecord {
    fn from(f: StoredFace) -> Self {
        let (half, vector) = match f.vector {
            StoredVector::F32(vector) => (false, vector),
            StoredVector::F16(bits) => (true, restored(&bits)),
        };
        let StoredFace { person, bbox, landmarks, score, quality, source, .. } = f;
        let StoredFace { source_sha256, enrolled_ms, detector, .. } = f;
        Self { person, half, vector, bbox, landmarks, score, quality, source, source_sha256, enrolled_ms, detector }
    }
}

impl From<FaceRecord> for StoredFace {
    fn from(f: FaceRecord) -> Self {
        let vector = if f.half { StoredVector::F16(halved(&f.vector)) } else { StoredVector::F32(f.vector) };
        let FaceRecord { person, bbox, landmarks, score, quality, source, .. } = f;
        let FaceRecord { source_sha256, enrolled_ms, detector, .. } = f;
        Self { person, vector, bbox, landmarks, score, quality, source, source_sha256, enrolled_ms, detector }
    }
}

/// What is kept of the picture of a face, where keeping was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChipRecord {
    /// The chip that was embedded, as PNG.
    pub chip: Vec<u8>,
    /// The face in its surroundings, as JPEG.
    pub thumbnail: Vec<u8>,
}

macro_rules! stored {
    ($($record:ty, $version:literal => $kind:path),* $(,)?) => {
        $(impl Record for $record {
            const KIND: u8 = $kind;
            const VERSION: u8 = $version;
        })*

        /// What is wrong with an entry, if anything.
        pub(super) fn fault(key: &[u8], value: &[u8], ring: Option<&Ring>) -> Option<String> {
            match key.first() {
                $(Some(&$kind) => codec::decode::<$record>(key, value, ring).err(),)*
                _ => Some(format!("key {key:?} is none of ours")),
            }
        }

        /// An entry sealed with another ring, or made plain.
        pub(super) fn resealed(
            key: &[u8],
            value: &[u8],
            from: Option<&Ring>,
            data_key: DataKey,
            to: Option<&Ring>,
        ) -> Result<Vec<u8>, String> {
            match key.first() {
                $(Some(&$kind) => {
                    codec::encode(key, &codec::decode::<$record>(key, value, from)?, data_key, to)
                })*
                _ => Err(format!("key {key:?} is none of ours")),
            }
        }
    };
}

stored! {
    HeadRecord, 3 => keys::HEAD,
    GalleryRecord, 2 => keys::GALLERY,
    PersonRecord, 1 => keys::PERSON,
    FaceRecord, 3 => keys::FACE,
    ChipRecord, 1 => keys::CHIP,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_that_went_through_f16_stays_as_it_is() {
        let vector: Vec<f32> = (0..128).map(|i| ((i * 37 % 101) as f32 - 50.0) / 330.0).collect();
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        let vector: Vec<f32> = vector.iter().map(|v| v / length).collect();
        let once = rounded(&vector);
        let gap = vector.iter().zip(&once).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!(gap > 0.0 && gap < 5e-4, "{gap}");
        assert_eq!(rounded(&once), once);
        let length = once.iter().map(|v| v * v).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 5e-4, "{length}");
    }
}
