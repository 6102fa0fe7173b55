//! Operators of our own for the processor, where candle's general ones cost most of the time.

mod lanes;
mod rows;

pub(crate) use rows::{Row, RowConv};
