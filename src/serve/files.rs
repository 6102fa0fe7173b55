//! Small files that only their owner may read, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::error::ServeError;

pub(super) fn io(place: &Path, doing: &'static str, error: &std::io::Error) -> ServeError {
    ServeError::Io { place: place.display().to_string(), doing, reason: error.to_string() }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Options of a file that only its owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder that only its owner may look into, where there is none.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), ServeError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|e| io(folder, "making the folder", &e))
}

/// Writes beside, syncs, renames, and syncs the folder.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), ServeError> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = private()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if let Err(e) = written {
        let _ = fs::remove_file(&beside);
        return Err(io(path, "writing", &e));
    }
    sync_folder(path)
}

/// Makes the names in the file's folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), ServeError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Windows opens no folders, and needs none synced.
    if cfg!(windows) {
        return Ok(());
    }
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| io(folder, "syncing the folder", &e))
}
