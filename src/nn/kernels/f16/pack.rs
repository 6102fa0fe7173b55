//! What networks over maps of halves are made of: weights, packed once for each program.
//!
//! The input stays f32, and so do the sums over it, which are large beside their result (light and dark side by side
//! cancel out): in halves YuNet's boxes moved three times as far. Their results are rounded row by row.

use std::sync::Arc;

use half::f16;

use super::depthwise::{self, DepthwiseConv};
use super::half_tile::HalfKernels;
use super::lanes::{LANES, Number};
use super::lines::Lines;
use super::ops::Arithmetic;
use super::pack::Packed;
use crate::Simd;

/// How networks are computed in halves.
#[derive(Clone, Copy)]
pub(super) struct Halves {
    pub kernels: &'static HalfKernels,
}

/// The runs of a window as pairs: how many runs there are, and how long each is.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    pub count: usize,
    pub length: usize,
}

impl Runs {
    /// Halves of an output's weights: runs of odd length are filled up with a zero.
    pub(super) fn depth(self) -> usize {
        self.count * self.length.next_multiple_of(2)
    }
}

impl Halves {
    /// None where the arithmetic is another, or there are no instructions for it.
    pub(super) fn of(arithmetic: Arithmetic, simd: Simd) -> Option<Self> {
        let kernels = if arithmetic == Arithmetic::Half { HalfKernels::of(simd) } else { None };
        kernels.map(|kernels| Self { kernels })
    }

    /// F32 whose memory all weights take.
    pub(super) fn weights(packed: &Packed, runs: Runs) -> usize {
        packed.vectors() * LANES * runs.depth() / f16::IN_ONE
    }

    /// Rounds weights that stand as [`super::pack::PackedConv`] has them.
    pub(super) fn pack(packed: &Packed, runs: Runs, weights: &[f32], memory: &mut [f32]) {
        let (depth, to) = (runs.depth(), f16::of_mut(memory));
        for panel in (0..packed.panels()).map(|at| packed.panel(at)) {
            let width = panel.vectors * LANES;
            let own = panel.weights(weights, packed.depth());
            let to = &mut to[panel.first * depth..][..width * depth];
            for (run, to) in own.chunks(runs.length * width).zip(to.chunks_mut(depth / runs.count * width)) {
                for (two, to) in run.chunks(2 * width).zip(to.chunks_mut(2 * width)) {
                    let (even, odd) = two.split_at(width);
                    for (lane, pair) in to.chunks_mut(2).enumerate() {
                        pair[0] = f16::from_f32(even[lane]);
                        pair[1] = odd.get(lane).map_or(f16::ZERO, |&w| f16::from_f32(w));
                    }
                }
            }
        }
    }

    /// The same convolution of each channel alone, of halves.
    pub(super) fn depthwise(self, conv: &DepthwiseConv) -> Arc<depthwise::Packed<f16>> {
        let packed = conv.packed();
        let rounded = |lines: &Lines| {
            let mut halves = Lines::zeros(lines.numbers().len().div_ceil(f16::IN_ONE));
            let to = f16::of_mut(halves.numbers_mut());
            to.iter_mut().zip(lines.numbers()).for_each(|(to, &v)| *to = f16::from_f32(v));
            halves
        };
        Arc::new(depthwise::Packed {
            channels: packed.channels,
            window: packed.window,
            stride: packed.stride,
            padding: packed.padding,
            weights: rounded(&packed.weights),
            bias: rounded(&packed.bias),
            slopes: packed.slopes.as_ref().map(rounded),
            least: f16::from_f32(packed.least),
            greatest: f16::from_f32(packed.greatest),
            kernel: self.kernels.depthwise,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use crate::Simd;
    use crate::{Activation, Arithmetic, ConvWeights, DepthwiseConv, PackedConv, Program, ProgramBuilder};

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()
    }

    fn paths() -> Vec<Simd> {
        Simd::available().into_iter().filter(|&simd| Arithmetic::Half.runs_by(simd)).collect()
    }

    /// A small network with one of everything: what it is made of.
    struct Case {
        size: (usize, usize),
        channels: usize,
        outputs: usize,
        window: (usize, usize),
        stride: usize,
        stem: Vec<f32>,
        weight: Vec<f32>,
        each: Vec<f32>,
        bias: Vec<f32>,
        slope: Vec<f32>,
        activation: usize,
    }

    impl Case {
        fn drawn(number: usize, rng: &mut ChaCha8Rng) -> Self {
            let window = [(1, 1), (3, 3), (1, 7), (7, 1), (2, 3)][number % 5];
            // Odd numbers of channels, too.
            let (channels, outputs) = (rng.random_range(1..70usize), rng.random_range(1..90usize));
            let depth = channels * window.0 * window.1;
            let scale = 1.0 / (depth as f32).sqrt();
            Self {
                // Every few so wide that tiles stand side by side in lines.
                size: (rng.random_range(8..14), rng.random_range(8..24) + if number % 7 == 3 { 50 } else { 0 }),
                channels,
                outputs,
                window,
                stride: rng.random_range(1..3),
                // Sums over the input are exact, so that every path rounds the same numbers.
                stem: (0..3 * channels).map(|_| f32::from(rng.random_range(-8i8..8)) / 8.0).collect(),
                weight: random(outputs * depth, rng).iter().map(|w| w * scale).collect(),
                each: random(9 * outputs, rng),
                bias: random(channels.max(outputs), rng),
                slope: random(outputs, rng),
                activation: number % 4,
            }
        }

        fn program(&self, simd: Simd, arithmetic: Arithmetic) -> Program {
            let weights = |weight, inputs, outputs, window: (usize, usize), stride, bias, activation| {
                let padding = (window.0 / 2, window.1 / 2);
                ConvWeights { weight, outputs, inputs, window, bias, stride, padding, activation }
            };
            let (channels, outputs) = (self.channels, self.outputs);
            let activations =
                [Activation::None, Activation::Relu, Activation::Relu6, Activation::PRelu(self.slope.clone())];
            let after = activations[self.activation].clone();
            // Behind a PReLU sums are as large as before it, which its results do not tell.
            let bounded = activations[self.activation.min(2)].clone();
            let stem = weights(&self.stem[..], 3, channels, (1, 1), 1, &[][..], Activation::None);
            let own = weights(&self.weight, channels, outputs, self.window, self.stride, &self.bias[..outputs], after);
            let own = PackedConv::new(&own, simd);
            let each = weights(&self.each, 1, outputs, (3, 3), 1, &self.bias[..outputs], bounded);
            let (mut builder, input) = ProgramBuilder::new(self.size.0, self.size.1, 3);
            // Beside what is read stand numbers that would be seen: they are none.
            let wide = builder.map(self.size.0, self.size.1, 32 + channels);
            let (x, beside) = (wide.channels(32, channels), wide.channels(0, 32));
            let nothing = vec![f32::NAN; 3 * 32];
            let spoiled = weights(&nothing, 3, 32, (1, 1), 1, &[][..], Activation::None);
            builder.step().conv(&PackedConv::new(&stem, simd), input, x, None);
            builder.conv(&PackedConv::new(&spoiled, simd), input, beside, None).step();
            let result = builder.conv_to_new(&own, x);
            builder.step().conv(&own, x, result, Some(result.into()));
            builder.mark("twice", result);
            builder.step();
            let alone = builder.depthwise_to_new(&DepthwiseConv::new(&each, simd), result);
            let pooled = builder.map(alone.rows.div_ceil(2), alone.columns.div_ceil(2), outputs);
            let mean = builder.map(1, 1, outputs + 20);
            builder.step().max_pool(alone, pooled, 2, 2).mean(alone, mean, (alone.rows, alone.columns), 1);
            builder.step().add_coarser(pooled, alone, 2);
            let outputs = [x, alone.into(), pooled.into(), mean.into()];
            builder.finish_in(&outputs, simd, arithmetic)
        }

        /// What is marked, then the outputs.
        fn run(&self, program: &Program, values: &[f32], n: usize) -> Vec<Vec<f32>> {
            let (row, mut seen) = (self.size.1 * 3, Vec::new());
            let fill = |image: usize, out: &mut crate::InputRows| {
                (0..self.size.0).for_each(|y| {
                    out.row(y).copy_from_slice(&values[(image * self.size.0 + y) * row..][..row]);
                });
            };
            let outputs = program.run_seen(n, fill, |_, read| seen.push(read()));
            seen.into_iter().chain(outputs).collect()
        }
    }

    #[test]
    fn a_prelu_behind_a_depthwise_convolution_is_that_of_f32_where_nothing_is_rounded() {
        let mut rng = ChaCha8Rng::seed_from_u64(82);
        let (rows, columns, channels) = (9, 11, 37);
        let mut drawn = |count: usize, reach: i8, parts: f32| -> Vec<f32> {
            (0..count).map(|_| f32::from(rng.random_range(-reach..=reach)) / parts).collect()
        };
        let (stem, each) = (drawn(3 * channels, 8, 8.0), drawn(9 * channels, 1, 1.0));
        let (bias, slope) = (drawn(channels, 8, 8.0), drawn(channels, 4, 4.0));
        let values = drawn(rows * columns * 3, 1, 1.0);
        let run = |simd, arithmetic| {
            let weights = |weight, inputs, window: (usize, usize), bias, activation| {
                let padding = (window.0 / 2, window.1 / 2);
                ConvWeights { weight, outputs: channels, inputs, window, bias, stride: 1, padding, activation }
            };
            let stem = PackedConv::new(&weights(&stem[..], 3, (1, 1), &[][..], Activation::None), simd);
            let each = weights(&each[..], 1, (3, 3), &bias[..], Activation::PRelu(slope.clone()));
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
            assert_eq!(run(simd, Arithmetic::Half), wanted, "{simd}");
        }
    }

    #[test]
    fn every_path_sums_alike_and_stays_near_f32() {
        let mut rng = ChaCha8Rng::seed_from_u64(81);
        for number in 0..60 {
            let case = Case::drawn(number, &mut rng);
            let n = rng.random_range(1..4);
            let count = n * case.size.0 * case.size.1 * 3;
            let values: Vec<f32> = (0..count).map(|_| f32::from(rng.random_range(-64i8..64)) / 64.0).collect();
            let full = case.run(&case.program(Simd::Scalar, Arithmetic::F32), &values, n);
            let twin = case.run(&case.program(Simd::Scalar, Arithmetic::Half), &values, n);
            assert!(full.len() == 5 && full.iter().zip(&twin).all(|(a, b)| a.len() == b.len()));
            assert!(full[1] == twin[1], "case {number}: the input's sums are halves already");
            for (what, (full, twin)) in full.iter().zip(&twin).enumerate() {
                // Of hundreds of sums, each rounded by a 2,048th at most; halves of either sign make up for each other.
                let largest = full.iter().fold(1.0f32, |most, v| most.max(v.abs()));
                for (f, t) in full.iter().zip(twin) {
                    assert!((f - t).abs() < 0.01 * largest, "case {number}, output {what}: {t} for {f}");
                }
            }
            assert!(full[2] != twin[2], "case {number}: nothing was rounded");
            for simd in paths() {
                let program = case.program(simd, Arithmetic::Half);
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
    fn what_is_no_number_stays_none() {
        let ones = vec![1.0; 32 * 32];
        for simd in paths() {
            let conv = |inputs| {
                let weight = &ones[..32 * inputs];
                let (window, padding, activation) = ((1, 1), (0, 0), Activation::Relu);
                let conv =
                    ConvWeights { weight, outputs: 32, inputs, window, bias: &[], stride: 1, padding, activation };
                PackedConv::new(&conv, simd)
            };
            let (mut builder, input) = ProgramBuilder::new(1, 4, 1);
            let wide = builder.conv_to_new(&conv(1), input);
            builder.step();
            let result = builder.conv_to_new(&conv(32), wide);
            let program = builder.finish_in(&[result.into()], simd, Arithmetic::Half);
            // The greatest half is 65,504, and the sum of 32 of them is infinite.
            let values = [f32::NAN, 1.0, f32::from_bits(0x7f80_0001), 65_504.0];
            let answer = program.run(1, |_, out| out.row(0).copy_from_slice(&values)).remove(0);
            for (pixel, value) in answer.chunks(32).zip(values) {
                assert!(pixel.iter().all(|v| v.is_nan() == value.is_nan()), "{simd}: {value} became {pixel:?}");
                assert!(
                    value < 2.0 || value.is_nan() || pixel.iter().all(|v| *v == f32::INFINITY),
                    "{simd}: {pixel:?}"
                );
            }
        }
    }
}
