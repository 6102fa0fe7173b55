//! Fused row tiles: layers that follow each other over large maps, computed row by row.

pub(crate) mod join;
pub(crate) mod run;
