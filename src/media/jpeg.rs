//! JPEG, to the same pixels as libjpeg-turbo gives.
//!
//! The standard leaves a decoder free in its inverse DCT and in how it spreads the halved colour
//! channels, and decoders differ there by a level or two. A detector's cascade makes pixels of box out
//! of such levels, and nearly every network was trained and measured on libjpeg-turbo's pixels
//! (Pillow's, OpenCV's): the accurate integer DCT and triangular upsampling. So they are ours too.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::decode::{BYTES_A_PIXEL, Failure, LEAST_ALLOCATION, raster};
use super::{Limits, Raster};

/// Scans that a progressive picture may have: encoders write about ten, and a hostile file thousands
/// that each cost a pass over the whole picture.
const MOST_SCANS: usize = 256;

/// The pixels, and the EXIF orientation (1 to 8) that the file had.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Raster, u8), Failure> {
    if !is_whole(bytes) {
        return Err(Failure::Truncated("the file breaks off before the end of the picture"));
    }
    let memory = limits.max_pixels.saturating_mul(BYTES_A_PIXEL).max(LEAST_ALLOCATION);
    let bounds = DecodeLimits {
        max_width: usize::from(u16::MAX),
        max_height: usize::from(u16::MAX),
        max_pixels: limits.max_pixels,
        max_scans: MOST_SCANS,
        max_memory: Some(memory),
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

/// Whether a JPEG reaches the marker that ends a picture. Decoders fill what is missing with grey,
/// and half a face would be embedded as if it were one. Anything may follow the marker.
fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Between segments: a marker is 0xFF (repeated at will) and a code.
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let (Some(0xff), Some(&code)) = (bytes.get(at), bytes.get(at + 1)) else { return false };
        match code {
            0xd9 => return true,
            // Markers that stand alone.
            0x01 | 0xd0..=0xd7 => at += 2,
            _ => {
                let Some(length) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                if code == 0xda {
                    at = match end_of_scan(bytes, at) {
                        Some(end) => end,
                        None => return false,
                    };
                }
            }
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
