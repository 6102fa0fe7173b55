//! Errors of photos: reading, decoding, bounding, writing.

/// Why a photo could not be read or a picture not be written. `origin` names the file (or `<bytes>`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhotoError {
    /// There is nothing at that path.
    #[error("{origin}: no such file")]
    NotFound {
        /// The path as given.
        origin: String,
    },
    /// The path is a folder.
    #[error("{origin}: this is a folder, not a photo; name the photos in it")]
    IsFolder {
        /// The path as given.
        origin: String,
    },
    /// The file exists but could not be read.
    #[error("{origin}: cannot be read: {reason}")]
    Unreadable {
        /// The path as given.
        origin: String,
        /// What the operating system said.
        reason: String,
    },
    /// The file holds no bytes.
    #[error("{origin}: the file is empty")]
    Empty {
        /// The path as given.
        origin: String,
    },
    /// The bytes are of no format that kith reads.
    #[error("{origin}: not a photo in a known format (JPEG, PNG, WebP, AVIF, BMP, GIF, TIFF)")]
    UnknownFormat {
        /// The path as given.
        origin: String,
    },
    /// A picture or a film of a kind that kith does not read, or does not read as it was built.
    #[error("{origin}: this is {format}, which {}; save it as JPEG or PNG", unread(.format))]
    Foreign {
        /// The path as given.
        origin: String,
        /// What it is: `HEIC`, `AVIF`, `a film (MP4)` and so on.
        format: &'static str,
    },
    /// The bytes begin like a photo but break off or contradict themselves.
    #[error("{origin}: damaged or truncated {format} file: {reason}")]
    Damaged {
        /// The path as given.
        origin: String,
        /// The format that the first bytes announce.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A valid file that uses a feature which no decoder here reads.
    #[error("{origin}: this kind of {format} is not supported: {reason}; save it as JPEG or PNG")]
    Unsupported {
        /// The path as given.
        origin: String,
        /// The format that the first bytes announce.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A file that asks for more work or memory than its pixels justify; refused before that was spent.
    #[error(
        "{origin}: this {format} file asks for more than a picture of its size needs: {reason}; save it again as JPEG or PNG"
    )]
    Disproportionate {
        /// The path as given.
        origin: String,
        /// The format that the first bytes announce.
        format: &'static str,
        /// What there is too much of.
        reason: String,
    },
    /// More pixels than the limit; refused before any pixel was allocated.
    #[error(
        "{origin}: {width}x{height} is {megapixels:.1} megapixels, over the limit of {limit:.1}; raise --max-megapixels to read it"
    )]
    TooManyPixels {
        /// The path as given.
        origin: String,
        /// Width in pixels as the header states it.
        width: u32,
        /// Height in pixels as the header states it.
        height: u32,
        /// Millions of pixels.
        megapixels: f64,
        /// The limit, in millions of pixels.
        limit: f64,
    },
    /// The file is larger than the limit; refused before it was read.
    #[error("{origin}: {bytes} bytes, over the limit of {limit} bytes")]
    TooManyBytes {
        /// The path as given.
        origin: String,
        /// Size of the file.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A buffer whose length does not fit its stated width and height.
    #[error("a {width}x{height} RGB picture needs {expected} bytes, got {received}")]
    WrongBuffer {
        /// Stated width.
        width: u32,
        /// Stated height.
        height: u32,
        /// width x height x 3.
        expected: usize,
        /// Length of the buffer.
        received: usize,
    },
    /// A picture could not be written.
    #[error("{path}: the picture cannot be written: {reason}")]
    Unwritable {
        /// Where it was to go.
        path: String,
        /// What went wrong.
        reason: String,
    },
}

impl PhotoError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "photo.not_found",
            Self::IsFolder { .. } => "photo.is_folder",
            Self::Unreadable { .. } => "photo.unreadable",
            Self::Empty { .. } => "photo.empty",
            Self::UnknownFormat { .. } => "photo.unknown_format",
            Self::Foreign { .. } => "photo.foreign_format",
            Self::Damaged { .. } => "photo.damaged",
            Self::Unsupported { .. } => "photo.unsupported",
            Self::Disproportionate { .. } => "photo.disproportionate",
            Self::TooManyPixels { .. } => "photo.too_many_pixels",
            Self::TooManyBytes { .. } => "photo.too_many_bytes",
            Self::WrongBuffer { .. } => "photo.wrong_buffer",
            Self::Unwritable { .. } => "photo.unwritable",
        }
    }
}

/// Why a kind of picture is not read.
fn unread(format: &str) -> &'static str {
    match format {
        "HEIC" => "this kith was built without (`cargo install --features heic` reads it)",
        "AVIF" => "this kith was built without (`cargo install --features avif` reads it)",
        _ => "kith does not read",
    }
}
