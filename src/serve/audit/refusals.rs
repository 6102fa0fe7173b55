//! Refused requests in the log: the first of many alike, and then a count a minute, so that nobody fills the disk
//! by knocking.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::event::Event;
use crate::json::json;

/// Refusals alike within this long are counted, not written one by one.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and actions that a count names, at most.
const MOST_NAMED: usize = 8;

/// A request that was refused.
#[derive(Debug, Clone)]
pub(in super::super) struct Refusal {
    /// Id of the key, where it is one of the service's; `-` for any other.
    pub key: String,
    /// What that key is for.
    pub key_name: String,
    pub action: String,
    /// The problem's code.
    pub code: String,
    pub from: Option<IpAddr>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    repeats: u64,
    key_name: String,
    actions: BTreeSet<String>,
    from: BTreeSet<IpAddr>,
}

/// The refusals of the last minute, by key and code: as many as there are keys and codes, at most.
#[derive(Debug, Default)]
pub(in super::super) struct Refusals {
    open: Mutex<HashMap<(String, String), Window>>,
}

impl Refusals {
    /// What is to be written of a refusal now.
    pub(in super::super) fn refused(&self, refusal: &Refusal, now: Instant) -> Vec<Event> {
        let mut events = self.due(now);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = (refusal.key.clone(), refusal.code.clone());
        if let Some(window) = open.get_mut(&alike) {
            window.repeats += 1;
            if window.actions.len() < MOST_NAMED {
                window.actions.insert(refusal.action.clone());
            }
            if window.from.len() < MOST_NAMED {
                window.from.extend(refusal.from);
            }
            return events;
        }
        let (actions, from) = (BTreeSet::new(), BTreeSet::new());
        let key_name = refusal.key_name.clone();
        open.insert(alike, Window { since: now, repeats: 0, key_name, actions, from });
        let mut event = Event::new(&refusal.key, &refusal.key_name, refusal.action.clone());
        event.result = "refused".to_string();
        event.code = Some(refusal.code.clone());
        event.evidence = json!({ "from": refusal.from });
        events.push(event);
        events
    }

    /// The counts of the minutes that are over.
    pub(in super::super) fn due(&self, now: Instant) -> Vec<Event> {
        self.counts(|w| now.saturating_duration_since(w.since) >= WINDOW)
    }

    /// The counts of all minutes, over or not: the service stops.
    pub(in super::super) fn last(&self) -> Vec<Event> {
        self.counts(|_| true)
    }

    fn counts(&self, over: impl Fn(&Window) -> bool) -> Vec<Event> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        open.retain(|(key, code), window| {
            if !over(window) {
                return true;
            }
            if window.repeats > 0 {
                let mut event = Event::of_itself(key, &window.key_name, "refused requests");
                event.result = "refused again".to_string();
                event.code = Some(code.clone());
                event.evidence = json!({ "times": window.repeats, "actions": window.actions, "from": window.from });
                events.push(event);
            }
            false
        });
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(key: &str, code: &str, from: u8) -> Refusal {
        let from = Some(IpAddr::from([10, 0, 0, from]));
        Refusal {
            key: key.to_string(),
            key_name: String::new(),
            action: format!("GET /{from:?}"),
            code: code.to_string(),
            from,
        }
    }

    #[test]
    fn of_many_alike_the_first_is_written_and_the_rest_counted() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let wrong = refusal("-", "auth.wrong_key", 1);
        assert_eq!(refusals.refused(&wrong, at(0)).len(), 1);
        for i in 0..10_000u32 {
            assert!(refusals.refused(&refusal("-", "auth.wrong_key", (i % 250) as u8), at(30)).is_empty());
        }
        // Others are not hidden by them.
        assert_eq!(refusals.refused(&refusal("abc", "auth.role", 1), at(30)).len(), 1);
        assert!(refusals.due(at(59)).is_empty());
        let counted = refusals.due(at(60));
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].evidence["times"], 10_000);
        assert_eq!(counted[0].evidence["from"].as_array().unwrap().len(), MOST_NAMED);
        // A new minute begins with a line again, and brings the count of one that was over.
        refusals.refused(&wrong, at(61));
        refusals.refused(&wrong, at(62));
        let both = refusals.refused(&wrong, at(200));
        assert_eq!(both.len(), 2);
        assert_eq!((both[0].evidence["times"].clone(), both[1].result.as_str()), (1.into(), "refused"));
        assert!(refusals.last().is_empty());
        assert_eq!(refusals.refused(&wrong, at(201)).len(), 1);
    }
}
