//! A photo library: photos on disk, whose faces are remembered in the database and grouped into people.
//!
//! | file | what |
//! | --- | --- |
//! | `scan` | folders to records: what is new, changed, moved, gone |
//! | `look` | one file to its record |
//! | `people` | faces to groups, with what somebody has said of them |
//! | `correct` | what somebody says: names, merges, splits, "not this person", "not a face" |
//! | `find` | photos of somebody; the same picture saved again |
//! | `sheet` | groups and photos as an HTML page |
//!
//! Invariants:
//! 1. a record is of one content: files with the same bytes are one photo, so no face counts twice;
//! 2. what a batch of files comes to is one write: a scan that is killed goes on where it was;
//! 3. a face keeps its number, and what was said of it, when its photo is moved, or looked at with another model.

mod correct;
mod find;
mod look;
mod people;
mod scan;
mod sheet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

pub use correct::Correction;
pub use find::{Duplicates, FoundFace, FoundPhoto, PhotoFilter, Who};
pub use people::{GroupSummary, Grouped};
pub use scan::{Refused, ScanOptions, Scanned};

use crate::database::Database;
use crate::error::{LibraryError, Result};
use crate::files::path_of;
use crate::gallery::{LibraryChange, PhotoChange};
use crate::store::{GroupRecord, PhotoRecord};

/// The photos of a database.
#[derive(Debug, Clone, Copy)]
pub struct Library<'a> {
    database: &'a Database,
}

/// A library in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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

impl<'a> Library<'a> {
    /// The library of a database.
    pub fn of(database: &'a Database) -> Self {
        Self { database }
    }

    fn photos(&self) -> Result<BTreeMap<u64, PhotoRecord>> {
        Ok(self.database.library_photos()?.into_iter().collect())
    }

    fn groups(&self) -> Result<BTreeMap<u64, GroupRecord>> {
        Ok(self.database.library_groups()?.into_iter().collect())
    }

    /// The library in numbers.
    ///
    /// # Errors
    /// A store's error.
    pub fn status(&self) -> Result<LibraryStatus> {
        let mut status = LibraryStatus::default();
        for photo in self.photos()?.values() {
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
        let groups = self.groups()?;
        status.groups = groups.len();
        status.named = groups.values().filter(|g| !g.name.is_empty()).count();
        Ok(status)
    }

    /// Forgets photos: those with a file under one of the folders (or that are one of the files), and those none of whose
    /// files is where it was, where `missing` is said. The files themselves stay. Returns how many photos, and how many
    /// faces, are forgotten.
    ///
    /// # Errors
    /// A store's error.
    pub fn remove(&self, under: &[PathBuf], missing: bool, scrub: bool) -> Result<(usize, usize)> {
        let under: Vec<PathBuf> = under.iter().map(|p| std::path::absolute(p).unwrap_or_else(|_| p.clone())).collect();
        let is_meant = |path: &str| under.iter().any(|folder| path_of(path).starts_with(folder));
        let (mut change, mut gone) = (LibraryChange { scrub, ..LibraryChange::default() }, BTreeSet::new());
        let mut photos = 0;
        for (id, mut record) in self.photos()? {
            let files = record.files.len();
            record.files.retain(|file| !is_meant(&file.path));
            if record.files.is_empty() || missing && is_missing(&record) {
                photos += 1;
                gone.extend(record.faces.iter().map(|f| f.id));
                change.photos.push(PhotoChange { id: Some(id), record: None, pictures: None });
            } else if record.files.len() < files {
                change.photos.push(PhotoChange { id: Some(id), record: Some(record), pictures: None });
            }
        }
        change.groups = people::without(self.groups()?, &gone);
        self.database.library_change(change)?;
        Ok((photos, gone.len()))
    }
}

/// Whether none of a photo's files is where it was.
fn is_missing(photo: &PhotoRecord) -> bool {
    photo.files.iter().all(|file| file.missing)
}

/// The model of most faces.
fn main_model(photos: &BTreeMap<u64, PhotoRecord>) -> Option<String> {
    let mut faces: BTreeMap<&str, usize> = BTreeMap::new();
    photos.values().for_each(|p| *faces.entry(&p.model).or_default() += p.faces.len());
    let most = faces.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0);
    most.map(|(model, _)| model.to_string())
}

/// The group that is called by a number or by a name.
fn group_called(groups: &BTreeMap<u64, GroupRecord>, called: &str) -> Result<u64, LibraryError> {
    let key = Database::name_key(called);
    let named = groups.iter().find(|(_, g)| !g.name.is_empty() && Database::name_key(&g.name) == key);
    let numbered = || called.parse().ok().filter(|id| groups.contains_key(id));
    let found = named.map(|(id, _)| *id).or_else(numbered);
    found.ok_or_else(|| LibraryError::UnknownGroup { group: called.to_string() })
}
