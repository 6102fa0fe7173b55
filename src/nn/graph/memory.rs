//! Memory of passes, kept from one to the next: a step of training takes and lets go of hundreds of megabytes, which the
//! system would have to clear each time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Vectors that nobody uses at the moment, together no more than a pass ever had in use at once.
#[derive(Default)]
pub(super) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The longest unused first.
    free: VecDeque<Vec<f32>>,
    /// Room of these, of those that the pass took and has not given back, and the most that a pass had so.
    unused: usize,
    used: usize,
    most: usize,
}

/// A vector with more room than that many times what is asked for is left for others.
const LARGER: usize = 2;

impl Memory {
    /// A pass begins. What the one before it took and never gave back, as what became a tensor, counts no longer.
    pub fn begin(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).used = 0;
    }

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
        for (lost, foreign) in [(0, 700), (2000, 700)] {
            for step in 0..100 {
                memory.begin();
                let taken: Vec<_> = [1000, 1000, 300 + step].map(|length| memory.take(length)).into();
                // What becomes a tensor does not come back, and what was a tensor comes from elsewhere.
                drop(memory.take(lost));
                taken.into_iter().for_each(|vector| memory.give(vector));
                memory.give(vec![0.0; foreign]);
            }
            let unused = memory.unused();
            assert!((1000..=5000).contains(&unused), "{unused}");
            memory.take(1000);
            assert!(memory.unused() <= unused - 1000, "what is kept is not taken");
        }
    }
}
