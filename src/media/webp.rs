//! WebP: whether the picture inside is what the file's head announces, before a decoder makes room for it.

use super::failure::{Failure, MOST_EXIF};

/// Bytes that lossless coding may take beyond what its pixels take uncoded: its tables.
const SLACK: u64 = 64 << 10;

/// Walks the chunks; gives the EXIF block, where there is one of a usual size.
///
/// # Errors
/// [`Failure::Disproportionate`] where the first frame is larger than the whole picture, or takes more bytes than its
/// pixels would uncoded: tables for them may take hundreds of times their length in memory.
pub(super) fn check(bytes: &[u8], pixels: u64) -> Result<Option<&[u8]>, Failure> {
    let mut exif = None;
    let mut animated = false;
    for (name, data) in chunks(bytes.get(12..).unwrap_or_default()) {
        match name {
            b"EXIF" => exif = exif.or((data.len() <= MOST_EXIF).then_some(data)),
            // Of an animation the first frame counts: its place and length, then chunks of its own.
            b"ANMF" if !animated => {
                animated = true;
                let mut held = chunks(data.get(16..).unwrap_or_default());
                held.try_for_each(|(name, data)| is_proportionate(name, data, pixels))?;
            }
            _ => is_proportionate(name, data, pixels)?,
        }
    }
    Ok(exif)
}

fn is_proportionate(name: &[u8; 4], data: &[u8], pixels: u64) -> Result<(), Failure> {
    let size = match (name, data) {
        // Three bytes of the frame's tag, three of a start code, then both lengths in 14 bits each.
        (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..]) => {
            let length = |low, high| u64::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Some((length(*w0, *w1), length(*h0, *h1)))
        }
        (b"VP8L", [0x2f, a, b, c, d, ..]) => {
            let packed = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
            Some(((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1))
        }
        _ => None,
    };
    if let Some((width, height)) = size
        && width * height > pixels
    {
        let reason = format!("a frame of {width}x{height} pixels in a picture of {pixels} pixels in all");
        return Err(Failure::Disproportionate(reason));
    }
    let most = pixels * if name == b"ALPH" { 1 } else { 4 } + SLACK;
    if matches!(name, b"VP8L" | b"ALPH") && data.len() as u64 > most {
        let reason = format!("{} bytes for pixels that take {most} uncoded", data.len());
        return Err(Failure::Disproportionate(reason));
    }
    Ok(())
}

/// Names and contents of the chunks one after the other; the last one may break off.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        bytes = rest.get(length.saturating_add(length % 2)..).unwrap_or_default();
        Some((name, &rest[..length.min(rest.len())]))
    })
}
