//! Reading and writing whole files, with the path in every error.

use std::fs;
use std::path::Path;

use crate::error::WeightsError;
use crate::files::{self, Audience};

pub(super) fn io_error(path: &Path) -> impl Fn(std::io::Error) -> WeightsError {
    let path = path.display().to_string();
    move |e| WeightsError::Io { path: path.clone(), reason: e.to_string() }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    fs::read(path).map_err(io_error(path))
}

/// Writes beside, syncs, renames: no reader ever sees half a file.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
    }
    files::write_whole(path, bytes, Audience::Umask).map_err(io_error(path))
}
