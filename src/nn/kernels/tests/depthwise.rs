//! Depthwise convolutions and the sums of a feature pyramid, against candle's.

use rand::Rng;

use super::cases::{activations, by_candle, conv, filler, hold, random, rng, tensor};
use crate::simd::Simd;
use crate::{ConvWeights, DepthwiseConv, PackedConv, ProgramBuilder};

/// A 1x1 convolution, then a depthwise one; beside it the same map half as large, added back.
#[test]
fn every_path_gives_candles_convolutions_and_sums() {
    let mut rng = rng(31);
    for case in 0..30 {
        let (n, channels, inputs) = (rng.random_range(1..3), rng.random_range(1..70), rng.random_range(1..5));
        let window = [(3, 3), (7, 7), (1, 5), (2, 2)][case % 4];
        let (stride, padded) = (rng.random_range(1..3), rng.random_range(0..2));
        let padding = (padded * (window.0 / 2), padded * (window.1 / 2));
        let (rows, columns) = (2 * rng.random_range(4..9), 2 * rng.random_range(4..25));
        let slopes = random(channels, &mut rng);
        let activation = activations(&slopes)[case % 7 % 4].clone();
        let (mix, weight) = (random(channels * inputs, &mut rng), random(channels * window.0 * window.1, &mut rng));
        // So large that six is passed.
        let weight: Vec<f32> = weight.iter().map(|w| 3.0 * w).collect();
        let bias = random(channels, &mut rng);
        let values = random(n * rows * columns * inputs, &mut rng);
        let mixing = conv(&mix, channels, inputs, (1, 1));
        let each = ConvWeights { bias: &bias, stride, padding, activation, ..conv(&weight, channels, 1, window) };

        let mixed = by_candle(&tensor(&values, (n, rows, columns, inputs)), &mixing);
        let wanted_alone = by_candle(&mixed, &each);
        let coarse = mixed.max_pool2d(2).unwrap();
        let wanted_sum = (&mixed + coarse.upsample_nearest2d(rows, columns).unwrap()).unwrap();

        for simd in Simd::available() {
            let (mut builder, input) = ProgramBuilder::new(rows, columns, inputs);
            let mixed = builder.conv_to_new(&PackedConv::new(&mixing, simd), input);
            let coarse = builder.map(rows / 2, columns / 2, channels);
            builder.step();
            let alone = builder.depthwise_to_new(&DepthwiseConv::new(&each, simd), mixed);
            builder.max_pool(mixed, coarse, 2, 2).step().add_coarser(coarse, mixed, 2);
            let program = builder.finish(&[alone.into(), mixed.into()], simd);
            for _ in 0..2 {
                let answers = program.run(n, filler(&values, rows, columns * inputs));
                let what = format!("case {case} by {simd}: {n} of {rows}x{columns}x{channels}, {window:?} at {stride}");
                hold(&answers[0], &wanted_alone, &what);
                hold(&answers[1], &wanted_sum, &what);
            }
        }
    }
}

#[test]
fn nan_stays_nan() {
    for simd in Simd::available() {
        for activation in activations(&[0.5; 2]) {
            let copy = conv(&[1.0, 0.0, 0.0, 1.0], 2, 2, (1, 1));
            let bias = &[f32::NAN, 0.0];
            let each = ConvWeights { bias, activation: activation.clone(), ..conv(&[1.0, 1.0], 2, 1, (1, 1)) };
            let (mut builder, input) = ProgramBuilder::new(2, 5, 2);
            let copied = builder.conv_to_new(&PackedConv::new(&copy, simd), input);
            builder.step();
            let alone = builder.depthwise_to_new(&DepthwiseConv::new(&each, simd), copied);
            let answers = builder.finish(&[alone.into()], simd).run(1, |_, out| {
                (0..2).for_each(|y| out.row(y).fill(1.0));
            });
            for pixel in answers[0].chunks(2) {
                assert!(pixel[0].is_nan() && pixel[1] == 1.0, "{simd} {activation:?}: {pixel:?}");
            }
        }
    }
}
