//! Operators of our own for the processor, where candle's general ones cost most of the time.
//!
//! [`ConvPrelu`] slides over large maps of few channels. Everything else is a [`Program`]: a network
//! for one input size, with packed weights and reused maps, whose convolutions are implicit matrix
//! products, or (3x3 at stride 1 over large maps) products of spread tiles.

mod conv;
mod lanes;
mod layout;
mod lines;
mod ops;
mod pack;
mod program;
mod run;
mod tile;
mod winograd;

pub(crate) use conv::{ConvPrelu, Planes};
pub(crate) use pack::{Activation, ConvWeights, PackedConv};
pub(crate) use program::{Map, ProgramBuilder};
pub(crate) use run::{InputRows, Program};
