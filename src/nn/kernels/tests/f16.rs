//! Programs over maps of f16 values: the same in every instruction set, and near f32.

use rand::Rng;

use super::cases::{Case, conv, exact, rng};
use crate::simd::Simd;
use crate::{Activation, Arithmetic, ConvWeights, DepthwiseConv, PackedConv, ProgramBuilder};

fn paths() -> Vec<Simd> {
    Simd::available().into_iter().filter(|&simd| Arithmetic::F16.runs_by(simd)).collect()
}

#[test]
fn a_prelu_behind_a_depthwise_convolution_is_that_of_f32_where_nothing_is_rounded() {
    let mut rng = rng(82);
    let (rows, columns, channels) = (9, 11, 37);
    let (stem, each) = (exact(3 * channels, 8, 8.0, &mut rng), exact(9 * channels, 1, 1.0, &mut rng));
    let (bias, slope) = (exact(channels, 8, 8.0, &mut rng), exact(channels, 4, 4.0, &mut rng));
    let values = exact(rows * columns * 3, 1, 1.0, &mut rng);
    let run = |simd, arithmetic| {
        let stem = PackedConv::new(&conv(&stem, channels, 3, (1, 1)), simd);
        let activation = Activation::PRelu(slope.clone());
        let each = ConvWeights { bias: &bias, activation, ..conv(&each, channels, 1, (3, 3)) };
        let (mut builder, input) = ProgramBuilder::new(rows, columns, 3);
        let x = builder.conv_to_new(&stem, input);
        builder.step();
        let alone = builder.depthwise_to_new(&DepthwiseConv::new(&each, simd), x);
        let program = builder.finish_in(&[alone.into()], simd, arithmetic);
        program.run_rows(1, |_, y, out| out.copy_from_slice(&values[y * columns * 3..][..columns * 3])).remove(0)
    };
    let wanted = run(Simd::Scalar, Arithmetic::F32);
    assert!(wanted.iter().any(|v| *v < -1.0) && wanted.iter().any(|v| *v > 1.0));
    for simd in std::iter::once(Simd::Scalar).chain(paths()) {
        assert_eq!(run(simd, Arithmetic::F16), wanted, "{simd}");
    }
}

#[test]
fn every_path_sums_alike_and_stays_near_f32() {
    let mut rng = rng(81);
    for number in 0..60 {
        let case = Case::drawn(number, &mut rng);
        let n = rng.random_range(1..4);
        let values = exact(case.length(n), 64, 64.0, &mut rng);
        let full = case.run(&case.program(Simd::Scalar, Arithmetic::F32), &values, n);
        let twin = case.run(&case.program(Simd::Scalar, Arithmetic::F16), &values, n);
        assert!(full.len() == 6 && full.iter().zip(&twin).all(|(a, b)| a.len() == b.len()));
        assert!(full[1] == twin[1], "case {number}: f16 holds the input's sums");
        for (what, (full, twin)) in full.iter().zip(&twin).enumerate() {
            // Of hundreds of sums, each rounded by a 2,048th at most; roundings of either sign make up for each other.
            let largest = full.iter().fold(1.0f32, |most, v| most.max(v.abs()));
            for (f, t) in full.iter().zip(twin) {
                assert!((f - t).abs() < 0.01 * largest, "case {number}, output {what}: {t} for {f}");
            }
        }
        assert!(full[2] != twin[2], "case {number}: nothing was rounded");
        for simd in paths() {
            let program = case.program(simd, Arithmetic::F16);
            let row = 3 * case.size.1;
            let by_rows = program.run_rows(n, |image, y, out| {
                out.copy_from_slice(&values[(image * case.size.0 + y) * row..][..row]);
            });
            assert!(by_rows == twin[1..], "case {number} by {simd}, its input row by row");
            for _ in 0..2 {
                let got = case.run(&program, &values, n);
                for (what, (got, twin)) in got.iter().zip(&twin).enumerate() {
                    assert!(got == twin, "case {number}, output {what} by {simd}");
                }
            }
        }
    }
}

#[test]
fn nan_stays_nan_and_what_is_too_large_becomes_infinite() {
    let ones = vec![1.0; 32 * 32];
    for simd in paths() {
        let relu = |inputs| {
            let weights = conv(&ones[..32 * inputs], 32, inputs, (1, 1));
            PackedConv::new(&ConvWeights { activation: Activation::Relu, ..weights }, simd)
        };
        let (mut builder, input) = ProgramBuilder::new(1, 4, 1);
        let wide = builder.conv_to_new(&relu(1), input);
        builder.step();
        let result = builder.conv_to_new(&relu(32), wide);
        let program = builder.finish_in(&[result.into()], simd, Arithmetic::F16);
        // The greatest f16 is 65,504, and the sum of 32 of them is infinite.
        let values = [f32::NAN, 1.0, f32::from_bits(0x7f80_0001), 65_504.0];
        let answer = program.run(1, |_, out| out.row(0).copy_from_slice(&values)).remove(0);
        for (pixel, value) in answer.chunks(32).zip(values) {
            assert!(pixel.iter().all(|v| v.is_nan() == value.is_nan()), "{simd}: {value} became {pixel:?}");
            let finite = value < 2.0 || value.is_nan();
            assert!(finite || pixel.iter().all(|v| *v == f32::INFINITY), "{simd}: {pixel:?}");
        }
    }
}
