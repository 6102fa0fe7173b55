//! The number of the last acknowledged write, outside of sled. sled recovers from damage at the end of
//! its log by forgetting what stood there; this file is what tells that something is missing.
//!
//! Two slots take turns, so that a slot torn by a crash leaves the other:
//!
//! | offset in slot | size | what |
//! | --- | --- | --- |
//! | 0 | 8 | `kithack1` |
//! | 8 | 16 | the database's id |
//! | 24 | 8 | number of the write, little-endian |
//! | 32 | 4 | CRC-32 of bytes 0 to 31, little-endian |
//!
//! A slot is 64 bytes. The slots take turns by the count of writes of this file, not by the number written: one sync may
//! acknowledge an even count of writes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::disk::{failed, io};
use crate::error::StoreError;
use crate::files::{self, Audience};

pub(super) const NAME: &str = "acknowledged";
const MAGIC: &[u8; 8] = b"kithack1";
const SLOT: usize = 64;
const CHECKED: usize = 32;

/// The open file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    id: [u8; 16],
    /// Which slot is written next.
    turn: u64,
}

fn slot(id: &[u8; 16], write: u64) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(id);
    bytes[24..32].copy_from_slice(&write.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..CHECKED]).to_le_bytes();
    bytes[CHECKED..CHECKED + 4].copy_from_slice(&sum);
    bytes
}

fn read_slot(bytes: &[u8], id: &[u8; 16]) -> Option<u64> {
    let write = u64::from_le_bytes(bytes.get(24..CHECKED)?.try_into().ok()?);
    (bytes == slot(id, write)).then_some(write)
}

/// The last write that the file in a folder acknowledges, whichever database it is of.
pub(super) fn last_write(folder: &Path) -> Option<u64> {
    let bytes = std::fs::read(folder.join(NAME)).ok()?;
    let read = |slot: &[u8]| read_slot(slot, slot.get(8..24)?.try_into().ok()?);
    bytes.chunks(SLOT).filter_map(read).max()
}

impl Witness {
    /// Makes the file, with both slots at `write`.
    pub(super) fn create(folder: &Path, id: [u8; 16], write: u64) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let bytes = [slot(&id, write), slot(&id, write)].concat();
        files::write_whole(&path, &bytes, Audience::Owner).map_err(|e| failed(&path, "writing", &e))?;
        super::disk::sync_folder(folder)?;
        let file = OpenOptions::new().write(true).open(&path).map_err(|e| io(&path, "opening", &e))?;
        Ok(Self { file, id, turn: 0 })
    }

    /// Opens the file; the number is the last acknowledged write, `None` when neither slot can be read.
    pub(super) fn open(folder: &Path, id: [u8; 16], writable: bool) -> Result<(Self, Option<u64>), StoreError> {
        let path = folder.join(NAME);
        let mut file = match OpenOptions::new().read(true).write(writable).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let path = folder.display().to_string();
                return Err(StoreError::Damaged { path, what: format!("the file {NAME} is missing") });
            }
            Err(e) => return Err(io(&path, "opening", &e)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| io(&path, "reading", &e))?;
        let slots: Vec<Option<u64>> = bytes.chunks(SLOT).map(|s| read_slot(s, &id)).collect();
        let last = slots.iter().flatten().max().copied();
        // The slot that holds the last number is written over last.
        let turn = u64::from(slots.first().copied().flatten() == last);
        Ok((Self { file, id, turn }, last))
    }

    /// Returns when the number is on disk.
    pub(super) fn acknowledge(&mut self, write: u64) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(self.turn * SLOT as u64))?;
        self.file.write_all(&slot(&self.id, write))?;
        self.file.sync_data()?;
        self.turn = 1 - self.turn;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_survives_a_torn_slot_and_another_database_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let id = [7; 16];
        let mut witness = Witness::create(folder.path(), id, 0).unwrap();
        let path = folder.path().join(NAME);
        let last = || Witness::open(folder.path(), id, true).unwrap().1;
        // One write at a time, then 32 at a time, as enrolling a folder acknowledges them.
        let (mut before, mut noted) = (0, vec![1, 2, 3, 4, 5]);
        noted.extend((1..6).map(|batch| 5 + batch * 32));
        for (turn, write) in noted.into_iter().enumerate() {
            if turn % 3 == 2 {
                witness = Witness::open(folder.path(), id, true).unwrap().0;
            }
            witness.acknowledge(write).unwrap();
            assert_eq!(last(), Some(write));
            let sound = std::fs::read(&path).unwrap();
            let newest = sound.chunks(SLOT).position(|s| read_slot(s, &id) == Some(write)).unwrap() * SLOT;
            for bit in 0..(CHECKED + 4) * 8 {
                let mut torn = sound.clone();
                torn[newest + bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, &torn).unwrap();
                assert_eq!(last(), Some(before), "write {write}, bit {bit}");
            }
            std::fs::write(&path, &sound).unwrap();
            before = write;
        }
        assert_eq!(Witness::open(folder.path(), [8; 16], true).unwrap().1, None);
        std::fs::write(&path, []).unwrap();
        assert_eq!(Witness::open(folder.path(), id, true).unwrap().1, None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Witness::open(folder.path(), id, true).unwrap_err().code(), "store.damaged");
    }
}
