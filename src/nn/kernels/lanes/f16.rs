//! Vectors of binary16 (f16) values, whose arithmetic AVX-512 FP16 has; plain code is its reference.
//!
//! Sums of products take two values at a time: one lane of a vector sums those of even places, the next those of
//! odd ones, and at the end both are added. So the two are read with one broadcast of 32 bits, which a load does alone
//! (one of 16 bits also takes the port that multiplies), and half as many roundings follow each other.

use half::f16;

use crate::lanes::{LANES, MapProducts, Number, Products, Vectors};

// SAFETY: any sixteen bits are an f16, and two lie in an f32 without padding.
unsafe impl Number for f16 {
    const ZERO: Self = Self::ZERO;
    const SIX: Self = Self::from_f32_const(6.0);
    const IN_ONE: usize = 2;
}

/// Sums of sixteen outputs over pairs of f16 values, and vectors twice as wide.
///
/// # Safety
/// As for [`Products`]; for `twice`, sixteen values can be read.
pub(crate) trait F16Products: MapProducts<f16> {
    /// Thirty-two values.
    type Two: Vectors<Number = f16>;

    /// The sixteen values at `from`, two times.
    unsafe fn twice(from: *const f16) -> <Self::Two as Vectors>::Vector;
}

/// The least normal f16, and the first power of two above all of them.
const LEAST_NORMAL: f32 = 1.0 / 16_384.0;
const BEYOND: f32 = 65_536.0;

/// What an f16 is worth. Without a branch, so that loops over it become vectors: plain code runs whole networks in tests.
/// (`f16::to_f64` asks at each value what the processor can do.)
#[inline(always)]
fn value(v: f16) -> f64 {
    let bits = u32::from(v.to_bits());
    // Exponent and fraction in an f32's places, whose exponents count from 112 further down.
    let small = f32::from_bits((bits & 0x7fff) << 13);
    let scaled = small * f32::from_bits((127 + 112) << 23);
    let special = f32::from_bits(small.to_bits() | 0x7f80_0000);
    let size = if bits & 0x7c00 == 0x7c00 { special } else { scaled };
    f64::from(f32::from_bits(size.to_bits() | (bits & 0x8000) << 16))
}

/// The nearest f16, and of two as near the even one. Without a branch, as [`value`]. (`f16::from_f64` rounds to f32 on
/// its way.)
#[inline(always)]
fn rounded(v: f64) -> f16 {
    const EXPONENT: u64 = 0x7ff << 52;
    // 2^42 times the power of two below the value: beside it, an f64 has the last place of an f16 for its own.
    let power = (v.to_bits() & EXPONENT).clamp(f64::from(LEAST_NORMAL).to_bits(), f64::from(BEYOND).to_bits());
    let beside = f64::from_bits(power + (42 << 52)).copysign(v);
    let near = ((v + beside) - beside).abs() as f32;
    let bits = near.to_bits();
    let normal = (bits >> 13).wrapping_sub(112 << 10);
    // A half has the least f16 for its last place.
    let subnormal = (near + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if near < LEAST_NORMAL { subnormal } else { normal };
    let size = if near >= BEYOND { 0x7c00 } else { finite };
    let size = if near.is_nan() { 0x7e00 | (bits >> 13 & 0x3ff) } else { size };
    f16::from_bits((size | (v.to_bits() >> 48) as u32 & 0x8000) as u16)
}

/// Plain code over `W` values: each result is rounded once, as the instructions do.
pub(crate) struct PlainF16<const W: usize>;

/// `f` of the values at each place. A loop, which becomes vectors; `std::array::from_fn` becomes a call for each place.
#[inline(always)]
fn each<const W: usize>([a, b, c]: [[f16; W]; 3], f: impl Fn([f64; 3]) -> f64) -> [f16; W] {
    let mut out = [f16::ZERO; W];
    for (i, out) in out.iter_mut().enumerate() {
        *out = rounded(f([value(a[i]), value(b[i]), value(c[i])]));
    }
    out
}

impl<const W: usize> Vectors for PlainF16<W> {
    type Number = f16;
    type Vector = [f16; W];
    const WIDTH: usize = W;

    #[inline(always)]
    unsafe fn load(from: *const f16) -> [f16; W] {
        // SAFETY: as many values can be read, as the trait demands; an array is aligned as its elements are.
        unsafe { from.cast::<[f16; W]>().read() }
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> [f16; W] {
        // SAFETY: as many f32 can be read, as the trait demands.
        unsafe { from.cast::<[f32; W]>().read().map(f16::from_f32) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f16, v: [f16; W]) {
        // SAFETY: as many values can be written, as the trait demands.
        unsafe { to.cast::<[f16; W]>().write(v) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f16) -> [f16; W] {
        // SAFETY: one value can be read, as the trait demands.
        [unsafe { *from }; W]
    }

    // Products are exact in f64, and so are their sums but where they are 2^30 times as large as each other.
    #[inline(always)]
    unsafe fn multiply_add(a: [f16; W], b: [f16; W], c: [f16; W]) -> [f16; W] {
        each([a, b, c], |[a, b, c]| a * b + c)
    }

    #[inline(always)]
    unsafe fn add(a: [f16; W], b: [f16; W]) -> [f16; W] {
        each([a, b, b], |[a, b, _]| a + b)
    }

    #[inline(always)]
    unsafe fn subtract(a: [f16; W], b: [f16; W]) -> [f16; W] {
        each([a, b, b], |[a, b, _]| a - b)
    }

    #[inline(always)]
    unsafe fn multiply(a: [f16; W], b: [f16; W]) -> [f16; W] {
        each([a, b, b], |[a, b, _]| a * b)
    }

    #[inline(always)]
    unsafe fn max(a: [f16; W], b: [f16; W]) -> [f16; W] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn min(a: [f16; W], b: [f16; W]) -> [f16; W] {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
}

/// Plain code's sums.
pub(crate) struct PlainPairs;

impl Products<f16> for PlainPairs {
    const STEP: usize = 2;
    type Sums = [f16; 2 * LANES];

    #[inline(always)]
    unsafe fn load_weights(from: *const f16) -> Self::Sums {
        // SAFETY: handed on to the caller.
        unsafe { PlainF16::load(from) }
    }

    #[inline(always)]
    unsafe fn splat_values(from: *const f16) -> Self::Sums {
        // SAFETY: two values can be read, as the trait demands.
        let pair = unsafe { from.cast::<[f16; 2]>().read() };
        let mut values = [f16::ZERO; 2 * LANES];
        for two in values.as_chunks_mut::<2>().0 {
            *two = pair;
        }
        values
    }

    #[inline(always)]
    unsafe fn add_products(a: Self::Sums, b: Self::Sums, sums: Self::Sums) -> Self::Sums {
        // SAFETY: plain code reads no memory for this.
        unsafe { PlainF16::multiply_add(a, b, sums) }
    }

    #[inline(always)]
    fn prefetch(_from: *const f16) {}
}

impl MapProducts<f16> for PlainPairs {
    type Out = PlainF16<LANES>;

    #[inline(always)]
    unsafe fn begin(bias: *const f32) -> Self::Sums {
        // SAFETY: handed on to the caller.
        let bias = unsafe { PlainF16::<LANES>::load_floats(bias) };
        std::array::from_fn(|i| if i % 2 == 0 { bias[i / 2] } else { f16::ZERO })
    }

    #[inline(always)]
    unsafe fn finish<const P: usize, const N: usize>(sums: [[Self::Sums; N]; P]) -> [[[f16; LANES]; N]; P] {
        let whole = |sums: Self::Sums| {
            let (mut even, mut odd) = ([f16::ZERO; LANES], [f16::ZERO; LANES]);
            for (i, [a, b]) in sums.as_chunks::<2>().0.iter().enumerate() {
                (even[i], odd[i]) = (*a, *b);
            }
            each([even, odd, odd], |[a, b, _]| a + b)
        };
        sums.map(|sums| sums.map(whole))
    }
}

impl F16Products for PlainPairs {
    type Two = PlainF16<{ 2 * LANES }>;

    #[inline(always)]
    unsafe fn twice(from: *const f16) -> [f16; 2 * LANES] {
        // SAFETY: handed on to the caller.
        let once = unsafe { PlainF16::<LANES>::load(from) };
        std::array::from_fn(|i| once[i % LANES])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use half::f16;

    use super::F16Products;
    use crate::lanes::{LANES, MapProducts, Products, Vectors, arithmetic, fetch_by_prefetch};

    /// Thirty-two values in a register.
    pub(crate) struct Wide;

    impl Vectors for Wide {
        type Number = f16;
        type Vector = __m512h;
        const WIDTH: usize = 2 * LANES;

        #[inline(always)]
        unsafe fn load(from: *const f16) -> Self::Vector {
            // SAFETY: the processor has AVX-512 FP16, BW and VL, and pointers are valid, as the trait demands of callers.
            unsafe { _mm512_castsi512_ph(_mm512_loadu_si512(from.cast())) }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> Self::Vector {
            // SAFETY: as in `load`.
            unsafe {
                let rounded = |from| _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm512_loadu_ps(from));
                let (lower, upper) = (rounded(from), rounded(from.add(LANES)));
                _mm512_castsi512_ph(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper))
            }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f16, v: Self::Vector) {
            // SAFETY: as in `load`.
            unsafe { _mm512_storeu_si512(to.cast(), _mm512_castph_si512(v)) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f16) -> Self::Vector {
            // SAFETY: as in `load`.
            unsafe { _mm512_castsi512_ph(_mm512_set1_epi16((*from).to_bits().cast_signed())) }
        }

        arithmetic!([] _mm512_fmadd_ph _mm512_add_ph _mm512_sub_ph _mm512_mul_ph _mm512_max_ph _mm512_min_ph);
    }

    /// Sixteen values in half a register.
    pub(crate) struct Narrow;

    impl Vectors for Narrow {
        type Number = f16;
        type Vector = __m256h;
        const WIDTH: usize = LANES;

        #[inline(always)]
        unsafe fn load(from: *const f16) -> Self::Vector {
            // SAFETY: as for `Wide`.
            unsafe { _mm256_castsi256_ph(_mm256_loadu_si256(from.cast())) }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> Self::Vector {
            // SAFETY: as for `Wide`.
            unsafe { _mm256_castsi256_ph(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm512_loadu_ps(from))) }
        }

        fetch_by_prefetch!(f16);

        #[inline(always)]
        unsafe fn store(to: *mut f16, v: Self::Vector) {
            // SAFETY: as for `Wide`.
            unsafe { _mm256_storeu_si256(to.cast(), _mm256_castph_si256(v)) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f16) -> Self::Vector {
            // SAFETY: as for `Wide`.
            unsafe { _mm256_castsi256_ph(_mm256_set1_epi16((*from).to_bits().cast_signed())) }
        }

        arithmetic!([] _mm256_fmadd_ph _mm256_add_ph _mm256_sub_ph _mm256_mul_ph _mm256_max_ph _mm256_min_ph);
    }

    /// Sums of AVX-512 FP16.
    pub(crate) struct Pairs;

    impl Products<f16> for Pairs {
        const STEP: usize = 2;
        type Sums = __m512h;

        #[inline(always)]
        unsafe fn load_weights(from: *const f16) -> Self::Sums {
            // SAFETY: as for `Wide`.
            unsafe { Wide::load(from) }
        }

        #[inline(always)]
        unsafe fn splat_values(from: *const f16) -> Self::Sums {
            // SAFETY: as for `Wide`.
            unsafe { _mm512_castsi512_ph(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
        }

        #[inline(always)]
        unsafe fn add_products(a: Self::Sums, b: Self::Sums, sums: Self::Sums) -> Self::Sums {
            // SAFETY: as for `Wide`.
            unsafe { Wide::multiply_add(a, b, sums) }
        }

        #[inline(always)]
        fn prefetch(from: *const f16) {
            Narrow::fetch(from);
        }
    }

    impl MapProducts<f16> for Pairs {
        type Out = Narrow;

        #[inline(always)]
        unsafe fn begin(bias: *const f32) -> Self::Sums {
            // SAFETY: as for `Wide`.
            unsafe { _mm512_castsi512_ph(_mm512_cvtepu16_epi32(_mm256_castph_si256(Narrow::load_floats(bias)))) }
        }

        #[inline(always)]
        unsafe fn finish<const P: usize, const N: usize>(sums: [[Self::Sums; N]; P]) -> [[__m256h; N]; P] {
            // SAFETY: as for `Wide`; one value is read.
            unsafe {
                let mut values = [[Narrow::splat(&f16::ZERO); N]; P];
                for (values, sums) in values.iter_mut().zip(&sums) {
                    for (v, &sum) in values.iter_mut().zip(sums) {
                        let swapped = _mm512_castsi512_ph(_mm512_ror_epi32::<16>(_mm512_castph_si512(sum)));
                        let both = _mm512_castph_si512(_mm512_add_ph(sum, swapped));
                        *v = _mm256_castsi256_ph(_mm512_cvtepi32_epi16(both));
                    }
                }
                values
            }
        }
    }

    impl F16Products for Pairs {
        type Two = Wide;

        #[inline(always)]
        unsafe fn twice(from: *const f16) -> __m512h {
            // SAFETY: as for `Wide`.
            unsafe { _mm512_castsi512_ph(_mm512_broadcast_i64x4(_mm256_loadu_si256(from.cast()))) }
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Narrow, Pairs, Wide};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_two_f16_become_the_nearer_one() {
        let next = |half: f16| f16::from_bits(half.to_bits() + 1);
        for half in [0.0, 5e-8, 3e-5, 6.1e-5, 0.3, 1.0, 1.001, 2047.0, 60_000.0].map(f16::from_f32) {
            let (a, b) = (half.to_f64(), next(half).to_f64());
            let middle = (a + b) / 2.0;
            let even = if half.to_bits().is_multiple_of(2) { half } else { next(half) };
            // The least that an f64 of that size can be off by: an f32 would not see it.
            let least = middle * f64::EPSILON;
            for (v, wanted) in [(a, half), (middle - least, half), (middle, even), (middle + least, next(half))] {
                assert_eq!((rounded(v), rounded(-v)), (wanted, -wanted), "{v}");
            }
        }
        assert!(rounded(f64::NAN).is_nan() && rounded(70_000.0).is_infinite());
        assert_eq!(rounded(65_519.0), f16::MAX);
    }

    #[test]
    fn without_branches_it_is_what_the_crate_has() {
        for v in (0..=u16::MAX).map(f16::from_bits) {
            if v.is_nan() {
                assert!(value(v).is_nan() && rounded(v.to_f64()).is_nan());
                continue;
            }
            assert_eq!(value(v).to_bits(), v.to_f64().to_bits(), "{v:?}");
            assert_eq!(rounded(v.to_f64()).to_bits(), v.to_bits(), "{v:?}");
        }
        // What is far from the middle of two is rounded alike on either way.
        let mut state = 1u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let v = f32::from_bits((state >> 32) as u32);
            let (ours, theirs) = (rounded(f64::from(v)), f16::from_f32(v));
            assert!(ours.to_bits() == theirs.to_bits() || v.is_nan() && ours.is_nan() && theirs.is_nan(), "{v}");
        }
        assert_eq!(rounded(f64::MAX).to_bits(), f16::INFINITY.to_bits());
        assert_eq!(rounded(-1e-300).to_bits(), f16::NEG_ZERO.to_bits());
    }
}
