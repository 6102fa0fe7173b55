//! Open-set identification: rates of searches in a gallery in which only some probes have a mate. Pure
//! numbers, terms of ISO/IEC 19795-1.
//!
//! A mated search is by a probe of somebody enrolled, a non-mated one by a stranger. FPIR(T) is the share of
//! non-mated searches that return anybody within the threshold T; FNIR(R, T) the share of mated searches
//! that do not return the mate among the R nearest people and within T. A probe without an embedding returns
//! nobody, and somebody whose enrolment failed is returned by no search.

use serde::Serialize;

use super::scores::Scores;
use crate::error::EvalError;

/// Ranks that a report names.
pub const RANKS: [usize; 5] = [1, 2, 5, 10, 20];

/// What one search returned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Searched {
    /// Distance of the nearest person; infinite when nobody is returned.
    pub nearest: f32,
    /// For a mated search: how many people are at least as near as the mate, the mate among them (1 is the
    /// nearest), and the mate's distance, infinite when the mate cannot be returned.
    pub mate: Option<(usize, f32)>,
}

/// Share of mated searches with the mate among the nearest so many, at any distance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RankRate {
    /// The rank.
    pub rank: usize,
    /// The share.
    pub rate: f64,
}

/// One search: `people` gives the distance of each enrolled person (infinite when it has none), `mate` the
/// place of the mate among them.
pub fn searched(people: &[f32], mate: Option<usize>) -> Searched {
    let nearest = people.iter().copied().fold(f32::INFINITY, f32::min);
    let mate = mate.map(|m| {
        let own = people.get(m).copied().unwrap_or(f32::INFINITY);
        // People at the very distance of the mate stand before it: a tie is no success.
        (people.iter().filter(|&&d| d <= own).count().max(1), own)
    });
    Searched { nearest, mate }
}

/// The searches as scores, so that every curve over thresholds can be had of them: "genuine" distances are
/// the mates' within `rank` (infinite beyond), "impostor" distances the nearest of non-mated searches. The
/// false-match rate of these scores is the FPIR, their false-non-match rate the FNIR.
///
/// # Errors
/// [`EvalError::TooLittle`] without mated or without non-mated searches.
pub fn search_scores(searches: &[Searched], rank: usize) -> Result<Scores, EvalError> {
    let mated = |s: &Searched| s.mate.map(|(r, d)| if r <= rank { d } else { f32::INFINITY });
    let others = searches.iter().filter(|s| s.mate.is_none()).map(|s| s.nearest);
    Scores::new(searches.iter().filter_map(mated).collect(), others.collect())
}

/// Share of mated searches with the mate at each of [`RANKS`] or nearer.
pub fn rank_rates(searches: &[Searched]) -> Vec<RankRate> {
    let mates: Vec<(usize, f32)> = searches.iter().filter_map(|s| s.mate).collect();
    let within = |rank: usize| mates.iter().filter(|(r, d)| *r <= rank && d.is_finite()).count();
    RANKS.iter().map(|&rank| RankRate { rank, rate: within(rank) as f64 / mates.len().max(1) as f64 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f32 = f32::INFINITY;

    #[test]
    fn ranks_and_rates_of_searches_laid_out_by_hand() {
        let searches = [
            searched(&[0.2, 0.5, 0.9], Some(0)),
            searched(&[0.3, 0.4, 0.9], Some(1)),
            searched(&[0.5, 0.5, 0.5], Some(2)),
            searched(&[INF, INF, INF], Some(0)),
            searched(&[0.35, 0.8, INF], None),
            searched(&[0.7, 0.8, 0.9], None),
        ];
        assert_eq!(searches[1].mate, Some((2, 0.4)));
        assert_eq!(searches[2].mate.unwrap().0, 3, "a tie with others is no success");
        let rates: Vec<f64> = rank_rates(&searches).iter().map(|r| r.rate).collect();
        assert_eq!(rates, [0.25, 0.5, 0.75, 0.75, 0.75]);
        let first = search_scores(&searches, 1).unwrap().at(0.4);
        assert_eq!((first.fmr, first.fnmr), (0.5, 0.75));
        let second = search_scores(&searches, 2).unwrap().at(0.4);
        assert_eq!((second.fmr, second.fnmr), (0.5, 0.5));
        assert!(search_scores(&searches[..4], 1).is_err());
    }
}
