//! Convolutions in int16 quantisation: the same in every instruction set, near f32, and NaN stays NaN.

use rand::Rng;

use super::cases::{Case, conv, random, rng};
use crate::simd::Simd;
use crate::{Arithmetic, PackedConv, ProgramBuilder};

#[test]
fn every_path_rounds_alike_and_stays_near_f32() {
    let mut rng = rng(77);
    let mut own = 0;
    for number in 0..40 {
        let (case, n) = (Case::drawn(number, &mut rng), rng.random_range(1..4));
        let mut values = random(case.length(n), &mut rng);
        // Images of one batch differ in size, and one of them may be nothing at all.
        let scale = if number % 7 == 0 { 0.0 } else { 0.01 };
        values[..case.length(1)].iter_mut().for_each(|v| *v *= scale);
        let full = case.run(&case.program(Simd::Scalar, Arithmetic::F32), &values, n);
        let twin = case.program(Simd::Scalar, Arithmetic::Int16);
        // The last two are where their inputs are pairs, the case's own two where they are not by Winograd, too.
        let last = if case.outputs.is_multiple_of(2) { 2 } else { 0 };
        assert!([last, last + 2].contains(&twin.quantised()), "case {number}: {} of {last}", twin.quantised());
        own += (twin.quantised() - last) / 2;
        let twin = case.run(&twin, &values, n);
        for at in [0, 5] {
            let each = full[at].len() / n;
            for (f, t) in full[at].chunks(each).zip(twin[at].chunks(each)) {
                let size = f.iter().map(|v| v * v).sum::<f32>().sqrt();
                let gap = f.iter().zip(t).map(|(f, t)| (f - t) * (f - t)).sum::<f32>().sqrt();
                assert!(gap <= 2e-3 * size + 1e-6, "case {number}, output {at}: {gap} of {size}");
            }
        }
        for (simd, kind) in Arithmetic::available().into_iter().filter(|(_, k)| *k == Arithmetic::Int16) {
            for (got, wanted) in case.run(&case.program(simd, kind), &values, n).iter().zip(&twin) {
                assert_eq!(got.len(), wanted.len());
                // Sums are equal; their last addition may be fused. What is rounded from those may take another step
                // here and there.
                let size = wanted.iter().fold(0f32, |m, w| m.max(w.abs()));
                for (g, w) in got.iter().zip(wanted) {
                    assert!((g - w).abs() <= 1e-3 * size + 1e-6, "case {number} by {simd}: {g} for {w}");
                }
            }
        }
    }
    assert!(own >= 20, "only {own} of the cases' own convolutions were quantised");
}

#[test]
fn nan_and_infinity_become_nan() {
    let mut rng = rng(78);
    for activation in 0..4 {
        let mut case = Case::drawn(0, &mut rng);
        case.activation = activation;
        let mut values = random(case.length(2), &mut rng);
        for none in [f32::INFINITY, f32::NAN] {
            values[0] = none;
            for (simd, kind) in Arithmetic::available() {
                let program = case.program(simd, kind);
                assert_eq!(program.quantised() > 0, kind == Arithmetic::Int16);
                let answers = case.run(&program, &values, 2).remove(0);
                let (first, second) = answers.split_at(answers.len() / 2);
                assert!(first.iter().any(|v| v.is_nan()), "{simd} {kind:?} {activation}");
                assert!(second.iter().all(|v| v.is_finite()), "{simd} {kind:?} {activation}");
            }
        }
    }
}

#[test]
fn weights_that_are_nan_are_seen() {
    let mut rng = rng(79);
    for activation in 0..4 {
        let mut case = Case::drawn(0, &mut rng);
        case.activation = activation;
        case.weight[0] = f32::NAN;
        let values = random(case.length(1), &mut rng);
        for (simd, kind) in Arithmetic::available() {
            let answers = case.run(&case.program(simd, kind), &values, 1).remove(0);
            assert!(answers[0].is_nan() && answers[1].is_finite(), "{simd} {kind:?} {activation}");
        }
    }
}

#[test]
fn the_largest_sums_fit() {
    // All of one sign, as large as they come: the worst that weights and inputs can do.
    for simd in Simd::available().into_iter().filter(|s| Arithmetic::Int16.runs_by(*s)) {
        let (inputs, outputs) = (4096, 32);
        let (ones, weight) = (vec![1.0; inputs], vec![0.5; inputs * outputs]);
        let (mut builder, input) = ProgramBuilder::new(1, 1, 1);
        let wide = builder.conv_to_new(&PackedConv::new(&conv(&ones, inputs, 1, (1, 1)), simd), input);
        builder.step();
        let sums = builder.conv_to_new(&PackedConv::new(&conv(&weight, outputs, inputs, (1, 1)), simd), wide);
        let program = builder.finish_in(&[sums.into()], simd, Arithmetic::Int16);
        let sums = program.run(1, |_, out| out.row(0)[0] = -3.0).remove(0);
        let wanted = -3.0 * 0.5 * inputs as f32;
        assert!(sums.iter().all(|s| (s - wanted).abs() < 2e-2 * wanted.abs()), "{simd}: {sums:?}");
    }
}
