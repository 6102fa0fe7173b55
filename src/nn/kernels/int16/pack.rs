//! Weights in int16 quantisation: each output channel is rounded to a step of its own.

use crate::f32::pack::Packed;
use crate::lanes::LANES;
use crate::lanes::aligned::Aligned;

/// An input's largest value becomes this many steps.
pub(crate) const LARGEST: f32 = 8191.0;
/// An output's weights may be this many steps together, whatever their signs: times [`LARGEST`] it fits.
const TOGETHER: f64 = (i32::MAX as f64) / (LARGEST as f64 + 1.0);
/// Products of an input value from which rounding it pays.
const LEAST_USES: usize = 24;

/// Whether `conv` can be computed so, and whether that pays.
pub(crate) fn pays(packed: &Packed, run: usize, from_chip: bool) -> bool {
    let uses = packed.outputs * packed.window.0 * packed.window.1 / (packed.stride * packed.stride);
    !from_chip && run.is_multiple_of(2) && uses >= LEAST_USES
}

/// F32 whose memory `full` weights take when rounded, two in each.
pub(crate) fn length(full: usize) -> usize {
    full / 2
}

/// Rounds weights that lie as [`crate::f32::pack::PackedConv`] has them into `words`, two a word, and gives what a
/// step of each output's is worth.
pub(crate) fn round_weights(packed: &Packed, weights: &[f32], words: &mut [f32]) -> Aligned {
    let depth = packed.depth();
    let mut steps = Aligned::zeros(packed.vectors() * LANES);
    for panel in (0..packed.panels()).map(|p| packed.panel(p)) {
        let width = panel.vectors * LANES;
        let own = panel.weights(weights, depth);
        let to = &mut words[panel.first * depth / 2..][..own.len() / 2];
        let (mut largest, mut together) = (vec![0f64; width], vec![0f64; width]);
        for row in own.chunks_exact(width) {
            for ((largest, together), &w) in largest.iter_mut().zip(&mut together).zip(row) {
                *largest = largest.max(f64::from(w).abs());
                *together += f64::from(w).abs();
            }
        }
        // Rounding adds half a step a weight at most.
        let room = (TOGETHER - depth as f64 / 2.0).max(0.0);
        let per_unit = |lane: usize| match together[lane] {
            // An output of zeros has a step of zero, and one with NaN or infinite weights NaN.
            0.0 => (0.0, 0.0),
            sum if sum.is_finite() => {
                let per_unit = (f64::from(i16::MAX) / largest[lane]).min(room / sum);
                (per_unit, (1.0 / per_unit) as f32)
            }
            _ => (0.0, f32::NAN),
        };
        let (per_unit, own_steps): (Vec<f64>, Vec<f32>) = (0..width).map(per_unit).unzip();
        steps.values_mut()[panel.first..][..width].copy_from_slice(&own_steps);
        for (pairs, words) in own.chunks_exact(2 * width).zip(to.chunks_exact_mut(width)) {
            let (low, high) = pairs.split_at(width);
            for (lane, word) in words.iter_mut().enumerate() {
                let [low, high] =
                    [low[lane], high[lane]].map(|w| (f64::from(w) * per_unit[lane]).round() as i16 as u16);
                *word = f32::from_bits(u32::from(low) | u32::from(high) << 16);
            }
        }
    }
    steps
}
