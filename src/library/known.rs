//! The records while a scan changes them: what a file comes to, given what is known.
//!
//! Nothing that somebody has said is forgotten by a scan. A photo whose bytes change in place stays the photo that it was,
//! where it shows the same picture or one of its faces; what another picture is written over is kept as what is deleted is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::carry::Before;
use super::look::{Looked, fault, look};
use super::scanned::Scanned;
use super::{Library, is_missing};
use crate::engine::Engine;
use crate::error::{Error, PhotoError, Result};
use crate::files::path_of;
use crate::gallery::{LibraryChange, PhotoChange};
use crate::media::{Limits, Photo, SNIFFED, Sniffed, sniff};
use crate::store::{PhotoFile, PhotoRecord};

/// What is passed over, by kind.
pub(super) const LIVE: &str = "the film of a live photo";
const EMPTY: &str = "an empty file";
const NAMED_SO: &str = "a file that is called a photo and is none";
/// Endings of photos' names.
const PHOTOS: [&str; 12] = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif", "heic", "heif", "avif", "jpe"];
/// A file as a walk finds it.
#[derive(Clone)]
pub(super) struct Found {
    pub path: PathBuf,
    pub file: PhotoFile,
}

/// A file after everything that needs no turn at the database.
pub(super) enum Came {
    /// Its bytes are of this content; looked at where they are new.
    Photo([u8; 32], Option<Box<Looked>>),
    Foreign(&'static str),
    NoPhoto,
    Refused(Error),
}

fn is_called_a_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| PHOTOS.contains(&ending.as_str()))
}

/// The records while a scan changes them.
pub(super) struct Known {
    photos: BTreeMap<u64, PhotoRecord>,
    /// By path, the photo that the file was.
    by_path: HashMap<String, u64>,
    by_content: HashMap<[u8; 32], u64>,
    model: String,
    detector: String,
    /// Known photos to write, by number; with pictures where they were looked at.
    changed: BTreeMap<u64, Option<Vec<Vec<u8>>>>,
    /// New photos to write.
    new: Vec<Looked>,
    /// Photos that lost a file, and which: whether it was moved is known at the end.
    missed: BTreeSet<u64>,
    /// Faces of which somebody has said something.
    said: BTreeSet<u64>,
    /// Photos with such a face, or one that was said to be none.
    corrected: Vec<u64>,
    /// Photos none of whose files is there as it was.
    adrift: BTreeSet<u64>,
    /// Those none of whose files was there at the scan before: they are kept for the day when they are back.
    away: BTreeSet<u64>,
    /// Folders and files that are not there any more, from which photos have moved.
    left: BTreeSet<PathBuf>,
    /// Files with other bytes than before, which are taken after their copies.
    deferred: BTreeSet<String>,
}

impl Known {
    pub fn new(photos: BTreeMap<u64, PhotoRecord>, engine: &Engine) -> Self {
        // A file that another picture was written over is two photos': it is the one's that is there.
        let paths = |missing: bool| {
            let of = move |(id, p): (&u64, &PhotoRecord)| {
                let files = p.files.iter().filter(|f| f.missing == missing);
                files.map(|f| (f.path.clone(), *id)).collect::<Vec<_>>()
            };
            photos.iter().flat_map(of).collect::<Vec<_>>()
        };
        let mut known = Self {
            by_path: paths(true).into_iter().chain(paths(false)).collect(),
            by_content: photos.iter().map(|(id, p)| (p.sha256, *id)).collect(),
            model: engine.model().to_string(),
            detector: engine.detector().to_string(),
            photos,
            changed: BTreeMap::new(),
            new: Vec::new(),
            missed: BTreeSet::new(),
            said: BTreeSet::new(),
            corrected: Vec::new(),
            deferred: BTreeSet::new(),
            adrift: BTreeSet::new(),
            away: BTreeSet::new(),
            left: BTreeSet::new(),
        };
        known.away = known.photos.iter().filter(|(_, photo)| is_missing(photo)).map(|(id, _)| *id).collect();
        known
    }

    fn is_current(&self, photo: &PhotoRecord) -> bool {
        photo.model == self.model && photo.detector == self.detector
    }

    /// Whether nothing is to be done for a file but, perhaps, to note that it is there again.
    pub fn is_known(&mut self, path: &str, file: &PhotoFile, again: bool, scanned: &mut Scanned) -> bool {
        let Some(id) = self.by_path.get(path).copied() else { return false };
        let Some(photo) = self.photos.get(&id) else { return false };
        let same = |f: &PhotoFile| f.path == path && (f.size, f.modified_ns) == (file.size, file.modified_ns);
        let unread = again && !photo.fault[0].is_empty();
        if !photo.files.iter().any(same) || !self.is_current(photo) || unread {
            return false;
        }
        scanned.unchanged += 1;
        if let Some(photo) = self.photos.get_mut(&id)
            && photo.files.iter().any(|f| f.path == path && f.missing)
        {
            scanned.returned += usize::from(is_missing(photo));
            photo.files.iter_mut().filter(|f| f.path == path).for_each(|f| f.missing = false);
            self.changed.entry(id).or_default();
        }
        true
    }

    /// Hears of which faces somebody has said something.
    pub fn hear(&mut self, said: BTreeSet<u64>) {
        let is_said = |photo: &PhotoRecord| photo.faces.iter().any(|f| f.no_face || said.contains(&f.id));
        self.corrected = self.photos.iter().filter(|(_, photo)| is_said(photo)).map(|(id, _)| *id).collect();
        self.said = said;
    }

    /// Marks files under the roots that were not found, but for those in folders that cannot be looked into.
    pub fn miss(&mut self, roots: &[PathBuf], closed: &[(PathBuf, String)], found: &BTreeMap<String, PhotoFile>) {
        for (id, photo) in &mut self.photos {
            for file in photo.files.iter_mut().filter(|f| !f.missing && !found.contains_key(&f.path)) {
                let path = path_of(&file.path);
                let hidden = closed.iter().any(|(folder, _)| path.starts_with(folder));
                if !hidden && roots.iter().any(|root| path.starts_with(root)) {
                    file.missing = true;
                    self.missed.insert(*id);
                    self.changed.entry(*id).or_default();
                }
            }
        }
    }

    /// Notes which photos are nowhere as they were: by their files' flags where those were looked for, by what is to be read
    /// (in order), and elsewhere by asking for each.
    pub fn note_adrift(&mut self, roots: &[PathBuf], todo: &[Found]) {
        let is_gone = |f: &PhotoFile| {
            let path = path_of(&f.path);
            let is_inside = roots.iter().any(|root| path.starts_with(root));
            let is_changed = || todo.binary_search_by(|found| found.file.path.cmp(&f.path)).is_ok();
            f.missing || if is_inside { is_changed() } else { is_absent(&path) }
        };
        let adrift =
            self.photos.iter().filter(|(_, photo)| photo.fault[0].is_empty() && photo.files.iter().all(is_gone));
        self.adrift = adrift.map(|(id, _)| *id).collect();
    }

    /// Reads a file, and looks at it where its bytes are new or its faces another model's.
    pub fn read(&self, engine: &Engine, limits: &Limits, found: &Found) -> Result<Came> {
        let mut first = Vec::with_capacity(SNIFFED);
        let sniffed = File::open(&found.path).and_then(|f| f.take(SNIFFED as u64).read_to_end(&mut first));
        let refused = |error: Error| Ok(Came::Refused(error));
        if let Err(e) = sniffed {
            // It was there a moment ago: it was moved or deleted since the folders were looked through.
            if e.kind() == ErrorKind::NotFound {
                return Ok(Came::NoPhoto);
            }
            let (origin, reason) = (found.file.path.clone(), e.to_string());
            return refused(PhotoError::Unreadable { origin, reason }.into());
        }
        match sniff(&first) {
            _ if first.is_empty() => return Ok(Came::Foreign(EMPTY)),
            Sniffed::Photo => {}
            Sniffed::Foreign(kind) => return Ok(Came::Foreign(kind)),
            // A disk that loses photos leaves such files.
            Sniffed::Other if is_called_a_photo(&found.path) => return Ok(Came::Foreign(NAMED_SO)),
            Sniffed::Other => return Ok(Came::NoPhoto),
        }
        let bytes = match Photo::read(&found.path, limits) {
            Ok(bytes) => bytes,
            Err(PhotoError::NotFound { .. }) => return Ok(Came::NoPhoto),
            Err(e) => return refused(e.into()),
        };
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        let known = self.by_content.get(&sha256).and_then(|id| self.photos.get(id));
        if known.is_some_and(|p| self.is_current(p) && p.fault[0].is_empty()) {
            return Ok(Came::Photo(sha256, None));
        }
        let was = self.by_content.get(&sha256).or_else(|| self.by_path.get(&found.file.path));
        let photo = |id: &u64| self.photos.get(id).map(|record| Before { id: *id, record, said: &self.said });
        let before = was.and_then(photo).filter(|b| b.record.fault[0].is_empty());
        let others: Vec<Before> = self.adrift.iter().chain(&self.corrected).filter_map(photo).collect();
        let looked = look(engine, limits, &bytes, sha256, found.file.clone(), (before, &others))?;
        Ok(Came::Photo(sha256, Some(Box::new(looked))))
    }

    /// Takes what a file came to into the records. What becomes of one that has changed can depend on what its copies
    /// come to that are still `waiting` to be read: whether this one is to be taken after them.
    pub fn take(&mut self, found: &Found, read: Came, waiting: &BTreeSet<String>, scanned: &mut Scanned) -> bool {
        let path = found.file.path.as_str();
        let (sha256, looked) = match read {
            Came::Foreign(_) | Came::NoPhoto => {
                if let Came::Foreign(kind) = read {
                    *scanned.passed_over.entry(kind.to_string()).or_default() += 1;
                }
                self.put_away(path);
                return false;
            }
            Came::Refused(error) => {
                scanned.refuse(path, fault(&error));
                return false;
            }
            Came::Photo(sha256, looked) => (sha256, looked.map(|looked| *looked)),
        };
        let before = self.by_path.get(path).copied();
        let now = self.by_content.get(&sha256).copied();
        let follows = looked.as_ref().and_then(|l| l.follows).filter(|_| now.is_none());
        let other = follows.filter(|id| Some(*id) != before && self.adrift.contains(id) && !self.away.contains(id));
        let elsewhere = other.map_or_else(Vec::new, |id| self.others(id, path));
        if elsewhere.iter().any(|file| waiting.contains(*file)) {
            self.deferred.insert(path.to_string());
            return true;
        }
        let again = other.filter(|_| elsewhere.iter().all(|file| is_absent(&path_of(file))));
        let follows = follows.is_some() && follows == before;
        let copies = before.filter(|_| follows).map_or_else(Vec::new, |id| self.others(id, path));
        if !copies.is_empty() && copies.iter().all(|copy| waiting.contains(*copy)) {
            self.deferred.insert(path.to_string());
            return true;
        }
        // The photo whose bytes it had when it was read has others by now.
        if now.is_none() && looked.is_none() {
            return true;
        }
        let follows = follows && copies.is_empty();
        scanned.photos += 1;
        if let Some(Looked { record, .. }) = &looked {
            let unread = !record.fault[0].is_empty();
            if unread {
                scanned.refuse(path, record.fault.clone());
            }
            // Of a known photo that is being written at this moment the rest will come: its faces are kept until then.
            if unread && before.is_some_and(|before| Some(before) != now && self.is_whole(before)) {
                self.put_away(path);
                return false;
            }
            scanned.faces += record.faces.len();
        }
        match (before, now, looked) {
            (before, Some(now), looked) => {
                before.filter(|before| *before != now).into_iter().for_each(|before| self.lose(before, path));
                self.meet(now, found, looked, before, scanned);
            }
            (before, None, Some(looked)) if again.is_some() => {
                before.into_iter().for_each(|before| self.lose(before, path));
                again.into_iter().for_each(|id| self.leave(id));
                scanned.moved += 1;
                again.into_iter().zip([looked]).for_each(|(id, looked)| self.follow(id, found, looked));
            }
            (Some(before), None, Some(looked)) => {
                scanned.changed += 1;
                if follows {
                    self.follow(before, found, looked);
                } else {
                    self.lose(before, path);
                    self.come(found, looked, scanned);
                }
            }
            (None, None, Some(looked)) => scanned.added += usize::from(self.come(found, looked, scanned)),
            // Without a record it was looked at.
            (_, None, None) => {}
        }
        false
    }

    /// The other files of a photo that are there, as far as is known with the bytes that it has.
    fn others(&self, id: u64, path: &str) -> Vec<&str> {
        let files = self.photos.get(&id).into_iter().flat_map(|photo| &photo.files);
        files
            .filter(|f| !f.missing && f.path != path && !self.deferred.contains(&f.path))
            .map(|f| f.path.as_str())
            .collect()
    }

    /// A photo that was not known comes to the library; whether none with its bytes has come in this batch already.
    fn come(&mut self, found: &Found, mut looked: Looked, scanned: &mut Scanned) -> bool {
        // The numbers are those of the faces of the photo that the file was, which is kept: what was said of them is said of
        // these, too.
        looked.like = looked.record.faces.iter_mut().map(|face| std::mem::take(&mut face.id)).collect();
        if let Some(new) = self.new.iter_mut().find(|new| new.record.sha256 == looked.record.sha256) {
            scanned.copies += 1;
            scanned.faces -= looked.record.faces.len();
            new.record.files.push(found.file.clone());
            return false;
        }
        self.new.push(looked);
        true
    }

    /// A photo's only file has other bytes, and is the same photo: it keeps its number, and its faces theirs.
    fn follow(&mut self, id: u64, found: &Found, looked: Looked) {
        let Some(photo) = self.photos.get_mut(&id) else { return };
        let Looked { mut record, pictures, .. } = looked;
        record.files = vec![found.file.clone()];
        // Copies with the new bytes that came before.
        if let Some(at) = self.new.iter().position(|new| new.record.sha256 == record.sha256) {
            record.files.extend(self.new.remove(at).record.files);
            record.files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        self.by_content.remove(&photo.sha256);
        self.by_content.insert(record.sha256, id);
        for old in photo.files.iter().filter(|old| !self.deferred.contains(&old.path)) {
            if self.by_path.get(&old.path) == Some(&id) {
                self.by_path.remove(&old.path);
            }
        }
        self.by_path.extend(record.files.iter().map(|f| (f.path.clone(), id)));
        *photo = record;
        self.missed.remove(&id);
        self.adrift.remove(&id);
        self.changed.insert(id, Some(pictures));
    }

    /// A file has the bytes of a photo that is known.
    fn meet(&mut self, id: u64, found: &Found, looked: Option<Looked>, before: Option<u64>, scanned: &mut Scanned) {
        let Some(photo) = self.photos.get_mut(&id) else { return };
        let path = found.file.path.as_str();
        if photo.files.iter().any(|f| f.path == path) {
            scanned.returned += usize::from(is_missing(photo));
            photo.files.iter_mut().filter(|f| f.path == path).for_each(|f| *f = found.file.clone());
        } else {
            // A renamed folder is not looked through by its old name: whether its files are there is asked of each.
            let is_gone = |f: &PhotoFile| f.missing || is_absent(&path_of(&f.path));
            if let Some(old) = photo.files.iter().position(is_gone) {
                let old = photo.files.remove(old);
                if self.by_path.get(&old.path) == Some(&id) {
                    self.by_path.remove(&old.path);
                }
                self.left.extend(highest_absent(&path_of(&old.path)));
                scanned.moved += 1;
            } else if before != Some(id) {
                scanned.copies += 1;
            }
            photo.files.push(found.file.clone());
        }
        photo.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.adrift.remove(&id);
        let mut pictures = None;
        if let Some(Looked { mut record, pictures: made, .. }) = looked {
            scanned.looked_again += 1;
            record.files = std::mem::take(&mut photo.files);
            *photo = record;
            pictures = Some(made);
        }
        self.by_path.insert(path.to_string(), id);
        let entry = self.changed.entry(id).or_default();
        if pictures.is_some() {
            *entry = pictures;
        }
    }

    /// A photo is somewhere else now: whatever else was where it was is not there either.
    fn leave(&mut self, id: u64) {
        let files = self.photos.get(&id).into_iter().flat_map(|photo| &photo.files);
        self.left.extend(files.filter_map(|f| highest_absent(&path_of(&f.path))));
    }

    fn is_whole(&self, id: u64) -> bool {
        self.photos.get(&id).is_some_and(|photo| photo.fault[0].is_empty())
    }

    /// A photo's file is there, and is no photo now: emptied, cut short or written over, perhaps for this moment only.
    fn put_away(&mut self, path: &str) {
        let Some(id) = self.by_path.get(path).copied() else { return };
        let Some(photo) = self.photos.get_mut(&id) else { return };
        for file in photo.files.iter_mut().filter(|f| f.path == path && !f.missing) {
            file.missing = true;
            self.missed.insert(id);
            self.changed.entry(id).or_default();
        }
    }

    /// A photo's file is another photo's now.
    fn lose(&mut self, id: u64, path: &str) {
        let Some(photo) = self.photos.get_mut(&id) else { return };
        if photo.files.iter().any(|f| f.path != path) {
            photo.files.retain(|f| f.path != path);
        } else {
            // Written over: its bytes may be somewhere else, or come back.
            photo.files.iter_mut().for_each(|f| f.missing = true);
            self.missed.insert(id);
        }
        if self.by_path.get(path) == Some(&id) {
            self.by_path.remove(path);
        }
        self.changed.entry(id).or_default();
    }

    /// Files that are gone of photos that have others are taken off; photos without any are counted.
    pub fn settle(&mut self, scanned: &mut Scanned) {
        for (id, photo) in self.photos.iter_mut().filter(|_| !self.left.is_empty()) {
            for file in photo.files.iter_mut().filter(|f| !f.missing) {
                let path = path_of(&file.path);
                if self.left.iter().any(|left| path.starts_with(left)) {
                    file.missing = true;
                    self.missed.insert(*id);
                    self.changed.entry(*id).or_default();
                }
            }
        }
        for id in std::mem::take(&mut self.missed) {
            let Some(photo) = self.photos.get_mut(&id) else { continue };
            if is_missing(photo) {
                scanned.missing += 1;
            } else {
                photo.files.retain(|f| !f.missing);
                self.changed.entry(id).or_default();
            }
        }
    }

    /// Writes what has changed, in one piece.
    pub fn write(&mut self, library: &Library) -> Result<()> {
        let mut change = LibraryChange::default();
        for (id, pictures) in std::mem::take(&mut self.changed) {
            if let Some(record) = self.photos.get(&id) {
                change.photos.push(PhotoChange {
                    id: Some(id),
                    record: Some(record.clone()),
                    pictures,
                    like: Vec::new(),
                });
            }
        }
        let new = std::mem::take(&mut self.new);
        let known = change.photos.len();
        for Looked { record, pictures, like, .. } in &new {
            let (record, pictures) = (Some(record.clone()), Some(pictures.clone()));
            change.photos.push(PhotoChange { id: None, record, pictures, like: like.clone() });
        }
        if change.photos.is_empty() {
            return Ok(());
        }
        let (numbers, _) = library.database.library_change(change)?;
        for (id, faces) in &numbers[..known] {
            // Faces that were found anew have numbers now.
            if let Some(photo) = self.photos.get_mut(id) {
                photo.faces.iter_mut().zip(faces).for_each(|(face, number)| face.id = *number);
            }
        }
        for ((id, faces), Looked { mut record, .. }) in numbers.into_iter().skip(known).zip(new) {
            record.faces.iter_mut().zip(faces).for_each(|(face, number)| face.id = number);
            self.by_path.extend(record.files.iter().map(|f| (f.path.clone(), id)));
            self.by_content.insert(record.sha256, id);
            self.photos.insert(id, record);
        }
        Ok(())
    }
}

fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// The folder nearest to the root that is not there, of those that lead to a path that is not; or the path itself.
fn highest_absent(path: &Path) -> Option<PathBuf> {
    path.ancestors().take_while(|folder| is_absent(folder)).last().map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_goes_while_a_scan_is_at_work_is_no_fault() {
        let engine = Engine::builder().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone.jpg");
        std::fs::write(&path, b"\xff\xd8\xff").unwrap();
        let found = Found { file: crate::library::walk::file(&path, &std::fs::metadata(&path).unwrap()), path };
        let state = Known::new(BTreeMap::new(), &engine);
        let read = || state.read(&engine, &Limits::default(), &found).unwrap();
        assert!(matches!(read(), Came::Photo(..)));
        std::fs::remove_file(&found.path).unwrap();
        assert!(matches!(read(), Came::NoPhoto));
    }
}
