//! From a distance to a decision, with the false-match rate that it was calibrated to. Pure: no
//! photo, no network, no file.

mod alike;
mod alike_groups;
mod calibration;
mod fit;
mod impostors;
mod interval;
mod jackknife;
mod replicate;
mod scale;
mod search;
mod slope;
mod threshold;
mod verdict;

pub use alike::{AlikeGroups, AlikeRate};
pub use alike_groups::alike_groups;
pub use calibration::{Calibration, OperatingPoint};
pub(crate) use fit::operating_point;
pub use fit::{Distances, fit_calibration};
pub use impostors::{ImpostorReport, NearPair, RateHere, ThresholdHere};
pub use interval::rate_interval;
pub(crate) use jackknife::GroupedDistances;
pub use replicate::Replicate;
pub(crate) use scale::nearness;
pub use scale::{HALF, percent_text};
pub use search::{SearchThreshold, fpir};
pub use threshold::Threshold;
pub use verdict::{Decision, Judge, Policy, Verdict};
