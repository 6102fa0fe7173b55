//! What is done to a whole gallery or database: checks, indexes, copies, changes of model.

use std::path::Path;

use super::Home::{Here, There};
use super::wire::{self, FilePath, Request as Ask};
use super::{Database, Pending, text};
use crate::error::{GalleryError, Result};
use crate::gallery::{BackupReport, CheckReport, Exported, FaceAnew, FaceToEmbed, Imported, IndexStats, Reembedding};
use crate::index::IndexChoice;
use crate::vector::ModelId;

impl Database {
    /// Reads every record again and holds memory against the store.
    ///
    /// # Errors
    /// Only when reading itself fails; faults are in the report.
    pub fn check(&self) -> Result<CheckReport> {
        match &self.0 {
            Here(d) => d.check(),
            There(c) => c.ask(&Ask::Check),
        }
    }

    /// Sees to it that `choice` answers the searches of a gallery, and builds a graph where one is missing.
    /// `progress` is told faces done and all faces. Searching goes on meanwhile, by the exact scan.
    ///
    /// A service's index is not changed for one of its guests, unless that asks for the graph: `Auto` is then what
    /// the service has, and `Exact` and `Hnsw` are the exact scan for this guest alone.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`]. A graph that cannot be saved is used all the same,
    /// and [`IndexStats::note`] says why it was not saved.
    pub fn use_index(&self, gallery: &str, choice: IndexChoice, progress: &dyn Fn(usize, usize)) -> Result<IndexStats> {
        match &self.0 {
            Here(d) => d.use_index(gallery, choice, progress),
            There(c) => {
                c.search_by_scan(gallery, matches!(choice, IndexChoice::Exact | IndexChoice::Hnsw));
                if choice == IndexChoice::Graph {
                    return c.ask_telling(&Ask::UseIndex { gallery: text(gallery), choice }, &counts(progress));
                }
                let known = self.stats()?.galleries.into_iter().find(|g| g.name == gallery);
                Ok(known.ok_or_else(|| GalleryError::UnknownGallery { gallery: text(gallery) })?.index)
            }
        }
    }

    /// Makes the index of a gallery anew from the vectors, and its file. [`IndexChoice::Exact`], and
    /// [`IndexChoice::Auto`] in a small gallery, remove the file.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], or [`crate::error::StoreError::Io`] when the file cannot be written.
    pub fn reindex(&self, gallery: &str, choice: IndexChoice, progress: &dyn Fn(usize, usize)) -> Result<IndexStats> {
        match &self.0 {
            Here(d) => d.reindex(gallery, choice, progress),
            There(c) => c.ask_telling(&Ask::Reindex { gallery: text(gallery), choice }, &counts(progress)),
        }
    }

    /// Writes the whole database, as of one moment, into one file. Searching goes on meanwhile.
    ///
    /// What is encrypted stays so, and the key ring is not in that file: without it nobody can be read, and
    /// whoever is forgotten later cannot be read any more. `ring` names where a copy of the ring goes, in
    /// place of the copy that was there. Keep one copy, the newest.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`], [`crate::error::StoreError::Damaged`],
    /// [`crate::error::StoreError::NotEncrypted`] for a ring that there is not.
    pub fn backup(&self, file: impl AsRef<Path>, ring: Option<&Path>) -> Result<BackupReport> {
        match &self.0 {
            Here(d) => d.backup(file, ring),
            There(c) => {
                let (whole, whole_ring) = (FilePath::of(file.as_ref())?, ring.map(FilePath::of).transpose()?);
                let names = [(whole.shown(), file.as_ref())];
                let names = names.into_iter().chain(whole_ring.iter().map(FilePath::shown).zip(ring));
                let named = |e| names.clone().fold(e, |e, (theirs, ours)| wire::renamed(e, &theirs, ours));
                c.ask(&Ask::Backup { file: whole, ring: whole_ring.clone() }).map_err(named)
            }
        }
    }

    /// Writes a gallery into a folder, which must not exist; with the chips that are kept, where `chips`.
    /// Writers wait meanwhile. `progress` hears of every face.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], [`crate::error::StoreError::Io`].
    pub fn export(
        &self,
        gallery: &str,
        folder: impl AsRef<Path>,
        chips: bool,
        progress: &dyn Fn(),
    ) -> Result<Exported> {
        match &self.0 {
            Here(d) => d.export(gallery, folder, chips, progress),
            There(c) => {
                let whole = FilePath::of(folder.as_ref())?;
                let named = |e| wire::renamed(e, &whole.shown(), folder.as_ref());
                let ask = Ask::Export { gallery: text(gallery), folder: whole.clone(), chips };
                c.ask_telling(&ask, &|_, _| progress()).map_err(named)
            }
        }
    }

    /// Enrols what an export holds into a gallery. Faces that a person has already, from the same file or
    /// with the same vector, are passed over. `progress` hears of every face.
    ///
    /// # Errors
    /// [`crate::error::StoreError::BadArchive`] for what is not a whole export, [`GalleryError::WrongModel`]
    /// for one of another model than the gallery's; nothing is enrolled then.
    pub fn import(&self, gallery: &str, folder: impl AsRef<Path>, progress: &dyn Fn()) -> Result<Imported> {
        match &self.0 {
            Here(d) => d.import(gallery, folder, progress),
            There(c) => {
                let whole = FilePath::of(folder.as_ref())?;
                let named = |e| wire::renamed(e, &whole.shown(), folder.as_ref());
                let ask = Ask::Import { gallery: text(gallery), folder: whole.clone() };
                c.ask_telling(&ask, &|_, _| progress()).map_err(named)
            }
        }
    }

    /// Begins a change of model, or goes on with one. One to yet another model is given up.
    ///
    /// # Errors
    /// [`GalleryError::UnknownGallery`], or a store's error.
    pub(crate) fn reembed_start(&self, gallery: &str, model: &ModelId, dimension: usize) -> Result<Reembedding> {
        match &self.0 {
            Here(d) => d.reembed_start(gallery, model, dimension),
            There(c) => c.ask(&Ask::ReembedStart { gallery: text(gallery), model: model.clone(), dimension }),
        }
    }

    /// Faces that have no new vector yet; those done already are as many as the second number.
    pub(crate) fn reembed_left(&self, change: &Reembedding) -> Result<(Vec<u64>, usize)> {
        match &self.0 {
            Here(d) => d.reembed_left(change),
            There(c) => c.ask(&Ask::ReembedLeft { change: change.clone() }),
        }
    }

    /// What the new vector of a face can be made from; `None` when it was forgotten since.
    pub(crate) fn reembed_face(&self, change: &Reembedding, face: u64) -> Result<Option<FaceToEmbed>> {
        match &self.0 {
            Here(d) => d.reembed_face(change, face),
            There(c) => c.ask(&Ask::ReembedFace { change: change.clone(), face }),
        }
    }

    /// Stores new vectors, in one write.
    pub(crate) fn reembed_put(&self, change: &Reembedding, faces: Vec<FaceAnew>) -> Result<Pending> {
        match &self.0 {
            Here(d) => Ok(Pending(Some(d.reembed_put(change, faces)?))),
            There(c) => {
                let faces = faces.into_iter().map(Into::into).collect();
                c.ask::<()>(&Ask::ReembedPut { change: change.clone(), faces })?;
                Ok(Pending(None))
            }
        }
    }

    /// Puts the new gallery in the place of the old one; how many faces were left out.
    ///
    /// # Errors
    /// [`GalleryError::NotReembedded`] when faces are left and `leave_out` is not said.
    pub(crate) fn reembed_finish(&self, change: &Reembedding, leave_out: bool) -> Result<usize> {
        match &self.0 {
            Here(d) => d.reembed_finish(change, leave_out),
            There(c) => c.ask(&Ask::ReembedFinish { change: change.clone(), leave_out }),
        }
    }
}

fn counts(progress: &dyn Fn(usize, usize)) -> impl Fn(u64, u64) {
    |done, all| progress(done as usize, all as usize)
}
