//! A photo library: photos on disk, whose faces are remembered in the database and grouped into people.
//!
//! | file | what |
//! | --- | --- |
//! | `scan` | folders to records |
//! | `scanned` | what a scan came to |
//! | `walk` | what is in folders |
//! | `known` | what a file comes to, given the records: new, changed, a copy, moved, gone |
//! | `look` | one file to its record |
//! | `carry` | faces of a photo that was looked at again to those that it had |
//! | `people` | faces to groups, with what somebody has said of them |
//! | `album` | groups and photos as they are listed and looked at, page by page; a photo's picture |
//! | `doubt` | "is this the same person?" |
//! | `correct` | what somebody says: names, merges, splits, "not this person", "not a face" |
//! | `find` | photos of somebody; the same picture saved again |
//! | `sheet` | groups and photos as an HTML page |
//!
//! Invariants:
//! 1. a record is of one content: files with the same bytes are one photo, so no face counts twice;
//! 2. what a batch of files comes to is one write: a scan that is killed goes on where it was;
//! 3. a face keeps its number, and what was said of it, when its photo is moved, saved again, or looked at with another
//!    model or detector.

mod album;
mod carry;
mod correct;
mod doubt;
mod find;
mod known;
mod look;
mod people;
mod scan;
mod scanned;
mod sheet;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_together;
mod upkeep;
mod walk;

use std::collections::BTreeMap;

pub use album::{Album, GroupFace, GroupFilter, GroupOrder};
pub use correct::Correction;
pub use doubt::SamePerson;
pub use find::{Duplicates, FoundFace, FoundPhoto, PhotoFilter, Who};
pub use people::{GroupSummary, Grouped};
pub use scan::ScanOptions;
pub use scanned::{Refused, Scanned};
pub use upkeep::{Hanging, LibraryStatus};

use crate::database::Database;
use crate::error::{LibraryError, Result};
#[cfg(doc)]
use crate::gallery::LibraryChange;
use crate::gallery::LibraryGroups;
use crate::store::{GroupRecord, PhotoRecord};

/// Times that a change is tried while others change the library, too.
const TURNS: usize = 100;

/// The photos of a database.
#[derive(Debug, Clone, Copy)]
pub struct Library<'a> {
    database: &'a Database,
}

impl<'a> Library<'a> {
    /// The library of a database.
    pub fn of(database: &'a Database) -> Self {
        Self { database }
    }

    fn photos(&self) -> Result<BTreeMap<u64, PhotoRecord>> {
        Ok(self.database.library_photos()?.into_iter().collect())
    }

    fn groups(&self) -> Result<BTreeMap<u64, GroupRecord>> {
        Ok(self.groups_to_change()?.1)
    }

    /// The groups, and the state that a change of them is made of ([`LibraryChange::made_of`]).
    fn groups_to_change(&self) -> Result<(Option<u64>, BTreeMap<u64, GroupRecord>)> {
        let LibraryGroups { state, groups } = self.database.library_groups()?;
        Ok((Some(state), groups.into_iter().collect()))
    }

    /// Makes a change of groups, which `work` reads, changes and writes: again where somebody else changed them meanwhile.
    fn in_turn<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        for _ in 1..TURNS {
            match work() {
                // By its name: a service sends no more of an error.
                Err(error) if error.code() == LibraryError::ChangedMeanwhile.code() => {}
                done => return done,
            }
        }
        work()
    }
}

/// Whether none of a photo's files is where it was.
fn is_missing(photo: &PhotoRecord) -> bool {
    photo.files.iter().all(|file| file.missing)
}

/// The model of most faces.
fn main_model(photos: &BTreeMap<u64, PhotoRecord>) -> Option<String> {
    let mut faces: BTreeMap<&str, usize> = BTreeMap::new();
    photos.values().for_each(|p| *faces.entry(&p.model).or_default() += p.faces.len());
    let most = faces.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > 0);
    most.map(|(model, _)| model.to_string())
}

/// The group that is called by a number or by a name.
fn group_called(groups: &BTreeMap<u64, GroupRecord>, called: &str) -> Result<u64, LibraryError> {
    // `#412` is a number whatever anybody is called.
    if let Some(id) = called.strip_prefix('#').and_then(|number| number.parse().ok()) {
        let unknown = || LibraryError::UnknownGroup { group: called.to_string() };
        return groups.contains_key(&id).then_some(id).ok_or_else(unknown);
    }
    let key = Database::name_key(called);
    let named = groups.iter().find(|(_, g)| !g.name.is_empty() && Database::name_key(&g.name) == key);
    let numbered = || called.parse().ok().filter(|id| groups.contains_key(id));
    let found = named.map(|(id, _)| *id).or_else(numbered);
    found.ok_or_else(|| LibraryError::UnknownGroup { group: called.to_string() })
}
