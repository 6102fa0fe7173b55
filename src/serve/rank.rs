//! Who goes first where something is scarce (memory for bodies, threads, connections): doors before other callers
//! with a key, and those before callers who have shown none.

/// Where a request stands among others, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rank {
    /// No key was shown, or not yet.
    Stranger,
    /// A key that may do what it asks.
    Keyed,
    /// A key that may ask for access decisions, asking for one.
    Door,
}

impl Rank {
    /// How many ranks there are; `rank as usize` is below it.
    pub(super) const COUNT: usize = 3;
}

/// Who sends a request's body: put into the request's extensions once the caller is known.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub rank: Rank,
    /// Id of the key; empty for strangers.
    pub key: String,
}

impl Asker {
    /// Who is not known, or not yet.
    pub(super) fn stranger() -> Self {
        Self { rank: Rank::Stranger, key: String::new() }
    }
}
