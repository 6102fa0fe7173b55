//! The files of a database's folder: their names, `CURRENT`, and taking away what it does not name.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::disk::{failed, io};
use super::{journal, lock, ring, witness};
use crate::error::StoreError;
use crate::files::{self, Audience};

/// The folder of what can be made again from the records.
pub(super) const CACHES: &str = "index";

pub(super) const CURRENT: &str = "CURRENT";
const MARK: &str = "kith database";
const SUM: &str = "sum ";
/// The ending of a journal's name while it is not whole.
const BEGUN: &str = ".begun";
const RECORDS: &str = "records-";
const JOURNAL: &str = "journal-";
const RING: &str = "ring-";
/// Room kept for forgetting somebody on a full disk. A journal that is written anew takes the room of sled's files; where
/// there are none, since the disk has no room for them, as much is kept here.
pub(super) const RESERVE: &str = "RESERVE";
/// Its least size: the removal of two thousand faces, and the small files that follow, fit in it.
const RESERVED: u64 = 128 << 10;

/// Where a service answers for its database; what is left of one that was killed is in nobody's way.
const SOCKET: &str = "SOCKET";

/// What `CURRENT` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    /// The number of the journal and of sled's folder.
    number: u64,
    /// The number of the key ring of an encrypted database.
    ring: Option<u64>,
}

impl Current {
    /// Of a new database.
    pub(super) fn first(sealed: bool) -> Self {
        Self { number: 1, ring: sealed.then_some(1) }
    }

    /// The one after this, with the ring that is there.
    pub(super) fn next(&self) -> Self {
        Self { number: self.number + 1, ring: self.ring }
    }

    /// With another key ring than before, or with none.
    pub(super) fn with_new_ring(&self, sealed: bool) -> Self {
        Self { number: self.number, ring: sealed.then(|| self.ring.unwrap_or(0) + 1) }
    }

    pub(super) fn records(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{RECORDS}{}", self.number))
    }

    pub(super) fn journal(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{JOURNAL}{}", self.number))
    }

    /// Where the journal is made before it has its name.
    pub(super) fn begun_journal(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{JOURNAL}{}{BEGUN}", self.number))
    }

    pub(super) fn ring(&self, folder: &Path) -> Option<PathBuf> {
        self.ring.map(|n| folder.join(format!("{RING}{n}")))
    }

    fn keeps(&self, name: &str) -> bool {
        let ring = self.ring.map(|n| format!("{RING}{n}"));
        name == format!("{RECORDS}{}", self.number)
            || name == format!("{JOURNAL}{}", self.number)
            || ring.is_some_and(|ring| name == ring || name == ring::mirror_of(&ring))
    }

    /// The file's text: what it names, and a checksum of that.
    fn text(&self) -> String {
        let ring = self.ring.map(|n| format!("{RING}{n}\n")).unwrap_or_default();
        let named = format!("{MARK}\n{RECORDS}{}\n{ring}", self.number);
        let sum = crc32fast::hash(named.as_bytes());
        format!("{named}{SUM}{sum:08x}\n")
    }

    /// Reads that text, and whether it had its checksum: before there was a journal it had none.
    fn parse(text: &str) -> Option<(Self, bool)> {
        let number = |line: &str, head: &str| -> Option<u64> {
            let digits = line.strip_prefix(head).filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse().ok()
        };
        let (lines, summed) = match text.lines().collect::<Vec<_>>() {
            mut lines if lines.last().is_some_and(|l| l.starts_with(SUM)) => {
                lines.pop();
                (lines, true)
            }
            lines => (lines, false),
        };
        let found = match lines.as_slice() {
            [MARK, records] => Self { number: number(records, RECORDS)?, ring: None },
            [MARK, records, ring] => Self { number: number(records, RECORDS)?, ring: Some(number(ring, RING)?) },
            _ => return None,
        };
        (!summed || found.text() == text).then_some((found, summed))
    }

    /// Whether what it names is in the folder; a lost key ring is not its fault, unless there is another.
    fn is_there(&self, folder: &Path) -> bool {
        let ring = match self.ring(folder) {
            None => true,
            Some(path) => ring::is_there(&path) || guessed(folder).is_none_or(|other| other.ring.is_none()),
        };
        ring && (self.journal(folder).exists() || self.records(folder).is_dir())
    }
}

/// What `CURRENT` names at present; `None` where there is no such file, and an error where it names nothing.
pub(super) fn current(folder: &Path) -> Result<Option<Current>, StoreError> {
    let path = folder.join(CURRENT);
    // Whatever bytes damage made of it.
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(&path, "reading", &e)),
    };
    let damaged = |what: &str| StoreError::Damaged {
        path: folder.display().to_string(),
        what: format!("the file {CURRENT} {what}"),
    };
    let (found, summed) = Current::parse(&text).ok_or_else(|| damaged("does not name the records"))?;
    // Whatever has a journal has a checksum here.
    if !summed && found.journal(folder).exists() {
        return Err(damaged("is cut short"));
    }
    if !found.is_there(folder) {
        return Err(damaged("names files that are not there"));
    }
    Ok(Some(found))
}

/// What `CURRENT` must have named, where it is lost: the one journal or folder of records, and the one ring.
pub(super) fn guessed(folder: &Path) -> Option<Current> {
    let names: Vec<String> =
        fs::read_dir(folder).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    let numbers = |head: &str| {
        let mut found: Vec<u64> = names.iter().filter_map(|n| n.strip_prefix(head)?.parse().ok()).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let mut all = numbers(RECORDS);
    all.extend(numbers(JOURNAL));
    all.sort_unstable();
    all.dedup();
    match (all.as_slice(), numbers(RING).as_slice()) {
        ([number], []) => Some(Current { number: *number, ring: None }),
        ([number], [ring]) => Some(Current { number: *number, ring: Some(*ring) }),
        _ => None,
    }
}

/// Makes `current` the one that the next opening takes, in one step.
///
/// # Errors
/// Before the step [`StoreError::Full`] or [`StoreError::Io`], and the step was not made; after it
/// [`StoreError::Poisoned`]: it was made, and may not be on disk.
pub(super) fn point_to(folder: &Path, current: &Current) -> Result<(), StoreError> {
    let path = folder.join(CURRENT);
    files::write_whole(&path, current.text().as_bytes(), Audience::Owner).map_err(|e| failed(&path, "writing", &e))?;
    files::sync_folder(folder).map_err(|e| StoreError::Poisoned {
        path: folder.display().to_string(),
        reason: format!("{CURRENT} was replaced, and the folder could not be synced: {e}"),
    })
}

/// Refuses a folder without `CURRENT` that holds anything but the beginnings of a database.
pub(super) fn only_beginnings(folder: &Path) -> Result<(), StoreError> {
    let path = || folder.display().to_string();
    let entries = fs::read_dir(folder).map_err(|e| io(folder, "reading", &e))?;
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|e| io(folder, "reading", &e))?.file_name().to_string_lossy().into_owned());
    }
    let ours = |name: &String| {
        let heads = [RECORDS, JOURNAL, RING, CURRENT, RESERVE, SOCKET, witness::NAME];
        name == lock::NAME || name == CACHES || heads.iter().any(|head| name.starts_with(head))
    };
    if let Some(other) = names.iter().find(|n| !ours(n)) {
        return Err(StoreError::NotADatabase { path: path(), found: format!("it holds {other}") });
    }
    // A database begins with number 1 and no write acknowledged; with more there was a CURRENT once.
    let written = witness::last_write(folder).is_some_and(|write| write > 0);
    let later = |n: &String| {
        [RECORDS, JOURNAL].iter().any(|h| n.strip_prefix(h).is_some_and(|rest| rest != "1" && !rest.ends_with(BEGUN)))
    };
    let journal = Current::first(false).journal(folder);
    let used = journal.exists() && journal::Journal::open(&journal, false)?.is_some_and(|j| j.holds_writes());
    if written || used || names.iter().any(later) {
        return Err(StoreError::Damaged { path: path(), what: format!("the file {CURRENT} is missing") });
    }
    Ok(())
}

/// Removes the journals, folders of records and rings that are not the current ones, their bytes overwritten first,
/// and half-written files.
///
/// # Errors
/// [`StoreError::Io`] for the first that cannot be removed.
pub(super) fn remove_others(folder: &Path, current: Option<&Current>) -> Result<(), StoreError> {
    let entries = fs::read_dir(folder).map_err(|e| io(folder, "reading", &e))?;
    let left: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    for path in left {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let numbered = [RECORDS, JOURNAL, RING].iter().any(|head| name.starts_with(head));
        let kept = current.is_some_and(|c| c.keeps(&name));
        if (numbered && !kept)
            || (name.ends_with(".tmp") && [CURRENT, witness::NAME].iter().any(|h| name.starts_with(h)))
        {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Overwrites and removes a file or a folder; nothing where there is none.
///
/// # Errors
/// [`StoreError::Io`].
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    wipe(path);
    let removed = if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(path, "removing", &e)),
        _ => Ok(()),
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
        file.sync_data()?;
        // Its blocks are free from here on, though a handle of it that cannot be closed may be left.
        file.set_len(0)
    });
    // What cannot be overwritten is removed all the same.
    drop(overwritten);
}

/// Sees to it that some room on the disk is taken, and `more` bytes beside, for [`give_room`].
///
/// # Errors
/// [`StoreError::Full`] where there is less; what there is, is taken.
pub(super) fn keep_room(folder: &Path, more: u64) -> Result<(), StoreError> {
    let path = folder.join(RESERVE);
    let wanted = RESERVED + more;
    let grown = files::open_private(&path).and_then(|mut file| {
        let mut there = file.metadata()?.len();
        if there > wanted {
            return file.set_len(wanted);
        }
        if files::allocate(&file, wanted)? {
            return Ok(());
        }
        file.seek(SeekFrom::End(0))?;
        // Not zeros, which some file systems do not store.
        let bytes: Vec<u8> = (0..1usize << 14).map(|i| (i * 167 % 251 + 1) as u8).collect();
        while there < wanted {
            let step = (wanted - there).min(bytes.len() as u64);
            file.write_all(&bytes[..step as usize])?;
            there += step;
        }
        Ok(())
    });
    grown.map_err(|e| failed(&path, "keeping room for forgetting", &e))
}

/// Gives the room back that was kept, and what [`hold_open`]'s files have taken since they were removed; whether there
/// was any.
pub(super) fn give_room(folder: &Path) -> bool {
    let reclaimed = reclaim();
    files::free(&folder.join(RESERVE)) || reclaimed
}

/// Files of sled handles that cannot be closed: what those still write after the files are removed takes room that
/// nobody sees, until the process ends.
static HELD_OPEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Keeps a handle of each file in a folder whose sled is left open, so that its blocks can be freed again.
pub(super) fn hold_open(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let files = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
    let opened = files.filter_map(|e| fs::OpenOptions::new().write(true).open(e.path()).ok());
    HELD_OPEN.lock().unwrap_or_else(PoisonError::into_inner).extend(opened);
}

/// Frees the blocks of those files that have no name any more; whether there were any.
fn reclaim() -> bool {
    let mut freed = false;
    for file in HELD_OPEN.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let taken = file.metadata().is_ok_and(|found| is_removed(&found) && found.len() > 0);
        freed |= taken && file.set_len(0).is_ok();
    }
    freed
}

#[cfg(unix)]
fn is_removed(found: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(found) == 0
}

#[cfg(not(unix))]
fn is_removed(_: &fs::Metadata) -> bool {
    false
}

/// Bytes of a file, or of all files in a folder; 0 where there is none.
pub(super) fn size(path: &Path) -> std::io::Result<u64> {
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        found => found?,
    };
    if !found.is_dir() {
        return Ok(found.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_without_a_name_takes_is_given_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("records-1");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("db"), vec![1; 1 << 20]).unwrap();
        let mut theirs = fs::OpenOptions::new().write(true).open(folder.join("db")).unwrap();
        hold_open(&folder);
        // While it has its name its bytes are somebody's.
        reclaim();
        assert_eq!(theirs.metadata().unwrap().len(), 1 << 20);
        remove(&folder).unwrap();
        assert_eq!(theirs.metadata().unwrap().len(), 0);
        theirs.write_all(&[2; 1000]).unwrap();
        assert!(give_room(place.path()));
        assert_eq!(theirs.metadata().unwrap().len(), 0);
        assert!(!give_room(place.path()));
    }
}
