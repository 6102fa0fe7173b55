//! JPEG, to the same pixels as libjpeg-turbo gives.
//!
//! The standard leaves a decoder free in its inverse DCT and in how it spreads the halved colour
//! channels, and decoders differ there by a level or two. A detector's cascade makes pixels of box out
//! of such levels, and nearly every network was trained and measured on libjpeg-turbo's pixels
//! (Pillow's, OpenCV's): the accurate integer DCT and triangular upsampling. So they are ours too.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::failure::{Failure, memory_for, raster};
use super::{Limits, Raster};

/// Scans of one component that a picture may have. Each is a pass over all of its blocks, however few bytes it is
/// coded in. libjpeg's own progressive script takes six for the brightness; encoders that search for the best script
/// about ten.
const MOST_PASSES: usize = 24;
/// Bytes that Huffman tables for one scan take at most: four for DC and four for AC coefficients, each of a class, 16
/// counts and up to 256 symbols.
const TABLES_A_SCAN: usize = 8 * (1 + 16 + 256);

/// The pixels, and the EXIF orientation (1 to 8) that the file had.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Raster, u8), Failure> {
    let survey = Survey::of(bytes);
    if !survey.whole {
        return Err(Failure::Truncated("the file breaks off before the end of the picture"));
    }
    survey.is_proportionate()?;
    let (width, height) = survey.size.unwrap_or_default();
    let bounds = DecodeLimits {
        max_width: usize::from(u16::MAX),
        max_height: usize::from(u16::MAX),
        max_pixels: limits.max_pixels,
        max_scans: survey.scans,
        max_memory: Some(memory_for(width.into(), height.into())),
    };
    let mut decoder = Decoder::new_with_limits(bytes, bounds)?;
    let (width, height) = (u32::from(decoder.header().width), u32::from(decoder.header().height));
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(Failure::TooLarge(width, height));
    }
    // A damaged EXIF block says nothing of the picture, so it does not cost the photo.
    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms);
    decoder.set_output_format(PixelFormat::Rgb);
    let pixels = decoder.decode_image()?.data;
    let picture =
        RgbImage::from_raw(width, height, pixels).ok_or(Failure::Truncated("the picture lacks some of its rows"))?;
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation);
    Ok((raster(picture)?, orientation.to_exif()))
}

/// What the markers of a JPEG say of the picture and of the work that it takes, without any of it being done.
pub(super) struct Survey {
    /// Whether it reaches the marker that ends a picture. Decoders fill what is missing with grey, and half a face
    /// would be embedded as if it were one. Anything may follow the marker.
    pub(super) whole: bool,
    /// Width and height in the first frame header.
    pub(super) size: Option<(u16, u16)>,
    scans: usize,
    /// Scans by the component that they code.
    passes: [usize; 256],
    /// Bytes of Huffman tables.
    tables: usize,
}

impl Survey {
    /// Walks the markers of a picture, whose first two bytes are not looked at.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut survey = Self { whole: false, size: None, scans: 0, passes: [0; 256], tables: 0 };
        survey.whole = survey.walk(bytes).is_some();
        survey
    }

    /// Whether the scans and tables are no more than a picture has use for.
    ///
    /// # Errors
    /// [`Failure::Disproportionate`] that says what there is too much of.
    pub(super) fn is_proportionate(&self) -> Result<(), Failure> {
        let passes = self.passes.iter().max().copied().unwrap_or_default();
        if passes > MOST_PASSES {
            let reason = format!("{passes} scans of one colour component, where {MOST_PASSES} are read at most");
            return Err(Failure::Disproportionate(reason));
        }
        let most = TABLES_A_SCAN * self.scans.max(1);
        if self.tables > most {
            let reason = format!("{} bytes of Huffman tables, where its scans can use {most}", self.tables);
            return Err(Failure::Disproportionate(reason));
        }
        Ok(())
    }

    /// Some, when the end of the picture is reached.
    fn walk(&mut self, bytes: &[u8]) -> Option<()> {
        let mut at = 2;
        loop {
            // Between segments: a marker is 0xFF (repeated at will) and a code.
            while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
                at += 1;
            }
            let (Some(0xff), Some(&code)) = (bytes.get(at), bytes.get(at + 1)) else { return None };
            at += 2;
            match code {
                0xd9 => return Some(()),
                // Markers that stand alone.
                0x01 | 0xd0..=0xd7 => {}
                _ => {
                    let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
                    let segment = bytes.get(at + 2..at + length.max(2)).unwrap_or_default();
                    self.count(code, segment);
                    at += length;
                    if code == 0xda {
                        at = end_of_scan(bytes, at)?;
                    }
                }
            }
        }
    }

    fn count(&mut self, code: u8, segment: &[u8]) {
        match (code, segment) {
            (0xc4, tables) => self.tables += tables.len(),
            // Frame headers: precision, height, width.
            (0xc0..=0xcf, [_, y0, y1, x0, x1, ..]) if code != 0xc8 && code != 0xcc && self.size.is_none() => {
                self.size = Some((u16::from_be_bytes([*x0, *x1]), u16::from_be_bytes([*y0, *y1])));
            }
            // A scan's header: the number of components, then for each its id and its tables.
            (0xda, [count, components @ ..]) => {
                self.scans += 1;
                let coded = components.as_chunks::<2>().0.iter().take(usize::from(*count));
                coded.for_each(|[id, _]| self.passes[usize::from(*id)] += 1);
            }
            _ => {}
        }
    }
}

/// Where the next marker after entropy-coded data stands. In such data 0xFF 0x00 is a value and
/// 0xFF 0xD0..0xD7 are restarts.
fn end_of_scan(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}
