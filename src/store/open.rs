//! Opening, making and rewriting a database.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::durable::{Durable, Records, fault, io, sync_folder};
use super::lock::{self, Lock};
use super::witness::{self, Witness};
use super::{Store, guarded, migrate};
use crate::error::StoreError;
use crate::media::write_whole;

const CURRENT: &str = "CURRENT";
const MARK: &str = "kith database";
const RECORDS: &str = "records-";
/// Entries copied in one batch when a database is rewritten.
const COPIED: usize = 1000;
/// Memory that sled may use for pages. Searching does not read from sled, so it needs little.
const CACHE: u64 = 64 << 20;

/// How a database is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenMode {
    /// Make the database where there is none.
    pub create: bool,
    /// How long to wait for another process to let go of it.
    pub wait: Duration,
    /// Go on from what is there, where acknowledged writes are missing.
    pub accept_loss: bool,
}

impl Store {
    /// Opens the database in `folder`; the sentences say what had to be accepted to open it.
    ///
    /// # Errors
    /// A [`StoreError`] that names the folder and the cause; nothing was changed then, but that a
    /// database of an older format was brought to this program's.
    pub(crate) fn open(folder: &Path, mode: OpenMode) -> Result<(Self, Vec<String>), StoreError> {
        let shown = || folder.display().to_string();
        if !folder.exists() {
            if !mode.create {
                return Err(StoreError::NotFound { path: shown() });
            }
            fs::create_dir_all(folder).map_err(|e| io(folder, "making the folder", &e))?;
        }
        if !folder.is_dir() {
            return Err(StoreError::NotADatabase { path: shown(), found: "it is a file".to_string() });
        }
        let current = folder.join(CURRENT);
        let known = match fs::read_to_string(&current) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(io(&current, "reading", &e)),
        };
        if known.is_none() {
            only_ours(folder, mode.create)?;
        }
        let lock = Lock::take(folder, mode.wait)?;
        let records = match &known {
            Some(text) => named_in(text, folder)?,
            None => make(folder)?,
        };
        let path = folder.join(&records);
        if !path.is_dir() {
            return Err(StoreError::Damaged { path: shown(), what: format!("the folder {records} is missing") });
        }
        remove_others(folder, &records);
        let db = open_sled(&path)?;
        let head = migrate::migrate(&db, folder)?;
        let mut notes = Vec::new();
        let witness = match Witness::open(folder, head.id) {
            Ok((witness, Some(acknowledged))) if acknowledged <= head.write => Ok(witness),
            Ok((_, Some(acknowledged))) => {
                let (lost, found) = (acknowledged - head.write, head.write);
                Err(StoreError::Lost { path: shown(), lost, found, acknowledged })
            }
            Ok((_, None)) => {
                let what = format!("the file {} cannot be read", witness::NAME);
                Err(StoreError::Damaged { path: shown(), what })
            }
            Err(e) => Err(e),
        };
        let witness = match witness {
            Err(e) if mode.accept_loss => {
                notes.push(e.to_string());
                Witness::create(folder, head.id, head.write)?
            }
            other => other?,
        };
        let durable = Durable::new(head.write, witness, Records::open(&path)?);
        let store =
            Store { folder: folder.to_path_buf(), db: RwLock::new(db), writer: Mutex::new(head), durable, _lock: lock };
        Ok((store, notes))
    }

    /// Copies the records into a new folder, makes it the current one and removes the old, so that what
    /// was forgotten is in no file any more. Writers wait, readers go on.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the old folder stays current then.
    pub(crate) fn rewrite(&self) -> Result<(), StoreError> {
        self.durable.check(&self.folder)?;
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let text = fs::read_to_string(self.folder.join(CURRENT)).map_err(|e| io(&self.folder, "reading", &e))?;
        let old = named_in(&text, &self.folder)?;
        let number: u64 = old[RECORDS.len()..].parse().unwrap_or(0);
        let new = format!("{RECORDS}{}", number + 1);
        let path = self.folder.join(&new);
        let fresh = open_sled(&path)?;
        let entries = db.iter().map(|entry| guarded(&self.folder, "copying", || entry));
        fill(&fresh, &path, entries)?;
        let records = finish(&fresh, &path)?;
        fault::point();
        point_to(&self.folder, &new)?;
        fault::point();
        *db = fresh;
        self.durable.moved(records);
        drop(db);
        remove_others(&self.folder, &new);
        Ok(())
    }
}

/// Puts entries into a new folder of records, a thousand at a time.
pub(super) fn fill<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    db: &sled::Db,
    path: &Path,
    entries: impl Iterator<Item = Result<(K, V), StoreError>>,
) -> Result<(), StoreError> {
    let (mut batch, mut held) = (sled::Batch::default(), 0);
    for entry in entries {
        let (key, value) = entry?;
        batch.insert(key.as_ref(), value.as_ref());
        held += 1;
        if held == COPIED {
            let full = std::mem::take(&mut batch);
            guarded(path, "copying", || db.apply_batch(full))?;
            held = 0;
        }
    }
    guarded(path, "copying", || db.apply_batch(batch))
}

/// Makes a new folder of records durable.
pub(super) fn finish(db: &sled::Db, path: &Path) -> Result<Records, StoreError> {
    guarded(path, "flushing", || db.flush())?;
    let mut records = Records::open(path)?;
    records.sync().map_err(|e| io(path, "syncing", &e))?;
    sync_folder(path)?;
    Ok(records)
}

/// Makes `records` the current folder.
pub(super) fn point_to(folder: &Path, records: &str) -> Result<(), StoreError> {
    let path = folder.join(CURRENT);
    write_whole(&path, format!("{MARK}\n{records}\n").as_bytes()).map_err(|e| io(&path, "writing", &e))?;
    sync_folder(folder)
}

pub(super) fn open_sled(path: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new().path(path).flush_every_ms(None).cache_capacity(CACHE);
    guarded(path, "opening", || config.open())
}

/// The name of the first folder of records.
pub(super) fn first_records() -> String {
    format!("{RECORDS}1")
}

/// A new, empty database, complete on disk before `CURRENT` names it.
fn make(folder: &Path) -> Result<String, StoreError> {
    remove_others(folder, "");
    let records = first_records();
    let path = folder.join(&records);
    let db = open_sled(&path)?;
    let head = migrate::migrate(&db, folder)?;
    finish(&db, &path)?;
    drop(db);
    Witness::create(folder, head.id, head.write)?;
    point_to(folder, &records)?;
    if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync_folder(parent)?;
    }
    Ok(records)
}

/// Refuses a folder without `CURRENT` that holds anything but the beginnings of a database.
pub(super) fn only_ours(folder: &Path, create: bool) -> Result<(), StoreError> {
    let path = || folder.display().to_string();
    let entries = fs::read_dir(folder).map_err(|e| io(folder, "reading", &e))?;
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|e| io(folder, "reading", &e))?.file_name().to_string_lossy().into_owned());
    }
    let ours = |name: &String| {
        name == lock::NAME
            || name == super::CACHES
            || name.starts_with(RECORDS)
            || name.starts_with(CURRENT)
            || name.starts_with(witness::NAME)
    };
    if let Some(other) = names.iter().find(|n| !ours(n)) {
        return Err(StoreError::NotADatabase { path: path(), found: format!("it holds {other}") });
    }
    // Records come before the acknowledgements, and these before CURRENT: with more than one folder of
    // records there was a CURRENT once.
    if names.iter().any(|n| n.starts_with(RECORDS) && *n != first_records()) {
        return Err(StoreError::Damaged { path: path(), what: format!("the file {CURRENT} is missing") });
    }
    if !create {
        return Err(StoreError::NotFound { path: path() });
    }
    Ok(())
}

fn named_in(text: &str, folder: &Path) -> Result<String, StoreError> {
    let mut lines = text.lines();
    match (lines.next(), lines.next()) {
        (Some(MARK), Some(name))
            if name.strip_prefix(RECORDS).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) =>
        {
            Ok(name.to_string())
        }
        _ => {
            let what = format!("the file {CURRENT} does not name the records");
            Err(StoreError::Damaged { path: folder.display().to_string(), what })
        }
    }
}

/// Removes folders of records that a crash left behind. They are in nobody's way if they stay.
fn remove_others(folder: &Path, current: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let left: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    for path in left {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(RECORDS) && name != current {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
