//! Errors of training networks: data that cannot be learnt from, numbers that left the reals, checkpoints.

/// Why training stopped, or did not begin.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A loss or a gradient is NaN or infinite. The parameters are those from before the step.
    #[error(
        "step {step}: {what} is not a finite number; the parameters are those from before it. Lower the learning rate, \
         clip gradients, or go on from an earlier checkpoint"
    )]
    NotFinite {
        /// The step, counted from 0.
        step: u64,
        /// Which number.
        what: String,
    },
    /// Fewer people can be shown in one batch than were asked for.
    #[error(
        "{usable} people have two faces or more, and a batch takes {wanted}; {single} have one face, which forms no \
         genuine pair. Ask for batches of fewer people, or bring more photos"
    )]
    TooFewPeople {
        /// People with two faces or more.
        usable: usize,
        /// People of a batch.
        wanted: usize,
        /// People with one face.
        single: usize,
    },
    /// Fewer faces were found than one batch takes.
    #[error("{usable} faces were found, and a batch takes {wanted}. Ask for smaller batches, or bring more photos")]
    TooFewFaces {
        /// Faces found.
        usable: usize,
        /// Faces of a batch.
        wanted: usize,
    },
    /// A checkpoint could not be read or written.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A checkpoint is of another run: other network, data or settings.
    #[error(
        "{path} is a checkpoint of another run: {what} was {recorded}, and is {now}; say what was said then, or begin \
        anew with another file"
    )]
    OtherRun {
        /// The file.
        path: String,
        /// What differs.
        what: String,
        /// What the checkpoint says.
        recorded: String,
        /// What this run says.
        now: String,
    },
    /// What was learnt does not help people who were not learnt from by more than chance would.
    #[error(
        "nothing was written: people not learnt from do not gain beyond one standard error: {metric} {before:.4} before, \
         {after:.4} after, a gain of {gain:+.4} with a standard error of {error:.4}. More people, or more photos of each in \
         the light in question, would be needed"
    )]
    NoGain {
        /// What was measured.
        metric: String,
        /// Without what was learnt.
        before: f64,
        /// With it.
        after: f64,
        /// The difference.
        gain: f64,
        /// Its standard error over people.
        error: f64,
    },
}

impl TrainError {
    /// The stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFinite { .. } => "train.not_finite",
            Self::TooFewPeople { .. } => "train.too_few_people",
            Self::TooFewFaces { .. } => "train.too_few_faces",
            Self::Checkpoint { .. } => "train.checkpoint",
            Self::OtherRun { .. } => "train.other_run",
            Self::NoGain { .. } => "train.no_gain",
        }
    }
}
