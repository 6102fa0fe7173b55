//! Memory of passes, kept from one to the next: a step of training takes and lets go of hundreds of megabytes, which the
//! system would have to clear each time.

use std::sync::{Mutex, PoisonError};

/// Vectors that nobody uses at the moment.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Vec<f32>>>);

/// A vector with more room than that many times what is asked for is left for others.
const LARGER: usize = 2;

impl Memory {
    /// A vector of that length; what it holds is left over from others.
    pub fn take(&self, length: usize) -> Vec<f32> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = free.iter().enumerate().filter(|(_, v)| (length..=length * LARGER).contains(&v.capacity()));
        let best = fitting.min_by_key(|(_, v)| v.capacity()).map(|(at, _)| at);
        let mut vector = best.map_or_else(Vec::new, |at| free.swap_remove(at));
        drop(free);
        match vector.capacity() {
            0 => vec![0.0; length],
            _ => {
                vector.resize(length, 0.0);
                vector
            }
        }
    }

    /// As [`Self::take`], of zeros.
    pub fn zeros(&self, length: usize) -> Vec<f32> {
        let mut vector = self.take(length);
        vector.fill(0.0);
        vector
    }

    /// Keeps a vector for others.
    pub fn give(&self, vector: Vec<f32>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(vector);
    }
}
