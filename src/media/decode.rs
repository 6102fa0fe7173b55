//! From a file's bytes to upright RGB pixels.
//!
//! The format is told from the bytes. The header is read first, and a picture over the limit is
//! refused before a pixel is allocated; so is a file that asks for more work or memory than its pixels
//! justify: thousands of scans, profiles that unpack to a gigabyte, frames larger than the picture. Transparency is laid over white; 16-bit values are rounded to
//! 8; of an animation the first frame counts.

use std::borrow::Cow;
use std::io::Cursor;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use libjpeg_turbo_rs::JpegError;

use super::failure::{BYTES_A_PIXEL, Failure, LEAST_ALLOCATION, memory_for, raster};
use super::sniff::Format;
use super::{Limits, Raster, jpeg, png, sniff, tiff, webp};
use crate::error::{PhotoError, caught};

/// The pixels, and the EXIF orientation (1 to 8) that the file had.
pub(super) fn decode(bytes: &[u8], origin: &str, limits: &Limits) -> Result<(Raster, u8), PhotoError> {
    let origin = || origin.to_string();
    if bytes.is_empty() {
        return Err(PhotoError::Empty { origin: origin() });
    }
    if let Some(format) = sniff::foreign(bytes) {
        return Err(PhotoError::Foreign { origin: origin(), format });
    }
    let Some((format, name)) = sniff::format(bytes) else {
        return Err(PhotoError::UnknownFormat { origin: origin() });
    };
    // Decoders of hostile files have panicked before; a photo must never take the process with it.
    let Some(decoded) = caught(|| decode_as(bytes, format, limits)) else {
        let reason = "the decoder gave up on it".to_string();
        return Err(PhotoError::Damaged { origin: origin(), format: name, reason });
    };
    match decoded {
        Ok(answer) => Ok(answer),
        Err(Failure::TooLarge(width, height)) => Err(PhotoError::TooManyPixels {
            origin: origin(),
            width,
            height,
            megapixels: f64::from(width) * f64::from(height) / 1e6,
            limit: limits.max_pixels as f64 / 1e6,
        }),
        Err(Failure::Disproportionate(reason)) => {
            Err(PhotoError::Disproportionate { origin: origin(), format: name, reason })
        }
        Err(Failure::Decoder(ImageError::Limits(_))) => {
            let reason = "more memory than a picture of its size takes".to_string();
            Err(PhotoError::Disproportionate { origin: origin(), format: name, reason })
        }
        Err(Failure::Decoder(ImageError::Unsupported(e))) => {
            Err(PhotoError::Unsupported { origin: origin(), format: name, reason: e.to_string() })
        }
        Err(Failure::Decoder(e)) => Err(PhotoError::Damaged { origin: origin(), format: name, reason: e.to_string() }),
        Err(Failure::Jpeg(JpegError::Unsupported(reason))) => {
            Err(PhotoError::Unsupported { origin: origin(), format: name, reason })
        }
        Err(Failure::Jpeg(e)) => Err(PhotoError::Damaged { origin: origin(), format: name, reason: e.to_string() }),
        Err(Failure::Truncated(reason)) => {
            Err(PhotoError::Damaged { origin: origin(), format: name, reason: reason.to_string() })
        }
        #[cfg(any(feature = "heic", feature = "avif"))]
        Err(Failure::Damaged(reason)) => Err(PhotoError::Damaged { origin: origin(), format: name, reason }),
        #[cfg(any(feature = "heic", feature = "avif"))]
        Err(Failure::Unsupported(reason)) => Err(PhotoError::Unsupported { origin: origin(), format: name, reason }),
    }
}

fn decode_as(bytes: &[u8], format: Format, limits: &Limits) -> Result<(Raster, u8), Failure> {
    #[allow(clippy::infallible_destructuring_match)] // one of several, with the features
    let format = match format {
        Format::Plain(format) => format,
        #[cfg(any(feature = "heic", feature = "avif"))]
        Format::Heif => return super::heif::decode(bytes, limits),
    };
    if format == ImageFormat::Jpeg {
        return jpeg::decode(bytes, limits);
    }
    // What a decoder reads, and what it says of its orientation where that is not left to the decoder.
    let (readable, exif) = match format {
        ImageFormat::Png => {
            let png::Essentials { bytes, exif } = png::essentials(bytes);
            (bytes, Some(exif))
        }
        _ => (Cow::Borrowed(bytes), None),
    };
    let mut colours = None;
    let readable = match format {
        ImageFormat::Tiff => {
            tiff::check(bytes)?;
            match tiff::indexed(bytes) {
                Some(indexed) => {
                    colours = Some(indexed.colours);
                    Cow::Owned(indexed.bytes)
                }
                None => readable,
            }
        }
        _ => readable,
    };
    let mut reader = ImageReader::with_format(Cursor::new(&*readable), format);
    // The decoder's own bound on width times height is set aside: the limit is on pixels, below.
    let mut bounds = image::Limits::no_limits();
    bounds.max_alloc = Some(limits.max_pixels.saturating_mul(BYTES_A_PIXEL).saturating_add(LEAST_ALLOCATION));
    reader.limits(bounds.clone());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        return Err(Failure::TooLarge(width, height));
    }
    // From here on, what this picture's pixels justify, not what the largest one's would.
    bounds.max_alloc = Some(memory_for(width, height));
    decoder.set_limits(bounds)?;
    if decoder.total_bytes().saturating_mul(2) > memory_for(width, height) {
        let bits = decoder.total_bytes().saturating_mul(8) / pixels.max(1);
        return Err(Failure::Disproportionate(format!("{bits} bits a pixel")));
    }
    let exif = match format {
        ImageFormat::WebP => Some(webp::check(bytes, pixels)?),
        _ => exif,
    };
    // A damaged EXIF block says nothing of the picture, so it does not cost the photo.
    let orientation = match exif {
        Some(exif) => exif.and_then(Orientation::from_exif_chunk),
        None => decoder.orientation().ok(),
    };
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if let (Some(colours), DynamicImage::ImageLuma8(indices)) = (colours, &picture) {
        let coloured = indices.pixels().flat_map(|index| colours[usize::from(index.0[0])]).collect();
        let coloured = image::RgbImage::from_raw(width, height, coloured);
        picture = coloured.map(DynamicImage::ImageRgb8).ok_or(Failure::Truncated("the picture has no pixels"))?;
    }
    picture.apply_orientation(orientation);
    Ok((raster(picture)?, orientation.to_exif()))
}
