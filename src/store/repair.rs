//! What is damaged, and putting together what is sound.

use std::collections::HashMap;
use std::path::Path;

use super::generation::{Basis, anew};
use super::journal::{FIRST, Found as FoundChange, Journal};
use super::layout::Current;
use super::notes::{Notes, finding};
use super::replay::Replayed;
use super::ring::Ring;
use super::sum::Sum;
use super::view::View;
use super::{HeadRecord, Key, Store, migrate};
use crate::error::StoreError;

/// What is left of a database that neither its journal nor its view can be gone on from alone.
pub(super) struct Found<'a> {
    pub folder: &'a Path,
    pub current: &'a Current,
    pub journal: Option<&'a Journal>,
    pub view: Option<View>,
    pub ring: Option<&'a Ring>,
    /// The last write acknowledged.
    pub acknowledged: u64,
}

impl Found<'_> {
    /// Why the database does not open.
    pub(super) fn error(&self, replayed: &Replayed, wrong: String) -> StoreError {
        let path = self.folder.display().to_string();
        let (found, acknowledged) = (replayed.last.max(self.seen_to()), self.acknowledged);
        if replayed.faults.is_empty() && self.journal.is_some() && found < acknowledged {
            return StoreError::Lost { path, lost: acknowledged - found, found, acknowledged };
        }
        let what = match (replayed.faults.first(), wrong.is_empty()) {
            (Some(fault), false) => format!("{fault}; and {wrong}"),
            (Some(fault), true) => fault.clone(),
            (None, false) => wrong,
            (None, true) => format!("the journal does not reach write {acknowledged}, which was acknowledged"),
        };
        StoreError::Damaged { path, what }
    }

    fn seen_to(&self) -> u64 {
        let head = self.view.as_ref().and_then(|v| v.head().ok().flatten());
        head.and_then(|value| migrate::head(&value, self.folder).ok()).map_or(0, |h| h.write)
    }

    /// A new database out of every sound record, made the current one; `notes` names what was wrong, and what is lost.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where nothing tells which database this was, [`StoreError::Full`], [`StoreError::Io`].
    pub(super) fn put_together(
        self,
        replayed: Replayed,
        wrong: String,
        notes: &mut Notes,
    ) -> Result<Basis, StoreError> {
        let seen = self.view.as_ref().and_then(|v| v.head().ok().flatten());
        let seen = seen.and_then(|value| migrate::head(&value, self.folder).ok());
        let known = [replayed.head(), seen].into_iter().flatten().max_by_key(|h| h.write);
        let id = known.as_ref().map(|h| h.id).or(self.ring.map(|r| *r.id())).or(self.journal.map(|j| j.header().id));
        let Some(id) = id else { return Err(self.error(&replayed, wrong)) };
        if !wrong.is_empty() {
            notes.found.push(wrong);
        }
        notes.found.extend(replayed.faults.iter().cloned());
        let (last, seen_to) = (replayed.last, self.seen_to());
        if last.max(seen_to) < self.acknowledged {
            let (path, found) = (self.folder.display().to_string(), last.max(seen_to));
            let (lost, acknowledged) = (self.acknowledged - found, self.acknowledged);
            notes.lost(finding(&StoreError::Lost { path, lost, found, acknowledged }));
        }
        let entries = replayed.merged(self.view.as_ref(), &mut notes.lost);
        drop(self.view);
        let numbers = entries.keys().filter_map(|key| Key::parse(key)).map(|key| match key {
            Key::Head => 0,
            Key::Gallery(gallery) => u64::from(gallery),
            Key::Person(_, number) | Key::Face(_, number) | Key::Chip(_, number) => number,
            Key::Group(number) | Key::Photo(number) | Key::Pictures(number) => number,
        });
        let next_id = numbers.max().map_or(1, |n| n + 1);
        // Ids and keys that a lost write has given are not given again.
        let missing = self.acknowledged.saturating_sub(last);
        let begun = migrate::begin()?;
        let known = known.unwrap_or(HeadRecord { id, sealed: self.ring.is_some(), next_id, ..begun });
        let head = HeadRecord {
            write: last.max(seen_to).max(self.acknowledged).max(known.write) + 1,
            next_id: known.next_id.max(next_id) + 2 * missing,
            next_key: known.next_key.max(self.ring.map_or(1, Ring::len)),
            ..known
        };
        anew(self.folder, self.current, &head, entries.into_iter().map(Ok))
    }
}

impl Store {
    /// What is wrong with the journal, one sentence each: whatever of it is not what was written, and whether it holds
    /// the same records as the view.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn journal_faults(&self) -> Result<Vec<String>, StoreError> {
        let mut writing = self.writing();
        let (mut faults, mut sum) = (Vec::new(), Sum::default());
        if !writing.journal.headers_sound()? {
            faults.push("a header of the journal is damaged".to_string());
        }
        let mut held: HashMap<Vec<u8>, u64> = HashMap::new();
        let scanned = writing.journal.scan(FIRST, |frame| {
            for (key, found) in frame.changes {
                let hash = match found {
                    FoundChange::Value(value) => Some(Sum::hash(&key, &value)),
                    FoundChange::Removed => None,
                    FoundChange::Damaged => {
                        faults.push(format!("write {}: a record is damaged in the journal", frame.write));
                        None
                    }
                };
                sum.exchange(&key, held.get(&key).copied(), hash);
                match hash {
                    Some(hash) => drop(held.insert(key, hash)),
                    None => drop(held.remove(&key)),
                }
            }
            Ok(())
        })?;
        for stretch in &scanned.damaged {
            faults.push(format!("bytes {} to {} of the journal are damaged", stretch.start, stretch.end - 1));
        }
        if scanned.end != writing.journal.end() {
            faults.push(format!("the journal is damaged from byte {} to its end", scanned.end));
        }
        let head = &writing.head;
        if faults.is_empty() && sum != (Sum { entries: head.entries, digest: head.digest }) {
            faults.push("the journal does not hold the same records as the database".to_string());
        }
        Ok(faults)
    }
}
