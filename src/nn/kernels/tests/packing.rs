//! How weights come into programs: whatever they are stored in, and by however many threads.

use std::sync::Arc;

use half::f16;

use super::cases::{by_candle, conv, filler, hold, random, rng, tensor};
use crate::{Activation, Arithmetic, ConvWeights, PackedConv, ProgramBuilder, StoredWeights};

struct InF16(Vec<f16>);

impl StoredWeights for InF16 {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn read(&self, first: usize, to: &mut [f32]) {
        to.iter_mut().zip(&self.0[first..]).for_each(|(to, v)| *to = v.to_f32());
    }
}

/// Windows of one pixel, of nine (by Winograd's tiles where the map is large) and of a whole map; outputs that fill their
/// last vector and that do not; few weights, and so many that all threads pack them.
#[test]
fn weights_stored_in_f16_give_what_their_values_give_in_f32() {
    let mut rng = rng(91);
    for (outputs, inputs, window, length) in [
        (20, 3, (1, 1), 9),
        (48, 64, (1, 1), 9),
        (33, 32, (3, 3), 20),
        (40, 5, (3, 3), 7),
        (72, 96, (7, 7), 7),
        (300, 512, (1, 1), 4),
        (128, 128, (3, 3), 14),
    ] {
        let depth = inputs * window.0 * window.1;
        let stored: Vec<f16> =
            random(outputs * depth, &mut rng).iter().map(|w| f16::from_f32(w / (depth as f32).sqrt())).collect();
        let full: Vec<f32> = stored.iter().map(|w| w.to_f32()).collect();
        let (bias, slopes) = (random(outputs, &mut rng), random(outputs, &mut rng));
        let padding = if window == (7, 7) { (0, 0) } else { (window.0 / 2, window.1 / 2) };
        let activation = Activation::PRelu(slopes);
        let plain = ConvWeights { bias: &bias, padding, activation, ..conv(&full, outputs, inputs, window) };
        let stored = Arc::new(InF16(stored));
        let values = random(2 * length * length * inputs, &mut rng);
        let wanted = by_candle(&tensor(&values, (2, length, length, inputs)), &plain);
        for (simd, kind) in Arithmetic::available() {
            let by = |packed: PackedConv| {
                let (mut builder, input) = ProgramBuilder::new(length, length, inputs);
                let out = builder.conv_to_new(&packed, input);
                builder.finish_in(&[out.into()], simd, kind).run(2, filler(&values, length, length * inputs)).remove(0)
            };
            let half = by(PackedConv::of_stored(&plain, stored.clone(), simd));
            let plain = by(PackedConv::new(&plain, simd));
            let what = format!("{outputs} of {inputs} by {window:?}, {simd} in {}", kind.name());
            assert!(plain == half, "{what}");
            if kind == Arithmetic::F32 {
                hold(&plain, &wanted, &what);
            }
        }
    }
}
