//! How far a measured rate may be from the true one.

/// Normal quantile of a two-sided 95% interval.
const Z_95: f64 = 1.959_963_985;

/// The 95% score interval of a rate of `hits` among `trials` (E. B. Wilson, "Probable inference, the law of
/// succession, and statistical inference", 1927). It takes the trials for independent; pairs that share
/// photos or people are not, so the truth lies outside more often than one time in twenty. `(0, 1)`
/// without a trial.
///
/// ```
/// let (low, high) = kith::verify::rate_interval(0, 100);
/// assert!(low < 1e-12 && (high - 0.037).abs() < 1e-3);
/// ```
pub fn rate_interval(hits: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, rate) = (trials as f64, hits.min(trials) as f64 / trials as f64);
    let z2 = Z_95 * Z_95;
    let middle = (rate + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let reach = Z_95 / (1.0 + z2 / n) * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    ((middle - reach).max(0.0), (middle + reach).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Wilson's formula, evaluated in Python 3.11's doubles.
        for (hits, trials, low, high) in
            [(5, 10, 0.236_593, 0.763_407), (30, 30_000, 0.000_700_6, 0.001_427_2), (100, 100, 0.963_007, 1.0)]
        {
            let (a, b) = rate_interval(hits, trials);
            assert!((a - low).abs() < 1e-6 && (b - high).abs() < 1e-6, "{hits}/{trials}: {a} {b}");
        }
        assert_eq!(rate_interval(0, 0), (0.0, 1.0));
    }
}
