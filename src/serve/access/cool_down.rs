//! After failures in a row nothing is decided for a while: guessing has a price.
//!
//! 1. Failures are counted by key, whatever the door is called, and by person claimed, whichever key asks. So neither
//!    other names of doors nor another claim is a fresh start.
//! 2. Keys are the owner's to make: their counts are as many as there are keys and policies. People are counted up to
//!    [`MOST_PEOPLE`]; only enrolled ones are, and of more the one goes whose count matters least.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::super::bounded_map::{BoundedMap, Bounds, Kept};
use super::policy::CoolDown;

/// Claimed people whose failures are remembered, at most.
const MOST_PEOPLE: usize = 20_000;

/// Whose failures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) enum Counted {
    /// Those of a key under a policy.
    Key { policy: String, key: String },
    /// Those of claims to be a person under a policy.
    Person { policy: String, person: String },
}

#[derive(Debug, Default)]
struct Tries {
    failures: Vec<Instant>,
    until: Option<Instant>,
}

impl Kept for Tries {
    type Time = Instant;
    /// Whether they still keep somebody out, and since when they are.
    type Order = (bool, Option<Instant>);

    fn is_over(&self, _: Instant) -> bool {
        false
    }

    fn order(&self, now: Instant) -> Option<Self::Order> {
        Some((self.until.is_some_and(|u| u > now), self.failures.last().copied().max(self.until)))
    }
}

/// Failures by who asks, and about whom.
#[derive(Debug)]
pub(in super::super) struct CoolDowns {
    keys: Mutex<BoundedMap<Counted, Tries>>,
    people: Mutex<BoundedMap<Counted, Tries>>,
}

impl Default for CoolDowns {
    fn default() -> Self {
        let map = |entries| Mutex::new(BoundedMap::new(Bounds { entries, weight: usize::MAX, spare: 2 }));
        Self { keys: map(usize::MAX), people: map(MOST_PEOPLE) }
    }
}

impl CoolDowns {
    fn of(&self, whose: &Counted) -> std::sync::MutexGuard<'_, BoundedMap<Counted, Tries>> {
        let tries = match whose {
            Counted::Key { .. } => &self.keys,
            Counted::Person { .. } => &self.people,
        };
        tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds left until all of these are decided again; none where they are.
    pub(super) fn left(&self, whose: &[Counted], now: Instant) -> Option<u64> {
        let until = whose.iter().filter_map(|w| self.of(w).get(w)?.until).filter(|u| *u > now).max()?;
        Some((until - now).as_secs_f64().ceil() as u64)
    }

    /// Notes a failure of each.
    pub(super) fn failed(&self, whose: &[Counted], rule: CoolDown, now: Instant) {
        for one in whose {
            let mut tries = self.of(one);
            if tries.get(one).is_none() {
                tries.make_room(now);
                tries.put(one.clone(), Tries::default());
            }
            let Some(entry) = tries.get_mut(one) else { continue };
            entry.failures.retain(|f| now.saturating_duration_since(*f) < rule.within_seconds.get());
            entry.failures.push(now);
            if entry.failures.len() >= rule.failures.get() {
                entry.failures.clear();
                entry.until = now.checked_add(rule.seconds.get());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::ranged::{Few, Seconds};
    use super::*;

    fn rule(failures: i64, within: f64, seconds: f64) -> CoolDown {
        let time = |s: f64| Seconds::try_from(s).unwrap();
        CoolDown { failures: Few::try_from(failures).unwrap(), within_seconds: time(within), seconds: time(seconds) }
    }

    fn person(name: &str) -> Counted {
        Counted::Person { policy: "p".into(), person: name.into() }
    }

    #[test]
    fn failures_close_together_cool_down_and_others_do_not() {
        let rule = rule(3, 10.0, 60.0);
        let (downs, start) = (CoolDowns::default(), Instant::now());
        let key = |key: &str| [Counted::Key { policy: "p".into(), key: key.into() }];
        let (door, other) = (key("door"), key("other"));
        let at = |s: f64| start + Duration::from_secs_f64(s);
        for s in [0.0, 5.0, 11.0, 22.0] {
            downs.failed(&door, rule, at(s));
            assert_eq!(downs.left(&door, at(s)), None, "{s}");
        }
        downs.failed(&door, rule, at(23.0));
        downs.failed(&door, rule, at(24.0));
        assert_eq!((downs.left(&door, at(24.0)), downs.left(&other, at(24.0))), (Some(60), None));
        assert_eq!(downs.left(&[other, door.clone()].concat(), at(83.5)), Some(1));
        assert_eq!(downs.left(&door, at(84.0)), None);
    }

    #[test]
    fn memory_is_bounded_and_who_cools_down_stays_longest() {
        let (downs, start) = (CoolDowns::default(), Instant::now());
        downs.failed(&[person("Grace")], rule(1, 60.0, 86_400.0), start);
        for i in 0..3 * MOST_PEOPLE {
            downs.failed(&[person(&i.to_string())], rule(100, 60.0, 60.0), start + Duration::from_millis(i as u64));
        }
        assert!(downs.people.lock().unwrap().len() <= MOST_PEOPLE);
        let late = start + Duration::from_secs(3600);
        assert!(downs.left(&[person("Grace")], late).is_some());
        // All of one age: half of them are taken out all the same.
        let same = CoolDowns::default();
        for i in 0..=MOST_PEOPLE {
            same.failed(&[person(&i.to_string())], rule(100, 60.0, 60.0), start);
        }
        assert!(same.people.lock().unwrap().len() <= MOST_PEOPLE);
    }
}
