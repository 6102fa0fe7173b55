//! Kernels over maps of binary16 (f16) values, for processors with AVX-512 FP16.

pub(crate) mod pack;
pub(crate) mod tile;
