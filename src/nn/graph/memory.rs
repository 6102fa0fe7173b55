//! Memory of passes, kept from one to the next: a step of training takes and lets go of hundreds of megabytes, which the
//! system would have to clear each time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Vectors that nobody uses at the moment, together no more than were ever in use at once.
#[derive(Default)]
pub(super) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The longest unused first.
    free: VecDeque<Vec<f32>>,
    /// Room of these, of those that are in use, and the most that was in use at once.
    unused: usize,
    used: usize,
    most: usize,
}

/// A vector with more room than that many times what is asked for is left for others.
const LARGER: usize = 2;

impl Memory {
    /// A vector of that length; what it holds is left over from others.
    pub fn take(&self, length: usize) -> Vec<f32> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = kept.free.iter().enumerate().filter(|(_, v)| (length..=length * LARGER).contains(&v.capacity()));
        let best = fitting.min_by_key(|(_, v)| v.capacity()).map(|(at, _)| at);
        let found = best.and_then(|at| kept.free.remove(at));
        kept.unused -= found.as_ref().map_or(0, Vec::capacity);
        kept.used += found.as_ref().map_or(length, Vec::capacity);
        kept.most = kept.most.max(kept.used);
        drop(kept);
        let Some(mut vector) = found else { return vec![0.0; length] };
        vector.resize(length, 0.0);
        vector
    }

    /// As [`Self::take`], of zeros.
    pub fn zeros(&self, length: usize) -> Vec<f32> {
        let mut vector = self.take(length);
        vector.fill(0.0);
        vector
    }

    /// Keeps a vector for others, and lets go of those that nobody took for longest where it would be too many: some come
    /// from elsewhere, and a hundred thousand steps give back a hundred thousand of them.
    pub fn give(&self, vector: Vec<f32>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.used = kept.used.saturating_sub(vector.capacity());
        kept.unused += vector.capacity();
        kept.free.push_back(vector);
        while kept.unused > kept.most {
            let Some(oldest) = kept.free.pop_front() else { break };
            kept.unused -= oldest.capacity();
        }
    }

    /// Room that nobody uses, in values.
    #[cfg(test)]
    pub fn unused(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_no_more_than_was_in_use_at_once() {
        let memory = Memory::default();
        for step in 0..100 {
            let taken: Vec<_> = [1000, 1000, 300 + step].map(|length| memory.take(length)).into();
            taken.into_iter().for_each(|vector| memory.give(vector));
            // From elsewhere, as a batch's chips are.
            memory.give(vec![0.0; 700]);
        }
        assert!((1000..=2600).contains(&memory.unused()), "{}", memory.unused());
        memory.take(1000);
        assert!(memory.unused() < 2000);
    }
}
