//! Inner products of 8-bit codes: one probe with many rows, contiguous or picked by row id.
//!
//! A row's codes are stored as `u8`, 128 above their value of -127 to 127; a probe's as `i8`. So one
//! instruction of AVX-512 VNNI multiplies and adds 64 of them, and the 128 too many are taken off with
//! the sum of the probe's codes. Rows are padded with zeros (stored 128) to whole cache lines of 64.
//! All sums are integers: every route gives the same answer, to the bit. On ARM the plain body is
//! compiled to NEON, which every such processor has.

/// Codes in a cache line; rows are whole lines.
pub(crate) const LINE: usize = 64;
/// What is added to a row's code.
const OFFSET: u8 = 128;
/// Rows that are prefetched ahead of the one that is being multiplied.
const AHEAD: usize = 8;
/// Bytes that a scan prefetches ahead: the processor's own guess ends at each page of 4 KiB. For rows of
/// 512, 109 searches/s with 1 or 16 KiB, 137 with 2, 133 with 4, 124 with 8, and 87 to 96 with none.
const SCAN_AHEAD: usize = 4096;

/// How rows lie in memory: chunks of `1 << chunk_bits` rows of `stride` codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// Whole rows in each; all but the last are full.
    pub chunks: &'a [Vec<u8>],
    pub chunk_bits: u32,
    /// A multiple of [`LINE`].
    pub stride: usize,
}

impl<'a> Layout<'a> {
    #[inline(always)]
    fn row(&self, at: u32) -> &'a [u8] {
        let chunk = &self.chunks[(at >> self.chunk_bits) as usize];
        let first = (at & ((1 << self.chunk_bits) - 1)) as usize * self.stride;
        &chunk[first..first + self.stride]
    }
}

/// A vector's codes as the multiplier of rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct CodedProbe {
    codes: Vec<i8>,
    /// 128 times the sum of the codes: what a product with stored rows is too much.
    surplus: i32,
}

impl CodedProbe {
    /// Codes of -127 to 127, padded with zeros to whole lines.
    pub(crate) fn new(codes: impl Iterator<Item = i8>) -> Self {
        let mut probe = Self { codes: codes.collect(), surplus: 0 };
        probe.codes.resize(probe.codes.len().next_multiple_of(LINE), 0);
        probe.measure();
        probe
    }

    /// Takes the codes of a stored row.
    pub(crate) fn copy_row(&mut self, row: &[u8]) {
        self.codes.clear();
        self.codes.extend(row.iter().map(|&stored| (stored ^ OFFSET) as i8));
        self.measure();
    }

    fn measure(&mut self) {
        self.surplus = self.codes.iter().map(|&c| i32::from(c)).sum::<i32>() * i32::from(OFFSET);
    }
}

/// A code as it is stored in a row.
pub(crate) fn stored(code: i8) -> u8 {
    code as u8 ^ OFFSET
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Route {
    #[inline]
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512f")
            {
                return Self::Vnni;
            }
            if is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        Self::Plain
    }
}

/// Where rows are likely to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// In memory, and what lies behind them is prefetched.
    Memory,
    /// In the processor's cache, where prefetching makes it half as fast.
    Cache,
}

/// Writes into `out` the product of `probe` with each of the rows that lie one after the other.
///
/// # Panics
/// When `rows` is not `out.len()` rows as long as the probe.
pub(crate) fn products_in(probe: &CodedProbe, rows: &[u8], held: Held, out: &mut [i32]) {
    in_by(Route::best(), probe, rows, held, out);
}

/// Writes into `out` the product of `probe` with each of the rows of those ids.
///
/// # Panics
/// When an id names no row, or rows and probe differ in length, or `ids` and `out` do.
pub(crate) fn products_at(probe: &CodedProbe, rows: Layout, ids: &[u32], out: &mut [i32]) {
    at_by(Route::best(), probe, rows, ids, out);
}

/// Rows by their place among those asked for. Not closures, which the compiler left as calls in the innermost
/// loops: a seventh of the time in which a graph is built.
trait Asked<'a> {
    fn row(&self, i: usize) -> &'a [u8];
}

/// Rows that lie one after the other.
struct InOrder<'a, const ASK_AHEAD: bool> {
    rows: &'a [u8],
    stride: usize,
}

impl<'a, const ASK_AHEAD: bool> Asked<'a> for InOrder<'a, ASK_AHEAD> {
    #[inline(always)]
    fn row(&self, i: usize) -> &'a [u8] {
        let row = &self.rows[i * self.stride..(i + 1) * self.stride];
        if ASK_AHEAD {
            prefetch(row.as_ptr().wrapping_add(SCAN_AHEAD), row.len());
        }
        row
    }
}

/// Rows of these ids; those that come soon are prefetched.
struct Picked<'a> {
    layout: Layout<'a>,
    ids: &'a [u32],
}

impl<'a> Asked<'a> for Picked<'a> {
    #[inline(always)]
    fn row(&self, i: usize) -> &'a [u8] {
        if let Some(&next) = self.ids.get(i + AHEAD) {
            let next = self.layout.row(next);
            prefetch(next.as_ptr(), next.len());
        }
        self.layout.row(self.ids[i])
    }
}

fn in_by(route: Route, probe: &CodedProbe, rows: &[u8], held: Held, out: &mut [i32]) {
    let stride = probe.codes.len();
    assert_eq!(rows.len(), stride * out.len(), "rows of another length than the probe");
    match held {
        Held::Memory => by(route, probe, &InOrder::<true> { rows, stride }, out),
        Held::Cache => by(route, probe, &InOrder::<false> { rows, stride }, out),
    }
}

fn at_by(route: Route, probe: &CodedProbe, layout: Layout, ids: &[u32], out: &mut [i32]) {
    assert_eq!(layout.stride, probe.codes.len(), "rows of another length than the probe");
    assert_eq!(ids.len(), out.len(), "a place for each product");
    for &id in ids.iter().take(AHEAD) {
        let row = layout.row(id);
        prefetch(row.as_ptr(), row.len());
    }
    by(route, probe, &Picked { layout, ids }, out);
}

#[inline(always)]
fn by<'a>(route: Route, probe: &CodedProbe, rows: &impl Asked<'a>, out: &mut [i32]) {
    match route {
        Route::Plain => each(probe, out, rows),
        // SAFETY: `Route::best` names this route only where the processor has AVX2.
        #[cfg(target_arch = "x86_64")]
        Route::Avx2 => unsafe { x86::each_avx2(probe, out, rows) },
        // SAFETY: `Route::best` names this route only where the processor has AVX-512 F, BW and VNNI.
        #[cfg(target_arch = "x86_64")]
        Route::Vnni => unsafe { x86::each_vnni(probe, out, rows) },
    }
}

/// Asks the processor to fetch `length` bytes. Where it cannot be asked, nothing happens.
#[inline(always)]
fn prefetch(from: *const u8, length: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..length).step_by(LINE) {
        // SAFETY: a prefetch reads nothing that the program can see, at any address; SSE is baseline.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.wrapping_add(line).cast())
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, length);
}

#[inline(always)]
fn each<'a>(probe: &CodedProbe, out: &mut [i32], rows: &impl Asked<'a>) {
    for (i, product) in out.iter_mut().enumerate() {
        let sum: i32 = rows.row(i).iter().zip(&probe.codes).map(|(&r, &p)| i32::from(r) * i32::from(p)).sum();
        *product = sum - probe.surplus;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Asked, CodedProbe, LINE, OFFSET};

    /// Rows whose sums are folded together.
    const TOGETHER: usize = 4;

    /// The totals of four registers of eight 32-bit sums.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn fold(sums: [__m256i; TOGETHER]) -> __m128i {
        let pairs = [_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3])];
        let quads = _mm256_hadd_epi32(pairs[0], pairs[1]);
        _mm_add_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256::<1>(quads))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn put(totals: __m128i, surplus: i32, out: &mut [i32; TOGETHER]) {
        let totals = _mm_sub_epi32(totals, _mm_set1_epi32(surplus));
        // SAFETY: `out` is 16 bytes that may be written; the store needs no alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), totals) };
    }

    #[inline(always)]
    fn fit(rows: &[&[u8]; TOGETHER], length: usize) {
        assert!(rows.iter().all(|r| r.len() == length), "a row of another length than the probe");
    }

    /// Calls `sum` for each four rows; the last group, where it is not full, repeats its last row.
    macro_rules! by_fours {
        ($probe:ident, $out:ident, $asked:ident, $sum:ident, $surplus:expr) => {
            let (codes, surplus) = (&$probe.codes, $surplus);
            let (full, rest) = $out.as_chunks_mut::<TOGETHER>();
            let mut at = 0;
            for out in full.iter_mut() {
                let rows = [$asked.row(at), $asked.row(at + 1), $asked.row(at + 2), $asked.row(at + 3)];
                fit(&rows, codes.len());
                put($sum(codes, rows), surplus, out);
                at += TOGETHER;
            }
            if let Some(last) = rest.len().checked_sub(1) {
                let mut out = [0; TOGETHER];
                let row = |i: usize| $asked.row(at + i.min(last));
                let rows = [row(0), row(1), row(2), row(3)];
                fit(&rows, codes.len());
                put($sum(codes, rows), surplus, &mut out);
                rest.copy_from_slice(&out[..=last]);
            }
        };
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn each_avx2<'a>(probe: &CodedProbe, out: &mut [i32], asked: &impl Asked<'a>) {
        by_fours!(probe, out, asked, four_avx2, 0);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2")]
    pub(super) fn each_vnni<'a>(probe: &CodedProbe, out: &mut [i32], asked: &impl Asked<'a>) {
        by_fours!(probe, out, asked, four_vnni, probe.surplus);
    }

    /// Rows are as long as the probe, which is whole lines. The row's codes take the probe's signs, so that they
    /// can be multiplied by its magnitudes: two products of at most 127 * 127 fit 16 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn four_avx2(probe: &[i8], rows: [&[u8]; TOGETHER]) -> __m128i {
        const HALF: usize = 32;
        let (offset, ones) = (_mm256_set1_epi8(OFFSET as i8), _mm256_set1_epi16(1));
        let mut sums = [_mm256_setzero_si256(); TOGETHER];
        for at in (0..probe.len()).step_by(HALF) {
            // SAFETY: `at + HALF` is within the probe, whose length is a multiple of LINE; no alignment is needed.
            let p = unsafe { _mm256_loadu_si256(probe[at..at + HALF].as_ptr().cast()) };
            let magnitude = _mm256_abs_epi8(p);
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above; the slice holds the 32 bytes that are read.
                let r = unsafe { _mm256_loadu_si256(row[at..at + HALF].as_ptr().cast()) };
                let signed = _mm256_sign_epi8(_mm256_xor_si256(r, offset), p);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, signed), ones));
            }
        }
        fold(sums)
    }

    /// Rows are as long as the probe, which is whole lines.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2")]
    fn four_vnni(probe: &[i8], rows: [&[u8]; TOGETHER]) -> __m128i {
        let mut sums = [_mm512_setzero_si512(); TOGETHER];
        for at in (0..probe.len()).step_by(LINE) {
            // SAFETY: the slice holds the 64 bytes that are read; no alignment is needed.
            let p = unsafe { _mm512_loadu_si512(probe[at..at + LINE].as_ptr().cast()) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                let r = unsafe { _mm512_loadu_si512(row[at..at + LINE].as_ptr().cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, r, p);
            }
        }
        fold(sums.map(|s| _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64::<1>(s))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn routes() -> Vec<Route> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut routes = vec![Route::Plain, Route::best()];
        #[cfg(target_arch = "x86_64")]
        if Route::best() == Route::Vnni {
            routes.push(Route::Avx2);
        }
        routes
    }

    #[test]
    fn every_route_gives_the_same_integers() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for dimension in [1, 3, 63, 64, 65, 128, 512] {
            let stride = usize::next_multiple_of(dimension, LINE);
            let chunk_bits = 3;
            for count in [1, 3, 4, 5, 8, 21] {
                // The largest codes too: sums of 16-bit products would overflow first.
                let extreme = count == 5;
                let mut draw = || if extreme { 127 } else { rng.random_range(-127i8..=127) };
                let probe: Vec<i8> = (0..dimension).map(|_| draw()).collect();
                let rows: Vec<Vec<i8>> = (0..count).map(|_| (0..dimension).map(|_| draw()).collect()).collect();
                let wanted: Vec<i32> = rows
                    .iter()
                    .map(|r| r.iter().zip(&probe).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum())
                    .collect();
                let mut flat = Vec::new();
                for row in &rows {
                    flat.extend(row.iter().map(|&c| stored(c)));
                    flat.resize(flat.len().next_multiple_of(stride), stored(0));
                }
                let chunks: Vec<Vec<u8>> = flat.chunks(stride << chunk_bits).map(<[u8]>::to_vec).collect();
                let layout = Layout { chunks: &chunks, chunk_bits, stride };
                let probe = CodedProbe::new(probe.into_iter());
                let ids: Vec<u32> = (0..3 * count as u32).map(|i| i * 7 % count as u32).collect();
                for &route in &routes() {
                    for held in [Held::Memory, Held::Cache] {
                        let mut out = vec![-1; count];
                        in_by(route, &probe, &flat, held, &mut out);
                        assert_eq!(out, wanted, "{route:?}, {dimension} codes");
                    }
                    let mut out = vec![-1; ids.len()];
                    at_by(route, &probe, layout, &ids, &mut out);
                    let picked: Vec<i32> = ids.iter().map(|&id| wanted[id as usize]).collect();
                    assert_eq!(out, picked, "{route:?}, {dimension} codes");
                }
                let mut copied = CodedProbe::default();
                copied.copy_row(layout.row(0));
                let mut out = [0];
                products_in(&copied, layout.row(0), Held::Cache, &mut out);
                let square: i32 = rows[0].iter().map(|&c| i32::from(c).pow(2)).sum();
                assert_eq!(out, [square], "a row as probe");
            }
        }
    }

    #[test]
    #[should_panic(expected = "another length")]
    fn rows_that_do_not_fit_are_no_answer() {
        products_in(&CodedProbe::new([1].into_iter()), &[0; 65], Held::Cache, &mut [0]);
    }
}
