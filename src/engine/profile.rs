//! Pairs of networks that go together.

use std::fmt;
use std::str::FromStr;

use crate::nn::PrecisionChoice;

/// A detector, an embedder and the precision that they are computed in.
///
/// ```
/// use kith::Profile;
/// assert_eq!(Profile::default(), Profile::Fast);
/// assert_eq!("classic".parse(), Ok(Profile::Classic));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Profile {
    /// `yunet` and `sface`: built in, and what runs when nothing is said.
    #[default]
    Fast,
    /// `yunet` and `sface+mirror`: built in; fewer errors, for twice the embedder's time.
    Accurate,
    /// `mtcnn` and `dlib-resnet`: built in; what ran when nothing was said before there was SFace.
    Classic,
    /// `mtcnn` and `facenet-vggface2`, the networks of FaceNet's article; the weights of the second are to be pulled.
    Facenet,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Fast, Self::Accurate, Self::Classic, Self::Facenet];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Accurate => "accurate",
            Self::Classic => "classic",
            Self::Facenet => "facenet",
        }
    }

    /// Its detector, by the name in the manifest.
    pub fn detector(self) -> &'static str {
        match self {
            Self::Fast | Self::Accurate => "yunet",
            Self::Classic | Self::Facenet => "mtcnn",
        }
    }

    /// Its embedder, likewise.
    pub fn model(self) -> &'static str {
        match self {
            Self::Fast => "sface",
            Self::Accurate => "sface+mirror",
            Self::Classic => "dlib-resnet",
            Self::Facenet => "facenet-vggface2",
        }
    }

    /// The precision when none is asked for: of the fast pair the fastest that moves no face by more than a cosine of
    /// 0.0005; the others are computed as their error rates were measured.
    pub fn precision(self) -> PrecisionChoice {
        match self {
            Self::Fast => PrecisionChoice::Auto,
            Self::Accurate | Self::Classic | Self::Facenet => PrecisionChoice::F32,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| format!("a profile is one of {}", known()))
    }
}
