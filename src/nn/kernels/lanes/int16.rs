//! Pairs of int16 values, multiplied and added into sixteen 32-bit sums.

use crate::lanes::plain::Plain;
use crate::lanes::{LANES, Lanes, Products};

/// Sixteen 32-bit sums of products of int16 pairs.
///
/// # Safety
/// As for [`Products`].
pub(crate) trait Int16Products: Lanes + Products<i16> {
    unsafe fn no_sums() -> <Self as Products<i16>>::Sums;
    unsafe fn floats(sums: <Self as Products<i16>>::Sums) -> Self::Vector;
}

impl Products<i16> for Plain {
    const STEP: usize = 2;
    type Sums = [i32; LANES];

    #[inline(always)]
    unsafe fn load_weights(from: *const i16) -> [i32; LANES] {
        // SAFETY: thirty-two values can be read, as the trait demands.
        unsafe { from.cast::<[i32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat_values(from: *const i16) -> [i32; LANES] {
        // SAFETY: two values can be read, as the trait demands.
        [unsafe { from.cast::<i32>().read_unaligned() }; LANES]
    }

    #[inline(always)]
    unsafe fn add_products(a: [i32; LANES], b: [i32; LANES], sums: [i32; LANES]) -> [i32; LANES] {
        let pair = |v: i32| (i32::from(v as i16), v >> 16);
        // A loop, as `each` of plain code.
        let mut out = [0; LANES];
        for (i, out) in out.iter_mut().enumerate() {
            let ((a_low, a_high), (b_low, b_high)) = (pair(a[i]), pair(b[i]));
            *out = sums[i].wrapping_add((a_low * b_low).wrapping_add(a_high * b_high));
        }
        out
    }

    #[inline(always)]
    fn prefetch(_from: *const i16) {}
}

impl Int16Products for Plain {
    #[inline(always)]
    unsafe fn no_sums() -> [i32; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn floats(sums: [i32; LANES]) -> [f32; LANES] {
        sums.map(|v| v as f32)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Int16Products;
    use crate::lanes::x86::{Avx2, Avx512};
    use crate::lanes::{Products, Vectors};

    impl Products<i16> for Avx2 {
        const STEP: usize = 2;
        type Sums = [__m256i; 2];

        #[inline(always)]
        unsafe fn load_weights(from: *const i16) -> Self::Sums {
            // SAFETY: the processor has AVX2 and pointers are valid, as the trait demands of callers.
            unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(16).cast())] }
        }

        #[inline(always)]
        unsafe fn splat_values(from: *const i16) -> Self::Sums {
            // SAFETY: as in `load_weights`.
            [unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }; 2]
        }

        #[inline(always)]
        unsafe fn add_products(a: Self::Sums, b: Self::Sums, sums: Self::Sums) -> Self::Sums {
            // SAFETY: as in `load_weights`.
            unsafe {
                [
                    _mm256_add_epi32(sums[0], _mm256_madd_epi16(a[0], b[0])),
                    _mm256_add_epi32(sums[1], _mm256_madd_epi16(a[1], b[1])),
                ]
            }
        }

        #[inline(always)]
        fn prefetch(from: *const i16) {
            Self::fetch(from.cast());
        }
    }

    impl Int16Products for Avx2 {
        #[inline(always)]
        unsafe fn no_sums() -> [__m256i; 2] {
            // SAFETY: as in `load_weights`.
            unsafe { [_mm256_setzero_si256(); 2] }
        }

        #[inline(always)]
        unsafe fn floats(sums: [__m256i; 2]) -> Self::Vector {
            // SAFETY: as in `load_weights`.
            unsafe { [_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])] }
        }
    }

    impl Products<i16> for Avx512 {
        const STEP: usize = 2;
        type Sums = __m512i;

        #[inline(always)]
        unsafe fn load_weights(from: *const i16) -> __m512i {
            // SAFETY: the processor has AVX-512F and VNNI and pointers are valid, as the trait demands of callers.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn splat_values(from: *const i16) -> __m512i {
            // SAFETY: as in `load_weights`.
            unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
        }

        #[inline(always)]
        unsafe fn add_products(a: __m512i, b: __m512i, sums: __m512i) -> __m512i {
            // SAFETY: as in `load_weights`.
            unsafe { _mm512_dpwssd_epi32(sums, a, b) }
        }

        #[inline(always)]
        fn prefetch(from: *const i16) {
            Self::fetch(from.cast());
        }
    }

    impl Int16Products for Avx512 {
        #[inline(always)]
        unsafe fn no_sums() -> __m512i {
            // SAFETY: as in `load_weights`.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn floats(sums: __m512i) -> Self::Vector {
            // SAFETY: as in `load_weights`.
            unsafe { _mm512_cvtepi32_ps(sums) }
        }
    }
}
