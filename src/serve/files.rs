//! What the service keeps in its own folder: `crate::files`, with the service's errors, and no links.

use std::fs::{self, File, Metadata};
use std::io as stdio;
use std::path::Path;

use crate::error::ServeError;
use crate::files::{self, Audience};

pub(super) fn io(place: &Path, doing: &'static str, error: &stdio::Error) -> ServeError {
    ServeError::Io { place: place.display().to_string(), doing, reason: error.to_string() }
}

/// What tells a file from every other on this machine, whatever its name; nothing where the system has no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(Option<(u64, u64)>);

impl Identity {
    pub(super) fn of(facts: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            Some((facts.dev(), facts.ino()))
        };
        #[cfg(not(unix))]
        let identity = {
            let _ = facts;
            None
        };
        Self(identity)
    }
}

/// Opens a file for reading and writing, and makes it where there is none. One that others could read, from before
/// or from a copy, is made private; a symbolic link is refused, since what it leads to is not the service's own.
pub(super) fn open_private(path: &Path) -> Result<File, ServeError> {
    let failed = |e: stdio::Error| io(path, "opening", &e);
    if fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_symlink()) {
        let reason = "this is a symbolic link; name the folder that is meant with --state FOLDER".to_string();
        return Err(ServeError::Io { place: path.display().to_string(), doing: "opening", reason });
    }
    files::open_private(path).map_err(failed)
}

/// A file that was not there before and that only its owner may read; what a crash left under the name goes.
pub(super) fn create_private(path: &Path) -> stdio::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != stdio::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    files::create(path, Audience::Owner)
}

/// Makes a folder that only its owner may look into, where there is none, and those above it likewise. One that is there
/// keeps its rights: it may be one that others use too; the files in it are private all the same.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), ServeError> {
    let failed = |e: stdio::Error| io(folder, "making the folder", &e);
    if !folder.is_dir() {
        if let Some(above) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
            make_private_folder(above)?;
        }
        match private_folder().create(folder) {
            Ok(()) => own(folder).map_err(failed)?,
            // Another process was faster.
            Err(e) if e.kind() == stdio::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(())
}

fn private_folder() -> fs::DirBuilder {
    #[allow(unused_mut)] // where there are no such rights
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Gives the owner what the umask may have taken.
fn own(folder: &Path) -> stdio::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Whether others may write into a folder, and so replace what is in it.
pub(super) fn is_open_to_others(folder: &Path) -> bool {
    #[cfg(unix)]
    return fs::metadata(folder).is_ok_and(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()) & 0o022 != 0);
    #[cfg(not(unix))]
    {
        let _ = folder;
        false
    }
}

/// Writes a file whole or not at all, and its name durably.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), ServeError> {
    files::write_whole(path, bytes, Audience::Owner).map_err(|e| io(path, "writing", &e))?;
    sync_folder(path)
}

/// Makes the names in the file's folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), ServeError> {
    let folder = files::folder_of(path);
    files::sync_folder(folder).map_err(|e| io(folder, "syncing the folder", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn files_from_before_are_made_private_and_links_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let folder = tempfile::tempdir().unwrap();
        let (loose, link) = (folder.path().join("loose"), folder.path().join("link"));
        fs::write(&loose, "kept").unwrap();
        fs::set_permissions(&loose, fs::Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::symlink(&loose, &link).unwrap();
        assert!(open_private(&link).unwrap_err().to_string().contains("symbolic link"));
        assert_eq!(mode(&loose), 0o666);
        open_private(&loose).unwrap();
        assert_eq!((mode(&loose), fs::read_to_string(&loose).unwrap()), (0o600, "kept".to_string()));
        write_private(&loose, b"whole").unwrap();
        assert_eq!((mode(&loose), fs::read_to_string(&loose).unwrap()), (0o600, "whole".to_string()));
        let made = folder.path().join("a/b");
        make_private_folder(&made).unwrap();
        assert_eq!((mode(&made), mode(&folder.path().join("a"))), (0o700, 0o700));
    }
}
