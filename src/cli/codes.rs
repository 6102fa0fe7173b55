//! Exit codes, the same for every command.

/// Done, or the same person.
pub(super) const DONE: u8 = 0;
/// Different people, or nobody known.
pub(super) const DIFFERENT: u8 = 1;
/// Repaired, and something is lost.
pub(super) const LOST: u8 = 1;
/// Could not decide, or failed.
pub(super) const FAILED: u8 = 2;
