//! Measuring how right the answers are: verification over pairs, open-set identification, detection, and
//! the report. Terms and rates as in ISO/IEC 19795-1.
//!
//! `scores`, `folds`, `search` and `matching` are pure numbers; `pairs`, `people` and `boxes` read lists;
//! `acquire` and `cache` make embeddings; `page` draws.

mod acquire;
mod alignment;
mod boxes;
mod cache;
mod detection;
mod folds;
mod grouping;
mod identification;
mod machine;
mod matching;
mod page;
mod page_more;
mod page_quality;
mod page_training;
mod pairs;
mod people;
mod plots;
mod quality;
mod scores;
mod search;
mod verification;

pub use acquire::Failure;
pub use alignment::{AlignmentReport, HeldOut, Placement, PlacementRates, alignment, passes};
pub use boxes::BoxList;
pub use cache::EmbeddingCache;
pub use detection::{DetectionReport, Place, detection};
pub use folds::{CrossValidation, Fold};
pub use grouping::{Agreement, GroupScores, GroupingReport, ModelGrouping, group_scores, grouping, with_photos};
pub use identification::{Growth, GrowthPoint, IdentificationReport, ModelIdentification, Split, identification};
pub use machine::Machine;
pub use matching::{LEAST_OVERLAP, LabelledFace, Matched, PrecisionRecall, match_detections};
pub use page::verification_page;
pub use page_more::{detection_page, identification_page};
pub use page_quality::quality_page;
pub use page_training::{TrainingEpoch, TrainingRates, training_page};
pub use pairs::{FOLDS, Pair, PairList};
pub use people::{Person, people_of, photos_under};
pub use quality::{DISCARD_STEP, DiscardCurve, DiscardPoint, GateRates, QualityReport, quality};
pub use scores::{BestThreshold, CurvePoint, EqualError, Histogram, REPORTED_RATES, Scores, Tar, TarAtFar};
pub use search::{RANKS, RankRate, Searched, rank_rates, search_scores, searched};
pub use verification::{
    AgainstRecord, AtDefault, Mistake, ModelVerification, Verification, VerificationSetup, verification,
};
