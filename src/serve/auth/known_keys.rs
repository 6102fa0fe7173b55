//! The keys as the service sees them: read again when their file changes, so that a revocation holds from the
//! next request on. The service looks at the file's time, size and number on every request.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::key::{ApiKey, PREFIX};
use super::key_file::KeyFile;
use crate::error::ServeError;
use crate::files::{hex, now_ms};

/// What tells one state of the file from another without reading it.
pub(in super::super) type Stamp = Option<(SystemTime, u64, u64)>;

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
    keyless: AtomicBool,
    /// The state of the file that the audit log says, as far as is known: none before it was first asked.
    noted: RwLock<Option<Stamp>>,
}

/// What a presented key is.
#[derive(Debug)]
pub(in super::super) enum Standing {
    /// It may come in.
    Valid(ApiKey),
    /// It is none, or is no longer valid. Which of these is told to nobody; the log gets the key whose id it names,
    /// where there is one.
    Refused(Option<ApiKey>),
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
        Ok(Self {
            file,
            read: RwLock::new(Read { stamp, keys: Some(Arc::new(keys)) }),
            keyless,
            noted: RwLock::default(),
        })
    }

    /// The file, for whoever makes, lists and revokes keys.
    pub(in super::super) fn file(&self) -> &KeyFile {
        &self.file
    }

    fn current(&self) -> Option<Arc<Vec<ApiKey>>> {
        self.latest().keys
    }

    fn latest(&self) -> Read {
        let now = stamp(&self.file.path);
        {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            if read.stamp == now {
                return read.clone();
            }
        }
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        if read.stamp != now {
            let keys = self.file.list().map_err(|e| tracing::error!(error = %e, "the keys cannot be read")).ok();
            *read = Read { stamp: now, keys: keys.map(Arc::new) };
        }
        read.clone()
    }

    /// The keys where the audit log may not say all of them yet, and the state of their file, for [`Keys::noted`]. A file
    /// that cannot be read lets nobody in, and is nothing to note.
    pub(in super::super) fn to_note(&self) -> Option<(Arc<Vec<ApiKey>>, Stamp)> {
        let Read { stamp, keys } = self.latest();
        let noted = *self.noted.read().unwrap_or_else(PoisonError::into_inner);
        keys.filter(|_| noted != Some(stamp)).map(|keys| (keys, stamp))
    }

    /// What [`Keys::to_note`] gave is in the audit log.
    pub(in super::super) fn noted(&self, state: Stamp) {
        *self.noted.write().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// Whether there is no key, so that whoever reaches the service may use it.
    pub(in super::super) fn keyless(&self) -> bool {
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
            return Standing::Refused(None);
        };
        let digest = hex(&Sha256::digest(secret.as_bytes()));
        let known = keys.iter().find(|k| k.id == id);
        // An unknown id takes the same comparison.
        let expected = known.map_or(EMPTY_DIGEST, |k| k.sha256.as_str());
        let right = bool::from(digest.as_bytes().ct_eq(expected.as_bytes()));
        match known {
            Some(key) if right && key.is_valid_at(now_ms()) => Standing::Valid(key.clone()),
            known => Standing::Refused(known.cloned()),
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
    use super::super::key_file::KEYS;
    use super::super::{NewKey, Role};
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
            assert!(matches!(keys.check(&wrong), Standing::Refused(_)), "{wrong}");
        }
        // What another process writes counts at once.
        let (ends, second) = file.add(NewKey { expires_ms: Some(now_ms() + 3_600_000), ..new("hour") }).unwrap();
        assert!(matches!(keys.check(&second), Standing::Valid(k) if k == ends));
        let text = fs::read_to_string(folder.path().join(KEYS)).unwrap();
        let over = text.replace(&ends.expires_ms.unwrap().to_string(), &(now_ms() - 1).to_string());
        fs::write(folder.path().join(KEYS), over).unwrap();
        assert!(matches!(keys.check(&second), Standing::Refused(_)));
        assert!(keys.valid(&kept.id).is_some());
        file.revoke(&kept.id).unwrap();
        assert!(matches!(keys.check(&secret), Standing::Refused(_)) && keys.valid(&kept.id).is_none());
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
        assert!(!keys.keyless() && matches!(keys.check(&secret), Standing::Refused(_)));
    }
}
