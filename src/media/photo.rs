//! A photo: upright pixels, and where they came from.

use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::decode;
use super::{Limits, Raster};
use crate::error::PhotoError;
use crate::files::spelled;

/// A decoded photo, turned upright as its EXIF orientation says.
///
/// ```
/// let photo = kith::Photo::open("tests/fixtures/photos/grace_hopper.jpg")?;
/// assert_eq!((photo.width(), photo.height()), (512, 600));
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Photo {
    raster: Raster,
    origin: String,
    sha256: Option<String>,
    orientation: u8,
}

impl Photo {
    /// Reads and decodes a file within the default [`Limits`]. The format is told from the bytes, not
    /// from the name.
    ///
    /// # Errors
    /// A [`PhotoError`] that names the file and the cause.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PhotoError> {
        Self::open_with(path, &Limits::default())
    }

    /// Reads and decodes a file within `limits`.
    ///
    /// # Errors
    /// A [`PhotoError`] that names the file and the cause.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, PhotoError> {
        let path = path.as_ref();
        Self::from_bytes(&Self::read(path, limits)?, &spelled(path), limits)
    }

    /// Reads a file's bytes, no more of them than `limits` allow, for [`Photo::from_bytes`].
    ///
    /// # Errors
    /// A [`PhotoError`] that names the file and the cause.
    pub fn read(path: impl AsRef<Path>, limits: &Limits) -> Result<Vec<u8>, PhotoError> {
        let path = path.as_ref();
        let origin = spelled(path);
        let unreadable = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => PhotoError::NotFound { origin: origin.clone() },
            _ => PhotoError::Unreadable { origin: origin.clone(), reason: e.to_string() },
        };
        let facts = fs::metadata(path).map_err(unreadable)?;
        if facts.is_dir() {
            return Err(PhotoError::IsFolder { origin });
        }
        // A pipe or a device states no length, so the reading itself is bounded too.
        let file = fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::with_capacity(facts.len().min(limits.max_bytes) as usize);
        file.take(limits.max_bytes + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let size = facts.len().max(bytes.len() as u64);
        if size > limits.max_bytes {
            return Err(PhotoError::TooManyBytes { origin, bytes: size, limit: limits.max_bytes });
        }
        Ok(bytes)
    }

    /// Decodes a file's bytes within `limits`; `origin` names them in errors.
    ///
    /// # Errors
    /// A [`PhotoError`] that names the origin and the cause.
    pub fn from_bytes(bytes: &[u8], origin: &str, limits: &Limits) -> Result<Self, PhotoError> {
        if bytes.len() as u64 > limits.max_bytes {
            let (bytes, limit) = (bytes.len() as u64, limits.max_bytes);
            return Err(PhotoError::TooManyBytes { origin: origin.to_string(), bytes, limit });
        }
        let (raster, orientation) = decode::decode(bytes, origin, limits)?;
        let sha256 = Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Ok(Self { raster, origin: origin.to_string(), sha256: Some(sha256), orientation })
    }

    /// Pixels that are at hand already, upright.
    pub fn from_raster(raster: Raster, origin: impl Into<String>) -> Self {
        Self { raster, origin: origin.into(), sha256: None, orientation: 1 }
    }

    /// The pixels.
    pub fn raster(&self) -> &Raster {
        &self.raster
    }

    /// The path, or whatever the photo was called when it came as bytes.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Hex sha256 of the file's bytes; `None` for a photo that came as pixels.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// Width of the upright photo in pixels.
    pub fn width(&self) -> u32 {
        self.raster.width()
    }

    /// Height of the upright photo in pixels.
    pub fn height(&self) -> u32 {
        self.raster.height()
    }

    /// EXIF orientation that the file had, 1 (upright) to 8; the pixels are upright already.
    pub fn orientation(&self) -> u8 {
        self.orientation
    }
}
