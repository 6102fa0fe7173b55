//! What a record says of people who are alike: how many times as often one is taken for another.

use serde::{Deserialize, Serialize};

/// False matches within groups of people who are alike, as multiples of the rate over any two people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlikeGroups {
    /// The model whose vectors the people were grouped by.
    pub by: String,
    /// People in each group; one face of each counts.
    pub people: Vec<u64>,
    /// The multiples, in order of falling FMR.
    pub at: Vec<AlikeRate>,
}

/// How many times the false-match rate is what it is over all pairs, within groups, at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlikeRate {
    /// The rate over all pairs of these people, one face each.
    pub fmr: f64,
    /// In the group where it is lowest.
    pub least: f64,
    /// Over the pairs of all groups.
    pub mean: f64,
    /// In the group where it is highest.
    pub most: f64,
}

impl AlikeGroups {
    /// What is wrong with it, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let sound = |r: &AlikeRate| {
            r.fmr > 0.0 && r.fmr < 1.0 && r.least >= 0.0 && r.least <= r.mean && r.mean <= r.most && r.most.is_finite()
        };
        let falling = self.at.windows(2).all(|pair| pair[1].fmr < pair[0].fmr);
        let whole = self.people.len() >= 2 && !self.at.is_empty() && falling && self.at.iter().all(sound);
        (!whole).then(|| "the rates among people who are alike contradict each other".to_string())
    }
}
