//! What opening or repairing a database found and set right, and what it could not save.

use crate::error::StoreError;

/// One sentence each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Notes {
    /// Set right: nothing is lost by it.
    pub mended: Vec<String>,
    /// Lost, or perhaps lost.
    pub lost: Vec<String>,
    /// What was wrong with a file, whatever came of it.
    pub found: Vec<String>,
}

impl Notes {
    pub(super) fn mended(&mut self, what: impl Into<String>) {
        self.mended.push(what.into());
    }

    pub(super) fn lost(&mut self, what: impl Into<String>) {
        self.lost.push(what.into());
    }

    /// All of them, what is lost first.
    pub(crate) fn sentences(&self) -> Vec<String> {
        self.lost.iter().chain(&self.mended).chain(&self.found).cloned().collect()
    }
}

/// What an error found, without its advice: that is for whoever has not asked for a repair.
pub(super) fn finding(error: &StoreError) -> String {
    match error {
        StoreError::Damaged { path, what } => format!("{path}: {what}"),
        StoreError::Lost { lost, found, acknowledged, .. } => format!(
            "{lost} acknowledged writes are lost (the records end at write {found}, write {acknowledged} was acknowledged)"
        ),
        other => other.to_string(),
    }
}
