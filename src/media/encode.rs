//! Pictures to bytes and files.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

use super::Raster;
use crate::error::PhotoError;
use crate::files::{Audience, write_whole};

/// JPEG quality, 1 to 100: no visible blocks around thin lines and text.
const JPEG_QUALITY: u8 = 92;
/// OpenCV's default.
const OPENCV_JPEG_QUALITY: u8 = 95;

/// The picture as a PNG file's bytes.
///
/// # Errors
/// [`PhotoError::Unwritable`] when the encoder refuses it.
pub fn encode_png(raster: &Raster) -> Result<Vec<u8>, PhotoError> {
    encode(raster, ImageFormat::Png).map_err(|reason| unwritable("<png>", reason))
}

/// The picture as a JPEG file's bytes.
///
/// # Errors
/// [`PhotoError::Unwritable`] when the encoder refuses it (JPEG ends at 65,535 pixels a side).
pub fn encode_jpeg(raster: &Raster) -> Result<Vec<u8>, PhotoError> {
    encode(raster, ImageFormat::Jpeg).map_err(|reason| unwritable("<jpeg>", reason))
}

/// The picture as a JPEG file's bytes, at a quality of 1 to 100.
///
/// # Errors
/// [`PhotoError::Unwritable`] when the encoder refuses it (JPEG ends at 65,535 pixels a side).
pub fn encode_jpeg_at(raster: &Raster, quality: u8) -> Result<Vec<u8>, PhotoError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(raster.data(), raster.width(), raster.height(), ExtendedColorType::Rgb8)
        .map_err(|e| unwritable("<jpeg>", e.to_string()))?;
    Ok(bytes)
}

/// The picture as the bytes of a JPEG file that OpenCV's `imwrite` makes at its defaults: libjpeg-turbo's
/// encoder at quality 95, colours at half the resolution.
///
/// # Errors
/// [`PhotoError::Unwritable`] when the encoder refuses it (JPEG ends at 65,535 pixels a side).
pub fn encode_jpeg_like_opencv(raster: &Raster) -> Result<Vec<u8>, PhotoError> {
    let (width, height) = (raster.width() as usize, raster.height() as usize);
    let encoder = libjpeg_turbo_rs::Encoder::new(raster.data(), width, height, libjpeg_turbo_rs::PixelFormat::Rgb);
    let encoder = encoder.quality(OPENCV_JPEG_QUALITY).subsampling(libjpeg_turbo_rs::Subsampling::S420);
    encoder.encode().map_err(|e| unwritable("<jpeg>", e.to_string()))
}

/// [`save`], but a JPEG file is [`encode_jpeg_like_opencv`]'s.
///
/// # Errors
/// As [`save`].
pub fn save_like_opencv(raster: &Raster, path: impl AsRef<Path>) -> Result<(), PhotoError> {
    let path = path.as_ref();
    if !matches!(ending(path).as_str(), "jpg" | "jpeg") {
        return save(raster, path);
    }
    let shown = path.display().to_string();
    write_whole(path, &encode_jpeg_like_opencv(raster)?, Audience::Umask).map_err(|e| unwritable(&shown, e.to_string()))
}

fn ending(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// Writes the picture in the format that the name ends in: png, jpg, jpeg, webp, bmp, tif or tiff.
/// The file appears whole or not at all.
///
/// # Errors
/// [`PhotoError::Unwritable`] for another ending, a missing folder, a full disk.
pub fn save(raster: &Raster, path: impl AsRef<Path>) -> Result<(), PhotoError> {
    let path = path.as_ref();
    let shown = path.display().to_string();
    let format = match ending(path).as_str() {
        "png" => ImageFormat::Png,
        "jpg" | "jpeg" => ImageFormat::Jpeg,
        "webp" => ImageFormat::WebP,
        "bmp" => ImageFormat::Bmp,
        "tif" | "tiff" => ImageFormat::Tiff,
        _ => {
            let reason = "the name must end in .png, .jpg, .jpeg, .webp, .bmp, .tif or .tiff".to_string();
            return Err(unwritable(&shown, reason));
        }
    };
    let bytes = encode(raster, format).map_err(|reason| unwritable(&shown, reason))?;
    write_whole(path, &bytes, Audience::Umask).map_err(|e| unwritable(&shown, e.to_string()))
}

fn unwritable(path: &str, reason: String) -> PhotoError {
    PhotoError::Unwritable { path: path.to_string(), reason }
}

fn encode(raster: &Raster, format: ImageFormat) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let (width, height, rgb) = (raster.width(), raster.height(), ExtendedColorType::Rgb8);
    let done = match format {
        ImageFormat::Jpeg => {
            JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).write_image(raster.data(), width, height, rgb)
        }
        // One filter for every row: to try them all took longer than finding the faces, for a file a few hundredths smaller.
        ImageFormat::Png => PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Paeth)
            .write_image(raster.data(), width, height, rgb),
        _ => image::write_buffer_with_format(&mut Cursor::new(&mut bytes), raster.data(), width, height, rgb, format),
    };
    done.map(|()| bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Photo};
    use super::*;

    fn picture() -> Raster {
        let data = (0..60u32 * 40 * 3).map(|i| (i % 180) as u8 / 2 + 60).collect();
        Raster::from_rgb(60, 40, data).unwrap()
    }

    #[test]
    fn every_ending_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        for ending in ["png", "jpg", "JPEG", "webp", "bmp", "tif", "tiff"] {
            let path = folder.path().join(format!("picture.{ending}"));
            save(&picture(), &path).unwrap();
            let back = Photo::open_with(&path, &Limits::default()).unwrap();
            let gap = back.raster().data().iter().zip(picture().data()).map(|(a, &b)| a.abs_diff(b)).max().unwrap();
            let bound = if ending.eq_ignore_ascii_case("jpg") || ending == "JPEG" { 40 } else { 0 };
            assert!(gap <= bound, "{ending}: {gap}");
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such/folder/a.png");
        assert_eq!(save(&picture(), missing).unwrap_err().code(), "photo.unwritable");
        let odd = save(&picture(), folder.path().join("a.txt")).unwrap_err();
        assert!(odd.to_string().contains(".png"), "{odd}");
        let taken = folder.path().join("taken.png");
        std::fs::create_dir(&taken).unwrap();
        assert!(save(&picture(), &taken).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
