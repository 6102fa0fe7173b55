//! The library in numbers, and forgetting photos.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::{Library, is_missing, people};
use crate::error::Result;
use crate::files::{path_of, real_path};
use crate::gallery::{LibraryChange, PhotoChange};
use crate::store::{GroupRecord, PhotoRecord};

/// A library in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct LibraryStatus {
    /// Photos: different contents.
    pub photos: usize,
    /// Files that they are in.
    pub files: usize,
    /// Photos none of whose files is where it was.
    pub missing: usize,
    /// Photos that could not be read.
    pub unreadable: usize,
    /// Photos with a face.
    pub with_faces: usize,
    /// Faces.
    pub faces: usize,
    /// Faces that somebody has said are none.
    pub no_faces: usize,
    /// Faces too small, blurred, dark or turned away to tell people by.
    pub poor_faces: usize,
    /// Groups.
    pub groups: usize,
    /// Groups with a name.
    pub named: usize,
    /// Faces by the model of their vectors.
    pub models: BTreeMap<String, usize>,
}

/// What hangs on photos: it goes with them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Hanging {
    /// Photos none of whose files would be left.
    pub photos: usize,
    /// Their faces.
    pub faces: usize,
    /// Names of groups that would have no face any more.
    pub names: Vec<String>,
}

impl Library<'_> {
    /// The library in numbers.
    ///
    /// # Errors
    /// A store's error.
    pub fn status(&self) -> Result<LibraryStatus> {
        Ok(counted(&self.photos()?, &self.groups()?))
    }

    /// What [`Library::remove`] would take away.
    ///
    /// # Errors
    /// A store's error.
    pub fn hanging_on(&self, under: &[PathBuf], missing: bool) -> Result<Hanging> {
        let (_, photos, gone) = self.removal(under, missing)?;
        let mut names = Vec::new();
        for group in self.groups()?.values().filter(|g| !g.name.is_empty() && !g.faces.is_empty()) {
            if group.faces.iter().all(|f| gone.contains(f)) {
                names.push(group.name.clone());
            }
        }
        Ok(Hanging { photos, faces: gone.len(), names })
    }

    /// Forgets photos: those with a file under one of the folders (or that are one of the files), and those none of whose
    /// files is where it was, where `missing` is said. The files themselves stay. Returns how many photos, and how many
    /// faces, are forgotten.
    ///
    /// # Errors
    /// A store's error.
    pub fn remove(&self, under: &[PathBuf], missing: bool, scrub: bool) -> Result<(usize, usize)> {
        self.in_turn(|| self.remove_now(under, missing, scrub))
    }

    fn remove_now(&self, under: &[PathBuf], missing: bool, scrub: bool) -> Result<(usize, usize)> {
        // Before the photos: what is said of their faces from now on has it begin again.
        let (made_of, groups) = self.groups_to_change()?;
        let (photos, count, gone) = self.removal(under, missing)?;
        let mut groups = people::without(groups, &gone);
        // Their names go with them, as was said before.
        groups
            .iter_mut()
            .filter(|g| g.record.as_ref().is_some_and(|r| r.faces.is_empty()))
            .for_each(|g| g.record = None);
        self.database.library_change(LibraryChange { photos, groups, scrub, made_of, ..LibraryChange::default() })?;
        Ok((count, gone.len()))
    }

    /// The photos that change or go, how many go, and the faces that go with them.
    fn removal(&self, under: &[PathBuf], missing: bool) -> Result<(Vec<PhotoChange>, usize, BTreeSet<u64>)> {
        // By either path, so that what was there and is not any more can be named, too.
        let paths = |p: &PathBuf| [std::path::absolute(p), real_path(p)].into_iter().flatten().collect::<Vec<_>>();
        let under: Vec<PathBuf> = under.iter().flat_map(paths).collect();
        let is_meant = |path: &str| under.iter().any(|folder| path_of(path).starts_with(folder));
        let (mut change, mut photos, mut gone) = (Vec::new(), 0, BTreeSet::new());
        for (id, mut record) in self.photos()? {
            let files = record.files.len();
            record.files.retain(|file| !is_meant(&file.path));
            if record.files.is_empty() || missing && is_missing(&record) {
                photos += 1;
                gone.extend(record.faces.iter().map(|f| f.id));
                change.push(PhotoChange { id: Some(id), record: None, pictures: None, like: Vec::new() });
            } else if record.files.len() < files {
                change.push(PhotoChange { id: Some(id), record: Some(record), pictures: None, like: Vec::new() });
            }
        }
        Ok((change, photos, gone))
    }
}

/// A library in numbers.
pub(super) fn counted(photos: &BTreeMap<u64, PhotoRecord>, groups: &BTreeMap<u64, GroupRecord>) -> LibraryStatus {
    let mut status = LibraryStatus::default();
    for photo in photos.values() {
        status.photos += 1;
        status.files += photo.files.iter().filter(|f| !f.missing).count();
        status.missing += usize::from(is_missing(photo));
        status.unreadable += usize::from(!photo.fault[0].is_empty());
        status.with_faces += usize::from(photo.faces.iter().any(|f| !f.no_face));
        status.faces += photo.faces.iter().filter(|f| !f.no_face).count();
        status.no_faces += photo.faces.iter().filter(|f| f.no_face).count();
        status.poor_faces += photo.faces.iter().filter(|f| !f.no_face && !f.good).count();
        if !photo.faces.is_empty() {
            *status.models.entry(photo.model.clone()).or_default() += photo.faces.len();
        }
    }
    status.groups = groups.len();
    status.named = groups.values().filter(|g| !g.name.is_empty()).count();
    status
}
