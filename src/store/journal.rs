//! The journal: every write in order, in a file of its own. It is the truth; sled holds a view of it (`view`), which
//! is made again from the journal whenever it is damaged, behind, or cannot be written.
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 48 | the header |
//! | 48 | 48 | the header again |
//! | 96 | | frames, one after the other |
//!
//! The header:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 8 | `kithjnl1` |
//! | 8 | 4 | format of the database |
//! | 12 | 16 | the database's id |
//! | 28 | 16 | salt, drawn when the file was made |
//! | 44 | 4 | CRC-32 of bytes 0 to 43 |
//!
//! A frame:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 4 | `kfr1` |
//! | 4 | 8 | number of the write |
//! | 12 | 4 | number of changes |
//! | 16 | 4 | size `d` of the directory |
//! | 20 | 8 | size `v` of the values |
//! | 28 | 4 | CRC-32 of the salt and the directory |
//! | 32 | 4 | CRC-32 of the salt, the frame's offset in the file and bytes 0 to 31 |
//! | 36 | d | the directory; for each change: length of the key (1 byte), the key, length of the value (4 bytes), or `ffffffff` for a tombstone |
//! | 36 + d | v | the values, each with the checksum that it is stored with (`codec`) |
//!
//! Integers are little-endian. A write is one frame; what a whole database begins with (a new one, a copy, a rewritten
//! one) is several frames under one write's number, the head record in the last of them. The salt keeps a picture
//! that looks like a frame from being taken for one when a damaged file is searched.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::disk::{failed, fault, io};
use super::key::random;
use super::{HeadRecord, Key, codec};
use crate::error::StoreError;
use crate::files;

const MAGIC: &[u8; 8] = b"kithjnl1";
const HEADER: usize = 48;
/// Where the first frame begins.
pub(super) const FIRST: u64 = 2 * HEADER as u64;
const FRAME_MAGIC: &[u8; 4] = b"kfr1";
const FRAME: usize = 36;
const TOMBSTONE: u32 = u32::MAX;
/// Largest directory that is read: a million changes take a third of it.
const LARGEST_DIRECTORY: u32 = 64 << 20;
/// A whole database is written in frames of at most so many entries, and of about so many bytes.
const ENTRIES_TOGETHER: usize = 64;
const BYTES_TOGETHER: usize = 1 << 20;
/// Bytes searched at a time for the next frame behind damage.
const WINDOW: usize = 1 << 16;

/// A key, and the value to store under it; `None` removes it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub format: u32,
    pub id: [u8; 16],
    salt: [u8; 16],
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.format.to_le_bytes());
        bytes.extend(self.id);
        bytes.extend(self.salt);
        let sum = crc32fast::hash(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let format = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
        let header =
            Self { format, id: bytes.get(12..28)?.try_into().ok()?, salt: bytes.get(28..44)?.try_into().ok()? };
        (header.bytes() == bytes).then_some(header)
    }
}

/// The open file.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    header: Header,
    /// Where the next frame goes.
    end: u64,
}

/// A change as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Value(Vec<u8>),
    /// The value does not match its checksum.
    Damaged,
    Removed,
}

/// A frame as it was read.
#[derive(Debug)]
pub(super) struct Frame {
    pub at: u64,
    pub end: u64,
    pub write: u64,
    pub changes: Vec<(Vec<u8>, Found)>,
}

impl Frame {
    /// The head record in it, where there is one that can be read.
    pub(super) fn head(&self) -> Option<HeadRecord> {
        let head = Key::Head.bytes();
        let found = self.changes.iter().find(|(key, _)| *key == head)?;
        if let Found::Value(value) = &found.1 { codec::decode(&head, value, None).ok() } else { None }
    }
}

/// What was read from a point of the file on.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Where the last frame ends; what follows is torn, or damaged beyond finding another frame.
    pub end: u64,
    /// Stretches between frames that are none.
    pub damaged: Vec<Range<u64>>,
}

impl Journal {
    /// Makes the file out of a whole database and returns when it is on disk, its name excepted, which it gets last.
    /// `head` makes the head record's value out of the offset of the frame that it will be in.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`], and those of the entries; there is no file then.
    pub(super) fn create<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        (begun, name): (&Path, &Path),
        (format, id, write): (u32, [u8; 16], u64),
        entries: impl Iterator<Item = Result<(K, V), StoreError>>,
        head: impl FnOnce(u64) -> Result<Change, StoreError>,
    ) -> Result<Self, StoreError> {
        let header = Header { format, id, salt: random()? };
        let path = begun;
        let made = (|| {
            // What a crash left under these names is of no use.
            for left in [path, name] {
                match std::fs::remove_file(left) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(left, "removing", &e)),
                    _ => {}
                }
            }
            let mut file = files::open_private(path).map_err(|e| failed(path, "making the journal", &e))?;
            let both = [header.bytes(), header.bytes()].concat();
            file.write_all(&both).map_err(|e| failed(path, "writing the journal", &e))?;
            let mut journal = Self { path: path.to_path_buf(), file, header, end: FIRST };
            let (mut held, mut bytes): (Vec<Change>, usize) = (Vec::new(), 0);
            for entry in entries {
                let (key, value) = entry?;
                bytes += value.as_ref().len();
                held.push((key.as_ref().to_vec(), Some(value.as_ref().to_vec())));
                if held.len() == ENTRIES_TOGETHER || bytes > BYTES_TOGETHER {
                    journal.append(write, &held)?;
                    (held, bytes) = (Vec::new(), 0);
                }
            }
            held.push(head(journal.end)?);
            journal.append(write, &held)?;
            fault::point();
            journal.file.sync_all().map_err(|e| failed(path, "syncing the journal", &e))?;
            std::fs::rename(path, name).map_err(|e| failed(name, "naming the journal", &e))?;
            Ok(Self { path: name.to_path_buf(), ..journal })
        })();
        if made.is_err() {
            files::free(path);
        }
        made
    }

    /// Opens the file; `None` where both of its headers are damaged. Nothing behind them is looked at.
    ///
    /// # Errors
    /// [`StoreError::Io`], with `NotFound` for no file as any other reason.
    pub(super) fn open(path: &Path, writable: bool) -> Result<Option<Self>, StoreError> {
        let mut options = File::options();
        let mut file = options.read(true).write(writable).open(path).map_err(|e| io(path, "opening", &e))?;
        let mut bytes = Vec::new();
        (&mut file).take(FIRST).read_to_end(&mut bytes).map_err(|e| io(path, "reading", &e))?;
        let Some(header) = bytes.chunks(HEADER).find_map(Header::parse) else { return Ok(None) };
        let end = file.metadata().map_err(|e| io(path, "reading", &e))?.len();
        Ok(Some(Self { path: path.to_path_buf(), file, header, end }))
    }

    /// Whether there is more in it than the beginning of a new database. One that cannot be read holds something.
    pub(super) fn holds_writes(&self) -> bool {
        match self.frame_at(FIRST) {
            Ok(Some(first)) => first.write > 0 || first.end < self.end,
            Ok(None) => self.end > FIRST,
            Err(_) => true,
        }
    }

    /// Whether both headers are what was written.
    pub(super) fn headers_sound(&mut self) -> Result<bool, StoreError> {
        let mut bytes = vec![0; FIRST as usize];
        let read = self.file.rewind().and_then(|()| self.file.read_exact(&mut bytes));
        match read {
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(io(&self.path, "reading", &e)),
            Err(_) => Ok(false),
            Ok(()) => Ok(bytes == [self.header.bytes(), self.header.bytes()].concat()),
        }
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next frame goes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// A handle of the same file, for syncing beside writers.
    pub(super) fn handle(&self) -> Result<File, StoreError> {
        self.file.try_clone().map_err(|e| io(&self.path, "opening", &e))
    }

    fn frame_sum(&self, at: u64, head: &[u8]) -> [u8; 4] {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.header.salt);
        sum.update(&at.to_le_bytes());
        sum.update(head);
        sum.finalize().to_le_bytes()
    }

    fn directory_sum(&self, directory: &[u8]) -> [u8; 4] {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.header.salt);
        sum.update(directory);
        sum.finalize().to_le_bytes()
    }

    fn encode(&self, write: u64, changes: &[Change]) -> Result<Vec<u8>, StoreError> {
        let long = || io(&self.path, "writing", &io::Error::other("a write has too many changes"));
        let (mut directory, mut values) = (Vec::new(), 0u64);
        for (key, value) in changes {
            directory.push(u8::try_from(key.len()).map_err(|_| long())?);
            directory.extend(key);
            let length = value.as_ref().map_or(TOMBSTONE, |v| v.len() as u32);
            directory.extend(length.to_le_bytes());
            values += value.as_ref().map_or(0, |v| v.len() as u64);
        }
        let length = u32::try_from(directory.len()).ok().filter(|l| *l <= LARGEST_DIRECTORY).ok_or_else(long)?;
        let mut frame = FRAME_MAGIC.to_vec();
        frame.extend(write.to_le_bytes());
        frame.extend((changes.len() as u32).to_le_bytes());
        frame.extend(length.to_le_bytes());
        frame.extend(values.to_le_bytes());
        frame.extend(self.directory_sum(&directory));
        frame.extend(self.frame_sum(self.end, &frame));
        frame.extend(directory);
        changes.iter().filter_map(|(_, value)| value.as_ref()).for_each(|v| frame.extend(v));
        Ok(frame)
    }

    /// Appends a write. It is in the file, and not on disk for good before the file is synced.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`], and nothing was appended; [`StoreError::Poisoned`] where what was
    /// written of it could not be taken away again.
    pub(super) fn append(&mut self, write: u64, changes: &[Change]) -> Result<(), StoreError> {
        let frame = self.encode(write, changes)?;
        let written = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&frame));
        if let Err(e) = written {
            let failure = failed(&self.path, "writing the journal", &e);
            return Err(match self.cut_to_end() {
                Ok(()) => failure,
                Err(again) => StoreError::Poisoned {
                    path: self.path.display().to_string(),
                    reason: format!("{failure}; then {again}"),
                },
            });
        }
        self.end += frame.len() as u64;
        Ok(())
    }

    /// Takes away what follows the last frame.
    fn cut_to_end(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)
    }

    /// Takes away everything from `end` on.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn cut(&mut self, end: u64) -> Result<(), StoreError> {
        self.end = end;
        self.cut_to_end()
            .and_then(|()| self.file.sync_data())
            .map_err(|e| failed(&self.path, "cutting the journal", &e))
    }

    /// Whether there is room for `bytes` more. They are written and taken away again.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let tried = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&vec![1; bytes]));
        self.cut_to_end().is_ok() && tried.is_ok()
    }

    /// The frame at `at`; `None` where there is none, or not a whole one.
    pub(super) fn frame_at(&self, at: u64) -> Result<Option<Frame>, StoreError> {
        self.reader(at).and_then(|(mut from, length)| self.next_frame(&mut from, at, length))
    }

    fn reader(&self, at: u64) -> Result<(BufReader<&File>, u64), StoreError> {
        let failed = |e| io(&self.path, "reading the journal", &e);
        let length = self.file.metadata().map_err(failed)?.len();
        let mut from = BufReader::with_capacity(WINDOW, &self.file);
        from.seek(SeekFrom::Start(at)).map_err(failed)?;
        Ok((from, length))
    }

    fn next_frame(&self, from: &mut impl Read, at: u64, length: u64) -> Result<Option<Frame>, StoreError> {
        let mut read = |size: usize| -> Result<Option<Vec<u8>>, StoreError> {
            let mut bytes = vec![0; size];
            match from.read_exact(&mut bytes) {
                Ok(()) => Ok(Some(bytes)),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                Err(e) => Err(io(&self.path, "reading the journal", &e)),
            }
        };
        if length.saturating_sub(at) < FRAME as u64 {
            return Ok(None);
        }
        let Some(head) = read(FRAME)? else { return Ok(None) };
        let Some((write, changes, directory, values)) = self.sizes(&head, at) else { return Ok(None) };
        let end = (at + FRAME as u64 + u64::from(directory)).saturating_add(values);
        if end > length {
            return Ok(None);
        }
        let Some(directory) = read(directory as usize)? else { return Ok(None) };
        if self.directory_sum(&directory) != head[28..32] {
            return Ok(None);
        }
        let Some(listed) = parsed(&directory, changes, values) else { return Ok(None) };
        let mut found = Vec::with_capacity(listed.len());
        for (key, value) in listed {
            let Some(value) = value else {
                found.push((key, Found::Removed));
                continue;
            };
            let Some(value) = read(value as usize)? else { return Ok(None) };
            let value = if codec::is_whole(&key, &value) { Found::Value(value) } else { Found::Damaged };
            found.push((key, value));
        }
        Ok(Some(Frame { at, end, write, changes: found }))
    }

    /// Write, number of changes, sizes of directory and values, where these bytes begin a frame at `at`.
    fn sizes(&self, head: &[u8], at: u64) -> Option<(u64, u32, u32, u64)> {
        let sound = head.get(..4)? == FRAME_MAGIC && head.get(32..FRAME)? == self.frame_sum(at, &head[..32]);
        let four = |from: usize| Some(u32::from_le_bytes(head.get(from..from + 4)?.try_into().ok()?));
        let eight = |from: usize| Some(u64::from_le_bytes(head.get(from..from + 8)?.try_into().ok()?));
        let (write, changes, directory, values) = (eight(4)?, four(12)?, four(16)?, eight(20)?);
        (sound && directory <= LARGEST_DIRECTORY).then_some((write, changes, directory, values))
    }

    /// Visits every frame from `at` on. Behind a stretch that is no frame the next one is searched for.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what `visit` returns.
    pub(super) fn scan(
        &self,
        at: u64,
        mut visit: impl FnMut(Frame) -> Result<(), StoreError>,
    ) -> Result<Scanned, StoreError> {
        let (mut from, length) = self.reader(at)?;
        let mut scanned = Scanned { end: at, damaged: Vec::new() };
        while scanned.end < length {
            match self.next_frame(&mut from, scanned.end, length)? {
                Some(frame) => {
                    scanned.end = frame.end;
                    visit(frame)?;
                }
                None => {
                    let Some(next) = self.search(scanned.end + 1, length)? else { break };
                    scanned.damaged.push(scanned.end..next);
                    scanned.end = next;
                    (from, _) = self.reader(next)?;
                }
            }
        }
        Ok(scanned)
    }

    /// Where the next frame begins whose head is sound.
    fn search(&self, from: u64, length: u64) -> Result<Option<u64>, StoreError> {
        let mut at = from;
        while at < length {
            let (mut reader, _) = self.reader(at)?;
            let mut bytes = Vec::with_capacity(WINDOW + FRAME);
            let read = (&mut reader).take((WINDOW + FRAME) as u64).read_to_end(&mut bytes);
            read.map_err(|e| io(&self.path, "reading the journal", &e))?;
            let begins = |place: &usize| {
                let head = bytes.get(*place..*place + FRAME);
                head.is_some_and(|head| self.sizes(head, at + *place as u64).is_some())
            };
            let magic = bytes.windows(4).take(WINDOW).enumerate().filter(|(_, w)| *w == FRAME_MAGIC);
            if let Some(place) = magic.map(|(place, _)| place).find(begins) {
                return Ok(Some(at + place as u64));
            }
            at += WINDOW as u64;
        }
        Ok(None)
    }
}

/// Keys and lengths of values; `None` where the directory is not of so many changes and bytes.
fn parsed(directory: &[u8], changes: u32, values: u64) -> Option<Vec<(Vec<u8>, Option<u32>)>> {
    let (mut rest, mut found, mut sum) = (directory, Vec::new(), 0u64);
    while let Some((&length, tail)) = rest.split_first() {
        let (key, tail) = tail.split_at_checked(usize::from(length))?;
        let (value, tail) = tail.split_first_chunk::<4>()?;
        let value = Some(u32::from_le_bytes(*value)).filter(|v| *v != TOMBSTONE);
        sum += u64::from(value.unwrap_or(0));
        found.push((key.to_vec(), value));
        rest = tail;
    }
    (found.len() == changes as usize && sum == values).then_some(found)
}
