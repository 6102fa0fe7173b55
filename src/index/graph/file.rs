//! A graph on disk: who neighbours whom, and no vector. It is a cache of the store: whatever does not fit
//! the vectors that the store gave is left out, and a file that is not whole is not used at all.
//!
//! | offset | size | what (integers and floats little-endian) |
//! | --- | --- | --- |
//! | 0 | 8 | `kithgrf1` |
//! | 8 | 4 | `h`: length of the header |
//! | 12 | `h` | the header |
//! | | 4 | CRC-32 of everything before |
//! | | 8 `n` + 4 | face of each row, then CRC-32 of the section |
//! | | 4 `n` + 4 | CRC-32 of each row's vector (f32, as held), then CRC-32 of the section |
//! | | 4 `p` + 4 | rows of the pivots, then CRC-32 of the section |
//! | | 4 `n` `d` + 4 | neighbours of each row, then CRC-32 of the section |
//!
//! Header: id of the database (16), gallery (4), sequence number of the last write (8), dimension (4), degree `d`
//! (4), candidates (4), alpha (4), recall (8), width (8), rows `n` (4), pivots `p` (4), model id (the rest).
//!
//! Faces enrolled since the file was written are missing in it and go to the tail; faces forgotten since
//! are left out; a face whose vector is another now is both. So a file that is a little behind is brought
//! up to the store, not thrown away. The last write is in the header to say how far behind it is.

use std::io::{self, Read, Write};

use super::super::rows::Rows;
use super::super::table::Table;
use super::{Graph, NONE, Parameters};

const MAGIC: &[u8; 8] = b"kithgrf1";
/// Bytes of the header before the model id.
const FIXED: usize = 68;
/// Longest header: a model id is far shorter.
const LONGEST: usize = 4096;
/// A graph that lacks more than one in this many of the faces is rebuilt.
const LACKING: usize = 4;
/// Most neighbours that a file may claim.
const HIGHEST_DEGREE: usize = 1024;

/// What a graph belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub database: [u8; 16],
    pub gallery: u32,
    /// Number of the last write that the graph knows.
    pub write: u64,
    pub model: String,
}

/// Bytes of a section, with their checksum after them.
struct Section<'a, W> {
    out: &'a mut W,
    sum: crc32fast::Hasher,
}

impl<'a, W> Section<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self { out, sum: crc32fast::Hasher::new() }
    }
}

impl<W: Write> Section<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.out.write_all(bytes)
    }

    fn end(self) -> io::Result<()> {
        self.out.write_all(&self.sum.finalize().to_le_bytes())
    }
}

impl<R: Read> Section<'_, R> {
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.out.read_exact(bytes).map_err(|e| format!("it cannot be read to its end ({e})"))?;
        self.sum.update(bytes);
        Ok(())
    }

    fn take_u32(&mut self) -> Result<u32, String> {
        let mut bytes = [0; 4];
        self.take(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn verify(self, what: &str) -> Result<(), String> {
        let mut sum = [0; 4];
        self.out.read_exact(&mut sum).map_err(|e| format!("it cannot be read to its end ({e})"))?;
        if sum == self.sum.finalize().to_le_bytes() { Ok(()) } else { Err(format!("{what}: the checksum is wrong")) }
    }
}

/// CRC-32 of a row's vector as it is held.
pub(crate) fn fingerprint(rows: &Rows, row: u32) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    let bytes: Vec<u8> = rows.vector(row).iter().flat_map(|v| v.to_le_bytes()).collect();
    sum.update(&bytes);
    sum.finalize()
}

/// The header's fields.
struct Header {
    parameters: Parameters,
    width: usize,
    rows: usize,
    pivots: usize,
    write: u64,
}

impl Header {
    fn bytes(&self, stamp: &Stamp, dimension: usize) -> Vec<u8> {
        let p = &self.parameters;
        let mut bytes = Vec::with_capacity(FIXED + stamp.model.len());
        bytes.extend(stamp.database);
        bytes.extend(stamp.gallery.to_le_bytes());
        bytes.extend(self.write.to_le_bytes());
        bytes.extend((dimension as u32).to_le_bytes());
        bytes.extend((p.degree as u32).to_le_bytes());
        bytes.extend((p.candidates as u32).to_le_bytes());
        bytes.extend(p.alpha.to_le_bytes());
        bytes.extend(p.recall.to_le_bytes());
        bytes.extend((self.width as u64).to_le_bytes());
        bytes.extend((self.rows as u32).to_le_bytes());
        bytes.extend((self.pivots as u32).to_le_bytes());
        debug_assert_eq!(bytes.len(), FIXED);
        bytes.extend(stamp.model.bytes());
        bytes
    }

    /// A header that belongs to `stamp`.
    fn parse(bytes: &[u8], stamp: &Stamp, dimension: usize) -> Result<Self, String> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let header = Self {
            write: u64_at(20),
            parameters: Parameters {
                degree: u32_at(32) as usize,
                candidates: u32_at(36) as usize,
                alpha: f32::from_bits(u32_at(40)),
                recall: f64::from_bits(u64_at(44)),
            },
            width: u64_at(52) as usize,
            rows: u32_at(60) as usize,
            pivots: u32_at(64) as usize,
        };
        // What it says must be what would be written for this gallery.
        let wanted = header.bytes(stamp, dimension);
        if bytes != wanted {
            return Err("it belongs to another database, gallery, model or dimension".to_string());
        }
        if header.parameters != Parameters::default() {
            return Err("it was built with other parameters".to_string());
        }
        if header.parameters.degree == 0 || header.parameters.degree > HIGHEST_DEGREE || header.pivots > header.rows {
            return Err("its header makes no sense".to_string());
        }
        Ok(header)
    }
}

/// Faces whose checksums are asked for at a time.
const ASKED: usize = 256;

/// A graph as of one moment, copied, so that others change it while it is written. It holds no vector.
#[derive(Debug)]
pub(crate) struct Snapshot {
    parameters: Parameters,
    width: usize,
    dimension: usize,
    /// Whose each row is.
    faces: Vec<Option<u64>>,
    links: Table<u32>,
    pivots: Vec<u32>,
    /// Rows that are not written.
    waiting: Vec<u32>,
}

impl Snapshot {
    /// Writes the graph's linked faces. `sums` gives the checksums of some faces' vectors; that of a face forgotten
    /// since is asked for too, and whoever reads the file passes that face over whatever it is.
    ///
    /// # Errors
    /// What `out` says.
    pub(crate) fn write(
        &self,
        stamp: &Stamp,
        sums: &mut dyn FnMut(&[u64]) -> Vec<u32>,
        mut out: &mut dyn Write,
    ) -> io::Result<()> {
        let out = &mut out;
        let waiting: std::collections::HashSet<u32> = self.waiting.iter().copied().collect();
        let held = (0u32..).zip(&self.faces).filter(|(row, _)| !waiting.contains(row));
        let kept: Vec<(u32, u64)> = held.filter_map(|(row, face)| Some((row, (*face)?))).collect();
        let mut number = vec![NONE; self.faces.len()];
        kept.iter().zip(0u32..).for_each(|((row, _), n)| number[*row as usize] = n);
        let pivots: Vec<u32> = self.pivots.iter().map(|&p| number[p as usize]).filter(|&n| n != NONE).collect();
        let (parameters, width, write) = (self.parameters, self.width, stamp.write);
        let header = Header { parameters, width, rows: kept.len(), pivots: pivots.len(), write };
        let header = header.bytes(stamp, self.dimension);
        let mut section = Section::new(out);
        section.put(MAGIC)?;
        section.put(&(header.len() as u32).to_le_bytes())?;
        section.put(&header)?;
        section.end()?;
        let faces: Vec<u64> = kept.iter().map(|(_, face)| *face).collect();
        let mut section = Section::new(out);
        faces.iter().try_for_each(|face| section.put(&face.to_le_bytes()))?;
        section.end()?;
        let mut section = Section::new(out);
        for some in faces.chunks(ASKED) {
            sums(some).iter().try_for_each(|sum| section.put(&sum.to_le_bytes()))?;
        }
        section.end()?;
        let mut section = Section::new(out);
        pivots.iter().try_for_each(|pivot| section.put(&pivot.to_le_bytes()))?;
        section.end()?;
        let mut section = Section::new(out);
        let mut bytes = Vec::with_capacity(self.parameters.degree * 4);
        for (row, _) in &kept {
            bytes.clear();
            let neighbours = self.links.row(*row).iter().take_while(|&&n| n != NONE);
            let there = neighbours.map(|&n| number[n as usize]).filter(|&n| n != NONE);
            there.for_each(|n| bytes.extend(n.to_le_bytes()));
            bytes.resize(self.parameters.degree * 4, 0xFF);
            section.put(&bytes)?;
        }
        section.end()
    }
}

impl Graph {
    /// The graph as it is.
    pub(crate) fn snapshot(&self, rows: &Rows) -> Snapshot {
        Snapshot {
            parameters: self.parameters,
            width: self.width.unwrap_or(super::tune::HOPELESS),
            dimension: rows.dimension(),
            faces: (0..rows.rows() as u32).map(|row| rows.face(row)).collect(),
            links: self.links.clone(),
            pivots: self.pivots.clone(),
            waiting: self.tail.clone(),
        }
    }

    /// Reads a graph and brings it up to the rows; the error says why it is of no use.
    pub(crate) fn read(rows: &Rows, stamp: &Stamp, from: &mut impl Read) -> Result<Self, String> {
        let mut section = Section::new(from);
        let mut magic = [0; 8];
        section.take(&mut magic)?;
        if magic != *MAGIC {
            return Err("it is no graph of this version".to_string());
        }
        let length = section.take_u32()? as usize;
        if !(FIXED..=LONGEST).contains(&length) {
            return Err("its header makes no sense".to_string());
        }
        let mut header = vec![0; length];
        section.take(&mut header)?;
        section.verify("header")?;
        let written = u64::from_le_bytes(header[20..28].try_into().unwrap_or_default());
        let header = Header::parse(&header, &Stamp { write: written, ..stamp.clone() }, rows.dimension())?;
        // Nothing is reserved on the word of the file alone: rows beyond the store's are of no use anyway.
        if header.rows > 2 * rows.len() + 1024 {
            return Err("most of its faces are not in the gallery any more".to_string());
        }
        let mut places = vec![NONE; header.rows];
        let mut section = Section::new(from);
        let mut face = [0; 8];
        for place in &mut places {
            section.take(&mut face)?;
            *place = rows.row_of(u64::from_le_bytes(face)).unwrap_or(NONE);
        }
        section.verify("faces")?;
        let mut section = Section::new(from);
        for place in &mut places {
            let sum = section.take_u32()?;
            if *place != NONE && fingerprint(rows, *place) != sum {
                *place = NONE;
            }
        }
        section.verify("vectors")?;
        let mut graph = Self::empty(rows, header.parameters);
        graph.width = Some(header.width);
        let place = |n: u32| places.get(n as usize).copied().ok_or_else(|| format!("it has no row {n}"));
        let mut section = Section::new(from);
        for _ in 0..header.pivots {
            let pivot = place(section.take_u32()?)?;
            graph.pivots.extend((pivot != NONE).then_some(pivot));
        }
        section.verify("pivots")?;
        let mut section = Section::new(from);
        let mut bytes = vec![0; header.parameters.degree * 4];
        let mut known = vec![false; rows.rows()];
        let mut dropped = false;
        for &row in &places {
            section.take(&mut bytes)?;
            if row == NONE {
                continue;
            }
            if std::mem::replace(&mut known[row as usize], true) {
                return Err("it has a face twice".to_string());
            }
            let mut filled = 0;
            let (numbers, _) = bytes.as_chunks::<4>();
            for n in numbers.iter().map(|b| u32::from_le_bytes(*b)).take_while(|&n| n != NONE) {
                let neighbour = place(n)?;
                if neighbour == NONE {
                    dropped = true;
                } else {
                    graph.links.row_mut(row)[filled] = neighbour;
                    filled += 1;
                }
            }
        }
        section.verify("neighbours")?;
        if from.read(&mut [0]).map_err(|e| e.to_string())? != 0 {
            return Err("something follows its end".to_string());
        }
        graph.tail.retain(|&row| !known[row as usize]);
        if graph.tail.len() * LACKING > rows.len() || graph.pivots.is_empty() {
            return Err(format!("it lacks {} of {} faces", graph.tail.len(), rows.len()));
        }
        if dropped {
            let stranded = graph.stranded(rows);
            graph.tail.extend(stranded);
        }
        Ok(graph)
    }
}
