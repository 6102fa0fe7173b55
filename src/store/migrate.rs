//! Brings a database to this program's format, one version at a time. Entries are changed on their way into
//! a new journal, which becomes the current one as a whole or not at all: that is the transaction, however large the
//! database.

use std::path::Path;

use super::codec;
use super::ring::Ring;
use super::{HeadRecord, Key};
use crate::error::StoreError;
use crate::files::now_ms;

#[path = "../../migrations/v0001.rs"]
mod v0001;
#[path = "../../migrations/v0002.rs"]
mod v0002;
#[path = "../../migrations/v0003.rs"]
mod v0003;
#[path = "../../migrations/v0004.rs"]
mod v0004;

/// The format that this program writes.
pub(super) const FORMAT: u32 = 4;
/// The first format that has a journal.
pub(super) const JOURNALLED: u32 = 3;
/// In every version the format's number stands here in the head's value, as a little-endian `u32`.
const FORMAT_AT: std::ops::Range<usize> = 1..5;

/// The format of a database whose head is stored as `value`.
pub(super) fn format_of(value: &[u8], folder: &Path) -> Result<u32, StoreError> {
    let path = || folder.display().to_string();
    let damaged = |what: String| StoreError::Damaged { path: path(), what };
    let found = value.get(FORMAT_AT).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let found = found.ok_or_else(|| damaged("the head record is cut short".to_string()))?;
    if !codec::is_whole(&Key::Head.bytes(), value) {
        // A damaged number is told from a newer one by the checksum, which no version moves.
        return Err(damaged(format!("the head record ({} bytes) does not match its checksum", value.len())));
    }
    if found > FORMAT {
        return Err(StoreError::TooNew { path: path(), found, known: FORMAT });
    }
    Ok(found)
}

/// An entry of an older format in this one; the error is a sentence that names the fault. `ring` is the key ring of an
/// encrypted database.
pub(super) fn upgraded(found: u32, key: &[u8], value: &[u8], ring: Option<&Ring>) -> Result<Vec<u8>, String> {
    let mut value = value.to_vec();
    if found < 2 {
        value = v0002::apply(key, &value)?;
    }
    if found < 3 {
        let opened = codec::opened(key, &value, ring)?;
        let kind = key.first().copied().unwrap_or_default();
        if let Some((version, content)) = v0003::apply(kind, &opened.content) {
            value = codec::closed(key, version, opened.data_key, &content, ring)?;
        }
    }
    if found < 4 {
        let opened = codec::opened(key, &value, ring)?;
        let kind = key.first().copied().unwrap_or_default();
        if let Some((version, content)) = v0004::apply(kind, &opened.content) {
            value = codec::closed(key, version, opened.data_key, &content, ring)?;
        }
    }
    Ok(value)
}

/// The head of a new database.
pub(super) fn begin() -> Result<HeadRecord, StoreError> {
    let first = v0001::head(super::key::random()?, now_ms());
    let key = Key::Head.bytes();
    let damaged = |what: String| StoreError::Damaged { path: String::new(), what };
    let value = upgraded(1, &key, &first, None).map_err(damaged)?;
    head(&value, Path::new(""))
}

/// The head in a stored value of this format.
pub(super) fn head(value: &[u8], folder: &Path) -> Result<HeadRecord, StoreError> {
    codec::decode::<HeadRecord>(&Key::Head.bytes(), value, None)
        .map_err(|what| StoreError::Damaged { path: folder.display().to_string(), what })
}

const _: () = assert!(<HeadRecord as codec::Record>::VERSION == 3, "a new head needs a migration");
