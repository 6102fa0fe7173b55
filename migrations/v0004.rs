//! Format 4: the photo library.
//!
//! | record | in format 3 | in format 4 |
//! | --- | --- | --- |
//! | head | version 3, format 3, ... | version 3, format 4, ... |
//! | gallery, person, face, chip | version 2, 1, 3, 1 | the same |
//! | photo, its pictures, group | none | version 1 each |
//!
//! Nothing else changes, so a database of format 3 is read as it is, and is of format 4 from the first write on: a
//! program that knows no photos leaves it alone then. Integers are little-endian.

/// The version and the content (what is sealed in an encrypted database) in format 4 of a record in format 3; `None`
/// for one that stays as it is.
pub(super) fn apply(kind: u8, content: &[u8]) -> Option<(u8, Vec<u8>)> {
    if kind != b'h' {
        return None;
    }
    let mut changed = content.to_vec();
    changed.splice(0..4.min(content.len()), 4u32.to_le_bytes());
    Some((3, changed))
}
