//! Records to bytes and back: the only place that names bincode, so that it can be replaced without
//! touching a record.
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 1 | version of the record's format |
//! | 1 | n | the record: bincode 2, little-endian, integers at their full width |
//! | 1 + n | 4 | CRC-32 (IEEE) of the key, then bytes 0 to n, little-endian |
//!
//! The checksum covers the key, so that a record under another's key is damage, not an answer.

use serde::Serialize;
use serde::de::DeserializeOwned;

const CHECKSUM: usize = 4;
/// Longest record that is read: a chip and its thumbnail take a tenth of it.
const LONGEST: usize = 4 << 20;

/// What is stored under a kind of key.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// First byte of its keys.
    const KIND: u8;
    /// Version of its format that is written.
    const VERSION: u8;
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding().with_limit::<LONGEST>()
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(body);
    crc.finalize().to_le_bytes()
}

/// The value to store under `key`.
pub(super) fn encode<R: Record>(key: &[u8], record: &R) -> Result<Vec<u8>, String> {
    let mut value = vec![R::VERSION];
    bincode::serde::encode_into_std_write(record, &mut value, config()).map_err(|e| e.to_string())?;
    if value.len() > LONGEST {
        return Err(format!("the record takes {} bytes, more than {LONGEST}", value.len()));
    }
    let sum = checksum(key, &value);
    value.extend(sum);
    Ok(value)
}

/// Whether the value carries its checksum, whatever its version.
pub(super) fn is_whole(key: &[u8], value: &[u8]) -> bool {
    value.split_last_chunk::<CHECKSUM>().is_some_and(|(body, sum)| checksum(key, body) == *sum)
}

/// The record in a value stored under `key`; the error is a sentence that names the fault.
pub(super) fn decode<R: Record>(key: &[u8], value: &[u8]) -> Result<R, String> {
    let shown = || super::Key::parse(key).map_or_else(|| format!("record {key:?}"), |k| format!("record {k:?}"));
    let Some((body, sum)) = value.split_last_chunk::<CHECKSUM>() else {
        return Err(format!("{} is cut short", shown()));
    };
    if checksum(key, body) != *sum {
        return Err(format!("{} does not match its checksum", shown()));
    }
    match body.split_first() {
        Some((&version, bytes)) if version == R::VERSION => {
            let (record, read) = bincode::serde::decode_from_slice(bytes, config())
                .map_err(|e| format!("{} cannot be read: {e}", shown()))?;
            if read == bytes.len() { Ok(record) } else { Err(format!("{} has bytes too many", shown())) }
        }
        Some((version, _)) => Err(format!("{} has format {version}, not {}", shown(), R::VERSION)),
        None => Err(format!("{} is empty", shown())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FaceRecord, Key, PersonRecord, QualityRecord};
    use super::*;

    fn face() -> FaceRecord {
        FaceRecord {
            person: 7,
            vector: vec![0.6, -0.8],
            bbox: [1.0, 2.0, 3.0, 4.0],
            landmarks: [[1.5, 2.5]; 5],
            score: 0.99,
            quality: QualityRecord::default(),
            source: "a.jpg".to_string(),
            source_sha256: Some([9; 32]),
            enrolled_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn a_record_round_trips_and_every_changed_bit_is_noticed() {
        let key = Key::Face(0, 3).bytes();
        let value = encode(&key, &face()).unwrap();
        assert_eq!(decode::<FaceRecord>(&key, &value).unwrap(), face());
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<FaceRecord>(&key, &damaged).is_err(), "bit {bit}");
        }
        for length in 0..value.len() {
            assert!(decode::<FaceRecord>(&key, &value[..length]).is_err(), "{length} bytes");
        }
        let elsewhere = decode::<FaceRecord>(&Key::Face(0, 4).bytes(), &value).unwrap_err();
        assert!(elsewhere.contains("checksum"), "{elsewhere}");
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let record = PersonRecord { name: "Ada".into(), groups: vec![], labels: Default::default(), created_ms: 258 };
        let value = encode(&Key::Person(0, 1).bytes(), &record).unwrap();
        let mut wanted = vec![PersonRecord::VERSION];
        wanted.extend(3u64.to_le_bytes());
        wanted.extend(b"Ada");
        wanted.extend([0; 16]);
        wanted.extend(258u64.to_le_bytes());
        assert_eq!(value[..value.len() - CHECKSUM], wanted);
    }

    #[test]
    fn a_length_that_lies_is_refused_before_it_is_allocated() {
        let key = Key::Person(0, 1).bytes();
        let mut body = vec![PersonRecord::VERSION];
        body.extend((u64::MAX / 2).to_le_bytes());
        body.extend(checksum(&key, &body));
        assert!(decode::<PersonRecord>(&key, &body).is_err());
    }
}
