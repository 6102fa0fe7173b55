//! Backups: every entry of a database in one file, as it is stored: what is sealed stays sealed, and the
//! key ring is not in it. So a backup of an encrypted database opens with the ring and the master key
//! alone, and whoever was forgotten since has no key in the ring any more.
//!
//! | size | what |
//! | --- | --- |
//! | 8 | `kithbak1` |
//! | 4, 4, k, v | for each entry: length of the key `k` and of the value `v` (little-endian), key, value |
//! | 4 | `ff ff ff ff`, the end of the entries |
//! | 8 | number of entries, little-endian |
//! | 32 | SHA-256 of everything before |

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::durable::{io, sync_folder};
use super::lock::Lock;
use super::open::{Current, fill, finish, first_records, first_ring, open_sled, point_to, put_head};
use super::ring::Ring;
use super::witness::Witness;
use super::{DataKey, Key, MasterKey, Store, codec, migrate, records};
use crate::error::StoreError;

const MAGIC: &[u8; 8] = b"kithbak1";
const END: u32 = u32::MAX;
/// No key or value is longer.
const LONGEST: u32 = 8 << 20;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Archived {
    /// Entries in it.
    pub entries: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Entries that were left out on restoring, since the ring has no key for them any more.
    pub forgotten: u64,
}

impl Store {
    /// Writes every entry, as of one moment, to `path`, and the key ring of an encrypted database to
    /// `ring`, where that is named. Writers wait, readers go on. Each file appears whole or not at all, in
    /// place of the one that was there.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub(crate) fn backup(&self, path: &Path, ring: Option<&Path>) -> Result<Archived, StoreError> {
        let _turn = self.writer()?;
        if let Some(copy) = ring {
            let none = || StoreError::NotEncrypted { path: self.folder.display().to_string() };
            self.with_ring(|ring| ring.ok_or_else(none)?.copy_as_is(copy))?;
        }
        let failed = |e: std::io::Error| io(path, "writing the backup", &e);
        let mut beside = path.file_name().unwrap_or_default().to_os_string();
        beside.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(beside);
        let written = (|| {
            let mut out =
                Hashed { inner: BufWriter::new(File::create(&beside).map_err(failed)?), sha: Sha256::new(), bytes: 0 };
            out.write_all(MAGIC).map_err(failed)?;
            let (mut entries, mut fault, mut refused) = (0u64, None, None);
            self.raw(|key, value| {
                fault = fault.take().or_else(|| self.fault(key, value));
                let write = || -> std::io::Result<()> {
                    out.write_all(&(key.len() as u32).to_le_bytes())?;
                    out.write_all(&(value.len() as u32).to_le_bytes())?;
                    out.write_all(key)?;
                    out.write_all(value)
                };
                let mut write = write;
                if refused.is_none() {
                    refused = write().err();
                }
                entries += 1;
            })?;
            if let Some(what) = fault {
                return Err(self.damaged(what));
            }
            if let Some(e) = refused {
                return Err(failed(e));
            }
            out.write_all(&END.to_le_bytes()).map_err(failed)?;
            out.write_all(&entries.to_le_bytes()).map_err(failed)?;
            let digest = out.sha.clone().finalize();
            out.write_all(&digest).map_err(failed)?;
            let file = out.inner.into_inner().map_err(|e| failed(e.into_error()))?;
            file.sync_all().map_err(failed)?;
            std::fs::rename(&beside, path).map_err(failed)?;
            Ok(Archived { entries, bytes: out.bytes, forgotten: 0 })
        })();
        match written {
            Err(_) => drop(std::fs::remove_file(&beside)),
            Ok(_) => sync_folder(&parent_of(path))?,
        }
        written
    }

    /// Makes a database in `folder`, which must be new or empty, out of the backup at `path`. The backup
    /// is checked as a whole before anything is written. An encrypted one needs its master key and a copy
    /// of its ring, and whoever has no key in that ring is left out.
    ///
    /// # Errors
    /// [`StoreError::BadArchive`], [`StoreError::NotADatabase`] when something is in the folder,
    /// [`StoreError::TooNew`], [`StoreError::KeyNeeded`], [`StoreError::WrongKey`], [`StoreError::NoRing`],
    /// [`StoreError::Io`].
    pub(crate) fn restore(
        path: &Path,
        folder: &Path,
        key: Option<&MasterKey>,
        ring: Option<&Path>,
    ) -> Result<Archived, StoreError> {
        let bad = |reason: String| StoreError::BadArchive { path: path.display().to_string(), kind: "backup", reason };
        // Whether it is whole comes first: what a damaged one says of itself is worth nothing.
        let mut first = None;
        read(path, |key, value| {
            if !codec::is_whole(key, value) {
                return Err(format!("entry {key:?} does not match its checksum"));
            }
            if *key == Key::Head.bytes() {
                first = Some(value.to_vec());
            }
            Ok(())
        })?;
        let first = first.ok_or_else(|| bad("it has no head record".to_string()))?;
        let found = migrate::format_of(&first, path)?;
        let upgraded = migrate::upgraded(found, &Key::Head.bytes(), &first).map_err(bad)?;
        let mut head = migrate::head(&upgraded, path)?;
        let shown = || path.display().to_string();
        let held = match (head.sealed, key, ring) {
            (false, None, _) => None,
            (false, Some(_), _) => return Err(StoreError::NotEncrypted { path: shown() }),
            (true, None, _) => return Err(StoreError::KeyNeeded { path: shown() }),
            (true, Some(_), None) => {
                let what = "of this backup is not named; say --ring FILE".to_string();
                return Err(StoreError::NoRing { path: shown(), what });
            }
            (true, Some(key), Some(ring)) => Some(Ring::open(ring, key)?),
        };
        if let (Some(held), Some(ring)) = (&held, ring)
            && *held.id() != head.id
        {
            let what = "is another database's".to_string();
            return Err(StoreError::NoRing { path: ring.display().to_string(), what });
        }
        let (mut forgotten, mut used) = (0, HashSet::new());
        let left_out = |value: &[u8]| {
            let without = |n: DataKey| held.as_ref().is_some_and(|r| r.key(n.0).is_none());
            codec::data_key(value).is_some_and(without)
        };
        let archived = read(path, |key, value| {
            if left_out(value) {
                forgotten += 1;
                return Ok(());
            }
            used.extend(codec::data_key(value));
            let value = migrate::upgraded(found, key, value)?;
            records::fault(key, &value, held.as_ref()).map_or(Ok(()), Err)
        })?;

        std::fs::create_dir_all(folder).map_err(|e| io(folder, "making the folder", &e))?;
        let taken = std::fs::read_dir(folder).map_err(|e| io(folder, "reading", &e))?.filter_map(Result::ok).any(|e| {
            let name = e.file_name();
            name != super::lock::NAME
        });
        if taken {
            let found = "it is not empty".to_string();
            return Err(StoreError::NotADatabase { path: folder.display().to_string(), found });
        }
        let _lock = Lock::take(folder, Duration::ZERO)?;
        let current = Current { records: first_records(), ring: held.as_ref().map(|_| first_ring()) };
        let target = folder.join(&current.records);
        let db = open_sled(&target)?;
        let mut batch: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut failure = None;
        read(path, |key, value| {
            if !left_out(value) {
                batch.push((key.to_vec(), migrate::upgraded(found, key, value)?));
            }
            if batch.len() == 1000 && failure.is_none() {
                failure = fill(&db, &target, batch.drain(..).map(Ok)).err();
            }
            Ok(())
        })?;
        if let Some(e) = failure {
            return Err(e);
        }
        fill(&db, &target, batch.drain(..).map(Ok))?;
        if let (Some(held), Some(name), Some(key)) = (&held, &current.ring, key) {
            // The other slots may be of people enrolled since, in the database that the ring is of.
            let at = folder.join(name);
            held.copy_as_is(&at)?;
            let mut copy = Ring::open(&at, key)?;
            head.next_key = head.next_key.max(copy.len());
            let unused = |n: &u64| !used.contains(&DataKey(*n));
            copy.destroy(&(1..copy.len()).filter(unused).collect::<Vec<_>>())?;
        }
        put_head(&db, &head, folder)?;
        finish(&db, &target)?;
        drop(db);
        Witness::create(folder, head.id, head.write)?;
        point_to(folder, &current)?;
        Ok(Archived { forgotten, ..archived })
    }
}

fn parent_of(path: &Path) -> std::path::PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Reads a backup from end to end; the digest is checked last, so `visit` must not act on what it sees
/// in the first pass.
fn read(path: &Path, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), String>) -> Result<Archived, StoreError> {
    let bad = |reason: String| StoreError::BadArchive { path: path.display().to_string(), kind: "backup", reason };
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => bad("it breaks off".to_string()),
        _ => io(path, "reading the backup", &e),
    };
    let file = File::open(path).map_err(failed)?;
    let mut from = Hashed { inner: BufReader::new(file), sha: Sha256::new(), bytes: 0 };
    if &from.take::<8>().map_err(failed)? != MAGIC {
        return Err(bad("it does not begin like one".to_string()));
    }
    let mut entries = 0u64;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    loop {
        let keys = u32::from_le_bytes(from.take().map_err(failed)?);
        if keys == END {
            break;
        }
        let values = u32::from_le_bytes(from.take().map_err(failed)?);
        if keys > LONGEST || values > LONGEST {
            return Err(bad(format!("entry {entries} claims {keys} and {values} bytes")));
        }
        key.resize(keys as usize, 0);
        value.resize(values as usize, 0);
        from.fill(&mut key).and_then(|()| from.fill(&mut value)).map_err(failed)?;
        visit(&key, &value).map_err(bad)?;
        entries += 1;
    }
    let claimed = u64::from_le_bytes(from.take().map_err(failed)?);
    if claimed != entries {
        return Err(bad(format!("it holds {entries} entries and claims {claimed}")));
    }
    let digest = from.sha.clone().finalize();
    if from.take::<32>().map_err(failed)?[..] != digest[..] {
        return Err(bad("it does not match its checksum".to_string()));
    }
    match from.inner.read(&mut [0]) {
        Ok(0) => Ok(Archived { entries, bytes: from.bytes, forgotten: 0 }),
        Ok(_) => Err(bad("something follows its end".to_string())),
        Err(e) => Err(failed(e)),
    }
}

/// Passes bytes on and digests them.
struct Hashed<T> {
    inner: T,
    sha: Sha256,
    bytes: u64,
}

impl<T: Write> Hashed<T> {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sha.update(bytes);
        self.bytes += bytes.len() as u64;
        self.inner.write_all(bytes)
    }
}

impl<T: Read> Hashed<T> {
    fn fill(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.sha.update(&*bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
