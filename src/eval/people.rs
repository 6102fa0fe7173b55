//! Labelled people: a folder that holds one folder of photos for each.

use std::path::{Path, PathBuf};

use crate::error::EvalError;
use crate::files::spelled;

/// Somebody, and their photos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name of the folder.
    pub name: String,
    /// The files in it, in order of their names.
    pub photos: Vec<PathBuf>,
}

/// Every photo of those people, with the number of its person.
pub(super) fn numbered(people: &[Person]) -> Vec<(usize, &Path)> {
    people
        .iter()
        .enumerate()
        .flat_map(|(number, p)| p.photos.iter().map(move |photo| (number, photo.as_path())))
        .collect()
}

/// The people of a folder, in order of their names; files whose name begins with a dot, and folders
/// without any file, are passed over.
///
/// # Errors
/// [`EvalError::Io`] when it cannot be read, [`EvalError::TooLittle`] when nobody is in it.
pub fn people_of(folder: &Path) -> Result<Vec<Person>, EvalError> {
    let mut people = Vec::new();
    for inner in entries(folder)?.into_iter().filter(|p| p.is_dir()) {
        let photos: Vec<PathBuf> = entries(&inner)?.into_iter().filter(|p| p.is_file()).collect();
        if !photos.is_empty() {
            let name = spelled(inner.file_name().unwrap_or_default());
            people.push(Person { name, photos });
        }
    }
    if people.is_empty() {
        let reason = format!("{}: no folder with photos in it, one a person", spelled(folder));
        return Err(EvalError::TooLittle { reason });
    }
    Ok(people)
}

/// The files of a folder and of those inside it, whoever is on them, in order; what begins with a dot, and links to folders,
/// are passed over.
///
/// # Errors
/// [`EvalError::Io`] when it cannot be read, [`EvalError::TooLittle`] when no file is in it.
pub fn photos_under(folder: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let (mut folders, mut photos) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(next) = folders.pop() {
        for path in entries(&next)? {
            // A link to a folder could lead in circles; the folder that was named may be one.
            match path.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
                true => folders.push(path),
                false if path.is_file() => photos.push(path),
                false => {}
            }
        }
    }
    if photos.is_empty() {
        return Err(EvalError::TooLittle { reason: format!("{}: no photo is in it", spelled(folder)) });
    }
    photos.sort();
    Ok(photos)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let read = std::fs::read_dir(folder).and_then(|d| d.map(|e| e.map(|e| e.path())).collect());
    let mut paths: Vec<PathBuf> =
        read.map_err(|e: std::io::Error| EvalError::Io { path: spelled(folder), reason: e.to_string() })?;
    paths.retain(|p| !p.file_name().unwrap_or_default().to_string_lossy().starts_with('.'));
    paths.sort();
    Ok(paths)
}
