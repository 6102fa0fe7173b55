//! The journal read from its beginning: what the database holds by it, what of it cannot be read, and putting
//! together what a damaged journal and a damaged view still hold.

use std::collections::BTreeMap;

use super::journal::{FIRST, Found, Journal};
use super::sum::Sum;
use super::view::View;
use super::{HeadRecord, Key, codec};
use crate::error::StoreError;

/// What the journal knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Value(Vec<u8>),
    Damaged,
    Removed,
}

/// The journal's content.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// By key: the write that changed it last, and to what.
    known: BTreeMap<Vec<u8>, (u64, Known)>,
    /// Writes of which a part or all cannot be read, ascending.
    holes: Vec<u64>,
    /// The last write that can be read.
    pub last: u64,
    /// Where its frame ends.
    pub end: u64,
    /// One sentence for each stretch that cannot be read.
    pub faults: Vec<String>,
}

impl Replayed {
    /// Reads the whole journal.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn read(journal: &Journal) -> Result<Self, StoreError> {
        let mut all = Self { end: FIRST, ..Self::default() };
        let (mut expected, mut jumps) = (FIRST, Vec::new());
        let scanned = journal.scan(FIRST, |frame| {
            let after = if frame.at == expected { None } else { Some(frame.at) };
            // Whole writes that are missing, or a part of the one that is read.
            if after.is_some() || frame.write > all.last + 1 && all.last > 0 {
                jumps.push((all.last, frame.write));
            }
            (expected, all.last) = (frame.end, frame.write);
            for (key, found) in frame.changes {
                let known = match found {
                    Found::Value(value) => Known::Value(value),
                    Found::Removed => Known::Removed,
                    Found::Damaged => {
                        all.faults.push(format!("write {}: {} is damaged in the journal", frame.write, named(&key)));
                        Known::Damaged
                    }
                };
                all.known.insert(key, (frame.write, known));
            }
            Ok(())
        })?;
        for stretch in &scanned.damaged {
            all.faults.push(format!("bytes {} to {} of the journal are damaged", stretch.start, stretch.end - 1));
        }
        for (before, after) in jumps {
            all.holes.extend(if after > before + 1 { before + 1..after } else { after..after + 1 });
        }
        all.end = scanned.end;
        Ok(all)
    }

    /// The head record, where it can be read and what the journal holds has the sum that it says.
    pub(super) fn sound_head(&self) -> Option<HeadRecord> {
        let head = self.head().filter(|_| self.faults.is_empty() && self.holes.is_empty())?;
        let sum = self.sum();
        (Sum { entries: head.entries, digest: head.digest } == sum && head.write == self.last).then_some(head)
    }

    /// The sum over what the journal holds.
    pub(super) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for (key, (_, known)) in &self.known {
            if let Known::Value(value) = known {
                sum.add(key, value);
            }
        }
        sum
    }

    /// The head record, where it can be read.
    pub(super) fn head(&self) -> Option<HeadRecord> {
        let key = Key::Head.bytes();
        match self.known.get(&key)? {
            (_, Known::Value(value)) => codec::decode(&key, value, None).ok(),
            _ => None,
        }
    }

    /// Puts together what the journal and the view hold. `lost` hears of every record of which neither has a sound
    /// copy, and of every one of which only an older copy is left. The head is not among the entries.
    pub(super) fn merged(self, view: Option<&View>, lost: &mut Vec<String>) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let seen = view.map(Seen::of).unwrap_or_default();
        let seen_to = seen.head.as_ref().map_or(0, |h| h.write);
        // Whether a write that the journal lacks, later than this one, is in the view.
        let newer = |write: u64| self.holes.iter().any(|hole| *hole > write && *hole <= seen_to);
        let mut entries = BTreeMap::new();
        for (key, (write, known)) in &self.known {
            let other = seen.entries.get(key);
            let taken = match (known, other) {
                (Known::Value(value), None) => {
                    // Removed since, in a write that the journal lacks and the view has.
                    let removed = seen.complete && newer(*write);
                    if removed { None } else { Some(value.clone()) }
                }
                (Known::Value(value), Some(other)) => Some(if newer(*write) { other } else { value }.clone()),
                (Known::Removed, other) => other.filter(|_| newer(*write)).cloned(),
                (Known::Damaged, Some(other)) => {
                    if seen_to < *write {
                        lost.push(format!("{}: an older copy is kept, the one of write {write} is lost", named(key)));
                    }
                    Some(other.clone())
                }
                (Known::Damaged, None) => {
                    lost.push(format!("{} is lost: neither copy of it is whole", named(key)));
                    None
                }
            };
            entries.extend(taken.map(|value| (key.clone(), value)));
        }
        for (key, value) in seen.entries {
            if !self.known.contains_key(&key) {
                entries.insert(key, value);
            }
        }
        for key in seen.damaged {
            if !self.known.contains_key(&key) {
                lost.push(format!("{} is lost: it is damaged in the records, and not in the journal", named(&key)));
            }
        }
        for hole in self.holes.iter().filter(|hole| **hole > seen_to) {
            lost.push(format!("write {hole} is lost, or a part of it: what it changed is as it was before"));
        }
        entries.remove(&Key::Head.bytes());
        entries
    }
}

/// What can be read of a view.
#[derive(Default)]
struct Seen {
    head: Option<HeadRecord>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    damaged: Vec<Vec<u8>>,
    /// Whether all of it could be read.
    complete: bool,
}

impl Seen {
    fn of(view: &View) -> Self {
        let mut seen = Self { complete: true, ..Self::default() };
        for entry in view.entries(&[]) {
            match entry {
                Ok((key, value)) if codec::is_whole(&key, &value) => {
                    drop(seen.entries.insert(key.to_vec(), value.to_vec()))
                }
                Ok((key, _)) => seen.damaged.push(key.to_vec()),
                Err(_) => seen.complete = false,
            }
        }
        let key = Key::Head.bytes();
        seen.head = seen.entries.get(&key).and_then(|value| codec::decode(&key, value, None).ok());
        if let Some(head) = &seen.head {
            let mut sum = Sum::default();
            seen.entries.iter().for_each(|(key, value)| sum.add(key, value));
            seen.complete &= Sum { entries: head.entries, digest: head.digest } == sum;
        }
        seen.complete &= seen.head.is_some();
        seen
    }
}

/// A key in words.
fn named(key: &[u8]) -> String {
    match Key::parse(key) {
        Some(Key::Head) => "the head record".to_string(),
        Some(Key::Gallery(gallery)) => format!("the record of gallery {gallery}"),
        Some(Key::Person(_, person)) => format!("the record of person {person}"),
        Some(Key::Face(_, face)) => format!("face {face}"),
        Some(Key::Chip(_, face)) => format!("the chip of face {face}"),
        Some(Key::Group(group)) => format!("the record of group {group}"),
        Some(Key::Photo(photo)) => format!("the record of photo {photo}"),
        Some(Key::Pictures(photo)) => format!("the pictures of photo {photo}"),
        None => format!("the entry under {key:?}"),
    }
}
