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
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::disk::{failed, io, sync_folder};
use super::layout::{self, Current};
use super::lock::Lock;
use super::ring::{self, Ring};
use super::witness::Witness;
use super::{DataKey, Key, MasterKey, Store, codec, generation, migrate, records};
use crate::error::StoreError;
use crate::files::{self, Audience};

const MAGIC: &[u8; 8] = b"kithbak1";
const END: u32 = u32::MAX;
/// No key or value is longer.
const LONGEST: u32 = 8 << 20;
/// How long restoring waits for whoever has the folder.
const LOCKED_WITHIN: Duration = Duration::from_secs(5);

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
        self.check_targets(path, ring)?;
        let _turn = self.hold_writers();
        if let Some(copy) = ring {
            let none = || StoreError::NotEncrypted { path: self.folder.display().to_string() };
            self.with_ring(|ring| ring.ok_or_else(none)?.copy_as_is(copy))?;
        }
        let (mut done, mut fault) = (None, None);
        let written = files::put_whole(path, Audience::Owner, |file| {
            match self.write_entries(BufWriter::new(file)) {
                Ok(Ok(archived)) => done = Some(archived),
                Ok(Err(e)) => fault = Some(e),
                Err(e) => return Err(e),
            }
            // Nothing takes the place of an older backup that is not whole.
            if fault.is_some() { Err(std::io::Error::other("not written")) } else { Ok(()) }
        });
        match (fault, written, done) {
            (Some(e), _, _) => Err(e),
            (None, Ok(()), Some(archived)) => {
                sync_folder(files::folder_of(path))?;
                Ok(archived)
            }
            (None, Err(e), _) => Err(failed(path, "writing the backup", &e)),
            (None, Ok(()), None) => Err(failed(path, "writing the backup", &std::io::Error::other("not written"))),
        }
    }

    /// Refuses what would be written over: the database's own files, the backup by the ring, and by the ring whatever is
    /// no older copy of it.
    fn check_targets(&self, path: &Path, ring: Option<&Path>) -> Result<(), StoreError> {
        let bad = |path: &Path, reason| Err(StoreError::BadTarget { path: path.display().to_string(), reason });
        // Through links; a folder that is not there is for the writing to refuse.
        let place = |path: &Path| {
            let folder =
                fs::canonicalize(files::folder_of(path)).unwrap_or_else(|_| files::folder_of(path).to_path_buf());
            path.file_name().map_or(folder.clone(), |name| folder.join(name))
        };
        let own = fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        for target in [Some(path), ring].into_iter().flatten() {
            if place(target).starts_with(&own) {
                return bad(target, "this is in the database's own folder");
            }
        }
        let Some(ring) = ring else { return Ok(()) };
        if place(ring) == place(path) {
            return bad(ring, "backup and key ring cannot be one file");
        }
        if ring.exists() && !Ring::is_of(ring, &self.head().id) {
            return bad(ring, "there is a file here that is no copy of this database's key ring");
        }
        Ok(())
    }

    /// Every entry, in the format above; the inner error is the database's, the outer one the file's.
    fn write_entries(&self, out: impl Write) -> std::io::Result<Result<Archived, StoreError>> {
        let mut out = Hashed { inner: out, sha: Sha256::new(), bytes: 0 };
        out.write_all(MAGIC)?;
        let mut entries = 0u64;
        let written = self.each(&[], |key, value| {
            if let Some(what) = self.fault(key, value) {
                return Err(Stopped::Database(self.damaged(what)));
            }
            let lengths = [(key.len() as u32).to_le_bytes(), (value.len() as u32).to_le_bytes()].concat();
            [lengths.as_slice(), key, value].iter().try_for_each(|b| out.write_all(b)).map_err(Stopped::File)?;
            entries += 1;
            Ok(())
        });
        match written {
            Ok(()) => {}
            Err(Stopped::Database(e)) => return Ok(Err(e)),
            Err(Stopped::File(e)) => return Err(e),
        }
        out.write_all(&END.to_le_bytes())?;
        out.write_all(&entries.to_le_bytes())?;
        let digest = out.sha.clone().finalize();
        out.write_all(&digest)?;
        out.inner.flush()?;
        Ok(Ok(Archived { entries, bytes: out.bytes, forgotten: 0 }))
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
        let bad = |reason: String| bad(path, reason);
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
        let upgraded = migrate::upgraded(found, &Key::Head.bytes(), &first, None).map_err(bad)?;
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
            (true, Some(key), Some(ring)) => Some(Ring::open(ring, key, ring::Use::Read)?),
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
            let value = migrate::upgraded(found, key, value, held.as_ref())?;
            records::fault(key, &value, held.as_ref()).map_or(Ok(()), Err)
        })?;

        let taken = || {
            let (path, found) = (folder.display().to_string(), "a database".to_string());
            StoreError::Taken { path, found, wanted: "a new or an empty folder to restore into" }
        };
        // It is never taken away, so that nobody need wait to be told.
        if folder.join(layout::CURRENT).exists() {
            return Err(taken());
        }
        let made = !folder.exists();
        files::private_folder(folder).map_err(|e| failed(folder, "making the folder", &e))?;
        let lock = Lock::take(folder, LOCKED_WITHIN)?;
        if let Some(reason) = lock.read_only() {
            return Err(StoreError::ReadOnly { path: folder.display().to_string(), reason: reason.to_string() });
        }
        if folder.join(layout::CURRENT).exists() {
            return Err(taken());
        }
        layout::only_beginnings(folder)?;
        let restored = (|| {
            layout::remove_others(folder, None)?;
            let current = Current::first(held.is_some());
            if let (Some(held), Some(at), Some(key)) = (&held, current.ring(folder), key) {
                // The other slots may be of people enrolled since, in the database that the ring is of.
                held.copy_as_is(&at)?;
                let mut copy = Ring::open(&at, key, ring::Use::Own)?;
                head.next_key = head.next_key.max(copy.len());
                let unused = |n: &u64| !used.contains(&DataKey(*n));
                copy.destroy(&(1..copy.len()).filter(unused).collect::<Vec<_>>())?;
            }
            let entries = Entries::open(path)?.filter_map(|entry| {
                let entry = entry.and_then(|(key, value)| {
                    if left_out(&value) {
                        return Ok(None);
                    }
                    let value = migrate::upgraded(found, &key, &value, held.as_ref()).map_err(bad)?;
                    Ok(Some((key, value)))
                });
                entry.transpose()
            });
            generation::write(folder, &current, &head, entries)?;
            // No write is acknowledged before CURRENT names what it is in.
            let mut witness = Witness::create(folder, head.id, 0)?;
            layout::point_to(folder, &current)?;
            witness.acknowledge(head.write).map_err(|e| failed(folder, "acknowledging", &e))?;
            sync_folder(files::folder_of(folder))
        })();
        match restored {
            Ok(()) => Ok(Archived { forgotten, ..archived }),
            Err(e) => {
                if !folder.join(layout::CURRENT).exists() {
                    leave_nothing(folder, made);
                }
                Err(e)
            }
        }
    }
}

/// Why a backup was not written to its end.
enum Stopped {
    Database(StoreError),
    File(std::io::Error),
}

impl From<StoreError> for Stopped {
    fn from(e: StoreError) -> Self {
        Self::Database(e)
    }
}

/// Takes away what a restore that failed has made, so that it can be repeated. The lock is still held.
fn leave_nothing(folder: &Path, made: bool) {
    let _ = layout::remove_others(folder, None);
    let _ = std::fs::remove_file(folder.join(super::witness::NAME));
    if made {
        let _ = std::fs::remove_file(folder.join(super::lock::NAME));
        let _ = std::fs::remove_dir(folder);
    }
}

/// Visits every entry of a backup; the digest is checked last, so `visit` must not act on what it sees in the first
/// pass.
fn read(path: &Path, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), String>) -> Result<Archived, StoreError> {
    let mut entries = Entries::open(path)?;
    for entry in &mut entries {
        let (key, value) = entry?;
        visit(&key, &value).map_err(|reason| bad(path, reason))?;
    }
    Ok(Archived { entries: entries.read, bytes: entries.from.bytes, forgotten: 0 })
}

fn bad(path: &Path, reason: String) -> StoreError {
    StoreError::BadArchive { path: path.display().to_string(), kind: "backup", reason }
}

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// The entries of a backup, from first to last. The end is reached without an error only where the file is whole.
struct Entries<'a> {
    path: &'a Path,
    from: Hashed<BufReader<File>>,
    read: u64,
    ended: bool,
}

impl<'a> Entries<'a> {
    fn open(path: &'a Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let mut from = Hashed { inner: BufReader::new(file), sha: Sha256::new(), bytes: 0 };
        if &from.take::<8>().map_err(|e| unreadable(path, &e))? != MAGIC {
            return Err(bad(path, "it does not begin like one".to_string()));
        }
        Ok(Self { path, from, read: 0, ended: false })
    }

    fn entry(&mut self) -> Result<Option<Entry>, StoreError> {
        let path = self.path;
        let broken = |e: std::io::Error| unreadable(path, &e);
        let keys = u32::from_le_bytes(self.from.take().map_err(broken)?);
        if keys == END {
            return self.end().map(|()| None);
        }
        let values = u32::from_le_bytes(self.from.take().map_err(broken)?);
        if keys > LONGEST || values > LONGEST {
            return Err(bad(path, format!("entry {} claims {keys} and {values} bytes", self.read)));
        }
        let (mut key, mut value) = (vec![0; keys as usize], vec![0; values as usize]);
        self.from.fill(&mut key).and_then(|()| self.from.fill(&mut value)).map_err(broken)?;
        self.read += 1;
        Ok(Some((key, value)))
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let path = self.path;
        let broken = |e: std::io::Error| unreadable(path, &e);
        let claimed = u64::from_le_bytes(self.from.take().map_err(broken)?);
        if claimed != self.read {
            return Err(bad(path, format!("it holds {} entries and claims {claimed}", self.read)));
        }
        let digest = self.from.sha.clone().finalize();
        if self.from.take::<32>().map_err(broken)?[..] != digest[..] {
            return Err(bad(path, "it does not match its checksum".to_string()));
        }
        match self.from.inner.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(bad(path, "something follows its end".to_string())),
            Err(e) => Err(broken(e)),
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.entry();
        self.ended = !matches!(entry, Ok(Some(_)));
        entry.transpose()
    }
}

fn unreadable(path: &Path, e: &std::io::Error) -> StoreError {
    match e.kind() {
        std::io::ErrorKind::UnexpectedEof => bad(path, "it breaks off".to_string()),
        _ => io(path, "reading the backup", e),
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
