//! Embeddings and the distances between them: pure numbers.

mod embedding;

pub use embedding::{Embedding, ModelId};
