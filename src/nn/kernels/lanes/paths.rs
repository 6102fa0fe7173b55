//! Macros that compile functions once for each instruction set, and find those of one.

/// Calls a macro for each instruction set of the build's target: with a module's name, the [`crate::lanes::Vectors`] of f32, the
/// pixels and the vectors of outputs that its tiles may have, how many results of a depthwise convolution stay in
/// registers, and the features to compile for.
macro_rules! for_each_path {
    ($functions:ident) => {
        $functions!(plain, crate::lanes::plain::Plain, [1 2], [1], 1);
        #[cfg(target_arch = "x86_64")]
        $functions!(avx2, crate::lanes::x86::Avx2, [1 2 3 4 5 6], [1], 4, "avx2,fma");
        #[cfg(target_arch = "x86_64")]
        $functions!(avx512, crate::lanes::x86::Avx512, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2], 8, "avx512f");
        #[cfg(target_arch = "aarch64")]
        $functions!(neon, crate::lanes::arm::Neon, [1 2 3 4 5 6], [1], 4, "neon");
    };
}

/// Functions compiled for the features in brackets.
macro_rules! compiled {
    ($features:tt $(
        fn $name:ident $(<$($size:ident),+>)? ($($argument:ident: $type:ty),+) $(-> $result:ty)? = $body:expr;
    )+) => {
        $($crate::lanes::paths::compiled!(
            @one $features $name [$($($size)+)?] [$($argument: $type),+] [$($result)?] $body
        );)+
    };
    (
        @one [$($feature:literal)?] $name:ident [$($size:ident)*] [$($argument:ident: $type:ty),+] [$($result:ty)?]
        $body:expr
    ) => {
        $(#[target_feature(enable = $feature)])?
        pub(super) unsafe fn $name<$(const $size: usize),*>($($argument: $type),+) $(-> $result)? {
            // SAFETY: handed on to the caller.
            #[allow(unused_unsafe)] // some bodies are safe code that is only to be compiled for the features
            unsafe { $body }
        }
    };
}

/// What is called so in the module of a [`Simd`](crate::simd::Simd) that [`for_each_path`] made.
macro_rules! by_path {
    ($simd:expr => &$($item:tt)+) => { $crate::lanes::paths::by_path!(@match $simd, [&], [$($item)+]) };
    ($simd:expr => $($item:tt)+) => { $crate::lanes::paths::by_path!(@match $simd, [], [$($item)+]) };
    (@match $simd:expr, [$($reference:tt)?], [$($item:tt)+]) => {
        match $simd {
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Simd::Avx2 => $($reference)? avx2::$($item)+,
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Simd::Avx512 => $($reference)? avx512::$($item)+,
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Simd::Neon => $($reference)? neon::$($item)+,
            _ => $($reference)? plain::$($item)+,
        }
    };
}

/// The table of a tile's kernels: by vectors of output channels (from 1), then by pixels (from 1).
macro_rules! tile_table {
    ($kernel:ident, $pixels:tt, [$($vectors:literal)+]) => {
        &[$($crate::lanes::paths::tile_table!(@row $kernel, $vectors, $pixels)),+]
    };
    (@row $kernel:ident, $vectors:literal, [$($pixels:literal)+]) => { &[$($kernel::<$pixels, $vectors>),+] };
}

pub(crate) use {by_path, compiled, for_each_path, tile_table};
