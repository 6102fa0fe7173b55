//! Inner products of one vector with many: the loop that an exact search spends its time in.
//!
//! One body is compiled plainly, for AVX2 with FMA and for AVX-512, and the processor chooses at run
//! time. Sums run in 32 lanes, so that the additions do not wait for each other.

use kith_kernels::Simd;

/// Lanes of a running sum: four AVX2 registers, or two of AVX-512.
const LANES: usize = 32;

/// How products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Route {
    fn best() -> Self {
        match Simd::chosen_or_scalar() {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => Self::Avx2,
            _ => Self::Plain,
        }
    }
}

/// Writes into `out` the inner product of `probe` with each row of `rows`, whose rows are as long as
/// `probe`. Equal to the sum in any order, to f32 rounding.
///
/// # Panics
/// When `rows` is not `out.len()` rows.
pub(crate) fn products(probe: &[f32], rows: &[f32], out: &mut [f32]) {
    products_by(Route::best(), probe, rows, out);
}

fn products_by(route: Route, probe: &[f32], rows: &[f32], out: &mut [f32]) {
    assert_eq!(rows.len(), probe.len() * out.len(), "rows of another length than the probe");
    match route {
        Route::Plain => body::<false>(probe, rows, out),
        // SAFETY: `Route::best` names this route only where the processor has AVX2 and FMA.
        #[cfg(target_arch = "x86_64")]
        Route::Avx2 => unsafe { avx2(probe, rows, out) },
        // SAFETY: `Route::best` names this route only where the processor has AVX-512F.
        #[cfg(target_arch = "x86_64")]
        Route::Avx512 => unsafe { avx512(probe, rows, out) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(probe: &[f32], rows: &[f32], out: &mut [f32]) {
    body::<true>(probe, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(probe: &[f32], rows: &[f32], out: &mut [f32]) {
    body::<true>(probe, rows, out);
}

#[inline(always)]
fn body<const FUSED: bool>(probe: &[f32], rows: &[f32], out: &mut [f32]) {
    if probe.is_empty() {
        out.fill(0.0);
        return;
    }
    let (chunks, rest) = probe.as_chunks::<LANES>();
    for (row, product) in rows.chunks_exact(probe.len()).zip(out) {
        let (row_chunks, row_rest) = row.as_chunks::<LANES>();
        let mut sums = [0f32; LANES];
        for (a, b) in chunks.iter().zip(row_chunks) {
            for lane in 0..LANES {
                sums[lane] = if FUSED { a[lane].mul_add(b[lane], sums[lane]) } else { sums[lane] + a[lane] * b[lane] };
            }
        }
        let tail: f32 = rest.iter().zip(row_rest).map(|(a, b)| a * b).sum();
        *product = pairwise(sums) + tail;
    }
}

/// The lanes' sum, upper half onto lower half, so that it stays in registers.
#[inline(always)]
fn pairwise(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn every_route_gives_the_product_in_double_precision() {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut routes = vec![Route::Plain, Route::best()];
        #[cfg(target_arch = "x86_64")]
        if Route::best() == Route::Avx512 {
            routes.push(Route::Avx2);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for dimension in [0, 1, 2, 31, 32, 33, 64, 100, 127, 128, 512] {
            for count in [0, 1, 7, 40] {
                let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
                let (probe, rows) = (draw(dimension), draw(dimension * count));
                for &route in &routes {
                    let mut out = vec![f32::NAN; count];
                    products_by(route, &probe, &rows, &mut out);
                    for (i, got) in out.iter().enumerate() {
                        let row = &rows[i * dimension..(i + 1) * dimension];
                        let wanted: f64 = probe.iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                        let gap = (f64::from(*got) - wanted).abs();
                        assert!(gap < 1e-5, "{route:?}, {dimension} numbers, row {i}: {gap}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "another length")]
    fn rows_that_do_not_fit_are_no_answer() {
        products(&[1.0, 2.0], &[1.0, 2.0, 3.0], &mut [0.0]);
    }
}
