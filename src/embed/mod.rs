//! From a chip to a unit vector: the [`Embedder`] trait and the networks.

pub mod classic;
pub mod dlib_resnet;
pub mod inception_resnet_v1;
pub mod mirrored;
pub mod mobilefacenet;

use candle_core::{Result as TensorResult, Tensor};

use crate::align::Alignment;
use crate::error::ModelError;
use crate::media::Raster;
use crate::nn::{Device, InputRows, Program, backend};
use crate::simd::Simd;
use crate::vector::{Embedding, ModelId};

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
}

/// Chips that go through a network's tensors at a time: bounds memory on crowds.
const BATCH: usize = 32;
/// Chips that go through a network's program at a time: large weights are read once for all of them,
/// while their maps stay a few megabytes each.
const PROGRAM_BATCH: usize = 8;

/// A network in the form in which it runs.
enum Network<Layers> {
    /// On the processor: our own kernels.
    Program(Box<Program>),
    /// On an accelerator: the tensor library's.
    Layers(Layers),
}

/// Layers over tensors, from which a program for the processor can be made.
trait Layered: Sized {
    /// Raw output `[n, dimension]` of normalised chips `[n, 3, height, width]`.
    fn forward(&self, x: &Tensor) -> TensorResult<Tensor>;

    /// The same network as a program whose only output is that.
    fn program(&self, simd: Simd) -> TensorResult<Program>;

    /// The form that is best on `device`.
    fn for_device(self, device: &Device, name: &'static str) -> Result<Network<Self>, ModelError> {
        if device.is_cpu() {
            Ok(Network::Program(Box::new(self.program(Simd::chosen()?).map_err(backend(name))?)))
        } else {
            Ok(Network::Layers(self))
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
    let size = if matches!(network, Network::Program(_)) { PROGRAM_BATCH } else { BATCH };
    for batch in chips.chunks(size) {
        let rows: Vec<Vec<f32>> = match network {
            Network::Program(program) => {
                let outputs = program.run(batch.len(), |i, rows| input.interleaved(&batch[i], rows));
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
    fn value(&self, v: u8, channel: usize) -> f32 {
        (f32::from(v) - self.mean[channel]) * self.factor[channel]
    }

    fn interleaved(&self, chip: &Raster, rows: &mut InputRows) {
        for y in 0..self.height {
            let pixels = chip.row(y).chunks_exact(3).zip(rows.row(y as usize).chunks_exact_mut(3));
            pixels.for_each(|(pixel, out)| (0..3).for_each(|c| out[c] = self.value(pixel[c], c)));
        }
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
