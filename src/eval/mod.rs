//! Measuring how right the answers are: verification over pairs, open-set identification, detection, and
//! the report. Terms and rates as in ISO/IEC 19795-1.
//!
//! `scores`, `folds`, `search` and `matching` are pure numbers; `pairs`, `people` and `boxes` read lists;
//! `acquire` and `cache` make embeddings; `page` draws.

mod acquire;
mod cache;
mod folds;
mod machine;
mod page;
mod pairs;
mod people;
mod plots;
mod scores;
mod verification;

pub use acquire::Failure;
pub use cache::EmbeddingCache;
pub use folds::{CrossValidation, Fold};
pub use machine::Machine;
pub use page::verification_page;
pub use pairs::{FOLDS, Pair, PairList};
pub use people::{Person, people_of};
pub use scores::{
    BestThreshold, CurvePoint, EqualError, Histogram, REPORTED_RATES, Scores, Tar, TarAtFar,
};
pub use verification::{AtDefault, Mistake, ModelVerification, Verification, verification};
