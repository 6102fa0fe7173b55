//! Errors of weights: finding, reading, checking, downloading.

/// Why weights could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// No model of that name is in the manifest.
    #[error("no model is called {name:?}; known: {known}")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The names in the manifest.
        known: String,
    },
    /// The model is known, its weights are not here.
    #[error("the weights of {name} are not here (looked in {searched}); {remedy}")]
    Missing {
        /// The model.
        name: String,
        /// Where was looked.
        searched: String,
        /// What to run.
        remedy: String,
    },
    /// The file could not be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// The file is not what its format promises.
    #[error("{path}: not a readable {format} file: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// The format it was read as.
        format: &'static str,
        /// Where and how it departs from the format.
        reason: String,
    },
    /// A tensor that the architecture needs is not in the file.
    #[error("{path}: tensor {tensor} ({expected:?}) is missing; this is not a {architecture} file")]
    MissingTensor {
        /// The file.
        path: String,
        /// The architecture it was checked against.
        architecture: String,
        /// Name of the first missing tensor.
        tensor: String,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the architecture needs.
    #[error("{path}: tensor {tensor} has shape {received:?}, {architecture} needs {expected:?}")]
    WrongShape {
        /// The file.
        path: String,
        /// The architecture it was checked against.
        architecture: String,
        /// Name of the first misshapen tensor.
        tensor: String,
        /// The shape that it should have.
        expected: Vec<usize>,
        /// The shape that it has.
        received: Vec<usize>,
    },
    /// A tensor holds NaN or infinity.
    #[error("{path}: tensor {tensor} holds values that are not finite")]
    NotFinite {
        /// The file.
        path: String,
        /// Name of the tensor.
        tensor: String,
    },
    /// The bytes are not the ones that were recorded.
    #[error("{path}: sha256 is {received}, expected {expected}; delete the file and fetch it again")]
    WrongChecksum {
        /// The file.
        path: String,
        /// The recorded checksum.
        expected: String,
        /// The checksum of the bytes at hand.
        received: String,
    },
    /// The licence must be accepted first.
    #[error("{name} is not free for every use. {licence}\nIf you may use it under these terms, say --accept-licence")]
    LicenceNotAccepted {
        /// The model.
        name: String,
        /// The licence in a sentence.
        licence: String,
    },
    /// The download failed.
    #[error("{url}: download failed: {reason}; {kept} bytes are kept, run the command again to resume")]
    Download {
        /// The address.
        url: String,
        /// What went wrong.
        reason: String,
        /// How many bytes a later try need not fetch again.
        kept: u64,
    },
    /// The model has no address to be downloaded from.
    #[error("{name} cannot be downloaded: {reason}")]
    NotDownloadable {
        /// The model.
        name: String,
        /// Why, and what to do instead.
        reason: String,
    },
}

impl WeightsError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownModel { .. } => "weights.unknown_model",
            Self::Missing { .. } => "weights.missing",
            Self::Io { .. } => "weights.io",
            Self::Malformed { .. } => "weights.malformed",
            Self::MissingTensor { .. } => "weights.missing_tensor",
            Self::WrongShape { .. } => "weights.wrong_shape",
            Self::NotFinite { .. } => "weights.not_finite",
            Self::WrongChecksum { .. } => "weights.wrong_checksum",
            Self::LicenceNotAccepted { .. } => "weights.licence_not_accepted",
            Self::Download { .. } => "weights.download",
            Self::NotDownloadable { .. } => "weights.not_downloadable",
        }
    }
}
