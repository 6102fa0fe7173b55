//! A face's embedding, a unit vector, and the model that it belongs to.
//!
//! Invariants of [`Embedding`], which distances rely on:
//! 1. its Euclidean length is 1 (to f32 rounding), so distance and cosine order alike:
//!    `distance^2 = 2 - 2 cosine`;
//! 2. every dimension is finite;
//! 3. it carries its [`ModelId`], and two embeddings meet only when their ids are equal; and the name of the detector
//!    whose landmarks its chip was cut by, where that is known.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// Names the space that an embedding lives in: architecture, weights and alignment.
/// Written `architecture/sha256-prefix/alignment`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(Arc<str>);

/// What follows a model's name, and the architecture in its id, to ask for the mirror image too: `sface+mirror`.
pub const MIRROR_SUFFIX: &str = "+mirror";
/// Hex digits of the weights' sha256 that stand in a model id: 64 bits.
const CHECKSUM_DIGITS: usize = 16;

impl ModelId {
    /// The id of `architecture` run with the weights of that sha256 on chips cut by `alignment`.
    pub fn new(architecture: &str, weights_sha256: &str, alignment: &str) -> Self {
        let digits = weights_sha256.get(..CHECKSUM_DIGITS).unwrap_or(weights_sha256);
        Self(format!("{architecture}/{digits}/{alignment}").into())
    }

    /// An id that was written down before.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// Architecture, whether it is asked for the mirror image too, and the first digits of the weights' sha256; none
    /// for a text that is no model's id.
    pub(crate) fn parts(&self) -> Option<(&str, bool, &str)> {
        let (architecture, rest) = self.0.split_once('/')?;
        let (digits, _) = rest.split_once('/')?;
        if digits.len() < CHECKSUM_DIGITS {
            return None;
        }
        let plain = architecture.strip_suffix(MIRROR_SUFFIX);
        Some((plain.unwrap_or(architecture), plain.is_some(), digits))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A face as a unit vector.
///
/// ```
/// use kith::{Embedding, ModelId};
/// let model = ModelId::new("dlib-resnet", "00ff00ff00ff00ff", "five-point-150");
/// let a = Embedding::from_raw(vec![3.0, 4.0], model.clone())?;
/// let b = Embedding::from_raw(vec![4.0, 3.0], model)?;
/// assert_eq!(a.values(), [0.6, 0.8]);
/// assert!((a.cosine(&b)? - 0.96).abs() < 1e-6);
/// # Ok::<(), kith::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Embedding {
    values: Vec<f32>,
    model: ModelId,
    detector: Option<Arc<str>>,
}

impl Embedding {
    /// Scales a network's raw output to length 1.
    ///
    /// # Errors
    /// [`ModelError::BadEmbedding`] when the vector is empty, holds NaN or infinity, or is all zero.
    pub fn from_raw(values: Vec<f32>, model: ModelId) -> Result<Self, ModelError> {
        Ok(Self::with_length(values, model)?.0)
    }

    /// [`Embedding::from_raw`], and the length that the output had.
    pub(crate) fn with_length(mut values: Vec<f32>, model: ModelId) -> Result<(Self, f32), ModelError> {
        let bad = |reason: &str| Err(ModelError::BadEmbedding { reason: reason.to_string() });
        if values.is_empty() {
            return bad("it is empty");
        }
        if values.iter().any(|v| !v.is_finite()) {
            return bad("it holds a value that is not finite");
        }
        let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        if norm < f64::from(f32::MIN_POSITIVE) {
            return bad("its length is zero");
        }
        values.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        Ok((Self { values, model, detector: None }, norm as f32))
    }

    /// Takes values that are a unit vector already (to one in a thousand), bit for bit.
    ///
    /// # Errors
    /// [`ModelError::BadEmbedding`] for another length, NaN or infinity.
    pub(crate) fn of_unit(values: Vec<f32>, model: ModelId) -> Result<Self, ModelError> {
        let length = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        // Written so that a NaN length is refused.
        if (length - 1.0).abs() < 1e-3 {
            return Ok(Self { values, model, detector: None });
        }
        Err(ModelError::BadEmbedding { reason: format!("its length is {length}, not 1") })
    }

    /// The values, of Euclidean length 1.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// How many dimensions.
    pub fn dimension(&self) -> usize {
        self.values.len()
    }

    /// The model that made it.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// The detector whose landmarks its chip was cut by, by its name in the manifest; `None` for a vector that came
    /// from elsewhere. Another detector's chips lie a little otherwise, and so do the distances.
    pub fn detector(&self) -> Option<&str> {
        self.detector.as_deref()
    }

    /// The same vector, of a chip cut by that detector's landmarks; no name, no detector.
    #[must_use]
    pub fn found_by(mut self, detector: &str) -> Self {
        self.detector = (!detector.is_empty()).then(|| detector.into());
        self
    }

    /// Cosine of the angle between the two, -1 to 1; 1 for the same direction.
    ///
    /// # Errors
    /// [`ModelError::MixedModels`] when they come from different models or differ in length.
    pub fn cosine(&self, other: &Embedding) -> Result<f32, ModelError> {
        self.same_space(other)?;
        Ok(dot(&self.values, &other.values).clamp(-1.0, 1.0))
    }

    /// Euclidean distance between the two unit vectors, 0 to 2; 0 for the same direction.
    ///
    /// # Errors
    /// [`ModelError::MixedModels`] when they come from different models or differ in length.
    pub fn distance(&self, other: &Embedding) -> Result<f32, ModelError> {
        self.same_space(other)?;
        Ok(squared_distance(&self.values, &other.values).sqrt())
    }

    fn same_space(&self, other: &Embedding) -> Result<(), ModelError> {
        if self.model == other.model && self.values.len() == other.values.len() {
            return Ok(());
        }
        let name = |e: &Embedding| format!("{} ({} numbers)", e.model, e.values.len());
        Err(ModelError::MixedModels { left: name(self), right: name(other) })
    }
}

/// A template is biometric data: no debug print of it shows its values.
impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({} numbers, {})", self.values.len(), self.model)
    }
}

/// Independent partial sums, so that the compiler may use vector registers: f32 addition does not
/// associate, and a single running sum would have to be added in order.
const LANES: usize = 16;

fn sum_over(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(&x, &y)| term(x, y)).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += term(x[lane], y[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_over(a, b, |x, y| x * y)
}

pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    sum_over(a, b, |x, y| (x - y) * (x - y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn id(name: &str) -> ModelId {
        ModelId::new(name, "abc", "test")
    }

    #[test]
    fn distances_agree_with_double_precision_at_any_length() {
        let mut rng = ChaCha8Rng::seed_from_u64(128);
        for n in [1, 2, 15, 16, 17, 127, 128, 512] {
            let mut draw =
                || Embedding::from_raw((0..n).map(|_| rng.random_range(-1.0..1.0)).collect(), id("m")).unwrap();
            let (a, b) = (draw(), draw());
            let pairs = || a.values.iter().zip(&b.values).map(|(&x, &y)| (f64::from(x), f64::from(y)));
            let cosine: f64 = pairs().map(|(x, y)| x * y).sum();
            let distance = pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
            assert!((f64::from(a.cosine(&b).unwrap()) - cosine).abs() < 1e-6);
            assert!((f64::from(a.distance(&b).unwrap()) - distance).abs() < 1e-6);
            assert!((distance * distance - (2.0 - 2.0 * cosine)).abs() < 1e-6);
            assert_eq!(a.distance(&a).unwrap(), 0.0);
        }
    }

    #[test]
    fn other_models_and_unusable_vectors_are_refused() {
        let a = Embedding::from_raw(vec![1.0, 0.0], id("a")).unwrap();
        let b = Embedding::from_raw(vec![1.0, 0.0], id("b")).unwrap();
        let longer = Embedding::from_raw(vec![1.0, 0.0, 0.0], id("a")).unwrap();
        assert!(matches!(a.distance(&b), Err(ModelError::MixedModels { .. })));
        assert!(matches!(a.cosine(&longer), Err(ModelError::MixedModels { .. })));
        for bad in [vec![], vec![0.0; 4], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            assert!(matches!(Embedding::from_raw(bad, id("a")), Err(ModelError::BadEmbedding { .. })));
        }
    }

    #[test]
    fn debug_output_shows_no_number_of_the_template() {
        let e = Embedding::from_raw(vec![0.6, 0.8], id("a")).unwrap();
        assert_eq!(format!("{e:?}"), "Embedding(2 numbers, a/abc/test)");
    }
}
