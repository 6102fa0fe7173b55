//! Devices, weights and layers: what every network here is built on. The only room, with the networks
//! themselves, that knows candle.

mod device;
pub(crate) mod graph;
mod layers;
mod precision;
pub mod weights;

pub(crate) use device::backend;
pub use device::{Device, DeviceChoice};
pub(crate) use kith_kernels::{
    Activation, Arithmetic, DepthwiseConv, InputRows, Map, PackedConv, Program, ProgramBuilder, Row, RowConv,
    TransposedConv, on_this_thread,
};
pub(crate) use layers::{
    Conv2d, Linear, PRelu, TransposedConv2d, WeightSource, global_average, max_pool, pooled_length, row_conv,
};
pub use precision::PrecisionChoice;
