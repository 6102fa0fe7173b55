//! What the decoder of any format may take, why it gives no picture, and the pixels of the one that it gives.

use image::DynamicImage;
use image::error::ImageError;
use libjpeg_turbo_rs::JpegError;

use super::Raster;

/// Bytes that a decoder may allocate for each pixel of the picture: 16-bit RGBA, and as much again for its own work.
pub(super) const BYTES_A_PIXEL: u64 = 16;
/// A decoder may always allocate this much, however few pixels there are.
pub(super) const LEAST_ALLOCATION: u64 = 16 << 20;
/// Greatest EXIF block that is looked into: what fits a JPEG's.
pub(super) const MOST_EXIF: usize = 64 << 10;

/// Bytes that decoding a picture of that size may take.
pub(super) fn memory_for(width: u32, height: u32) -> u64 {
    (u64::from(width) * u64::from(height)).saturating_mul(BYTES_A_PIXEL).saturating_add(LEAST_ALLOCATION)
}

/// Why there is no picture.
pub(super) enum Failure {
    TooLarge(u32, u32),
    /// More work or memory than the pixels justify: what there is too much of.
    Disproportionate(String),
    Truncated(&'static str),
    #[cfg(any(feature = "heic", feature = "avif"))]
    Damaged(String),
    #[cfg(any(feature = "heic", feature = "avif"))]
    Unsupported(String),
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
