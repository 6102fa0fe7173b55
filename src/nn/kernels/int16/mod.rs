//! Convolutions in int16 quantisation: weights and inputs are rounded, products are summed exactly.

pub(crate) mod pack;
pub(crate) mod tile;
