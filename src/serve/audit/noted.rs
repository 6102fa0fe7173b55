//! What the log says of each key, and what the file of keys has beyond that.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::auth::ApiKey;
use super::event::Event;

pub(super) const NEW: &str = "new key";
pub(super) const CHANGE: &str = "change key";
pub(super) const REVOKE: &str = "revoke key";
pub(super) const REMOVE: &str = "remove key";

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
