//! When a photo was taken, by its EXIF block (CIPA DC-008): the date and time that the camera wrote, of no known zone.

/// Tags: the block's place, when the picture was taken, and when the file was changed.
const EXIF_IFD: u16 = 0x8769;
const DATE_TIME_ORIGINAL: u16 = 0x9003;
const DATE_TIME: u16 = 0x0132;
/// `YYYY:MM:DD HH:MM:SS`.
const DATE: usize = 19;
/// Entries of a directory that are looked at.
const MOST_ENTRIES: usize = 512;

/// When the photo in these bytes was taken, as `YYYY-MM-DDTHH:MM:SS`; `None` where it does not say, or says what is no
/// date. JPEG, PNG, WebP and TIFF say so, and AVIF and HEIC where they are read.
pub fn taken_at(bytes: &[u8]) -> Option<String> {
    #[cfg(any(feature = "heic", feature = "avif"))]
    if matches!(super::sniff::format(bytes), Some((super::sniff::Format::Heif, _))) {
        return of_block(&super::heif::exif(bytes)?);
    }
    let block = match bytes {
        [0xFF, 0xD8, ..] => segment(bytes)?,
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => bytes,
        [0x89, b'P', b'N', b'G', ..] => chunk(bytes, 8, b"eXIf", true)?,
        [b'R', b'I', b'F', b'F', ..] => {
            let block = chunk(bytes, 12, b"EXIF", false)?;
            block.strip_prefix(b"Exif\0\0").unwrap_or(block)
        }
        _ => return None,
    };
    of_block(block)
}

/// The date that an EXIF block says.
fn of_block(block: &[u8]) -> Option<String> {
    let tiff = Tiff { big: block.starts_with(b"MM"), bytes: block };
    let first = tiff.u32(4)? as usize;
    let inner = tiff.entry(first, EXIF_IFD).and_then(|at| tiff.u32(at + 8));
    let taken = inner.and_then(|inner| tiff.date(inner as usize, DATE_TIME_ORIGINAL));
    taken.or_else(|| tiff.date(first, DATE_TIME))
}

/// The EXIF block among the segments before a JPEG's first scan.
fn segment(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2usize;
    loop {
        let [0xFF, code, high, low] = *bytes.get(at..at.checked_add(4)?)? else { return None };
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
        match code {
            0xE1 if bytes.get(at + 4..).is_some_and(|b| b.starts_with(b"Exif\0\0")) => return bytes.get(at + 10..end),
            0xDA | 0xD9 => return None,
            _ => at = end,
        }
    }
}

/// The content of the first chunk of a name, in a file of chunks: length and name (PNG), or name and length (RIFF).
fn chunk<'a>(bytes: &'a [u8], from: usize, name: &[u8; 4], length_first: bool) -> Option<&'a [u8]> {
    let mut at = from;
    loop {
        let head: &[u8; 8] = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        let [a, b, c, d, e, f, g, h] = *head;
        let (length, is, after) = match length_first {
            true => (u32::from_be_bytes([a, b, c, d]), [e, f, g, h] == *name, 4),
            false => (u32::from_le_bytes([e, f, g, h]), [a, b, c, d] == *name, 0),
        };
        let end = (at + 8).checked_add(length as usize)?;
        if is {
            return bytes.get(at + 8..end);
        }
        // A checksum follows in PNG; in RIFF chunks begin at even places.
        at = end.checked_add(if length_first { after } else { end % 2 })?;
    }
}

struct Tiff<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Tiff<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let two: [u8; 2] = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let four: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// Where the entry of a tag begins in the directory at `at`.
    fn entry(&self, at: usize, tag: u16) -> Option<usize> {
        let entries = usize::from(self.u16(at)?).min(MOST_ENTRIES);
        (0..entries).map(|n| at + 2 + 12 * n).find(|place| self.u16(*place) == Some(tag))
    }

    fn date(&self, directory: usize, tag: u16) -> Option<String> {
        let at = self.u32(self.entry(directory, tag)? + 8)? as usize;
        let text = self.bytes.get(at..at.checked_add(DATE)?)?;
        let digits = |place: usize, count: usize| -> Option<u32> {
            let digits = &text[place..place + count];
            digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
        };
        let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
        let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
        let sound = year > 0 && (1..=12).contains(&month) && (1..=31).contains(&day);
        let sound = sound && hour < 24 && minute < 60 && second < 61;
        sound.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with the date at which the picture was taken, and the one of the file.
    fn block(big: bool, taken: &str, changed: &str) -> Vec<u8> {
        let two = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let four = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let entry = |tag: u16, kind: u16, count: u32, value: u32| {
            [two(tag).to_vec(), two(kind).to_vec(), four(count).to_vec(), four(value).to_vec()].concat()
        };
        // Head 8, directory 2 + 24 + 4, inner directory 2 + 12 + 4, the two texts.
        let (inner, texts) = (38u32, 56u32);
        [
            if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() },
            four(8).to_vec(),
            two(2).to_vec(),
            entry(DATE_TIME, 2, 20, texts + 20),
            entry(EXIF_IFD, 4, 1, inner),
            four(0).to_vec(),
            two(1).to_vec(),
            entry(DATE_TIME_ORIGINAL, 2, 20, texts),
            four(0).to_vec(),
            taken.as_bytes().to_vec(),
            vec![0],
            changed.as_bytes().to_vec(),
            vec![0],
        ]
        .concat()
    }

    fn jpeg_with(block: &[u8]) -> Vec<u8> {
        let payload = [b"Exif\0\0", block].concat();
        let length = (payload.len() as u16 + 2).to_be_bytes();
        [&[0xFF, 0xD8, 0xFF, 0xE1], length.as_slice(), &payload, &[0xFF, 0xD9]].concat()
    }

    #[test]
    fn the_cameras_date_is_read_from_every_kind_of_file_and_nonsense_is_none() {
        for big in [false, true] {
            let exif = block(big, "2024:05:31 23:59:60", "2025:01:01 00:00:00");
            let wanted = Some("2024-05-31T23:59:60".to_string());
            assert_eq!(taken_at(&jpeg_with(&exif)), wanted);
            assert_eq!(taken_at(&exif), wanted);
            let length = (exif.len() as u32).to_be_bytes();
            let png =
                [b"\x89PNG\r\n\x1a\n", [0, 0, 0, 0].as_slice(), b"tEXt", &[0; 4], &length, b"eXIf", &exif].concat();
            assert_eq!(taken_at(&png), wanted);
            let length = (exif.len() as u32).to_le_bytes();
            let webp = [b"RIFF\0\0\0\0WEBPVP8 \x03\0\0\0abc\0EXIF", length.as_slice(), &exif].concat();
            assert_eq!(taken_at(&webp), wanted);
            let changed = block(big, "0000:00:00 00:00:00", "2025:01:01 00:00:00");
            assert_eq!(taken_at(&changed).as_deref(), Some("2025-01-01T00:00:00"));
            let neither = block(big, "    :  :     :  :  ", "yesterday, about ten");
            assert_eq!(taken_at(&neither), None);
            let whole = jpeg_with(&exif);
            for cut in 0..whole.len() {
                let _ = taken_at(&whole[..cut]);
                let _ = taken_at(&exif[..cut.min(exif.len())]);
            }
            for at in 0..exif.len() {
                let mut bent = exif.clone();
                bent[at] ^= 0xFF;
                let _ = taken_at(&bent);
            }
        }
    }
}
