//! The photo library's records, here or the service's.

use super::Home::{Here, There};
use super::wire::Request as Ask;
use super::{Database, text};
use crate::error::Result;
use crate::gallery::{LibraryChange, LibraryGroups, NamedVector, Numbers};
use crate::store::PhotoRecord;

/// Photos that a service is asked for at once.
const TOGETHER: usize = 8192;

impl Database {
    /// Every photo, by number.
    pub(crate) fn library_photos(&self) -> Result<Vec<(u64, PhotoRecord)>> {
        match &self.0 {
            Here(d) => d.library_photos(None, usize::MAX),
            There(c) => {
                let mut all: Vec<(u64, PhotoRecord)> = Vec::new();
                loop {
                    let after = all.last().map(|(id, _)| *id);
                    let page: Vec<(u64, PhotoRecord)> = c.ask(&Ask::LibraryPhotos { after, most: TOGETHER })?;
                    let last = page.len() < TOGETHER;
                    all.extend(page);
                    if last {
                        return Ok(all);
                    }
                }
            }
        }
    }

    /// All groups, by number.
    pub(crate) fn library_groups(&self) -> Result<LibraryGroups> {
        match &self.0 {
            Here(d) => d.library_groups(),
            There(c) => c.ask(&Ask::LibraryGroups),
        }
    }

    /// The pictures of a photo's faces, by the faces' numbers.
    pub(crate) fn library_pictures(&self, photo: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        match &self.0 {
            Here(d) => d.library_pictures(photo),
            There(c) => c.ask(&Ask::LibraryPictures { photo }),
        }
    }

    /// Makes the change and returns when it is on disk for good: the numbers that it gave.
    pub(crate) fn library_change(&self, change: LibraryChange) -> Result<Numbers> {
        match &self.0 {
            Here(d) => d.library_change(change),
            There(c) => c.ask(&Ask::ChangeLibrary { change }),
        }
    }

    /// Model and vectors of a gallery's faces; `None` where there is no such gallery.
    pub(crate) fn named_vectors(&self, gallery: &str) -> Result<Option<(String, Vec<NamedVector>)>> {
        match &self.0 {
            Here(d) => Ok(d.named_vectors(gallery)),
            There(c) => c.ask(&Ask::NamedVectors { gallery: text(gallery) }),
        }
    }
}
