//! TIFF: what the first directory asks of a decoder, held against the picture before one reads it.
//!
//! A directory names the strips or tiles that make the picture by offset and length, so that a small file can ask for
//! any number of them, for the same bytes again and again, and for tiles of a size that has nothing to do with the
//! picture's. What cannot be read here is left to the decoder to refuse.

use super::failure::Failure;
use super::jpeg::Survey;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
/// Of [`PHOTOMETRIC`]: values are indices into [`COLOUR_MAP`].
const PALETTE: u64 = 3;
const COLOUR_MAP: u16 = 320;
/// The kind of a value of 16 bits.
const SHORT: u64 = 3;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES: u16 = 277;
const ROWS_A_STRIP: u16 = 278;
const PLANAR: u16 = 284;
const STRIP_LENGTHS: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_LENGTHS: u16 = 325;
/// Other tags that a decoder reads whole: orientation, colour map, tables of JPEG and the like.
const READ: [u16; 19] = [
    WIDTH,
    HEIGHT,
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    266,
    274,
    SAMPLES,
    ROWS_A_STRIP,
    PLANAR,
    317,
    COLOUR_MAP,
    338,
    339,
    347,
    530,
    532,
    TILE_WIDTH,
    TILE_HEIGHT,
];
/// Values that one of them may have: above a colour map's 3 x 65,536.
const MOST_VALUES: u64 = 1 << 18;
/// Bytes that a pixel may take in the file, uncompressed: four samples of 64 bits.
const MOST_PIXEL_BYTES: u64 = 32;
/// Pixels that tiles may have beyond four times the picture's: a picture smaller than one tile is in order.
const TILE_SLACK: u64 = 1 << 22;

fn too_much(reason: String) -> Result<(), Failure> {
    Err(Failure::Disproportionate(reason))
}

/// Holds the first directory against the picture.
///
/// # Errors
/// [`Failure::Truncated`] for a strip or tile beyond the end of the file, for which the decoder would show black;
/// [`Failure::Disproportionate`] for more strips, tiles, values or bytes than the picture has use for.
pub(super) fn check(bytes: &[u8]) -> Result<(), Failure> {
    let Some(directory) = Directory::first(bytes) else { return Ok(()) };
    let mut seen = Vec::new();
    for entry in directory.entries() {
        if READ.contains(&entry.tag) && entry.count > MOST_VALUES {
            return too_much(format!("{} values of tag {}", entry.count, entry.tag));
        }
        if READ.contains(&entry.tag)
            || (STRIP_OFFSETS..=STRIP_LENGTHS).contains(&entry.tag)
            || entry.tag == TILE_OFFSETS
            || entry.tag == TILE_LENGTHS
        {
            if seen.contains(&entry.tag) {
                return Err(Failure::Truncated("its directory names a tag twice"));
            }
            seen.push(entry.tag);
        }
    }
    let one = |tag| directory.find(tag).and_then(|entry| directory.values(&entry).next());
    let (Some(width), Some(height)) = (one(WIDTH), one(HEIGHT)) else { return Ok(()) };
    let samples = one(SAMPLES).unwrap_or(1).max(1);
    let bits = directory.find(BITS).and_then(|entry| directory.values(&entry).max()).unwrap_or(1);
    if samples.saturating_mul(bits).div_ceil(8) > MOST_PIXEL_BYTES {
        return too_much(format!("{samples} samples of {bits} bits a pixel"));
    }
    // Each sample in strips of its own, or all samples of a pixel side by side.
    let planes = if one(PLANAR) == Some(2) { samples } else { 1 };
    // Also the old way, which is refused later.
    let holds_jpeg = matches!(one(COMPRESSION), Some(6 | 7));
    let strips = (width, one(ROWS_A_STRIP).unwrap_or(height).clamp(1, height.max(1)));
    let tiles = (one(TILE_WIDTH).unwrap_or_default(), one(TILE_HEIGHT).unwrap_or_default());
    for (offsets, lengths, (columns, rows), what) in
        [(STRIP_OFFSETS, STRIP_LENGTHS, strips, "strips"), (TILE_OFFSETS, TILE_LENGTHS, tiles, "tiles")]
    {
        let (Some(offsets), Some(lengths)) = (directory.find(offsets), directory.find(lengths)) else { continue };
        let across = width.div_ceil(columns.max(1));
        let most = across.saturating_mul(height.div_ceil(rows.max(1))).saturating_mul(planes);
        let count = offsets.count.max(lengths.count);
        if count > most {
            return too_much(format!("{count} {what}, where the picture has {most} at most"));
        }
        let covered = columns.saturating_mul(rows).saturating_mul(count.div_ceil(planes));
        if covered > width.saturating_mul(height).saturating_mul(4).saturating_add(TILE_SLACK) {
            return too_much(format!("{count} {what} of {columns}x{rows} pixels for a picture of {width}x{height}"));
        }
        let mut all = 0u64;
        for (from, length) in directory.values(&offsets).zip(directory.values(&lengths)) {
            let end = from.saturating_add(length);
            if end > bytes.len() as u64 {
                return Err(Failure::Truncated("a strip of the picture lies beyond the end of the file"));
            }
            all += length;
            if all > bytes.len() as u64 {
                return too_much(format!("{what} that are longer together than the file, one over the other"));
            }
            // It says its own size.
            if holds_jpeg {
                let survey = Survey::of(&bytes[from as usize..end as usize]);
                survey.is_proportionate()?;
                let (w, h) = survey.size.unwrap_or_default();
                if u64::from(w) > columns.next_multiple_of(32) || u64::from(h) > rows.next_multiple_of(32) {
                    return too_much(format!("a JPEG of {w}x{h} pixels in one of its {what} of {columns}x{rows}"));
                }
            }
        }
    }
    Ok(())
}

/// A picture of indices into a colour map.
pub(super) struct Indexed {
    /// The file, whose indices are called grey values: the decoder reads those.
    pub bytes: Vec<u8>,
    /// The colour of each index.
    pub colours: Vec<[u8; 3]>,
}

/// A file whose first picture is one of 8-bit indices, in a form that the decoder reads; nothing for any other file.
pub(super) fn indexed(bytes: &[u8]) -> Option<Indexed> {
    let directory = Directory::first(bytes)?;
    let entry = |tag| directory.find(tag);
    let one = |tag| entry(tag).and_then(|entry| directory.values(&entry).next());
    let photometric = entry(PHOTOMETRIC)?;
    let by_map = directory.values(&photometric).next() == Some(PALETTE) && photometric.kind == SHORT;
    if !by_map || one(BITS) != Some(8) || one(SAMPLES).unwrap_or(1) != 1 {
        return None;
    }
    // All reds, then all greens, then all blues, of 16 bits.
    let values: Vec<u8> = directory.values(&entry(COLOUR_MAP)?).map(|v| (v >> 8) as u8).collect();
    let (reds, rest) = values.split_at_checked(256)?;
    let (greens, blues) = rest.split_at_checked(256).filter(|(_, blues)| blues.len() == 256)?;
    let colours = (0..256).map(|i| [reds[i], greens[i], blues[i]]).collect();
    let mut bytes = bytes.to_vec();
    let grey = if directory.little { 1u16.to_le_bytes() } else { 1u16.to_be_bytes() };
    bytes.get_mut(photometric.field..photometric.field.checked_add(2)?)?.copy_from_slice(&grey);
    Some(Indexed { bytes, colours })
}

/// The first directory of a file, in the classic form or in that of BigTIFF.
struct Directory<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
    at: usize,
    count: u64,
}

/// A line of a directory: `count` values of `kind`, in the line itself or at an offset.
struct Entry {
    tag: u16,
    kind: u64,
    count: u64,
    /// Where the values, or their offset, are.
    field: usize,
}

impl<'a> Directory<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let mut directory = Self { bytes, little, big: false, at: 0, count: 0 };
        directory.big = match directory.number(2, 2)? {
            42 => false,
            43 => true,
            _ => return None,
        };
        let (offset, width, counted) = if directory.big { (8, 8, 8) } else { (4, 4, 2) };
        directory.at = usize::try_from(directory.number(offset, width)?).ok()?;
        directory.count = directory.number(directory.at, counted)?;
        directory.at = directory.at.checked_add(counted)?;
        Some(directory)
    }

    /// The unsigned number of that many bytes at that place.
    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    }

    /// The lines that lie in the file.
    fn entries(&self) -> impl Iterator<Item = Entry> {
        let (length, counted) = if self.big { (20, 8) } else { (12, 4) };
        let lines =
            (0..self.count).map_while(move |i| self.at.checked_add(usize::try_from(i).ok()?.checked_mul(length)?));
        lines.map_while(move |at| {
            let tag = self.number(at, 2)? as u16;
            Some(Entry {
                tag,
                kind: self.number(at + 2, 2)?,
                count: self.number(at + 4, counted)?,
                field: at + 4 + counted,
            })
        })
    }

    fn find(&self, tag: u16) -> Option<Entry> {
        self.entries().find(|entry| entry.tag == tag)
    }

    /// The values of a line, where they are unsigned integers that lie in the file.
    fn values(&self, entry: &Entry) -> impl Iterator<Item = u64> {
        let width = match entry.kind {
            1 | 7 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => 0,
        };
        let room = if self.big { 8 } else { 4 };
        let inline = entry.count.saturating_mul(width as u64) <= room as u64;
        let from = if inline {
            Some(entry.field)
        } else {
            self.number(entry.field, room).and_then(|at| usize::try_from(at).ok())
        };
        let count = if width == 0 { 0 } else { entry.count };
        (0..count)
            .map_while(move |i| self.number(from?.checked_add(usize::try_from(i).ok()?.checked_mul(width)?)?, width))
    }
}
