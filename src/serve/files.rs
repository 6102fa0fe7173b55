//! What the service keeps in its own folder: files of mode 0600 in folders of mode 0700 under any umask, small ones
//! written whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self as stdio, Write};
use std::path::Path;

use crate::error::ServeError;

pub(super) fn io(place: &Path, doing: &'static str, error: &stdio::Error) -> ServeError {
    ServeError::Io { place: place.display().to_string(), doing, reason: error.to_string() }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Options of a file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
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
    let file = private().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    make_private(&file).map_err(failed)?;
    Ok(file)
}

/// Takes every right of others off a file.
fn make_private(file: &File) -> stdio::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o7777 != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// A file that was not there before and that only its owner may read; what a crash left under the name goes.
pub(super) fn create_private(path: &Path) -> stdio::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != stdio::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = private().read(true).write(true).create_new(true).open(path)?;
    make_private(&file)?;
    Ok(file)
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

/// Writes beside, syncs, renames, and syncs the folder.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), ServeError> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = create_private(&beside)
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
        // What a crash left under the temporary name lends its rights to nobody.
        let beside = loose.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&beside, "half").unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&loose, b"whole").unwrap();
        assert_eq!((mode(&loose), fs::read_to_string(&loose).unwrap()), (0o600, "whole".to_string()));
        let made = folder.path().join("a/b");
        make_private_folder(&made).unwrap();
        assert_eq!((mode(&made), mode(&folder.path().join("a"))), (0o700, 0o700));
    }
}
