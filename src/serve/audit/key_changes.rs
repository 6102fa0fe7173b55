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
use zeroize::Zeroizing;

use super::super::auth::{ApiKey, KeyFile, NewKey};
use super::super::files::make_private_folder;
use super::event::Event;
use super::log::{Log, ROTATE_BYTES};
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

/// The log of the service whose folder this is, where no running service holds it.
fn unheld(state: &Path) -> Result<Option<Log>, ServeError> {
    match Log::open(state, Duration::ZERO, ROTATE_BYTES) {
        Err(ServeError::AuditHeld { .. }) => Ok(None),
        log => log.map(Some),
    }
}

fn note(log: &mut Log, keys: &[ApiKey], state: &Path) -> Result<(), ServeError> {
    let changes = log.keys.changes(keys, "by kith keys");
    if !changes.is_empty() {
        log.append(changes.iter().map(|(event, _)| event)).map_err(|reason| ServeError::Io {
            place: state.display().to_string(),
            doing: "writing the audit log",
            reason,
        })?;
        changes.into_iter().for_each(|(_, change)| log.keys.apply(change));
    }
    Ok(())
}

/// Puts changes of the keys into the audit log of the service whose folder this is; false where a running service
/// holds it, which notes them itself within a second.
///
/// # Errors
/// [`ServeError::AuditBroken`], [`ServeError::Io`], [`ServeError::Malformed`] for a file of keys that cannot be read.
pub fn note_keys(state: &Path) -> Result<bool, ServeError> {
    let Some(mut log) = unheld(state)? else { return Ok(false) };
    note(&mut log, &KeyFile::in_folder(state).list()?, state)?;
    Ok(true)
}

/// [`KeyFile::add`], with the key's line in the audit log before the key is in the file: where it cannot be noted no
/// key is made. Where a running service holds the log, that notes the key before it lets anybody in with it.
///
/// # Errors
/// As [`note_keys`] and [`KeyFile::add`].
pub fn make_key(state: &Path, new: NewKey) -> Result<(ApiKey, Zeroizing<String>), ServeError> {
    new.check()?;
    make_private_folder(state)?;
    let mut log = unheld(state)?;
    KeyFile::in_folder(state).add_noted(new, |keys| match &mut log {
        Some(log) => note(log, keys, state),
        None => Ok(()),
    })
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
        let held = Log::open(folder.path(), Duration::ZERO, ROTATE_BYTES).unwrap();
        assert!(!note_keys(folder.path()).unwrap());
        drop(held);
        assert!(note_keys(folder.path()).unwrap());
    }

    #[test]
    fn a_key_that_cannot_be_noted_is_not_made_and_one_that_was_not_made_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let new = || NewKey { name: "one".into(), roles: [Role::Read].into(), ..NewKey::default() };
        let (kept, _) = make_key(state, new()).unwrap();
        assert_eq!(actions(state), [(NEW.to_string(), kept.id.clone())]);
        // The line is there, and the crash came before the key: the next look says so.
        let mut log = unheld(state).unwrap().unwrap();
        let mut lost = kept.clone();
        lost.id = "0000dead".into();
        note(&mut log, &[kept.clone(), lost.clone()], state).unwrap();
        drop(log);
        assert!(note_keys(state).unwrap());
        assert_eq!(actions(state)[1..], [(NEW.to_string(), lost.id.clone()), (REMOVE.to_string(), lost.id)]);
        let log = state.join("audit.jsonl");
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::write(&log, text.replacen("one", "two", 1)).unwrap();
        assert_eq!(make_key(state, new()).unwrap_err().code(), "serve.audit_broken");
        assert_eq!(KeyFile::in_folder(state).list().unwrap(), [kept]);
    }
}
