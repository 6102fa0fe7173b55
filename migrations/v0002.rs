//! Format 2: encryption at rest, vectors as f16, galleries that are embedded anew.
//!
//! | record | in format 1 | in format 2 |
//! | --- | --- | --- |
//! | head | version 1, format 1, ... | version 2, format 2, ..., then 8 bytes: 1, the next data key; 1 byte: 0, not encrypted |
//! | gallery | version 1, ... | version 2, ..., then 1 byte: 0, stored as f32; 1 byte: 0, replaces none |
//! | face | version 1, person (8 bytes), length, numbers, ... | version 2, person, 4 bytes: 0, the vector is f32; length, numbers, ... |
//! | person, chip | version 1 | the same |
//!
//! Each but person and chip ends in a new CRC-32 of its key and the bytes before. Integers are
//! little-endian.

/// The value in format 2 of an entry in format 1; the error is a sentence that names the fault.
pub(super) fn apply(key: &[u8], value: &[u8]) -> Result<Vec<u8>, String> {
    let shape = || format!("entry {key:?} is not of format 1");
    let (body, sum) = value.split_last_chunk::<4>().ok_or_else(shape)?;
    if checksum(key, body) != *sum {
        return Err(format!("entry {key:?} does not match its checksum"));
    }
    let mut changed = body.to_vec();
    match key.first() {
        Some(b'h') if body.len() == 45 => {
            changed[1..5].copy_from_slice(&2u32.to_le_bytes());
            changed.extend(1u64.to_le_bytes());
            changed.push(0);
        }
        Some(b'g') if body.len() > 1 => changed.extend([0, 0]),
        Some(b'f') if body.len() > 9 => drop(changed.splice(9..9, [0; 4])),
        Some(b'p' | b'c') => return Ok(value.to_vec()),
        _ => return Err(shape()),
    }
    changed[0] = 2;
    let sum = checksum(key, &changed);
    changed.extend(sum);
    Ok(changed)
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(body);
    sum.finalize().to_le_bytes()
}
