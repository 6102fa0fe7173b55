//! In which numbers networks are computed.

use std::fmt;
use std::str::FromStr;

use crate::error::ModelError;
use kith_kernels::Arithmetic;
use kith_kernels::Simd;

/// What the user asked for. Parsed from `f32`, `f16`, `int16`, `auto`.
///
/// Eight bits are not offered: they moved MobileFaceNet's embeddings to a cosine of 0.991 from those in f32,
/// where kith allows 0.9995.
///
/// ```
/// use kith::PrecisionChoice;
/// assert_eq!("int16".parse::<PrecisionChoice>()?, PrecisionChoice::Int16);
/// assert!("int8".parse::<PrecisionChoice>().is_err());
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PrecisionChoice {
    /// Single precision everywhere: the numbers that goldens and published error rates were measured with.
    #[default]
    F32,
    /// The embedder and YuNet in halves (IEEE 754 binary16), maps, weights and sums alike, but for the convolutions that
    /// read the photo: on processors with AVX-512 FP16.
    F16,
    /// The embedder's large convolutions in 16-bit whole numbers, on processors that have instructions for it.
    Int16,
    /// The first in which a face's embedding stays within a cosine of 0.9995 of that in f32, which is tried when the
    /// network is loaded: `f16` where the processor has AVX-512 FP16, `int16` where it multiplies int16 values in pairs
    /// (AVX2, or AVX-512 with VNNI), f32. YuNet: `f16` where the processor has AVX-512 FP16, else f32.
    Auto,
}

const OPTION: &str = "precision";

impl FromStr for PrecisionChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "int16" => Ok(Self::Int16),
            "auto" => Ok(Self::Auto),
            _ => Err(ModelError::InvalidOption {
                option: OPTION,
                received: text.to_string(),
                expected: "f32, f16, int16 or auto (int8 moves embeddings too far)",
            }),
        }
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int16 => "int16",
            Self::Auto => "auto",
        })
    }
}

impl PrecisionChoice {
    /// What is asked for, or may be tried in that order, in place of f32 on a processor of that path; none for a
    /// device that is no processor.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] where it is asked for and there are no instructions for it.
    pub(crate) fn instead_of_f32(self, simd: Option<Simd>) -> Result<Vec<Arithmetic>, ModelError> {
        let runs = |kind: Arithmetic| simd.is_some_and(|simd| kind.runs_by(simd));
        let (kind, expected) = match self {
            Self::F32 => return Ok(Vec::new()),
            // Plain code is slower in whatever is not f32.
            Self::Auto if simd == Some(Simd::Scalar) => return Ok(Vec::new()),
            Self::Auto => {
                let all = [Arithmetic::Half, Arithmetic::Int16];
                return Ok(all.into_iter().filter(|&kind| runs(kind)).collect());
            }
            Self::F16 => (Arithmetic::Half, "f32 or auto: f16 needs a processor with AVX-512 FP16, and --device cpu"),
            Self::Int16 => (
                Arithmetic::Int16,
                "f32 or auto: int16 needs a processor with AVX2, or with AVX-512 and VNNI, and --device cpu",
            ),
        };
        match runs(kind) {
            true => Ok(vec![kind]),
            false => Err(ModelError::InvalidOption { option: OPTION, received: self.to_string(), expected }),
        }
    }

    /// In which numbers a detector that stays near its goldens in all of them is computed.
    ///
    /// # Errors
    /// As for [`Self::instead_of_f32`].
    pub(crate) fn for_detection(self, simd: Simd) -> Result<Arithmetic, ModelError> {
        let kinds = self.instead_of_f32(Some(simd))?;
        // Not in shorter numbers than these: the boxes move too far.
        Ok(match kinds.first() {
            Some(Arithmetic::Half) => Arithmetic::Half,
            _ => Arithmetic::F32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_read_and_refused_by_reason() {
        let all = [PrecisionChoice::F32, PrecisionChoice::F16, PrecisionChoice::Int16, PrecisionChoice::Auto];
        for choice in all {
            assert_eq!(choice.to_string().parse::<PrecisionChoice>().unwrap(), choice);
        }
        let refused = "int8".parse::<PrecisionChoice>().unwrap_err().to_string();
        assert!(refused.contains("int8") && refused.contains("too far"), "{refused}");
        let asked = |choice: PrecisionChoice, simd| choice.instead_of_f32(simd);
        assert!(asked(PrecisionChoice::Auto, None).unwrap().is_empty());
        assert!(asked(PrecisionChoice::Int16, None).unwrap_err().to_string().contains("VNNI"));
        assert!(asked(PrecisionChoice::F16, None).unwrap_err().to_string().contains("FP16"));
        assert!(asked(PrecisionChoice::Auto, Some(Simd::Scalar)).unwrap().is_empty());
        assert_eq!(asked(PrecisionChoice::Int16, Some(Simd::Scalar)).unwrap(), [Arithmetic::Int16]);
        for (choice, kind) in [
            (PrecisionChoice::F32, Arithmetic::F32),
            (PrecisionChoice::F16, Arithmetic::Half),
            (PrecisionChoice::Int16, Arithmetic::F32),
            (PrecisionChoice::Auto, Arithmetic::F32),
        ] {
            assert_eq!(choice.for_detection(Simd::Scalar).unwrap(), kind, "{choice}");
        }
    }
}
