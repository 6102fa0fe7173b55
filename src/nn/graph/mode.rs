//! What a pass is for.

/// What batch normalisation normalises by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The running statistics.
    Inference,
    /// The batch's own; the running statistics take them in.
    Training,
    /// The batch's own, and no trace left: the pass that is gone through again with gradients.
    Rehearsal,
}
