//! Pairs of 16-bit whole numbers, multiplied and added into sixteen 32-bit sums.

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512, Pair};
use super::lanes::{LANES, Lanes, Plain};

/// Sixteen 32-bit numbers, or as many pairs of 16-bit ones, and what kernels do with them.
///
/// # Safety
/// As for [`Lanes`]; pointers are valid for the thirty-two numbers (for `splat_pair`, the two) that are read.
pub(super) trait PairLanes: Lanes {
    type Sums: Copy;

    unsafe fn no_sums() -> Self::Sums;
    unsafe fn load_pairs(from: *const i16) -> Self::Sums;
    /// The pair at `from`, sixteen times.
    unsafe fn splat_pair(from: *const i16) -> Self::Sums;
    /// To each sum the products of two pairs: `a.0 * b.0 + a.1 * b.1`.
    unsafe fn add_products(a: Self::Sums, b: Self::Sums, sums: Self::Sums) -> Self::Sums;
    unsafe fn floats(sums: Self::Sums) -> Self::Vector;
}

impl PairLanes for Plain {
    type Sums = [i32; LANES];

    #[inline(always)]
    unsafe fn no_sums() -> [i32; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn load_pairs(from: *const i16) -> [i32; LANES] {
        // SAFETY: thirty-two numbers can be read, as the trait demands.
        unsafe { from.cast::<[i32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat_pair(from: *const i16) -> [i32; LANES] {
        // SAFETY: two numbers can be read, as the trait demands.
        [unsafe { from.cast::<i32>().read_unaligned() }; LANES]
    }

    #[inline(always)]
    unsafe fn add_products(a: [i32; LANES], b: [i32; LANES], sums: [i32; LANES]) -> [i32; LANES] {
        let halves = |v: i32| (i32::from(v as i16), v >> 16);
        std::array::from_fn(|i| {
            let ((a_low, a_high), (b_low, b_high)) = (halves(a[i]), halves(b[i]));
            sums[i].wrapping_add((a_low * b_low).wrapping_add(a_high * b_high))
        })
    }

    #[inline(always)]
    unsafe fn floats(sums: [i32; LANES]) -> [f32; LANES] {
        sums.map(|v| v as f32)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Avx2, Avx512, Pair, PairLanes};

    // SAFETY (of every block below): the processor has AVX2 and pointers are valid, as the trait demands of
    // callers.
    impl PairLanes for Avx2 {
        type Sums = (__m256i, __m256i);

        #[inline(always)]
        unsafe fn no_sums() -> Self::Sums {
            // SAFETY: see the head of the implementation.
            unsafe { (_mm256_setzero_si256(), _mm256_setzero_si256()) }
        }

        #[inline(always)]
        unsafe fn load_pairs(from: *const i16) -> Self::Sums {
            // SAFETY: see the head of the implementation.
            unsafe { (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(16).cast())) }
        }

        #[inline(always)]
        unsafe fn splat_pair(from: *const i16) -> Self::Sums {
            // SAFETY: see the head of the implementation.
            let pair = unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) };
            (pair, pair)
        }

        #[inline(always)]
        unsafe fn add_products(a: Self::Sums, b: Self::Sums, sums: Self::Sums) -> Self::Sums {
            // SAFETY: see the head of the implementation.
            unsafe {
                (
                    _mm256_add_epi32(sums.0, _mm256_madd_epi16(a.0, b.0)),
                    _mm256_add_epi32(sums.1, _mm256_madd_epi16(a.1, b.1)),
                )
            }
        }

        #[inline(always)]
        unsafe fn floats(sums: Self::Sums) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_cvtepi32_ps(sums.0), _mm256_cvtepi32_ps(sums.1)) }
        }
    }

    // SAFETY (of every block below): the processor has AVX-512F and AVX512-VNNI and pointers are valid, as
    // the trait demands of callers.
    impl PairLanes for Avx512 {
        type Sums = __m512i;

        #[inline(always)]
        unsafe fn no_sums() -> __m512i {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn load_pairs(from: *const i16) -> __m512i {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn splat_pair(from: *const i16) -> __m512i {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn add_products(a: __m512i, b: __m512i, sums: __m512i) -> __m512i {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_dpwssd_epi32(sums, a, b) }
        }

        #[inline(always)]
        unsafe fn floats(sums: __m512i) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_cvtepi32_ps(sums) }
        }
    }
}
