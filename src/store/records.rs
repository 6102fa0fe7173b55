//! What is stored, field by field. A field is never moved or changed in meaning: a new format gets a new
//! version of the record and a migration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::codec::{self, Record};
use super::keys;

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

/// A face of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaceRecord {
    pub person: u64,
    /// The unit vector.
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
    ($($record:ty => $kind:path),* $(,)?) => {
        $(impl Record for $record {
            const KIND: u8 = $kind;
            const VERSION: u8 = 1;
        })*

        /// What is wrong with an entry, if anything.
        pub(super) fn fault(key: &[u8], value: &[u8]) -> Option<String> {
            match key.first() {
                $(Some(&$kind) => codec::decode::<$record>(key, value).err(),)*
                _ => Some(format!("key {key:?} is none of ours")),
            }
        }
    };
}

stored! {
    HeadRecord => keys::HEAD,
    GalleryRecord => keys::GALLERY,
    PersonRecord => keys::PERSON,
    FaceRecord => keys::FACE,
    ChipRecord => keys::CHIP,
}
