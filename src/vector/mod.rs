//! Embeddings and the distances between them: pure computation.

mod embedding;
mod kernels;
mod template;

pub(crate) use embedding::squared_distance;
pub use embedding::{Embedding, MIRROR_SUFFIX, ModelId};
pub(crate) use kernels::{CodedProbe, Held, LINE, Layout, products, products_at, products_in, stored};
pub(crate) use template::mean_direction;
pub use template::{TemplateRule, template_comparisons};
