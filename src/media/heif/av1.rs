//! One coded picture to samples.
//!
//! The decoder has no setting for it, and says on standard error what units it does not know or finds damaged: units of other
//! types than a picture's are not shown to it.
//!
//! A stream may hold any number of frames that are decoded and never shown, each of the picture's size and a few bytes
//! long. A still picture is one frame, or one for each of at most four layers: more are refused before one is decoded.

use std::borrow::Cow;

use rusty_av1d::pixel::YUVRange;
use rusty_av1d::{Decoder, PixelLayout, PlanarImageComponent as Plane, Rav1dError, Settings};

use super::super::failure::Failure;
use super::picture::{Picture, Rows};

/// Frames of a still picture: one for each spatial layer (AV1 specification, section 6.4.1).
const MOST_FRAMES: usize = 4;

/// Types of open bitstream units (section 6.2.2).
const SEQUENCE: u8 = 1;
const DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const TILES: u8 = 4;
const FRAME: u8 = 6;
const FRAME_HEADER_AGAIN: u8 = 7;

/// What the decoder gives.
struct Decoded {
    picture: rusty_av1d::Picture,
    /// Whether samples have two bytes.
    wide: bool,
}

impl Rows for Decoded {
    fn row(&self, plane: usize, y: usize) -> Cow<'_, [u16]> {
        let component = [Plane::Y, Plane::U, Plane::V][plane];
        let whole = self.picture.plane(component);
        let stride = self.picture.stride(component) as usize;
        // The last row may end with its last sample.
        let row = &whole[y * stride..whole.len().min((y + 1) * stride)];
        Cow::Owned(match self.wide {
            true => row.as_chunks::<2>().0.iter().map(|b| u16::from_ne_bytes(*b)).collect(),
            false => row.iter().map(|b| u16::from(*b)).collect(),
        })
    }
}

/// Decodes the picture of a stream of open bitstream units, which must be of that size.
///
/// # Errors
/// [`Failure::Disproportionate`] for a picture larger than it is said to be, or of more frames than layers; what the
/// decoder does not read, or finds damaged.
pub(super) fn decode(stream: &[u8], (width, height): (u32, u32)) -> Result<Picture, Failure> {
    let (mut sequences, mut frames) = (0, 0);
    let mut shown = Vec::with_capacity(stream.len());
    for unit in units(stream) {
        let (kind, bytes) = unit?;
        match kind {
            SEQUENCE => sequences += 1,
            FRAME_HEADER | FRAME => frames += 1,
            DELIMITER | TILES | FRAME_HEADER_AGAIN => {}
            _ => continue,
        }
        shown.extend_from_slice(bytes);
    }
    if sequences == 0 || frames == 0 {
        return Err(Failure::Truncated("there is no picture in it"));
    }
    if frames > MOST_FRAMES || sequences > frames {
        return Err(Failure::Disproportionate(format!("{frames} frames for one picture")));
    }
    let mut settings = Settings::new();
    // The photo is decoded on the thread that asked for it: others decode others.
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    settings.set_frame_size_limit(width.saturating_mul(height));
    let mut decoder = Decoder::with_settings(&settings).map_err(|e| failure(e, (width, height)))?;
    let mut sent = decoder.send_data(shown.into_boxed_slice(), None, None, None);
    let mut last = None;
    loop {
        match sent {
            Ok(()) | Err(Rav1dError::TryAgain) => {}
            Err(e) => return Err(failure(e, (width, height))),
        }
        match decoder.get_picture() {
            Ok(picture) => last = Some(picture),
            Err(Rav1dError::TryAgain) if sent.is_err() => {}
            Err(Rav1dError::TryAgain) => break,
            Err(e) => return Err(failure(e, (width, height))),
        }
        if sent.is_ok() {
            break;
        }
        sent = decoder.send_pending_data();
    }
    let picture = last.ok_or(Failure::Truncated("the file breaks off before the end of the picture"))?;
    if picture.width() < width || picture.height() < height {
        return Err(Failure::Truncated("a picture smaller than it is said to be"));
    }
    if (picture.width(), picture.height()) != (width, height) {
        return Err(larger((width, height)));
    }
    let bits = picture.bits_per_component().map_or(8, |bits| bits.0);
    Ok(Picture {
        size: (width, height),
        left: 0,
        top: 0,
        depths: [bits; 2],
        subsampling: match picture.pixel_layout() {
            PixelLayout::I400 => None,
            PixelLayout::I420 => Some([1, 1]),
            PixelLayout::I422 => Some([1, 0]),
            PixelLayout::I444 => Some([0, 0]),
        },
        // As libavif takes it.
        smooth: true,
        matrix: picture.matrix_coefficients() as u16,
        full_range: picture.color_range() == YUVRange::Full,
        rows: Box::new(Decoded { picture, wide: bits > 8 }),
    })
}

fn larger((width, height): (u32, u32)) -> Failure {
    Failure::Disproportionate(format!("a picture of more pixels in one of {width}x{height}"))
}

/// The units of a stream with their types, in order (section 5.3).
fn units(stream: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), Failure>> {
    let broken = || Failure::Truncated("its units break off");
    let mut rest = stream;
    let unit = move || -> Option<Result<(u8, &[u8]), Failure>> {
        let whole = rest;
        let (head, mut after) = rest.split_first()?;
        let (kind, extended, sized) = (head >> 3 & 15, head & 4 != 0, head & 2 != 0);
        rest = &[];
        if extended {
            after = match after.split_first() {
                Some((_, after)) => after,
                None => return Some(Err(broken())),
            };
        }
        if sized {
            let Some((length, after)) = leb128(after) else { return Some(Err(broken())) };
            match after.get(length..) {
                Some(next) => rest = next,
                None => return Some(Err(broken())),
            }
        }
        Some(Ok((kind, &whole[..whole.len() - rest.len()])))
    };
    std::iter::from_fn(unit)
}

/// A number of seven bits a byte, and what follows it (section 4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[at + 1..]));
        }
    }
    None
}

fn failure(e: Rav1dError, size: (u32, u32)) -> Failure {
    match e {
        Rav1dError::OutOfRange => larger(size),
        Rav1dError::UnsupportedBitstream => Failure::Unsupported(e.to_string()),
        e => Failure::Damaged(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_walked_by_their_lengths_and_none_beyond_the_end() {
        fn all(bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
            units(bytes).collect::<Result<_, _>>().ok()
        }
        let kinds = |bytes: &[u8]| all(bytes).map(|units| units.iter().map(|(kind, _)| *kind).collect::<Vec<_>>());
        // A temporal delimiter, a sequence header of two bytes with an extension, a frame to the end.
        let stream = [0x12, 0, 0x0e, 0, 2, 9, 9, 0x30, 1, 2, 3];
        assert_eq!(kinds(&stream), Some(vec![2, 1, 6]));
        let parts: Vec<&[u8]> = all(&stream).unwrap().into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(parts, [&stream[..2], &stream[2..7], &stream[7..]]);
        assert_eq!(kinds(&[]), Some(vec![]));
        for broken in [&[0x12][..], &[0x12, 1], &[0x16], &[0x12, 0xff, 0xff], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
            assert_eq!(kinds(broken), None, "{broken:?}");
        }
    }
}
