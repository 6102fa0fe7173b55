//! Errors of the database: opening, reading, writing, damage.

use serde::{Deserialize, Serialize};

use super::{Lasting, lasting_text};

/// Why the database could not be used. `path` names its folder.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no database at that path, and none was to be made.
    #[error("{path}: there is no database here; enrol somebody or add a folder of photos first, or say --db FOLDER")]
    NotFound {
        /// The folder.
        path: String,
    },
    /// The folder holds something else.
    #[error("{path}: this is not a kith database ({found}); name an empty or a new folder")]
    NotADatabase {
        /// The folder.
        path: String,
        /// What is in the way.
        found: String,
    },
    /// What was to be made is there already, or something else in its place.
    #[error("{path}: there is {found} here already; name {wanted}")]
    Taken {
        /// The folder or file.
        path: String,
        /// What is there.
        found: String,
        /// What may be named instead.
        #[serde(deserialize_with = "lasting_text")]
        wanted: Lasting,
    },
    /// Another process has it open.
    #[error("{path}: in use by {holder}; one process opens a database at a time")]
    Locked {
        /// The folder.
        path: String,
        /// Process id, command and time, as the holder wrote them.
        holder: String,
    },
    /// A service has it open, and this cannot be done beside it.
    #[error("{path}: in use by {holder}, a service; this needs the database for itself: stop the service first")]
    Serving {
        /// The folder.
        path: String,
        /// Process id and command of the service.
        holder: String,
    },
    /// The service that has it open is of another version.
    #[error(
        "{path}: process {process} serves it as kith {service}, this is kith {command}; restart the service with this \
         version, or use that version's command"
    )]
    OtherVersion {
        /// The folder.
        path: String,
        /// The service's process id.
        process: u32,
        /// Its version.
        service: String,
        /// The command's version.
        command: String,
    },
    /// The service that has it open broke off.
    #[error("{path}: the service that has it open {reason}; what was not answered may be undone: run this again")]
    Connection {
        /// The folder.
        path: String,
        /// What it did.
        reason: String,
    },
    /// What the service that has it open answered, of another area than the database's.
    #[error("{text}")]
    Answered {
        /// The error's code.
        #[serde(deserialize_with = "lasting_text")]
        code: Lasting,
        /// Its text.
        text: String,
    },
    /// The file system refused.
    #[error("{path}: {doing}: {reason}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was being done.
        #[serde(deserialize_with = "lasting_text")]
        doing: Lasting,
        /// What the operating system said.
        reason: String,
    },
    /// There is no room on the disk. Nothing was changed.
    #[error("{path}: there is no room left on the disk ({doing}); nothing was changed: make room and try again")]
    Full {
        /// The file or folder.
        path: String,
        /// What was being done.
        #[serde(deserialize_with = "lasting_text")]
        doing: Lasting,
    },
    /// The database can be read, and not be written.
    #[error("{path}: the database is read-only here ({reason}); make the folder writable to change it")]
    ReadOnly {
        /// The folder.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// A newer program wrote it.
    #[error("{path}: format version {found} is newer than this program's {known}; update kith, nothing was changed")]
    TooNew {
        /// The folder.
        path: String,
        /// Its version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// Bytes are not what was written.
    #[error("{path}: damaged: {what}; `kith check --repair` keeps what is sound, or restore a backup")]
    Damaged {
        /// The folder or file.
        path: String,
        /// What was found.
        what: String,
    },
    /// A repair found nothing to put a database together from. Nothing was changed.
    #[error("{path}: damaged beyond repair: {what}; nothing was changed: restore a backup")]
    BeyondRepair {
        /// The folder or file.
        path: String,
        /// What was found.
        what: String,
    },
    /// The database on disk is older than what was acknowledged.
    #[error(
        "{path}: {lost} acknowledged writes are missing (the records end at write {found}, write {acknowledged} was \
         acknowledged); restore a backup, or accept the loss with `kith check --repair`"
    )]
    Lost {
        /// The folder.
        path: String,
        /// How many.
        lost: u64,
        /// The last write in the records.
        found: u64,
        /// The last write acknowledged.
        acknowledged: u64,
    },
    /// An earlier write failed half-way, so nothing more is written.
    #[error("{path}: an earlier write did not reach the disk ({reason}); open the database again")]
    Poisoned {
        /// The folder.
        path: String,
        /// The first failure.
        reason: String,
    },
    /// It is encrypted, and no key was given.
    #[error("{path}: this database is encrypted; give its key with --key-file, --key-command or $KITH_KEY")]
    KeyNeeded {
        /// The folder.
        path: String,
    },
    /// The key is another's.
    #[error("{path}: the key does not open this key ring; nothing was changed")]
    WrongKey {
        /// The key ring.
        path: String,
    },
    /// A key was given for what is not encrypted.
    #[error(
        "{path}: this database is not encrypted, and a key was given; leave the key away, or encrypt it with `kith rekey`"
    )]
    NotEncrypted {
        /// The folder.
        path: String,
    },
    /// A key cannot be used. Nothing of it is repeated here.
    #[error("the key cannot be used: {reason}; `kith key new FILE` makes one")]
    BadKey {
        /// Why.
        reason: String,
    },
    /// The key ring is not there or cannot be used.
    #[error("{path}: the key ring {what}; put the newest copy of it there (`kith backup --ring` makes one)")]
    NoRing {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// What is to be written would take the place of something else.
    #[error("{path}: {reason}; nothing was written: name another file")]
    BadTarget {
        /// The file.
        path: String,
        /// What is there, or why nothing may be.
        #[serde(deserialize_with = "lasting_text")]
        reason: Lasting,
    },
    /// A backup or export is not one, or is cut short.
    #[error("{path}: not a whole kith {kind}: {reason}")]
    BadArchive {
        /// The file.
        path: String,
        /// `backup` or `export`.
        #[serde(deserialize_with = "lasting_text")]
        kind: Lasting,
        /// Where it departs.
        reason: String,
    },
}

impl StoreError {
    /// The file or folder that it is about.
    pub(crate) fn path_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::NotFound { path }
            | Self::NotADatabase { path, .. }
            | Self::Taken { path, .. }
            | Self::Locked { path, .. }
            | Self::Serving { path, .. }
            | Self::OtherVersion { path, .. }
            | Self::Connection { path, .. }
            | Self::Io { path, .. }
            | Self::Full { path, .. }
            | Self::ReadOnly { path, .. }
            | Self::TooNew { path, .. }
            | Self::Damaged { path, .. }
            | Self::BeyondRepair { path, .. }
            | Self::Lost { path, .. }
            | Self::Poisoned { path, .. }
            | Self::KeyNeeded { path }
            | Self::WrongKey { path }
            | Self::NotEncrypted { path }
            | Self::NoRing { path, .. }
            | Self::BadTarget { path, .. }
            | Self::BadArchive { path, .. } => Some(path),
            Self::Answered { .. } | Self::BadKey { .. } => None,
        }
    }

    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "store.not_found",
            Self::NotADatabase { .. } => "store.not_a_database",
            Self::Taken { .. } => "store.taken",
            Self::Locked { .. } => "store.locked",
            Self::Serving { .. } => "store.serving",
            Self::OtherVersion { .. } => "store.other_version",
            Self::Connection { .. } => "store.connection",
            Self::Answered { code, .. } => code,
            Self::Io { .. } => "store.io",
            Self::Full { .. } => "store.full",
            Self::ReadOnly { .. } => "store.read_only",
            Self::TooNew { .. } => "store.too_new",
            Self::Damaged { .. } => "store.damaged",
            Self::BeyondRepair { .. } => "store.beyond_repair",
            Self::Lost { .. } => "store.lost",
            Self::Poisoned { .. } => "store.poisoned",
            Self::KeyNeeded { .. } => "store.key_needed",
            Self::WrongKey { .. } => "store.wrong_key",
            Self::NotEncrypted { .. } => "store.not_encrypted",
            Self::BadKey { .. } => "store.bad_key",
            Self::NoRing { .. } => "store.no_ring",
            Self::BadTarget { .. } => "store.bad_target",
            Self::BadArchive { .. } => "store.bad_archive",
        }
    }
}
