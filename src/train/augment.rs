//! Chips as other cameras, lights and days would have shown them: what training adds to its photos, from a seed.

use rand::Rng;

use crate::error::PhotoError;
use crate::media::{
    Limits, Photo, Raster, draw_disc, draw_label, draw_line, encode_jpeg_at, fill_rect, resize_triangle, warp,
};

/// One way to change a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Augmentation {
    /// A part of the chip, at its size.
    Crop,
    /// Left and right exchanged.
    Flip,
    /// Turned by at most 15 degrees.
    Turn,
    /// Brightness, contrast and tint.
    Colour,
    /// The negative.
    Inversion,
    /// Out of focus.
    Blur,
    /// Blocks of a strongly compressed JPEG file.
    Jpeg,
    /// Too little light, with the noise that comes of it.
    LowLight,
    /// A mask over mouth and chin.
    Mask,
    /// Dark glasses.
    Glasses,
}

use Augmentation::{Blur, Colour, Crop, Flip, Glasses, Inversion, Jpeg, LowLight, Mask, Turn};

/// Places of the eyes and the top of a mask, as shares of a chip's sides: ArcFace's template.
const EYES: [(f32, f32); 2] = [(0.342, 0.462), (0.657, 0.460)];
const MASK_TOP: f32 = 0.62;
/// Quality of the worst and the best JPEG file.
const JPEG_QUALITIES: std::ops::RangeInclusive<u8> = 10..=50;

impl Augmentation {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 10] = [Mask, Glasses, Crop, Flip, Turn, LowLight, Colour, Inversion, Blur, Jpeg];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Crop => "crop",
            Flip => "flip",
            Turn => "turn",
            Colour => "colour",
            Inversion => "inversion",
            Blur => "blur",
            Jpeg => "jpeg",
            LowLight => "low-light",
            Mask => "mask",
            Glasses => "glasses",
        }
    }

    /// The share of chips that training changes so.
    pub fn share(self) -> f64 {
        match self {
            Flip => 0.5,
            Crop | Turn | Colour => 0.3,
            Blur | Jpeg | LowLight => 0.1,
            Mask | Glasses => 0.05,
            Inversion => 0.02,
        }
    }

    /// The chip, changed; of the same size.
    ///
    /// # Errors
    /// [`PhotoError::Unwritable`] where a chip is too large for JPEG.
    pub fn apply(self, chip: &Raster, rng: &mut impl Rng) -> Result<Raster, PhotoError> {
        let (width, height) = (chip.width(), chip.height());
        let (w, h) = (width as f32, height as f32);
        let mut changed = chip.clone();
        match self {
            Flip => return Ok(chip.mirrored()),
            Crop => {
                let scale = rng.random_range(0.85..1.0f64);
                let mut from = |side: u32| rng.random_range(0.0..=f64::from(side) * (1.0 - scale));
                let rows = [[scale, 0.0, from(width)], [0.0, scale, from(height)]];
                return Ok(warp(chip, rows, width, height));
            }
            Turn => {
                let (sin, cos) = rng.random_range(-15f64..15.0).to_radians().sin_cos();
                let (x, y) = (f64::from(width - 1) / 2.0, f64::from(height - 1) / 2.0);
                let rows = [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]];
                return Ok(warp(chip, rows, width, height));
            }
            Colour => {
                let contrast = rng.random_range(0.7..1.3f32);
                let brightness = rng.random_range(-30.0..30.0f32);
                let tint: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.9..1.1));
                each_value(&mut changed, |c, v| ((v - 128.0) * contrast + 128.0 + brightness) * tint[c]);
            }
            Inversion => each_value(&mut changed, |_, v| 255.0 - v),
            Blur => {
                let share = rng.random_range(0.2..0.5f32);
                let (small, low) = ((w * share).max(2.0) as u32, (h * share).max(2.0) as u32);
                return Ok(resize_triangle(&resize_triangle(chip, small, low), width, height));
            }
            Jpeg => {
                let bytes = encode_jpeg_at(chip, rng.random_range(JPEG_QUALITIES))?;
                return Ok(Photo::from_bytes(&bytes, "an augmented chip", &Limits::default())?.raster().clone());
            }
            LowLight => {
                let (gain, gamma) = (rng.random_range(0.15..0.5f32), rng.random_range(1.0..1.8f32));
                let noise = rng.random_range(2.0..10.0f32);
                each_value(&mut changed, |_, v| {
                    (v / 255.0).powf(gamma) * 255.0 * gain + rng.random_range(-noise..noise)
                });
            }
            Mask => {
                let colour: [u8; 3] = std::array::from_fn(|_| rng.random_range(0..=255));
                let top = h * (MASK_TOP + rng.random_range(-0.03..0.03f32));
                fill_rect(&mut changed, w * 0.18, top, w * 0.82, h, colour, 1.0);
                for (x0, x1) in [(0.02, 0.18), (0.98, 0.82)] {
                    draw_line(&mut changed, w * x0, h * 0.5, w * x1, top + 2.0, (w / 56.0).max(1.0), colour);
                }
            }
            Glasses => {
                let dark: [u8; 3] = std::array::from_fn(|_| rng.random_range(0..60));
                let radius = w * rng.random_range(0.10..0.14f32);
                let [left, right] = EYES.map(|(x, y)| (x * w, y * h));
                draw_line(&mut changed, left.0, left.1, right.0, right.1, (w / 40.0).max(1.0), dark);
                [left, right].iter().for_each(|(x, y)| draw_disc(&mut changed, *x, *y, radius, dark));
            }
        }
        Ok(changed)
    }
}

/// The chip as training would show it: each augmentation by its share.
///
/// # Errors
/// As [`Augmentation::apply`].
pub fn augmented(chip: &Raster, rng: &mut impl Rng) -> Result<Raster, PhotoError> {
    let mut changed = chip.clone();
    for augmentation in Augmentation::ALL {
        if rng.random_bool(augmentation.share()) {
            changed = augmentation.apply(&changed, rng)?;
        }
    }
    Ok(changed)
}

/// A sheet: a row for each chip, which stands first; then each augmentation, and last what training would show.
///
/// # Errors
/// As [`Augmentation::apply`].
pub fn preview(chips: &[Raster], rng: &mut impl Rng) -> Result<Raster, PhotoError> {
    const HEAD: u32 = 22;
    let side = |of: fn(&Raster) -> u32| chips.iter().map(of).max().unwrap_or(1);
    let (width, height) = (side(Raster::width), side(Raster::height));
    let columns = Augmentation::ALL.len() as u32 + 2;
    let mut sheet = Raster::new(columns * width, HEAD + chips.len() as u32 * height, [24; 3]);
    let names = ["photo"].into_iter().chain(Augmentation::ALL.map(Augmentation::name)).chain(["training"]);
    for (column, name) in names.enumerate() {
        draw_label(&mut sheet, (column as u32 * width) as f32 + 2.0, 2.0, 13.0, name, [255; 3], [24; 3]);
    }
    for (row, chip) in chips.iter().enumerate() {
        let y = i64::from(HEAD + row as u32 * height);
        let mut put = |column: usize, picture: &Raster| sheet.blit(picture, column as i64 * i64::from(width), y);
        put(0, chip);
        for (i, augmentation) in Augmentation::ALL.into_iter().enumerate() {
            put(i + 1, &augmentation.apply(chip, rng)?);
        }
        put(Augmentation::ALL.len() + 1, &augmented(chip, rng)?);
    }
    Ok(sheet)
}

/// Replaces every value by what `of` makes of its channel and itself.
fn each_value(chip: &mut Raster, mut of: impl FnMut(usize, f32) -> f32) {
    for (i, value) in chip.data_mut().iter_mut().enumerate() {
        *value = of(i % 3, f32::from(*value)).round().clamp(0.0, 255.0) as u8;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn chip() -> Raster {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chips/astronaut.png");
        resize_triangle(Photo::open(path).unwrap().raster(), 112, 112)
    }

    fn mean(chip: &Raster) -> f64 {
        chip.data().iter().map(|v| f64::from(*v)).sum::<f64>() / chip.data().len() as f64
    }

    /// Mean step from a pixel to its right neighbour: what blur takes away.
    fn detail(chip: &Raster) -> f64 {
        let row = |y| chip.row(y).windows(4).map(|w| f64::from(w[0].abs_diff(w[3]))).sum::<f64>();
        (0..chip.height()).map(row).sum::<f64>() / chip.data().len() as f64
    }

    #[test]
    fn each_augmentation_changes_the_chip_as_its_name_says_and_from_its_seed() {
        let chip = chip();
        for augmentation in Augmentation::ALL {
            let made = |seed| augmentation.apply(&chip, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
            let (a, again, other) = (made(1), made(1), made(2));
            let name = augmentation.name();
            assert_eq!((a.width(), a.height()), (112, 112), "{name}");
            assert!(a == again && a != chip, "{name}");
            assert_eq!(a == other, matches!(augmentation, Flip | Inversion), "{name}");
            match augmentation {
                Inversion => assert!((mean(&a) + mean(&chip) - 255.0).abs() < 1e-9),
                Blur => assert!(detail(&a) < 0.8 * detail(&chip)),
                LowLight => assert!(mean(&a) < 0.6 * mean(&chip)),
                Mask => assert!((90..110).all(|y| a.pixel(50, y) == a.pixel(50, 90)) && a.row(20) == chip.row(20)),
                Glasses => assert!(a.pixel(38, 52).iter().all(|v| *v < 60) && a.row(100) == chip.row(100)),
                Flip => assert_eq!(a.mirrored(), chip),
                _ => {}
            }
        }
        let names: std::collections::BTreeSet<_> = Augmentation::ALL.iter().map(|a| a.name()).collect();
        assert_eq!(names.len(), 10);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let changed = (0..40).filter(|_| augmented(&chip, &mut rng).unwrap() != chip).count();
        assert!(changed > 20 && changed < 40, "{changed}");
        let sheet = preview(&[chip.clone(), chip], &mut rng).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (12 * 112, 22 + 2 * 112));
    }
}
