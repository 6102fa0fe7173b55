//! Format 1, the first: an empty database gets its head record.
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 1 | 1, the version of the head record |
//! | 1 | 4 | 1, the version of the whole format |
//! | 5 | 16 | the database's id |
//! | 21 | 8 | when it was made: milliseconds since 1970 |
//! | 29 | 8 | 0, the number of the last write |
//! | 37 | 8 | 1, the next number for a gallery, person or face |
//! | 45 | 4 | CRC-32 of the key `h` and the bytes above |
//!
//! Integers are little-endian.

/// The head record that turns format 0 (nothing) into format 1.
pub(super) fn head(id: [u8; 16], now_ms: u64) -> Vec<u8> {
    let mut head = vec![1u8];
    head.extend(1u32.to_le_bytes());
    head.extend(id);
    head.extend(now_ms.to_le_bytes());
    head.extend(0u64.to_le_bytes());
    head.extend(1u64.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(b"h");
    sum.update(&head);
    head.extend(sum.finalize().to_le_bytes());
    head
}
