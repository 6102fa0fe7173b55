//! People and their faces: a [`Database`] of galleries, on disk in the store and in memory in an index.
//!
//! Everything in memory is made from the store when a gallery is opened, and every record is checked on
//! the way. Then:
//! 1. a write goes to the store first, as one atomic batch, and to memory right after, in the same turn;
//! 2. a call that writes returns when the write is on disk for good; many at once share one sync;
//! 3. readers take no turn: a search waits for no inference, no write and no sync, only for the moment in
//!    which memory changes;
//! 4. the faces of a gallery are of one model, and a probe of another is refused.

mod check;
#[cfg(test)]
mod crash;
mod enroll;
mod export;
mod identify;
mod import;
mod impostors;
mod labels;
mod library;
mod listing;
mod merging;
mod names;
mod people;
mod reembed;
mod reindex;
#[cfg(all(unix, feature = "serve"))]
mod served;
mod shelf;
mod sorted;
mod stats;
mod templates;
mod transfer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

pub use check::{CheckReport, repair};
pub use enroll::{Enrolled, EnrolmentPolicy, EnrolmentStatus, FacePictures, NewFace, Pending};
pub use export::Exported;
pub(crate) use identify::Nearest;
pub use identify::{Candidate, Identification, SearchPolicy};
pub use import::Imported;
pub use import::check_export;
pub(crate) use library::{GroupChange, LibraryChange, LibraryGroups, NamedVector, Numbers, PhotoChange};
pub use listing::{FacePage, PeoplePage};
pub use merging::Split;
pub(crate) use names::{is_name, key as name_key, shown as shown_name};
pub use people::{EnrolledFace, Person, PersonChange, PersonFilter};
pub(crate) use reembed::{FaceAnew, FacePlace, FaceToEmbed, Reembedding};
pub use sorted::{PeopleOrder, PeopleSlice};
pub use stats::{DatabaseStats, GalleryStats, IndexStats};
pub use transfer::BackupReport;

use crate::error::{Error, GalleryError, Result};
use crate::files::{hex, now_ms};
pub use crate::store::MasterKey;
use crate::store::{DataKey, FaceRecord, GalleryRecord, Key, OpenMode, PersonRecord, Store, Writer};
use crate::vector::ModelId;
use shelf::Shelf;

/// The gallery that is meant when none is named.
pub const DEFAULT_GALLERY: &str = "main";

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// Make it where there is none.
    pub create: bool,
    /// How long to wait while another process has it open.
    pub wait: Duration,
    /// Opens an encrypted database; a new one is encrypted with it.
    pub key: Option<MasterKey>,
}

impl DatabaseOptions {
    fn mode(&self, repairing: bool) -> OpenMode {
        OpenMode { create: self.create, wait: self.wait, repair: repairing, key: self.key.clone() }
    }
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self { create: true, wait: Duration::from_secs(5), key: None }
    }
}

/// An open database: galleries of people. Shared by threads; every method takes `&self`.
///
/// ```
/// use kith::{Database, DatabaseOptions};
/// let folder = tempfile::tempdir().unwrap();
/// let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default())?;
/// assert!(database.galleries().is_empty());
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug)]
pub struct Database {
    store: Store,
    shelves: RwLock<BTreeMap<String, Arc<Shelf>>>,
    /// By the gallery that is being embedded anew, the one that will replace it.
    successors: RwLock<BTreeMap<u32, u32>>,
    /// Held by whoever writes a graph's file, before anything else is.
    saving: Mutex<()>,
    /// Which state the library's groups are in: another number after every change. Held while they are read or changed.
    groups_at: Mutex<u64>,
    /// What was set right when it was opened.
    notes: Vec<String>,
}

impl Database {
    /// Opens the database in a folder, reads every record once and checks it.
    ///
    /// # Errors
    /// [`crate::error::StoreError`]: another process has it, a newer program wrote it, it is damaged or
    /// not a database. Nothing is changed then.
    pub fn open(path: impl AsRef<Path>, options: &DatabaseOptions) -> Result<Self> {
        let (store, notes) = Store::open(path.as_ref(), options.mode(false))?;
        Self::over(store, notes.sentences())
    }

    fn over(store: Store, notes: Vec<String>) -> Result<Self> {
        let mut shelves: BTreeMap<u32, Shelf> = BTreeMap::new();
        let mut successors: BTreeMap<u32, u32> = BTreeMap::new();
        store.scan::<GalleryRecord, Error>(|key, record| {
            let Key::Gallery(id) = key else { return Ok(()) };
            if let Some(replaced) = record.replaces {
                successors.insert(replaced, id);
            } else {
                shelves.insert(id, Shelf::new(id, record));
            }
            Ok(())
        })?;
        let homeless =
            |what: String| crate::error::StoreError::Damaged { path: store.folder().display().to_string(), what };
        store.scan::<PersonRecord, Error>(|key, record| {
            let Key::Person(gallery, person) = key else { return Ok(()) };
            let shelf = shelves.get_mut(&gallery);
            let shelf = shelf.ok_or_else(|| homeless(format!("person {person} is of no gallery")))?;
            shelf.load_person(person, record).map_err(homeless)?;
            Ok(())
        })?;
        store.scan::<FaceRecord, Error>(|key, record| {
            let Key::Face(gallery, face) = key else { return Ok(()) };
            if successors.values().any(|s| *s == gallery) {
                return Ok(());
            }
            let shelf = shelves.get_mut(&gallery);
            let shelf = shelf.ok_or_else(|| homeless(format!("face {face} is of no gallery")))?;
            shelf.load_face(face, &record).map_err(homeless)?;
            Ok(())
        })?;
        let shelves = shelves.into_values().map(|s| (s.record().name.clone(), Arc::new(s))).collect();
        let (shelves, successors) = (RwLock::new(shelves), RwLock::new(successors));
        let mut database =
            Self { store, shelves, successors, saving: Mutex::new(()), groups_at: Mutex::new(now_ms()), notes };
        database.load_indexes();
        database.finish_forgetting();
        Ok(database)
    }

    /// Takes out of the files what was forgotten before, where that was interrupted.
    fn finish_forgetting(&mut self) {
        if !self.store.head().scrub_due || self.store.read_only().is_some() {
            return;
        }
        let note = match self.scrub() {
            Ok(()) => "what was forgotten before was taken out of the files, which had been interrupted".to_string(),
            Err(e) => {
                format!("what was forgotten before is still in the files: {e}; it is tried again at every opening")
            }
        };
        self.notes.push(note);
    }

    /// Takes what was forgotten out of every file.
    fn scrub(&self) -> Result<()> {
        let shelves: Vec<Arc<Shelf>> =
            self.shelves.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for shelf in shelves {
            self.scrub_index(&shelf)?;
        }
        Ok(self.store.rewrite()?)
    }

    /// What had to be set right when the database was opened, one sentence each: records made again from the journal,
    /// a forgetting that had been interrupted.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Number of the last write. Waits for nothing.
    #[cfg(feature = "serve")]
    pub(crate) fn writes(&self) -> u64 {
        self.store.writes()
    }

    /// Why nothing can be written at present, if so: the disk is full, or a write has failed half-way. A disk that has
    /// room again is noticed by this call.
    pub fn trouble(&self) -> Option<Error> {
        self.store.trouble().map(Error::from)
    }

    /// Why the database cannot be changed, where its disk may only be read.
    pub fn read_only(&self) -> Option<&str> {
        self.store.read_only()
    }

    fn successor(&self, gallery: u32) -> Option<u32> {
        self.successors.read().unwrap_or_else(PoisonError::into_inner).get(&gallery).copied()
    }

    fn is_successor(&self, gallery: u32) -> bool {
        self.successors.read().unwrap_or_else(PoisonError::into_inner).values().any(|s| *s == gallery)
    }

    /// Names of the galleries.
    pub fn galleries(&self) -> Vec<String> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Statistics of the database.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`].
    pub fn stats(&self) -> Result<DatabaseStats> {
        let head = self.store.head();
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        Ok(DatabaseStats {
            path: self.store.folder().to_path_buf(),
            format: head.format,
            encrypted: self.store.is_encrypted(),
            id: hex(&head.id),
            writes: head.write,
            bytes: self.store.size_on_disk()?,
            galleries: shelves.values().map(|s| s.stats()).collect(),
        })
    }

    /// The model of a gallery's faces; `None` where there is no such gallery.
    pub fn model_of(&self, gallery: &str) -> Option<ModelId> {
        self.find(gallery).map(|s| ModelId::from_text(&s.record().model))
    }

    /// The detector of most of a gallery's faces; `None` where there is no such gallery or none is known.
    pub fn detector_of(&self, gallery: &str) -> Option<String> {
        self.find(gallery)?.read().usual_detector().map(str::to_string)
    }

    /// The gallery of that name; where there is none, one that the writer's commit will make. It is in memory only
    /// after [`Database::shelve`].
    fn create_gallery(
        &self,
        writer: &mut Writer,
        name: &str,
        model: &ModelId,
        (dimension, half): (usize, bool),
    ) -> Result<Arc<Shelf>> {
        if let Some(shelf) = self.find(name) {
            return Ok(shelf);
        }
        let name = &names::usable("gallery", name)?;
        if let Some(there) = self.galleries().into_iter().find(|there| names::same(there, name)) {
            return Err(GalleryError::GalleryTaken { name: name.clone(), there }.into());
        }
        let record = GalleryRecord {
            name: name.to_string(),
            model: model.to_string(),
            dimension: dimension as u32,
            created_ms: now_ms(),
            half,
            replaces: None,
        };
        let id = gallery_id(writer)?;
        writer.put(Key::Gallery(id), &record, DataKey::DATABASE)?;
        Ok(Arc::new(Shelf::new(id, record)))
    }

    /// Puts a gallery in memory, once it is committed.
    fn shelve(&self, shelf: &Arc<Shelf>) {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        shelves.entry(shelf.record().name.clone()).or_insert_with(|| shelf.clone());
    }

    fn find(&self, gallery: &str) -> Option<Arc<Shelf>> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let composed = || names::composed(gallery);
        shelves.get(gallery).or_else(|| shelves.get(composed().as_str())).cloned()
    }

    fn shelf(&self, gallery: &str) -> Result<Arc<Shelf>> {
        Ok(self.find(gallery).ok_or_else(|| GalleryError::UnknownGallery { gallery: gallery.to_string() })?)
    }
}

/// An id for a gallery, never given before.
fn gallery_id(writer: &mut Writer) -> Result<u32, GalleryError> {
    u32::try_from(writer.new_id()).map_err(|_| GalleryError::NoIdLeft)
}
