//! Folders to records.
//!
//! A file whose size and time are known is not opened. One that is new or changed is read; where its bytes are known it
//! is a copy, or was moved, and is not looked at; else its faces are found. [`TOGETHER`] files are one write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use super::Library;
use super::known::{Came, Found, Known, LIVE};
use super::look::fault;
use super::scanned::Scanned;
use super::walk::{Walked, films_of_live_photos, real, walk};
use crate::engine::Engine;
use crate::error::{LibraryError, Result};
use crate::files::{path_of, spelled};
use crate::media::Limits;

/// Files that are looked at, and written, together.
const TOGETHER: usize = 16;
/// How folders are scanned.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// What photos are read.
    pub limits: Limits,
    /// Look again at what could not be read before.
    pub again: bool,
}

impl Library<'_> {
    /// Brings the library up to what is in the folders. `told` hears of photos done, of all that are to be looked at, and
    /// of faces found.
    ///
    /// # Errors
    /// [`LibraryError::Folder`] where none of the folders is there or was ever, a store's or a device's error. What was written until
    /// then stays.
    pub fn scan(
        &self,
        engine: &Engine,
        folders: &[PathBuf],
        options: &ScanOptions,
        told: &(dyn Fn(usize, usize, usize) + Sync),
    ) -> Result<Scanned> {
        let start = Instant::now();
        let mut walked = Walked::default();
        let absent = self.walk_all(folders, &mut walked)?;
        let Walked { mut found, closed, links } = walked;
        for (link, file) in links.iter().filter(|(link, file)| link != file) {
            if found.contains_key(file) {
                found.remove(link);
            }
        }
        let mut known = Known::new(self.photos()?, engine);
        let mut scanned = Scanned::default();
        for (path, reason) in absent.iter().chain(&closed) {
            let error = LibraryError::Folder { path: spelled(path), reason: reason.clone() };
            scanned.refuse(&spelled(path), fault(&error.into()));
        }
        let films = films_of_live_photos(&found);
        if !films.is_empty() {
            scanned.passed_over.insert(LIVE.to_string(), films.len());
            films.iter().for_each(|film| drop(found.remove(film)));
        }
        let mut todo: Vec<Found> = found
            .iter()
            .filter(|(path, file)| !known.is_known(path, file, options.again, &mut scanned))
            .map(|(path, file)| Found { path: path_of(path), file: file.clone() })
            .collect();
        // By its own path, and by the one that was said: what is known by one that leads through links has moved.
        let own = folders.iter().filter_map(|f| real(f).ok());
        let roots: Vec<PathBuf> = own.chain(folders.iter().filter_map(|f| std::path::absolute(f).ok())).collect();
        known.miss(&roots, &closed, &found);
        known.note_adrift(&roots, &todo);
        let (all, done) = (todo.len(), AtomicUsize::new(0));
        told(0, all, 0);
        // What becomes of some is known when the others have been read.
        while !todo.is_empty() {
            let mut waiting: BTreeSet<String> = todo.iter().map(|found| found.file.path.clone()).collect();
            let mut later = Vec::new();
            for together in todo.chunks(TOGETHER) {
                known.hear(self.said()?);
                let (state, faces) = (&known, scanned.faces);
                let read: Vec<Result<Came>> = together
                    .par_iter()
                    .map(|found| {
                        let read = state.read(engine, &options.limits, found);
                        told((done.fetch_add(1, Ordering::Relaxed) + 1).min(all), all, faces);
                        read
                    })
                    .collect();
                for (found, read) in together.iter().zip(read) {
                    waiting.remove(&found.file.path);
                    if known.take(found, read?, &waiting, &mut scanned) {
                        later.push(found.clone());
                    }
                }
                known.write(self)?;
            }
            todo = later;
        }
        known.settle(&mut scanned);
        known.write(self)?;
        scanned.photos += scanned.unchanged;
        scanned.seconds = start.elapsed().as_secs_f64();
        let looked = scanned.added + scanned.changed + scanned.looked_again;
        scanned.photos_per_second = looked as f64 / scanned.seconds.max(1e-9);
        Ok(scanned)
    }

    /// Looks through the folders; those that are not there, and why. A disk that is not plugged in keeps nobody from the
    /// others, and its photos are missing until it is there again.
    ///
    /// # Errors
    /// [`LibraryError::Folder`] where there is nothing to do: none of the folders is there, and nothing of them is known.
    fn walk_all(&self, folders: &[PathBuf], walked: &mut Walked) -> Result<Vec<(PathBuf, String)>> {
        let mut absent = Vec::new();
        for folder in folders {
            match real(folder) {
                Ok(root) => walk(&root, walked),
                Err(e) => absent.push((std::path::absolute(folder).unwrap_or_else(|_| folder.clone()), e.to_string())),
            }
        }
        if let Some((folder, reason)) = absent.first().filter(|_| absent.len() == folders.len()) {
            let photos = self.photos()?;
            let is_known =
                |folder: &Path| photos.values().flat_map(|p| &p.files).any(|f| path_of(&f.path).starts_with(folder));
            if !absent.iter().any(|(folder, _)| is_known(folder)) {
                return Err(LibraryError::Folder { path: spelled(folder), reason: reason.clone() }.into());
            }
        }
        Ok(absent)
    }

    /// Faces of which somebody has said something, or that are somebody's who was named or corrected.
    fn said(&self) -> Result<BTreeSet<u64>> {
        let groups = self.groups()?;
        let kept = groups.values().filter(|g| g.kept);
        Ok(kept.flat_map(|g| g.faces.iter().chain(&g.not)).copied().collect())
    }
}
