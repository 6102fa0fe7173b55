//! The audit log: who asked what about whom, with what result. Lines of JSON, each with the SHA-256 of the
//! line before it, so that an edit, a gap or another order shows; and a head file with the number of lines
//! and the last one's digest, so that a missing end shows.
//!
//! The chain has no key: whoever can write both files can make a new chain. `kith audit verify --head`
//! holds the log against a head that was noted elsewhere before, and that finds this too.

mod chain;
mod writer;

pub use chain::{AuditHead, AuditReport, last_lines, verify_log};
pub(super) use writer::{Audit, Event};

use std::path::{Path, PathBuf};

/// The log.
fn log_in(state: &Path) -> PathBuf {
    state.join("audit.jsonl")
}

/// The head.
fn head_in(state: &Path) -> PathBuf {
    state.join("audit.head")
}
