//! Where the line between near enough and too far is drawn: its one form in answers, reports and logs.

use serde::Serialize;

use super::SearchThreshold;

/// A threshold, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Threshold {
    /// Largest Euclidean distance between unit vectors that counts as the same person, 0 to 2.
    pub distance: f32,
    /// False-match rate of one comparison at that distance, where it is known.
    pub fmr: Option<f64>,
    /// Share of strangers whom a search takes for somebody, at most; none where the line is not drawn for a search,
    /// or at a distance of the caller's own.
    pub max_fpir: Option<f64>,
    /// Comparisons that a search counts as, where that share is of one.
    pub comparisons: Option<usize>,
    /// Whether the rate is below what the calibration measured, so that the line was continued beyond its points.
    pub extrapolated: bool,
}

impl Threshold {
    /// A distance of the caller's own, of which no rate is known.
    pub fn at(distance: f32) -> Self {
        Self { distance, fmr: None, max_fpir: None, comparisons: None, extrapolated: false }
    }
}

impl From<SearchThreshold> for Threshold {
    fn from(t: SearchThreshold) -> Self {
        Self {
            distance: t.distance,
            fmr: Some(t.fmr),
            max_fpir: Some(t.max_fpir),
            comparisons: Some(t.comparisons),
            extrapolated: t.extrapolated,
        }
    }
}
