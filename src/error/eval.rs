//! Errors of evaluations and of training: label files, lists of pairs, too little data.

/// Why nothing could be measured, or trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file or folder could not be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// A list of pairs or of boxes says something that it cannot mean.
    #[error("{path}, line {line}: {reason}")]
    BadLine {
        /// The file.
        path: String,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong, and what is expected.
        reason: String,
    },
    /// A photo that the list names is not there.
    #[error("{path}, line {line}: no photo {photo}; say with --images which folder the photos are in")]
    NoPhoto {
        /// The list.
        path: String,
        /// Number of the line, from 1.
        line: u64,
        /// The photo looked for.
        photo: String,
    },
    /// There is too little to measure or to learn from.
    #[error("too little data: {reason}")]
    TooLittle {
        /// What is missing.
        reason: String,
    },
    /// The report could not be drawn.
    #[error("the report cannot be drawn: {reason}")]
    Drawing {
        /// What the plotting library said.
        reason: String,
    },
}

impl EvalError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "eval.io",
            Self::BadLine { .. } => "eval.bad_line",
            Self::NoPhoto { .. } => "eval.no_photo",
            Self::TooLittle { .. } => "eval.too_little",
            Self::Drawing { .. } => "eval.drawing",
        }
    }
}
