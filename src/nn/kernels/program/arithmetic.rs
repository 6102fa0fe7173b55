//! The precisions that a program computes in.

use crate::f16::tile::F16Kernels;
use crate::int16::tile::Int16Kernels;
use crate::simd::Simd;

/// In which numbers the convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Single precision.
    F32,
    /// 16-bit whole numbers, where that pays.
    Int16,
    /// Maps and weights of halves, but for the input and for the convolutions that read it.
    F16,
}

impl Arithmetic {
    /// Everything that this processor can compute in, by paths.
    pub fn available() -> Vec<(Simd, Self)> {
        let kinds = |simd| {
            let all = [Self::F32, Self::Int16, Self::F16];
            all.into_iter().filter(move |kind| kind.runs_by(simd))
        };
        Simd::available().into_iter().flat_map(|simd| kinds(simd).map(move |kind| (simd, kind))).collect()
    }

    /// Whether there are kernels of that path for it, and this processor has their instructions.
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
