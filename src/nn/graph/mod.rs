//! Networks as data: a list of layers from which the tensors' names and shapes, parameters and operations of each layer,
//! initial weights, and the forward pass for training and for inference all follow.
//!
//! [`presets`] has the networks that `kith train` knows. On the processor a pass runs over plain memory in NCHW order, with a
//! tape for its gradients ([`tape`], with [`convolution`], [`norm`] and [`windows`]); on accelerators, and where the other is
//! tested, over the tensor library ([`forward`]).

mod back;
mod convolution;
mod cost;
mod forward;
mod layer;
mod memory;
mod mode;
mod norm;
mod parameters;
pub mod presets;
mod tape;
#[cfg(test)]
mod tests;
mod windows;

pub use cost::LayerCost;
pub use layer::Network;
#[cfg(test)]
pub(crate) use layer::{BATCH_NORM, LOCAL_NORM, Shape};
pub(crate) use layer::{Layer, Node};
pub(crate) use mode::Mode;
pub(crate) use parameters::Parameters;
pub(crate) use tape::values;
