//! Values of files within their bounds by type: one that is read is one that can be kept.

use std::time::Duration;

use serde::Deserialize;

/// Above 0 and below 1: a rate of errors.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Rate(f64);

/// A time of 1 ms to one day, in seconds where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Seconds(Duration);

/// A count of 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Few(usize);

/// A bound of quality: finite and not below 0.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f32")]
pub(super) struct Bound(f32);

impl Rate {
    pub(super) fn get(self) -> f64 {
        self.0
    }
}

impl Seconds {
    pub(super) fn get(self) -> Duration {
        self.0
    }
}

impl Few {
    pub(super) fn get(self) -> usize {
        self.0
    }
}

impl Bound {
    pub(super) fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f64> for Rate {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        match value > 0.0 && value < 1.0 {
            true => Ok(Self(value)),
            false => Err(format!("{value:?} is no rate: above 0 and below 1")),
        }
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        match Duration::try_from_secs_f64(value) {
            Ok(time) if (1e-3..=86_400.0).contains(&value) => Ok(Self(time)),
            _ => Err(format!("{value:?} is out of range: 0.001 to 86400 seconds")),
        }
    }
}

impl TryFrom<i64> for Few {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        match usize::try_from(value) {
            Ok(count @ 1..=100) => Ok(Self(count)),
            _ => Err(format!("{value} is out of range: 1 to 100")),
        }
    }
}

impl TryFrom<f32> for Bound {
    type Error = String;

    fn try_from(value: f32) -> Result<Self, String> {
        // Nothing is ever beyond a bound that is not a number.
        match value.is_finite() && value >= 0.0 {
            true => Ok(Self(value)),
            false => Err(format!("{value:?} is no bound: a number of at least 0")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_kept_is_not_read() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1.0, 0.0, 1e-300] {
            assert!(Seconds::try_from(bad).is_err(), "{bad}");
        }
        for bad in [f64::NAN, f64::INFINITY, 0.0, -0.0, 1.0, 1e300] {
            assert!(Rate::try_from(bad).is_err(), "{bad}");
        }
        for bad in [f32::NAN, f32::INFINITY, -1.0] {
            assert!(Bound::try_from(bad).is_err(), "{bad}");
        }
        for bad in [i64::MIN, -1, 0, 101, i64::MAX] {
            assert!(Few::try_from(bad).is_err(), "{bad}");
        }
        assert_eq!(Seconds::try_from(86_400.0).unwrap().get(), Duration::from_secs(86_400));
        assert_eq!((Rate::try_from(1e-300).unwrap().get(), Few::try_from(100).unwrap().get()), (1e-300, 100));
    }
}
