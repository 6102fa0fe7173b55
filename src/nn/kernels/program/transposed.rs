//! Transposed convolutions whose windows do not overlap: stride and window are the same, so that each pixel of the
//! result comes from one pixel of the source.
//!
//! Such a convolution is a 1x1 convolution to `factor * factor` times as many channels, followed by a depth-to-space
//! rearrangement. The channels of one place fill whole vectors, so that the rearrangement moves whole vectors. It adds to
//! what is there: where such layers stand, in the neck of a detector, their results are summed with a finer map's.

use crate::f32::pack::{Activation, ConvWeights, PackedConv};
use crate::lanes::LANES;
use crate::program::builder::{Map, ProgramBuilder, Slice, Task};
use crate::simd::Simd;

/// A transposed convolution ready for the kernels.
pub struct TransposedConv {
    /// To `[factor, factor, outputs]` channels, the outputs filled up to whole vectors.
    conv: PackedConv,
    outputs: usize,
    factor: usize,
}

impl TransposedConv {
    /// Packs for the instructions of `simd`. `weight` is `[inputs, outputs, factor, factor]` (a transposed convolution's
    /// inputs come first), `bias` `[outputs]`; the stride is `factor`, and nothing is padded. `activation` follows before
    /// anything is added.
    ///
    /// # Panics
    /// When the values are not as many as the sizes say.
    pub fn new(
        weight: &[f32],
        (inputs, outputs): (usize, usize),
        factor: usize,
        bias: &[f32],
        activation: Activation,
        simd: Simd,
    ) -> Self {
        let places = factor * factor;
        assert_eq!(weight.len(), inputs * outputs * places, "weights");
        assert_eq!(bias.len(), outputs, "biases");
        let filled = outputs.next_multiple_of(LANES);
        let mut spread = vec![0.0; places * filled * inputs];
        let mut biases = vec![0.0; places * filled];
        for place in 0..places {
            for output in 0..outputs {
                let row = place * filled + output;
                biases[row] = bias[output];
                for input in 0..inputs {
                    spread[row * inputs + input] = weight[(input * outputs + output) * places + place];
                }
            }
        }
        let activation = match activation {
            Activation::PRelu(slope) => {
                let one = slope.into_iter().chain(std::iter::repeat(0.0)).take(filled);
                Activation::PRelu(one.collect::<Vec<_>>().repeat(places))
            }
            other => other,
        };
        let conv = ConvWeights {
            weight: &spread,
            outputs: places * filled,
            inputs,
            window: (1, 1),
            bias: &biases,
            stride: 1,
            padding: (0, 0),
            activation,
        };
        Self { conv: PackedConv::new(&conv, simd), outputs, factor }
    }
}

impl ProgramBuilder {
    /// Adds the transposed convolution of `from` to `to`, in two steps of their own.
    ///
    /// # Panics
    /// When sizes or channels do not fit: `to` is at most `factor` times as large as `from`.
    pub fn add_transposed(&mut self, conv: &TransposedConv, from: impl Into<Slice>, to: Map) -> &mut Self {
        assert_eq!(to.channels, conv.outputs, "channels out");
        self.step();
        let spread = self.conv_to_new(&conv.conv, from);
        let covered = |fine: usize, coarse: usize| fine <= coarse * conv.factor;
        assert!(covered(to.rows, spread.rows) && covered(to.columns, spread.columns), "a covering map");
        self.step().push(Task::AddDepthToSpace { from: spread.into(), to: to.into(), factor: conv.factor })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{Arithmetic, InputRows};

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    fn conv(weight: &[f32], outputs: usize, inputs: usize, simd: Simd) -> PackedConv {
        let conv = ConvWeights {
            weight,
            outputs,
            inputs,
            window: (1, 1),
            bias: &[],
            stride: 1,
            padding: (0, 0),
            activation: Activation::None,
        };
        PackedConv::new(&conv, simd)
    }

    /// A coarse map by a 1x1 convolution of the input's first channels, a fine one by one of the whole input, which
    /// strides over `factor` pixels nowhere: the transposed convolution of the one is added to the other.
    #[test]
    fn every_path_gives_candles_transposed_convolution() {
        let mut rng = ChaCha8Rng::seed_from_u64(91);
        let cpu = &Device::Cpu;
        for case in 0..30 {
            let factor = 1 + case % 3;
            // Odd numbers of channels, too; some cases end in the middle of a coarse pixel.
            let (inputs, outputs) = (rng.random_range(1..50usize), rng.random_range(1..50usize));
            let (rows, columns, n) = (rng.random_range(1..9), rng.random_range(1..9), rng.random_range(1..3));
            let cut = |length: usize, rng: &mut ChaCha8Rng| length * factor - rng.random_range(0..factor);
            let (fine_rows, fine_columns) = (cut(rows, &mut rng), cut(columns, &mut rng));
            let scale = 1.0 / (inputs as f32).sqrt();
            let weight: Vec<f32> =
                random(inputs * outputs * factor * factor, &mut rng).iter().map(|w| w * scale).collect();
            let (bias, slope) = (random(outputs, &mut rng), random(outputs, &mut rng));
            // What is read stands in the fine map's size, of which the coarse one is a maximum over windows.
            let values = random(n * fine_rows * fine_columns * 3, &mut rng);
            let (stem, own) = (random(inputs * 3, &mut rng), random(outputs * 3, &mut rng));

            let x = Tensor::from_slice(&values, (n, fine_rows, fine_columns, 3), cpu).unwrap();
            let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let mix = |weight: &[f32], outputs: usize| {
                x.conv2d(&Tensor::from_slice(weight, (outputs, 3, 1, 1), cpu).unwrap(), 0, 1, 1, 1).unwrap()
            };
            let (fine, wide) = (mix(&own, outputs), mix(&stem, inputs));
            // The last line again, where windows reach beyond it, changes no maximum.
            let (below, right) = (rows * factor - fine_rows, columns * factor - fine_columns);
            let wide = wide.pad_with_same(2, 0, below).unwrap().pad_with_same(3, 0, right).unwrap();
            let coarse = wide.max_pool2d(factor).unwrap();
            let kernel = Tensor::from_slice(&weight, (inputs, outputs, factor, factor), cpu).unwrap();
            let y = coarse.conv_transpose2d(&kernel, 0, 0, factor, 1).unwrap();
            let channels = |v: &[f32]| Tensor::from_slice(v, (1, outputs, 1, 1), cpu).unwrap();
            let y = y.broadcast_add(&channels(&bias)).unwrap();
            let after = match case % 2 {
                0 => y.relu().unwrap(),
                _ => (y.relu().unwrap() - y.neg().unwrap().relu().unwrap().broadcast_mul(&channels(&slope))).unwrap(),
            };
            let after = after.narrow(2, 0, fine_rows).unwrap().narrow(3, 0, fine_columns).unwrap();
            let wanted = (fine + after).unwrap().permute((0, 2, 3, 1)).unwrap();
            let wanted: Vec<f32> = wanted.flatten_all().unwrap().to_vec1().unwrap();

            for (simd, arithmetic) in Arithmetic::available() {
                let activation = if case % 2 == 0 { Activation::Relu } else { Activation::PRelu(slope.clone()) };
                let up = TransposedConv::new(&weight, (inputs, outputs), factor, &bias, activation, simd);
                let (mut builder, input) = ProgramBuilder::new(fine_rows, fine_columns, 3);
                let wide = builder.conv_to_new(&conv(&stem, inputs, 3, simd), input);
                let fine = builder.conv_to_new(&conv(&own, outputs, 3, simd), input);
                let coarse = builder.map(rows, columns, inputs);
                builder.step().max_pool(wide, coarse, factor, factor);
                builder.add_transposed(&up, coarse, fine);
                let program = builder.finish_in(&[fine.into()], simd, arithmetic);
                let row = fine_columns * 3;
                let fill = |image: usize, out: &mut InputRows| {
                    (0..fine_rows).for_each(|y| {
                        out.row(y).copy_from_slice(&values[(image * fine_rows + y) * row..][..row]);
                    });
                };
                // Of numbers rounded to eleven bits; int16 leaves as many.
                let room = if arithmetic == Arithmetic::F32 { 1e-4 } else { 2e-2 };
                for _ in 0..2 {
                    let got = program.run(n, fill).remove(0);
                    assert_eq!(got.len(), wanted.len());
                    for (at, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                        let by = arithmetic.name();
                        assert!(
                            (got - wanted).abs() < room,
                            "case {case} by {simd} in {by}, {at}: {got}, not {wanted}"
                        );
                    }
                }
            }
        }
    }
}
