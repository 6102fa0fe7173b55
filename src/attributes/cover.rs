//! Is the mouth or are the eyes of a face covered, and does it stand on its head? A small network on a small chip.
//!
//! An embedder gives any face a vector, a masked one too; but vectors of masked faces lie nearer to each other than
//! those of faces, so that impostor pairs of them pass at many times the rate that the calibration measured.
//!
//! The chip of 48x48 pixels is cut by the five landmarks from the brows to the chin. Its 12x12 cells of 4x4 pixels are
//! described by four values each: mean luma, the mean differences of blue and of red to the luma, and the mean step
//! between neighbouring pixels. Luma and steps are scaled by the luma's deviation over the chip, so that light and
//! contrast do not count. One layer of [`HIDDEN`] units with ReLU and three logistic outputs follow.
//!
//! Trained by `tests/golden/cover.py` on faces of people of Labeled Faces in the Wild outside of its ten folds, as they
//! are and with masks, glasses and half turns painted in by `tests/common/distort.rs`; bounds were chosen on people of
//! folds 1 to 3 and are reported for those of folds 4 and 5 (`tests/conditions.rs`). The masks and glasses are drawn,
//! not photographed. The shipped weights saw 700 people; of their chips of turned photos those were left out that a first
//! network, trained on 80 people of folds 1 to 3, took for upright (the photo had been turned back to find them).

use std::sync::LazyLock;

use crate::geometry::{Landmarks, Similarity};
use crate::media::{Raster, warp};

/// Side of the chip in pixels.
const SIDE: usize = 48;
/// Side of a cell in pixels, and cells along the chip.
const CELL: usize = 4;
const CELLS: usize = SIDE / CELL;
/// Values that describe the chip.
const FEATURES: usize = 4 * CELLS * CELLS;
/// Units of the hidden layer.
const HIDDEN: usize = 32;
/// Mouth, eyes, inverted.
const OUTPUTS: usize = 3;

/// Where the landmarks belong on the chip: dlib's 150x150 chip reduced.
const POINTS: [[f64; 2]; 5] = [[14.64, 14.16], [32.08, 14.48], [23.15, 25.01], [15.34, 32.46], [31.4, 32.59]];

/// Least deviation of the luma (0 to 1) by which a chip is scaled: an even one has no contrast to be made of.
const LEAST_DEVIATION: f32 = 0.02;

/// How likely a face is covered or upside down, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cover {
    /// The mouth and the nose are hidden.
    pub mouth: f32,
    /// The eyes are hidden.
    pub eyes: f32,
    /// The face is upside down on its chip.
    pub inverted: f32,
}

/// `[HIDDEN, FEATURES]` weights and `[HIDDEN]` biases, `[OUTPUTS, HIDDEN]` and `[OUTPUTS]`: f32, little-endian.
static WEIGHTS: LazyLock<Vec<f32>> = LazyLock::new(|| {
    include_bytes!("cover.f32").as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
});

impl Cover {
    /// Looks at the face with those landmarks. Landmarks that enclose nothing tell nothing.
    pub fn of(photo: &Raster, landmarks: &Landmarks) -> Self {
        let Some(to_chip) = Similarity::fit(&landmarks.to_f64(), &POINTS) else { return Self::default() };
        let chip = warp(photo, to_chip.inverse().rows(), SIDE as u32, SIDE as u32);
        let [mouth, eyes, inverted] = outputs(&features(&chip));
        Self { mouth, eyes, inverted }
    }
}

/// What the network is shown of a chip.
fn features(chip: &Raster) -> Vec<f32> {
    let pixel = |x: usize, y: usize| chip.pixel(x as u32, y as u32).map(|v| f32::from(v) / 255.0);
    let luma = |x: usize, y: usize| {
        let [r, g, b] = pixel(x, y);
        0.299 * r + 0.587 * g + 0.114 * b
    };
    let all: Vec<f32> = (0..SIDE * SIDE).map(|i| luma(i % SIDE, i / SIDE)).collect();
    let mean = all.iter().sum::<f32>() / all.len() as f32;
    let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / all.len() as f32;
    let scale = 1.0 / variance.sqrt().max(LEAST_DEVIATION);
    let mut out = Vec::with_capacity(FEATURES);
    for (cy, cx) in (0..CELLS).flat_map(|cy| (0..CELLS).map(move |cx| (cy, cx))) {
        let (mut light, mut blue, mut red, mut steps) = (0.0, 0.0, 0.0, 0.0);
        for (y, x) in (0..CELL).flat_map(|dy| (0..CELL).map(move |dx| (cy * CELL + dy, cx * CELL + dx))) {
            let here = all[y * SIDE + x];
            let [r, _, b] = pixel(x, y);
            light += here;
            blue += b - here;
            red += r - here;
            // The last column and row have no neighbour beyond them.
            let (right, below) = ((x + 1).min(SIDE - 1), (y + 1).min(SIDE - 1));
            steps += (all[y * SIDE + right] - here).abs() + (all[below * SIDE + x] - here).abs();
        }
        let count = (CELL * CELL) as f32;
        out.extend([
            (light / count - mean) * scale,
            4.0 * blue / count,
            4.0 * red / count,
            4.0 * steps / count * scale,
        ]);
    }
    out
}

fn outputs(features: &[f32]) -> [f32; OUTPUTS] {
    let dot = |weights: &[f32], values: &[f32]| weights.iter().zip(values).map(|(w, v)| w * v).sum::<f32>();
    let (first, rest) = WEIGHTS.split_at(HIDDEN * FEATURES);
    let (first_bias, rest) = rest.split_at(HIDDEN);
    let (second, second_bias) = rest.split_at(OUTPUTS * HIDDEN);
    let unit = |k: usize| (dot(&first[k * FEATURES..][..FEATURES], features) + first_bias[k]).max(0.0);
    let hidden: [f32; HIDDEN] = std::array::from_fn(unit);
    std::array::from_fn(|k| {
        let logit = dot(&second[k * HIDDEN..][..HIDDEN], &hidden) + second_bias[k];
        1.0 / (1.0 + (-logit).exp())
    })
}
