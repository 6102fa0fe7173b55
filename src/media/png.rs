//! PNG: the chunks that make the pixels, without those that a decoder would read for nothing.
//!
//! A colour profile or a text of 1.5 MB unpacks to a thousand times as much, and none of it changes a pixel here.

use std::borrow::Cow;

use super::failure::MOST_EXIF;

/// Length of the signature before the first chunk.
const SIGNATURE: usize = 8;
/// Length, name and checksum of a chunk.
const FRAME: usize = 12;

/// A file without the chunks that shape no pixel, and what it says of its orientation.
pub(super) struct Essentials<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) exif: Option<&'a [u8]>,
}

/// Walks the chunks. What does not read as one is left to the decoder to refuse, with all that follows it.
pub(super) fn essentials(bytes: &[u8]) -> Essentials<'_> {
    let mut kept: Vec<&[u8]> = vec![bytes.get(..SIGNATURE).unwrap_or(bytes)];
    let (mut at, mut exif, mut dropped) = (SIGNATURE.min(bytes.len()), None, false);
    while let Some((name, chunk)) = chunk(bytes, at) {
        at += chunk.len();
        match name {
            b"eXIf" => {
                let held = &chunk[8..chunk.len() - 4];
                exif = exif.or((held.len() <= MOST_EXIF).then_some(held));
                dropped = true;
            }
            // A small first letter marks what a reader may pass over.
            [first, ..] if first.is_ascii_lowercase() && name != b"tRNS" => dropped = true,
            _ => kept.push(chunk),
        }
    }
    kept.push(bytes.get(at..).unwrap_or_default());
    let bytes = if dropped { Cow::Owned(kept.concat()) } else { Cow::Borrowed(bytes) };
    Essentials { bytes, exif }
}

/// The chunk that begins there, with its length, name and checksum, and its name.
fn chunk(bytes: &[u8], at: usize) -> Option<(&[u8; 4], &[u8])> {
    let head = bytes.get(at..at + 8)?;
    let (length, name) = head.split_at(4);
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    Some((name.try_into().ok()?, bytes.get(at..at.checked_add(FRAME)?.checked_add(length)?)?))
}
