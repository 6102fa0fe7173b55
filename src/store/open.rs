//! Opening and making a database: what is there, what of it is sound, and which of it to go on from.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use super::disk::fault;
use super::durable::Durable;
use super::generation::{self, Basis, anew};
use super::journal::Journal;
use super::layout::{self, Current};
use super::lock::{self, Lock};
use super::notes::{Notes, finding};
use super::replay::Replayed;
use super::ring::{self, Ring};
use super::sum::Sum;
use super::view::{Sled, View, damaged_frame};
use super::witness::{self, Witness};
use super::{DataKey, HeadRecord, Key, MasterKey, Store, Writing, codec, migrate};
use crate::error::StoreError;
use crate::files;

/// How a database is opened.
#[derive(Debug, Clone)]
pub(crate) struct OpenMode {
    /// Make the database where there is none.
    pub create: bool,
    /// How long to wait for another process to let go of it.
    pub wait: Duration,
    /// Put together what is sound, where something is damaged or acknowledged writes are missing.
    pub repair: bool,
    /// Opens an encrypted database, and makes a new one encrypted.
    pub key: Option<MasterKey>,
}

/// A view whose every record is whole and accounted for.
struct SoundView {
    view: Sled,
    head: HeadRecord,
}

/// What was found of sled's files.
enum FoundView {
    Sound(Box<SoundView>),
    /// Of a format before the journal.
    Old(Sled, u32),
    /// What can be read of it, and what is wrong with it.
    Unsound(Option<View>, String),
}

impl Store {
    /// Opens the database in `folder`; the sentences say what had to be set right or accepted to open it. On a disk
    /// that may only be read it is opened for reading.
    ///
    /// # Errors
    /// A [`StoreError`] that names the folder and the cause; nothing was changed then, but that a
    /// database of an older format was brought to this program's.
    pub(crate) fn open(folder: &Path, mode: OpenMode) -> Result<(Self, Notes), StoreError> {
        look_before_locking(folder, mode.create)?;
        let lock = Lock::take(folder, mode.wait)?;
        let mut notes = Notes::default();
        let current = match find_current(folder, mode.repair, &mut notes)? {
            Some(current) => current,
            None if !mode.create => return Err(StoreError::NotFound { path: folder.display().to_string() }),
            None => make(folder, &lock, mode.key.as_ref())?,
        };
        let writable = lock.read_only().is_none();
        let ring = open_ring(folder, &current, mode.key.as_ref(), writable)?;
        notes.mended.extend(ring.as_ref().and_then(|r| r.healed()).map(str::to_string));
        if writable {
            // Whoever made it under an open umask, or with a program that left it open.
            let _ = files::restrict(folder);
        }
        let basis = find_basis(folder, current, ring.as_ref(), &mode, writable, &mut notes)?;
        let head = &basis.head;
        if head.sealed != ring.is_some() || ring.as_ref().is_some_and(|r| *r.id() != head.id) {
            let what = "the records and the key ring do not belong together".to_string();
            return Err(StoreError::Damaged { path: folder.display().to_string(), what });
        }
        let witness = match Witness::open(folder, head.id, writable) {
            Ok((witness, Some(acknowledged))) if acknowledged <= head.write => witness,
            // The basis was found to go on from nevertheless.
            _ => Witness::create(folder, head.id, head.write)?,
        };
        if writable {
            // They are in nobody's way if they stay, and are tried again at the next opening.
            let _ = layout::remove_others(folder, Some(&basis.current));
        }
        let durable = Durable::new(head.write, witness, basis.journal.handle()?);
        let Basis { current, journal, view, head } = basis;
        let store = Store {
            folder: folder.to_path_buf(),
            view: RwLock::new(view),
            ring: ring.map(RwLock::new),
            writer: Mutex::new(Writing { head, current, journal, full: false }),
            durable,
            lock,
        };
        if writable {
            store.keep_room(&store.writing());
        }
        // With a loss the records do not tell which keys were in use.
        if writable && !mode.repair {
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
}

/// Refuses what is certain without the lock, so that no lock file is left in a folder that is not ours.
fn look_before_locking(folder: &Path, create: bool) -> Result<(), StoreError> {
    let shown = || folder.display().to_string();
    if !folder.exists() {
        if !create {
            return Err(StoreError::NotFound { path: shown() });
        }
        files::private_folder(folder).map_err(|e| super::disk::failed(folder, "making the folder", &e))?;
    }
    if !folder.is_dir() {
        return Err(StoreError::NotADatabase { path: shown(), found: "it is a file".to_string() });
    }
    // A lock file is the first thing that a database in the making has.
    if folder.join(lock::NAME).exists() || folder.join(layout::CURRENT).exists() {
        return Ok(());
    }
    layout::only_beginnings(folder)?;
    if create { Ok(()) } else { Err(StoreError::NotFound { path: shown() }) }
}

/// What `CURRENT` names; a repair takes what is there where it names nothing.
fn find_current(folder: &Path, repair: bool, notes: &mut Notes) -> Result<Option<Current>, StoreError> {
    let found = layout::current(folder).and_then(|current| match current {
        Some(current) => Ok(Some(current)),
        None => layout::only_beginnings(folder).map(|()| None),
    });
    match found {
        Err(e @ StoreError::Damaged { .. }) if repair => {
            let current = layout::guessed(folder).ok_or_else(|| e.clone())?;
            layout::point_to(folder, &current)?;
            notes.mended(format!("{}: made again from the files that are there", finding(&e)));
            Ok(Some(current))
        }
        found => found,
    }
}

/// Opens the ring that `current` names.
fn open_ring(
    folder: &Path,
    current: &Current,
    key: Option<&MasterKey>,
    writable: bool,
) -> Result<Option<Ring>, StoreError> {
    let shown = || folder.display().to_string();
    let how = if writable { ring::Use::Own } else { ring::Use::Read };
    match (current.ring(folder), key) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(StoreError::NotEncrypted { path: shown() }),
        (Some(_), None) => Err(StoreError::KeyNeeded { path: shown() }),
        (Some(path), Some(key)) => Ring::open(&path, key, how).map(Some),
    }
}

/// A new, empty database, complete on disk before `CURRENT` names it.
fn make(folder: &Path, lock: &Lock, key: Option<&MasterKey>) -> Result<Current, StoreError> {
    if let Some(reason) = lock.read_only() {
        return Err(StoreError::ReadOnly { path: folder.display().to_string(), reason: reason.to_string() });
    }
    layout::remove_others(folder, None)?;
    let current = Current::first(key.is_some());
    let made = (|| {
        let mut head = migrate::begin()?;
        head.sealed = key.is_some();
        if let (Some(key), Some(path)) = (key, current.ring(folder)) {
            Ring::create(&path, head.id, key)?;
        }
        let nothing = std::iter::empty::<Result<(Vec<u8>, Vec<u8>), StoreError>>();
        generation::write(folder, &current, &head, nothing)?;
        fault::point();
        Witness::create(folder, head.id, head.write)?;
        fault::point();
        layout::point_to(folder, &current)?;
        super::disk::sync_folder(files::folder_of(folder))
    })();
    if let Err(e) = made {
        // Half a database is in nobody's way, but a full disk has no room for it. Once it is named it is whole.
        if !folder.join(layout::CURRENT).exists() {
            let _ = layout::remove_others(folder, None);
        }
        return Err(e);
    }
    Ok(current)
}

/// What to go on from: the view brought up to the journal, the journal alone, the view alone, or for a repair what
/// the two hold together.
fn find_basis(
    folder: &Path,
    current: Current,
    ring: Option<&Ring>,
    mode: &OpenMode,
    writable: bool,
    notes: &mut Notes,
) -> Result<Basis, StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: folder.display().to_string(), what };
    let acknowledged = witness::last_write(folder);
    if acknowledged.is_none() && !mode.repair {
        let why = if folder.join(witness::NAME).exists() { "cannot be read" } else { "is missing" };
        return Err(damaged(format!("the file {} {why}", witness::NAME)));
    }
    let acknowledged = acknowledged.unwrap_or_else(|| {
        notes.lost(format!("the file {} is missing or damaged: whether writes are lost is not known", witness::NAME));
        0
    });
    let records = current.records(folder);
    let path = current.journal(folder);
    let journal = if path.exists() { Journal::open(&path, writable)? } else { None };
    if let Some(header) = journal.as_ref().map(|j| *j.header()).filter(|h| h.format > migrate::FORMAT) {
        let path = folder.display().to_string();
        return Err(StoreError::TooNew { path, found: header.format, known: migrate::FORMAT });
    }
    let fresh = !records.exists() && journal.is_some();
    let sound = match look_at_records(folder, (&records, &path), journal.is_some(), writable)? {
        FoundView::Old(sled, format) => {
            return migrated(folder, &current, sled, format, ring, (mode.repair, acknowledged), notes);
        }
        FoundView::Unsound(rest, what) => {
            if let Some(journal) = journal.as_ref() {
                let replayed = Replayed::read(journal)?;
                if let Some(head) = replayed.sound_head().filter(|h| h.write >= acknowledged) {
                    drop(rest);
                    let note = (!fresh && writable).then(|| {
                        format!("sled's files were not whole ({what}); they were made again from the journal")
                    });
                    notes.mended.extend(note);
                    return from_journal(folder, current, (&path, writable), replayed.end, head, notes);
                }
            }
            return salvaged(folder, &current, journal.as_ref(), rest, ring, mode, acknowledged, what, notes);
        }
        FoundView::Sound(sound) => match journal.as_ref() {
            None => *sound,
            Some(journal) => match followed(*sound, journal, acknowledged)? {
                Err(sound) => *sound,
                Ok((view, head, end)) => {
                    let gone = || damaged("the journal is gone".to_string());
                    let mut journal = Journal::open(&path, writable)?.ok_or_else(gone)?;
                    if writable && end < journal.end() {
                        journal.cut(end)?;
                    }
                    return Ok(Basis { current, journal, view, head });
                }
            },
        },
    };
    // The view is sound, and the journal is missing, behind it, or damaged where the view ends.
    let replayed = journal.as_ref().map(Replayed::read).transpose()?.unwrap_or_default();
    if let Some(head) = replayed.sound_head().filter(|h| h.write >= acknowledged.max(sound.head.write)) {
        drop(sound);
        notes.mended("sled's files did not fit the journal; they were made again from the journal");
        return from_journal(folder, current, (&path, writable), replayed.end, head, notes);
    }
    if sound.head.write >= acknowledged.max(replayed.last) {
        let what = replayed.faults.first().cloned();
        let what = what.unwrap_or_else(|| "the journal is missing, cut short or damaged at its beginning".to_string());
        notes.mended(format!("{what}; the journal was made again from sled's files, which are whole"));
        let view = View::Sled(sound.view);
        return anew(folder, &current, &sound.head, view.entries(&[]));
    }
    let rest = Some(View::Sled(sound.view));
    salvaged(folder, &current, journal.as_ref(), rest, ring, mode, acknowledged, String::new(), notes)
}

/// What sled's files hold.
fn look_at_records(
    folder: &Path,
    (records, path): (&Path, &Path),
    journalled: bool,
    writable: bool,
) -> Result<FoundView, StoreError> {
    if !records.is_dir() {
        let what = format!("the folder {} is missing", records.file_name().unwrap_or_default().display());
        return Ok(FoundView::Unsound(None, what));
    }
    if !writable && journalled {
        return Ok(FoundView::Unsound(None, "sled cannot open its files for reading only".to_string()));
    }
    let sled = match Sled::open(records, path) {
        Ok(sled) => sled,
        Err(e @ (StoreError::Damaged { .. } | StoreError::Io { .. } | StoreError::Full { .. })) => {
            return Ok(FoundView::Unsound(None, format!("the records cannot be opened: {e}")));
        }
        Err(e) => return Err(e),
    };
    let view = View::Sled(sled);
    let value = match view.head() {
        Ok(Some(value)) => value,
        Ok(None) => return Ok(FoundView::Unsound(Some(view), "the head record is missing".to_string())),
        Err(e) => return Ok(FoundView::Unsound(Some(view), e.to_string())),
    };
    let format = match migrate::format_of(&value, folder) {
        Ok(format) => format,
        Err(StoreError::Damaged { what, .. }) => return Ok(FoundView::Unsound(Some(view), what)),
        Err(e) => return Err(e),
    };
    if format < migrate::JOURNALLED
        && let View::Sled(sled) = view
    {
        return Ok(FoundView::Old(sled, format));
    }
    let (head, sum) = (migrate::head(&value, folder), view.sum());
    match (head, sum, view) {
        (Ok(head), Ok(sum), View::Sled(sled)) if sum == (Sum { entries: head.entries, digest: head.digest }) => {
            Ok(FoundView::Sound(Box::new(SoundView { view: sled, head })))
        }
        (Ok(head), Ok(sum), view) => {
            let what = format!(
                "the records are {} and not {}, or not those of write {}",
                sum.entries, head.entries, head.write
            );
            Ok(FoundView::Unsound(Some(view), what))
        }
        (Err(e), _, view) | (_, Err(e), view) => {
            let what = if let StoreError::Damaged { what, .. } = e { what } else { e.to_string() };
            Ok(FoundView::Unsound(Some(view), what))
        }
    }
}

type Followed = Result<(View, HeadRecord, u64), Box<SoundView>>;

/// Brings a sound view up to the journal: the view, its head, and where the journal's last frame ends. The view comes
/// back where the journal does not go on from it, or does not reach what was acknowledged.
fn followed(sound: SoundView, journal: &Journal, acknowledged: u64) -> Result<Followed, StoreError> {
    let SoundView { mut view, head } = sound;
    let begun = journal.frame_at(head.frame)?.filter(|frame| frame.write == head.write);
    let Some(begun) = begun else { return Ok(Err(Box::new(SoundView { view, head }))) };
    let mut last = head.clone();
    let scanned = journal.scan(begun.end, |frame| {
        let next = frame.head().filter(|h| h.write == last.write + 1 && h.frame == frame.at);
        let next = next.ok_or_else(|| damaged_frame(journal, frame.at))?;
        view.follow(journal, frame)?;
        last = next;
        Ok(())
    });
    let sound = |view, head| Ok(Err(Box::new(SoundView { view, head })));
    match scanned {
        Ok(scanned) if scanned.damaged.is_empty() && last.write >= acknowledged => {
            Ok(Ok((View::Sled(view), last, scanned.end)))
        }
        Ok(_) | Err(StoreError::Damaged { .. }) => sound(view, last),
        // sled cannot be written: the journal alone is gone on from.
        Err(StoreError::Full { .. } | StoreError::Io { .. }) => sound(view, last),
        Err(e) => Err(e),
    }
}

/// Goes on from a journal that is sound up to `end`.
fn from_journal(
    folder: &Path,
    current: Current,
    (path, writable): (&Path, bool),
    end: u64,
    head: HeadRecord,
    notes: &mut Notes,
) -> Result<Basis, StoreError> {
    let gone = || StoreError::Damaged { path: path.display().to_string(), what: "the journal is gone".to_string() };
    let mut journal = Journal::open(path, writable)?.ok_or_else(gone)?;
    let view = if writable {
        if end < journal.end() {
            journal.cut(end)?;
        }
        // What is kept where there was no room for sled's files may have become enough for them.
        let _ = layout::keep_room(folder, 0);
        let (view, note) = generation::view_of(folder, &current, &journal)?;
        notes.mended.extend(note);
        view
    } else {
        View::in_memory(&journal)?
    };
    Ok(Basis { current, journal, view, head })
}

/// Brings a database without a journal to this program's format.
fn migrated(
    folder: &Path,
    current: &Current,
    sled: Sled,
    format: u32,
    ring: Option<&Ring>,
    (repair, acknowledged): (bool, u64),
    notes: &mut Notes,
) -> Result<Basis, StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: folder.display().to_string(), what };
    let view = View::Sled(sled);
    let key = Key::Head.bytes();
    let value = view.head()?.ok_or_else(|| damaged("the head record is missing".to_string()))?;
    let value = migrate::upgraded(format, &key, &value, None).map_err(damaged)?;
    let head = migrate::head(&value, folder)?;
    if head.write < acknowledged {
        let (path, lost, found) = (folder.display().to_string(), acknowledged - head.write, head.write);
        let lost = StoreError::Lost { path, lost, found, acknowledged };
        if !repair {
            return Err(lost);
        }
        notes.lost(finding(&lost));
    }
    let entries = view.entries(&[]).filter_map(|entry| {
        let upgraded = entry.and_then(|(key, value)| {
            let value = migrate::upgraded(format, &key, &value, ring).map_err(damaged)?;
            Ok((key, value))
        });
        match upgraded {
            Err(e) if repair => {
                notes.lost(finding(&e));
                None
            }
            entry => Some(entry),
        }
    });
    anew(folder, current, &head, entries)
}

/// For a repair, what a damaged journal and what is left of the view hold together; otherwise the error that says
/// what is damaged.
#[allow(clippy::too_many_arguments)] // everything that was found is needed here, and nowhere else
fn salvaged(
    folder: &Path,
    current: &Current,
    journal: Option<&Journal>,
    view: Option<View>,
    ring: Option<&Ring>,
    mode: &OpenMode,
    acknowledged: u64,
    wrong: String,
    notes: &mut Notes,
) -> Result<Basis, StoreError> {
    let replayed = journal.map(Replayed::read).transpose()?.unwrap_or_default();
    let found = super::repair::Found { folder, current, journal, view, ring, acknowledged };
    if !mode.repair {
        return Err(found.error(&replayed, wrong));
    }
    found.put_together(replayed, wrong, notes)
}
