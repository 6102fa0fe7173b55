//! Depthwise convolutions, over any [`Number`].
//!
//! In NHWC a vector holds sixteen channels of one pixel, so that a depthwise window is one multiplication for each
//! vector and tap: no packing, no reordering. A block of neighbouring results stays in registers while the window
//! passes, and loads each weight once.

use std::ops::Range;
use std::sync::Arc;

use crate::f32::pack::{Activation, ConvWeights};
use crate::lanes::aligned::Aligned;
use crate::lanes::paths::{by_path, compiled, for_each_path};
use crate::lanes::{LANES, Number, Vectors, load_each};
use crate::simd::Simd;

/// A depthwise convolution, ready for the kernels. Cheap to clone.
#[derive(Clone)]
pub struct DepthwiseConv(pub(crate) Arc<Packed>);

/// A depthwise convolution over maps of `N`.
pub(crate) struct Packed<N: 'static = f32> {
    pub channels: usize,
    pub window: (usize, usize),
    pub stride: usize,
    pub padding: (usize, usize),
    /// `[window rows, window columns, channels]`, channels filled up to whole vectors.
    pub weights: Aligned,
    pub bias: Aligned,
    /// One a channel, of a PReLU.
    pub slopes: Option<Aligned>,
    pub least: N,
    pub greatest: N,
    pub kernel: unsafe fn(&Run<N>),
}

/// Neighbouring results in a row.
pub(crate) struct Run<'a, N = f32> {
    /// The first one's window, how far from there each row of it begins, and the values from a pixel to
    /// the next.
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
    /// When there are not as many values as the sizes say.
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
                let mut lines = Aligned::zeros(filled);
                lines.values_mut()[..slopes.len()].copy_from_slice(slopes);
                Some(lines)
            }
            _ => None,
        };
        let mut weights = Aligned::zeros(filled * taps);
        for (channel, kernel) in conv.weight.chunks_exact(taps).enumerate() {
            for (tap, &value) in kernel.iter().enumerate() {
                weights.values_mut()[tap * filled + channel] = value;
            }
        }
        let mut bias = Aligned::zeros(filled);
        bias.values_mut()[..conv.bias.len()].copy_from_slice(conv.bias);
        let kernel: unsafe fn(&Run) = by_path!(simd => run);
        let (channels, window, stride, padding) = (conv.outputs, conv.window, conv.stride, conv.padding);
        Self(Arc::new(Packed { channels, window, stride, padding, weights, bias, slopes, least, greatest, kernel }))
    }

    pub(crate) fn packed(&self) -> &Arc<Packed> {
        &self.0
    }
}

impl<N: Number> Packed<N> {
    /// Multiplications for one pixel of the result.
    pub(crate) fn products(&self) -> usize {
        self.channels * self.window.0 * self.window.1
    }

    pub(crate) fn vectors(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Computes `count` results, of all channels.
    ///
    /// # Safety
    /// Every window may be read over all vectors of channels, every result written, and nothing else
    /// touches either meanwhile.
    #[expect(clippy::too_many_arguments, reason = "the addresses of one run")]
    pub(crate) unsafe fn run(
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
            weights: N::of(self.weights.values()).as_ptr(),
            bias: N::of(self.bias.values()).as_ptr(),
            slopes: self.slopes.as_ref().map_or(std::ptr::null(), |slopes| N::of(slopes.values()).as_ptr()),
            least: self.least,
            greatest: self.greatest,
        };
        // SAFETY: a `Simd`, or kernels in f16, are only had where the processor has their instructions; the rest is
        // the caller's.
        unsafe { (self.kernel)(&run) }
    }
}

/// Those of the results, in those channels, whole vectors of them.
///
/// # Safety
/// As for [`Packed::run`], and the processor has the instructions of `V`.
#[inline(always)]
pub(crate) unsafe fn run_body<V: Vectors, const P: usize>(
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

/// `P` results from result `first` on.
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

/// As [`block`], for windows of 3x3 at stride 1: each value is loaded once for a row of the window, not once for each
/// of its taps.
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

macro_rules! path {
    ($name:ident, $lanes:ty, $pixels:tt, $vectors:tt, $block:literal $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            compiled!([$($feature)?]
                fn run(run: &Run) = run_body::<$lanes, $block>(run, 0..run.count, 0..run.vectors * LANES);
            );
        }
    };
}
for_each_path!(path);
