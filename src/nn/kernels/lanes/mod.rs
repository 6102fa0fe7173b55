//! Sixteen numbers at a time, in the registers of each instruction set; halves also thirty-two (see `half_lanes`).
//!
//! Every kernel body is written once over [`Vectors`], or [`Lanes`], and compiled once a path. A path's functions must
//! be called only from code that is compiled for, and runs on, a processor that has its instructions.

/// Numbers in a vector of every path; channels are stored in multiples of it.
pub const LANES: usize = 16;

/// What maps hold: f32, or halves.
///
/// # Safety
/// Any bits are a number, and [`Self::IN_ONE`] of them lie in an f32 without padding.
pub(super) unsafe trait Number: Copy + Send + Sync + 'static {
    const ZERO: Self;
    const SIX: Self;
    /// How many lie in the memory of one f32.
    const IN_ONE: usize;

    /// The numbers that lie in `memory`.
    fn of(memory: &[f32]) -> &[Self] {
        // SAFETY: as the trait demands; its alignment is no greater than that of f32.
        unsafe { std::slice::from_raw_parts(memory.as_ptr().cast(), memory.len() * Self::IN_ONE) }
    }

    /// As [`Self::of`].
    fn of_mut(memory: &mut [f32]) -> &mut [Self] {
        // SAFETY: as in `of`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), memory.len() * Self::IN_ONE) }
    }
}

// SAFETY: it is one f32.
unsafe impl Number for f32 {
    const ZERO: Self = 0.0;
    const SIX: Self = 6.0;
    const IN_ONE: usize = 1;
}

/// A vector of numbers and what kernels do with them.
///
/// # Safety
/// Callers hold, for every function, that the processor has the path's instructions and that pointers
/// are valid for the vector's numbers (for `splat`, the one number) that are read or written. No
/// alignment is asked for.
pub(super) trait Vectors {
    type Number: Number;
    type Vector: Copy;
    /// Numbers in a vector.
    const WIDTH: usize;

    unsafe fn load(from: *const Self::Number) -> Self::Vector;
    /// As many f32 from there, each rounded to a number.
    unsafe fn load_floats(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut Self::Number, v: Self::Vector);
    /// Asks for the cache line at `from`, which need not be there, to be brought nearer; some paths leave that out.
    #[inline(always)]
    fn fetch(_from: *const Self::Number) {}
    /// The number at `from` in each place.
    unsafe fn splat(from: *const Self::Number) -> Self::Vector;
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The greater of each two; `b` where either is not a number (on aarch64, what is none).
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The lesser of each two; `b` where either is not a number (on aarch64, what is none).
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// No less than `least` and no more than `greatest`; what is not a number stays none.
    #[inline(always)]
    unsafe fn bounded(v: Self::Vector, least: Self::Vector, greatest: Self::Vector) -> Self::Vector {
        // SAFETY: handed on to the caller.
        unsafe { Self::min(greatest, Self::max(least, v)) }
    }

    /// What is below `zero` times `slope`; what is not a number stays none.
    #[inline(always)]
    unsafe fn prelu(v: Self::Vector, slope: Self::Vector, zero: Self::Vector) -> Self::Vector {
        // SAFETY: handed on to the caller.
        unsafe { Self::multiply_add(slope, Self::min(zero, v), Self::max(zero, v)) }
    }
}

/// Sixteen f32.
pub(super) trait Lanes: Vectors<Number = f32> {}

impl<V: Vectors<Number = f32>> Lanes for V {}

/// Asks for `N` cache lines from `from` on, which need not be there.
#[inline(always)]
pub(super) fn fetch_each<V: Vectors, const N: usize>(from: *const V::Number) {
    for n in 0..N {
        V::fetch(from.wrapping_add(n * 64 / size_of::<V::Number>()));
    }
}

/// `N` vectors, the first at `from`, each `step` numbers after the one before.
///
/// A loop, not `array::from_fn`: its closure is compiled as a function of its own, without the path's
/// instructions, which is then called for each vector.
///
/// # Safety
/// As for [`Vectors::load`], for every one of them.
#[inline(always)]
pub(super) unsafe fn load_each<V: Vectors, const N: usize>(from: *const V::Number, step: usize) -> [V::Vector; N] {
    // SAFETY: handed on to the caller.
    unsafe {
        let mut vectors = [V::splat(&V::Number::ZERO); N];
        for (n, v) in vectors.iter_mut().enumerate() {
            *v = V::load(from.add(n * step));
        }
        vectors
    }
}

/// Plain code: the twin that the others are held to, and the path of processors without one of their own.
pub(super) struct Plain;

impl Plain {
    #[inline(always)]
    fn pairs(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
        std::array::from_fn(|i| f(a[i], b[i]))
    }
}

impl Vectors for Plain {
    type Number = f32;
    type Vector = [f32; LANES];
    const WIDTH: usize = LANES;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; LANES] {
        // SAFETY: sixteen numbers can be read, as the trait demands; an array of f32 is aligned as f32 is.
        unsafe { from.cast::<[f32; LANES]>().read() }
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> [f32; LANES] {
        // SAFETY: handed on to the caller.
        unsafe { Self::load(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: [f32; LANES]) {
        // SAFETY: sixteen numbers can be written, as the trait demands.
        unsafe { to.cast::<[f32; LANES]>().write(v) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> [f32; LANES] {
        // SAFETY: one number can be read, as the trait demands.
        [unsafe { *from }; LANES]
    }

    // Fusing would be a library call where the target lacks the instruction.
    #[inline(always)]
    unsafe fn multiply_add(a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn add(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        Self::pairs(a, b, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn subtract(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        Self::pairs(a, b, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn multiply(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        Self::pairs(a, b, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn max(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        Self::pairs(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn min(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        Self::pairs(a, b, |a, b| if a < b { a } else { b })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, Vectors};

    /// AVX2 with FMA: two registers a vector.
    pub(in super::super) struct Avx2;

    #[derive(Clone, Copy)]
    pub(in super::super) struct Pair(pub __m256, pub __m256);

    // SAFETY (of every block below): the processor has AVX2 and FMA and pointers are valid, as the trait
    // demands of callers.
    impl Vectors for Avx2 {
        type Number = f32;
        type Vector = Pair;
        const WIDTH: usize = LANES;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        fn fetch(from: *const f32) {
            // SAFETY: a prefetch of any address does nothing but bring it nearer; every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> Pair {
            // SAFETY: handed on to the caller.
            unsafe { Self::load(from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, v: Pair) {
            // SAFETY: see the head of the implementation.
            unsafe {
                _mm256_storeu_ps(to, v.0);
                _mm256_storeu_ps(to.add(8), v.1);
            }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Pair {
            // SAFETY: see the head of the implementation.
            let v = unsafe { _mm256_broadcast_ss(&*from) };
            Pair(v, v)
        }

        #[inline(always)]
        unsafe fn multiply_add(a: Pair, b: Pair, c: Pair) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
        }

        #[inline(always)]
        unsafe fn add(a: Pair, b: Pair) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
        }

        #[inline(always)]
        unsafe fn subtract(a: Pair, b: Pair) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
        }

        #[inline(always)]
        unsafe fn multiply(a: Pair, b: Pair) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
        }

        #[inline(always)]
        unsafe fn max(a: Pair, b: Pair) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
        }

        #[inline(always)]
        unsafe fn min(a: Pair, b: Pair) -> Pair {
            // SAFETY: see the head of the implementation.
            unsafe { Pair(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
        }
    }

    /// AVX-512: one register a vector.
    pub(in super::super) struct Avx512;

    // SAFETY (of every block below): the processor has AVX-512F and pointers are valid, as the trait
    // demands of callers.
    impl Vectors for Avx512 {
        type Number = f32;
        type Vector = __m512;
        const WIDTH: usize = LANES;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        fn fetch(from: *const f32) {
            // SAFETY: a prefetch of any address does nothing but bring it nearer; every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> __m512 {
            // SAFETY: handed on to the caller.
            unsafe { Self::load(from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, v: __m512) {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_storeu_ps(to, v) }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f32) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_set1_ps(*from) }
        }

        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn subtract(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_max_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn min(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the head of the implementation.
            unsafe { _mm512_min_ps(a, b) }
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512, Pair};

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;

    use super::{LANES, Vectors};

    /// Advanced SIMD: four registers a vector.
    pub(in super::super) struct Neon;

    type Four = [float32x4_t; 4];

    // SAFETY (of every block below): the processor has Advanced SIMD and pointers are valid, as the trait
    // demands of callers.
    impl Vectors for Neon {
        type Number = f32;
        type Vector = Four;
        const WIDTH: usize = LANES;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Four {
            // SAFETY: see the head of the implementation.
            unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> Four {
            // SAFETY: handed on to the caller.
            unsafe { Self::load(from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, v: Four) {
            // SAFETY: see the head of the implementation.
            unsafe {
                vst1q_f32(to, v[0]);
                vst1q_f32(to.add(4), v[1]);
                vst1q_f32(to.add(8), v[2]);
                vst1q_f32(to.add(12), v[3]);
            }
        }

        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Four {
            // SAFETY: see the head of the implementation.
            [unsafe { vld1q_dup_f32(from) }; 4]
        }

        #[inline(always)]
        unsafe fn multiply_add(a: Four, b: Four, c: Four) -> Four {
            // SAFETY: see the head of the implementation.
            std::array::from_fn(|i| unsafe { vfmaq_f32(c[i], a[i], b[i]) })
        }

        #[inline(always)]
        unsafe fn add(a: Four, b: Four) -> Four {
            // SAFETY: see the head of the implementation.
            std::array::from_fn(|i| unsafe { vaddq_f32(a[i], b[i]) })
        }

        #[inline(always)]
        unsafe fn subtract(a: Four, b: Four) -> Four {
            // SAFETY: see the head of the implementation.
            std::array::from_fn(|i| unsafe { vsubq_f32(a[i], b[i]) })
        }

        #[inline(always)]
        unsafe fn multiply(a: Four, b: Four) -> Four {
            // SAFETY: see the head of the implementation.
            std::array::from_fn(|i| unsafe { vmulq_f32(a[i], b[i]) })
        }

        #[inline(always)]
        unsafe fn max(a: Four, b: Four) -> Four {
            // SAFETY: see the head of the implementation.
            std::array::from_fn(|i| unsafe { vmaxq_f32(a[i], b[i]) })
        }

        #[inline(always)]
        unsafe fn min(a: Four, b: Four) -> Four {
            // SAFETY: see the head of the implementation.
            std::array::from_fn(|i| unsafe { vminq_f32(a[i], b[i]) })
        }
    }
}
#[cfg(target_arch = "aarch64")]
pub(super) use arm::Neon;
