//! Convolutions of each channel alone, and the step of a feature pyramid that adds a coarser map.
//!
//! With pixels of channels, a vector holds sixteen channels of one pixel, so that a window over each
//! channel alone is one product a vector and place of the window: no packing, no reordering. A block of
//! neighbouring results stays in registers while the window passes, and takes each weight once.

use std::ops::Range;
use std::sync::Arc;

#[cfg(target_arch = "aarch64")]
use super::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{LANES, Number, Plain, Vectors, load_each};
use super::lines::Lines;
use super::pack::{Activation, ConvWeights};
use crate::Simd;

/// A convolution of each channel alone, ready for the kernels. Cheap to clone.
#[derive(Clone)]
pub struct DepthwiseConv(pub(super) Arc<Packed>);

/// Of numbers that maps hold.
pub(super) struct Packed<N: 'static = f32> {
    pub channels: usize,
    pub window: (usize, usize),
    pub stride: usize,
    pub padding: (usize, usize),
    /// `[window rows, window columns, channels]`, channels filled up to whole vectors.
    pub weights: Lines,
    pub bias: Lines,
    /// One a channel, of a PReLU.
    pub slopes: Option<Lines>,
    pub least: N,
    pub greatest: N,
    pub kernel: unsafe fn(&Run<N>),
}

/// Neighbouring results in a row.
pub(super) struct Run<'a, N = f32> {
    /// The first one's window, how far from there each row of it begins, and the numbers from a pixel to the next.
    pub from: *const N,
    pub lines: &'a [usize],
    pub pixel: usize,
    /// From a result's window to the next one's.
    pub step: usize,
    pub out: *mut N,
    pub out_pixel: usize,
    /// How many results.
    pub count: usize,
    pub window: (usize, usize),
    pub vectors: usize,
    pub weights: *const N,
    pub bias: *const N,
    /// Null, or what results below zero are multiplied by.
    pub slopes: *const N,
    /// Otherwise results are bounded by these.
    pub least: N,
    pub greatest: N,
}

impl DepthwiseConv {
    /// Packs `conv`, whose weights are `[channels, 1, rows, columns]`: one input for each output.
    ///
    /// # Panics
    /// When the numbers are not as many as the sizes say.
    pub fn new(conv: &ConvWeights, simd: Simd) -> Self {
        let taps = conv.window.0 * conv.window.1;
        assert!(conv.inputs == 1 && conv.stride > 0 && taps > 0, "one input for each output");
        assert_eq!(conv.weight.len(), conv.outputs * taps, "weights");
        assert!(conv.bias.is_empty() || conv.bias.len() == conv.outputs, "biases");
        let (least, greatest) = match conv.activation {
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            Activation::None | Activation::PRelu(_) => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let filled = conv.outputs.next_multiple_of(LANES);
        let slopes = match &conv.activation {
            Activation::PRelu(slopes) => {
                assert_eq!(slopes.len(), conv.outputs, "slopes");
                let mut lines = Lines::zeros(filled);
                lines.numbers_mut()[..slopes.len()].copy_from_slice(slopes);
                Some(lines)
            }
            _ => None,
        };
        let mut weights = Lines::zeros(filled * taps);
        for (channel, kernel) in conv.weight.chunks_exact(taps).enumerate() {
            for (tap, &value) in kernel.iter().enumerate() {
                weights.numbers_mut()[tap * filled + channel] = value;
            }
        }
        let mut bias = Lines::zeros(filled);
        bias.numbers_mut()[..conv.bias.len()].copy_from_slice(conv.bias);
        let kernel = match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => run_avx2,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => run_avx512,
            #[cfg(target_arch = "aarch64")]
            Simd::Neon => run_neon,
            _ => run_plain,
        };
        let (channels, window, stride, padding) = (conv.outputs, conv.window, conv.stride, conv.padding);
        Self(Arc::new(Packed { channels, window, stride, padding, weights, bias, slopes, least, greatest, kernel }))
    }

    pub(super) fn packed(&self) -> &Arc<Packed> {
        &self.0
    }
}

impl<N: Number> Packed<N> {
    /// Multiplications for one pixel of the result.
    pub(super) fn products(&self) -> usize {
        self.channels * self.window.0 * self.window.1
    }

    pub(super) fn vectors(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Computes `count` results, of all channels.
    ///
    /// # Safety
    /// Every window may be read over all vectors of channels, every result written, and nothing else
    /// touches either meanwhile.
    #[expect(clippy::too_many_arguments, reason = "the addresses of one run")]
    pub(super) unsafe fn run(
        &self,
        from: *const N,
        lines: &[usize],
        pixel: usize,
        step: usize,
        out: *mut N,
        out_pixel: usize,
        count: usize,
    ) {
        let run = Run {
            from,
            lines,
            pixel,
            step,
            out,
            out_pixel,
            count,
            window: self.window,
            vectors: self.vectors(),
            weights: N::of(self.weights.numbers()).as_ptr(),
            bias: N::of(self.bias.numbers()).as_ptr(),
            slopes: self.slopes.as_ref().map_or(std::ptr::null(), |slopes| N::of(slopes.numbers()).as_ptr()),
            least: self.least,
            greatest: self.greatest,
        };
        // SAFETY: a `Simd`, or kernels of halves, are only had where the processor has their instructions; the rest is
        // the caller's.
        unsafe { (self.kernel)(&run) }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2(run: &Run) {
    // SAFETY: handed on to the caller.
    unsafe { run_body::<Avx2, 4>(run, 0..run.count, 0..run.vectors * LANES) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn run_avx512(run: &Run) {
    // SAFETY: handed on to the caller.
    unsafe { run_body::<Avx512, 8>(run, 0..run.count, 0..run.vectors * LANES) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
unsafe fn run_neon(run: &Run) {
    // SAFETY: handed on to the caller.
    unsafe { run_body::<Neon, 4>(run, 0..run.count, 0..run.vectors * LANES) }
}

unsafe fn run_plain(run: &Run) {
    // SAFETY: handed on to the caller.
    unsafe { run_body::<Plain, 1>(run, 0..run.count, 0..run.vectors * LANES) }
}

/// Those of the results, in those channels, whole vectors of them.
///
/// # Safety
/// As for [`Packed::run`], and the processor has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn run_body<V: Vectors, const P: usize>(
    run: &Run<V::Number>,
    results: Range<usize>,
    channels: Range<usize>,
) {
    let mut done = results.start;
    let three = run.window == (3, 3) && run.step == run.pixel;
    while done < results.end {
        // SAFETY: handed on to the caller.
        unsafe {
            if results.end - done >= P {
                if three {
                    three_by_three::<V, P>(run, done, channels.clone())
                } else {
                    block::<V, P>(run, done, channels.clone())
                }
                done += P;
            } else {
                block::<V, 1>(run, done, channels.clone());
                done += 1;
            }
        }
    }
}

/// What follows the products, for a vector of channels of each result.
///
/// # Safety
/// As for [`run_body`].
#[inline(always)]
unsafe fn activate<V: Vectors, const P: usize>(
    run: &Run<V::Number>,
    channel: usize,
    sums: &mut [V::Vector; P],
    least: V::Vector,
    greatest: V::Vector,
) {
    // SAFETY: where there are slopes there is one for each channel.
    unsafe {
        if run.slopes.is_null() {
            for sum in sums {
                *sum = V::bounded(*sum, least, greatest);
            }
        } else {
            let (slope, zero) = (V::load(run.slopes.add(channel)), V::splat(&V::Number::ZERO));
            for sum in sums {
                *sum = V::prelu(*sum, slope, zero);
            }
        }
    }
}

/// `P` results from the one of number `first`.
///
/// # Safety
/// As for [`run_body`].
#[inline(always)]
unsafe fn block<V: Vectors, const P: usize>(run: &Run<V::Number>, first: usize, channels: Range<usize>) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let (least, greatest) = (V::splat(&run.least), V::splat(&run.greatest));
        for channel in channels.step_by(V::WIDTH) {
            let mut sums = [V::load(run.bias.add(channel)); P];
            let mut weight = run.weights.add(channel);
            for &line in run.lines {
                let line = run.from.add(first * run.step + line + channel);
                for x in 0..run.window.1 {
                    let w = V::load(weight);
                    weight = weight.add(run.vectors * LANES);
                    for (p, sum) in sums.iter_mut().enumerate() {
                        *sum = V::multiply_add(w, V::load(line.add(p * run.step + x * run.pixel)), *sum);
                    }
                }
            }
            activate::<V, P>(run, channel, &mut sums, least, greatest);
            for (p, &sum) in sums.iter().enumerate() {
                V::store(run.out.add((first + p) * run.out_pixel + channel), sum);
            }
        }
    }
}

/// As [`block`], for windows of 3x3 from pixel to pixel: each number is read once for a row of the window, not once
/// for each of its places.
///
/// # Safety
/// As for [`run_body`].
#[inline(always)]
unsafe fn three_by_three<V: Vectors, const P: usize>(run: &Run<V::Number>, first: usize, channels: Range<usize>) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let (least, greatest) = (V::splat(&run.least), V::splat(&run.greatest));
        for channel in channels.step_by(V::WIDTH) {
            let mut sums = [V::load(run.bias.add(channel)); P];
            let mut weight = run.weights.add(channel);
            for &line in run.lines {
                let line = run.from.add(first * run.step + line + channel);
                let w = load_each::<V, 3>(weight, run.vectors * LANES);
                weight = weight.add(3 * run.vectors * LANES);
                let (mut a, mut b) = (V::load(line), V::load(line.add(run.pixel)));
                for (p, sum) in sums.iter_mut().enumerate() {
                    let c = V::load(line.add((p + 2) * run.pixel));
                    *sum = V::multiply_add(w[2], c, V::multiply_add(w[1], b, V::multiply_add(w[0], a, *sum)));
                    (a, b) = (b, c);
                }
            }
            activate::<V, P>(run, channel, &mut sums, least, greatest);
            for (p, &sum) in sums.iter().enumerate() {
                V::store(run.out.add((first + p) * run.out_pixel + channel), sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use crate::Simd;
    use crate::{Activation, ConvWeights, DepthwiseConv, PackedConv, ProgramBuilder};

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    fn hold(got: &[f32], wanted: &Tensor, what: &str) {
        let wanted: Vec<f32> = wanted.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(got.len(), wanted.len(), "{what}");
        for (g, w) in got.iter().zip(&wanted) {
            assert!((g - w).abs() < 1e-4, "{what}: {g} for {w}");
        }
    }

    /// A 1x1 convolution, then one of each channel alone; beside it the same map half as large, added back.
    #[test]
    fn every_path_gives_candles_convolutions_and_sums() {
        let mut rng = ChaCha8Rng::seed_from_u64(31);
        for case in 0..30 {
            let (n, channels, inputs) = (rng.random_range(1..3), rng.random_range(1..70), rng.random_range(1..5));
            let window = [(3, 3), (7, 7), (1, 5), (2, 2)][case % 4];
            let (stride, padded) = (rng.random_range(1..3), rng.random_range(0..2));
            let padding = (padded * (window.0 / 2), padded * (window.1 / 2));
            let (rows, columns) = (2 * rng.random_range(4..9), 2 * rng.random_range(4..25));
            let slopes = random(channels, &mut rng);
            let activations =
                [Activation::None, Activation::Relu, Activation::Relu6, Activation::PRelu(slopes.clone())];
            let activation = activations[case % 7 % 4].clone();
            let taps = window.0 * window.1;
            let (mix, weight) = (random(channels * inputs, &mut rng), random(channels * taps, &mut rng));
            // So large that six is passed.
            let weight: Vec<f32> = weight.iter().map(|w| 3.0 * w).collect();
            let bias = random(channels, &mut rng);
            let values = random(n * rows * columns * inputs, &mut rng);

            let cpu = &Device::Cpu;
            let x = Tensor::from_slice(&values, (n, rows, columns, inputs), cpu).unwrap();
            let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let mixed =
                x.conv2d(&Tensor::from_slice(&mix, (channels, inputs, 1, 1), cpu).unwrap(), 0, 1, 1, 1).unwrap();
            let kernel = Tensor::from_slice(&weight, (channels, 1, window.0, window.1), cpu).unwrap();
            let bordered = mixed.pad_with_zeros(2, padding.0, padding.0).unwrap();
            let bordered = bordered.pad_with_zeros(3, padding.1, padding.1).unwrap();
            let alone = bordered.conv2d(&kernel, 0, stride, 1, channels).unwrap();
            let alone = alone.broadcast_add(&Tensor::from_slice(&bias, (1, channels, 1, 1), cpu).unwrap()).unwrap();
            let alone = match activation {
                Activation::Relu => alone.relu().unwrap(),
                Activation::Relu6 => alone.clamp(0f32, 6f32).unwrap(),
                Activation::PRelu(_) => {
                    let slopes = Tensor::from_slice(&slopes, (1, channels, 1, 1), cpu).unwrap();
                    let below = (&alone - alone.relu().unwrap()).unwrap();
                    (alone.relu().unwrap() + below.broadcast_mul(&slopes).unwrap()).unwrap()
                }
                Activation::None => alone,
            };
            let coarse = mixed.max_pool2d(2).unwrap();
            let sum = (&mixed + coarse.upsample_nearest2d(rows, columns).unwrap()).unwrap();

            for simd in Simd::available() {
                let weights = |weight, inputs, window, bias, stride, padding, activation| ConvWeights {
                    weight,
                    outputs: channels,
                    inputs,
                    window,
                    bias,
                    stride,
                    padding,
                    activation,
                };
                let mixing = weights(&mix[..], inputs, (1, 1), &[][..], 1, (0, 0), Activation::None);
                let each = weights(&weight[..], 1, window, &bias[..], stride, padding, activation.clone());
                let (mut builder, input) = ProgramBuilder::new(rows, columns, inputs);
                let mixed = builder.conv_to_new(&PackedConv::new(&mixing, simd), input);
                let coarse = builder.map(rows / 2, columns / 2, channels);
                builder.step();
                let alone_map = builder.depthwise_to_new(&DepthwiseConv::new(&each, simd), mixed);
                builder.max_pool(mixed, coarse, 2, 2).step().add_coarser(coarse, mixed, 2);
                let program = builder.finish(&[alone_map.into(), mixed.into()], simd);
                let row = columns * inputs;
                for _ in 0..2 {
                    let answers = program.run(n, |i, out| {
                        (0..rows).for_each(|y| out.row(y).copy_from_slice(&values[(i * rows + y) * row..][..row]));
                    });
                    let what =
                        format!("case {case} by {simd}: {n} of {rows}x{columns}x{channels}, {window:?} at {stride}");
                    hold(&answers[0], &alone, &what);
                    hold(&answers[1], &sum, &what);
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for simd in Simd::available() {
            for activation in [Activation::None, Activation::Relu, Activation::Relu6, Activation::PRelu(vec![0.5; 2])] {
                let weights = |weight, inputs, bias, activation| ConvWeights {
                    weight,
                    outputs: 2,
                    inputs,
                    window: (1, 1),
                    bias,
                    stride: 1,
                    padding: (0, 0),
                    activation,
                };
                let copy = weights(&[1.0, 0.0, 0.0, 1.0], 2, &[][..], Activation::None);
                let each = weights(&[1.0, 1.0], 1, &[f32::NAN, 0.0], activation.clone());
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
}
