//! Networks as data: a list of layers from which the tensors' names and shapes, parameters and operations of each layer,
//! initial weights, and the forward pass for training and for inference all follow.
//!
//! [`presets`] has the networks that `kith train` knows. Layers are over candle tensors in NCHW order, so the same code
//! runs on every device; on the processor convolution and pooling go through [`ops`], norms and
//! activations through [`pointwise`].

mod cost;
mod forward;
mod layer;
pub(crate) mod ops;
mod parameters;
mod pointwise;
pub mod presets;

pub use cost::LayerCost;
pub(crate) use forward::{Mode, NORM_EPSILON};
pub use layer::Network;
#[cfg(test)]
pub(crate) use layer::{LOCAL_NORM, Shape};
pub(crate) use layer::{Layer, Node};
pub(crate) use parameters::{Parameters, Tensors};
