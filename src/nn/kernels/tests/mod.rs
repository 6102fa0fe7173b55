//! Tests of whole programs, against candle's layers, plain code, and the same program in f32.

mod cases;
mod conv;
mod depthwise;
mod f16;
mod fuse;
mod int16;
mod packing;
mod planes;
