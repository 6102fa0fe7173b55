//! In which numbers networks are computed.

use std::fmt;
use std::str::FromStr;

use super::kernels::Arithmetic;
use crate::error::ModelError;
use crate::simd::Simd;

/// What the user asked for. Parsed from `f32`, `int16`, `auto`.
///
/// Eight bits are not offered: they moved MobileFaceNet's embeddings to a cosine of 0.991 from those in f32,
/// where kith allows 0.9995. Nor are halves: a processor without instructions for their arithmetic only saves
/// memory by them.
///
/// ```
/// use kith::PrecisionChoice;
/// assert_eq!("int16".parse::<PrecisionChoice>()?, PrecisionChoice::Int16);
/// assert!("int8".parse::<PrecisionChoice>().is_err());
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrecisionChoice {
    /// Single precision everywhere: the numbers that goldens and published error rates were measured with.
    #[default]
    F32,
    /// The embedder's large convolutions in 16-bit whole numbers, on processors that have instructions for it.
    Int16,
    /// 16-bit whole numbers where the processor multiplies them in pairs (AVX2, on which they were measured to be
    /// faster, or AVX-512 with VNNI) and a face's embedding stays within a cosine of 0.9995 of that in f32, which
    /// is tried when the network is loaded; f32 elsewhere.
    Auto,
}

const OPTION: &str = "precision";

impl FromStr for PrecisionChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "f32" => Ok(Self::F32),
            "int16" => Ok(Self::Int16),
            "auto" => Ok(Self::Auto),
            _ => Err(ModelError::InvalidOption {
                option: OPTION,
                received: text.to_string(),
                expected: "f32, int16 or auto (int8 moves embeddings too far, and f16 is no faster here)",
            }),
        }
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int16 => "int16",
            Self::Auto => "auto",
        })
    }
}

impl PrecisionChoice {
    /// Whether whole numbers are asked for, or may be tried, on a processor of that path; none for a device
    /// that is no processor.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] where they are asked for and there are no instructions for them.
    pub(crate) fn may_be_whole(self, simd: Option<Simd>) -> Result<bool, ModelError> {
        let can = simd.is_some_and(Arithmetic::has_whole_numbers);
        match self {
            Self::F32 => Ok(false),
            Self::Auto => Ok(can && simd != Some(Simd::Scalar)),
            Self::Int16 if can => Ok(true),
            Self::Int16 => Err(ModelError::InvalidOption {
                option: OPTION,
                received: self.to_string(),
                expected: "f32 or auto: int16 needs a processor with AVX2, or with AVX-512 and VNNI, and --device cpu",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_read_and_refused_by_reason() {
        for choice in [PrecisionChoice::F32, PrecisionChoice::Int16, PrecisionChoice::Auto] {
            assert_eq!(choice.to_string().parse::<PrecisionChoice>().unwrap(), choice);
        }
        let refused = "int8".parse::<PrecisionChoice>().unwrap_err().to_string();
        assert!(refused.contains("int8") && refused.contains("too far"), "{refused}");
        assert!(!PrecisionChoice::Auto.may_be_whole(None).unwrap());
        assert!(PrecisionChoice::Int16.may_be_whole(None).unwrap_err().to_string().contains("VNNI"));
        assert!(!PrecisionChoice::Auto.may_be_whole(Some(Simd::Scalar)).unwrap());
        assert!(PrecisionChoice::Int16.may_be_whole(Some(Simd::Scalar)).unwrap());
    }
}
