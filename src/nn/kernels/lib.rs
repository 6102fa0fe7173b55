//! kith's kernels: operators of our own for the processor, where candle's general ones cost most of the time.
//!
//! [`RowConv`] streams large maps of few channels row by row. Everything else is a [`Program`]: a network
//! for one input size, with packed weights and reused maps, whose convolutions are implicit matrix
//! products, or (3x3 at stride 1 over large maps) products of spread tiles, in f32 or where asked for in shorter
//! numbers, or over maps of halves; steps that follow each other over large maps run row by row, from the rows of the
//! input on.

mod band;
mod chain;
mod conv;
mod depthwise;
mod half_lanes;
mod half_tile;
mod halves;
mod input;
mod integer;
mod integer_lanes;
mod integer_tile;
mod lanes;
mod layout;
mod lines;
mod lower;
mod map_ops;
mod ops;
mod pack;
mod plan;
mod program;
mod rows;
mod run;
mod simd;
mod team;
mod tile;
mod transposed;
mod winograd;

pub use depthwise::DepthwiseConv;
pub use input::InputRows;
pub use ops::Arithmetic;
pub use pack::{Activation, ConvWeights, PackedConv};
pub use program::{Map, ProgramBuilder};
pub use rows::{Row, RowConv};
pub use run::Program;
pub use simd::{Simd, UnknownSimd};
pub use transposed::TransposedConv;
