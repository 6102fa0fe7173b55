//! After failures in a row nothing is decided for a while: guessing has a price.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::policy::CoolDown;

/// More than these are not remembered; those that are over go first.
const MOST: usize = 20_000;

#[derive(Debug, Default)]
struct Tries {
    failures: Vec<Instant>,
    until: Option<Instant>,
}

/// Failures by who asks, where, and about whom.
#[derive(Debug, Default)]
pub(in super::super) struct CoolDowns {
    tries: Mutex<HashMap<String, Tries>>,
}

impl CoolDowns {
    /// Seconds left until the first of these is decided again; none where all are.
    pub(super) fn left(&self, what: &[String], now: Instant) -> Option<u64> {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let until = what.iter().filter_map(|w| tries.get(w)?.until).filter(|u| *u > now).max()?;
        Some((until - now).as_secs_f64().ceil() as u64)
    }

    /// Notes a failure of each.
    pub(super) fn failed(&self, what: &[String], rule: CoolDown, now: Instant) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let within = Duration::from_secs_f64(rule.within_seconds);
        if tries.len() >= MOST {
            let lives = |t: &Tries| {
                t.until.is_some_and(|u| u > now) || t.failures.last().is_some_and(|f| now.duration_since(*f) < within)
            };
            tries.retain(|_, t| lives(t));
        }
        for one in what {
            let entry = tries.entry(one.clone()).or_default();
            entry.failures.retain(|f| now.saturating_duration_since(*f) < within);
            entry.failures.push(now);
            if entry.failures.len() >= rule.failures as usize {
                entry.failures.clear();
                entry.until = Some(now + Duration::from_secs_f64(rule.seconds));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_close_together_cool_down_and_others_do_not() {
        let rule = CoolDown { failures: 3, within_seconds: 10.0, seconds: 60.0 };
        let (downs, start) = (CoolDowns::default(), Instant::now());
        let (door, other) = (["door".to_string()], ["other".to_string()]);
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
}
