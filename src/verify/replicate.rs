//! What the jackknife leaves of a measurement in its record, and the interval that it gives.

use serde::{Deserialize, Serialize};

/// Groups of people.
pub(crate) const GROUPS: usize = 20;
/// Two-sided 95% quantile of Student's t with [`GROUPS`] - 1 degrees of freedom.
const T_95: f64 = 2.093_024;
/// The measurement without one group of people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicate {
    /// Distance at which similarity would be 50%.
    pub midpoint: f32,
    /// Steepness of the similarity scale.
    pub slope: f32,
    /// FMR at the distance of each of the record's operating points.
    pub fmr: Vec<f64>,
    /// FNMR there.
    pub fnmr: Vec<f64>,
}

/// Half the width of the 95% interval of what the replicates measured.
pub(super) fn reach(replicates: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = replicates.clone().count() as f64;
    let mean = replicates.clone().sum::<f64>() / n;
    let variance = replicates.map(|r| (r - mean).powi(2)).sum::<f64>() * (n - 1.0) / n;
    T_95 * variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_is_that_of_the_textbook() {
        // Of a mean of 20 numbers the jackknife's error is the standard error s / sqrt(n).
        let numbers: Vec<f64> = (0..20).map(|i| f64::from(i * i % 17)).collect();
        let total: f64 = numbers.iter().sum();
        let mean = total / 20.0;
        let s = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 19.0).sqrt();
        let found = reach(numbers.iter().map(|x| (total - x) / 19.0));
        assert!((found - T_95 * s / 20f64.sqrt()).abs() < 1e-12);
    }
}
