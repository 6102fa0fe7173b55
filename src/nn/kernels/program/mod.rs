//! From a list of layers to steps that a fork-join team runs.
//!
//! `builder` collects the layers, `fuse` joins those that run as fused row tiles, `layout` and `plan` place their maps
//! in memory (buffer aliasing), `lower` makes `ops` of them, and `run` has a `team` compute these.

pub(crate) mod arithmetic;
pub(crate) mod builder;
pub(crate) mod fuse;
pub(crate) mod input;
pub(crate) mod layout;
pub(crate) mod lower;
pub(crate) mod ops;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod team;
pub(crate) mod transposed;
