//! Open-set search: a threshold for a probe that is held against a whole gallery.
//!
//! A stranger who is compared with `n` faces is taken for one of them with the chance
//! `FPIR = 1 - (1 - FMR)^n`, were the comparisons independent (ISO/IEC 19795-1; A. Jain, K. Nandakumar,
//! A. Ross, "50 years of biometric research", 2016). Comparisons with several faces of one person are not,
//! so the true rate is lower: the threshold errs on the strict side.

use serde::Serialize;

use super::Calibration;
use crate::error::RefusalError;

/// A threshold for searching a gallery, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SearchThreshold {
    /// Largest distance at which a face counts as found.
    pub distance: f32,
    /// Share of strangers who are taken for somebody, at most.
    pub max_fpir: f64,
    /// Faces that the probe is compared with.
    pub comparisons: usize,
    /// False-match rate of one comparison that follows from both.
    pub fmr: f64,
    /// Whether that rate is below what the calibration measured, so that the threshold was continued
    /// beyond its last points.
    pub extrapolated: bool,
}

/// Share of strangers whom a search among `comparisons` faces takes for somebody, when each comparison matches
/// at the rate `fmr` and they are independent: `1 - (1 - fmr)^comparisons`.
///
/// ```
/// assert!((kith::verify::fpir(1e-3, 1000) - 0.632).abs() < 1e-3);
/// ```
pub fn fpir(fmr: f64, comparisons: usize) -> f64 {
    -(comparisons as f64 * (-fmr).ln_1p()).exp_m1()
}

/// False-match rate of one comparison with which a search among so many takes `max_fpir` of strangers for somebody.
fn each(max_fpir: f64, comparisons: usize) -> f64 {
    -((-max_fpir).ln_1p() / comparisons.max(1) as f64).exp_m1()
}

impl Calibration {
    /// The threshold at which a search among `comparisons` faces takes at most `max_fpir` of strangers
    /// for somebody. Below the measured rates the line through the last decade of points (logarithm of
    /// the rate over distance) is continued, and the answer says so.
    ///
    /// # Errors
    /// [`RefusalError::InvalidThreshold`] for a rate outside 0 to 1.
    ///
    /// ```
    /// # let engine = kith::Engine::builder().build()?;
    /// let calibration = engine.calibration().unwrap();
    /// let (few, many) = (calibration.for_search(0.01, 10)?, calibration.for_search(0.01, 1_000_000)?);
    /// assert!(many.distance < few.distance && many.extrapolated && !few.extrapolated);
    /// # Ok::<(), kith::Error>(())
    /// ```
    pub fn for_search(&self, max_fpir: f64, comparisons: usize) -> Result<SearchThreshold, RefusalError> {
        if !(max_fpir > 0.0 && max_fpir < 1.0) {
            return Err(RefusalError::InvalidThreshold {
                option: "max-fpir",
                received: max_fpir,
                expected: "above 0 and below 1",
            });
        }
        let fmr = each(max_fpir, comparisons);
        let (distance, extrapolated) = match self.at_fmr(fmr) {
            Ok(point) => (point.distance, false),
            Err(RefusalError::Unsupported { .. }) => (self.beyond(fmr), true),
            Err(other) => return Err(other),
        };
        Ok(SearchThreshold { distance, max_fpir, comparisons, fmr, extrapolated })
    }

    /// The threshold at which one comparison with a stranger matches at most at `max_fmr`, with the share of
    /// strangers that a search among `comparisons` faces then takes for somebody.
    ///
    /// # Errors
    /// As [`Calibration::at_fmr`].
    pub fn search_at_fmr(&self, max_fmr: f64, comparisons: usize) -> Result<SearchThreshold, RefusalError> {
        let point = self.at_fmr(max_fmr)?;
        let (distance, fmr) = (point.distance, point.fmr);
        Ok(SearchThreshold { distance, max_fpir: fpir(fmr, comparisons), comparisons, fmr, extrapolated: false })
    }

    /// The most comparisons among which a search can keep to `max_fpir` without going below the rates that were
    /// measured: `ln(1 - max_fpir) / ln(1 - FMR)` with the lowest of them; 0 where even one comparison goes below.
    ///
    /// # Errors
    /// [`RefusalError::InvalidThreshold`] for a rate outside 0 to 1.
    ///
    /// ```
    /// # let engine = kith::Engine::builder().build()?;
    /// let calibration = engine.calibration().unwrap();
    /// let most = calibration.supports(0.02)?;
    /// assert!(!calibration.for_search(0.02, most)?.extrapolated);
    /// assert!(calibration.for_search(0.02, most + 1)?.extrapolated);
    /// # Ok::<(), kith::Error>(())
    /// ```
    pub fn supports(&self, max_fpir: f64) -> Result<usize, RefusalError> {
        self.for_search(max_fpir, 1)?;
        let Some(lowest) = self.lowest_fmr() else { return Ok(0) };
        let measured = |comparisons: usize| self.at_fmr(each(max_fpir, comparisons)).is_ok();
        // The quotient is right but for its last bits: it is held against the search itself.
        let mut most = ((-max_fpir).ln_1p() / (-lowest).ln_1p()) as usize;
        while most > 0 && !measured(most) {
            most -= 1;
        }
        while measured(most + 1) {
            most += 1;
        }
        Ok(most)
    }

    /// The lowest false-match rate that was measured.
    pub fn lowest_fmr(&self) -> Option<f64> {
        self.points.last().map(|p| p.fmr)
    }

    /// Distance at a rate below the last point.
    pub(super) fn beyond(&self, fmr: f64) -> f32 {
        let Some(last) = self.points.last() else { return 0.0 };
        let decade = self.points.iter().rev().find(|p| p.fmr >= last.fmr * 10.0).unwrap_or(&self.points[0]);
        let decades = (decade.fmr / last.fmr).log10();
        let per_decade = if decades > 0.0 { f64::from(decade.distance - last.distance) / decades } else { 0.0 };
        (f64::from(last.distance) - per_decade * (last.fmr / fmr).log10()).max(0.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::record;

    #[test]
    fn one_comparison_is_verification_and_more_are_stricter() {
        let c = record();
        assert_eq!(c.for_search(1e-2, 1).unwrap().distance, 0.5);
        let ten = c.for_search(1e-2, 10).unwrap();
        assert_eq!((ten.distance, ten.extrapolated), (0.4, false));
        assert!((1.0 - (1.0 - ten.fmr).powi(10) - 1e-2).abs() < 1e-12);
        let mut before = f32::INFINITY;
        for comparisons in [0, 1, 10, 100, 10_000, 1_000_000, usize::MAX] {
            let t = c.for_search(1e-2, comparisons).unwrap();
            assert!(t.distance <= before && t.distance >= 0.0, "{t:?}");
            before = t.distance;
        }
    }

    #[test]
    fn a_rate_of_one_comparison_says_what_it_makes_of_a_search() {
        let t = record().search_at_fmr(1e-2, 100).unwrap();
        assert_eq!((t.distance, t.fmr, t.comparisons, t.extrapolated), (0.5, 1e-2, 100, false));
        assert!((t.max_fpir - (1.0 - 0.99f64.powi(100))).abs() < 1e-12);
        assert!(record().search_at_fmr(1e-5, 100).is_err());
    }

    #[test]
    fn beyond_the_record_the_last_decade_is_continued_and_marked() {
        // The record falls from 0.5 at 1e-2 to 0.4 at 1e-3: a tenth a decade.
        let t = record().for_search(1e-2, 1000).unwrap();
        assert!(t.extrapolated);
        assert!((t.distance - 0.2).abs() < 1e-3, "{t:?}");
        for bad in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(record().for_search(bad, 10).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_supported_ends_where_the_record_does() {
        let c = record();
        for rate in [1e-3, 2e-3, 1e-2, 0.3, 0.999, 1.0 - 1e-12] {
            let most = c.supports(rate).unwrap();
            assert!(!c.for_search(rate, most).unwrap().extrapolated, "{rate}: {most}");
            assert!(c.for_search(rate, most + 1).unwrap().extrapolated, "{rate}: {most}");
        }
        assert_eq!((c.supports(1e-3).unwrap(), c.supports(9e-4).unwrap()), (1, 0));
        for bad in [0.0, 1.0, f64::NAN] {
            assert!(c.supports(bad).is_err());
        }
    }
}
