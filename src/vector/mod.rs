//! Embeddings and the distances between them: pure numbers.

mod embedding;
mod kernels;
mod template;

pub(crate) use embedding::squared_distance;
pub use embedding::{Embedding, ModelId};
pub(crate) use kernels::{CodedProbe, Held, LINE, Layout, products, products_at, products_in, stored};
pub(crate) use template::mean_direction;
pub use template::{TemplateRule, template_comparisons};
