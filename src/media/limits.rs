//! How large a photo may be.

/// Bounds on what is read. A photo over them is refused before its pixels are allocated.
///
/// ```
/// use kith::{Limits, Photo};
/// let tight = Limits { max_pixels: 100, ..Default::default() };
/// let error = Photo::open_with("tests/fixtures/photos/grace_hopper.jpg", &tight).unwrap_err();
/// assert_eq!(error.code(), "photo.too_many_pixels");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Greatest number of pixels, width times height.
    pub max_pixels: u64,
    /// Greatest size of the file in bytes.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 100 megapixels and 256 MiB: above any phone's default mode, below what exhausts a small server.
    fn default() -> Self {
        Self { max_pixels: 100_000_000, max_bytes: 256 << 20 }
    }
}
