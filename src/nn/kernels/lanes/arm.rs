//! Vectors of f32 in the registers of Arm's Advanced SIMD.

use std::arch::aarch64::*;

use crate::lanes::{LANES, Vectors, arithmetic, load_floats_as_they_are};

/// Advanced SIMD: four registers a vector.
pub(crate) struct Neon;

/// # Safety
/// The processor has Advanced SIMD.
#[inline(always)]
unsafe fn multiply_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
    // SAFETY: handed on to the caller.
    unsafe { vfmaq_f32(c, a, b) }
}

impl Vectors for Neon {
    type Number = f32;
    type Vector = [float32x4_t; 4];
    const WIDTH: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: the processor has Advanced SIMD and pointers are valid, as the trait demands of callers.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
    }

    load_floats_as_they_are!();

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::Vector) {
        for (at, v) in v.into_iter().enumerate() {
            // SAFETY: as in `load`.
            unsafe { vst1q_f32(to.add(4 * at), v) }
        }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::Vector {
        // SAFETY: as in `load`.
        [unsafe { vld1q_dup_f32(from) }; 4]
    }

    arithmetic!([0 1 2 3] multiply_add vaddq_f32 vsubq_f32 vmulq_f32 vmaxq_f32 vminq_f32);
}
