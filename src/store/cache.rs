//! Files of what can be made again from the records: written as a whole, and in an encrypted database sealed.
//!
//! A sealed file, with integers little-endian:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 8 | `kithsea1` |
//! | 8 | 16 | the file's own number, drawn at random |
//! | 24 | 4 + l | a block: its length l, then the nonce, up to 1 MiB sealed by the database's own data key, the tag |
//!
//! More blocks follow to the end. A block is bound to the database's id, to the file's number, to its place and to
//! whether it is the last one, so that none can be changed, swapped, left out or put in from another file.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Store;
use super::codec::DataKey;
use super::disk::{io as fault, sync_folder};
use super::key::{KeyBytes, NONCE, TAG, random, seal, unseal};
use super::layout::CACHES;
use super::layout::wipe;
use crate::error::StoreError;
use crate::files;

const MAGIC: &[u8; 8] = b"kithsea1";
/// Bytes that are sealed together.
const BLOCK: usize = 1 << 20;

/// What a file's blocks are sealed with and bound to.
#[derive(Clone)]
struct Sealing {
    key: KeyBytes,
    database: [u8; 16],
}

struct Place {
    sealing: Sealing,
    file: [u8; 16],
    block: u64,
}

impl Place {
    fn bound(&self, last: bool) -> Vec<u8> {
        [b"cache".as_slice(), &self.sealing.database, &self.file, &self.block.to_le_bytes(), &[u8::from(last)]].concat()
    }
}

/// Seals what is written to it. Without [`SealedWriter::end`] the file has no last block, and nobody reads it.
struct SealedWriter<W> {
    out: W,
    place: Place,
    held: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    fn begin(mut out: W, sealing: Sealing) -> io::Result<Self> {
        let file = random().map_err(Error::other)?;
        out.write_all(MAGIC)?;
        out.write_all(&file)?;
        Ok(Self { out, place: Place { sealing, file, block: 0 }, held: Zeroizing::new(Vec::with_capacity(BLOCK)) })
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        let sealed = seal(&self.place.sealing.key, &self.place.bound(last), &self.held).map_err(Error::other)?;
        self.out.write_all(&(sealed.len() as u32).to_le_bytes())?;
        self.out.write_all(&sealed)?;
        self.place.block += 1;
        self.held.clear();
        Ok(())
    }

    fn end(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len() == BLOCK {
            self.put(false)?;
        }
        let taken = bytes.len().min(BLOCK - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// What is held waits for its block to be full, or to be the last one.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Opens what a [`SealedWriter`] wrote, behind its magic.
struct SealedReader<R> {
    from: R,
    place: Place,
    open: Zeroizing<Vec<u8>>,
    read: usize,
    ended: bool,
}

impl<R: Read> SealedReader<R> {
    fn begin(mut from: R, sealing: Sealing) -> io::Result<Self> {
        let mut file = [0; 16];
        from.read_exact(&mut file)?;
        let place = Place { sealing, file, block: 0 };
        Ok(Self { from, place, open: Zeroizing::default(), read: 0, ended: false })
    }

    fn next(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        let block = self.place.block;
        let odd = || Error::new(ErrorKind::InvalidData, format!("block {block} does not open"));
        if !(NONCE + TAG..=NONCE + TAG + BLOCK).contains(&length) {
            return Err(odd());
        }
        let mut sealed = vec![0; length];
        self.from.read_exact(&mut sealed)?;
        let key = &self.place.sealing.key;
        let last = unseal(key, &self.place.bound(true), &sealed);
        self.ended = last.is_some();
        self.open = last.or_else(|| unseal(key, &self.place.bound(false), &sealed)).ok_or_else(odd)?;
        self.read = 0;
        self.place.block += 1;
        // What follows the last block was not written by us.
        if self.ended && self.from.read(&mut [0])? != 0 { Err(odd()) } else { Ok(()) }
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.open.len() && !self.ended {
            self.next()?;
        }
        let count = into.len().min(self.open.len() - self.read);
        into[..count].copy_from_slice(&self.open[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

impl Store {
    /// Where a file lies. It need not be there.
    pub(crate) fn cache_path(&self, name: &str) -> PathBuf {
        self.folder.join(CACHES).join(name)
    }

    /// Overwrites and removes all files: what they are sealed with will not be the database's any more.
    pub(super) fn drop_caches(folder: &Path) -> Result<(), StoreError> {
        let caches = folder.join(CACHES);
        wipe(&caches);
        match fs::remove_dir_all(&caches) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(fault(&caches, "removing", &e)),
            _ => Ok(()),
        }
    }

    /// Removes every file but those of these names: what a crash left, and what belonged to nobody's gallery.
    pub(crate) fn keep_caches(&self, names: &[String]) {
        let entries = fs::read_dir(self.folder.join(CACHES)).into_iter().flatten().filter_map(Result::ok);
        for entry in entries.filter(|e| !names.iter().any(|n| e.file_name() == n.as_str())) {
            wipe(&entry.path());
            // It is tried again at the next opening.
            let _ = fs::remove_file(entry.path());
        }
    }

    fn sealing(&self) -> Result<Option<Sealing>, StoreError> {
        let database = self.head().id;
        self.with_ring(|ring| {
            let Some(ring) = ring else { return Ok(None) };
            let key = ring.key(DataKey::DATABASE.0).cloned();
            let key = key.ok_or_else(|| self.damaged("the key ring lacks the database's own key".to_string()))?;
            Ok(Some(Sealing { key, database }))
        })
    }

    /// Writes a file in one step: it is on disk when this returns, or what was there before is there still.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn write_cache(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.cache_path(name);
        let folder = self.folder.join(CACHES);
        let beside = path.with_extension("new");
        let sealing = self.sealing()?;
        let written = files::private_folder(&folder).and_then(|()| {
            let file = files::open_private(&beside)?;
            // What a crash left is written over.
            let _ = file.set_len(0);
            let mut out = BufWriter::with_capacity(1 << 20, file);
            if let Some(sealing) = sealing {
                let mut sealed = SealedWriter::begin(out, sealing)?;
                write(&mut sealed)?;
                out = sealed.end()?;
            } else {
                write(&mut out)?;
            }
            out.flush()?;
            out.get_ref().sync_all()?;
            fs::rename(&beside, &path)
        });
        if let Err(e) = written {
            let _ = fs::remove_file(&beside);
            return Err(fault(&path, "writing", &e));
        }
        sync_folder(&folder)?;
        sync_folder(&self.folder)
    }

    /// Reads a file; `None` when there is none. The error says why it is of no use. One that is not sealed has no
    /// place in an encrypted database, and is removed.
    pub(crate) fn read_cache<T>(
        &self,
        name: &str,
        read: impl FnOnce(&mut dyn Read) -> Result<T, String>,
    ) -> Option<Result<T, String>> {
        let path = self.cache_path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return None,
            Err(e) => return Some(Err(e.to_string())),
        };
        let mut from = BufReader::with_capacity(1 << 20, file);
        let opened = self.sealing().map_err(|e| e.to_string()).and_then(|sealing| {
            let Some(sealing) = sealing else { return read(&mut from) };
            let mut magic = [0; 8];
            from.read_exact(&mut magic).map_err(|e| e.to_string())?;
            if magic != *MAGIC {
                wipe(&path);
                let removed = fs::remove_file(&path);
                let what =
                    removed.map_or_else(|e| format!("could not be removed: {e}"), |()| "was removed".to_string());
                return Err(format!("it was not sealed, as the database is, and {what}"));
            }
            let mut from = SealedReader::begin(from, sealing).map_err(|e| e.to_string())?;
            read(&mut from)
        });
        Some(opened)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn remove_cache(&self, name: &str) -> Result<(), StoreError> {
        let path = self.cache_path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(fault(&path, "removing", &e)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealing(byte: u8) -> Sealing {
        Sealing { key: Zeroizing::new([byte; 32]), database: [byte; 16] }
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut writer = SealedWriter::begin(Vec::new(), sealing(1)).unwrap();
        content.chunks(100_003).for_each(|part| writer.write_all(part).unwrap());
        writer.end().unwrap()
    }

    fn opened(bytes: &[u8], with: Sealing) -> io::Result<Vec<u8>> {
        let mut from = bytes;
        let mut magic = [0; 8];
        from.read_exact(&mut magic)?;
        let mut content = Vec::new();
        SealedReader::begin(from, with)?.read_to_end(&mut content)?;
        Ok(content)
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn what_was_sealed_is_read_again_at_any_length() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 77] {
            let content = content(length);
            let bytes = sealed(&content);
            assert_eq!(opened(&bytes, sealing(1)).unwrap(), content, "{length} bytes");
            if length > 300 {
                let shown = bytes.windows(200).any(|w| content.windows(200).next() == Some(w));
                assert!(!shown, "the content stands in the file");
            }
            assert!(opened(&bytes, sealing(2)).is_err(), "another key");
            assert!(opened(&bytes, Sealing { database: [9; 16], ..sealing(1) }).is_err(), "another database");
        }
    }

    #[test]
    fn nothing_can_be_changed_cut_off_swapped_or_put_in() {
        let content = content(2 * BLOCK + 500);
        let bytes = sealed(&content);
        let whole = BLOCK + NONCE + TAG + 4;
        let (first, second) = (24..24 + whole, 24 + whole..24 + 2 * whole);
        let refused = |bytes: &[u8], what: &str| assert!(opened(bytes, sealing(1)).is_err(), "{what}");
        for at in [8, 23, 24, 27, 28, 60, 24 + whole, bytes.len() - 1] {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            refused(&torn, &format!("byte {at}"));
        }
        for cut in [8, 24, 30, first.end, second.end, bytes.len() - 1] {
            refused(&bytes[..cut], &format!("cut to {cut}"));
        }
        let (a, b, rest) = (&bytes[first.clone()], &bytes[second.clone()], &bytes[second.end..]);
        refused(&[&bytes[..24], b, a, rest].concat(), "swapped");
        refused(&[&bytes[..24], b, rest].concat(), "left out");
        refused(&[&bytes[..], rest].concat(), "the last block twice");
        let other = sealed(&content);
        refused(&[&bytes[..24], &other[first], b, rest].concat(), "a block of another file");
    }
}
