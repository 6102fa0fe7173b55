//! Brings a database to this program's format, one version at a time, each in one atomic batch.

use std::path::Path;

use super::codec::{self, Record};
use super::{HeadRecord, Key, guarded};
use crate::error::StoreError;

#[path = "../../migrations/v0001.rs"]
mod v0001;

/// The format that this program writes.
pub(super) const FORMAT: u32 = 1;
/// In every version the format's number stands here in the head's value, as a little-endian `u32`.
const FORMAT_AT: std::ops::Range<usize> = 1..5;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// The head of a database at format [`FORMAT`], to which it is brought where it is older.
pub(super) fn migrate(db: &sled::Db, folder: &Path) -> Result<HeadRecord, StoreError> {
    let path = || folder.display().to_string();
    let key = Key::Head.bytes();
    let read = || guarded(folder, "reading the head", || db.get(&key));
    let found = match read()? {
        None if db.is_empty() => 0,
        None => return Err(StoreError::Damaged { path: path(), what: "the head record is missing".to_string() }),
        Some(value) => match value.get(FORMAT_AT).and_then(|b| b.try_into().ok()) {
            Some(number) => u32::from_le_bytes(number),
            None => return Err(StoreError::Damaged { path: path(), what: "the head record is cut short".to_string() }),
        },
    };
    if found > FORMAT {
        // A damaged number is told from a newer one by the checksum, which no version moves.
        if let Some(value) = read()?.filter(|v| !codec::is_whole(&key, v)) {
            let what = format!("the head record ({} bytes) does not match its checksum", value.len());
            return Err(StoreError::Damaged { path: path(), what });
        }
        return Err(StoreError::TooNew { path: path(), found, known: FORMAT });
    }
    if found < 1 {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| StoreError::Io {
            path: path(),
            doing: "drawing an id",
            reason: e.to_string(),
        })?;
        let mut batch = sled::Batch::default();
        v0001::apply(&mut batch, id, now_ms());
        guarded(folder, "migrating to format 1", || db.apply_batch(batch).and_then(|()| db.flush()))?;
    }
    let value = read()?.unwrap_or_default();
    codec::decode::<HeadRecord>(&key, &value).map_err(|what| StoreError::Damaged { path: path(), what })
}

const _: () = assert!(HeadRecord::VERSION == 1, "a new head needs a migration");
