//! Is this picture of a face good enough to remember it by? Size, sharpness, light and pose, each as a
//! number that can be shown, and bounds for them.
//!
//! The measures follow ISO/IEC 29794-5's list (inter-eye distance, sharpness, illumination, pose). Pose is
//! estimated from five landmarks alone, under weak perspective: the tip of the nose stands before the
//! plane of the eyes and the mouth, and moves against it when the head turns.

use super::cover::Cover;
use crate::error::{Gate, GateRefusal};
use crate::geometry::{FaceCover, FaceQuality, Landmarks};
use crate::media::Raster;

/// How far the tip of the nose stands before the plane of eyes and mouth corners, in distances between
/// the eyes: 0.41, from the proportions of the generic head that pose estimators are fitted with
/// (eye corners 450 apart and 135 behind the nose, eye centres 0.7 of that apart).
const NOSE_DEPTH: f32 = 0.41;
/// Where the nose falls between the line of the eyes (0) and of the mouth (1) in a face seen from the
/// front, and the height between these lines in distances between the eyes: both from the template that
/// chips are cut by.
const NOSE_LEVEL: f32 = 0.587;
const FACE_HEIGHT: f32 = 1.044;
/// Share of the chip, from its centre, in which sharpness and brightness are measured: the face without
/// the background.
const CENTRE: f32 = 0.6;
/// Weights of red, green and blue in luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Bounds of the estimates, chosen on people of folds 1 to 3 of Labeled Faces in the Wild (`tests/conditions.rs`).
const COVERED: f32 = 0.2;
const INVERTED: f32 = 0.3;

/// What a face must be to be enrolled. A bound of 0 (or 180 for angles) switches it off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QualityBounds {
    /// Least distance between the eyes in pixels.
    pub eye_distance: f32,
    /// Least sharpness.
    pub sharpness: f32,
    /// Least and most brightness.
    pub brightness: (f32, f32),
    /// Most yaw to either side, in degrees.
    pub yaw: f32,
    /// Most pitch up or down, in degrees.
    pub pitch: f32,
    /// Most roll to either side, in degrees.
    pub roll: f32,
    /// Most that mouth and nose, or the eyes, may be likely to be hidden; 1 switches it off.
    pub covered: f32,
    /// Most that the face may be likely to be upside down; 1 switches it off.
    pub inverted: f32,
    /// Least length of the embedder's output ([`FaceQuality::embedding_length`]). None for what the model's calibration
    /// record says ([`crate::Calibration::least_length`]), where it says something.
    pub embedding_length: Option<f32>,
}

impl Default for QualityBounds {
    fn default() -> Self {
        Self {
            eye_distance: 20.0,
            sharpness: 0.008,
            brightness: (0.12, 0.9),
            yaw: 50.0,
            pitch: 40.0,
            roll: 45.0,
            covered: COVERED,
            inverted: INVERTED,
            embedding_length: None,
        }
    }
}

impl FaceQuality {
    /// Measures a face from its chip and its landmarks in the photo, which was turned clockwise by that many degrees
    /// to find it.
    pub fn measure(photo: &Raster, chip: &Raster, landmarks: &Landmarks, turned: u16) -> Self {
        let (sharpness, brightness) = light(chip);
        let (yaw, pitch, roll) = pose(landmarks);
        let roll = (roll + f32::from(turned) + 180.0).rem_euclid(360.0) - 180.0;
        let Cover { mouth: mouth_covered, eyes: eyes_covered, inverted } = Cover::of(photo, landmarks);
        let cover = Some(FaceCover { mouth_covered, eyes_covered, inverted });
        let eye_distance = landmarks.eye_distance();
        Self { eye_distance, sharpness, brightness, yaw, pitch, roll, cover, embedding_length: None }
    }

    /// The first bound that the face does not keep, unless `allowed` names it.
    ///
    /// # Errors
    /// The refusal, with the measure and the bound.
    pub fn within(&self, bounds: &QualityBounds, allowed: &dyn Fn(Gate) -> bool) -> Result<(), GateRefusal> {
        let mut refusals = Vec::new();
        if self.eye_distance < bounds.eye_distance {
            refusals.push(GateRefusal::TooSmall { eye_distance: self.eye_distance, least: bounds.eye_distance });
        }
        let (least, most) = bounds.brightness;
        // Before sharpness: in the dark nothing is sharp.
        if self.brightness < least {
            refusals.push(GateRefusal::TooDark { brightness: self.brightness, least });
        }
        if self.sharpness < bounds.sharpness {
            refusals.push(GateRefusal::Blurred { sharpness: self.sharpness, least: bounds.sharpness });
        }
        if self.brightness > most {
            refusals.push(GateRefusal::TooBright { brightness: self.brightness, most });
        }
        let angles =
            [("yaw", self.yaw, bounds.yaw), ("pitch", self.pitch, bounds.pitch), ("roll", self.roll, bounds.roll)];
        for (axis, degrees, most) in angles {
            if degrees.abs() > most {
                refusals.push(GateRefusal::TurnedAway { axis, degrees, most });
            }
        }
        let cover = self.cover.unwrap_or_default();
        let parts = [("mouth and nose", cover.mouth_covered), ("eyes", cover.eyes_covered)];
        for (part, certainty) in parts.into_iter().filter(|(_, certainty)| *certainty > bounds.covered) {
            refusals.push(GateRefusal::Covered { part, certainty, most: bounds.covered });
        }
        if cover.inverted > bounds.inverted {
            refusals.push(GateRefusal::Inverted { certainty: cover.inverted, most: bounds.inverted });
        }
        if let (Some(length), Some(least)) = (self.embedding_length, bounds.embedding_length)
            && length < least
        {
            refusals.push(GateRefusal::Unclear { length, least });
        }
        refusals.into_iter().find(|r| !allowed(r.gate())).map_or(Ok(()), Err)
    }
}

/// Sharpness and brightness of the chip's centre.
fn light(chip: &Raster) -> (f32, f32) {
    let inner = |side: u32| {
        let margin = (side as f32 * (1.0 - CENTRE) / 2.0) as u32;
        margin..side.saturating_sub(margin)
    };
    let luma = |x: u32, y: u32| -> f32 {
        let pixel = chip.pixel(x, y);
        pixel.iter().zip(LUMA).map(|(&v, w)| f32::from(v) / 255.0 * w).sum()
    };
    let (mut sum, mut count) = (0f64, 0u32);
    let (mut edges, mut squares, mut inside) = (0f64, 0f64, 0u32);
    for y in inner(chip.height()) {
        for x in inner(chip.width()) {
            let here = luma(x, y);
            sum += f64::from(here);
            count += 1;
            if x > 0 && y > 0 && x + 1 < chip.width() && y + 1 < chip.height() {
                let around = luma(x - 1, y) + luma(x + 1, y) + luma(x, y - 1) + luma(x, y + 1);
                let laplacian = f64::from(around - 4.0 * here);
                edges += laplacian;
                squares += laplacian * laplacian;
                inside += 1;
            }
        }
    }
    let mean = |total: f64, n: u32| if n == 0 { 0.0 } else { total / f64::from(n) };
    let variance = mean(squares, inside) - mean(edges, inside).powi(2);
    (variance.max(0.0).sqrt() as f32, mean(sum, count) as f32)
}

/// Yaw, pitch and roll in degrees.
fn pose(landmarks: &Landmarks) -> (f32, f32, f32) {
    let [left, right, nose, mouth_left, mouth_right] = landmarks.0;
    let middle = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let (eyes, mouth) = (middle(left, right), middle(mouth_left, mouth_right));
    let roll = (right[1] - left[1]).atan2(right[0] - left[0]);
    // The face's own axes: along the eyes, and down from them.
    let (sin, cos) = roll.sin_cos();
    let own = |p: [f32; 2]| {
        let (x, y) = (p[0] - eyes[0], p[1] - eyes[1]);
        [x * cos + y * sin, y * cos - x * sin]
    };
    let (nose, mouth) = (own(nose), own(mouth));
    let width = landmarks.eye_distance().max(f32::MIN_POSITIVE);
    let height = mouth[1].max(f32::MIN_POSITIVE);
    let level = nose[1] / height;
    // Where the middle line of the face stands at the nose's height.
    let aside = nose[0] - mouth[0] * level;
    let yaw = (aside / width / NOSE_DEPTH).atan();
    let pitch = ((NOSE_LEVEL - level) * FACE_HEIGHT / NOSE_DEPTH).atan();
    (yaw.to_degrees(), pitch.to_degrees(), roll.to_degrees())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with points at the depths that the estimate assumes, turned by the angles and projected.
    fn projected(yaw: f32, pitch: f32, roll: f32) -> Landmarks {
        let down = FACE_HEIGHT;
        let points = [
            [-0.5, 0.0, 0.0],
            [0.5, 0.0, 0.0],
            [0.0, down * NOSE_LEVEL, NOSE_DEPTH],
            [-0.4, down, 0.0],
            [0.4, down, 0.0],
        ];
        let (yaw, pitch, roll) = (yaw.to_radians(), pitch.to_radians(), roll.to_radians());
        Landmarks(points.map(|[x, y, z]: [f32; 3]| {
            let (x, z) = (x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin());
            let y = y * pitch.cos() - z * pitch.sin();
            let (x, y) = (x * roll.cos() - y * roll.sin(), x * roll.sin() + y * roll.cos());
            [100.0 + 60.0 * x, 80.0 + 60.0 * y]
        }))
    }

    #[test]
    fn pose_is_read_back_from_a_turned_head() {
        for angle in [-40.0f32, -15.0, 0.0, 15.0, 40.0] {
            let (yaw, pitch, roll) = pose(&projected(angle, 0.0, 0.0));
            assert!((yaw - angle).abs() < 1.0 && pitch.abs() < 12.0 && roll.abs() < 0.1, "{angle}: {yaw} {pitch}");
            let (yaw, pitch, roll) = pose(&projected(0.0, angle, 0.0));
            assert!((pitch - angle).abs() < 1.0 && yaw.abs() < 0.1 && roll.abs() < 0.1, "{angle}: {yaw} {pitch}");
            let (yaw, pitch, roll) = pose(&projected(0.0, 0.0, angle));
            assert!((roll - angle).abs() < 0.1 && yaw.abs() < 0.1 && pitch.abs() < 0.1, "{angle}: {roll}");
        }
    }

    #[test]
    fn a_black_face_is_too_dark_before_it_is_too_blurred() {
        let black = FaceQuality { eye_distance: 60.0, sharpness: 0.0, brightness: 0.0, ..FaceQuality::default() };
        let refusal = black.within(&QualityBounds::default(), &|_| false).unwrap_err();
        assert!(matches!(refusal, GateRefusal::TooDark { .. }), "{refusal:?}");
    }

    #[test]
    fn sharpness_falls_with_blur_and_brightness_is_the_mean() {
        let striped = |softness: f32| {
            let mut chip = Raster::new(150, 150, [0; 3]);
            for (i, pixel) in chip.data_mut().chunks_exact_mut(3).enumerate() {
                let wave = ((i % 150) as f32 / softness).sin();
                pixel.fill((128.0 + 100.0 * wave) as u8);
            }
            light(&chip)
        };
        let (fine, coarse, even) = (striped(1.0), striped(4.0), light(&Raster::new(150, 150, [51; 3])));
        assert!(fine.0 > 5.0 * coarse.0 && coarse.0 > 0.0, "{fine:?} {coarse:?}");
        assert!(even.0 < 1e-3 && (even.1 - 0.2).abs() < 1e-3, "{even:?}");
        assert!((fine.1 - 0.5).abs() < 0.02);
        assert_eq!(light(&Raster::new(1, 1, [255; 3])).0, 0.0);
    }

    #[test]
    fn the_first_bound_broken_is_named_and_can_be_allowed() {
        let quality = FaceQuality {
            eye_distance: 9.0,
            sharpness: 0.001,
            brightness: 0.05,
            yaw: 70.0,
            cover: Some(FaceCover { eyes_covered: 1.0, inverted: 1.0, ..FaceCover::default() }),
            embedding_length: Some(4.0),
            ..Default::default()
        };
        let refused = |allowed: &[&str]| {
            let allows = |gate: Gate| allowed.contains(&gate.name());
            let bounds = QualityBounds { embedding_length: Some(4.5), ..QualityBounds::default() };
            quality.within(&bounds, &allows).err().map(|r| r.name())
        };
        assert_eq!(refused(&[]), Some("small"));
        assert_eq!(refused(&["small"]), Some("light"));
        assert_eq!(refused(&["small", "light"]), Some("blurred"));
        assert_eq!(refused(&["small", "blurred", "light"]), Some("turned"));
        assert_eq!(refused(&["small", "blurred", "light", "turned"]), Some("covered"));
        assert_eq!(refused(&["small", "blurred", "light", "turned", "covered"]), Some("inverted"));
        assert_eq!(refused(&["small", "blurred", "light", "turned", "covered", "inverted"]), Some("unclear"));
        assert_eq!(refused(&Gate::ALL.map(Gate::name)), None);
        // A length that was not measured, or that nobody bounds, breaks no bound.
        let none = |_: Gate| false;
        let clear = FaceQuality { eye_distance: 60.0, sharpness: 0.1, brightness: 0.5, ..FaceQuality::default() };
        let bounds = QualityBounds { embedding_length: Some(4.5), ..QualityBounds::default() };
        assert_eq!(clear.within(&bounds, &none), Ok(()));
        let short = FaceQuality { embedding_length: Some(0.0), ..clear };
        assert_eq!(short.within(&QualityBounds::default(), &none), Ok(()));
        assert_eq!(short.within(&bounds, &none), Err(GateRefusal::Unclear { length: 0.0, least: 4.5 }));
    }
}
