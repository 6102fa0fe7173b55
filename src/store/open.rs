//! Opening, making and rewriting a database.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::durable::{Durable, Records, fault, io, sync_folder};
use super::lock::{self, Lock};
use super::ring::Ring;
use super::witness::{self, Witness};
use super::{DataKey, HeadRecord, Key, MasterKey, Store, codec, guarded, migrate};
use crate::error::StoreError;
use crate::media::write_whole;

const CURRENT: &str = "CURRENT";
const MARK: &str = "kith database";
const RECORDS: &str = "records-";
const RING: &str = "ring-";
/// Entries copied in one batch when a database is rewritten.
const COPIED: usize = 1000;
/// Memory that sled may use for pages. Searching does not read from sled, so it needs little.
const CACHE: u64 = 64 << 20;
/// A program being started has closed what it was not meant to have long before.
const DESCRIPTORS_CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How a database is opened.
#[derive(Debug, Clone)]
pub(crate) struct OpenMode {
    /// Make the database where there is none.
    pub create: bool,
    /// How long to wait for another process to let go of it.
    pub wait: Duration,
    /// Go on from what is there, where acknowledged writes are missing.
    pub accept_loss: bool,
    /// Opens an encrypted database, and makes a new one encrypted.
    pub key: Option<MasterKey>,
}

/// What `CURRENT` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    /// The folder of records.
    pub records: String,
    /// The key ring of an encrypted database.
    pub ring: Option<String>,
}

impl Current {
    /// The names after these: of the records, and of the ring.
    pub(super) fn next(&self) -> (String, String) {
        let number = |name: &str, head: &str| name.strip_prefix(head).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let ring = self.ring.as_deref().map_or(0, |r| number(r, RING));
        (format!("{RECORDS}{}", number(&self.records, RECORDS) + 1), format!("{RING}{}", ring + 1))
    }
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
        let current = match &known {
            Some(text) => named_in(text, folder)?,
            None => make(folder, mode.key.as_ref())?,
        };
        let path = folder.join(&current.records);
        if !path.is_dir() {
            let what = format!("the folder {} is missing", current.records);
            return Err(StoreError::Damaged { path: shown(), what });
        }
        // Before sled touches a file: a wrong key changes nothing.
        let ring = open_ring(folder, &current, mode.key.as_ref())?;
        let (db, head, current) = open_records(folder, current)?;
        remove_others(folder, &current);
        if head.sealed != ring.is_some() || ring.as_ref().is_some_and(|r| *r.id() != head.id) {
            let what = "the records and the key ring do not belong together".to_string();
            return Err(StoreError::Damaged { path: shown(), what });
        }
        let path = folder.join(&current.records);
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
        let store = Store {
            folder: folder.to_path_buf(),
            db: RwLock::new(db),
            ring: ring.map(RwLock::new),
            writer: Mutex::new(head),
            durable,
            _lock: lock,
        };
        // With a loss the records do not tell which keys were in use.
        if notes.is_empty() {
            store.destroy_unused()?;
        }
        Ok((store, notes))
    }

    /// Destroys the data keys of people who were forgotten right before a crash.
    fn destroy_unused(&self) -> Result<(), StoreError> {
        if self.ring.is_none() {
            return Ok(());
        }
        let (mut used, mut sound) = (HashSet::new(), true);
        self.raw(|key, value| {
            sound &= codec::is_whole(key, value);
            used.extend(codec::data_key(value));
        })?;
        // What a damaged record was sealed with is not known.
        if !sound {
            return Ok(());
        }
        // A slot torn while it was made or destroyed is nobody's either.
        let given = 1..self.head().next_key;
        let left: Vec<DataKey> = self.with_ring(|ring| {
            let Some(ring) = ring else { return Vec::new() };
            let whole = given.filter(|n| ring.key(*n).is_some());
            whole.chain(ring.damaged().iter().copied()).map(DataKey).filter(|k| !used.contains(k)).collect()
        });
        self.destroy(&left)
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
        let old = current(&self.folder)?;
        let new = Current { records: old.next().0, ..old };
        let path = self.folder.join(&new.records);
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

/// What `CURRENT` names at present.
pub(super) fn current(folder: &Path) -> Result<Current, StoreError> {
    let path = folder.join(CURRENT);
    let text = fs::read_to_string(&path).map_err(|e| io(&path, "reading", &e))?;
    named_in(&text, folder)
}

/// Makes the records and the ring that it names the current ones.
pub(super) fn point_to(folder: &Path, current: &Current) -> Result<(), StoreError> {
    let path = folder.join(CURRENT);
    let ring = current.ring.as_ref().map(|r| format!("{r}\n")).unwrap_or_default();
    write_whole(&path, format!("{MARK}\n{}\n{ring}", current.records).as_bytes())
        .map_err(|e| io(&path, "writing", &e))?;
    sync_folder(folder)
}

pub(super) fn open_sled(path: &Path) -> Result<sled::Db, StoreError> {
    remove_half_made_snapshots(path);
    let config = sled::Config::new().path(path).flush_every_ms(None).cache_capacity(CACHE);
    guarded(path, "opening", || {
        // Kith's own lock keeps other users out. What may hold sled's for a moment is a process that another thread
        // is starting: it has a copy of every descriptor until it becomes its own program.
        let until = Instant::now() + DESCRIPTORS_CLOSE_WITHIN;
        loop {
            match config.open() {
                Err(sled::Error::Io(e)) if e.to_string().contains("acquire lock") && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => return opened,
            }
        }
    })
}

/// The name of the first folder of records.
pub(super) fn first_records() -> String {
    format!("{RECORDS}1")
}

/// Takes away what a process left that was killed while sled wrote a snapshot: sled 0.34.7 means to pass such files
/// over, looks for another ending, takes them for the newest snapshot, and calls the database corrupt. The snapshot
/// before is removed only when the new one has its name, and is read instead; without any, sled reads its log.
fn remove_half_made_snapshots(path: &Path) {
    // A folder that cannot be read is sled's to report.
    for file in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// Opens the ring that `current` names.
fn open_ring(folder: &Path, current: &Current, key: Option<&MasterKey>) -> Result<Option<Ring>, StoreError> {
    let shown = || folder.display().to_string();
    match (&current.ring, key) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(StoreError::NotEncrypted { path: shown() }),
        (Some(_), None) => Err(StoreError::KeyNeeded { path: shown() }),
        (Some(name), Some(key)) => Ring::open(&folder.join(name), key).map(Some),
    }
}

/// Opens the records that `current` names; those of an older format are copied into a folder in this
/// format first, which becomes the current one.
fn open_records(folder: &Path, current: Current) -> Result<(sled::Db, HeadRecord, Current), StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: folder.display().to_string(), what };
    let head_of = |db: &sled::Db| {
        let value = guarded(folder, "reading the head", || db.get(Key::Head.bytes()))?;
        value.ok_or_else(|| damaged("the head record is missing".to_string()))
    };
    let db = open_sled(&folder.join(&current.records))?;
    let value = head_of(&db)?;
    let found = migrate::format_of(&value, folder)?;
    if found == migrate::FORMAT {
        return Ok((db, migrate::head(&value, folder)?, current));
    }
    let new = Current { records: current.next().0, ..current };
    let path = folder.join(&new.records);
    // What an interrupted migration left there would mix with this one's.
    if path.exists() {
        fs::remove_dir_all(&path).map_err(|e| io(&path, "removing", &e))?;
    }
    let fresh = open_sled(&path)?;
    let entries = db.iter().map(|entry| {
        let (key, value) = guarded(folder, "reading", || entry)?;
        let value = migrate::upgraded(found, &key, &value).map_err(damaged)?;
        Ok((key, value))
    });
    fill(&fresh, &path, entries)?;
    finish(&fresh, &path)?;
    fault::point();
    point_to(folder, &new)?;
    let value = head_of(&fresh)?;
    Ok((fresh, migrate::head(&value, folder)?, new))
}

/// The name of the first key ring.
pub(super) fn first_ring() -> String {
    format!("{RING}1")
}

/// A new, empty database, complete on disk before `CURRENT` names it.
fn make(folder: &Path, key: Option<&MasterKey>) -> Result<Current, StoreError> {
    let current = Current { records: first_records(), ring: key.map(|_| first_ring()) };
    remove_others(folder, &Current { records: String::new(), ring: None });
    let path = folder.join(&current.records);
    let db = open_sled(&path)?;
    let mut head = migrate::begin(&db, folder)?;
    if let (Some(key), Some(name)) = (key, &current.ring) {
        Ring::create(&folder.join(name), head.id, key)?;
        head.sealed = true;
        put_head(&db, &head, folder)?;
    }
    finish(&db, &path)?;
    drop(db);
    Witness::create(folder, head.id, head.write)?;
    point_to(folder, &current)?;
    if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync_folder(parent)?;
    }
    Ok(current)
}

/// Stores a head in a folder of records that is not the current one yet.
pub(super) fn put_head(db: &sled::Db, head: &HeadRecord, folder: &Path) -> Result<(), StoreError> {
    let key = Key::Head.bytes();
    let value = codec::encode(&key, head, DataKey::DATABASE, None)
        .map_err(|what| StoreError::Damaged { path: folder.display().to_string(), what })?;
    guarded(folder, "writing the head", || db.insert(&key, value)).map(drop)
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
            || name.starts_with(RING)
            || name.starts_with(CURRENT)
            || name.starts_with(witness::NAME)
    };
    if let Some(other) = names.iter().find(|n| !ours(n)) {
        return Err(StoreError::NotADatabase { path: path(), found: format!("it holds {other}") });
    }
    // Records come before the acknowledgements, and these before CURRENT: with more than one folder of
    // records, or with a write acknowledged, there was a CURRENT once.
    let written = witness::last_write(folder).is_some_and(|write| write > 0);
    if written || names.iter().any(|n| n.starts_with(RECORDS) && *n != first_records()) {
        return Err(StoreError::Damaged { path: path(), what: format!("the file {CURRENT} is missing") });
    }
    if !create {
        return Err(StoreError::NotFound { path: path() });
    }
    Ok(())
}

fn named_in(text: &str, folder: &Path) -> Result<Current, StoreError> {
    let numbered = |name: &str, head: &str| {
        name.strip_prefix(head).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [MARK, records] if numbered(records, RECORDS) => Ok(Current { records: (*records).to_string(), ring: None }),
        [MARK, records, ring] if numbered(records, RECORDS) && numbered(ring, RING) => {
            Ok(Current { records: (*records).to_string(), ring: Some((*ring).to_string()) })
        }
        _ => {
            let what = format!("the file {CURRENT} does not name the records");
            Err(StoreError::Damaged { path: folder.display().to_string(), what })
        }
    }
}

/// Removes folders of records and rings that are not the current ones, their bytes overwritten first.
/// They are in nobody's way if they stay.
pub(super) fn remove_others(folder: &Path, current: &Current) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let left: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    for path in left {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(RECORDS) && name != current.records {
            wipe(&path);
            let _ = fs::remove_dir_all(&path);
        } else if name.starts_with(RING) && Some(&name) != current.ring.as_ref() {
            wipe(&path);
            let _ = fs::remove_file(&path);
        }
    }
}

/// Overwrites a file, or every file in a folder, with zeros, so that what a file system does not hand out
/// again soon is not there to be read either. Best effort: copy-on-write file systems and flash keep old
/// blocks for a while.
pub(super) fn wipe(path: &Path) {
    // Nothing that a link leads to is ours.
    if fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
        return;
    }
    if path.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.filter_map(Result::ok).for_each(|e| wipe(&e.path()));
        return;
    }
    let zeros = [0; 1 << 16];
    let overwritten = fs::OpenOptions::new().write(true).open(path).and_then(|mut file| {
        let mut left = file.metadata()?.len();
        while left > 0 {
            let step = left.min(zeros.len() as u64);
            file.write_all(&zeros[..step as usize])?;
            left -= step;
        }
        file.sync_data()
    });
    // What cannot be overwritten is removed all the same.
    drop(overwritten);
}
