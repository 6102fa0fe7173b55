//! The way back from an [`export`](super::export). The whole export is read and checked before anything
//! is enrolled; what is in the gallery already is known again, so that an import can be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::export::{CHIPS, EndLine, FORMAT, FaceLine, HeadLine, LINES, PersonLine, VECTORS, failed};
use super::names::{self, usable};
use super::people::{join, set};
use super::{Database, EnrolmentPolicy, EnrolmentStatus, FacePictures, NewFace};
use crate::error::{GalleryError, Result, StoreError, caught};
use crate::files::{hex, unhex};
use crate::geometry::{BBox, Landmarks};
use crate::store::{Key, PersonRecord};
use crate::vector::{Embedding, ModelId};

/// Longest line: names, groups and labels of a person take a fraction of it.
const LONGEST_LINE: u64 = 1 << 20;
/// Longest description at the beginning of a `.npy` file.
const LONGEST_HEADER: usize = 1 << 12;
/// Largest dimension of a vector.
const WIDEST: usize = 1 << 14;
/// Endings of a face's chip and its thumbnail.
const PICTURES: [&str; 2] = ["png", "jpg"];
/// Largest chip or thumbnail.
const LARGEST_PICTURE: u64 = 3 << 20;
/// Faces made durable together.
const TOGETHER: usize = 500;

/// What became of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Imported {
    /// People in the export.
    pub people: usize,
    /// Faces that were enrolled.
    pub added: usize,
    /// Faces that the gallery had.
    pub known: usize,
}

/// An export that was read and found whole.
struct Parsed {
    folder: PathBuf,
    model: ModelId,
    dimension: usize,
    people: Vec<PersonLine>,
    faces: Vec<FaceLine>,
    vectors: Vec<f32>,
}

/// Whether a folder is a whole export: read as an import reads it, and nothing is enrolled.
///
/// # Errors
/// [`StoreError::BadArchive`].
pub fn check_export(folder: impl AsRef<Path>) -> Result<()> {
    parse(folder.as_ref()).map(drop)
}

impl Database {
    /// Enrols what an export holds into a gallery. Faces that a person has already, from the same file or
    /// with the same vector, are passed over. `progress` hears of every face.
    ///
    /// # Errors
    /// [`StoreError::BadArchive`] for what is not a whole export, [`crate::error::GalleryError::WrongModel`]
    /// for one of another model than the gallery's; nothing is enrolled then.
    pub fn import(&self, gallery: &str, folder: impl AsRef<Path>, progress: &dyn Fn()) -> Result<Imported> {
        self.import_telling(gallery, folder.as_ref(), &|| {
            progress();
            Ok(())
        })
    }

    /// [`Database::import`], where what `told` fails with ends it; what is enrolled by then stays.
    ///
    /// # Errors
    /// As [`Database::import`].
    pub(crate) fn import_telling(
        &self,
        gallery: &str,
        folder: &Path,
        told: &dyn Fn() -> Result<()>,
    ) -> Result<Imported> {
        let parsed = parse(folder)?;
        let mut done = Imported { people: parsed.people.len(), ..Imported::default() };
        if let (Some(shelf), Some(first)) = (self.find(gallery), parsed.vectors.get(..parsed.dimension)) {
            shelf.same_model(&Embedding::of_unit(first.to_vec(), parsed.model.clone())?)?;
        }
        self.import_people(gallery, &parsed)?;
        let mut pending = None;
        for (row, face) in parsed.faces.iter().enumerate() {
            let new = parsed.new_face(row, face)?;
            let policy = EnrolmentPolicy { at_ms: Some(face.enrolled_ms), ..EnrolmentPolicy::default() };
            let (enrolled, write) = self.enroll_pending(gallery, &face.face_of, new, &policy)?;
            match enrolled.status {
                EnrolmentStatus::Added => done.added += 1,
                EnrolmentStatus::SamePhoto | EnrolmentStatus::SameFace => done.known += 1,
            }
            pending = Some(write);
            if row % TOGETHER == TOGETHER - 1
                && let Some(write) = pending.take()
            {
                self.settle(write)?;
            }
            told()?;
        }
        pending.map_or(Ok(()), |write| self.settle(write))?;
        Ok(done)
    }

    /// Makes the gallery and the people that are not there, and adds groups and labels to those who are.
    fn import_people(&self, gallery: &str, parsed: &Parsed) -> Result<()> {
        let ticket = {
            let mut writer = self.store.writer()?;
            let shelf = self.create_gallery(&mut writer, gallery, &parsed.model, (parsed.dimension, false))?;
            let mut changed = Vec::new();
            for line in &parsed.people {
                let known = shelf.read().person(&line.person, gallery)?;
                let (id, data_key) = match known {
                    Some(id) => (id, self.store.data_key(Key::Person(shelf.id, id))?),
                    None => (writer.new_id(), writer.new_data_key()?),
                };
                let before = known.and_then(|id| shelf.read().people.get(&id).cloned());
                let mut record = match &before {
                    Some(record) => record.clone(),
                    None => PersonRecord {
                        name: usable("name", &line.person)?,
                        groups: Vec::new(),
                        labels: Default::default(),
                        created_ms: line.created_ms,
                    },
                };
                join(&mut record, &line.groups)?;
                let new = |key: &String| !record.labels.keys().any(|theirs| names::same(theirs, key));
                let new: BTreeMap<String, String> =
                    line.labels.iter().filter(|(k, _)| new(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
                set(&mut record, &new)?;
                if before.as_ref() != Some(&record) {
                    writer.put(Key::Person(shelf.id, id), &record, data_key)?;
                    changed.push((id, record));
                }
            }
            let ticket = writer.commit()?;
            self.shelve(&shelf);
            let mut inside = shelf.write();
            changed.into_iter().for_each(|(id, record)| inside.change_person(id, record));
            ticket
        };
        Ok(self.store.settle(ticket)?)
    }
}

impl Parsed {
    fn new_face(&self, row: usize, line: &FaceLine) -> Result<NewFace> {
        let vector = self.vectors[row * self.dimension..][..self.dimension].to_vec();
        let picture = |ending: &str| -> Result<Vec<u8>> {
            let path = picture_path(&self.folder, row, ending);
            fs::read(&path).map_err(failed(&path, "reading a chip"))
        };
        let [chip, thumbnail] = PICTURES;
        let pictures = match line.pictures {
            true => Some(FacePictures { chip: picture(chip)?, thumbnail: picture(thumbnail)? }),
            false => None,
        };
        let [x0, y0, x1, y1] = line.bbox;
        Ok(NewFace {
            embedding: Embedding::of_unit(vector, self.model.clone())?.found_by(&line.detector),
            bbox: BBox::new(x0, y0, x1, y1),
            landmarks: Landmarks(line.landmarks),
            score: line.score,
            quality: line.quality.into(),
            source: line.source.clone(),
            source_sha256: line.source_sha256.as_deref().and_then(unhex),
            pictures,
        })
    }
}

fn picture_path(folder: &Path, row: usize, ending: &str) -> PathBuf {
    folder.join(CHIPS).join(format!("{row}.{ending}"))
}

fn bad(path: &Path, reason: String) -> StoreError {
    StoreError::BadArchive { path: path.display().to_string(), kind: "export", reason }
}

fn parse(folder: &Path) -> Result<Parsed> {
    let path = folder.join(LINES);
    let file = File::open(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => bad(folder, format!("there is no {LINES} in it")).into(),
        _ => failed(&path, "opening the export")(e),
    })?;
    let mut reader = BufReader::new(file);
    let mut number = 0;
    let mut next = || -> Result<Option<String>> {
        let mut line = Vec::new();
        number += 1;
        let read = reader.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
        read.map_err(failed(&path, "reading the export"))?;
        if line.len() as u64 > LONGEST_LINE {
            return Err(bad(&path, format!("line {number} is longer than {LONGEST_LINE} bytes")).into());
        }
        let text = String::from_utf8(line).map_err(|_| bad(&path, format!("line {number} is not UTF-8")))?;
        Ok(Some(text).filter(|t| !t.is_empty()))
    };
    let line_is =
        |what: &str, number: usize, e: serde_json::Error| bad(&path, format!("line {number} is no {what} line: {e}"));
    fn read<T: DeserializeOwned>(text: &str) -> std::result::Result<T, serde_json::Error> {
        serde_json::from_str(text)
    }
    let first = next()?.ok_or_else(|| bad(&path, "it is empty".to_string()))?;
    let head: HeadLine = read(&first).map_err(|e| line_is("head", 1, e))?;
    if head.kith_export != FORMAT {
        return Err(bad(&path, format!("its format is {}, this program knows {FORMAT}", head.kith_export)).into());
    }
    if head.dimension == 0 || head.dimension > WIDEST {
        return Err(bad(&path, format!("its dimension is {}, not 1 to {WIDEST}", head.dimension)).into());
    }
    let (mut people, mut faces, mut names, mut end) = (Vec::new(), Vec::new(), BTreeSet::new(), None::<EndLine>);
    for number in 2.. {
        let Some(text) = next()? else { break };
        if end.is_some() {
            return Err(bad(&path, format!("line {number} follows the end")).into());
        }
        if text.starts_with("{\"person\":") {
            let line: PersonLine = read(&text).map_err(|e| line_is("person", number, e))?;
            checked(&line).map_err(|e| bad(&path, format!("line {number}: {e}")))?;
            if !names.insert(names::key(&line.person).into_owned()) {
                return Err(bad(&path, format!("line {number} repeats {:?}", line.person)).into());
            }
            people.push(line);
        } else if text.starts_with("{\"face_of\":") {
            let line: FaceLine = read(&text).map_err(|e| line_is("face", number, e))?;
            let numbers = line.bbox.iter().chain(line.landmarks.iter().flatten()).chain(&line.quality);
            if numbers.chain([&line.score]).any(|v| !v.is_finite()) {
                return Err(bad(&path, format!("line {number} holds a number that is not finite")).into());
            }
            if !names.contains(&*names::key(&line.face_of)) {
                return Err(
                    bad(&path, format!("line {number} is of {:?}, who has no line before", line.face_of)).into()
                );
            }
            if line.source_sha256.as_deref().is_some_and(|s| unhex(s).is_none()) {
                return Err(bad(&path, format!("line {number}: source_sha256 is not 64 hexadecimal digits")).into());
            }
            faces.push(line);
        } else {
            end = Some(read(&text).map_err(|e| line_is("person, face or end", number, e))?);
        }
    }
    let end = end.ok_or_else(|| bad(&path, "it breaks off before its end".to_string()))?;
    if (end.people, end.faces) != (people.len(), faces.len()) {
        let (p, f) = (people.len(), faces.len());
        return Err(bad(
            &path,
            format!("it holds {p} people and {f} faces, and claims {} and {}", end.people, end.faces),
        )
        .into());
    }
    for (row, _) in faces.iter().enumerate().filter(|(_, face)| face.pictures) {
        for ending in PICTURES {
            let path = picture_path(folder, row, ending);
            let length = fs::metadata(&path).map_err(|e| bad(&path, format!("a chip cannot be read: {e}")))?.len();
            if length > LARGEST_PICTURE {
                return Err(bad(&path, format!("a chip of {length} bytes is larger than {LARGEST_PICTURE}")).into());
            }
        }
    }
    let vectors = vectors(&folder.join(VECTORS), &end, head.dimension)?;
    let model = ModelId::from_text(&head.model);
    for (row, vector) in vectors.chunks_exact(head.dimension).enumerate() {
        Embedding::of_unit(vector.to_vec(), model.clone())
            .map_err(|e| bad(&folder.join(VECTORS), format!("row {row}: {e}")))?;
    }
    Ok(Parsed { folder: folder.to_path_buf(), model, dimension: head.dimension, people, faces, vectors })
}

/// Whether what a line says of a person can be said of one.
fn checked(line: &PersonLine) -> Result<(), GalleryError> {
    usable("name", &line.person)?;
    line.groups.iter().try_for_each(|g| usable("group", g).map(drop))?;
    line.labels.iter().try_for_each(|(key, value)| usable("label", key).and(usable("label", value)).map(drop))
}

/// The f32 values of the `.npy` file, which must be the one that the end line names.
fn vectors(path: &Path, end: &EndLine, dimension: usize) -> Result<Vec<f32>> {
    let length = fs::metadata(path).map_err(failed(path, "reading the vectors"))?.len();
    let most = (end.faces as u64).saturating_mul(dimension as u64).saturating_mul(4).saturating_add(1 << 16);
    if length > most {
        return Err(bad(path, format!("it has {length} bytes, too many for {} faces", end.faces)).into());
    }
    let bytes = fs::read(path).map_err(failed(path, "reading the vectors"))?;
    if hex(&Sha256::digest(&bytes)) != end.vectors_sha256.to_ascii_lowercase() {
        return Err(bad(path, "it does not match the checksum in the last line".to_string()).into());
    }
    // From version 2 on a file may claim four gigabytes of description, which would be allocated.
    let described = match bytes.get(6..12) {
        Some([1, _, a, b, ..]) => usize::from(u16::from_le_bytes([*a, *b])),
        Some([2 | 3, _, a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]) as usize,
        _ => LONGEST_HEADER + 1,
    };
    if described > LONGEST_HEADER {
        return Err(bad(path, "it does not begin like a .npy file".to_string()).into());
    }
    // The crate's parser is not ours to trust with every description.
    let read = caught(|| -> std::io::Result<(Vec<u64>, Vec<f32>)> {
        let file = npyz::NpyFile::new(bytes.as_slice())?;
        let shape = file.shape().to_vec();
        if shape != [end.faces as u64, dimension as u64] || file.order() != npyz::Order::C {
            return Ok((shape, Vec::new()));
        }
        Ok((shape, file.into_vec::<f32>()?))
    });
    let (shape, numbers) = match read {
        Some(Ok(read)) => read,
        Some(Err(e)) => return Err(bad(path, e.to_string()).into()),
        None => return Err(bad(path, "its description cannot be read".to_string()).into()),
    };
    if numbers.len() != end.faces * dimension || shape.len() != 2 {
        return Err(bad(path, format!("its shape is {shape:?}, not [{}, {dimension}] in C order", end.faces)).into());
    }
    Ok(numbers)
}
