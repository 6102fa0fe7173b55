//! Changes of keys in the log, whoever made them: the command, or somebody with an editor.
//!
//! The log itself says what is noted of each key, and whoever holds it (the service, or `kith keys` while none
//! runs) writes what the file of keys has beyond that. So no change is missed for long, whichever of the two is
//! killed at whatever moment.

use std::path::Path;
use std::time::Duration;

use super::super::auth::{ApiKey, KeyFile, NewKey};
use super::super::files::make_private_folder;
use super::log::{Log, ROTATE_BYTES};
use crate::error::ServeError;
use crate::files::Secret;

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
pub fn make_key(state: &Path, new: NewKey) -> Result<(ApiKey, Secret), ServeError> {
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
    use serde_json::Value;

    use super::super::noted::{CHANGE, NEW, REMOVE, REVOKE};
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
