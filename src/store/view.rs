//! What the database holds, by key: in sled, or in memory where sled cannot be opened or written (a full or a
//! read-only disk). Either is made from the journal, and nothing is acknowledged for being in it.
//!
//! sled 0.34 is kept at a distance. Its panics become errors. Where a write of its own fails, whoever flushes may wait
//! for ever (`exit_reservation` sets the error and wakes nobody; `encapsulate` returns without giving up its place in
//! the buffer), and meanwhile holds a lock that is the whole process's. So it is given up before the disk is full, a
//! handle that has failed is never dropped, and closing is given a bounded time, after which this process uses sled no
//! more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use sled::IVec;

use super::journal::{Change, FIRST, Found, Frame, Journal};
use super::sum::Sum;
use super::{Key, codec, layout};
use crate::error::StoreError;
use crate::files;

/// Memory that sled may use for pages. Searching does not read from sled, so it needs little.
const CACHE: u64 = 64 << 20;
/// A program being started has closed what it was not meant to have long before.
const DESCRIPTORS_CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long closing may take. What is not written then is written again from the journal at the next opening.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);
/// With less room on the disk than this sled is not used: its log grows by half a MiB at a time, and it may be writing
/// several such segments at once.
const ROOM: u64 = 4 << 20;

/// Set when sled did not come back from closing: a lock of the whole process is held by it for ever.
static STUCK: AtomicBool = AtomicBool::new(false);
/// Folders that a handle was left open of, which holds sled's lock for as long as this process lives.
static LEFT_OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn left_open() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    LEFT_OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries by key.
pub(super) enum View {
    Sled(Sled),
    Memory(BTreeMap<Vec<u8>, IVec>),
}

/// An open sled database.
pub(super) struct Sled {
    /// There until it is dropped.
    db: Option<sled::Db>,
    path: PathBuf,
    /// The journal that it is a view of.
    journal: PathBuf,
    failed: bool,
    written: bool,
}

/// An entry, or why it cannot be read.
type Entry = Result<(IVec, IVec), StoreError>;

/// Runs a call into sled; its errors, and its panics on bytes that it did not expect, become ours.
pub(super) fn guarded<T>(
    folder: &Path,
    doing: &'static str,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, StoreError> {
    let path = || folder.display().to_string();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Corruption { at, .. })) => {
            let place = at.map(|at| format!(" at {at:?}")).unwrap_or_default();
            Err(StoreError::Damaged { path: path(), what: format!("sled found corruption{place} while {doing}") })
        }
        Ok(Err(sled::Error::Io(e))) => Err(super::disk::failed(folder, doing, &e)),
        Ok(Err(e)) => Err(StoreError::Io { path: path(), doing, reason: e.to_string() }),
        Err(_) => Err(StoreError::Damaged { path: path(), what: format!("sled gave up while {doing}") }),
    }
}

impl Sled {
    /// Opens the folder, or makes an empty one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Full`], [`StoreError::Io`].
    pub(super) fn open(path: &Path, journal: &Path) -> Result<Self, StoreError> {
        let refused = |reason: &str| StoreError::Io {
            path: path.display().to_string(),
            doing: "opening",
            reason: reason.to_string(),
        };
        if STUCK.load(Ordering::Acquire) {
            return Err(refused("sled did not close another database, and is not used any more by this process"));
        }
        if left_open().contains(path) {
            return Err(refused("this process could not close it before"));
        }
        if files::room(path).or_else(|| files::room(files::folder_of(path))).is_some_and(|room| room < ROOM) {
            return Err(StoreError::Full { path: path.display().to_string(), doing: "opening the records" });
        }
        files::private_folder(path).map_err(|e| super::disk::failed(path, "making the folder", &e))?;
        remove_half_made_snapshots(path);
        let config = sled::Config::new().path(path).flush_every_ms(None).cache_capacity(CACHE);
        let db = guarded(path, "opening", || {
            // Kith's own lock keeps other users out. What may hold sled's for a moment is a process that another
            // thread is starting: it has a copy of every descriptor until it becomes its own program.
            let until = Instant::now() + DESCRIPTORS_CLOSE_WITHIN;
            loop {
                match config.open() {
                    Err(sled::Error::Io(e)) if e.to_string().contains("acquire lock") && Instant::now() < until => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    opened => return opened,
                }
            }
        })?;
        // sled makes its files under the umask; the folder is closed to others all the while.
        let _ = files::restrict(path);
        Ok(Self {
            db: Some(db),
            path: path.to_path_buf(),
            journal: journal.to_path_buf(),
            failed: false,
            written: false,
        })
    }

    fn call<T>(&self, doing: &'static str, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        let closed = || StoreError::Io { path: self.path.display().to_string(), doing, reason: "closed".to_string() };
        let db = self.db.as_ref().ok_or_else(closed)?;
        guarded(&self.path, doing, || call(db))
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.written = true;
        let applied = self.call("writing", |db| db.apply_batch(batch));
        self.failed |= applied.is_err();
        applied
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        let Some(db) = self.db.take() else { return };
        let room = !self.written || files::room(&self.path).is_none_or(|room| room >= ROOM);
        if self.failed || !room || STUCK.load(Ordering::Acquire) {
            left_open().insert(self.path.clone());
            layout::hold_open(&self.path);
            std::mem::forget(db);
            return;
        }
        let (path, written) = (self.path.clone(), self.written);
        let (said, heard) = mpsc::channel();
        let closing = std::thread::Builder::new().name("close the records".to_string()).spawn(move || {
            let flushed = if written { guarded(&path, "flushing", || db.flush().map(drop)) } else { Ok(()) };
            match flushed {
                Ok(()) => drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(db)))),
                Err(_) => {
                    left_open().insert(path.clone());
                    layout::hold_open(&path);
                    std::mem::forget(db);
                }
            }
            let _ = files::restrict(&path);
            let _ = said.send(());
        });
        if closing.is_ok() && heard.recv_timeout(CLOSES_WITHIN) == Err(mpsc::RecvTimeoutError::Timeout) {
            left_open().insert(self.path.clone());
            layout::hold_open(&self.path);
            STUCK.store(true, Ordering::Release);
        }
    }
}

impl View {
    /// Makes the entries in memory out of the journal, which must be sound.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub(super) fn in_memory(journal: &Journal) -> Result<Self, StoreError> {
        let mut entries = BTreeMap::new();
        let scanned = journal.scan(FIRST, |frame| {
            for (key, found) in frame.changes {
                match found {
                    Found::Value(value) => drop(entries.insert(key, IVec::from(value))),
                    Found::Removed => drop(entries.remove(&key)),
                    Found::Damaged => return Err(damaged_frame(journal, frame.at)),
                }
            }
            Ok(())
        })?;
        match scanned.damaged.first() {
            Some(stretch) => Err(damaged_frame(journal, stretch.start)),
            None => Ok(Self::Memory(entries)),
        }
    }

    /// Makes sled's files out of the journal, in place of whatever is in the folder.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`], [`StoreError::Damaged`].
    pub(super) fn build(path: &Path, journal: &Journal) -> Result<Self, StoreError> {
        layout::remove(path)?;
        // What a handle of it is still open of has no name any more.
        left_open().remove(path);
        // Beside them a journal must find room that is written anew: forgetting somebody needs it.
        let needed = 2 * journal.end() + journal.end() / 4 + ROOM;
        if files::room(files::folder_of(path)).is_some_and(|room| room < needed) {
            return Err(StoreError::Full { path: path.display().to_string(), doing: "making the records" });
        }
        let built = Sled::open(path, journal.path()).and_then(|mut sled| {
            let built = journal.scan(FIRST, |frame| sled.follow(journal, frame));
            let built = built.and_then(|scanned| match scanned.damaged.first() {
                Some(stretch) => Err(damaged_frame(journal, stretch.start)),
                None => Ok(()),
            });
            sled.failed |= built.is_err();
            built.map(|()| Self::Sled(sled))
        });
        if built.is_err() {
            // The room that it took is needed.
            let _ = layout::remove(path);
        }
        built
    }

    /// Holds the entries in memory, and removes sled's files. Nobody may write to the journal meanwhile, or what is
    /// written must be applied after.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`] where the journal cannot be read; nothing is changed then.
    pub(super) fn give_up_sled(&mut self) -> Result<(), StoreError> {
        let Self::Sled(sled) = self else { return Ok(()) };
        let damaged = || StoreError::Damaged {
            path: sled.journal.display().to_string(),
            what: "the journal is damaged at its beginning".to_string(),
        };
        let memory = Self::in_memory(&Journal::open(&sled.journal, false)?.ok_or_else(damaged)?)?;
        // It is of no use any more, and may wait for ever for a write that failed.
        sled.failed = true;
        let path = sled.path.clone();
        *self = memory;
        // The room that they take is needed, and the next opening makes them anew.
        let _ = layout::remove(&path);
        Ok(())
    }

    /// Whether sled holds the entries on a disk that has little room left for it.
    pub(super) fn is_short_of_room(&self) -> bool {
        let Self::Sled(sled) = self else { return false };
        files::room(&sled.path).is_some_and(|room| room < ROOM)
    }

    /// Whether sled holds the entries.
    pub(super) fn is_on_disk(&self) -> bool {
        matches!(self, Self::Sled(_))
    }

    /// Applies changes, all or none.
    ///
    /// # Errors
    /// [`StoreError`] of a view that is of no use any more.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        match self {
            Self::Sled(sled) => sled.apply(changes),
            Self::Memory(entries) => {
                for (key, value) in changes {
                    match value {
                        Some(value) => drop(entries.insert(key, IVec::from(value))),
                        None => drop(entries.remove(&key)),
                    }
                }
                Ok(())
            }
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self {
            Self::Sled(sled) => sled.call("reading", |db| db.get(key)),
            Self::Memory(entries) => Ok(entries.get(key).cloned()),
        }
    }

    /// Entries whose keys begin with `prefix`, in order.
    pub(super) fn entries<'a>(&'a self, prefix: &'a [u8]) -> Box<dyn Iterator<Item = Entry> + 'a> {
        match self {
            Self::Memory(entries) => {
                let from = entries.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix));
                Box::new(from.map(|(key, value)| Ok((IVec::from(key.as_slice()), value.clone()))))
            }
            Self::Sled(sled) => {
                let mut held = sled.db.as_ref().map(|db| db.scan_prefix(prefix));
                Box::new(std::iter::from_fn(move || {
                    let next = guarded(&sled.path, "reading", || held.as_mut().and_then(Iterator::next).transpose());
                    if next.is_err() {
                        held = None;
                    }
                    next.transpose()
                }))
            }
        }
    }

    /// The value of the head record.
    pub(super) fn head(&self) -> Result<Option<IVec>, StoreError> {
        self.get(&Key::Head.bytes())
    }

    /// The sum over all entries; the error is the first that cannot be read or is not whole.
    pub(super) fn sum(&self) -> Result<Sum, StoreError> {
        let mut sum = Sum::default();
        for entry in self.entries(&[]) {
            let (key, value) = entry?;
            if !codec::is_whole(&key, &value) {
                let what = format!("record {key:?} does not match its checksum");
                return Err(StoreError::Damaged { path: String::new(), what });
            }
            sum.add(&key, &value);
        }
        Ok(sum)
    }
}

impl Sled {
    /// Applies a frame of the journal.
    pub(super) fn follow(&mut self, journal: &Journal, frame: Frame) -> Result<(), StoreError> {
        let mut changes = Vec::with_capacity(frame.changes.len());
        for (key, found) in frame.changes {
            changes.push(match found {
                Found::Value(value) => (key, Some(value)),
                Found::Removed => (key, None),
                Found::Damaged => return Err(damaged_frame(journal, frame.at)),
            });
        }
        self.apply(changes)
    }
}

pub(super) fn damaged_frame(journal: &Journal, at: u64) -> StoreError {
    let path = journal.path().display().to_string();
    StoreError::Damaged { path, what: format!("the write at byte {at} of the journal is not what was written") }
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
