//! Convolutions one output row at a time, for networks of few channels over large maps (P-net).
//!
//! A row of a map is a [`Row`]: all channels, each in its own stretch of memory. A convolution reads
//! as many rows as its window has and writes one, so that a whole network runs through rings of a few
//! rows that stay in a core's L1 and L2 caches, whatever the size of the picture. Columns lie in the
//! lanes of the vectors: nothing is wasted on networks whose channels do not fill a vector.
//!
//! Tiles cover whole vectors of columns and may run beyond the row's width; what they compute there
//! comes from, and goes to, columns that nobody reads.

use crate::lanes::paths::{by_path, compiled, for_each_path};
use crate::lanes::{LANES, Lanes, load_each};
use crate::simd::Simd;

/// A row of a map in planar order (each channel's columns together), for maps of few channels.
pub struct Row {
    channels: usize,
    stride: usize,
    values: Vec<f32>,
}

impl Row {
    /// A row of zeros, `width` columns wide.
    pub fn new(channels: usize, width: usize) -> Self {
        let stride = width.next_multiple_of(LANES);
        // A window may read beyond the last channel as it does beyond every other.
        Self { channels, stride, values: vec![0.0; channels * stride + 2 * LANES] }
    }

    /// The columns of a channel; those beyond the width hold anything.
    pub fn channel(&self, channel: usize) -> &[f32] {
        &self.values[channel * self.stride..][..self.stride]
    }

    /// The channels one after the other.
    pub fn channels_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.stride).take(self.channels)
    }
}

/// Output channels, and vectors of columns, that a tile keeps in registers at most.
fn widest_tile(simd: Simd) -> (usize, usize) {
    match simd {
        Simd::Avx512 => (8, 3),
        Simd::Avx2 | Simd::Neon => (5, 1),
        Simd::Scalar => (4, 1),
    }
}

/// A `K` x `K` convolution at stride 1 without padding, its bias, and a PReLU.
pub struct RowConv<const K: usize> {
    inputs: usize,
    outputs: usize,
    /// Output channels of each block.
    blocks: Vec<usize>,
    /// Block by block: `[inputs, K, K, channels of the block]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// One an output; 1 where nothing follows the convolution.
    slope: Vec<f32>,
    simd: Simd,
}

/// What a row's tiles read and write.
struct Job<'a, const K: usize> {
    /// The first column in the first channel of each row of the window.
    rows: [*const f32; K],
    /// From a channel to the next.
    stride: usize,
    inputs: usize,
    /// Output channels of each block.
    blocks: &'a [usize],
    /// Block by block: `[inputs, K, K, channels of the block]`.
    weights: *const f32,
    /// One an output channel each.
    bias: *const f32,
    slope: *const f32,
    out: *mut f32,
    out_stride: usize,
    /// Vectors of columns in all, and in a tile at most.
    vectors: usize,
    widest: usize,
}

impl<const K: usize> RowConv<K> {
    /// `weight` is `[outputs, inputs, K, K]`; a `slope` is 1 where nothing follows the convolution.
    ///
    /// # Panics
    /// When the values are not as many as the sizes say.
    pub fn new(inputs: usize, weight: &[f32], bias: Vec<f32>, slope: Vec<f32>, simd: Simd) -> Self {
        let outputs = bias.len();
        let each = inputs * K * K;
        assert!(weight.len() == outputs * each && slope.len() == outputs, "as many values as the sizes say");
        // Blocks as even as can be: ten channels are five and five, not eight and two.
        let count = outputs.div_ceil(widest_tile(simd).0);
        let blocks: Vec<usize> = (0..count).map(|i| outputs * (i + 1) / count - outputs * i / count).collect();
        let mut weights = Vec::with_capacity(weight.len());
        let mut first = 0;
        for &block in &blocks {
            for at in 0..each {
                weights.extend((first..first + block).map(|output| weight[output * each + at]));
            }
            first += block;
        }
        Self { inputs, outputs, blocks, weights, bias, slope, simd }
    }

    /// A row for the results over rows of `width` columns.
    pub fn row(&self, width: usize) -> Row {
        Row::new(self.outputs, width)
    }

    /// Writes one row of the result, `width` columns of it that count.
    ///
    /// # Panics
    /// When the rows have other channels, or are narrower than `width` asks for.
    pub fn forward(&self, rows: [&Row; K], width: usize, out: &mut Row) {
        let stride = rows[0].stride;
        for row in rows {
            assert!(row.channels == self.inputs && row.stride == stride, "rows of these channels and one width");
        }
        assert_eq!(out.channels, self.outputs, "a row for these channels");
        assert!(width + K - 1 <= stride && width <= out.stride, "rows of that width");
        let job = Job {
            rows: rows.map(|row| row.values.as_ptr()),
            stride,
            inputs: self.inputs,
            blocks: &self.blocks,
            weights: self.weights.as_ptr(),
            bias: self.bias.as_ptr(),
            slope: self.slope.as_ptr(),
            out: out.values.as_mut_ptr(),
            out_stride: out.stride,
            vectors: width.div_ceil(LANES),
            widest: widest_tile(self.simd).1,
        };
        // SAFETY: a `Simd` is only made where the processor has its instructions. Vectors of columns begin below `width`, so
        // they end within the stride of `out`; reads of the window go at most two values beyond the last
        // vector of a channel, which a `Row` has room for. Weights, bias and slope hold all blocks.
        unsafe { by_path!(self.simd => all(&job)) }
    }

    /// Writes the greatest of each 2x2 window of two rows of results, `width` columns wide; of a window
    /// that hangs over the edge what is inside counts.
    pub fn pool(&self, upper: &Row, lower: &Row, width: usize, out: &mut Row) {
        // SAFETY: a `Simd` is only made where the processor has its instructions.
        unsafe { by_path!(self.simd => pool(upper, lower, width, out)) }
    }
}

#[inline(always)]
fn pool_body(upper: &Row, lower: &Row, width: usize, out: &mut Row) {
    let pairs = width / 2;
    for (channel, greatest) in out.channels_mut().enumerate() {
        let (u, l) = (&upper.channel(channel)[..width], &lower.channel(channel)[..width]);
        let (u_pairs, u_rest) = u.as_chunks::<2>();
        let (l_pairs, l_rest) = l.as_chunks::<2>();
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        for ((u, l), g) in u_pairs.iter().zip(l_pairs).zip(&mut greatest[..pairs]) {
            *g = larger(larger(u[0], l[0]), larger(u[1], l[1]));
        }
        if let ([u], [l]) = (u_rest, l_rest) {
            greatest[pairs] = larger(*u, *l);
        }
    }
}

/// All columns, tile by tile, and for each tile all output channels, block by block: so the tile's part of
/// the input stays in the nearest cache while the weights pass over it.
///
/// # Safety
/// The processor has the instructions of `L`; the rows may be read over `job.vectors` vectors and `K - 1`
/// values more, in every channel, and `out` written over as many; weights, bias and slope hold the blocks.
#[inline(always)]
unsafe fn all_body<L: Lanes, const K: usize>(job: &Job<K>) {
    let mut at = 0;
    while at < job.vectors {
        let v = job.widest.min(job.vectors - at);
        let mut first = 0;
        for &block in job.blocks {
            macro_rules! by_size {
                ($($outputs:literal)+; $most:literal) => {
                    match (block, v) {
                        $(
                            ($outputs, 1) => tile::<L, K, $outputs, 1>(job, first, at),
                            ($outputs, 2) => tile::<L, K, $outputs, 2>(job, first, at),
                            ($outputs, _) => tile::<L, K, $outputs, 3>(job, first, at),
                        )+
                        (_, 1) => tile::<L, K, $most, 1>(job, first, at),
                        (_, 2) => tile::<L, K, $most, 2>(job, first, at),
                        (_, _) => tile::<L, K, $most, 3>(job, first, at),
                    }
                };
            }
            // SAFETY: handed on to the caller.
            unsafe { by_size!(1 2 3 4 5 6 7; 8) }
            first += block;
        }
        at += v;
    }
}

/// Output channels `first` to `first + N` of `V` vectors of columns, the first of them vector `at`.
///
/// # Safety
/// As for [`all_body`].
#[inline(always)]
unsafe fn tile<L: Lanes, const K: usize, const N: usize, const V: usize>(job: &Job<K>, first: usize, at: usize) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let zeros = [0f32; LANES];
        let zero = L::load(zeros.as_ptr());
        let mut sums = [[zero; V]; N];
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = [L::splat(job.bias.add(first + n)); V];
        }
        let mut weights = job.weights.add(first * job.inputs * K * K);
        for input in 0..job.inputs {
            for row in job.rows {
                let line = row.add(input * job.stride + at * LANES);
                for dx in 0..K {
                    let pixels = load_each::<L, V>(line.add(dx), LANES);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        let weight = L::splat(weights.add(n));
                        for (s, pixel) in sum.iter_mut().zip(pixels) {
                            *s = L::multiply_add(weight, pixel, *s);
                        }
                    }
                    weights = weights.add(N);
                }
            }
        }
        for (n, sum) in sums.iter().enumerate() {
            let slope = L::splat(job.slope.add(first + n));
            for (v, &sum) in sum.iter().enumerate() {
                let to = job.out.add((first + n) * job.out_stride + (at + v) * LANES);
                L::store(to, L::prelu(sum, slope, zero));
            }
        }
    }
}

macro_rules! path {
    ($name:ident, $lanes:ty, $pixels:tt, $vectors:tt, $block:literal $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            compiled!([$($feature)?]
                fn all<K>(job: &Job<K>) = all_body::<$lanes, K>(job);
                fn pool(upper: &Row, lower: &Row, width: usize, out: &mut Row) = pool_body(upper, lower, width, out);
            );
        }
    };
}
for_each_path!(path);

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// The whole map `[inputs, rows, columns]`, row after row.
    fn rows_of(map: &[f32], channels: usize, rows: usize, columns: usize) -> Vec<Row> {
        (0..rows)
            .map(|r| {
                let mut row = Row::new(channels, columns);
                // What lies beyond the width must not matter.
                row.values.fill(f32::NAN);
                for (c, to) in row.channels_mut().enumerate() {
                    to[..columns].copy_from_slice(&map[(c * rows + r) * columns..][..columns]);
                }
                row
            })
            .collect()
    }

    fn hold<const K: usize>(rng: &mut ChaCha8Rng) {
        let (inputs, outputs) = (rng.random_range(1..20), rng.random_range(1..35));
        let (rows, columns) = (rng.random_range(K..12), rng.random_range(K..130));
        let weight = random(outputs * inputs * K * K, rng);
        let (bias, slope) = (random(outputs, rng), random(outputs, rng));
        let map = random(inputs * rows * columns, rng);

        let cpu = Device::Cpu;
        let tensor = Tensor::from_slice(&map, (1, inputs, rows, columns), &cpu).unwrap();
        let kernel = Tensor::from_slice(&weight, (outputs, inputs, K, K), &cpu).unwrap();
        let wanted = tensor.conv2d(&kernel, 0, 1, 1, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();

        let lines = rows_of(&map, inputs, rows, columns);
        let (out_rows, width) = (rows - K + 1, columns - K + 1);
        for simd in Simd::available() {
            let conv = RowConv::<K>::new(inputs, &weight, bias.clone(), slope.clone(), simd);
            let mut out = conv.row(width);
            for r in 0..out_rows {
                conv.forward(std::array::from_fn(|k| &lines[r + k]), width, &mut out);
                for c in 0..outputs {
                    for (x, &got) in out.channel(c)[..width].iter().enumerate() {
                        let biased = wanted[(c * out_rows + r) * width + x] + bias[c];
                        let w = if biased > 0.0 { biased } else { biased * slope[c] };
                        assert!((got - w).abs() < 1e-4, "{simd} {inputs}->{outputs} {rows}x{columns}: {got} for {w}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_path_gives_candles_convolution() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..60 {
            hold::<3>(&mut rng);
            hold::<1>(&mut rng);
        }
    }

    #[test]
    fn nan_stays_nan() {
        for simd in Simd::available() {
            let conv = RowConv::<1>::new(1, &[1.0, 1.0], vec![f32::NAN, 0.0], vec![0.5; 2], simd);
            let mut out = conv.row(3);
            conv.forward([&rows_of(&[1.0, -2.0, 3.0], 1, 1, 3)[0]], 3, &mut out);
            assert!(out.channel(0)[..3].iter().all(|v| v.is_nan()), "{simd}");
            assert_eq!(out.channel(1)[..3], [1.0, -1.0, 3.0], "{simd}");
        }
    }

    #[test]
    fn pooling_counts_what_is_inside() {
        for simd in Simd::available() {
            let conv = RowConv::<1>::new(1, &[1.0, 1.0], vec![0.0; 2], vec![1.0; 2], simd);
            let map = [1., 2., -3., 7., 0., -5., 4., 0., -5., 6., 9., -8.];
            let rows = rows_of(&map, 2, 2, 3);
            let mut out = conv.row(2);
            conv.pool(&rows[0], &rows[1], 3, &mut out);
            assert_eq!(out.channel(0)[..2], [7.0, -3.0]);
            assert_eq!(out.channel(1)[..2], [9.0, -5.0]);
        }
    }
}
