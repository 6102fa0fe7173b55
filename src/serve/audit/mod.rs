//! The audit log: who asked what about whom, with what result. Lines of JSON, each with the SHA-256 of the
//! line before it, so that an edit, a gap or another order shows; and a head file with the number of lines
//! and the last one's digest, so that a missing end shows.
//!
//! 1. What changes something has a line (`begun`) on disk before anything is changed, and one that says what came of
//!    it before that is answered. What cannot be noted is not done.
//! 2. No text in a line is longer than its bound (`bounds.rs`), whoever sent it, and so no line is.
//! 3. When the file is full it is renamed and a new one begun; the chain goes on over all of them.
//! 4. A log that was moved, deleted, replaced, cut or written to by others while it was open takes no more lines.
//!
//! Changes of keys are in it too, and requests that were refused: of many alike the first, and a count a minute.
//!
//! The chain has no key: whoever can write the files can make a new chain. `kith audit verify --head`
//! holds the log against a head that was noted elsewhere before, and that finds this too.

mod bounds;
mod chain;
mod check;
mod event;
mod find;
mod key_changes;
mod log;
mod noted;
mod refusals;
mod segments;
mod tail;
mod writer;

pub use chain::{AuditHead, AuditReport, verify_log};
pub(super) use check::AuditCheck;
pub(super) use event::Event;
pub(super) use find::{Sought, find_lines};
pub use key_changes::{make_key, note_keys};
pub use log::ROTATE_BYTES;
pub(super) use log::check_rotation;
pub(super) use refusals::{Refusal, Refusals};
pub use tail::last_lines;
pub(super) use writer::{Audit, Unwritable};
