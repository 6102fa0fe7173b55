//! Any embedder, asked twice: for the chip and for its mirror image.
//!
//! The mean direction of the two keeps what they agree on, for twice the embedder's time. LFW's customary
//! test-time flip; what it gives each model is in the guide (`src/guide/calibration.md`).

use super::Embedder;
use crate::align::Alignment;
use crate::error::ModelError;
use crate::media::Raster;
use crate::vector::{Embedding, MIRROR_SUFFIX, ModelId};

/// An embedder and the name of its other space: mirrored embeddings meet only mirrored ones.
pub struct Mirrored {
    inner: Box<dyn Embedder>,
    model: ModelId,
}

impl Mirrored {
    /// `inner`, asked twice.
    pub fn new(inner: Box<dyn Embedder>) -> Self {
        let id = inner.model().as_str();
        let (architecture, rest) = id.split_once('/').unwrap_or((id, ""));
        let model = ModelId::from_text(&format!("{architecture}{MIRROR_SUFFIX}/{rest}"));
        Self { inner, model }
    }
}

impl Embedder for Mirrored {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn alignment(&self) -> Alignment {
        self.inner.alignment()
    }

    fn precision(&self) -> &'static str {
        self.inner.precision()
    }

    /// The length is the mean of the two.
    fn embed_with_lengths(&self, chips: &[Raster]) -> Result<Vec<(Embedding, f32)>, ModelError> {
        let both: Vec<Raster> = chips.iter().flat_map(|chip| [chip.clone(), chip.mirrored()]).collect();
        let pairs = self.inner.embed_with_lengths(&both)?;
        let sum = |pair: &[(Embedding, f32)]| {
            let [(a, a_length), (b, b_length)] = [&pair[0], &pair[1]];
            let sums = a.values().iter().zip(b.values()).map(|(a, b)| a + b).collect();
            Ok((Embedding::from_raw(sums, self.model.clone())?, (a_length + b_length) / 2.0))
        };
        pairs.chunks_exact(2).map(sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, FaceChoice, Photo};

    #[test]
    fn a_face_and_its_mirror_image_are_one_vector_and_meet_no_other_space() {
        let plain = Engine::builder().model("sface").build().unwrap();
        let mirrored = Engine::builder().model("sface+mirror").build().unwrap();
        let photo = Photo::open("tests/fixtures/photos/grace_hopper.jpg").unwrap();
        let found = [plain.find_one(&photo, FaceChoice::Only).unwrap()];
        let chip = plain.chips(&photo, &found).unwrap().remove(0);
        let chips = [chip.clone(), chip.mirrored()];
        let (once, twice) = (plain.embed_chips(&chips).unwrap(), mirrored.embed_chips(&chips).unwrap());
        assert!(once[0].cosine(&once[1]).unwrap() < 0.999);
        assert!(twice[0].cosine(&twice[1]).unwrap() > 0.999_999);
        // The mean direction is as far from the one as from the other.
        let cosine = |a: &Embedding, b: &Embedding| a.values().iter().zip(b.values()).map(|(a, b)| a * b).sum::<f32>();
        assert!((cosine(&twice[0], &once[0]) - cosine(&twice[0], &once[1])).abs() < 1e-5);
        assert!(twice[0].distance(&once[0]).is_err());
        assert_eq!(mirrored.embed_chips(&[]).unwrap(), []);
    }
}
