//! Kernels over f32 values; tiles and depthwise convolutions are written over any [`crate::lanes::Number`].

mod channel_window;
pub(crate) mod depthwise;
pub(crate) mod pack;
pub mod planes;
pub(crate) mod product;
pub(crate) mod rows;
pub(crate) mod tile;
mod total;
pub(crate) mod winograd;
