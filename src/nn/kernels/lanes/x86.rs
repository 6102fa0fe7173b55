//! Vectors of f32 in the registers of AVX2 and AVX-512.

use std::arch::x86_64::*;

use crate::lanes::{LANES, Vectors, arithmetic, fetch_by_prefetch, load_floats_as_they_are};

/// AVX2 with FMA: two registers a vector.
pub(crate) struct Avx2;

impl Vectors for Avx2 {
    type Number = f32;
    type Vector = [__m256; 2];
    const WIDTH: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: the processor has AVX2 and pointers are valid, as the trait demands of callers.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    load_floats_as_they_are!();
    fetch_by_prefetch!(f32);

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::Vector) {
        // SAFETY: as in `load`.
        unsafe {
            _mm256_storeu_ps(to, v[0]);
            _mm256_storeu_ps(to.add(8), v[1]);
        }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::Vector {
        // SAFETY: as in `load`.
        [unsafe { _mm256_broadcast_ss(&*from) }; 2]
    }

    arithmetic!([0 1] _mm256_fmadd_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_max_ps _mm256_min_ps);
}

/// AVX-512: one register a vector.
pub(crate) struct Avx512;

impl Vectors for Avx512 {
    type Number = f32;
    type Vector = __m512;
    const WIDTH: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: the processor has AVX-512F and pointers are valid, as the trait demands of callers.
        unsafe { _mm512_loadu_ps(from) }
    }

    load_floats_as_they_are!();
    fetch_by_prefetch!(f32);

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::Vector) {
        // SAFETY: as in `load`.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::Vector {
        // SAFETY: as in `load`.
        unsafe { _mm512_set1_ps(*from) }
    }

    arithmetic!([] _mm512_fmadd_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_max_ps _mm512_min_ps);
}
