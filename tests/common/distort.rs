//! Faces made worse by a seeded function: masked, covered by sunglasses, blurred, turned over, small.
#![allow(dead_code)] // each test uses its part

use kith::Photo;
use kith::geometry::Landmarks;
use kith::media::{Raster, fit_within};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What is done to a photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distortion {
    Clean,
    Mask,
    Sunglasses,
    Both,
    /// A Gaussian blur with this sigma, in pixels of the photo.
    Blur(f32),
    /// Turned by 180 degrees.
    UpsideDown,
    /// Reduced until so many pixels lie between the eyes.
    Small(f32),
}

impl Distortion {
    /// The conditions that verdicts are measured in.
    pub const ALL: [Self; 9] = [
        Self::Clean,
        Self::Mask,
        Self::Sunglasses,
        Self::Both,
        Self::Blur(2.0),
        Self::Blur(4.0),
        Self::Blur(6.0),
        Self::UpsideDown,
        Self::Small(15.0),
    ];

    pub fn name(self) -> String {
        match self {
            Self::Clean => "clean".into(),
            Self::Mask => "mask".into(),
            Self::Sunglasses => "sunglasses".into(),
            Self::Both => "mask and sunglasses".into(),
            Self::Blur(sigma) => format!("blur, sigma {sigma}"),
            Self::UpsideDown => "upside down".into(),
            Self::Small(pixels) => format!("{pixels} pixels between the eyes"),
        }
    }

    /// The photo, made worse; `face` is where its face is.
    pub fn of(self, photo: &Photo, face: &Landmarks, seed: u64) -> Photo {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut raster = photo.raster().clone();
        match self {
            Self::Clean => {}
            Self::Mask => mask(&mut raster, &Axes::of(face), &mut rng),
            Self::Sunglasses => sunglasses(&mut raster, &Axes::of(face), &mut rng),
            Self::Both => {
                mask(&mut raster, &Axes::of(face), &mut rng);
                sunglasses(&mut raster, &Axes::of(face), &mut rng);
            }
            Self::Blur(sigma) => raster = blurred(&raster, sigma),
            Self::UpsideDown => {
                let data: Vec<u8> = raster.data().chunks_exact(3).rev().flatten().copied().collect();
                raster = Raster::from_rgb(raster.width(), raster.height(), data).unwrap();
            }
            Self::Small(pixels) => {
                let factor = pixels / face.eye_distance();
                let side = |length: u32| ((length as f32 * factor).round() as u32).max(1);
                raster = fit_within(&raster, side(raster.width()), side(raster.height()));
            }
        }
        Photo::from_raster(raster, photo.origin())
    }
}

/// A face's own axes: the middle between its eyes, to the right, and down, in distances between the eyes.
struct Axes {
    origin: [f32; 2],
    across: [f32; 2],
    down: [f32; 2],
}

impl Axes {
    fn of(face: &Landmarks) -> Self {
        let [left, right, _, mouth_left, mouth_right] = face.0;
        let middle = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let (origin, mouth) = (middle(left, right), middle(mouth_left, mouth_right));
        // The mouth is 1.04 eye distances below the eyes in a face seen from the front; seen from the side, the eyes
        // are nearer to each other.
        let down = [(mouth[0] - origin[0]) / 1.04, (mouth[1] - origin[1]) / 1.04];
        let scale = down[0].hypot(down[1]).max(face.eye_distance());
        let length = down[0].hypot(down[1]).max(1e-3);
        let down = down.map(|v| v / length * scale);
        Self { origin, across: [down[1], -down[0]], down }
    }

    fn place(&self, [u, v]: [f32; 2]) -> [f32; 2] {
        std::array::from_fn(|k| self.origin[k] + u * self.across[k] + v * self.down[k])
    }

    /// Place of a pixel on the axes.
    fn read(&self, x: f32, y: f32) -> [f32; 2] {
        let (dx, dy) = (x - self.origin[0], y - self.origin[1]);
        let square = self.down[0].powi(2) + self.down[1].powi(2);
        [(dx * self.across[0] + dy * self.across[1]) / square, (dx * self.down[0] + dy * self.down[1]) / square]
    }
}

/// Paints where `cover` says how much (0 to 1), in what colour.
fn paint(raster: &mut Raster, axes: &Axes, cover: impl Fn([f32; 2]) -> (f32, [f32; 3])) {
    let width = raster.width() as usize;
    for (i, pixel) in raster.data_mut().chunks_exact_mut(3).enumerate() {
        let (share, colour) = cover(axes.read((i % width) as f32, (i / width) as f32));
        if share > 0.0 {
            for (value, wanted) in pixel.iter_mut().zip(colour) {
                *value = (f32::from(*value) * (1.0 - share) + wanted * share).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// 1 within, 0 without, with an edge about so wide.
fn within(distance: f32, edge: f32) -> f32 {
    (0.5 - distance / edge).clamp(0.0, 1.0)
}

/// A mask from the bridge of the nose over the chin, with folds and shade, in one of the colours they are sold in.
fn mask(raster: &mut Raster, axes: &Axes, rng: &mut ChaCha8Rng) {
    let kinds: [[f32; 3]; 7] = [
        [150.0, 195.0, 220.0],
        [235.0, 238.0, 240.0],
        [25.0, 26.0, 30.0],
        [120.0, 130.0, 150.0],
        [170.0, 60.0, 70.0],
        [60.0, 80.0, 140.0],
        [200.0, 170.0, 150.0],
    ];
    let base = kinds[rng.random_range(0..kinds.len())].map(|v| v + rng.random_range(-15.0..15.0));
    let top: f32 = rng.random_range(0.28..0.48);
    let side: f32 = rng.random_range(0.95..1.15);
    let bottom: f32 = rng.random_range(1.7..2.0);
    let folds: f32 = if rng.random() { rng.random_range(4.0..12.0) } else { 0.0 };
    let (depth, light): (f32, f32) = (rng.random_range(4.0..14.0), rng.random_range(-25.0..25.0));
    paint(raster, axes, |[u, v]| {
        // The upper edge falls from the nose to the cheeks, the lower one is round.
        let upper = top + 0.28 * (u.abs() / side).powf(1.5);
        let lower = 0.75 + (bottom - 0.75) * (1.0 - (u / side).powi(2)).max(0.0).sqrt();
        let out = (upper - v).max(v - lower).max(u.abs() - side);
        let wave = if folds > 0.0 { depth * (v * folds).sin() } else { 0.0 };
        let shade = light * u - 22.0 * (u / side).powi(2) - 18.0 * (v - 1.0).abs();
        (within(out, 0.06), base.map(|c| c + wave + shade))
    });
}

/// Dark glasses of one of several sizes, with a bridge and temples.
fn sunglasses(raster: &mut Raster, axes: &Axes, rng: &mut ChaCha8Rng) {
    let wide: f32 = rng.random_range(0.36..0.46);
    let high: f32 = rng.random_range(0.26..0.38);
    let square: f32 = rng.random_range(2.0..4.0);
    let glass: [f32; 3] = std::array::from_fn(|_| rng.random_range(5.0..45.0));
    let gloss: f32 = rng.random_range(0.0..50.0);
    paint(raster, axes, |[u, v]| {
        let eye = |at: f32| {
            let (x, y) = ((u - at) / wide, (v - 0.04) / high);
            (x.abs().powf(square) + y.abs().powf(square)).powf(1.0 / square) - 1.0
        };
        let lenses = eye(-0.5).min(eye(0.5)) * high;
        let bridge = (u.abs() - 0.2).max((v + 0.08).abs() - 0.05);
        let temples = (0.5 - u.abs()).max(u.abs() - 1.25).max((v + 0.06).abs() - 0.05);
        let out = lenses.min(bridge).min(temples);
        (0.97 * within(out, 0.06), glass.map(|c| c + gloss * (0.5 - v * 1.5 - u * 0.3).clamp(0.0, 1.0)))
    });
}

/// A Gaussian blur, along rows and then along columns.
pub fn blurred(raster: &Raster, sigma: f32) -> Raster {
    let reach = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f32> = (-reach..=reach).map(|i| (-(i * i) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let total: f32 = weights.iter().sum();
    let (width, height) = (raster.width() as usize, raster.height() as usize);
    let line = width * 3;
    let values: Vec<f32> = raster.data().iter().map(|&v| f32::from(v)).collect();
    let mut across = vec![0f32; values.len()];
    for (to, from) in across.chunks_exact_mut(line).zip(values.chunks_exact(line)) {
        // The row with its ends repeated.
        let at = |x: i64| x.clamp(0, width as i64 - 1) as usize * 3;
        let wide: Vec<f32> = (-reach..width as i64 + reach).flat_map(|x| from[at(x)..at(x) + 3].to_vec()).collect();
        for (i, w) in weights.iter().enumerate() {
            to.iter_mut().zip(&wide[3 * i..]).for_each(|(sum, v)| *sum += w / total * v);
        }
    }
    let mut down = vec![0f32; values.len()];
    for (y, to) in down.chunks_exact_mut(line).enumerate() {
        for (i, w) in weights.iter().enumerate() {
            let from = (y as i64 + i as i64 - reach).clamp(0, height as i64 - 1) as usize * line;
            to.iter_mut().zip(&across[from..from + line]).for_each(|(sum, v)| *sum += w / total * v);
        }
    }
    let data = down.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect();
    Raster::from_rgb(raster.width(), raster.height(), data).unwrap()
}
