//! Consistency check: every record against its checksum, and memory against the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::shelf::vector_fault;
use super::{Database, DatabaseOptions};
use crate::error::{Error, Result, StoreError};
use crate::store::{FaceRecord, GalleryRecord, Key, PersonRecord, PhotoRecord, PicturesRecord, Store};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckReport {
    /// Records looked at.
    pub records: usize,
    /// One sentence a fault; empty when all is well.
    pub faults: Vec<String>,
    /// What a repair or the opening set right, one sentence each.
    pub repaired: Vec<String>,
    /// What a repair could not save, one sentence each.
    #[serde(default)]
    pub lost: Vec<String>,
}

impl CheckReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Database {
    /// Reads every record again and holds memory against the store.
    ///
    /// # Errors
    /// Only when reading itself fails; faults are in the report.
    pub fn check(&self) -> Result<CheckReport> {
        // Writers wait, so that store and memory are of one moment.
        let journal = self.store.journal_faults()?;
        let _turn = self.store.hold_writers();
        let (mut report, _) = survey(&self.store)?;
        report.faults.extend(self.store.ring_faults());
        report.repaired.extend(self.notes().iter().cloned());
        let shelves = self.shelves.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut faces: BTreeMap<u32, usize> = BTreeMap::new();
        if report.is_clean() {
            self.store.scan::<FaceRecord, Error>(|key, record| {
                let Key::Face(gallery, face) = key else { return Ok(()) };
                if self.is_successor(gallery) {
                    return Ok(());
                }
                *faces.entry(gallery).or_default() += 1;
                let shelf = shelves.values().find(|s| s.id == gallery);
                let same = shelf.is_some_and(|s| {
                    let inside = s.read();
                    inside.face(face).is_some_and(|h| h.person == record.person && h.source == record.source_sha256)
                        && inside.vector(face).as_ref() == Some(&record.vector)
                });
                if !same {
                    report.faults.push(format!("face {face} in memory is not what is stored"));
                }
                Ok(())
            })?;
        }
        for shelf in shelves.values() {
            let inside = shelf.read();
            if let Err(fault) = inside.check() {
                report.faults.push(format!("gallery {:?}: {fault}", shelf.record().name));
            }
            let stored = faces.get(&shelf.id).copied().unwrap_or(0);
            if report.is_clean() && stored != inside.face_count() {
                let held = inside.face_count();
                report
                    .faults
                    .push(format!("gallery {:?}: {stored} faces stored, {held} in memory", shelf.record().name));
            }
        }
        // Last, since memory is held against the records only where nothing is wrong with them.
        report.faults.extend(journal);
        Ok(report)
    }
}

/// Keys of entries that cannot stay.
type Unsound = Vec<Vec<u8>>;

/// Every entry, and whether it is whole and belongs somewhere.
fn survey(store: &Store) -> Result<(CheckReport, Unsound)> {
    let mut report = CheckReport::default();
    let mut unsound: BTreeSet<Vec<u8>> = BTreeSet::new();
    store.raw(|key, value| {
        report.records += 1;
        if let Some(fault) = store.fault(key, value) {
            report.faults.push(fault);
            unsound.insert(key.to_vec());
        }
    })?;
    let mut dimensions: BTreeMap<u32, usize> = BTreeMap::new();
    // Galleries that are to replace others: their people are the others'.
    let mut replacing: BTreeMap<u32, u32> = BTreeMap::new();
    let mut people: BTreeSet<(u32, u64)> = BTreeSet::new();
    let mut names: BTreeSet<(u32, String)> = BTreeSet::new();
    let mut faces: BTreeSet<(u32, u64)> = BTreeSet::new();
    let skip = unsound.clone();
    let sound = |key: Key| !skip.contains(&key.bytes());
    let mut fault = |key: Key, what: String| {
        report.faults.push(what);
        unsound.insert(key.bytes());
    };
    store.scan_sound::<GalleryRecord>(&sound, |key, record| {
        if let Key::Gallery(id) = key {
            dimensions.insert(id, record.dimension as usize);
            replacing.extend(record.replaces.map(|replaced| (id, replaced)));
        }
    })?;
    store.scan_sound::<PersonRecord>(&sound, |key, record| {
        let Key::Person(gallery, person) = key else { return };
        if !dimensions.contains_key(&gallery) {
            fault(key, format!("person {person} ({:?}) is of no gallery", record.name));
        } else if !names.insert((gallery, record.name.clone())) {
            fault(key, format!("person {person} has the name of another, {:?}", record.name));
        } else {
            people.insert((gallery, person));
        }
    })?;
    store.scan_sound::<FaceRecord>(&sound, |key, record| {
        let Key::Face(gallery, face) = key else { return };
        let dimension = dimensions.get(&gallery).copied().unwrap_or(0);
        let home = replacing.get(&gallery).copied().unwrap_or(gallery);
        if !people.contains(&(home, record.person)) {
            fault(key, format!("face {face} ({}) is of person {}, who is not there", record.source, record.person));
        } else if let Some(what) = vector_fault(&record.vector, dimension) {
            fault(key, format!("face {face} ({}): {what}", record.source));
        } else {
            faces.insert((gallery, face));
        }
    })?;
    store.scan_sound::<crate::store::ChipRecord>(&sound, |key, _| {
        if let Key::Chip(gallery, face) = key
            && !faces.contains(&(gallery, face))
        {
            fault(key, format!("a chip of face {face}, which is not there"));
        }
    })?;
    let (mut photos, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    store.scan_sound::<PhotoRecord>(&sound, |key, record| {
        let Key::Photo(photo) = key else { return };
        let shown = record.files.first().map_or("of no file", |f| f.path.as_str());
        let dimension = record.faces.first().map_or(0, |f| f.vector.len());
        if let Some(face) = record.faces.iter().find(|f| !numbers.insert(f.id)) {
            fault(key, format!("photo {photo} ({shown}) has face {}, which is another's", face.id));
        } else if let Some(what) = record.faces.iter().find_map(|f| vector_fault(&f.vector, dimension)) {
            fault(key, format!("photo {photo} ({shown}): {what}"));
        } else {
            photos.insert(photo);
        }
    })?;
    store.scan_sound::<PicturesRecord>(&sound, |key, _| {
        if let Key::Pictures(photo) = key
            && !photos.contains(&photo)
        {
            fault(key, format!("pictures of photo {photo}, which is not there"));
        }
    })?;
    Ok((report, unsound.into_iter().collect()))
}

/// Opens a database however it is, puts together what its journal and its records still hold, removes what is not
/// sound, and reports every loss. What is sound stays as it was. `options` say the key and the wait; no database is
/// made.
///
/// # Errors
/// [`StoreError::BeyondRepair`] when nothing is left to put together, and another [`StoreError`] when it cannot be opened
/// even so: the key ring is lost, the disk is full or may only be read. Then a backup is what is left.
pub fn repair(path: impl AsRef<Path>, options: &DatabaseOptions) -> Result<CheckReport> {
    let options = DatabaseOptions { create: false, ..options.clone() };
    let (store, notes) = Store::open(path.as_ref(), options.mode(true)).map_err(beyond_repair)?;
    let mut report = CheckReport { faults: notes.sentences(), ..CheckReport::default() };
    (report.repaired, report.lost) = (notes.mended, notes.lost);
    // Removing a record can leave others without theirs, so until nothing is left to remove.
    loop {
        let (found, unsound) = survey(&store)?;
        report.records = found.records;
        if unsound.is_empty() {
            break;
        }
        let ticket = {
            let mut writer = store.writer()?;
            for key in &unsound {
                writer.remove_raw(key);
            }
            writer.commit()?
        };
        store.settle(ticket)?;
        report.lost.extend(found.faults.iter().map(|f| format!("{f}: removed")));
        report.faults.extend(found.faults);
    }
    let journal = store.journal_faults()?;
    if !journal.is_empty() {
        store.rewrite()?;
        report.repaired.extend(journal.iter().map(|f| format!("made again from the records: {f}")));
        report.faults.extend(journal);
    }
    let ring = store.ring_faults();
    store.clear_ring_faults()?;
    report.lost.extend(ring.iter().cloned());
    report.faults.extend(ring);
    drop(store);
    // What is left must open as any database does.
    Database::open(path, &options)?;
    Ok(report)
}

/// An error of a repair: to advise a repair would be no help.
fn beyond_repair(error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged { path, what } => StoreError::BeyondRepair { path, what },
        other => other,
    }
}
