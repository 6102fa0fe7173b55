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
pub struct QualityRecord {
    /// Between the eyes, in pixels.
    pub eye_distance: f32,
    /// See `FaceQuality::sharpness`.
    pub sharpness: f32,
    /// See `FaceQuality::brightness`.
    pub brightness: f32,
    /// Turned to a side, in degrees.
    pub yaw: f32,
    /// Up or down, in degrees.
    pub pitch: f32,
    /// Tilted, in degrees.
    pub roll: f32,
}

impl From<FaceQuality> for QualityRecord {
    fn from(q: FaceQuality) -> Self {
        let FaceQuality { eye_distance, sharpness, brightness, yaw, pitch, roll, cover: _, embedding_length: _ } = q;
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

/// A file of a photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotoFile {
    /// Its absolute path, spelled without loss.
    pub path: String,
    /// Bytes in it.
    pub size: u64,
    /// When it was changed last: nanoseconds since 1970.
    pub modified_ns: i64,
    /// Whether the last scan of its folder found no such file.
    pub missing: bool,
}

/// A face of a photo of the library.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct PhotoFace {
    /// Its number, for ever.
    pub id: u64,
    /// The unit vector, of the photo's model.
    pub vector: Vec<f32>,
    /// Left, top, right, bottom, in pixels of the upright photo.
    pub bbox: [f32; 4],
    /// Eyes, nose, mouth corners in the same.
    pub landmarks: [[f32; 2]; 5],
    /// The detector's confidence, 0 to 1.
    pub score: f32,
    /// Its measures.
    pub quality: QualityRecord,
    /// Whether its quality is what an enrolment would ask for.
    pub good: bool,
    /// Whether somebody has said that it is no face.
    pub no_face: bool,
}

/// A template is printed nowhere.
impl std::fmt::Debug for PhotoFace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PhotoFace({}, {} values)", self.id, self.vector.len())
    }
}

/// A photo of the library: one content, however many files have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhotoRecord {
    /// SHA-256 of the files' bytes.
    pub sha256: [u8; 32],
    /// Files with these bytes, by path.
    pub files: Vec<PhotoFile>,
    /// Width of the upright photo in pixels; 0 where it could not be read.
    pub width: u32,
    /// Height likewise.
    pub height: u32,
    /// When it was taken, as the camera wrote it: `YYYY-MM-DDTHH:MM:SS`, of no known zone; empty where it says nothing.
    pub taken: String,
    /// 256 bits that hardly change when a picture is saved again.
    pub likeness: [u64; 4],
    /// Model id of the faces' vectors.
    pub model: String,
    /// Id of the detector that found them.
    pub detector: String,
    /// Its faces, by number.
    pub faces: Vec<PhotoFace>,
    /// Code and sentence why it could not be read; empty where it could.
    pub fault: [String; 2],
    /// When it came into the library: milliseconds since 1970.
    pub added_ms: u64,
}

/// Thumbnails of a photo's faces, as JPEG, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicturesRecord {
    /// Number of the face, and its picture.
    pub thumbnails: Vec<(u64, Vec<u8>)>,
}

/// Faces of the library that were found to be one person's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Whose they are, where somebody has said so; empty where nobody has.
    pub name: String,
    /// Whether somebody has named or corrected it: its faces stay together.
    pub kept: bool,
    /// Whether it is not to be shown.
    pub hidden: bool,
    /// Numbers of its faces, ascending.
    pub faces: Vec<u64>,
    /// Numbers of faces of which somebody has said that they are not this person's, ascending.
    pub not: Vec<u64>,
    /// When it was first found: milliseconds since 1970.
    pub created_ms: u64,
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
    GroupRecord, 1 => keys::GROUP,
    PhotoRecord, 1 => keys::PHOTO,
    PicturesRecord, 1 => keys::PICTURES,
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
