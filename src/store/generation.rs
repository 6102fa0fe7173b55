//! A whole database written anew, beside the one that is there: complete on disk before `CURRENT` names it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::PoisonError;

use super::disk::{fault, sync_folder};
use super::journal::Journal;
use super::layout::{self, Current};
use super::sum::Sum;
use super::view::View;
use super::{DataKey, HeadRecord, Key, Store, Writing, codec, migrate};
use crate::error::StoreError;

/// Writes the journal of `current` out of entries (those of the head are passed over) and a head, and returns it when
/// it is on disk, with the head as it was written.
///
/// # Errors
/// [`StoreError::Full`], [`StoreError::Io`], and those of the entries; nothing is left behind then.
pub(super) fn write<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    folder: &Path,
    current: &Current,
    head: &HeadRecord,
    entries: impl Iterator<Item = Result<(K, V), StoreError>>,
) -> Result<(Journal, HeadRecord), StoreError> {
    let (sum, written) = (RefCell::new(Sum::default()), RefCell::new(None));
    let key = Key::Head.bytes();
    let summed = entries.filter(|entry| !entry.as_ref().is_ok_and(|(k, _)| k.as_ref() == key)).inspect(|entry| {
        if let Ok((key, value)) = entry {
            sum.borrow_mut().add(key.as_ref(), value.as_ref());
        }
    });
    let ends_with = |frame: u64| {
        let Sum { entries, digest } = *sum.borrow();
        let head = HeadRecord { format: migrate::FORMAT, frame, entries, digest, ..head.clone() };
        let value = codec::encode(&Key::Head.bytes(), &head, DataKey::DATABASE, None);
        *written.borrow_mut() = Some(head);
        let damaged = |what| StoreError::Damaged { path: folder.display().to_string(), what };
        Ok((Key::Head.bytes(), Some(value.map_err(damaged)?)))
    };
    let names = (current.begun_journal(folder), current.journal(folder));
    let about = (migrate::FORMAT, head.id, head.write);
    let journal = Journal::create((&names.0, &names.1), about, summed, ends_with)?;
    sync_folder(folder)?;
    let head = written.take().unwrap_or_else(|| head.clone());
    Ok((journal, head))
}

/// Sled's files made out of a journal; where that cannot be done the entries in memory, and a sentence that says why.
///
/// # Errors
/// [`StoreError::Damaged`] for a journal that is not sound, [`StoreError::Io`] for one that cannot be read.
pub(super) fn view_of(
    folder: &Path,
    current: &Current,
    journal: &Journal,
) -> Result<(View, Option<String>), StoreError> {
    match View::build(&current.records(folder), journal) {
        Ok(view) => Ok((view, None)),
        Err(e @ (StoreError::Full { .. } | StoreError::Io { .. })) => {
            Ok((View::in_memory(journal)?, Some(format!("the records are held in memory: {e}"))))
        }
        Err(e) => Err(e),
    }
}

/// What the database is gone on from.
pub(super) struct Basis {
    pub current: Current,
    pub journal: Journal,
    pub view: View,
    pub head: HeadRecord,
}

/// Writes the database anew out of entries, makes that the current one, and goes on from it.
pub(super) fn anew<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    folder: &Path,
    current: &Current,
    head: &HeadRecord,
    entries: impl Iterator<Item = Result<(K, V), StoreError>>,
) -> Result<Basis, StoreError> {
    let next = current.next();
    layout::remove(&next.records(folder))?;
    let (journal, head) = write(folder, &next, head, entries)?;
    fault::point();
    layout::point_to(folder, &next)?;
    fault::point();
    let (view, _) = view_of(folder, &next, &journal)?;
    Ok(Basis { current: next, journal, view, head })
}

impl Store {
    /// Writes the database anew and removes the old files, so that what was forgotten is in no file any more. Writers
    /// wait, readers go on. On a disk that has no room for both, sled's files go first: the journal has all they hold.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`]: the old files are as they were, and the next opening tries again.
    /// [`StoreError::Poisoned`] where it is not known which of the two the next opening will find.
    pub(crate) fn rewrite(&self) -> Result<(), StoreError> {
        if let Some(reason) = self.lock.read_only() {
            let path = self.folder.display().to_string();
            return Err(StoreError::ReadOnly { path, reason: reason.to_string() });
        }
        let mut writing = self.writing();
        self.durable.check(&self.folder)?;
        let current = writing.current.next();
        let head = HeadRecord { scrub_due: false, ..writing.head.clone() };
        let copied = || {
            let view = self.view();
            write(&self.folder, &current, &head, view.entries(&[]))
        };
        let mut made = copied();
        // No room for both, or sled does not answer.
        if made.is_err() && self.without_sled() {
            made = copied();
        }
        if matches!(made, Err(StoreError::Full { .. })) && layout::give_room(&self.folder) {
            made = copied();
        }
        let (journal, head) = made?;
        fault::point();
        let mut pointed = layout::point_to(&self.folder, &current);
        if matches!(pointed, Err(StoreError::Full { .. })) && layout::give_room(&self.folder) {
            pointed = layout::point_to(&self.folder, &current);
        }
        if let Err(e) = pointed {
            match e {
                StoreError::Poisoned { .. } => self.durable.poison(&e),
                _ => drop(layout::remove(&current.journal(&self.folder))),
            }
            return Err(e);
        }
        fault::point();
        self.turn_to(&mut writing, current, journal, head)
    }

    /// From here on the database is in the files of `current`, which `CURRENT` names.
    fn turn_to(
        &self,
        writing: &mut Writing,
        current: Current,
        journal: Journal,
        head: HeadRecord,
    ) -> Result<(), StoreError> {
        let made = journal.handle().and_then(|handle| Ok((handle, view_of(&self.folder, &current, &journal)?.0)));
        let (handle, view) = match made {
            Ok(made) => made,
            Err(e) => {
                // What is open is not what the next opening finds.
                self.durable.poison(&e);
                return Err(e);
            }
        };
        let old = {
            let mut held = self.view.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, view)
        };
        drop(old);
        let write = head.write;
        *writing = Writing { head, current, journal, full: false };
        self.durable.moved(handle, write, &self.folder)?;
        let removed = layout::remove_others(&self.folder, Some(&writing.current));
        self.keep_room(writing);
        removed
    }

    /// Keeps as much room as there is, of what forgetting somebody needs.
    pub(super) fn keep_room(&self, writing: &Writing) {
        let more = if self.view().is_on_disk() { 0 } else { writing.journal.end() };
        // A write that needs it asks again.
        let _ = layout::keep_room(&self.folder, more);
    }
}
