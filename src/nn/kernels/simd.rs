//! Which vector instructions the kernels use: the best that the processor has, or what `KITH_SIMD` says.

use std::fmt;
use std::sync::OnceLock;

/// The environment variable that forces a path: `auto`, `scalar`, `avx2`, `avx512` or `neon`.
const VARIABLE: &str = "KITH_SIMD";

/// A set of vector instructions that kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simd {
    /// Whatever the compiler makes of plain code for the build's target.
    Scalar,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F (and AVX2 with FMA).
    Avx512,
    /// Arm's Advanced SIMD.
    Neon,
}

/// What `KITH_SIMD` says, where that is no path or one that this processor lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSimd(pub String);

impl UnknownSimd {
    /// The environment variable.
    pub const VARIABLE: &str = VARIABLE;
    /// What it may say.
    pub const EXPECTED: &str = "auto, scalar, avx2, avx512 or neon, and one that this processor has";
}

impl fmt::Display for UnknownSimd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VARIABLE} is {:?}, expected {}", self.0, Self::EXPECTED)
    }
}

impl std::error::Error for UnknownSimd {}

impl Simd {
    /// Every path that this processor can run, best first.
    pub fn available() -> Vec<Self> {
        [Self::Avx512, Self::Avx2, Self::Neon, Self::Scalar].into_iter().filter(|s| s.runs_here()).collect()
    }

    #[cfg(target_arch = "x86_64")]
    fn runs_here(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            Self::Scalar => true,
            Self::Avx2 => avx2,
            Self::Avx512 => avx2 && is_x86_feature_detected!("avx512f"),
            Self::Neon => false,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn runs_here(self) -> bool {
        self == Self::Scalar || (self == Self::Neon && cfg!(target_arch = "aarch64"))
    }

    /// The path of this process, decided once: what the environment says, else the best there is.
    ///
    /// # Errors
    /// [`UnknownSimd`] where `KITH_SIMD` names no path, or one that this processor lacks.
    pub fn chosen() -> Result<Self, UnknownSimd> {
        static CHOSEN: OnceLock<Result<Simd, String>> = OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| {
            let said = std::env::var_os(VARIABLE).map(|v| v.to_string_lossy().into_owned());
            Self::parse(said.as_deref().unwrap_or_default())
        });
        chosen.clone().map_err(UnknownSimd)
    }

    /// [`Self::chosen`], or the plain path where that fails: for code that cannot refuse. An engine is
    /// not built where it fails.
    pub fn chosen_or_scalar() -> Self {
        Self::chosen().unwrap_or(Self::Scalar)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let available = Self::available();
        match text {
            "" | "auto" => Ok(available[0]),
            _ => available.into_iter().find(|s| s.to_string() == text).ok_or_else(|| text.to_string()),
        }
    }
}

impl fmt::Display for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_chosen_by_its_name_and_only_where_it_runs() {
        assert_eq!(Simd::parse("scalar"), Ok(Simd::Scalar));
        assert_eq!(Simd::parse(""), Simd::parse("auto"));
        for path in Simd::available() {
            assert_eq!(Simd::parse(&path.to_string()), Ok(path));
        }
        for wrong in ["AVX2", "sse", "avx512 ", if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" }] {
            assert_eq!(Simd::parse(wrong), Err(wrong.to_string()));
        }
    }
}
