//! Embeddings and the distances between them: pure numbers.

mod embedding;
mod kernels;

pub(crate) use embedding::squared_distance;
pub use embedding::{Embedding, ModelId};
pub(crate) use kernels::{CodedProbe, LINE, Layout, products, products_at, products_in, stored};
