//! A second look at small photos, enlarged: a network that misses small faces at a photo's own size finds many of them in
//! a copy that is enlarged before. What it finds there is brought back and merged with what it found at first.

use std::fmt;
use std::str::FromStr;

use super::Detection;
use crate::error::ModelError;
use crate::media::{Raster, fit_within};

/// Whether small photos are looked at again in an enlarged copy. Parsed from `auto`, `off` or a factor.
///
/// ```
/// use kith::Enlarge;
/// assert_eq!("1.5".parse::<Enlarge>()?, Enlarge::By(1.5));
/// assert!("0.5".parse::<Enlarge>().is_err());
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Enlarge {
    /// Photos up to the size at which the detector was found to gain, by the factor that was found best.
    #[default]
    Auto,
    /// No photo.
    Off,
    /// Every photo by this factor, above 1 and at most 8, as far as the largest copy allows.
    By(f32),
}

const OPTION: &str = "enlarge";
/// The largest factor.
const MOST: f32 = 8.0;
/// A copy that is less than so many times as large shows nothing that the photo does not.
const LEAST: f32 = 1.2;

/// What a detector gains from: photos whose longer side has at most so many pixels, enlarged so many times.
///
/// Tried with YuNet: the enlarged look only where the first one shows no face, or one below a score or smaller than 40 pixels.
/// All pairs of LFW's 6,922 photos, `sface` in int16, the share of genuine pairs rejected where one impostor pair in 100,
/// 1,000, 10,000, 100,000 is accepted, and the seconds that all took:
///
/// | least score | rejected | seconds |
/// | --- | --- | --- |
/// | every photo is enlarged (kept) | 0.0009, 0.0033, 0.0079, 0.0175 | 62 |
/// | 0.93 | 0.0009, 0.0034, 0.0079, 0.0188 | 50 |
/// | 0.9 | 0.0013, 0.0037, 0.0086, 0.0205 | 43 |
/// | no photo is | 0.0058, 0.0082, 0.0130, 0.0248 | |
///
/// With either score five of 161 faces cut by a photo's edge were lost beside whole ones.
pub(super) struct Gain {
    pub side: u32,
    pub factor: f32,
}

impl Enlarge {
    pub(super) fn check(self) -> Result<(), ModelError> {
        match self {
            Self::By(factor) if !(factor > 1.0 && factor <= MOST) => Err(refused(&factor.to_string())),
            _ => Ok(()),
        }
    }

    /// The longer side of the enlarged copy in which a photo of that longer side is looked at too; no larger than
    /// `max_side`.
    pub(super) fn side(self, longest: u32, gain: &Gain, max_side: u32) -> Option<u32> {
        let factor = match self {
            Self::Off => return None,
            Self::By(factor) => factor,
            Self::Auto if longest <= gain.side => gain.factor,
            Self::Auto => return None,
        };
        let side = (longest as f32 * factor).min(max_side as f32);
        (side >= LEAST * longest as f32).then_some(side as u32)
    }
}

fn refused(received: &str) -> ModelError {
    let expected = "auto, off, or a factor above 1 and at most 8";
    ModelError::InvalidOption { option: OPTION, received: received.to_string(), expected }
}

impl FromStr for Enlarge {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => {
                let by = Self::By(text.parse().map_err(|_| refused(text))?);
                by.check().map(|()| by)
            }
        }
    }
}

impl fmt::Display for Enlarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::By(factor) => write!(f, "{factor}"),
        }
    }
}

/// How many times smaller than a copy the next one is.
pub(super) const STEP: u32 = 3;

/// Longer sides of the copies that a photo of that longer side is looked at in: the enlarged one, the photo itself as far
/// as it is no larger than `max_side`, and, while a copy is larger than `whole_range`, one of a third, in which the
/// network sees the faces that are too large for it.
pub(super) fn sides(longest: u32, enlarge: Enlarge, gain: &Gain, max_side: u32, whole_range: u32) -> Vec<u32> {
    let mut sides = vec![longest.min(max_side)];
    while let Some(&last) = sides.last().filter(|last| **last > whole_range) {
        sides.push(last / STEP);
    }
    sides.splice(0..0, enlarge.side(longest, gain, max_side));
    sides
}

/// What `look` finds in copies of the photo whose longer sides these are, in pixels of the photo.
pub(super) fn in_copies(
    photo: &Raster,
    sides: &[u32],
    look: impl Fn(&Raster) -> Result<Vec<Detection>, ModelError>,
) -> Result<Vec<Detection>, ModelError> {
    let longest = photo.width().max(photo.height());
    let mut found = Vec::new();
    let mut before: Option<Raster> = None;
    for &side in sides {
        if side == longest {
            found.extend(look(photo)?);
            continue;
        }
        // A photo of many megapixels is read once: what is smaller still is made of its copy.
        let is_larger = |copy: &Raster| copy.width().max(copy.height()) >= side * STEP;
        let source = before.take().filter(|copy| copy.width() < photo.width() && is_larger(copy));
        let copy = fit_within(source.as_ref().unwrap_or(photo), side, side);
        let across = photo.width() as f32 / copy.width() as f32;
        let down = photo.height() as f32 / copy.height() as f32;
        found.extend(look(&copy)?.into_iter().map(|d| d.stretched(across, down)));
        before = Some(copy);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{BBox, Landmarks};

    #[test]
    fn what_can_be_said_is_read_as_it_is_written() {
        for enlarge in [Enlarge::Auto, Enlarge::Off, Enlarge::By(1.5), Enlarge::By(8.0)] {
            assert_eq!(enlarge.to_string().parse::<Enlarge>().unwrap(), enlarge);
        }
        for wrong in ["", "on", "1", "0", "-2", "8.5", "nan", "inf"] {
            let error = wrong.parse::<Enlarge>().unwrap_err();
            assert!(error.code() == "model.invalid_option" && error.to_string().contains("auto, off"), "{error}");
        }
    }

    #[test]
    fn copies_are_as_large_as_pays_and_as_may_be() {
        let gain = Gain { side: 400, factor: 2.0 };
        let side = |enlarge: Enlarge, longest| enlarge.side(longest, &gain, 1280);
        assert_eq!((side(Enlarge::Auto, 400), side(Enlarge::Auto, 401)), (Some(800), None));
        assert_eq!(side(Enlarge::Off, 100), None);
        assert_eq!((side(Enlarge::By(3.0), 401), side(Enlarge::By(3.0), 1000)), (Some(1203), Some(1280)));
        assert_eq!((side(Enlarge::By(3.0), 1200), side(Enlarge::By(3.0), 4000)), (None, None));
    }

    #[test]
    fn what_is_found_in_a_copy_is_where_it_is_in_the_photo() {
        let face = |copy: &Raster| {
            let (w, h) = (copy.width() as f32, copy.height() as f32);
            let landmarks = Landmarks([[w / 2.0, h / 4.0]; 5]);
            Ok(vec![Detection { bbox: BBox::new(0.0, 0.0, w / 2.0, h / 2.0), score: 1.0, landmarks, turned: 0 }])
        };
        let found = in_copies(&Raster::new(40, 30, [0; 3]), &[80, 40, 20], face).unwrap();
        assert_eq!(found.len(), 3);
        for d in found {
            assert_eq!((d.bbox, d.landmarks.0[0]), (BBox::new(0.0, 0.0, 20.0, 15.0), [20.0, 7.5]));
        }
    }
}
