//! Format 3: a journal of every write beside sled, and the detector of each face.
//!
//! | record | in format 2 | in format 3 |
//! | --- | --- | --- |
//! | head | version 2, format 2, ... | version 3, format 3, ..., then 8 bytes: the offset in the journal of the frame of the last write; 8: records but for this one; 8: their digest; 1 byte: 0, no forgetting is to be finished |
//! | face | version 2, ... | version 3, ..., then 8 bytes: 0, the length of the detector's name: it is not known |
//! | gallery, person, chip | version 2, 1, 1 | the same |
//!
//! The files: `journal-N` comes to `records-N`, with a new N; the key ring gets a mirror. Integers are little-endian.

/// The version and the content (what is sealed in an encrypted database) in format 3 of a record in format 2; `None`
/// for one that stays as it is.
pub(super) fn apply(kind: u8, content: &[u8]) -> Option<(u8, Vec<u8>)> {
    let mut changed = content.to_vec();
    match kind {
        b'h' => {
            changed.splice(0..4.min(content.len()), 3u32.to_le_bytes());
            changed.extend([0; 25]);
        }
        b'f' => changed.extend([0; 8]),
        _ => return None,
    }
    Some((3, changed))
}
