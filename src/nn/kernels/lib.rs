//! kith's kernels: operators of our own for the processor, where candle's general ones cost most of the time.
//!
//! [`RowConv`] streams large maps of few channels row by row. Everything else is a [`Program`]: a network
//! for one input size, with packed weights and reused maps, whose convolutions are implicit matrix
//! products, or (3x3 at stride 1 over large maps) products of spread tiles, in f32 or where asked for in shorter
//! numbers, or over maps of halves; steps that follow each other over large maps run row by row, from the rows of the
//! input on.

#[path = "program/fuse/run.rs"]
mod band;
#[path = "program/fuse/join.rs"]
mod chain;
#[path = "program/ops/conv.rs"]
mod conv;
#[path = "f32/depthwise.rs"]
mod depthwise;
#[path = "lanes/f16.rs"]
mod half_lanes;
#[path = "f16/tile.rs"]
mod half_tile;
#[path = "f16/pack.rs"]
mod halves;
#[path = "program/input.rs"]
mod input;
#[path = "program/ops/int16.rs"]
mod integer;
#[path = "lanes/int16.rs"]
mod integer_lanes;
#[path = "int16/tile.rs"]
mod integer_tile;
mod lanes;
#[path = "program/layout.rs"]
mod layout;
#[path = "lanes/aligned.rs"]
mod lines;
#[path = "program/lower.rs"]
mod lower;
#[path = "program/ops/map.rs"]
mod map_ops;
#[path = "program/ops/mod.rs"]
mod ops;
#[path = "f32/pack.rs"]
mod pack;
#[path = "program/plan.rs"]
mod plan;
#[path = "program/builder.rs"]
mod program;
#[path = "f32/rows.rs"]
mod rows;
#[path = "program/run.rs"]
mod run;
mod simd;
#[path = "program/team.rs"]
mod team;
#[path = "f32/tile.rs"]
mod tile;
#[path = "f32/winograd.rs"]
mod winograd;

pub use depthwise::DepthwiseConv;
pub use input::InputRows;
pub use ops::Arithmetic;
pub use pack::{Activation, ConvWeights, PackedConv};
pub use program::{Map, ProgramBuilder};
pub use rows::{Row, RowConv};
pub use run::Program;
pub use simd::{Simd, UnknownSimd};
