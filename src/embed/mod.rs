//! From a chip to a unit vector: the [`Embedder`] trait and the networks.

pub mod dlib_resnet;
pub mod inception_resnet_v1;
pub mod mobilefacenet;

use crate::align::Alignment;
use crate::error::ModelError;
use crate::media::Raster;
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

/// Chips that go through a network at a time: bounds memory on crowds.
const BATCH: usize = 32;

/// Checks the chips' sizes, feeds them to `network` as `[n, 3, h, w]` batches with each value `v` of
/// channel `c` as `(v - mean[c]) * factor[c]`, and scales the answers to length one.
fn embed_in_batches(
    chips: &[Raster],
    model: &ModelId,
    (width, height): (u32, u32),
    (mean, factor): ([f32; 3], [f32; 3]),
    device: &candle_core::Device,
    network: impl Fn(&candle_core::Tensor) -> candle_core::Result<candle_core::Tensor>,
) -> Result<Vec<Embedding>, ModelError> {
    if let Some(wrong) = chips.iter().find(|c| (c.width(), c.height()) != (width, height)) {
        return Err(ModelError::WrongChip {
            model: model.to_string(),
            expected: (width as usize, height as usize),
            received: (wrong.width() as usize, wrong.height() as usize),
        });
    }
    let plane = width as usize * height as usize;
    let mut embeddings = Vec::with_capacity(chips.len());
    for batch in chips.chunks(BATCH) {
        let mut values = vec![0f32; batch.len() * 3 * plane];
        for (out, chip) in values.chunks_exact_mut(3 * plane).zip(batch) {
            for (at, pixel) in chip.data().chunks_exact(3).enumerate() {
                for c in 0..3 {
                    out[c * plane + at] = (f32::from(pixel[c]) - mean[c]) * factor[c];
                }
            }
        }
        let shape = (batch.len(), 3, height as usize, width as usize);
        let rows: Vec<Vec<f32>> = candle_core::Tensor::from_vec(values, shape, device)
            .and_then(|x| network(&x)?.to_vec2())
            .map_err(crate::nn::backend("embedding"))?;
        for row in rows {
            embeddings.push(Embedding::from_raw(row, model.clone())?);
        }
    }
    Ok(embeddings)
}
