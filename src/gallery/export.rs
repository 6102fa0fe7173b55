//! A gallery as files that other programs read. They are not encrypted, whatever the database is.
//!
//! A folder, which appears whole or not at all:
//!
//! | name | what |
//! | --- | --- |
//! | `gallery.jsonl` | JSON lines, UTF-8: the head, every person, every face, the end |
//! | `vectors.npy` | NumPy 1.0, `<f4`, C order, faces x dimension: row n is the unit vector of face line n, from 0 |
//! | `chips/N.png`, `chips/N.jpg` | the chip and the thumbnail of row N, where they are kept |
//!
//! | line | fields |
//! | --- | --- |
//! | head, the first | `kith_export`: 1; `gallery`; `model`: the model id of every face; `dimension` |
//! | person | `person`: the name; `groups`: a list; `labels`: an object; `created_ms`: milliseconds since 1970 |
//! | face | `face_of`: a name of a person line before; `bbox`: left, top, right, bottom in pixels of the upright photo; `landmarks`: five x, y in the same; `score`: the detector's, 0 to 1; `quality`: eye distance, sharpness, brightness, yaw, pitch, roll; `source`; `source_sha256`: hex or null; `enrolled_ms`; `pictures`: whether `chips` has this row; `detector`: which one found it, empty where that is not known |
//! | end, the last | `people`, `faces`: how many; `vectors_sha256`: hex, of `vectors.npy` |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use npyz::WriterBuilder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Database;
use super::labels::shown_labels;
use crate::error::{Error, Result, StoreError};
use crate::files::hex;
use crate::files::{self, Audience};
use crate::geometry::FaceQuality;
use crate::store::{ChipRecord, FaceRecord, Key};

pub(super) const LINES: &str = "gallery.jsonl";
pub(super) const VECTORS: &str = "vectors.npy";
pub(super) const CHIPS: &str = "chips";
pub(super) const FORMAT: u32 = 1;

/// An export that was written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exported {
    /// People.
    pub people: usize,
    /// Faces.
    pub faces: usize,
    /// Faces with their chip.
    pub chips: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadLine {
    pub kith_export: u32,
    pub gallery: String,
    pub model: String,
    pub dimension: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonLine {
    pub person: String,
    pub groups: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub created_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaceLine {
    pub face_of: String,
    pub bbox: [f32; 4],
    pub landmarks: [[f32; 2]; 5],
    pub score: f32,
    pub quality: [f32; 6],
    pub source: String,
    pub source_sha256: Option<String>,
    pub enrolled_ms: u64,
    pub pictures: bool,
    /// Exports from before it was recorded have none.
    #[serde(default)]
    pub detector: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    pub people: usize,
    pub faces: usize,
    pub vectors_sha256: String,
}

pub(super) fn failed(path: &Path, doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |e| StoreError::Io { path: path.clone(), doing, reason: e.to_string() }.into()
}

impl Database {
    /// Writes a gallery into a folder, which must not exist; with the chips that are kept, where `chips`.
    /// Writers wait meanwhile. `progress` hears of every face.
    ///
    /// # Errors
    /// [`crate::error::GalleryError::UnknownGallery`], [`StoreError::Io`].
    pub fn export(
        &self,
        gallery: &str,
        folder: impl AsRef<Path>,
        chips: bool,
        progress: &dyn Fn(),
    ) -> Result<Exported> {
        self.export_telling(gallery, folder.as_ref(), chips, &|| {
            progress();
            Ok(())
        })
    }

    /// [`Database::export`], where what `told` fails with ends it, and nothing is left of it.
    ///
    /// # Errors
    /// As [`Database::export`].
    pub(crate) fn export_telling(
        &self,
        gallery: &str,
        folder: &Path,
        chips: bool,
        told: &dyn Fn() -> Result<()>,
    ) -> Result<Exported> {
        if folder.exists() {
            let found = if folder.is_dir() { "a folder" } else { "a file" }.to_string();
            let wanted = "a new folder to export into";
            return Err(StoreError::Taken { path: folder.display().to_string(), found, wanted }.into());
        }
        let mut beside = folder.file_name().unwrap_or_default().to_os_string();
        beside.push(format!(".{}.tmp", std::process::id()));
        let beside = folder.with_file_name(beside);
        let written = self.export_into(gallery, &beside, chips, told).and_then(|done| {
            fs::rename(&beside, folder).map_err(failed(folder, "naming the export"))?;
            Ok(done)
        });
        if written.is_err() {
            let _ = fs::remove_dir_all(&beside);
        }
        written
    }

    fn export_into(
        &self,
        gallery: &str,
        folder: &Path,
        chips: bool,
        told: &dyn Fn() -> Result<()>,
    ) -> Result<Exported> {
        let shelf = self.shelf(gallery)?;
        let _turn = self.store.hold_writers();
        private_folder(folder)?;
        let path = folder.join(LINES);
        let mut lines = Lines { path: path.clone(), out: BufWriter::new(create(&path)?) };
        let record = shelf.record();
        let dimension = record.dimension as usize;
        let (name, model) = (record.name.clone(), record.model.clone());
        lines.add(&HeadLine { kith_export: FORMAT, gallery: name, model, dimension })?;

        let mut names: BTreeMap<u64, String> = BTreeMap::new();
        let (mut people, mut count) = (shelf.read().people.clone(), 0);
        for (id, p) in std::mem::take(&mut people) {
            names.insert(id, p.name.clone());
            count += shelf.read().faces_of(id).len();
            let labels = shown_labels(&p);
            lines.add(&PersonLine { person: p.name, groups: p.groups, labels, created_ms: p.created_ms })?;
        }

        let path = folder.join(VECTORS);
        let npy = failed(&path, "writing the vectors");
        let mut file = Hashed { out: BufWriter::new(create(&path)?), sha: Sha256::new() };
        let shape = [count as u64, u64::from(record.dimension)];
        let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
        let mut vectors = options.writer(&mut file).begin_nd().map_err(&npy)?;
        let mut done = Exported { people: names.len(), ..Exported::default() };
        self.store.scan::<FaceRecord, Error>(|key, face| {
            let Key::Face(owner, id) = key else { return Ok(()) };
            if owner != shelf.id {
                return Ok(());
            }
            let Some(name) = names.get(&face.person) else { return Ok(()) };
            let kept = if chips { self.store.get::<ChipRecord>(Key::Chip(shelf.id, id))? } else { None };
            if let Some(kept) = &kept {
                let into = folder.join(CHIPS);
                if !into.is_dir() {
                    private_folder(&into)?;
                }
                for (ending, bytes) in [("png", &kept.chip), ("jpg", &kept.thumbnail)] {
                    let path = into.join(format!("{}.{ending}", done.faces));
                    create(&path)?.write_all(bytes).map_err(failed(&path, "writing a chip"))?;
                }
            }
            vectors.extend(face.vector.iter().copied()).map_err(&npy)?;
            lines.add(&FaceLine {
                face_of: name.clone(),
                bbox: face.bbox,
                landmarks: face.landmarks,
                score: face.score,
                quality: FaceQuality::from(face.quality).stored(),
                source: face.source,
                detector: face.detector.clone(),
                source_sha256: face.source_sha256.map(|s| hex(&s)),
                enrolled_ms: face.enrolled_ms,
                pictures: kept.is_some(),
            })?;
            done.faces += 1;
            done.chips += usize::from(kept.is_some());
            told()
        })?;
        vectors.finish().map_err(&npy)?;
        let Hashed { out, sha } = file;
        out.into_inner().map_err(|e| npy(e.into_error()))?.sync_all().map_err(&npy)?;
        let vectors_sha256 = hex(&sha.finalize());
        lines.add(&EndLine { people: done.people, faces: done.faces, vectors_sha256 })?;
        lines.finish()?;
        Ok(done)
    }
}

/// A folder that only its owner reads.
fn private_folder(path: &Path) -> Result<()> {
    files::private_folder(path).map_err(failed(path, "making the folder"))
}

fn create(path: &Path) -> Result<File> {
    files::create(path, Audience::Owner).map_err(failed(path, "making the file"))
}

struct Lines {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Lines {
    fn add(&mut self, line: &impl Serialize) -> Result<()> {
        let written = serde_json::to_writer(&mut self.out, line).map_err(std::io::Error::from);
        written.and_then(|()| self.out.write_all(b"\n")).map_err(failed(&self.path, "writing a line"))
    }

    fn finish(self) -> Result<()> {
        let failed = failed(&self.path, "writing the lines");
        self.out.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)
    }
}

/// Passes bytes on and digests them.
struct Hashed {
    out: BufWriter<File>,
    sha: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
