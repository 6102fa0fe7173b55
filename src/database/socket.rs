//! Where a database's local socket is: in its folder, however long the path to that is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::wire::SOCKET;

/// Longest path of a socket that every Unix takes: `sun_path` has 104 bytes on some, with the NUL at its end.
const LONGEST: usize = 103;

/// A way to the socket that is short enough, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Reach {
    folder: PathBuf,
    /// Kept open, where the path leads through it.
    _held: Option<File>,
}

impl Reach {
    /// The way to the socket of the database in `folder`. One whose path is too long is reached through the open
    /// folder, on systems that have `/proc`.
    ///
    /// # Errors
    /// When the folder cannot be opened, or there is no such way.
    pub(crate) fn to(folder: &Path) -> io::Result<Self> {
        // Room for the name that the socket has while it is made.
        let long = folder.as_os_str().as_bytes().len() + SOCKET.len() + 16 > LONGEST;
        if !long {
            return Ok(Self { folder: folder.to_path_buf(), _held: None });
        }
        let held = File::open(folder)?;
        let way = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        if !way.is_dir() {
            let why = format!("the path of {} is too long for a socket in it", folder.display());
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, why));
        }
        Ok(Self { folder: way, _held: Some(held) })
    }

    /// The socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    #[cfg(feature = "serve")]
    /// Another name in the same folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_socket_is_reached_however_deep_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        for deep in [folder.path().to_path_buf(), folder.path().join("d".repeat(100)).join("e".repeat(200))] {
            std::fs::create_dir_all(&deep).unwrap();
            let reach = Reach::to(&deep).unwrap();
            let listener = UnixListener::bind(reach.socket()).unwrap();
            drop(reach);
            assert!(deep.join(SOCKET).exists());
            UnixStream::connect(Reach::to(&deep).unwrap().socket()).unwrap();
            drop(listener);
            assert!(UnixStream::connect(Reach::to(&deep).unwrap().socket()).is_err(), "nobody listens");
        }
    }
}
