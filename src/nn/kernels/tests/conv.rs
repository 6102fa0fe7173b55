//! Convolutions, pools and runs of whole programs in f32, against candle's.

use rand::Rng;
use rayon::prelude::*;

use super::cases::{by_candle, conv, filler, hold, random, rng, tensor};
use crate::simd::Simd;
use crate::{Activation, ConvWeights, PackedConv, Program, ProgramBuilder};

/// Two convolutions side by side over one input, then one over both of them that is added to a third.
#[test]
fn every_path_gives_candles_convolutions() {
    let mut rng = rng(21);
    for case in 0..60 {
        let mut window = (rng.random_range(1..4), rng.random_range(1..8));
        let (mut stride, n) = (rng.random_range(1..3), rng.random_range(1..4));
        let mut padding = (rng.random_range(0..=window.0 / 2), rng.random_range(0..=window.1 / 2));
        let (mut rows, mut columns) = (rng.random_range(window.0..14), rng.random_range(window.1..30));
        let (mut inputs, left, right) =
            (rng.random_range(1..40usize), 16 * rng.random_range(1..4), rng.random_range(1..50));
        // Every other case is one that is computed by Winograd's tiles.
        if case % 2 == 1 {
            (window, stride, padding) = ((3, 3), 1, (case / 2 % 2, case / 4 % 2));
            // Half of them so small that only narrow vectors do so.
            let more = if case % 4 == 1 { 13 } else { 9 };
            (rows, columns, inputs) = (rows + more, columns + more, 16 * inputs.div_ceil(16));
        }
        // Some so wide that tiles lie side by side in long lines.
        if case % 10 == 4 {
            (rows, columns) = (rows + 10, columns + 50);
        }
        let mut drawn = |inputs: usize, outputs: usize, window: (usize, usize)| {
            let depth = inputs * window.0 * window.1;
            let weight = random(outputs * depth, &mut rng);
            let weight: Vec<f32> = weight.iter().map(|w| w / (depth as f32).sqrt()).collect();
            (weight, random(outputs, &mut rng), random(outputs, &mut rng))
        };
        let a = drawn(inputs, left, window);
        let b = drawn(inputs, right, window);
        let joined = drawn(left + right, left, (1, 1));
        let values = random(n * rows * columns * inputs, &mut rng);
        let activation = Activation::PRelu(a.2.clone());
        let a = ConvWeights { bias: &a.1, stride, padding, activation, ..conv(&a.0, left, inputs, window) };
        let activation = Activation::Relu;
        let b = ConvWeights { bias: &b.1, stride, padding, activation, ..conv(&b.0, right, inputs, window) };
        let joined = ConvWeights { bias: &joined.1, ..conv(&joined.0, left, left + right, (1, 1)) };

        let x = tensor(&values, (n, rows, columns, inputs));
        let (ya, yb) = (by_candle(&x, &a), by_candle(&x, &b));
        let sum = (by_candle(&candle_core::Tensor::cat(&[&ya, &yb], 1).unwrap(), &joined) + &ya).unwrap();

        for simd in Simd::available() {
            let [a, b, joined] = [&a, &b, &joined].map(|conv| PackedConv::new(conv, simd));
            let tiles = case % 4 == 1 || (case % 4 == 3 && a.packed().kernels.wide() == 1);
            assert!(!tiles || a.by_winograd(rows - 2, columns - 2), "{case} is not computed by tiles");
            let (mut builder, input) = ProgramBuilder::new(rows, columns, inputs);
            let (out_rows, out_columns) = a.result_size(input);
            let both = builder.map(out_rows, out_columns, left + right);
            let third = builder.map(out_rows, out_columns, left);
            builder.step().conv(&a, input, both.channels(0, left), None);
            builder.conv(&b, input, both.channels(left, right), None).conv(&a, input, third, None);
            builder.step().conv(&joined, both, third, Some(third.into()));
            let program = builder.finish(&[both.channels(0, left), both.channels(left, right), third.into()], simd);
            let what = format!("case {case} by {simd}, {n} of {rows}x{columns}x{inputs}, {window:?} at {stride}");
            // Twice, once with fewer images (a workspace that was used holds nothing that matters), and in groups.
            for (n_now, group) in [(n, None), (n, None), (1, None), (n, Some(1)), (n, Some(2))] {
                let fill = filler(&values, rows, columns * inputs);
                let answers = match group {
                    Some(group) => program.run_in_groups(n_now, group, fill),
                    None => program.run(n_now, fill),
                };
                for (got, wanted) in answers.iter().zip([&ya, &yb, &sum]) {
                    hold(got, &wanted.narrow(0, 0, n_now).unwrap(), &what);
                }
            }
        }
    }
}

#[test]
fn pools_count_what_is_inside_and_fill_with_zeros() {
    let mut rng = rng(22);
    for (length, channels) in [(7, 20), (8, 64), (9, 16), (5, 1)] {
        let identity: Vec<f32> =
            (0..channels * channels).map(|i| f32::from(u8::from(i % (channels + 1) == 0))).collect();
        let values = random(2 * length * length * channels, &mut rng);
        let x = tensor(&values, (2, length, length, channels));
        for simd in Simd::available() {
            let (mut builder, input) = ProgramBuilder::new(length, length, channels);
            let identity = PackedConv::new(&conv(&identity, channels, channels, (1, 1)), simd);
            let copy = builder.conv_to_new(&identity, input);
            let greatest = builder.map(length.div_ceil(2), length.div_ceil(2), channels);
            let mean = builder.map(length / 2, length / 2, channels + 30);
            builder.step().max_pool(copy, greatest, 2, 2).mean(copy, mean, (2, 2), 2);
            let program = builder.finish(&[greatest.into(), mean.into()], simd);
            let answers = program.run(2, filler(&values, length, length * channels));
            // The last line again, where windows reach beyond it.
            let odd = length % 2;
            let whole = x.pad_with_same(2, 0, odd).unwrap().pad_with_same(3, 0, odd).unwrap();
            hold(&answers[0], &whole.max_pool2d(2).unwrap(), &format!("greatest of {length} by {simd}"));
            let wanted = x.avg_pool2d(2).unwrap().pad_with_zeros(1, 0, 30).unwrap();
            hold(&answers[1], &wanted, &format!("mean of {length} by {simd}"));
        }
    }
}

#[test]
#[should_panic(expected = "two operators of one step meet")]
fn operators_of_a_step_that_write_the_same_channels_are_refused() {
    let (mut builder, input) = ProgramBuilder::new(4, 4, 3);
    let conv = PackedConv::new(&conv(&[1.0; 48], 16, 3, (1, 1)), Simd::Scalar);
    let map = builder.map(4, 4, 16);
    builder.step().conv(&conv, input, map, None).conv(&conv, input, map, None);
}

#[test]
fn many_threads_share_one_program() {
    let mut rng = rng(23);
    let weight = random(32 * 16 * 9, &mut rng);
    let conv = ConvWeights { activation: Activation::Relu, ..conv(&weight, 32, 16, (3, 3)) };
    let simd = Simd::available()[0];
    let (mut builder, input) = ProgramBuilder::new(40, 40, 16);
    let out = builder.conv_to_new(&PackedConv::new(&conv, simd), input);
    let program = builder.finish(&[out.into()], simd);
    let inputs: Vec<Vec<f32>> = (0..8).map(|_| random(40 * 40 * 16, &mut rng)).collect();
    let filled = |program: &Program, values: &[f32]| program.run(1, filler(values, 40, 40 * 16)).remove(0);
    let wanted: Vec<Vec<f32>> = inputs.iter().map(|v| filled(&program, v)).collect();
    // From threads inside the pool and from outside, all at once.
    std::thread::scope(|scope| {
        for (values, wanted) in inputs.iter().zip(&wanted) {
            let (program, filled) = (&program, &filled);
            scope.spawn(move || {
                (0..4).into_par_iter().for_each(|_| assert_eq!(&filled(program, values), wanted));
            });
        }
    });
}
