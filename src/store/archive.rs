//! Backups: every entry of a database in one file.
//!
//! | size | what |
//! | --- | --- |
//! | 8 | `kithbak1` |
//! | 4, 4, k, v | for each entry: length of the key `k` and of the value `v` (little-endian), key, value |
//! | 4 | `ff ff ff ff`, the end of the entries |
//! | 8 | number of entries, little-endian |
//! | 32 | SHA-256 of everything before |

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::durable::{io, sync_folder};
use super::lock::Lock;
use super::open::{fill, finish, first_records, only_ours, open_sled, point_to};
use super::witness::Witness;
use super::{Store, migrate, records};
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
}

impl Store {
    /// Writes every entry, as of one moment, to `path`. Writers wait, readers go on. The file appears
    /// whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub(crate) fn backup(&self, path: &Path) -> Result<Archived, StoreError> {
        let _turn = self.writer()?;
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
                fault = fault.take().or_else(|| records::fault(key, value));
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
            Ok(Archived { entries, bytes: out.bytes })
        })();
        match written {
            Err(_) => drop(std::fs::remove_file(&beside)),
            Ok(_) => sync_folder(&parent_of(path))?,
        }
        written
    }

    /// Makes a database in `folder`, which must be new or empty, out of the backup at `path`. The backup
    /// is checked as a whole before anything is written.
    ///
    /// # Errors
    /// [`StoreError::BadArchive`], [`StoreError::NotADatabase`] when something is in the folder,
    /// [`StoreError::Io`].
    pub(crate) fn restore(path: &Path, folder: &Path) -> Result<Archived, StoreError> {
        let mut count = 0;
        let archived = read(path, |key, value| match records::fault(key, value) {
            Some(fault) => Err(fault),
            None => {
                count += 1;
                Ok(())
            }
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
        only_ours(folder, true)?;
        let _lock = Lock::take(folder, Duration::ZERO)?;
        let records = first_records();
        let target = folder.join(&records);
        let db = open_sled(&target)?;
        let mut batch: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut failure = None;
        read(path, |key, value| {
            batch.push((key.to_vec(), value.to_vec()));
            if batch.len() == 1000 && failure.is_none() {
                failure = fill(&db, &target, batch.drain(..).map(Ok)).err();
            }
            Ok(())
        })?;
        if let Some(e) = failure {
            return Err(e);
        }
        fill(&db, &target, batch.drain(..).map(Ok))?;
        let head = migrate::migrate(&db, folder)?;
        finish(&db, &target)?;
        drop(db);
        Witness::create(folder, head.id, head.write)?;
        point_to(folder, &records)?;
        Ok(archived)
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
        Ok(0) => Ok(Archived { entries, bytes: from.bytes }),
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
