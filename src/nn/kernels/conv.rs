//! Direct convolution with bias and PReLU in one pass, for networks of few channels over large maps.
//!
//! Lowering to a matrix product copies every pixel nine times for a product only 10 to 32 wide; here a
//! tile of 16 columns by up to 4 output channels stays in registers while the window passes over it.
//! One body is compiled twice, plainly and for AVX2 with FMA, and the processor chooses at run time.

use candle_core::{Result, bail};

use crate::nn::WeightSource;
use crate::simd::Simd;

/// Columns of a tile: two AVX2 registers.
const TILE: usize = 16;

/// Activations `[channels, rows, columns]`, row by row.
pub(crate) struct Planes {
    pub channels: usize,
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f32>,
}

impl Planes {
    fn zeros(channels: usize, rows: usize, columns: usize) -> Self {
        Self { channels, rows, columns, values: vec![0.0; channels * rows * columns] }
    }

    /// The greatest of each 2x2 window at stride 2; a window that hangs over the edge counts what is
    /// inside.
    pub(crate) fn max_pool_2x2(&self) -> Self {
        let mut out = Self::zeros(self.channels, self.rows.div_ceil(2), self.columns.div_ceil(2));
        let each = out.rows * out.columns;
        for (plane, pooled) in self.values.chunks(self.rows * self.columns).zip(out.values.chunks_mut(each)) {
            for (pair, row) in plane.chunks(2 * self.columns).zip(pooled.chunks_mut(out.columns)) {
                let (upper, lower) = pair.split_at(self.columns);
                let lower = if lower.is_empty() { upper } else { lower };
                for ((u, l), greatest) in upper.chunks(2).zip(lower.chunks(2)).zip(row) {
                    *greatest = u.iter().chain(l).copied().fold(f32::NEG_INFINITY, f32::max);
                }
            }
        }
        out
    }
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Route {
    fn best() -> Self {
        match Simd::chosen_or_scalar() {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 | Simd::Avx512 => Self::Avx2,
            _ => Self::Plain,
        }
    }
}

/// A `K` x `K` convolution at stride 1 without padding, its bias, and a PReLU.
pub(crate) struct ConvPrelu<const K: usize> {
    inputs: usize,
    outputs: usize,
    /// `[outputs, inputs, K, K]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// One an output; 1 where nothing follows the convolution.
    slope: Vec<f32>,
    route: Route,
}

impl<const K: usize> ConvPrelu<K> {
    /// Reads `CONV.weight`, `CONV.bias` and, where named, `PRELU.weight`.
    pub(crate) fn load(source: &WeightSource, conv: &str, prelu: Option<&str>) -> Result<Self> {
        let weight = source.get(&format!("{conv}.weight"))?;
        let (outputs, inputs, rows, columns) = weight.dims4()?;
        if (rows, columns) != (K, K) {
            bail!("{conv} has a window of {rows}x{columns}, not {K}x{K}");
        }
        let slope = match prelu {
            Some(name) => source.get(&format!("{name}.weight"))?.to_vec1()?,
            None => vec![1.0; outputs],
        };
        let bias: Vec<f32> = source.get(&format!("{conv}.bias"))?.to_vec1()?;
        if bias.len() != outputs || slope.len() != outputs {
            bail!("{conv} has {outputs} outputs, {} biases and {} slopes", bias.len(), slope.len());
        }
        Ok(Self { inputs, outputs, weight: weight.flatten_all()?.to_vec1()?, bias, slope, route: Route::best() })
    }

    /// `[inputs, h, w]` to `[outputs, h - K + 1, w - K + 1]`.
    ///
    /// # Panics
    /// When the map has other channels, or is smaller than the window.
    pub(crate) fn forward(&self, x: &Planes) -> Planes {
        assert_eq!(x.channels, self.inputs, "a map of these channels");
        assert!(x.rows >= K && x.columns >= K, "a map of at least one window");
        assert_eq!(x.values.len(), x.channels * x.rows * x.columns, "a whole map");
        let mut out = Planes::zeros(self.outputs, x.rows - K + 1, x.columns - K + 1);
        match self.route {
            Route::Plain => self.all::<false>(x, &mut out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this path is only chosen where the processor has AVX2 and FMA.
            Route::Avx2 => unsafe { self.all_avx2(x, &mut out) },
        }
        out
    }

    /// # Safety
    /// The processor must have AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn all_avx2(&self, x: &Planes, out: &mut Planes) {
        self.all::<true>(x, out);
    }

    #[inline(always)]
    fn all<const FUSED: bool>(&self, x: &Planes, out: &mut Planes) {
        let mut first = 0;
        while first < self.outputs {
            match self.outputs - first {
                4.. => self.block::<4, FUSED>(first, x, out),
                2.. => self.block::<2, FUSED>(first, x, out),
                _ => self.block::<1, FUSED>(first, x, out),
            }
            first += match self.outputs - first {
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
        }
    }

    /// Output channels `first` to `first + N`.
    #[inline(always)]
    fn block<const N: usize, const FUSED: bool>(&self, first: usize, x: &Planes, out: &mut Planes) {
        let plane = out.rows * out.columns;
        for row in 0..out.rows {
            let mut column = 0;
            while column < out.columns {
                // The last tile of a row goes back over columns already done rather than beyond the edge.
                if out.columns >= TILE {
                    column = column.min(out.columns - TILE);
                }
                let width = TILE.min(out.columns - column);
                let tile = if width == TILE {
                    self.tile::<N, FUSED>(first, x, row, column)
                } else {
                    self.narrow_tile::<N, FUSED>(first, x, row, column, width)
                };
                for (n, sums) in tile.iter().enumerate() {
                    let slope = self.slope[first + n];
                    let to = (first + n) * plane + row * out.columns + column;
                    for (value, sum) in out.values[to..to + width].iter_mut().zip(sums) {
                        *value = sum.max(0.0) + slope * sum.min(0.0);
                    }
                }
                column += width;
            }
        }
    }

    #[inline(always)]
    fn tile<const N: usize, const FUSED: bool>(
        &self,
        first: usize,
        x: &Planes,
        row: usize,
        column: usize,
    ) -> [[f32; TILE]; N] {
        let mut sums: [[f32; TILE]; N] = std::array::from_fn(|n| [self.bias[first + n]; TILE]);
        for input in 0..self.inputs {
            for y in 0..K {
                let from = (input * x.rows + row + y) * x.columns + column;
                let line = &x.values[from..from + TILE + K - 1];
                for dx in 0..K {
                    let at = (input * K + y) * K + dx;
                    let pixels = &line[dx..dx + TILE];
                    for (n, sum) in sums.iter_mut().enumerate() {
                        let weight = self.weight[(first + n) * self.inputs * K * K + at];
                        for (s, p) in sum.iter_mut().zip(pixels) {
                            *s = multiply_add::<FUSED>(weight, *p, *s);
                        }
                    }
                }
            }
        }
        sums
    }

    /// As [`Self::tile`], on maps narrower than a tile.
    #[inline(always)]
    fn narrow_tile<const N: usize, const FUSED: bool>(
        &self,
        first: usize,
        x: &Planes,
        row: usize,
        column: usize,
        width: usize,
    ) -> [[f32; TILE]; N] {
        let mut sums: [[f32; TILE]; N] = std::array::from_fn(|n| [self.bias[first + n]; TILE]);
        for (n, sum) in sums.iter_mut().enumerate() {
            let weights = &self.weight[(first + n) * self.inputs * K * K..][..self.inputs * K * K];
            for (at, weight) in weights.iter().enumerate() {
                let (input, y, dx) = (at / (K * K), at / K % K, at % K);
                let from = (input * x.rows + row + y) * x.columns + column + dx;
                for (s, p) in sum.iter_mut().zip(&x.values[from..from + width]) {
                    *s = multiply_add::<FUSED>(*weight, *p, *s);
                }
            }
        }
        sums
    }
}

/// Fused where the processor has it in one instruction; elsewhere fusing would be a library call.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    fn hold<const K: usize>(rng: &mut ChaCha8Rng) {
        let (inputs, outputs) = (rng.random_range(1..20), rng.random_range(1..35));
        let (rows, columns) = (rng.random_range(K..30), rng.random_range(K..70));
        let mut conv = ConvPrelu::<K> {
            inputs,
            outputs,
            weight: random(outputs * inputs * K * K, rng),
            bias: random(outputs, rng),
            slope: random(outputs, rng),
            route: Route::Plain,
        };
        let x = Planes { channels: inputs, rows, columns, values: random(inputs * rows * columns, rng) };
        let plain = conv.forward(&x);

        let cpu = Device::Cpu;
        let tensor = Tensor::from_slice(&x.values, (1, inputs, rows, columns), &cpu).unwrap();
        let weight = Tensor::from_slice(&conv.weight, (outputs, inputs, K, K), &cpu).unwrap();
        let wanted = tensor.conv2d(&weight, 0, 1, 1, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let plane = plain.rows * plain.columns;
        assert_eq!(plain.values.len(), wanted.len());
        for (i, (got, w)) in plain.values.iter().zip(&wanted).enumerate() {
            let biased = w + conv.bias[i / plane];
            let w = if biased > 0.0 { biased } else { biased * conv.slope[i / plane] };
            assert!((got - w).abs() < 1e-4, "{inputs}->{outputs} {rows}x{columns}: {got} for {w}");
        }

        conv.route = Route::best();
        let best = conv.forward(&x);
        let gap = best.values.iter().zip(&plain.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(gap < 1e-4, "{:?} against the plain route: {gap}", conv.route);
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
    fn pooling_counts_what_is_inside() {
        let x = Planes { channels: 1, rows: 3, columns: 3, values: vec![1., 2., -3., 4., 0., -5., 6., 7., -8.] };
        let pooled = x.max_pool_2x2();
        assert_eq!((pooled.rows, pooled.columns), (2, 2));
        assert_eq!(pooled.values, [4.0, -3.0, 7.0, -8.0]);
    }
}
