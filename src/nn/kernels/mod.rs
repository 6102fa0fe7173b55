//! Operators of our own for the processor, where candle's general ones cost most of the time.

mod conv;

pub(crate) use conv::{ConvPrelu, Planes};
