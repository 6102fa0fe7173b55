//! From a file's bytes to upright RGB pixels.
//!
//! The format is told from the bytes. The header is read first, and a picture over the limit is
//! refused before a pixel is allocated. Transparency is laid over white; 16-bit values are rounded to
//! 8; of an animation the first frame counts.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::error::ImageError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use libjpeg_turbo_rs::JpegError;
use tiff::tags::Tag;

use super::{Limits, Raster, jpeg};
use crate::error::PhotoError;

/// Bytes that a decoder may allocate for each allowed pixel: 16-bit RGBA, and as much again for its
/// own work.
pub(super) const BYTES_A_PIXEL: u64 = 16;
/// A decoder may always allocate this much, however few pixels are allowed.
pub(super) const LEAST_ALLOCATION: u64 = 16 << 20;

/// The pixels, and the EXIF orientation (1 to 8) that the file had.
pub(super) fn decode(bytes: &[u8], origin: &str, limits: &Limits) -> Result<(Raster, u8), PhotoError> {
    let origin = || origin.to_string();
    if bytes.is_empty() {
        return Err(PhotoError::Empty { origin: origin() });
    }
    let Some((format, name)) = image::guess_format(bytes).ok().and_then(|f| Some((f, format_name(f)?))) else {
        return Err(PhotoError::UnknownFormat { origin: origin() });
    };
    // Decoders of hostile files have panicked before; a photo must never take the process with it.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_as(bytes, format, limits)));
    match decoded {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Failure::TooLarge(width, height))) => Err(PhotoError::TooManyPixels {
            origin: origin(),
            width,
            height,
            megapixels: f64::from(width) * f64::from(height) / 1e6,
            limit: limits.max_pixels as f64 / 1e6,
        }),
        Ok(Err(Failure::Decoder(ImageError::Unsupported(e)))) => {
            Err(PhotoError::Unsupported { origin: origin(), format: name, reason: e.to_string() })
        }
        Ok(Err(Failure::Decoder(e))) => {
            Err(PhotoError::Damaged { origin: origin(), format: name, reason: e.to_string() })
        }
        Ok(Err(Failure::Jpeg(JpegError::Unsupported(reason)))) => {
            Err(PhotoError::Unsupported { origin: origin(), format: name, reason })
        }
        Ok(Err(Failure::Jpeg(e))) => Err(PhotoError::Damaged { origin: origin(), format: name, reason: e.to_string() }),
        Ok(Err(Failure::Truncated(reason))) => {
            Err(PhotoError::Damaged { origin: origin(), format: name, reason: reason.to_string() })
        }
        Err(_) => {
            Err(PhotoError::Damaged { origin: origin(), format: name, reason: "the decoder gave up on it".to_string() })
        }
    }
}

/// Why there is no picture.
pub(super) enum Failure {
    TooLarge(u32, u32),
    Truncated(&'static str),
    Decoder(ImageError),
    Jpeg(JpegError),
}

impl From<JpegError> for Failure {
    fn from(e: JpegError) -> Self {
        Self::Jpeg(e)
    }
}

impl From<ImageError> for Failure {
    fn from(e: ImageError) -> Self {
        Self::Decoder(e)
    }
}

fn format_name(format: ImageFormat) -> Option<&'static str> {
    match format {
        ImageFormat::Jpeg => Some("JPEG"),
        ImageFormat::Png => Some("PNG"),
        ImageFormat::WebP => Some("WebP"),
        ImageFormat::Bmp => Some("BMP"),
        ImageFormat::Gif => Some("GIF"),
        ImageFormat::Tiff => Some("TIFF"),
        _ => None,
    }
}

fn decode_as(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<(Raster, u8), Failure> {
    if format == ImageFormat::Jpeg {
        return jpeg::decode(bytes, limits);
    }
    if format == ImageFormat::Tiff && !tiff_is_whole(bytes) {
        return Err(Failure::Truncated("a strip of the picture lies beyond the end of the file"));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // The decoder's own bound on width times height is set aside: the limit is on pixels, below.
    let mut bounds = image::Limits::no_limits();
    bounds.max_alloc = Some((limits.max_pixels.saturating_mul(BYTES_A_PIXEL)).max(LEAST_ALLOCATION));
    reader.limits(bounds);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(Failure::TooLarge(width, height));
    }
    // A damaged EXIF block says nothing of the picture, so it does not cost the photo.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok((raster(picture)?, orientation.to_exif()))
}

/// An upright picture as the pixels that everything else works on.
pub(super) fn raster(picture: DynamicImage) -> Result<Raster, Failure> {
    let (width, height) = (picture.width(), picture.height());
    Raster::from_rgb(width, height, to_rgb(picture)).map_err(|_| Failure::Truncated("the picture has no pixels"))
}

/// Eight-bit RGB over white.
fn to_rgb(picture: DynamicImage) -> Vec<u8> {
    if let DynamicImage::ImageRgb8(rgb) = picture {
        return rgb.into_raw();
    }
    if !picture.color().has_alpha() {
        return picture.into_rgb8().into_raw();
    }
    let rgba = picture.into_rgba8();
    let over_white = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    rgba.pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(p.0[c], p.0[3]))).collect()
}

/// Whether every strip or tile that a TIFF names lies inside the file; the decoder shows black for
/// what is missing. A file whose directory cannot be read is left to the decoder to refuse.
fn tiff_is_whole(bytes: &[u8]) -> bool {
    let Ok(mut decoder) = tiff::decoder::Decoder::new(Cursor::new(bytes)) else { return true };
    let mut numbers = |tag| decoder.find_tag_unsigned_vec::<u64>(tag).ok().flatten().unwrap_or_default();
    [(Tag::StripOffsets, Tag::StripByteCounts), (Tag::TileOffsets, Tag::TileByteCounts)].into_iter().all(
        |(at, size)| numbers(at).into_iter().zip(numbers(size)).all(|(a, s)| a.saturating_add(s) <= bytes.len() as u64),
    )
}
