//! The whole log read, for the health page.

use std::path::Path;

use serde::Serialize;
use utoipa::ToSchema;

use super::chain::verify_log;
use crate::files::now_ms;

/// What came of reading the whole audit log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::serve) struct AuditCheck {
    /// When: milliseconds since 1970.
    checked_ms: u64,
    /// Whether every line was in its place and unchanged.
    pub sound: bool,
    /// Lines that were read.
    pub lines: u64,
    /// What is wrong, where something is.
    fault: Option<String>,
}

impl AuditCheck {
    /// Of a log that was read, and that many lines of it.
    pub(in crate::serve) fn sound(lines: u64) -> Self {
        Self { checked_ms: now_ms(), sound: true, lines, fault: None }
    }

    /// Reads the whole log of the service whose folder this is; `lines` are there, as far as is known.
    pub(in crate::serve) fn of(state: &Path, lines: u64) -> Self {
        match verify_log(state, None) {
            Ok(report) => Self::sound(report.head.lines),
            Err(e) => Self { sound: false, fault: Some(e.to_string()), ..Self::sound(lines) },
        }
    }
}
