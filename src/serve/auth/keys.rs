//! API keys: made, listed and revoked in one file beside the database, and looked up by the service.
//!
//! A key is `kith_ID_SECRET`: an id of 8 hex digits that logs may show, and 256 random bits as 64 hex
//! digits, shown once. The file holds the SHA-256 of the secret. A slow hash would add nothing: 256 random
//! bits cannot be guessed from their digest. The service looks at the file's time, size and number on every
//! request, so that a revocation holds from the next request on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::files::{hex, io, make_private_folder, private, write_private};
use crate::error::ServeError;

/// Name of the file in the service's folder.
const KEYS: &str = "keys.json";
/// Held while the file is changed.
const LOCK: &str = "keys.lock";
const VERSION: u32 = 1;
/// What every key starts with, so that leaked ones can be searched for.
const PREFIX: &str = "kith_";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Enrol, rename, merge, label and forget.
    Enroll,
    /// Identify, verify, compare, detect, embed, search.
    Identify,
    /// Ask for access decisions.
    Decide,
    /// List and look at people, galleries, calibration and statistics.
    Read,
}

impl Role {
    /// Every role, by its name.
    pub const NAMES: [(&str, Role); 5] = [
        ("admin", Role::Admin),
        ("enroll", Role::Enroll),
        ("identify", Role::Identify),
        ("decide", Role::Decide),
        ("read", Role::Read),
    ];

    /// The role's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, r)| *r == self).map_or("", |(name, _)| name)
    }
}

/// A key as it is kept: everything but the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The part of the key that is no secret.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the secret part, in hex digits.
    sha256: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// The galleries that it may do it in; all, when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub galleries: Option<BTreeSet<String>>,
    /// When it was made: milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// Requests a second, in place of the service's bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Requests at once, in place of the service's bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<usize>,
}

impl ApiKey {
    /// Whether it opens anything at that time.
    pub fn is_valid_at(&self, ms: u64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|end| ms < end)
    }
}

/// A key to make.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// The galleries that it may do it in; all, when not said.
    pub galleries: Option<BTreeSet<String>>,
    /// When it ends: milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Requests a second, in place of the service's bound.
    pub rate: Option<f64>,
    /// Requests at once, in place of the service's bound.
    pub concurrent: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    keys: Vec<ApiKey>,
}

/// The file of keys, for whoever looks after it.
///
/// ```
/// use kith::serve::{KeyFile, NewKey, Role};
/// let folder = tempfile::tempdir().unwrap();
/// let file = KeyFile::in_folder(folder.path());
/// let new = NewKey { name: "front door".into(), roles: [Role::Decide].into(), ..NewKey::default() };
/// let (kept, secret) = file.add(new)?;
/// assert!(secret.starts_with("kith_") && file.list()? == [kept]);
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

pub(in super::super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl KeyFile {
    /// The file of the service whose folder this is. It need not be there yet.
    pub fn in_folder(state: impl AsRef<Path>) -> Self {
        Self { path: state.as_ref().join(KEYS) }
    }

    /// Every key, revoked and expired ones too.
    ///
    /// # Errors
    /// [`ServeError::Io`], [`ServeError::Malformed`].
    pub fn list(&self) -> Result<Vec<ApiKey>, ServeError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io(&self.path, "reading", &e)),
        };
        let malformed = |what: String| ServeError::Malformed { path: self.path.display().to_string(), what };
        let content: Content =
            serde_json::from_str(&text).map_err(|e| malformed(format!("not a file of keys: {e}; restore a copy")))?;
        if content.version != VERSION {
            return Err(malformed(format!("version {}, this program reads {VERSION}; update kith", content.version)));
        }
        Ok(content.keys)
    }

    /// Makes a key: what is kept of it, and the key itself, which is nowhere else.
    ///
    /// # Errors
    /// [`ServeError::Io`], [`ServeError::Malformed`], [`ServeError::BadOption`] for a key without a role.
    pub fn add(&self, new: NewKey) -> Result<(ApiKey, Zeroizing<String>), ServeError> {
        let bad = |option: &str, received: String, expected: &str| ServeError::BadOption {
            option: option.to_string(),
            received,
            expected: expected.to_string(),
        };
        if new.roles.is_empty() {
            return Err(bad("role", "not said".to_string(), "a key needs at least one role"));
        }
        if new.name.trim().is_empty() || new.name.len() > 200 || new.name.chars().any(char::is_control) {
            return Err(bad("name", format!("{:?}", new.name), "1 to 200 bytes without control characters"));
        }
        if new.rate.is_some_and(|r| !(r > 0.0 && r.is_finite())) {
            return Err(bad("rate", format!("{:?}", new.rate), "requests a second, above 0"));
        }
        if new.concurrent == Some(0) {
            return Err(bad("concurrent", "0".to_string(), "at least 1"));
        }
        let drawn = |bytes: &mut [u8]| {
            getrandom::fill(bytes).map_err(|e| ServeError::Io {
                place: "the operating system".to_string(),
                doing: "drawing random numbers",
                reason: e.to_string(),
            })
        };
        let mut secret = Zeroizing::new([0u8; 32]);
        drawn(secret.as_mut_slice())?;
        let secret = Zeroizing::new(hex(secret.as_slice()));
        self.change(|keys| {
            let id = loop {
                let mut id = [0u8; 4];
                drawn(&mut id)?;
                let id = hex(&id);
                if keys.iter().all(|k| k.id != id) {
                    break id;
                }
            };
            let key = ApiKey {
                id,
                name: new.name.trim().to_string(),
                sha256: hex(&Sha256::digest(secret.as_bytes())),
                roles: new.roles,
                galleries: new.galleries,
                created_ms: now_ms(),
                expires_ms: new.expires_ms,
                revoked_ms: None,
                rate: new.rate,
                concurrent: new.concurrent,
            };
            keys.push(key.clone());
            let shown = Zeroizing::new(format!("{PREFIX}{}_{}", key.id, secret.as_str()));
            Ok((key, shown))
        })
    }

    /// Revokes a key, from the next request on. One that was revoked before stays as it was.
    ///
    /// # Errors
    /// [`ServeError::UnknownKey`], [`ServeError::Io`], [`ServeError::Malformed`].
    pub fn revoke(&self, id: &str) -> Result<ApiKey, ServeError> {
        let path = self.path.display().to_string();
        self.change(|keys| {
            let unknown = || ServeError::UnknownKey { path: path.clone(), id: id.to_string() };
            let key = keys.iter_mut().find(|k| k.id == id).ok_or_else(unknown)?;
            key.revoked_ms.get_or_insert_with(now_ms);
            Ok(key.clone())
        })
    }

    fn change<T>(&self, edit: impl FnOnce(&mut Vec<ApiKey>) -> Result<T, ServeError>) -> Result<T, ServeError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        make_private_folder(folder)?;
        let lock = folder.join(LOCK);
        let held = private().write(true).create(true).truncate(false).open(&lock);
        let held = held.map_err(|e| io(&lock, "opening", &e))?;
        held.lock().map_err(|e| io(&lock, "locking", &e))?;
        let mut keys = self.list()?;
        let answer = edit(&mut keys)?;
        let text = serde_json::to_string_pretty(&Content { version: VERSION, keys }).map_err(|e| {
            ServeError::Malformed { path: self.path.display().to_string(), what: format!("cannot be written: {e}") }
        })?;
        write_private(&self.path, text.as_bytes())?;
        Ok(answer)
    }
}

/// What tells one state of the file from another without reading it.
type Stamp = Option<(SystemTime, u64, u64)>;

#[derive(Debug, Clone)]
struct Read {
    stamp: Stamp,
    /// `None` while the file cannot be read: nobody is let in then.
    keys: Option<Arc<Vec<ApiKey>>>,
}

/// The keys as the service sees them.
#[derive(Debug)]
pub(in super::super) struct Keys {
    file: KeyFile,
    read: RwLock<Read>,
    /// Whether the service was started without any key. The first key ends that for good.
    keyless: std::sync::atomic::AtomicBool,
}

/// What a presented key is.
#[derive(Debug)]
pub(in super::super) enum Standing {
    /// It may come in.
    Valid(ApiKey),
    /// It is none, or is no longer valid. Which of these is told to nobody.
    Refused,
    /// The file of keys cannot be read.
    Unreadable,
}

impl Keys {
    /// # Errors
    /// As [`KeyFile::list`].
    pub(in super::super) fn open(file: KeyFile) -> Result<Self, ServeError> {
        let stamp = stamp(&file.path);
        let keys = file.list()?;
        let keyless = keys.is_empty().into();
        Ok(Self { file, read: RwLock::new(Read { stamp, keys: Some(Arc::new(keys)) }), keyless })
    }

    fn current(&self) -> Option<Arc<Vec<ApiKey>>> {
        let now = stamp(&self.file.path);
        {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            if read.stamp == now {
                return read.keys.clone();
            }
        }
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        if read.stamp != now {
            let keys = self.file.list().map_err(|e| tracing::error!(error = %e, "the keys cannot be read")).ok();
            *read = Read { stamp: now, keys: keys.map(Arc::new) };
        }
        read.keys.clone()
    }

    /// Whether there is no key, so that whoever reaches the service may use it.
    pub(in super::super) fn keyless(&self) -> bool {
        use std::sync::atomic::Ordering;
        if !self.keyless.load(Ordering::Relaxed) {
            return false;
        }
        // A file that cannot be read, or that has a key now, ends it; one that vanished does not bring it back.
        if self.current().is_none_or(|keys| !keys.is_empty()) {
            self.keyless.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// What the text of a key is worth now.
    pub(in super::super) fn check(&self, presented: &str) -> Standing {
        let Some(keys) = self.current() else { return Standing::Unreadable };
        let Some((id, secret)) = presented.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
            return Standing::Refused;
        };
        let digest = hex(&Sha256::digest(secret.as_bytes()));
        let known = keys.iter().find(|k| k.id == id);
        // An unknown id takes the same comparison.
        let expected = known.map_or(EMPTY_DIGEST, |k| k.sha256.as_str());
        let right = bool::from(digest.as_bytes().ct_eq(expected.as_bytes()));
        match known {
            Some(key) if right && key.is_valid_at(now_ms()) => Standing::Valid(key.clone()),
            _ => Standing::Refused,
        }
    }

    /// The key of that id, where it is valid now.
    pub(in super::super) fn valid(&self, id: &str) -> Option<ApiKey> {
        self.current()?.iter().find(|k| k.id == id && k.is_valid_at(now_ms())).cloned()
    }
}

const EMPTY_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn stamp(path: &Path) -> Stamp {
    let facts = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&facts);
    #[cfg(not(unix))]
    let number = 0;
    Some((facts.modified().ok()?, facts.len(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewKey {
        NewKey { name: name.to_string(), roles: [Role::Read].into(), ..NewKey::default() }
    }

    #[test]
    fn a_key_opens_until_it_is_revoked_or_ends_and_is_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::in_folder(folder.path());
        let (kept, secret) = file.add(new("one")).unwrap();
        let keys = Keys::open(file.clone()).unwrap();
        assert!(matches!(keys.check(&secret), Standing::Valid(k) if k == kept));
        let text = fs::read_to_string(folder.path().join(KEYS)).unwrap();
        let bare = secret.rsplit_once('_').unwrap().1;
        assert!(bare.len() == 64 && !text.contains(bare), "the file holds the secret");

        for wrong in [
            String::new(),
            "kith_".to_string(),
            format!("kith_{}_{}", kept.id, "0".repeat(64)),
            format!("kith_00000000_{bare}"),
            bare.to_string(),
            format!("{}0", secret.as_str()),
        ] {
            assert!(matches!(keys.check(&wrong), Standing::Refused), "{wrong}");
        }
        // What another process writes counts at once.
        let (_, second) = file.add(NewKey { expires_ms: Some(now_ms() - 1), ..new("past") }).unwrap();
        assert!(matches!(keys.check(&second), Standing::Refused));
        assert!(keys.valid(&kept.id).is_some());
        file.revoke(&kept.id).unwrap();
        assert!(matches!(keys.check(&secret), Standing::Refused) && keys.valid(&kept.id).is_none());
        assert_eq!(file.revoke("ffffffff").unwrap_err().code(), "serve.unknown_key");
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::in_folder(folder.path());
        let keys = Keys::open(file.clone()).unwrap();
        assert!(keys.keyless());
        let (_, secret) = file.add(new("one")).unwrap();
        assert!(!keys.keyless());
        fs::write(folder.path().join(KEYS), "{").unwrap();
        assert!(matches!(keys.check(&secret), Standing::Unreadable));
        assert_eq!(file.add(new("two")).unwrap_err().code(), "serve.malformed");
        fs::remove_file(folder.path().join(KEYS)).unwrap();
        assert!(!keys.keyless() && matches!(keys.check(&secret), Standing::Refused));
    }

    #[test]
    fn a_key_that_could_do_nothing_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::in_folder(folder.path());
        let refused = [
            NewKey { roles: BTreeSet::new(), ..new("a") },
            new("  "),
            new("a\nb"),
            NewKey { rate: Some(0.0), ..new("a") },
            NewKey { concurrent: Some(0), ..new("a") },
        ];
        for key in refused {
            assert_eq!(file.add(key).unwrap_err().code(), "serve.bad_option");
        }
        assert!(file.list().unwrap().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        KeyFile::in_folder(&state).add(new("one")).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(KEYS))), (0o700, 0o600));
    }
}
