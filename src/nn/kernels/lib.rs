//! kith's kernels: convolutional networks on processors, in f32, binary16 (f16) and int16 quantisation.
//!
//! A [`Program`] is a network for one input size: convolutions as implicit GEMM (no im2col copy), or as Winograd
//! F(4x4, 3x3) where that needs less time, over packed weights and aliased buffers; layers that follow each other over
//! large maps are computed as fused row tiles, from the rows of the input on. [`RowConv`] streams maps of few channels
//! row by row. [`planes`] and [`multiply`] are what training does, forward and backward.
//!
//! Rooms, each of which uses only those before it (`tests/architecture.rs` of kith holds that):
//! - `simd`: which instruction set a process uses.
//! - `lanes`: vectors of each instruction set, and memory aligned for them.
//! - `f32`: tiles, Winograd's transforms, depthwise convolutions and row convolutions, and how weights are packed.
//! - `f16`, `int16`: the same in these, where the processor has instructions for them.
//! - `program`: from a list of layers to steps that a fork-join team runs.

mod f16;
mod f32;
mod int16;
mod lanes;
mod program;
mod simd;
#[cfg(test)]
mod tests;

pub use crate::f32::depthwise::DepthwiseConv;
pub use crate::f32::pack::{Activation, ConvWeights, PackedConv, StoredWeights};
pub use crate::f32::planes;
pub use crate::f32::product::{Matrix, multiply};
pub use crate::f32::rows::{Row, RowConv};
pub use program::arithmetic::Arithmetic;
pub use program::builder::{Map, ProgramBuilder};
pub use program::input::InputRows;
pub use program::run::{Program, on_this_thread};
pub use program::transposed::TransposedConv;
pub use simd::{Simd, UnknownSimd};
