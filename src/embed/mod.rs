//! From a chip to a unit vector: the [`Embedder`] trait and the networks.

pub mod classic;
pub mod dlib_resnet;
pub mod inception_resnet_v1;
pub mod mirrored;
pub mod mobilefacenet;
pub mod sface;

use candle_core::{Result as TensorResult, Tensor};

use crate::align::Alignment;
use crate::error::ModelError;
use crate::media::{Limits, Photo, Raster, resize_triangle};
use crate::nn::{Arithmetic, Device, PrecisionChoice, Program, backend};
use crate::vector::{Embedding, ModelId};
use kith_kernels::Simd;

/// Turns chips into embeddings. Shared by threads.
pub trait Embedder: Send + Sync {
    /// The space that the embeddings live in.
    fn model(&self) -> &ModelId;

    /// Numbers in an embedding.
    fn dimension(&self) -> usize;

    /// How chips are to be cut.
    fn alignment(&self) -> Alignment;

    /// One embedding a chip, in order.
    ///
    /// # Errors
    /// [`ModelError::WrongChip`] for a chip of another size than [`Alignment::chip_size`],
    /// [`ModelError::Backend`] when the device fails.
    fn embed(&self, chips: &[Raster]) -> Result<Vec<Embedding>, ModelError>;

    /// The numbers that its large convolutions are computed in: `f32`, `f16` or `int16`.
    fn precision(&self) -> &'static str {
        Arithmetic::F32.name()
    }
}

/// Chips that go through a network's tensors at a time: bounds memory on crowds.
const BATCH: usize = 32;
/// Chips that go through a network's program at a time: large weights are read once for all of them,
/// while their maps stay a few megabytes each.
const PROGRAM_BATCH: usize = 8;

/// Cosine to f32 below which whole numbers are not taken unless they are asked for by name.
const LEAST_LIKENESS: f32 = 0.9995;

/// Whether whole numbers may stand for f32: never where the cosine between them is not a number.
fn is_like_enough(cosine: f32) -> bool {
    cosine >= LEAST_LIKENESS
}

/// A network in the form in which it runs.
enum Network<Layers> {
    /// On the processor: our own kernels.
    Program(Box<Program>, Arithmetic),
    /// On an accelerator: the tensor library's.
    Layers(Layers),
}

/// Layers over tensors, from which a program for the processor can be made.
trait Layered: Sized {
    /// Raw output `[n, dimension]` of normalised chips `[n, 3, height, width]`.
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor>;

    /// The same network as a program whose only output is that.
    fn program(&self, simd: Simd, arithmetic: Arithmetic) -> TensorResult<Program>;

    /// The form that is best on `device`, in the numbers that were asked for.
    fn for_device(
        self,
        device: &Device,
        precision: PrecisionChoice,
        input: &Input,
        name: &'static str,
    ) -> Result<Network<Self>, ModelError> {
        let simd = if device.is_cpu() { Some(Simd::chosen()?) } else { None };
        let kinds = precision.instead_of_f32(simd)?;
        let Some(simd) = simd else {
            return Ok(Network::Layers(self));
        };
        let program = |arithmetic| self.program(simd, arithmetic).map(Box::new).map_err(backend(name));
        if let (Some(&asked), true) = (kinds.first(), precision != PrecisionChoice::Auto) {
            return Ok(Network::Program(program(asked)?, asked));
        }
        let full = program(Arithmetic::F32)?;
        for kind in kinds {
            let tried = program(kind)?;
            if is_like_enough(input.likeness_on_a_face(&tried, &full)?) {
                return Ok(Network::Program(tried, kind));
            }
        }
        Ok(Network::Program(full, Arithmetic::F32))
    }
}

impl<L> Network<L> {
    fn precision(&self) -> &'static str {
        match self {
            Self::Program(_, arithmetic) => arithmetic.name(),
            Self::Layers(_) => Arithmetic::F32.name(),
        }
    }
}

/// How chips become input.
struct Input {
    width: u32,
    height: u32,
    /// Each value `v` of channel `c` goes in as `(v - mean[c]) * factor[c]`.
    mean: [f32; 3],
    factor: [f32; 3],
}

/// Checks the chips' sizes, feeds them to `network` in batches, and scales the answers to length one.
fn embed_in_batches<L: Layered>(
    chips: &[Raster],
    model: &ModelId,
    input: &Input,
    device: &Device,
    network: &Network<L>,
) -> Result<Vec<Embedding>, ModelError> {
    let (width, height) = (input.width, input.height);
    if let Some(wrong) = chips.iter().find(|c| (c.width(), c.height()) != (width, height)) {
        return Err(ModelError::WrongChip {
            model: model.to_string(),
            expected: (width as usize, height as usize),
            received: (wrong.width() as usize, wrong.height() as usize),
        });
    }
    let mut embeddings = Vec::with_capacity(chips.len());
    let size = if matches!(network, Network::Program(..)) { PROGRAM_BATCH } else { BATCH };
    for batch in chips.chunks(size) {
        let rows: Vec<Vec<f32>> = match network {
            Network::Program(program, _) => {
                let outputs = program.run_rows(batch.len(), |i, y, row| input.interleaved(&batch[i], y, row));
                outputs[0].chunks_exact(outputs[0].len() / batch.len()).map(<[f32]>::to_vec).collect()
            }
            Network::Layers(layers) => {
                let shape = (batch.len(), 3, height as usize, width as usize);
                Tensor::from_vec(input.planar(batch), shape, device.inner())
                    .and_then(|x| layers.forward(&x)?.to_vec2())
                    .map_err(backend("embedding"))?
            }
        };
        for row in rows {
            embeddings.push(Embedding::from_raw(row, model.clone())?);
        }
    }
    Ok(embeddings)
}

impl Input {
    /// Cosine between what two programs make of a face: Grace Hopper's (photo of the United States Navy, in the
    /// public domain).
    fn likeness_on_a_face(&self, a: &Program, b: &Program) -> Result<f32, ModelError> {
        let limits = Limits::default();
        let photo = Photo::from_bytes(include_bytes!("check_face.jpg"), "the built-in face", &limits)
            .map_err(|e| ModelError::Backend { stage: "trying other numbers than f32", reason: e.to_string() })?;
        let chip = resize_triangle(photo.raster(), self.width, self.height);
        let [a, b] = [a, b].map(|program| program.run_rows(1, |_, y, row| self.interleaved(&chip, y, row)).remove(0));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        // Not a number where either is none.
        Ok((dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()) as f32)
    }

    fn value(&self, v: u8, channel: usize) -> f32 {
        (f32::from(v) - self.mean[channel]) * self.factor[channel]
    }

    /// Row `y`, the channels of each pixel together.
    fn interleaved(&self, chip: &Raster, y: usize, row: &mut [f32]) {
        let pixels = chip.row(y as u32).chunks_exact(3).zip(row.chunks_exact_mut(3));
        pixels.for_each(|(pixel, out)| (0..3).for_each(|c| out[c] = self.value(pixel[c], c)));
    }

    fn planar(&self, chips: &[Raster]) -> Vec<f32> {
        let plane = self.width as usize * self.height as usize;
        let mut values = vec![0f32; chips.len() * 3 * plane];
        for (out, chip) in values.chunks_exact_mut(3 * plane).zip(chips) {
            for (at, pixel) in chip.data().chunks_exact(3).enumerate() {
                (0..3).for_each(|c| out[c * plane + at] = self.value(pixel[c], c));
            }
        }
        values
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
    fn other_numbers_move_no_face_further_than_a_cosine_of_0_9995() {
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
    fn other_numbers_are_taken_only_where_the_cosine_says_so() {
        for (cosine, taken) in [(1.0, true), (0.9995, true), (0.9994, false), (-1.0, false), (f32::NAN, false)] {
            assert_eq!(super::is_like_enough(cosine), taken, "{cosine}");
        }
    }

    #[test]
    fn auto_takes_the_fastest_numbers_and_says_so() {
        let auto = engine("dlib-resnet", PrecisionChoice::Auto);
        let fastest = others().pop().filter(|_| Simd::chosen().unwrap() != Simd::Scalar);
        assert_eq!(auto.precision(), fastest.map_or("f32", |(_, kind)| kind.name()));
    }

    /// The first labelled pairs of LFW, decided in every kind of numbers.
    #[test]
    fn verdicts_on_labelled_pairs_are_the_same_in_other_numbers() {
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
