//! Vectors of each instruction set: sixteen f32 values at a time, or sixteen or thirty-two binary16 (f16) values.
//!
//! Every kernel is written once over [`Vectors`] or [`Products`], and compiled once for each instruction set (see
//! [`paths`]). Functions of a set may be called only from code that is compiled for, and runs on, a processor
//! that has its instructions.

pub(crate) mod aligned;
#[cfg(target_arch = "aarch64")]
pub(crate) mod arm;
pub(crate) mod f16;
pub(crate) mod int16;
pub(crate) mod paths;
pub(crate) mod plain;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// Values in an f32 vector of every instruction set; channels are stored in multiples of it.
pub const LANES: usize = 16;

/// What maps hold: f32 or f16.
///
/// # Safety
/// Any bits are a value, and [`Self::IN_ONE`] of them lie in an f32 without padding.
pub(crate) unsafe trait Number: Copy + Send + Sync + 'static {
    const ZERO: Self;
    const SIX: Self;
    /// How many lie in the memory of one f32.
    const IN_ONE: usize;

    /// The values that lie in `memory`.
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

/// A vector of values and what kernels do with it.
///
/// # Safety
/// Callers hold, for every function, that the processor has the set's instructions and that pointers
/// are valid for the vector's values (for `splat`, the one value) that are read or written. No
/// alignment is asked for.
pub(crate) trait Vectors {
    type Number: Number;
    type Vector: Copy;
    /// Values in a vector.
    const WIDTH: usize;

    unsafe fn load(from: *const Self::Number) -> Self::Vector;
    /// As many f32 from there, each rounded to [`Self::Number`].
    unsafe fn load_floats(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut Self::Number, v: Self::Vector);
    /// Prefetches the cache line at `from`, which need not be valid; does nothing on some sets.
    #[inline(always)]
    fn fetch(_from: *const Self::Number) {}
    /// The value at `from` in each lane.
    unsafe fn splat(from: *const Self::Number) -> Self::Vector;
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The greater of each two; `b` where either is NaN (on aarch64, NaN).
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The lesser of each two; `b` where either is NaN (on aarch64, NaN).
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// No less than `least` and no more than `greatest`; NaN stays NaN.
    #[inline(always)]
    unsafe fn bounded(v: Self::Vector, least: Self::Vector, greatest: Self::Vector) -> Self::Vector {
        // SAFETY: handed on to the caller.
        unsafe { Self::min(greatest, Self::max(least, v)) }
    }

    /// What is below `zero` times `slope`; NaN stays NaN.
    #[inline(always)]
    unsafe fn prelu(v: Self::Vector, slope: Self::Vector, zero: Self::Vector) -> Self::Vector {
        // SAFETY: handed on to the caller.
        unsafe { Self::multiply_add(slope, Self::min(zero, v), Self::max(zero, v)) }
    }
}

/// Sixteen f32.
pub(crate) trait Lanes: Vectors<Number = f32> {}

impl<V: Vectors<Number = f32>> Lanes for V {}

/// Sums of products for sixteen outputs: the innermost step of a GEMM tile over values `E` (f32, f16 or i16).
///
/// # Safety
/// As for [`Vectors`]; pointers are valid for [`Self::STEP`] values (for `load_weights`, of sixteen outputs).
pub(crate) trait Products<E> {
    /// Values of a pixel that one step multiplies.
    const STEP: usize;
    type Sums: Copy;

    /// The weights of sixteen outputs: `[16, STEP]`.
    unsafe fn load_weights(from: *const E) -> Self::Sums;
    /// A pixel's values, for each output.
    unsafe fn splat_values(from: *const E) -> Self::Sums;
    unsafe fn add_products(values: Self::Sums, weights: Self::Sums, sums: Self::Sums) -> Self::Sums;
    /// As [`Vectors::fetch`].
    fn prefetch(from: *const E);
}

/// Sums of products that become values of the maps that they are summed over.
///
/// # Safety
/// As for [`Vectors`].
pub(crate) trait MapProducts<E: Number>: Products<E> {
    /// Sixteen results.
    type Out: Vectors<Number = E>;

    /// Sums of nothing but sixteen biases.
    unsafe fn begin(bias: *const f32) -> Self::Sums;
    /// A whole tile, so that where nothing is to be done the sums stay in their registers.
    unsafe fn finish<const P: usize, const N: usize>(
        sums: [[Self::Sums; N]; P],
    ) -> [[<Self::Out as Vectors>::Vector; N]; P];
}

impl<L: Lanes> Products<f32> for L {
    const STEP: usize = 1;
    type Sums = L::Vector;

    #[inline(always)]
    unsafe fn load_weights(from: *const f32) -> L::Vector {
        // SAFETY: handed on to the caller.
        unsafe { L::load(from) }
    }

    #[inline(always)]
    unsafe fn splat_values(from: *const f32) -> L::Vector {
        // SAFETY: handed on to the caller.
        unsafe { L::splat(from) }
    }

    #[inline(always)]
    unsafe fn add_products(values: L::Vector, weights: L::Vector, sums: L::Vector) -> L::Vector {
        // SAFETY: handed on to the caller.
        unsafe { L::multiply_add(values, weights, sums) }
    }

    #[inline(always)]
    fn prefetch(from: *const f32) {
        L::fetch(from);
    }
}

impl<L: Lanes> MapProducts<f32> for L {
    type Out = L;

    #[inline(always)]
    unsafe fn begin(bias: *const f32) -> L::Vector {
        // SAFETY: handed on to the caller.
        unsafe { L::load(bias) }
    }

    #[inline(always)]
    unsafe fn finish<const P: usize, const N: usize>(sums: [[L::Vector; N]; P]) -> [[L::Vector; N]; P] {
        sums
    }
}

/// `N` vectors, the first at `from`, each `step` values after the one before.
///
/// A loop, not `array::from_fn`: its closure is compiled as a function of its own, without the set's
/// instructions, which is then called for each vector.
///
/// # Safety
/// As for [`Vectors::load`], for every one of them.
#[inline(always)]
pub(crate) unsafe fn load_each<V: Vectors, const N: usize>(from: *const V::Number, step: usize) -> [V::Vector; N] {
    // SAFETY: handed on to the caller.
    unsafe {
        let mut vectors = [V::splat(&V::Number::ZERO); N];
        for (n, v) in vectors.iter_mut().enumerate() {
            *v = V::load(from.add(n * step));
        }
        vectors
    }
}

/// A function of vectors by one intrinsic a register: of arrays of the registers in brackets, or of a register alone (as
/// an array of one the compiler keeps it in memory).
macro_rules! elementwise {
    ([$($register:literal)*] $name:ident(a, b) = $intrinsic:ident) => {
        #[inline(always)]
        unsafe fn $name(a: Self::Vector, b: Self::Vector) -> Self::Vector {
            // SAFETY: the processor has the instructions, as the trait demands of callers.
            unsafe { $crate::lanes::elementwise!(@call $intrinsic [$($register)*] a b) }
        }
    };
    ([$($register:literal)*] $name:ident(a, b, c) = $intrinsic:ident) => {
        #[inline(always)]
        unsafe fn $name(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            // SAFETY: the processor has the instructions, as the trait demands of callers.
            unsafe { $crate::lanes::elementwise!(@call $intrinsic [$($register)*] a b c) }
        }
    };
    (@call $intrinsic:ident [] $($a:ident)+) => { $intrinsic($($a),+) };
    (@call $intrinsic:ident [$($register:literal)+] $a:ident $b:ident) => {
        [$($intrinsic($a[$register], $b[$register])),+]
    };
    (@call $intrinsic:ident [$($register:literal)+] $a:ident $b:ident $c:ident) => {
        [$($intrinsic($a[$register], $b[$register], $c[$register])),+]
    };
}

/// The arithmetic of [`Vectors`].
macro_rules! arithmetic {
    ($registers:tt $multiply_add:ident $add:ident $subtract:ident $multiply:ident $max:ident $min:ident) => {
        $crate::lanes::elementwise!($registers multiply_add(a, b, c) = $multiply_add);
        $crate::lanes::elementwise!($registers add(a, b) = $add);
        $crate::lanes::elementwise!($registers subtract(a, b) = $subtract);
        $crate::lanes::elementwise!($registers multiply(a, b) = $multiply);
        $crate::lanes::elementwise!($registers max(a, b) = $max);
        $crate::lanes::elementwise!($registers min(a, b) = $min);
    };
}

/// `load_floats` where nothing has to be rounded.
macro_rules! load_floats_as_they_are {
    () => {
        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> Self::Vector {
            // SAFETY: handed on to the caller.
            unsafe { Self::load(from) }
        }
    };
}

/// [`Vectors::fetch`] on x86-64.
#[cfg(target_arch = "x86_64")]
macro_rules! fetch_by_prefetch {
    ($number:ty) => {
        #[inline(always)]
        fn fetch(from: *const $number) {
            // SAFETY: a prefetch of any address does nothing but bring it nearer; every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use fetch_by_prefetch;
use {arithmetic, elementwise, load_floats_as_they_are};
