//! The file of keys beside the database: keys are made, listed and revoked in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::super::files::{io, make_private_folder, open_private, write_private};
use super::key::{ApiKey, NewKey, PREFIX};
use crate::error::ServeError;
use crate::files::{Secret, hex, now_ms};

/// Name of the file in the service's folder.
pub(super) const KEYS: &str = "keys.json";
/// Held while the file is changed.
const LOCK: &str = "keys.lock";
const VERSION: u32 = 1;

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
    pub(super) path: PathBuf,
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
    /// [`ServeError::Io`], [`ServeError::Malformed`], [`ServeError::BadOption`] for a key that could do nothing.
    pub fn add(&self, new: NewKey) -> Result<(ApiKey, Secret), ServeError> {
        self.add_noted(new, |_| Ok(()))
    }

    /// [`KeyFile::add`], which shows all keys as they are going to be to `note` first, and does nothing where that fails.
    pub(in super::super) fn add_noted(
        &self,
        new: NewKey,
        note: impl FnOnce(&[ApiKey]) -> Result<(), ServeError>,
    ) -> Result<(ApiKey, Secret), ServeError> {
        new.check()?;
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
        let make = |keys: &mut Vec<ApiKey>| {
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
            let shown = Secret::new(format!("{PREFIX}{}_{}", key.id, secret.as_str()));
            Ok((key, shown))
        };
        self.change(make, note)
    }

    /// Revokes a key, from the next request on. One that was revoked before stays as it was.
    ///
    /// # Errors
    /// [`ServeError::UnknownKey`], [`ServeError::Io`], [`ServeError::Malformed`].
    pub fn revoke(&self, id: &str) -> Result<ApiKey, ServeError> {
        let path = self.path.display().to_string();
        let revoke = |keys: &mut Vec<ApiKey>| {
            let unknown = || ServeError::UnknownKey { path: path.clone(), id: id.to_string() };
            let key = keys.iter_mut().find(|k| k.id == id).ok_or_else(unknown)?;
            key.revoked_ms.get_or_insert_with(now_ms);
            Ok(key.clone())
        };
        self.change(revoke, |_| Ok(()))
    }

    fn change<T>(
        &self,
        edit: impl FnOnce(&mut Vec<ApiKey>) -> Result<T, ServeError>,
        note: impl FnOnce(&[ApiKey]) -> Result<(), ServeError>,
    ) -> Result<T, ServeError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        make_private_folder(folder)?;
        let lock = folder.join(LOCK);
        let held = open_private(&lock)?;
        held.lock().map_err(|e| io(&lock, "locking", &e))?;
        let mut keys = self.list()?;
        let answer = edit(&mut keys)?;
        note(&keys)?;
        let text = serde_json::to_string_pretty(&Content { version: VERSION, keys }).map_err(|e| {
            ServeError::Malformed { path: self.path.display().to_string(), what: format!("cannot be written: {e}") }
        })?;
        write_private(&self.path, text.as_bytes())?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Role;
    use super::*;

    fn new(name: &str) -> NewKey {
        NewKey { name: name.to_string(), roles: [Role::Read].into(), ..NewKey::default() }
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
            NewKey { rate: Some(f64::NAN), ..new("a") },
            NewKey { rate: Some(1e-300), ..new("a") },
            NewKey { rate: Some(f64::INFINITY), ..new("a") },
            NewKey { concurrent: Some(0), ..new("a") },
            NewKey { concurrent: Some(usize::MAX), ..new("a") },
            NewKey { expires_ms: Some(now_ms() - 1), ..new("a") },
            NewKey { expires_ms: Some(u64::MAX), ..new("a") },
            NewKey { galleries: Some(BTreeSet::new()), ..new("a") },
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
