//! Records to bytes and back: the only place of the store that names bincode, so that it can be replaced without
//! touching a record.
//!
//! A plain record:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 1 | version of the record's format, below 128 |
//! | 1 | n | the record: bincode 2, little-endian, integers at their full width |
//! | 1 + n | 4 | CRC-32 (IEEE) of the key, then bytes 0 to n, little-endian |
//!
//! A sealed record, in an encrypted database every one but the head:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 1 | version of the record's format, plus 128 |
//! | 1 | 8 | number of the data key (`ring`), little-endian |
//! | 9 | 24 | nonce |
//! | 33 | n + 16 | the record, as above, sealed and bound to the database's id, the key and bytes 0 to 8; the tag |
//! | 49 + n | 4 | CRC-32 (IEEE) of the key, then all bytes before, little-endian |
//!
//! The checksum covers the key, so that a record under another's key is damage, not an answer; it needs
//! no secret, so that damage is found by whoever carries the files. What is sealed is bound to its place,
//! so that somebody who can write the files cannot put one person's record in another's place.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::key::{seal, unseal};
use super::ring::Ring;

/// Added to the version of a sealed record.
const SEALED: u8 = 0x80;
/// Version and number of the data key.
const ENVELOPE: usize = 9;
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

/// Number of a data key in the ring. Means nothing in a database that is not encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DataKey(pub(super) u64);

impl DataKey {
    /// The database's own key, for what is of no single person.
    pub(crate) const DATABASE: Self = Self(0);
}

fn bound(ring: &Ring, key: &[u8], envelope: &[u8]) -> Vec<u8> {
    [ring.id().as_slice(), key, envelope].concat()
}

/// The value to store under `key`; sealed where there is a ring, but for the head, which must be read
/// before any key is.
pub(super) fn encode<R: Record>(
    key: &[u8],
    record: &R,
    data_key: DataKey,
    ring: Option<&Ring>,
) -> Result<Vec<u8>, String> {
    let mut plain = Zeroizing::new(Vec::new());
    bincode::serde::encode_into_std_write(record, &mut *plain, config()).map_err(|e| e.to_string())?;
    if plain.len() >= LONGEST {
        return Err(format!("the record takes {} bytes, more than {LONGEST}", plain.len()));
    }
    closed(key, R::VERSION, data_key, &plain, ring)
}

/// The value to store for the content of a record.
pub(super) fn closed(
    key: &[u8],
    version: u8,
    data_key: DataKey,
    plain: &[u8],
    ring: Option<&Ring>,
) -> Result<Vec<u8>, String> {
    let mut value = vec![version];
    match ring.filter(|_| !is_head(key)) {
        None => value.extend(plain),
        Some(ring) => {
            value[0] |= SEALED;
            value.extend(data_key.0.to_le_bytes());
            let secret = ring.key(data_key.0).ok_or_else(|| format!("data key {} is destroyed", data_key.0))?;
            value.extend(seal(secret, &bound(ring, key, &value), plain).map_err(|e| e.to_string())?);
        }
    }
    let sum = checksum(key, &value);
    value.extend(sum);
    Ok(value)
}

/// The head is read before any key is, and is never sealed.
fn is_head(key: &[u8]) -> bool {
    key.first() == Some(&super::keys::HEAD)
}

/// The data key that a value is sealed with; `None` for a plain one.
pub(super) fn data_key(value: &[u8]) -> Option<DataKey> {
    let (version, rest) = value.split_first()?;
    let number = rest.first_chunk::<8>()?;
    (version & SEALED != 0).then(|| DataKey(u64::from_le_bytes(*number)))
}

/// Whether the value carries its checksum, whatever its version.
pub(super) fn is_whole(key: &[u8], value: &[u8]) -> bool {
    value.split_last_chunk::<CHECKSUM>().is_some_and(|(body, sum)| checksum(key, body) == *sum)
}

/// What a value holds, opened.
pub(super) struct Opened {
    pub version: u8,
    pub data_key: DataKey,
    /// The record in bincode.
    pub content: Zeroizing<Vec<u8>>,
}

fn shown(key: &[u8]) -> String {
    super::Key::parse(key).map_or_else(|| format!("record {key:?}"), |k| format!("record {k:?}"))
}

/// The content of a value stored under `key`; the error is a sentence that names the fault.
pub(super) fn opened(key: &[u8], value: &[u8], ring: Option<&Ring>) -> Result<Opened, String> {
    let shown = || shown(key);
    let Some((body, sum)) = value.split_last_chunk::<CHECKSUM>() else {
        return Err(format!("{} is cut short", shown()));
    };
    if checksum(key, body) != *sum {
        return Err(format!("{} does not match its checksum", shown()));
    }
    let Some((&version, bytes)) = body.split_first() else { return Err(format!("{} is empty", shown())) };
    // Without its key nothing may be slipped into an encrypted database.
    let (data_key, content) = match (ring.filter(|_| !is_head(key)), data_key(body)) {
        (None, None) => (DataKey::DATABASE, Zeroizing::new(bytes.to_vec())),
        (None, Some(_)) => return Err(format!("{} is sealed, and this database is not encrypted", shown())),
        (Some(_), None) => return Err(format!("{} is not sealed, and this database is encrypted", shown())),
        (Some(ring), Some(DataKey(number))) => {
            let Some(secret) = ring.key(number) else {
                return Err(format!("{} is sealed with data key {number}, which is not in the key ring", shown()));
            };
            let (envelope, sealed) = body.split_at_checked(ENVELOPE).unwrap_or((body, &[]));
            let plain = unseal(secret, &bound(ring, key, envelope), sealed);
            let foreign = || format!("{} was not sealed by this database for this place", shown());
            (DataKey(number), plain.ok_or_else(foreign)?)
        }
    };
    Ok(Opened { version: version & !SEALED, data_key, content })
}

/// The record in a value stored under `key`; the error is a sentence that names the fault.
pub(super) fn decode<R: Record>(key: &[u8], value: &[u8], ring: Option<&Ring>) -> Result<R, String> {
    let opened = opened(key, value, ring)?;
    if opened.version != R::VERSION {
        return Err(format!("{} has format {}, not {}", shown(key), opened.version, R::VERSION));
    }
    let (record, read) = bincode::serde::decode_from_slice(&opened.content, config())
        .map_err(|e| format!("{} cannot be read: {e}", shown(key)))?;
    if read == opened.content.len() { Ok(record) } else { Err(format!("{} has bytes too many", shown(key))) }
}

#[cfg(test)]
mod tests {
    use super::super::records::QualityRecord;
    use super::super::{FaceRecord, Key, MasterKey, PersonRecord};
    use super::*;

    fn face() -> FaceRecord {
        FaceRecord {
            person: 7,
            half: false,
            vector: vec![0.6, -0.8],
            bbox: [1.0, 2.0, 3.0, 4.0],
            landmarks: [[1.5, 2.5]; 5],
            score: 0.99,
            quality: QualityRecord::default(),
            source: "a.jpg".to_string(),
            source_sha256: Some([9; 32]),
            enrolled_ms: 1_700_000_000_000,
            detector: "d/1".to_string(),
        }
    }

    #[test]
    fn a_record_round_trips_and_every_changed_bit_is_noticed() {
        let key = Key::Face(0, 3).bytes();
        let value = encode(&key, &face(), DataKey::DATABASE, None).unwrap();
        assert_eq!(decode::<FaceRecord>(&key, &value, None).unwrap(), face());
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<FaceRecord>(&key, &damaged, None).is_err(), "bit {bit}");
        }
        for length in 0..value.len() {
            assert!(decode::<FaceRecord>(&key, &value[..length], None).is_err(), "{length} bytes");
        }
        let elsewhere = decode::<FaceRecord>(&Key::Face(0, 4).bytes(), &value, None).unwrap_err();
        assert!(elsewhere.contains("checksum"), "{elsewhere}");
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let record = PersonRecord { name: "Ada".into(), groups: vec![], labels: Default::default(), created_ms: 258 };
        let value = encode(&Key::Person(0, 1).bytes(), &record, DataKey::DATABASE, None).unwrap();
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
        assert!(decode::<PersonRecord>(&key, &body, None).is_err());
    }

    #[test]
    fn a_sealed_record_opens_in_its_own_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::generate().unwrap();
        let ring = |id: u8| Ring::create(&folder.path().join(format!("ring-{id}")), [id; 16], &master).unwrap();
        let (mut here, elsewhere) = (ring(1), ring(2));
        let (key, other) = (Key::Face(0, 3).bytes(), Key::Face(0, 4).bytes());
        let value = encode(&key, &face(), DataKey(5), Some(&here)).unwrap();
        assert_eq!(data_key(&value), Some(DataKey(5)));
        assert_eq!(decode::<FaceRecord>(&key, &value, Some(&here)).unwrap(), face());
        let plain = encode(&key, &face(), DataKey(5), None).unwrap();
        assert!(!value.windows(5).any(|w| w == b"a.jpg"));
        assert!(plain.windows(5).any(|w| w == b"a.jpg"), "or the search is no test");

        let with_sum = |key: &[u8], body: &[u8]| [body, &checksum(key, body)].concat();
        let body = &value[..value.len() - CHECKSUM];
        let fault = |key: &[u8], value: &[u8], ring: Option<&Ring>| decode::<FaceRecord>(key, value, ring).unwrap_err();
        assert!(fault(&other, &with_sum(&other, body), Some(&here)).contains("for this place"));
        assert!(fault(&key, &value, Some(&elsewhere)).contains("for this place"), "another database");
        let mut renumbered = body.to_vec();
        renumbered[1] = 6;
        assert!(fault(&key, &with_sum(&key, &renumbered), Some(&here)).contains("for this place"));
        assert!(fault(&key, &value, None).contains("not encrypted"));
        assert!(fault(&key, &plain, Some(&here)).contains("not sealed"));
        for cut in 0..body.len() {
            assert!(decode::<FaceRecord>(&key, &with_sum(&key, &body[..cut]), Some(&here)).is_err(), "{cut}");
        }
        here.destroy(&[5]).unwrap();
        assert!(fault(&key, &value, Some(&here)).contains("data key 5"));
        assert!(encode(&key, &face(), DataKey(5), Some(&here)).is_err());
    }
}
