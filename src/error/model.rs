//! Errors of devices and networks.

/// Why a network could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The device asked for is not in this build or not in this machine.
    #[error("device {device} is not available: {reason}")]
    DeviceUnavailable {
        /// The device asked for.
        device: String,
        /// Why, and what to build or run instead.
        reason: String,
    },
    /// The words for a device were not understood.
    #[error("{received:?} is not a device; say auto, cpu, cuda, cuda:N or metal")]
    UnknownDevice {
        /// What was said.
        received: String,
    },
    /// An option lies outside its range.
    #[error("{option} is {received}, must be {expected}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// The value given.
        received: String,
        /// The range allowed.
        expected: &'static str,
    },
    /// A chip of another size than the network takes.
    #[error("{model} takes {expected:?} chips, got {received:?} (width, height)")]
    WrongChip {
        /// The model.
        model: String,
        /// Width and height that the model takes.
        expected: (usize, usize),
        /// Width and height that it got.
        received: (usize, usize),
    },
    /// Embeddings of two models, or of two lengths, were put side by side.
    #[error("embeddings of different models never compare: {left} and {right}; embed both photos with one model")]
    MixedModels {
        /// Model id of the first.
        left: String,
        /// Model id of the second.
        right: String,
    },
    /// A vector that cannot be scaled to length one.
    #[error("the network gave a vector that is not usable: {reason}")]
    BadEmbedding {
        /// What is wrong with it.
        reason: String,
    },
    /// The tensor library failed: out of memory, or a device fault.
    #[error("{stage} failed: {reason}")]
    Backend {
        /// The stage that ran.
        stage: &'static str,
        /// What the tensor library said.
        reason: String,
    },
}

impl ModelError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DeviceUnavailable { .. } => "model.device_unavailable",
            Self::UnknownDevice { .. } => "model.unknown_device",
            Self::InvalidOption { .. } => "model.invalid_option",
            Self::WrongChip { .. } => "model.wrong_chip",
            Self::MixedModels { .. } => "model.mixed_models",
            Self::BadEmbedding { .. } => "model.bad_embedding",
            Self::Backend { .. } => "model.backend",
        }
    }
}

impl From<kith_kernels::UnknownSimd> for ModelError {
    fn from(unknown: kith_kernels::UnknownSimd) -> Self {
        use kith_kernels::UnknownSimd;
        Self::InvalidOption { option: UnknownSimd::VARIABLE, received: unknown.0, expected: UnknownSimd::EXPECTED }
    }
}
