//! The memory for request bodies: reserved as their bytes arrive, and never more than `bodies_bytes` in all.
//!
//! | who | of the whole |
//! | --- | --- |
//! | strangers, all together | a sixteenth |
//! | callers with a key | what is not kept for doors |
//! | doors | all of it; a quarter, and at least one greatest body, is kept for them alone |
//!
//! A key that holds more than one greatest body leaves a quarter of its rank's part free, so that no key fills the part
//! of all others. What cannot be had is refused at once: nobody waits while holding a part.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use super::limits::ServeLimits;
use super::problem::Problem;
use super::rank::{Asker, Rank};

const STRANGERS_SHARE: usize = 16;
const DOORS_SHARE: usize = 4;
const LEFT_FREE_SHARE: usize = 4;

#[derive(Debug, Default)]
struct Ledger {
    by_rank: [usize; Rank::COUNT],
    /// Of keys that hold something; what a key holds at doors does not count against its other requests.
    by_key: HashMap<(Rank, String), usize>,
}

/// What is reserved, and by whom.
#[derive(Debug)]
pub(super) struct Memory {
    total: usize,
    /// Kept for doors.
    doors: usize,
    /// The greatest body.
    body: usize,
    ledger: Mutex<Ledger>,
}

impl Memory {
    pub(super) fn of(limits: &ServeLimits) -> Arc<Self> {
        let (total, body) = (limits.bodies_bytes, limits.body_bytes);
        let doors = (total / DOORS_SHARE).max(body);
        Arc::new(Self { total, doors, body, ledger: Mutex::default() })
    }

    /// A reservation of nothing, which grows with its body.
    pub(super) fn nothing(self: &Arc<Self>, asker: Asker) -> Held {
        Held { memory: self.clone(), asker, bytes: 0 }
    }

    /// Whether `more` bytes can be had by somebody who holds `held`.
    fn has(&self, ledger: &Ledger, rank: Rank, held: usize, more: usize) -> bool {
        let [strangers, keyed, doors] = ledger.by_rank;
        let all = strangers + keyed + doors + more;
        let (part, used) = match rank {
            Rank::Stranger => return strangers + more <= self.total / STRANGERS_SHARE && all <= self.total,
            // What doors have not taken of their own stays free.
            Rank::Keyed => (self.total - self.doors, all - doors.min(self.doors)),
            Rank::Door => (self.total, all),
        };
        used <= if held + more > self.body { part - part / LEFT_FREE_SHARE } else { part }
    }
}

/// A part of the memory; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    memory: Arc<Memory>,
    asker: Asker,
    bytes: usize,
}

impl Held {
    /// Makes the part `bytes` large; it never shrinks.
    ///
    /// # Errors
    /// 503 where there is no room: what was held stays so.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = bytes.saturating_sub(self.bytes);
        let mut ledger = self.memory.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.asker.rank, self.asker.key.clone());
        let held = ledger.by_key.get(&key).copied().unwrap_or_default();
        if !self.memory.has(&ledger, self.asker.rank, held, more) {
            let detail = "the bodies of the requests being read fill the service's memory for them; try again later";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overload.memory", detail).retry_after(1));
        }
        ledger.by_rank[self.asker.rank as usize] += more;
        *ledger.by_key.entry(key).or_default() += more;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut ledger = self.memory.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.by_rank[self.asker.rank as usize] -= self.bytes;
        let key = (self.asker.rank, std::mem::take(&mut self.asker.key));
        if let Some(held) = ledger.by_key.get_mut(&key) {
            *held -= self.bytes;
            if *held == 0 {
                ledger.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn memory(total: usize, body: usize) -> Arc<Memory> {
        Memory::of(&ServeLimits { bodies_bytes: total, body_bytes: body, ..ServeLimits::default() })
    }

    fn asker(rank: Rank, key: &str) -> Asker {
        Asker { rank, key: key.to_string() }
    }

    /// As many parts of that size as can be had.
    fn all_of(memory: &Arc<Memory>, asker: &Asker, bytes: usize) -> Vec<Held> {
        let part = || {
            let mut held = memory.nothing(asker.clone());
            held.grow(bytes).ok().map(|()| held)
        };
        std::iter::from_fn(part).collect()
    }

    #[test]
    fn a_part_is_kept_for_callers_with_a_key_and_one_for_doors() {
        let memory = memory(64 * MIB, 4 * MIB);
        let strangers = all_of(&memory, &Asker::stranger(), 4096);
        assert_eq!(strangers.len() * 4096, 4 * MIB);
        // One key alone leaves room for another's, and all keys together leave a door's.
        let first = all_of(&memory, &asker(Rank::Keyed, "a"), MIB);
        assert_eq!(first.len(), 36 - 4);
        let second = all_of(&memory, &asker(Rank::Keyed, "b"), MIB);
        assert!(second.len() >= 4, "{}", second.len());
        let many: Vec<_> = (0..64).flat_map(|k| all_of(&memory, &asker(Rank::Keyed, &k.to_string()), MIB)).collect();
        assert_eq!(strangers.len() * 4096 + (first.len() + second.len() + many.len()) * MIB, 48 * MIB);
        let doors = all_of(&memory, &asker(Rank::Door, "d"), 4 * MIB);
        assert_eq!(doors.len(), 1, "one key alone does not take the doors' whole part");
        let others: Vec<_> =
            (0..8).flat_map(|k| all_of(&memory, &asker(Rank::Door, &format!("d{k}")), 4 * MIB)).collect();
        assert_eq!((doors.len() + others.len()) * 4 * MIB, 16 * MIB);
        drop((strangers, first, second, many, doors, others));
        let ledger = memory.ledger.lock().unwrap();
        assert_eq!((ledger.by_rank, ledger.by_key.len()), ([0; 3], 0));
    }

    #[test]
    fn doors_that_use_the_others_part_give_it_back() {
        let memory = memory(64 * MIB, 4 * MIB);
        let doors: Vec<_> =
            (0..12).flat_map(|k| all_of(&memory, &asker(Rank::Door, &k.to_string()), 4 * MIB)).collect();
        assert_eq!(doors.len(), 16);
        assert!(all_of(&memory, &asker(Rank::Keyed, "a"), MIB).is_empty());
        drop(doors);
        assert!(!all_of(&memory, &asker(Rank::Keyed, "a"), MIB).is_empty());
    }

    #[test]
    fn the_greatest_body_finds_room_even_where_the_whole_is_two_of_them() {
        let memory = memory(8 * MIB, 4 * MIB);
        let mut body = memory.nothing(asker(Rank::Keyed, "a"));
        body.grow(MIB).unwrap();
        body.grow(4 * MIB).unwrap();
        assert_eq!(body.grow(5 * MIB).unwrap_err().code(), "overload.memory");
        // The same key's own doors too.
        memory.nothing(asker(Rank::Door, "a")).grow(4 * MIB).unwrap();
    }
}
