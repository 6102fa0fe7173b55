//! Batch normalisation with the activation behind it, and its gradients, on the processor: what lies between the two is
//! never in memory.
//!
//! Sums are taken a plane at a time in f32 lanes and added up in f64 face after face, so that the same batch gives the same
//! bits with any number of threads.

use kith_kernels::Simd;
use kith_kernels::planes::{self, Centred, Sloped};
use rayon::prelude::*;

/// Mean and (biased) variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

/// For each channel of `[n, channels, pixels]`, the sums over its planes of what `of` says of them; `of` gets the channel and
/// where its plane begins.
fn sums<const K: usize>(
    length: usize,
    channels: usize,
    pixels: usize,
    of: impl Fn(usize, usize) -> [f32; K] + Sync,
) -> Vec<[f64; K]> {
    let channel = |c: usize| {
        let mut sums = [0f64; K];
        for first in (0..length).step_by(channels * pixels) {
            let part = of(c, first + c * pixels);
            sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += f64::from(v));
        }
        sums
    };
    (0..channels).into_par_iter().map(channel).collect()
}

/// The sum of each channel of `[n, channels, pixels]`.
pub(crate) fn channel_sums(x: &[f32], channels: usize, pixels: usize, simd: Simd) -> Vec<f32> {
    let sums = sums(x.len(), channels, pixels, |_, from| [planes::sum(&x[from..from + pixels], simd)]);
    sums.into_iter().map(|[v]| v as f32).collect()
}

impl Moments {
    /// Those of `[n, channels, pixels]`.
    pub fn of(x: &[f32], channels: usize, pixels: usize, simd: Simd) -> Self {
        let (count, plane) = ((x.len() / channels) as f64, |from: usize| &x[from..from + pixels]);
        let of_values = sums(x.len(), channels, pixels, |_, from| [planes::sum(plane(from), simd)]);
        let mean: Vec<f32> = of_values.into_iter().map(|[v]| (v / count) as f32).collect();
        let squares = sums(x.len(), channels, pixels, |c, from| [planes::squares(plane(from), mean[c], simd)]);
        let variance = squares.into_iter().map(|[v]| (v / count) as f32).collect();
        Self { mean, variance }
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` of each channel, and what is not above zero times its slope. With
/// no moments and no weights, a PReLU alone.
pub(crate) struct Normalised {
    pub channels: usize,
    pub pixels: usize,
    pub epsilon: f64,
    pub moments: Moments,
    /// Whether the moments are those of the values themselves, whose gradient then goes through them.
    pub own: bool,
    pub simd: Simd,
}

/// What a channel is multiplied by, what is added, and its slope.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    /// None where nothing follows.
    pub slope: Option<&'a [f32]>,
}

/// Gradients of [`Weights`].
pub(crate) struct WeightGradients {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub slope: Vec<f32>,
}

impl Normalised {
    fn inverse(&self, channel: usize) -> f32 {
        (1.0 / (f64::from(self.moments.variance[channel]) + self.epsilon).sqrt()) as f32
    }

    fn by(&self, weights: Weights, c: usize) -> Sloped {
        let scale = weights.weight[c] * self.inverse(c);
        let shift = weights.bias[c] - self.moments.mean[c] * scale;
        Sloped { scale, shift, slope: weights.slope.map_or(1.0, |slope| slope[c]) }
    }

    pub fn forward(&self, x: &[f32], weights: Weights, y: &mut [f32]) {
        y.par_chunks_exact_mut(self.pixels)
            .zip(x.par_chunks_exact(self.pixels))
            .enumerate()
            .for_each(|(i, (y, x))| planes::sloped(x, self.by(weights, i % self.channels), y, self.simd));
    }

    /// Replaces gradients of the results by those of the values.
    pub fn backward(&self, x: &[f32], weights: Weights, grad: &mut [f32]) -> WeightGradients {
        let Self { channels, pixels, .. } = *self;
        let all = &*grad;
        let sums = sums(x.len(), channels, pixels, |c, from| {
            let here = from..from + pixels;
            planes::sloped_sums(&x[here.clone()], &all[here], self.moments.mean[c], self.by(weights, c), self.simd)
        });
        let count = (x.len() / channels) as f64;
        grad.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels)).enumerate().for_each(|(i, (grad, x))| {
            let c = i % channels;
            let inverse = f64::from(self.inverse(c));
            let centred = match self.own {
                true => Centred {
                    mean: self.moments.mean[c],
                    mean_gradient: (sums[c][0] / count) as f32,
                    along: (sums[c][1] / count * inverse * inverse) as f32,
                },
                false => Centred { mean: 0.0, mean_gradient: 0.0, along: 0.0 },
            };
            planes::sloped_back(x, self.by(weights, c), centred, grad, self.simd);
        });
        let scaled = |c: usize| (sums[c][1] * f64::from(self.inverse(c))) as f32;
        WeightGradients {
            weight: (0..channels).map(scaled).collect(),
            bias: sums.iter().map(|s| s[0] as f32).collect(),
            slope: sums.iter().map(|s| s[2] as f32).collect(),
        }
    }
}
