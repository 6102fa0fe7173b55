//! How files come into being: whole or not at all, and for their owner alone where they hold templates. Also hexadecimal
//! text, and the time that records are stamped with.

mod hex;
mod secret;
mod spelled;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub use hex::{hex, unhex};
pub use secret::Secret;
#[cfg(feature = "cli")]
pub use spelled::typed;
pub use spelled::{as_text, path_of, real_path, spelled};

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Its owner alone (mode 0600), whatever the umask is.
    Owner,
    /// Whom the umask lets.
    Umask,
}

/// Writes a file beside its place, syncs it and renames it there: a reader never sees half a file, and a failure
/// leaves what was there before. The name itself is durable only after [`sync_folder`].
///
/// # Errors
/// What the file system says.
pub fn write_whole(path: &Path, bytes: &[u8], audience: Audience) -> io::Result<()> {
    put_whole(path, audience, |file| file.write_all(bytes))
}

/// [`write_whole`] for what is written piece by piece.
///
/// # Errors
/// What the file system or `write` says.
pub fn put_whole(path: &Path, audience: Audience, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let beside = beside(path)?;
    let written = create(&beside, audience)
        .and_then(|mut file| write(&mut file).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A new, empty file, open for reading and writing.
///
/// # Errors
/// What the file system says; `AlreadyExists` where there is one.
pub fn create(path: &Path, audience: Audience) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    private(&mut options, audience);
    let file = options.open(path)?;
    if audience == Audience::Owner {
        make_private(&file)?;
    }
    Ok(file)
}

/// Gives a file mode 0600, whatever it had or the umask left of it.
fn make_private(file: &File) -> io::Result<()> {
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

#[cfg(unix)]
fn private(options: &mut OpenOptions, audience: Audience) {
    use std::os::unix::fs::OpenOptionsExt;
    if audience == Audience::Owner {
        options.mode(0o600);
    }
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions, _: Audience) {}

/// Opens a file for reading and writing, and makes it where there is none. It is its owner's alone then, also one that
/// others could read, from before or from a copy.
///
/// # Errors
/// What the file system says.
pub fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options, Audience::Owner);
    let file = options.open(path)?;
    make_private(&file)?;
    Ok(file)
}

/// Makes a folder and those above it that are missing, the new ones for their owner alone (mode 0700).
///
/// # Errors
/// What the file system says.
pub fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Takes a file, or a folder with all that is in it, from everybody but its owner. Links are not followed.
///
/// # Errors
/// What the file system says of the first that it refuses.
pub fn restrict(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Ok(());
    }
    keep_for_owner(path, &found)?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            match restrict(&entry?.path()) {
                // Another thread may have removed it since.
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn keep_for_owner(path: &Path, found: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let wanted = if found.is_dir() { 0o700 } else { 0o600 };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(wanted))
}

#[cfg(not(unix))]
fn keep_for_owner(_: &Path, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Makes the names in a folder durable.
///
/// # Errors
/// What the file system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix lets a folder be opened and synced; elsewhere the file system keeps its own order.
    if cfg!(unix) { File::open(folder).and_then(|f| f.sync_all()) } else { Ok(()) }
}

/// Removes a file so that its room is free at once, also while somebody has it open: a process that another thread is
/// starting has a copy of every descriptor for a moment. Whether there was one.
pub fn free(path: &Path) -> bool {
    // Truncating frees the blocks, removing only the name.
    let _ = OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0));
    fs::remove_file(path).is_ok()
}

/// Takes room on the disk for a file's first `length` bytes; false where the file system cannot but by writing them.
///
/// # Errors
/// What the file system says, `StorageFull` above all.
pub fn allocate(file: &File, length: u64) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    return match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
        Err(e) => Err(e.into()),
    };
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, length);
        Ok(false)
    }
}

/// Bytes that this user may still write to the disk of a file or folder; `None` where that cannot be told.
pub fn room(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(path).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Milliseconds since 1970; 0 before that.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name beside `path` that no other thread or process uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::other("there is no file name"))?;
    let mut beside = name.to_os_string();
    beside.push(format!(".{}-{}.tmp", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
    let beside = path.with_file_name(beside);
    // A process that was killed may have had this number, and left its file.
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(beside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_whole(&path, b"before", Audience::Umask).unwrap();
        let failed = put_whole(&path, Audience::Umask, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(Path::new("/"), b"", Audience::Owner).is_err());
    }

    #[test]
    fn what_is_freed_takes_no_room_though_it_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![1; 1 << 16]).unwrap();
        let open = File::open(&path).unwrap();
        assert!(free(&path) && !path.exists());
        assert_eq!(open.metadata().unwrap().len(), 0);
        assert!(!free(&path));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_private_is_its_owners_alone() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        let inside = folder.path().join("a/b");
        private_folder(&inside).unwrap();
        let file = inside.join("file");
        write_whole(&file, b"x", Audience::Owner).unwrap();
        assert_eq!((mode(&inside), mode(&file)), (0o700, 0o600));
        drop(open_private(&inside.join("other")).unwrap());
        assert_eq!(mode(&inside.join("other")), 0o600);
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, b"").unwrap();
        for path in [&elsewhere, &file] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o777)).unwrap();
        symlink(&elsewhere, inside.join("link")).unwrap();
        restrict(&inside).unwrap();
        assert_eq!((mode(&inside), mode(&file), mode(&elsewhere)), (0o700, 0o600, 0o666));
    }
}
