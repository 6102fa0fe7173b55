//! The facade [`Database`]: galleries that this process has open, or a running service that has them open and answers
//! for them over a local socket. Whoever holds it need not know which.
//!
//! The socket lies in the database's folder and is its owner's alone. A conversation (`wire`) carries the methods of
//! this facade one by one: what the networks do, and where a line is drawn between two people, stays with whoever
//! asks; only galleries are the service's.

#[cfg(all(unix, feature = "serve"))]
mod answer;
mod changing;
#[cfg_attr(not(unix), path = "nowhere.rs")]
mod connection;
mod forms;
mod library;
mod reading;
#[cfg(unix)]
mod socket;
mod turn;
mod whole;
#[cfg_attr(not(unix), allow(dead_code))] // there is no local socket to speak over
mod wire;

use std::path::Path;
use std::time::Duration;

#[cfg(all(unix, feature = "serve"))]
pub(crate) use answer::Conversation;
use connection::{Connection, server};
#[cfg(all(unix, feature = "serve"))]
pub(crate) use socket::Reach;
pub use turn::in_turn;
#[cfg(all(unix, feature = "serve"))]
pub(crate) use wire::{
    Claim, DONE, FAILED, Fault, HELLO, LARGEST_REQUEST, PROGRESS, REQUEST, Request, SOCKET, begin, decode, encode,
    rest, send,
};

use crate::error::Result;
#[cfg(all(unix, feature = "serve"))]
pub(crate) use crate::gallery::Nearest;
use crate::gallery::{self, BackupReport, DatabaseOptions, DatabaseStats};
use crate::store::MasterKey;
use crate::vector::ModelId;
use wire::Request as Ask;

/// An open database: galleries of people. Shared by threads; every method takes `&self`.
///
/// ```
/// use kith::{Database, DatabaseOptions};
/// let folder = tempfile::tempdir().unwrap();
/// let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default())?;
/// assert!(database.galleries().is_empty());
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug)]
pub struct Database(Home);

/// Where the galleries are. One of these is made in a process's life, so their sizes may differ.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
enum Home {
    /// In this process.
    Here(gallery::Database),
    /// In the service's.
    There(Connection),
}

use Home::{Here, There};

/// A write that is in memory and in the store's log, and not yet on disk for good.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is acknowledged before it is settled"]
pub struct Pending(Option<gallery::Pending>);

fn text(text: &str) -> String {
    text.to_string()
}

impl Database {
    /// Opens the database in a folder for this process alone, reads every record once and checks it.
    ///
    /// # Errors
    /// [`crate::error::StoreError`]: another process has it, a newer program wrote it, it is damaged or
    /// not a database. Nothing is changed then.
    pub fn open(path: impl AsRef<Path>, options: &DatabaseOptions) -> Result<Self> {
        Ok(Self(Here(gallery::Database::open(path, options)?)))
    }

    /// Opens the database in a folder, or joins the service that has it open (`kith serve`, or a program that calls
    /// `serve::run`), which then answers for it. While any other process has it, this waits its turn for as long as
    /// the options say; `told` hears once who that is, if it takes more than a moment.
    ///
    /// # Errors
    /// As [`Database::open`]; [`crate::error::StoreError::OtherVersion`] and
    /// [`crate::error::StoreError::Connection`] for a service that cannot be joined.
    pub fn join(path: impl AsRef<Path>, options: &DatabaseOptions, told: &dyn Fn(&str)) -> Result<Self> {
        let path = path.as_ref();
        let now = DatabaseOptions { wait: Duration::ZERO, ..options.clone() };
        let open = || Self::open(path, &now);
        turn::turn_or_service(options.wait, told, open, |_| {
            Ok(Connection::to(path, options.key.as_ref())?.map(|c| Self(There(c))))
        })
    }

    /// Makes a database in a new or empty folder out of a backup; out of an encrypted one with its master
    /// key and the newest copy of its key ring (the living database's own will do).
    ///
    /// # Errors
    /// [`crate::error::StoreError::BadArchive`] for a file that is not a whole backup,
    /// [`crate::error::StoreError::NotADatabase`] when something is in the folder, and those of keys.
    pub fn restore(
        file: impl AsRef<Path>,
        folder: impl AsRef<Path>,
        key: Option<&MasterKey>,
        ring: Option<&Path>,
    ) -> Result<BackupReport> {
        gallery::Database::restore(file, folder, key, ring)
    }

    /// Gives a database another master key, encrypts it (`options.key` is none), or makes it plain (`new`
    /// is none). With another master key the data keys stay, and backups taken before open with the new
    /// ring.
    ///
    /// # Errors
    /// A [`crate::error::StoreError`]; the database is then as it was.
    pub fn rekey(path: impl AsRef<Path>, options: &DatabaseOptions, new: Option<&MasterKey>) -> Result<()> {
        gallery::Database::rekey(path, options, new)
    }

    /// The folder, where the galleries are in this process.
    #[cfg(all(unix, feature = "serve"))]
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.here().map(gallery::Database::folder)
    }

    /// The galleries, where they are in this process.
    #[cfg(all(unix, feature = "serve"))]
    fn here(&self) -> Option<&gallery::Database> {
        match &self.0 {
            Here(d) => Some(d),
            There(_) => None,
        }
    }

    /// Number of the last write, where the galleries are in this process. Waits for nothing.
    #[cfg(feature = "serve")]
    pub(crate) fn writes(&self) -> u64 {
        match &self.0 {
            Here(d) => d.writes(),
            There(_) => 0,
        }
    }

    /// What names are compared by: two of them are one person's where this is the same.
    ///
    /// ```
    /// assert_eq!(kith::Database::name_key("Jos\u{e9}"), kith::Database::name_key(" JOSE\u{301}"));
    /// ```
    pub fn name_key(name: &str) -> String {
        gallery::name_key(name).into_owned()
    }

    /// Whether a text may be called by: as a person's name may, but for the words that are kept for nobody.
    pub fn is_name(text: &str) -> bool {
        gallery::is_name(text)
    }

    /// A name as it can be printed in a line of text: characters that cannot be seen, or that would turn or break the
    /// line, by their numbers, as in `\u{202e}`. It is found by this text too.
    pub fn name_shown(name: &str) -> String {
        gallery::shown_name(name).into_owned()
    }

    /// What had to be set right when the database was opened, one sentence each: records made again from the journal,
    /// a forgetting that had been interrupted. What a service found is the service's to say.
    pub fn notes(&self) -> &[String] {
        match &self.0 {
            Here(d) => d.notes(),
            There(_) => &[],
        }
    }

    /// Why nothing can be written at present, if so: the disk is full, or a write has failed half-way. A disk that has
    /// room again is noticed by this call. What a service meets is the service's to say.
    pub fn trouble(&self) -> Option<crate::error::Error> {
        match &self.0 {
            Here(d) => d.trouble(),
            There(_) => None,
        }
    }

    /// Why the database cannot be changed, where its disk may only be read.
    pub fn read_only(&self) -> Option<&str> {
        match &self.0 {
            Here(d) => d.read_only(),
            There(_) => None,
        }
    }

    /// Names of the galleries. None where the service that has them has gone: the next call says so.
    pub fn galleries(&self) -> Vec<String> {
        match &self.0 {
            Here(d) => d.galleries(),
            There(c) => c.ask(&Ask::Galleries).unwrap_or_default(),
        }
    }

    /// Statistics of the database.
    ///
    /// # Errors
    /// [`crate::error::StoreError::Io`].
    pub fn stats(&self) -> Result<DatabaseStats> {
        match &self.0 {
            Here(d) => d.stats(),
            There(c) => {
                let stats: DatabaseStats = c.ask(&Ask::Stats)?;
                Ok(DatabaseStats { path: c.folder().to_path_buf(), ..stats })
            }
        }
    }

    /// The model of a gallery's faces; `None` where there is no such gallery.
    pub fn model_of(&self, gallery: &str) -> Option<ModelId> {
        match &self.0 {
            Here(d) => d.model_of(gallery),
            // Without the service there is none either, and the next call says so.
            There(c) => c.ask(&Ask::ModelOf { gallery: text(gallery) }).ok().flatten(),
        }
    }

    /// The detector of most of a gallery's faces; `None` where there is no such gallery, or no detector is known.
    pub fn detector_of(&self, gallery: &str) -> Option<String> {
        match &self.0 {
            Here(d) => d.detector_of(gallery),
            There(c) => c.ask(&Ask::DetectorOf { gallery: text(gallery) }).ok().flatten(),
        }
    }
}
