//! Numbers of the command line within their bounds: what does not fit is refused where it is said, and never rounded
//! to something that nobody asked for.

use std::fmt::Display;
use std::str::FromStr;

/// Longest time that can be said, in seconds: a year.
pub(super) const LONGEST_SECONDS: f64 = 31_536_000.0;

/// A parser of numbers from `least` to `most`, both included.
pub(super) fn within<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| match text.parse::<T>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!("a number from {least} to {most} is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_number_within_the_bounds_is_refused() {
        let seconds = within(0.0, LONGEST_SECONDS);
        for bad in ["nan", "inf", "-inf", "-1", "1e300", "31536001", "", "5s", "0x5"] {
            assert!(seconds(bad).unwrap_err().contains("from 0 to 31536000"), "{bad}");
        }
        assert_eq!((seconds("0"), seconds("2.5"), seconds("31536000")), (Ok(0.0), Ok(2.5), Ok(LONGEST_SECONDS)));
        let count = within(1usize, 10);
        for bad in ["0", "11", "-1", "1.5", "99999999999999999999"] {
            assert!(count(bad).is_err(), "{bad}");
        }
        assert_eq!(count("10"), Ok(10));
    }
}
