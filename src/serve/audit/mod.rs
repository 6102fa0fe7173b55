//! The audit log: who asked what about whom, with what result. Lines of JSON, each with the SHA-256 of the
//! line before it, so that an edit, a gap or another order shows; and a head file with the number of lines
//! and the last one's digest, so that a missing end shows.
//!
//! Changes of keys are in it too, and requests that were refused: of many alike the first, and a count a minute.
//!
//! The chain has no key: whoever can write both files can make a new chain. `kith audit verify --head`
//! holds the log against a head that was noted elsewhere before, and that finds this too.

mod chain;
mod event;
mod key_changes;
mod log;
mod refusals;
mod writer;

pub use chain::{AuditHead, AuditReport, last_lines, verify_log};
pub(super) use event::Event;
pub use key_changes::note_keys;
pub(super) use refusals::{Refusal, Refusals};
pub(super) use writer::Audit;

use std::path::{Path, PathBuf};

/// The log.
fn log_in(state: &Path) -> PathBuf {
    state.join("audit.jsonl")
}

/// The head.
fn head_in(state: &Path) -> PathBuf {
    state.join("audit.head")
}
