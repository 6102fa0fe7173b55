//! How weights come into programs: whatever they are stored in, and by however many threads.

use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use half::f16;

use super::cases::{by_candle, conv, filler, hold, random, rng, tensor};
use crate::simd::Simd;
use crate::{
    Activation, Arithmetic, ConvWeights, DepthwiseConv, PackedConv, ProgramBuilder, StoredWeights, on_this_thread,
};

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

/// Asked for row by row, the input shows which threads a run is worked at by.
#[test]
fn what_runs_on_this_thread_is_helped_by_no_other() {
    let mut rng = rng(92);
    let simd = Simd::available()[0];
    let (widen, each) = (random(32 * 3, &mut rng), random(32 * 9, &mut rng));
    let (mut builder, input) = ProgramBuilder::new(96, 96, 3);
    let wide = builder.conv_to_new(&PackedConv::new(&conv(&widen, 32, 3, (1, 1)), simd), input);
    builder.step();
    let out = builder.depthwise_to_new(&DepthwiseConv::new(&conv(&each, 32, 1, (3, 3)), simd), wide);
    let program = builder.finish(&[out.into()], simd);
    assert!(program.takes_rows() && program.fused(1, 4) == [4]);
    let threads = || {
        let seen = Mutex::new(HashSet::new());
        program.run_rows(1, |_, _, row| {
            seen.lock().unwrap().insert(std::thread::current().id());
            // Time for others to come.
            std::thread::sleep(Duration::from_millis(1));
            row.fill(1.0);
        });
        seen.into_inner().unwrap()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    pool.install(|| {
        let own = std::thread::current().id();
        assert_eq!(on_this_thread(threads), HashSet::from([own]));
        // Whatever becomes of it, others help again afterwards.
        let panicked = catch_unwind(|| on_this_thread(|| panic!("asked to")));
        assert!(panicked.is_err() && threads().len() > 1);
    });
}
