//! Weights in int16 quantisation: each output channel is rounded to a step of its own.

use std::sync::{Mutex, PoisonError};

use crate::f32::pack::{Packed, PackedConv, interleave};
use crate::int16::tile::Int16Kernels;
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

/// Rounds weights into `words`, two a word, and gives what a step of each output's is worth.
pub(crate) fn round_weights(conv: &PackedConv, kernels: &Int16Kernels, words: &mut [f32]) -> Aligned {
    let (packed, depth) = (conv.packed(), conv.packed().depth());
    let taps = packed.window.0 * packed.window.1;
    // Pairs are neighbouring inputs of one tap; where these are odd, all of a panel are in order before they are paired.
    let even = packed.inputs.is_multiple_of(2);
    let together = if even { conv.inputs_together() } else { packed.inputs };
    // Rounding adds half a step a weight at most.
    let room = (TOGETHER - depth as f64 / 2.0).max(0.0);
    let steps = Mutex::new(Aligned::zeros(packed.vectors() * LANES));
    conv.each_panel(depth / 2, words, |panel, words| {
        let width = panel.vectors * LANES;
        let outputs = width.min(packed.outputs - panel.first);
        let mut sizes = vec![(0f32, 0f64); width];
        conv.parts(panel, together, |_, part| {
            for (row, (largest, sum)) in part.chunks_exact(part.len() / outputs).zip(&mut sizes) {
                // SAFETY: the kernels were chosen for this processor.
                let own = unsafe { (kernels.sizes)(row) };
                (*largest, *sum) = (largest.max(own.0), *sum + own.1);
            }
        });
        let per_unit = |&(largest, sum): &(f32, f64)| match sum {
            // An output of zeros has a step of zero, and one with NaN or infinite weights NaN.
            0.0 => (0.0, 0.0),
            sum if sum.is_finite() => {
                let per_unit = (f64::from(i16::MAX) / f64::from(largest)).min(room / sum);
                (per_unit, (1.0 / per_unit) as f32)
            }
            _ => (0.0, f32::NAN),
        };
        let (per_unit, own_steps): (Vec<f64>, Vec<f32>) = sizes.iter().map(per_unit).unzip();
        let mut ordered = vec![0f32; together.min(packed.inputs) * taps * width];
        conv.parts(panel, together, |first, part| {
            let own = part.len() / outputs / taps;
            let ordered = &mut ordered[..own * taps * width];
            for (tap, to) in ordered.chunks_exact_mut(own * width).enumerate() {
                interleave(part, tap, taps, to, width);
            }
            let (from, count) = if even { (own * width, taps) } else { (ordered.len(), 1) };
            for (tap, from) in ordered.chunks_exact(from).enumerate().take(count) {
                let to = &mut words[(tap * packed.inputs + first) * width / 2..][..from.len() / 2];
                // SAFETY: as above.
                unsafe { (kernels.pairs)(from, &per_unit, to) };
            }
        });
        let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.values_mut()[panel.first..][..width].copy_from_slice(&own_steps);
    });
    steps.into_inner().unwrap_or_else(PoisonError::into_inner)
}
