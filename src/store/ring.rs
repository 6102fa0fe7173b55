//! The key ring of an encrypted database: the data keys, each sealed by the master key, in a file of their
//! own that no backup holds. To forget somebody is to overwrite their slot: then nothing that was ever
//! sealed under it can be read again, wherever a copy of it lies.
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 8 | `kithrng1` |
//! | 8 | 16 | the database's id |
//! | 24 | 40 | nothing, sealed by the master key and bound to the bytes before: the key's check |
//! | 64 | 4 | CRC-32 of the bytes before, little-endian |
//! | 68 + 72 n | 72 | slot n: data key n, sealed by the master key and bound to the database's id and n |
//!
//! Slot 0 is the database's own; every person has a slot of their own. A slot of zeros is a key destroyed.
//! Slots are made ahead of their use, many at once, so that a new person costs no sync of this file, and a
//! copy of it opens what is enrolled for some time after it was taken. A slot's number is given once.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::durable::{fault, io, sync_folder};
use super::key::{KEY, KeyBytes, MasterKey, NONCE, TAG, random, seal, unseal};
use crate::error::StoreError;
use crate::media::write_whole;

const MAGIC: &[u8; 8] = b"kithrng1";
const BOUND: usize = 24;
const CHECKED: usize = BOUND + NONCE + TAG;
const HEADER: usize = CHECKED + 4;
const SLOT: usize = NONCE + KEY + TAG;
/// Slots made at a time.
const AHEAD: u64 = 256;

/// The open file, and the data keys in it.
pub(super) struct Ring {
    path: PathBuf,
    file: File,
    id: [u8; 16],
    master: MasterKey,
    keys: Vec<Option<KeyBytes>>,
    /// Slots that are neither destroyed nor to be opened.
    damaged: Vec<u64>,
}

fn header(id: &[u8; 16], master: &MasterKey) -> Result<Vec<u8>, StoreError> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(id);
    let check = seal(master.bytes(), &bytes, &[])?;
    bytes.extend(check);
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    Ok(bytes)
}

fn bound(id: &[u8; 16], number: u64) -> Vec<u8> {
    [b"slot".as_slice(), id, &number.to_le_bytes()].concat()
}

fn slot(id: &[u8; 16], number: u64, master: &MasterKey, key: Option<&KeyBytes>) -> Result<Vec<u8>, StoreError> {
    key.map_or(Ok(vec![0; SLOT]), |key| seal(master.bytes(), &bound(id, number), key.as_slice()))
}

impl Ring {
    /// Makes the file, with the database's own key and the first slots.
    pub(super) fn create(path: &Path, id: [u8; 16], master: &MasterKey) -> Result<Self, StoreError> {
        write_whole(path, &header(&id, master)?).map_err(|e| io(path, "writing", &e))?;
        let mut ring = Self::open(path, master)?;
        ring.extend()?;
        sync_folder(path.parent().unwrap_or(path))?;
        Ok(ring)
    }

    /// Opens the file.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`]; [`StoreError::NoRing`] when there is no such file or it is damaged.
    pub(super) fn open(path: &Path, master: &MasterKey) -> Result<Self, StoreError> {
        let no_ring = |what: &str| StoreError::NoRing { path: path.display().to_string(), what: what.to_string() };
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(no_ring("is missing")),
            Err(e) => return Err(io(path, "opening", &e)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| io(path, "reading", &e))?;
        let Some((head, slots)) = bytes.split_at_checked(HEADER) else { return Err(no_ring("is cut short")) };
        if crc32fast::hash(&head[..CHECKED]).to_le_bytes() != head[CHECKED..] || head[..8] != MAGIC[..] {
            return Err(no_ring("is damaged at its beginning"));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&head[8..BOUND]);
        if unseal(master.bytes(), &head[..BOUND], &head[BOUND..CHECKED]).is_none() {
            return Err(StoreError::WrongKey { path: path.display().to_string() });
        }
        let (mut keys, mut damaged) = (Vec::with_capacity(slots.len() / SLOT), Vec::new());
        // A slot that a crash cut short is made again when it is needed.
        for (number, slot) in (0u64..).zip(slots.chunks_exact(SLOT)) {
            let key = unseal(master.bytes(), &bound(&id, number), slot);
            let key = key.and_then(|k| Some(Zeroizing::new(<[u8; KEY]>::try_from(k.as_slice()).ok()?)));
            if key.is_none() && slot.iter().any(|b| *b != 0) {
                damaged.push(number);
            }
            keys.push(key);
        }
        Ok(Self { path: path.to_path_buf(), file, id, master: master.clone(), keys, damaged })
    }

    /// Whether a proof that the master key is known is one.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`].
    #[cfg(all(unix, feature = "serve"))]
    pub(super) fn check_proof(&self, challenge: &[u8; 32], proof: &[u8]) -> Result<(), StoreError> {
        let wrong = || StoreError::WrongKey { path: self.path.display().to_string() };
        self.master.is_proved(challenge, proof).then_some(()).ok_or_else(wrong)
    }

    /// The id of the database that the ring is of.
    pub(super) fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Slots, destroyed ones too.
    pub(super) fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Data key `number`, unless it was destroyed.
    pub(super) fn key(&self, number: u64) -> Option<&KeyBytes> {
        self.keys.get(usize::try_from(number).ok()?)?.as_ref()
    }

    /// Slots that hold neither a key nor zeros.
    pub(super) fn damaged(&self) -> &[u64] {
        &self.damaged
    }

    fn at(number: u64) -> SeekFrom {
        SeekFrom::Start(HEADER as u64 + number * SLOT as u64)
    }

    /// Makes slots for more people, and returns when they are on disk.
    pub(super) fn extend(&mut self) -> Result<(), StoreError> {
        let (mut bytes, mut fresh) = (Vec::new(), Vec::new());
        for number in self.len()..self.len() + AHEAD {
            let key: KeyBytes = Zeroizing::new(random()?);
            bytes.extend(slot(&self.id, number, &self.master, Some(&key))?);
            fresh.push(Some(key));
        }
        fault::point();
        let at = Self::at(self.len());
        let written = self.file.seek(at).and_then(|_| self.file.write_all(&bytes)).and_then(|()| self.file.sync_data());
        written.map_err(|e| io(&self.path, "making data keys", &e))?;
        fault::point();
        self.keys.append(&mut fresh);
        Ok(())
    }

    /// Overwrites slots, and returns when that is on disk.
    pub(super) fn destroy(&mut self, numbers: &[u64]) -> Result<(), StoreError> {
        for &number in numbers {
            let Some(key) = usize::try_from(number).ok().and_then(|n| self.keys.get_mut(n)) else { continue };
            *key = None;
            self.damaged.retain(|d| *d != number);
            let written = self.file.seek(Self::at(number)).and_then(|_| self.file.write_all(&[0; SLOT]));
            written.map_err(|e| io(&self.path, "destroying a data key", &e))?;
        }
        fault::point();
        self.file.sync_data().map_err(|e| io(&self.path, "destroying a data key", &e))?;
        fault::point();
        Ok(())
    }

    /// Writes a whole copy, its slots sealed by `master`.
    pub(super) fn copy(&self, path: &Path, master: &MasterKey) -> Result<(), StoreError> {
        let mut bytes = header(&self.id, master)?;
        for (number, key) in (0u64..).zip(&self.keys) {
            bytes.extend(slot(&self.id, number, master, key.as_ref())?);
        }
        write_whole(path, &bytes).map_err(|e| io(path, "writing the key ring", &e))?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(folder)
    }

    /// [`Ring::copy`] under the same master key.
    pub(super) fn copy_as_is(&self, path: &Path) -> Result<(), StoreError> {
        self.copy(path, &self.master)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_until_they_are_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring-1");
        let (master, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let mut ring = Ring::create(&path, [7; 16], &master).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert_eq!(before.len() as u64, HEADER as u64 + AHEAD * SLOT as u64);
        let keys: Vec<KeyBytes> = (0..ring.len()).map(|n| ring.key(n).unwrap().clone()).collect();
        ring.destroy(&[3, 5]).unwrap();
        ring.extend().unwrap();
        let copy = folder.path().join("copy");
        ring.copy(&copy, &other).unwrap();
        drop(ring);
        for (path, master) in [(&path, &master), (&copy, &other)] {
            let again = Ring::open(path, master).unwrap();
            assert_eq!((again.len(), again.damaged()), (2 * AHEAD, [].as_slice()));
            for (number, key) in (0u64..).zip(&keys) {
                assert_eq!(again.key(number), Some(key).filter(|_| number != 3 && number != 5), "{number}");
            }
        }
        let after = std::fs::read(&path).unwrap();
        let lost = &before[HEADER + 3 * SLOT..HEADER + 4 * SLOT];
        assert!(!after.windows(SLOT).any(|w| w == lost), "a destroyed key is in the file no more");
        assert_eq!(Ring::open(&path, &other).err().unwrap().code(), "store.wrong_key");
        assert_eq!(Ring::open(&path, &master).unwrap().id(), &[7; 16]);
        assert_eq!(Ring::open(&folder.path().join("none"), &master).err().unwrap().code(), "store.no_ring");
    }

    #[test]
    fn a_changed_bit_costs_one_slot_at_most_and_slots_cannot_be_exchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring-1");
        let master = MasterKey::generate().unwrap();
        drop(Ring::create(&path, [7; 16], &master).unwrap());
        let sound = std::fs::read(&path).unwrap();
        for at in (0..HEADER).chain((HEADER..HEADER + 4 * SLOT).step_by(7)) {
            let mut changed = sound.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&path, &changed).unwrap();
            match Ring::open(&path, &master) {
                Err(e) => assert!(at < HEADER && e.code() == "store.no_ring", "byte {at}: {e}"),
                Ok(ring) => assert_eq!(ring.damaged(), [((at - HEADER) / SLOT) as u64], "byte {at}"),
            }
        }
        let mut exchanged = sound.clone();
        exchanged[HEADER..HEADER + 2 * SLOT].rotate_left(SLOT);
        std::fs::write(&path, &exchanged).unwrap();
        assert_eq!(Ring::open(&path, &master).unwrap().damaged(), [0, 1]);
        std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        let mut ring = Ring::open(&path, &master).unwrap();
        assert_eq!(ring.len(), AHEAD - 1, "a slot cut short is none");
        ring.extend().unwrap();
        assert!(Ring::open(&path, &master).unwrap().damaged().is_empty());
    }
}
