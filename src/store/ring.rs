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
//!
//! A database's ring has a mirror beside it, `ring-N.mirror`, since a damaged ring would cost what no other file can
//! give back. Every change is written and synced to both. Opening takes each slot from whichever of the two has it,
//! and sets the other right: zeros are what a lost page leaves, too. A key that was being destroyed when the power went
//! is destroyed by opening the database, as no record uses it.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::disk::{failed, fault, io, sync_folder};
use super::key::{KEY, KeyBytes, MasterKey, NONCE, TAG, random, seal, unseal};
use crate::error::StoreError;
use crate::files::{self, Audience};

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
    /// The file, and its mirror where it has one. None where it may only be read.
    files: Vec<File>,
    id: [u8; 16],
    master: MasterKey,
    keys: Vec<Option<KeyBytes>>,
    /// Slots that are neither destroyed nor to be opened.
    damaged: Vec<u64>,
    /// What was set right when it was opened.
    healed: Option<String>,
}

/// The name of a ring's mirror.
pub(super) fn mirror_of(name: &str) -> String {
    format!("{name}.mirror")
}

fn mirror_path(path: &Path) -> PathBuf {
    path.with_file_name(mirror_of(&path.file_name().unwrap_or_default().to_string_lossy()))
}

/// Whether a database's ring, or its mirror, is there.
pub(super) fn is_there(path: &Path) -> bool {
    path.exists() || mirror_path(path).exists()
}

/// How a ring is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A database's own, to be changed, with its mirror.
    Own,
    /// A database's own, to be read, with its mirror.
    Read,
    /// A copy, which has no mirror.
    Copy,
}

/// The bytes of a ring, as far as they are sound.
struct Parsed {
    id: [u8; 16],
    head: Vec<u8>,
    /// Every slot's bytes, and the key in it; none in one that is destroyed or damaged.
    slots: Vec<(Vec<u8>, Option<KeyBytes>)>,
}

/// `Ok(None)` for bytes that do not begin as a ring does.
fn parse(path: &Path, bytes: &[u8], master: &MasterKey) -> Result<Option<Parsed>, StoreError> {
    let Some((head, slots)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
    if crc32fast::hash(&head[..CHECKED]).to_le_bytes() != head[CHECKED..] || head[..8] != MAGIC[..] {
        return Ok(None);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&head[8..BOUND]);
    if unseal(master.bytes(), &head[..BOUND], &head[BOUND..CHECKED]).is_none() {
        return Err(StoreError::WrongKey { path: path.display().to_string() });
    }
    // A slot that a crash cut short is made again when it is needed.
    let slots = (0u64..).zip(slots.chunks_exact(SLOT)).map(|(number, slot)| {
        let key = unseal(master.bytes(), &bound(&id, number), slot);
        let key = key.and_then(|k| Some(Zeroizing::new(<[u8; KEY]>::try_from(k.as_slice()).ok()?)));
        (slot.to_vec(), key)
    });
    Ok(Some(Parsed { id, head: head.to_vec(), slots: slots.collect() }))
}

fn is_zero(slot: &[u8]) -> bool {
    slot.iter().all(|b| *b == 0)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io(path, "reading", &e)),
    }
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
        put(path, &header(&id, master)?)?;
        let mut ring = Self::open(path, master, Use::Own)?;
        ring.extend()?;
        sync_folder(path.parent().unwrap_or(path))?;
        Ok(ring)
    }

    /// Opens the file.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`]; [`StoreError::NoRing`] when there is no such file or it is damaged, and its mirror
    /// does not make up for it.
    pub(super) fn open(path: &Path, master: &MasterKey, how: Use) -> Result<Self, StoreError> {
        let no_ring = |what: &str| StoreError::NoRing { path: path.display().to_string(), what: what.to_string() };
        let mirror_at = mirror_path(path);
        let bytes = read(path)?;
        let mirrored = if how == Use::Copy { None } else { read(&mirror_at)? };
        let first = bytes.as_deref().map_or(Ok(None), |b| parse(path, b, master))?;
        let second = mirrored.as_deref().map(|b| parse(&mirror_at, b, master));
        // The mirror decides only where the ring itself cannot, or where both are of one database.
        let (main, other) = match (first, second) {
            (Some(first), Some(Ok(Some(second)))) if first.id == second.id => (first, Some(second)),
            (Some(first), _) => (first, None),
            (None, Some(second)) => match second? {
                Some(second) => (second, None),
                None => return Err(no_ring("is damaged at its beginning")),
            },
            (None, None) if bytes.is_none() => return Err(no_ring("is missing")),
            (None, None) if bytes.is_some_and(|b| b.len() < HEADER) => return Err(no_ring("is cut short")),
            (None, None) => return Err(no_ring("is damaged at its beginning")),
        };
        let (id, mut whole) = (main.id, main.head);
        let (mut keys, mut damaged) = (Vec::new(), Vec::new());
        let mut others = other.map(|o| o.slots).unwrap_or_default().into_iter();
        let mut mains = main.slots.into_iter();
        for number in 0u64.. {
            let pair = (mains.next(), others.next());
            let (bytes, key) = match pair {
                (None, None) => break,
                (Some((slot, Some(key))), _) | (_, Some((slot, Some(key)))) => (slot, Some(key)),
                (Some((slot, None)), Some((other, None))) => (if is_zero(&other) { other } else { slot }, None),
                (Some((slot, None)), None) | (None, Some((slot, None))) => (slot, None),
            };
            if key.is_none() && !is_zero(&bytes) {
                damaged.push(number);
            }
            whole.extend(bytes);
            keys.push(key);
        }
        let mut ring = Self {
            path: path.to_path_buf(),
            files: Vec::new(),
            id,
            master: master.clone(),
            keys,
            damaged,
            healed: None,
        };
        if how == Use::Own {
            for (at, found) in [(path, &bytes), (mirror_at.as_path(), &mirrored)] {
                if found.as_ref() != Some(&whole) {
                    put(at, &whole)?;
                    if found.is_some() || at == path {
                        ring.healed = Some(format!("{} was set right from its other copy", at.display()));
                    }
                }
                let file = OpenOptions::new().write(true).open(at).map_err(|e| io(at, "opening", &e))?;
                ring.files.push(file);
            }
            sync_folder(files::folder_of(path))?;
        } else if how == Use::Copy {
            ring.files.extend(OpenOptions::new().write(true).open(path).ok());
        }
        Ok(ring)
    }

    /// What was set right when it was opened.
    pub(super) fn healed(&self) -> Option<&str> {
        self.healed.as_deref()
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
        for file in &mut self.files {
            let written = file.seek(at).and_then(|_| file.write_all(&bytes)).and_then(|()| file.sync_data());
            written.map_err(|e| failed(&self.path, "making data keys", &e))?;
            fault::point();
        }
        self.keys.append(&mut fresh);
        Ok(())
    }

    /// Overwrites slots, and returns when that is on disk.
    pub(super) fn destroy(&mut self, numbers: &[u64]) -> Result<(), StoreError> {
        let failed = |path: &Path, e: std::io::Error| io(path, "destroying a data key", &e);
        let there: Vec<u64> = numbers.iter().copied().filter(|n| *n < self.len()).collect();
        for file in &mut self.files {
            for &number in &there {
                let written = file.seek(Self::at(number)).and_then(|_| file.write_all(&[0; SLOT]));
                written.map_err(|e| failed(&self.path, e))?;
            }
            fault::point();
            file.sync_data().map_err(|e| failed(&self.path, e))?;
            fault::point();
        }
        for number in there {
            self.damaged.retain(|d| *d != number);
            if let Some(key) = usize::try_from(number).ok().and_then(|n| self.keys.get_mut(n)) {
                *key = None;
            }
        }
        Ok(())
    }

    /// Writes a whole copy, its slots sealed by `master`.
    pub(super) fn copy(&self, path: &Path, master: &MasterKey) -> Result<(), StoreError> {
        let mut bytes = header(&self.id, master)?;
        for (number, key) in (0u64..).zip(&self.keys) {
            bytes.extend(slot(&self.id, number, master, key.as_ref())?);
        }
        put(path, &bytes)?;
        sync_folder(files::folder_of(path))
    }

    /// Whether a file is a ring of the database of that id, under whatever key.
    pub(super) fn is_of(path: &Path, id: &[u8; 16]) -> bool {
        let bytes = read(path).ok().flatten().unwrap_or_default();
        bytes.strip_prefix(MAGIC).is_some_and(|rest| rest.starts_with(id))
    }

    /// [`Ring::copy`] under the same master key.
    pub(super) fn copy_as_is(&self, path: &Path) -> Result<(), StoreError> {
        self.copy(path, &self.master)
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    files::write_whole(path, bytes, Audience::Owner).map_err(|e| failed(path, "writing the key ring", &e))
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
            let again = Ring::open(path, master, Use::Copy).unwrap();
            assert_eq!((again.len(), again.damaged()), (2 * AHEAD, [].as_slice()));
            for (number, key) in (0u64..).zip(&keys) {
                assert_eq!(again.key(number), Some(key).filter(|_| number != 3 && number != 5), "{number}");
            }
        }
        let after = std::fs::read(&path).unwrap();
        let lost = &before[HEADER + 3 * SLOT..HEADER + 4 * SLOT];
        assert!(!after.windows(SLOT).any(|w| w == lost), "a destroyed key is in the file no more");
        assert_eq!(Ring::open(&path, &other, Use::Own).err().unwrap().code(), "store.wrong_key");
        assert_eq!(Ring::open(&path, &master, Use::Own).unwrap().id(), &[7; 16]);
        assert_eq!(Ring::open(&folder.path().join("none"), &master, Use::Own).err().unwrap().code(), "store.no_ring");
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
            match Ring::open(&path, &master, Use::Copy) {
                Err(e) => assert!(at < HEADER && e.code() == "store.no_ring", "byte {at}: {e}"),
                Ok(ring) => assert_eq!(ring.damaged(), [((at - HEADER) / SLOT) as u64], "byte {at}"),
            }
        }
        let mut exchanged = sound.clone();
        exchanged[HEADER..HEADER + 2 * SLOT].rotate_left(SLOT);
        std::fs::write(&path, &exchanged).unwrap();
        assert_eq!(Ring::open(&path, &master, Use::Copy).unwrap().damaged(), [0, 1]);
        std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        let mut ring = Ring::open(&path, &master, Use::Copy).unwrap();
        assert_eq!(ring.len(), AHEAD - 1, "a slot cut short is none");
        ring.extend().unwrap();
        assert!(Ring::open(&path, &master, Use::Copy).unwrap().damaged().is_empty());
    }

    #[test]
    fn the_mirror_makes_up_for_whatever_happens_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ring-1");
        let mirror = mirror_path(&path);
        let master = MasterKey::generate().unwrap();
        let mut ring = Ring::create(&path, [7; 16], &master).unwrap();
        ring.destroy(&[2]).unwrap();
        let keys: Vec<Option<KeyBytes>> = (0..ring.len()).map(|n| ring.key(n).cloned()).collect();
        drop(ring);
        let sound = std::fs::read(&path).unwrap();
        assert_eq!(std::fs::read(&mirror).unwrap(), sound);
        for (hurt, kept) in [(&path, &mirror), (&mirror, &path)] {
            for at in (0..HEADER + 4 * SLOT).step_by(5).map(Some).chain([None]) {
                match at {
                    Some(at) => {
                        let mut changed = sound.clone();
                        changed[at] ^= 1 << (at % 8);
                        std::fs::write(hurt, &changed).unwrap();
                    }
                    None => std::fs::remove_file(hurt).unwrap(),
                }
                let read = Ring::open(&path, &master, Use::Read).unwrap();
                assert!(read.damaged().is_empty() && read.healed().is_none());
                let ring = Ring::open(&path, &master, Use::Own).unwrap();
                // A bit in the zeros of a slot that is destroyed makes no key of it.
                let same = |n: u64| ring.key(n) == keys[n as usize].as_ref();
                assert!((0..ring.len()).all(same), "{} byte {at:?}", hurt.display());
                assert_eq!(std::fs::read(hurt).unwrap(), std::fs::read(kept).unwrap(), "set right");
            }
            std::fs::write(&path, &sound).unwrap();
            std::fs::write(&mirror, &sound).unwrap();
        }
        // Zeros in one alone are damage: nothing is lost by them.
        let mut half = sound.clone();
        half[HEADER + 3 * SLOT..HEADER + 4 * SLOT].fill(0);
        for (changed, other) in [(&path, &mirror), (&mirror, &path)] {
            std::fs::write(changed, &half).unwrap();
            std::fs::write(other, &sound).unwrap();
            assert!(Ring::open(&path, &master, Use::Own).unwrap().key(3).is_some());
            assert!([&path, &mirror].iter().all(|p| std::fs::read(p).unwrap() == sound));
        }
        let mut ring = Ring::open(&path, &master, Use::Own).unwrap();
        ring.destroy(&[3]).unwrap();
        assert!([&path, &mirror].iter().all(|p| std::fs::read(p).unwrap() == half));
    }
}
