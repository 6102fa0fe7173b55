//! The precision that a program computes in.

use crate::f16::tile::F16Kernels;
use crate::int16::tile::Int16Kernels;
use crate::simd::Simd;

/// The precision of a program's convolutions and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Everything in f32.
    F32,
    /// Convolutions in int16 quantisation, where that pays; maps in f32.
    Int16,
    /// Maps, weights and sums in binary16 (f16), but for the input and for the convolutions that read it.
    F16,
}

impl Arithmetic {
    /// Every instruction set of this processor with each precision that it has kernels for.
    pub fn available() -> Vec<(Simd, Self)> {
        let kinds = |simd| {
            let all = [Self::F32, Self::Int16, Self::F16];
            all.into_iter().filter(move |kind| kind.runs_by(simd))
        };
        Simd::available().into_iter().flat_map(|simd| kinds(simd).map(move |kind| (simd, kind))).collect()
    }

    /// Whether there are kernels of that instruction set for it, and this processor has their instructions.
    pub fn runs_by(self, simd: Simd) -> bool {
        match self {
            Self::F32 => true,
            Self::Int16 => Int16Kernels::of(simd).is_some(),
            Self::F16 => F16Kernels::of(simd).is_some(),
        }
    }

    /// As `--precision` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int16 => "int16",
            Self::F16 => "f16",
        }
    }
}
