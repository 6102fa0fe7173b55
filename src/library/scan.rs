//! Folders to records.
//!
//! A file whose size and time are known is not opened. One that is new or changed is read; where its bytes are known it
//! is a copy, or was moved, and is not looked at; else its faces are found. [`TOGETHER`] files are one write.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::look::{Looked, fault, look, same_faces};
use super::{Library, people};
use crate::engine::Engine;
use crate::error::{Error, LibraryError, PhotoError, Result};
use crate::files::{real_path, spelled};
use crate::gallery::{LibraryChange, PhotoChange};
use crate::media::{Limits, Photo, SNIFFED, Sniffed, sniff};
use crate::store::{PhotoFile, PhotoRecord};

/// Files that are looked at, and written, together.
const TOGETHER: usize = 16;
/// Names of films, and of photos that they are half of: phones put `IMG_1234.MOV` beside `IMG_1234.HEIC`.
const FILMS: [&str; 2] = ["mov", "mp4"];
const STILLS: [&str; 4] = ["heic", "heif", "jpg", "jpeg"];
/// What is passed over, by kind.
const LIVE: &str = "the film of a live photo";
const EMPTY: &str = "an empty file";
const NAMED_SO: &str = "a file that is called a photo and is none";
/// Endings of photos' names.
const PHOTOS: [&str; 12] = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "gif", "heic", "heif", "avif", "jpe"];
/// Folders that systems and programs put beside photos.
const OF_SYSTEMS: [&str; 4] = ["@eadir", "__macosx", "$recycle.bin", "lost+found"];

/// How folders are scanned.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// What photos are read.
    pub limits: Limits,
    /// Look again at what could not be read before.
    pub again: bool,
}

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The file, spelled.
    pub path: String,
    /// Stable name of the reason.
    pub code: String,
    /// The reason.
    pub message: String,
}

/// What a scan came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scanned {
    /// Photos found.
    pub photos: usize,
    /// Of these not opened, since size and time are known.
    pub unchanged: usize,
    /// New to the library.
    pub added: usize,
    /// Files with another content than before.
    pub changed: usize,
    /// Photos looked at again, since their faces were another model's or detector's.
    pub looked_again: usize,
    /// Files found at another place than before.
    pub moved: usize,
    /// Files with the bytes of another, that are both there.
    pub copies: usize,
    /// Photos that were missing and are there again.
    pub returned: usize,
    /// Photos none of whose files is there any more. They are kept, and not shown.
    pub missing: usize,
    /// Faces in what was looked at.
    pub faces: usize,
    /// What could not be read, in this scan.
    pub refused: Vec<Refused>,
    /// Pictures and films of kinds that are not read, by kind.
    pub passed_over: BTreeMap<String, usize>,
    /// Seconds.
    pub seconds: f64,
    /// Photos looked at in a second.
    pub photos_per_second: f64,
}

/// A file as a walk finds it.
struct Found {
    path: PathBuf,
    file: PhotoFile,
}

/// A file after everything that needs no turn at the database.
enum Came {
    /// Its bytes are of this content; looked at where they are new.
    Photo([u8; 32], Option<Looked>),
    Foreign(&'static str),
    NoPhoto,
    Refused(Error),
}

impl Library<'_> {
    /// Brings the library up to what is in the folders. `told` hears of photos done, of all that are to be looked at, and
    /// of faces found.
    ///
    /// # Errors
    /// [`LibraryError::Folder`] for a folder that cannot be read, a store's or a device's error. What was written until
    /// then stays.
    pub fn scan(
        &self,
        engine: &Engine,
        folders: &[PathBuf],
        options: &ScanOptions,
        told: &(dyn Fn(usize, usize, usize) + Sync),
    ) -> Result<Scanned> {
        let start = Instant::now();
        let mut roots: Vec<PathBuf> = folders.iter().map(|f| real(f)).collect::<Result<_, _>>()?;
        let mut walked = Walked::default();
        for root in &roots {
            walk(root, &mut walked)?;
        }
        // What is known by a path that leads through links has moved to its own.
        roots.extend(folders.iter().filter_map(|f| std::path::absolute(f).ok()));
        let Walked { mut found, closed, links } = walked;
        for (link, file) in links.iter().filter(|(link, file)| link != file) {
            if found.contains_key(file) {
                found.remove(link);
            }
        }
        let mut state = State::new(self.photos()?, engine);
        let mut scanned = Scanned::default();
        for (path, reason) in &closed {
            let error = LibraryError::Folder { path: spelled(path), reason: reason.clone() };
            let [code, message] = fault(&error.into());
            scanned.refused.push(Refused { path: spelled(path), code, message });
        }
        let films = films_of_live_photos(&found);
        if !films.is_empty() {
            scanned.passed_over.insert(LIVE.to_string(), films.len());
            films.iter().for_each(|film| drop(found.remove(film)));
        }
        let todo: Vec<Found> = found
            .iter()
            .filter(|(path, file)| !state.is_known(path, file, options.again, &mut scanned))
            .map(|(path, file)| Found { path: crate::files::path_of(path), file: file.clone() })
            .collect();
        state.miss(&roots, &closed, &found);
        told(0, todo.len(), 0);
        let mut done = 0;
        for together in todo.chunks(TOGETHER) {
            let known = &state;
            let counter = std::sync::atomic::AtomicUsize::new(done);
            let read: Vec<Result<Came>> = together
                .par_iter()
                .map(|found| {
                    let read = known.read(engine, &options.limits, found);
                    let now = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                    told(now, todo.len(), scanned.faces);
                    read
                })
                .collect();
            done += together.len();
            for (found, read) in together.iter().zip(read) {
                state.take(found, read?, &mut scanned);
            }
            state.write(self)?;
        }
        state.settle(&mut scanned);
        state.write(self)?;
        scanned.photos += scanned.unchanged;
        scanned.seconds = start.elapsed().as_secs_f64();
        let looked = scanned.added + scanned.changed + scanned.looked_again;
        scanned.photos_per_second = looked as f64 / scanned.seconds.max(1e-9);
        Ok(scanned)
    }
}

fn is_called_a_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| PHOTOS.contains(&ending.as_str()))
}

/// The one path of a folder, whatever leads to it: what is found by two would be taken for copies.
fn real(folder: &Path) -> Result<PathBuf, LibraryError> {
    let failed = |e: std::io::Error| LibraryError::Folder { path: spelled(folder), reason: e.to_string() };
    fs::metadata(folder).map_err(failed)?;
    real_path(folder).map_err(failed)
}

/// What is in folders.
#[derive(Default)]
struct Walked {
    /// Files by their spelled paths.
    found: BTreeMap<String, PhotoFile>,
    /// Folders that cannot be looked into, and why: what was in them is not known to be gone.
    closed: Vec<(PathBuf, String)>,
    /// Links to files, and the files, spelled: `kith find -o` makes such, and so do programs that keep large files apart.
    links: Vec<(String, String)>,
}

/// Those of the files that are the film beside a photo of the same name.
fn films_of_live_photos(found: &BTreeMap<String, PhotoFile>) -> Vec<String> {
    let parts = |path: &str| {
        let (stem, ending) = path.rsplit_once('.')?;
        Some((stem.to_string(), ending.to_ascii_lowercase()))
    };
    let named = |endings: &[&str], path: &str| parts(path).filter(|(_, ending)| endings.contains(&ending.as_str()));
    let stills: BTreeSet<String> = found.keys().filter_map(|path| Some(named(&STILLS, path)?.0)).collect();
    let is_half = |path: &&String| named(&FILMS, path).is_some_and(|(stem, _)| stills.contains(&stem));
    found.keys().filter(is_half).cloned().collect()
}

/// Every file under a folder. What begins with a dot is passed over, and links to folders, which
/// could lead in circles.
fn walk(root: &Path, walked: &mut Walked) -> Result<(), LibraryError> {
    let Walked { found, closed, links } = walked;
    let failed = |path: &Path, e: std::io::Error| LibraryError::Folder { path: spelled(path), reason: e.to_string() };
    let mut folders = vec![root.to_path_buf()];
    if root.is_file() {
        folders.clear();
        let facts = fs::metadata(root).map_err(|e| failed(root, e))?;
        found.insert(spelled(root), file(root, &facts));
    }
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if folder == root => return Err(failed(root, e)),
            // It was there a moment ago: what was in it is gone.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => {
                closed.push((folder, e.to_string()));
                continue;
            }
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let lower = name.as_encoded_bytes().to_ascii_lowercase();
            if lower.starts_with(b".") || OF_SYSTEMS.iter().any(|known| known.as_bytes() == lower) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                kind => {
                    if kind.is_ok_and(|kind| kind.is_symlink())
                        && let Ok(file) = real_path(&path)
                    {
                        links.push((spelled(&path), spelled(&file)));
                    }
                    if let Some(facts) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) {
                        found.insert(spelled(&path), file(&path, &facts));
                    }
                }
            }
        }
    }
    Ok(())
}

fn file(path: &Path, facts: &fs::Metadata) -> PhotoFile {
    // Before 1970 where a camera's clock was never set.
    let nanoseconds = |t: SystemTime| match t.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).ok(),
        Err(e) => i64::try_from(e.duration().as_nanos()).ok().map(|before| -before),
    };
    let modified_ns = facts.modified().ok().and_then(nanoseconds).unwrap_or_default();
    PhotoFile { path: spelled(path), size: facts.len(), modified_ns, missing: false }
}

/// The records while a scan changes them.
struct State {
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
    /// Photos to forget, and their faces.
    gone: Vec<(u64, Vec<u64>)>,
    /// Photos that lost a file, and which: whether it was moved is known at the end.
    missed: BTreeSet<u64>,
}

impl State {
    fn new(photos: BTreeMap<u64, PhotoRecord>, engine: &Engine) -> Self {
        let paths = |(id, p): (&u64, &PhotoRecord)| p.files.iter().map(|f| (f.path.clone(), *id)).collect::<Vec<_>>();
        Self {
            by_path: photos.iter().flat_map(paths).collect(),
            by_content: photos.iter().map(|(id, p)| (p.sha256, *id)).collect(),
            model: engine.model().to_string(),
            detector: engine.detector().to_string(),
            photos,
            changed: BTreeMap::new(),
            new: Vec::new(),
            gone: Vec::new(),
            missed: BTreeSet::new(),
        }
    }

    fn is_current(&self, photo: &PhotoRecord) -> bool {
        photo.model == self.model && photo.detector == self.detector
    }

    /// Whether nothing is to be done for a file but, perhaps, to note that it is there again.
    fn is_known(&mut self, path: &str, file: &PhotoFile, again: bool, scanned: &mut Scanned) -> bool {
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
            scanned.returned += usize::from(super::is_missing(photo));
            photo.files.iter_mut().filter(|f| f.path == path).for_each(|f| f.missing = false);
            self.changed.entry(id).or_default();
        }
        true
    }

    /// Marks files under the roots that were not found, but for those in folders that cannot be looked into.
    fn miss(&mut self, roots: &[PathBuf], closed: &[(PathBuf, String)], found: &BTreeMap<String, PhotoFile>) {
        for (id, photo) in &mut self.photos {
            for file in photo.files.iter_mut().filter(|f| !f.missing && !found.contains_key(&f.path)) {
                let path = crate::files::path_of(&file.path);
                let hidden = closed.iter().any(|(folder, _)| path.starts_with(folder));
                if !hidden && roots.iter().any(|root| path.starts_with(root)) {
                    file.missing = true;
                    self.missed.insert(*id);
                    self.changed.entry(*id).or_default();
                }
            }
        }
    }

    /// Reads a file, and looks at it where its bytes are new or its faces another model's.
    fn read(&self, engine: &Engine, limits: &Limits, found: &Found) -> Result<Came> {
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
        Ok(Came::Photo(sha256, Some(look(engine, limits, &bytes, sha256, found.file.clone())?)))
    }

    /// Takes what a file came to into the records.
    fn take(&mut self, found: &Found, read: Came, scanned: &mut Scanned) {
        let (sha256, looked) = match read {
            Came::Foreign(_) | Came::NoPhoto => {
                if let Came::Foreign(kind) = read {
                    *scanned.passed_over.entry(kind.to_string()).or_default() += 1;
                }
                return self.put_away(&found.file.path);
            }
            Came::Refused(error) => {
                let [code, message] = fault(&error);
                return scanned.refused.push(Refused { path: found.file.path.clone(), code, message });
            }
            Came::Photo(sha256, looked) => (sha256, looked),
        };
        scanned.photos += 1;
        let before = self.by_path.get(&found.file.path).copied();
        let now = self.by_content.get(&sha256).copied();
        // Of a known photo that is being written at this moment the rest will come: its faces are kept until then.
        if let Some((record, _)) = &looked
            && !record.fault[0].is_empty()
            && before.is_some_and(|before| Some(before) != now && self.is_whole(before))
        {
            let [code, message] = record.fault.clone();
            scanned.refused.push(Refused { path: found.file.path.clone(), code, message });
            return self.put_away(&found.file.path);
        }
        if let Some((record, _)) = &looked {
            scanned.faces += record.faces.len();
            if !record.fault[0].is_empty() {
                let [code, message] = record.fault.clone();
                scanned.refused.push(Refused { path: found.file.path.clone(), code, message });
            }
        }
        if let Some(before) = before.filter(|before| Some(*before) != now) {
            scanned.changed += 1;
            self.lose(before, &found.file.path);
        }
        match (now, looked) {
            (Some(id), looked) => self.meet(id, found, looked, before, scanned),
            (None, Some(looked)) => {
                scanned.added += usize::from(before.is_none());
                // One with the same bytes may be in this batch already.
                match self.new.iter_mut().find(|(new, _)| new.sha256 == sha256) {
                    Some((new, _)) => {
                        scanned.copies += 1;
                        scanned.added -= usize::from(before.is_none());
                        scanned.faces -= looked.0.faces.len();
                        new.files.push(found.file.clone());
                    }
                    None => self.new.push(looked),
                }
            }
            // Without a record it was looked at.
            (None, None) => {}
        }
    }

    /// A file has the bytes of a photo that is known.
    fn meet(&mut self, id: u64, found: &Found, looked: Option<Looked>, before: Option<u64>, scanned: &mut Scanned) {
        let Some(photo) = self.photos.get_mut(&id) else { return };
        let here = photo.files.iter().any(|f| f.path == found.file.path);
        let moved = !here && photo.files.iter().any(|f| f.missing);
        if here {
            photo.files.iter_mut().filter(|f| f.path == found.file.path).for_each(|f| *f = found.file.clone());
        } else {
            if moved && let Some(old) = photo.files.iter().position(|f| f.missing) {
                let old = photo.files.remove(old);
                self.by_path.remove(&old.path);
                scanned.moved += 1;
            } else if before != Some(id) {
                scanned.copies += 1;
            }
            photo.files.push(found.file.clone());
        }
        photo.files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut pictures = None;
        if let Some((mut record, made)) = looked {
            scanned.looked_again += 1;
            same_faces(photo, &mut record);
            record.files = std::mem::take(&mut photo.files);
            *photo = record;
            pictures = Some(made);
        }
        self.by_path.insert(found.file.path.clone(), id);
        let entry = self.changed.entry(id).or_default();
        if pictures.is_some() {
            *entry = pictures;
        }
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

    /// A photo's file has another content now.
    fn lose(&mut self, id: u64, path: &str) {
        let Some(photo) = self.photos.get_mut(&id) else { return };
        photo.files.retain(|f| f.path != path);
        self.by_path.remove(path);
        if photo.files.is_empty() {
            self.by_content.remove(&photo.sha256);
            let faces = photo.faces.iter().map(|f| f.id).collect();
            self.photos.remove(&id);
            self.changed.remove(&id);
            self.missed.remove(&id);
            self.gone.push((id, faces));
        } else {
            self.changed.entry(id).or_default();
        }
    }

    /// Files that are gone of photos that have others are taken off; photos without any are counted.
    fn settle(&mut self, scanned: &mut Scanned) {
        for id in std::mem::take(&mut self.missed) {
            let Some(photo) = self.photos.get_mut(&id) else { continue };
            if super::is_missing(photo) {
                scanned.missing += 1;
            } else {
                photo.files.retain(|f| !f.missing);
                self.changed.entry(id).or_default();
            }
        }
    }

    /// Writes what has changed, in one piece.
    fn write(&mut self, library: &Library) -> Result<()> {
        let mut change = LibraryChange::default();
        for (id, pictures) in std::mem::take(&mut self.changed) {
            if let Some(record) = self.photos.get(&id) {
                change.photos.push(PhotoChange { id: Some(id), record: Some(record.clone()), pictures });
            }
        }
        let gone = std::mem::take(&mut self.gone);
        let lost: BTreeSet<u64> = gone.iter().flat_map(|(_, faces)| faces.iter().copied()).collect();
        change.photos.extend(gone.into_iter().map(|(id, _)| PhotoChange {
            id: Some(id),
            record: None,
            pictures: None,
        }));
        let new = std::mem::take(&mut self.new);
        let known = change.photos.len();
        for (record, pictures) in &new {
            let (record, pictures) = (Some(record.clone()), Some(pictures.clone()));
            change.photos.push(PhotoChange { id: None, record, pictures });
        }
        if change.photos.is_empty() {
            return Ok(());
        }
        let (numbers, _) = library.in_turn(|| {
            let mut change = change.clone();
            if !lost.is_empty() {
                let (made_of, groups) = library.groups_to_change()?;
                (change.groups, change.made_of) = (people::without(groups, &lost), made_of);
            }
            library.database.library_change(change)
        })?;
        for (id, faces) in &numbers[..known] {
            // Faces that were found anew have numbers now.
            if let Some(photo) = self.photos.get_mut(id) {
                photo.faces.iter_mut().zip(faces).for_each(|(face, number)| face.id = *number);
            }
        }
        for ((id, faces), (mut record, _)) in numbers.into_iter().skip(known).zip(new) {
            record.faces.iter_mut().zip(faces).for_each(|(face, number)| face.id = number);
            self.by_path.extend(record.files.iter().map(|f| (f.path.clone(), id)));
            self.by_content.insert(record.sha256, id);
            self.photos.insert(id, record);
        }
        Ok(())
    }
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
        let found = Found { file: file(&path, &std::fs::metadata(&path).unwrap()), path };
        let state = State::new(BTreeMap::new(), &engine);
        let read = || state.read(&engine, &Limits::default(), &found).unwrap();
        assert!(matches!(read(), Came::Photo(..)));
        std::fs::remove_file(&found.path).unwrap();
        assert!(matches!(read(), Came::NoPhoto));
    }
}
