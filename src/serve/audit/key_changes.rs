//! Changes of keys in the log, whoever made them: the command, or somebody with an editor.
//!
//! The log itself says what is noted of each key, and whoever holds it (the service, or `kith keys` while none
//! runs) writes what the file of keys has beyond that. So no change is missed for long, whichever of the two is
//! killed at whatever moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::super::auth::{ApiKey, KeyFile};
use super::event::Event;
use super::log::Log;
use crate::error::ServeError;

const NEW: &str = "new key";
const CHANGE: &str = "change key";
const REVOKE: &str = "revoke key";
const REMOVE: &str = "remove key";

/// What the log says of the keys, by their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted {
    facts: BTreeMap<String, Value>,
}

/// What is to be known once a change is in the log.
pub(super) struct Change {
    id: String,
    /// `None`: the key is no more.
    facts: Option<Value>,
}

#[derive(Deserialize)]
struct KeyLine {
    evidence: Value,
}

impl Noted {
    /// Takes in a line of the log.
    pub(super) fn read(&mut self, action: &str, line: &[u8]) {
        if ![NEW, CHANGE, REVOKE, REMOVE].contains(&action) {
            return;
        }
        let Ok(KeyLine { evidence }) = serde_json::from_slice(line) else { return };
        let Some(id) = evidence["id"].as_str().map(str::to_string) else { return };
        self.apply(Change { id, facts: (action != REMOVE).then_some(evidence) });
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change.facts {
            Some(facts) => drop(self.facts.insert(change.id, facts)),
            None => drop(self.facts.remove(&change.id)),
        }
    }

    /// What the keys have beyond what is noted, as events; `by` says who found it.
    pub(super) fn changes(&self, keys: &[ApiKey], by: &str) -> Vec<(Event, Change)> {
        let event = |action: &'static str, id: &str, facts: Option<Value>| {
            let mut event = Event::of_itself("-", "the file of keys", action);
            event.result = by.to_string();
            event.evidence = facts.clone().unwrap_or_else(|| crate::json::json!({ "id": id }));
            (event, Change { id: id.to_string(), facts })
        };
        let mut changes = Vec::new();
        for key in keys {
            let facts = key.facts();
            let action = match self.facts.get(&key.id) {
                None => NEW,
                Some(known) if *known == facts => continue,
                Some(known) if known["revoked_ms"].is_null() && key.revoked_ms.is_some() => REVOKE,
                Some(_) => CHANGE,
            };
            changes.push(event(action, &key.id, Some(facts)));
        }
        let gone = self.facts.keys().filter(|id| keys.iter().all(|k| k.id != **id));
        changes.extend(gone.map(|id| event(REMOVE, id, None)));
        changes
    }
}

/// Puts changes of the keys into the audit log of the service whose folder this is; false where a running service
/// holds it, which notes them itself within a second.
///
/// # Errors
/// [`ServeError::AuditBroken`], [`ServeError::Io`], [`ServeError::Malformed`] for a file of keys that cannot be read.
pub fn note_keys(state: &Path) -> Result<bool, ServeError> {
    let mut log = match Log::open(state, Duration::ZERO) {
        Err(ServeError::AuditHeld { .. }) => return Ok(false),
        log => log?,
    };
    let keys = KeyFile::in_folder(state).list()?;
    let changes = log.keys.changes(&keys, "by kith keys");
    if !changes.is_empty() && !log.append(changes.iter().map(|(event, _)| event)) {
        let reason = "the log says no more; is the disk full?".to_string();
        return Err(ServeError::Io { place: state.display().to_string(), doing: "writing the audit log", reason });
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::{last_lines, verify_log};
    use super::*;
    use crate::serve::{NewKey, Role};

    fn actions(state: &Path) -> Vec<(String, String)> {
        let mut lines = last_lines(state, None, 100).unwrap();
        lines.reverse();
        let text = |v: &Value| v.as_str().unwrap().to_string();
        lines.iter().map(|l| (text(&l["action"]), text(&l["evidence"]["id"]))).collect()
    }

    #[test]
    fn every_change_of_the_file_is_noted_once_and_no_secret_ever() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let file = KeyFile::in_folder(state);
        let new = |name: &str| NewKey { name: name.into(), roles: [Role::Read].into(), ..NewKey::default() };
        let (a, secret) = file.add(new("one")).unwrap();
        assert!(note_keys(state).unwrap() && note_keys(state).unwrap());
        let (b, _) = file.add(new("two")).unwrap();
        file.revoke(&a.id).unwrap();
        assert!(note_keys(state).unwrap());
        // By hand: another secret under the same id, and a key taken out.
        let path = state.join("keys.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut content: Value = serde_json::from_str(&text).unwrap();
        let keys = content["keys"].as_array_mut().unwrap();
        keys.remove(0);
        keys[0]["sha256"] = "f".repeat(64).into();
        std::fs::write(&path, content.to_string()).unwrap();
        assert!(note_keys(state).unwrap() && note_keys(state).unwrap());
        let expected = [(NEW, &a.id), (REVOKE, &a.id), (NEW, &b.id), (CHANGE, &b.id), (REMOVE, &a.id)];
        assert_eq!(actions(state), expected.map(|(action, id)| (action.to_string(), id.clone())));
        let log = std::fs::read_to_string(state.join("audit.jsonl")).unwrap();
        let bare = secret.rsplit_once('_').unwrap().1;
        assert!(!log.contains(bare) && !log.contains(content["keys"][0]["sha256"].as_str().unwrap()));
        assert_eq!(verify_log(state, None).unwrap().head.lines, 5);
    }

    #[test]
    fn what_a_running_service_holds_is_left_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let held = Log::open(folder.path(), Duration::ZERO).unwrap();
        assert!(!note_keys(folder.path()).unwrap());
        drop(held);
        assert!(note_keys(folder.path()).unwrap());
    }
}
