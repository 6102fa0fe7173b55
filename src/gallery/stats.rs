//! Statistics of databases, galleries and their indexes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::index::IndexChoice;

/// Statistics of a gallery's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStats {
    /// What answers.
    pub kind: IndexChoice,
    /// Bytes that it takes in memory, vectors and their codes included.
    pub bytes: usize,
    /// Candidates that a search of the graph keeps.
    pub width: Option<usize>,
    /// Faces that every search of the graph scans, since they are not linked yet.
    pub waiting: usize,
    /// Forgotten faces that are not swept from the graph yet. Nothing of their vectors but codes is left.
    pub removed: usize,
    /// Why the graph on disk was not used.
    pub note: Option<String>,
}

/// Statistics of a gallery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GalleryStats {
    /// Its name.
    pub name: String,
    /// Model id of its faces.
    pub model: String,
    /// Dimensions of its vectors.
    pub dimension: usize,
    /// People.
    pub people: usize,
    /// Faces.
    pub faces: usize,
    /// What answers its searches.
    pub index: IndexStats,
    /// Bytes that the vectors take in memory.
    pub vector_bytes: usize,
}

/// Statistics of a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseStats {
    /// Its folder.
    #[serde(serialize_with = "crate::files::as_text")]
    pub path: PathBuf,
    /// Version of its format.
    pub format: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Drawn when it was made; hex.
    pub id: String,
    /// Number of the last write.
    pub writes: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Its galleries, by name.
    pub galleries: Vec<GalleryStats>,
}
