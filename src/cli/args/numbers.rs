//! Numbers of the command line within their bounds: what does not fit is refused where it is said, and never rounded
//! to something that nobody asked for.

use std::fmt::Display;
use std::str::FromStr;

/// Longest time that can be said, in seconds: a year.
pub(in crate::cli) const LONGEST_SECONDS: f64 = 31_536_000.0;

/// A share of comparisons: `0.001`, `1e-3`, `0.1%` or `1/1000`.
///
/// # Errors
/// For what is none of these, or not above 0 and below 1.
pub(in crate::cli) fn rate(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let share = match (text.trim().strip_suffix('%'), text.split_once('/')) {
        (Some(percent), _) => number(percent).map(|p| p / 100.0),
        (None, Some((part, whole))) => number(part).zip(number(whole)).map(|(p, w)| p / w),
        (None, None) => number(text),
    };
    let said = "a share above 0 and below 1 is wanted, such as 0.001, 1e-3, 0.1% or 1/1000";
    share.filter(|share| *share > 0.0 && *share < 1.0).ok_or_else(|| said.to_string())
}

/// A parser of numbers from `least` to `most`, both included.
pub(in crate::cli) fn within<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
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
    fn a_rate_is_said_as_people_say_it() {
        for text in ["0.001", "1e-3", "0.1%", "0.1 %", "1/1000", " 1e-3 "] {
            assert!((rate(text).unwrap() - 1e-3).abs() < 1e-12, "{text}");
        }
        for bad in ["0", "1", "100%", "-1%", "nan", "inf", "", "%", "1/0", "0/5", "1/1000/2", "a", "5/4"] {
            assert!(rate(bad).unwrap_err().contains("0.1%"), "{bad}");
        }
    }

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
