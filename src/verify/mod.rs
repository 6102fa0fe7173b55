//! From a distance to a decision, with the false-match rate that it was calibrated to. Pure: no
//! photo, no network, no file.

mod calibration;
mod fit;
mod interval;
mod search;
mod verdict;

pub use calibration::{Calibration, OperatingPoint};
pub use fit::fit_calibration;
pub(crate) use fit::operating_point;
pub use interval::rate_interval;
pub use search::{SearchThreshold, fpir};
pub use verdict::{Decision, Judge, Policy, SimilarityScale, Verdict};
