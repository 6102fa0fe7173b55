//! The labels of a person that are shown, and the one that is not: who was merged into the person.

use std::collections::BTreeMap;

use crate::store::PersonRecord;

/// The label that holds what merges made of a person.
pub(super) const MEMORY: &str = "\u{1}merged";

/// The labels that are shown.
pub(super) fn shown_labels(record: &PersonRecord) -> BTreeMap<String, String> {
    let shown = record.labels.iter().filter(|(key, _)| *key != MEMORY);
    shown.map(|(key, value)| (key.clone(), value.clone())).collect()
}
