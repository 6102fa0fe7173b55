//! From a chip to a unit vector: the [`Embedder`] trait and the networks.

pub mod adapted;
pub mod classic;
pub mod dlib_resnet;
pub mod inception_resnet_v1;
pub mod mirrored;
pub mod mobilefacenet;
mod network;
mod planned;
pub mod sface;
pub mod trained;

use crate::align::Alignment;
use crate::error::ModelError;
use crate::media::Raster;
use crate::nn::Arithmetic;
use crate::vector::{Embedding, ModelId};

/// Turns chips into embeddings. Shared by threads.
pub trait Embedder: Send + Sync {
    /// The space that the embeddings live in.
    fn model(&self) -> &ModelId;

    /// Dimensions of an embedding.
    fn dimension(&self) -> usize;

    /// How chips are to be cut.
    fn alignment(&self) -> Alignment;

    /// One embedding a chip, in order, each with the length that the network's output had before it was scaled to 1:
    /// above 0, in no unit, longer for a face that the network sees more of.
    ///
    /// # Errors
    /// [`ModelError::WrongChip`] for a chip of another size than [`Alignment::chip_size`],
    /// [`ModelError::Backend`] when the device fails.
    fn embed_with_lengths(&self, chips: &[Raster]) -> Result<Vec<(Embedding, f32)>, ModelError>;

    /// One embedding a chip, in order.
    ///
    /// # Errors
    /// As [`Embedder::embed_with_lengths`].
    fn embed(&self, chips: &[Raster]) -> Result<Vec<Embedding>, ModelError> {
        Ok(self.embed_with_lengths(chips)?.into_iter().map(|(embedding, _)| embedding).collect())
    }

    /// The precision that its large convolutions are computed in: `f32`, `f16` or `int16`.
    fn precision(&self) -> &'static str {
        Arithmetic::F32.name()
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::nn::Arithmetic;
    use crate::{DeviceChoice, Engine, FaceChoice, Photo, PrecisionChoice};
    use kith_kernels::Simd;

    fn engine(model: &str, precision: PrecisionChoice) -> Engine {
        Engine::builder().device(DeviceChoice::Cpu).model(model).precision(precision).build().unwrap()
    }

    /// What this process can compute in instead of f32; what `auto` prefers is last.
    fn others() -> Vec<(PrecisionChoice, Arithmetic)> {
        let simd = Simd::chosen().unwrap();
        let all = [(PrecisionChoice::Int16, Arithmetic::Int16), (PrecisionChoice::F16, Arithmetic::F16)];
        let (here, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, kind)| kind.runs_by(simd));
        let lacks = |choice| crate::require::processor_lacks(format_args!("{simd} has no kernels here for {choice}"));
        missing.iter().for_each(|(choice, _)| lacks(choice));
        here
    }

    #[test]
    fn other_precisions_move_no_face_further_than_a_cosine_of_0_9995() {
        for (choice, _) in others() {
            for model in ["dlib-resnet", "dlib-resnet+mirror"] {
                let [full, other] = [PrecisionChoice::F32, choice].map(|p| engine(model, p));
                assert_eq!((full.precision(), other.precision()), ("f32", &*choice.to_string()));
                let photos =
                    ["grace_hopper.jpg", "hopper_dark.jpg", "hopper_tilt.jpg", "astronaut.png", "two_faces.jpg"];
                for photo in photos {
                    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(photo);
                    let photo = Photo::open(path).unwrap();
                    let face = [full.find_one(&photo, FaceChoice::Largest).unwrap()];
                    let chips = full.chips(&photo, &face).unwrap();
                    let (full, other) = (full.embed_chips(&chips).unwrap(), other.embed_chips(&chips).unwrap());
                    let cosine = full[0].cosine(&other[0]).unwrap();
                    println!("{model} in {choice}: cosine {cosine:.7}");
                    assert!((0.9995..1.0001).contains(&cosine) && full[0] != other[0], "{model} {choice}: {cosine}");
                }
            }
        }
    }

    #[test]
    fn other_precisions_are_taken_only_where_the_cosine_says_so() {
        for (cosine, taken) in [(1.0, true), (0.9995, true), (0.9994, false), (-1.0, false), (f32::NAN, false)] {
            assert_eq!(super::network::is_like_enough(cosine), taken, "{cosine}");
        }
    }

    #[test]
    fn auto_takes_the_fastest_precision_and_says_so() {
        let auto = engine("dlib-resnet", PrecisionChoice::Auto);
        let fastest = others().pop().filter(|_| Simd::chosen().unwrap() != Simd::Scalar);
        assert_eq!(auto.precision(), fastest.map_or("f32", |(_, kind)| kind.name()));
    }

    /// The first labelled pairs of LFW, decided in every precision.
    #[test]
    fn verdicts_on_labelled_pairs_are_the_same_in_other_precisions() {
        let lfw = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/lfw");
        let Ok(pairs) = std::fs::read_to_string(lfw.join("pairs.txt")) else {
            return crate::require::missing("../shared/data/lfw/pairs.txt is not there");
        };
        let full = engine("dlib-resnet", PrecisionChoice::F32);
        let others: Vec<(PrecisionChoice, Engine)> =
            others().into_iter().map(|(choice, _)| (choice, engine("dlib-resnet", choice))).collect();
        let file = |name: &str, number: &str| -> PathBuf {
            lfw.join("people").join(name).join(format!("{name}_{:0>4}.jpg", number))
        };
        let (mut compared, mut furthest) = (0, 1f32);
        for line in pairs.lines().skip(1).step_by(25) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let photos = match fields[..] {
                [name, a, b] => [file(name, a), file(name, b)],
                [left, a, right, b] => [file(left, a), file(right, b)],
                _ => continue,
            };
            let chips = photos.map(|path| {
                let photo = Photo::open(path).unwrap();
                let face = [full.find_one(&photo, FaceChoice::Central).unwrap()];
                full.chips(&photo, &face).unwrap().remove(0)
            });
            let judge = full.judge(crate::Policy::MaxFmr(1e-3)).unwrap();
            let embedded = full.embed_chips(&chips).unwrap();
            let decision = judge.judge(&embedded[0], &embedded[1]).unwrap().decision;
            for (choice, other) in &others {
                let moved = other.embed_chips(&chips).unwrap();
                furthest = embedded.iter().zip(&moved).map(|(f, m)| f.cosine(m).unwrap()).fold(furthest, f32::min);
                assert_eq!(judge.judge(&moved[0], &moved[1]).unwrap().decision, decision, "{line} in {choice}");
            }
            compared += 1;
        }
        println!("{compared} pairs decided alike; cosine {furthest:.7} at least");
        assert!(compared > 100 && furthest > 0.9995, "{compared} {furthest}");
    }
}
