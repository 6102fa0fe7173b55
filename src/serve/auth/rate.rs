//! How often, and how many at once, each key may ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;

use super::super::problem::Problem;
use super::super::rank::Rank;

/// Seconds of its rate that a key which was quiet may ask for at once.
const BURST_SECONDS: f64 = 1.0;
/// Most seconds that a caller is told to wait, however low the rate in the file of keys is.
const LONGEST_WAIT: f64 = 86_400.0;

#[derive(Debug)]
struct Bucket {
    left: f64,
    filled: Instant,
    /// By rank: a key's other requests take no places of its doors'.
    running: [usize; Rank::COUNT],
}

/// The buckets of all keys.
#[derive(Debug, Default)]
pub(in super::super) struct Rates {
    buckets: Arc<Mutex<HashMap<String, Bucket>>>,
}

/// One request's place among those of its key; given back when dropped.
#[derive(Debug)]
pub(in super::super) struct Permit {
    key: String,
    rank: Rank,
    buckets: Arc<Mutex<HashMap<String, Bucket>>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&self.key) {
            let running = &mut bucket.running[self.rank as usize];
            *running = running.saturating_sub(1);
        }
    }
}

impl Rates {
    /// A place for one more request of this key: `rate` requests a second, `concurrent` at once.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub(in super::super) fn take(
        &self,
        key: &str,
        rank: Rank,
        rate: Option<f64>,
        concurrent: usize,
        now: Instant,
    ) -> Result<Permit, Problem> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = rate.map_or(0.0, |r| (r * BURST_SECONDS).max(1.0));
        let fresh = || Bucket { left: full, filled: now, running: [0; Rank::COUNT] };
        let bucket = buckets.entry(key.to_string()).or_insert_with(fresh);
        let too_many = |code, detail: String, seconds: f64| {
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
                .retry_after(seconds.ceil().clamp(1.0, LONGEST_WAIT) as u64))
        };
        let running = bucket.running[rank as usize];
        if running >= concurrent {
            let detail = format!("this key has {running} requests running, and may have {concurrent}");
            return too_many("limit.concurrent", detail, 1.0);
        }
        if let Some(rate) = rate {
            let since = now.saturating_duration_since(bucket.filled).as_secs_f64();
            bucket.left = (bucket.left + since * rate).min(full);
            bucket.filled = now;
            if bucket.left < 1.0 {
                let detail = format!("this key may ask {rate} times a second");
                return too_many("limit.rate", detail, (1.0 - bucket.left) / rate);
            }
            bucket.left -= 1.0;
        }
        bucket.running[rank as usize] += 1;
        Ok(Permit { key: key.to_string(), rank, buckets: self.buckets.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_key_gets_its_rate_and_its_burst_and_no_more() {
        let (rates, start) = (Rates::default(), Instant::now());
        let ask = |at: f64| rates.take("k", Rank::Keyed, Some(4.0), 10, start + Duration::from_secs_f64(at)).map(drop);
        for _ in 0..4 {
            assert!(ask(0.0).is_ok());
        }
        let refused = ask(0.0).unwrap_err();
        assert_eq!((refused.code(), refused.seconds_to_wait()), ("limit.rate", Some(1)));
        assert!(ask(0.25).is_ok() && ask(0.25).is_err());
        assert!(rates.take("other", Rank::Keyed, Some(4.0), 10, start).is_ok());
        // The file of keys is for hands too: a rate of next to nothing is no date in the far future.
        let _ = rates.take("slow", Rank::Keyed, Some(1e-300), 10, start);
        let refused = rates.take("slow", Rank::Keyed, Some(1e-300), 10, start).unwrap_err();
        assert_eq!(refused.seconds_to_wait(), Some(86_400));
        // A clock that seems to run backwards gives nothing away.
        assert!(ask(0.1).is_err());
    }

    #[test]
    fn places_are_given_back() {
        let (rates, now) = (Rates::default(), Instant::now());
        let held: Vec<Permit> = (0..3).map(|_| rates.take("k", Rank::Keyed, None, 3, now).unwrap()).collect();
        assert_eq!(rates.take("k", Rank::Keyed, None, 3, now).unwrap_err().code(), "limit.concurrent");
        // The key's doors have places of their own.
        assert!(rates.take("k", Rank::Door, None, 3, now).is_ok());
        drop(held);
        assert!(rates.take("k", Rank::Keyed, None, 3, now).is_ok());
    }
}
