//! What can be said on the command line: options beneath, commands above; nothing here runs one.

pub(super) mod command;
pub(super) mod common;
pub(super) mod eval;
pub(super) mod index;
mod key;
pub(super) mod library;
pub(super) mod manual;
mod names;
mod numbers;
pub(super) mod people;
pub(super) mod photos;
pub(super) mod place;
#[cfg(feature = "serve")]
pub(super) mod serve;
pub(super) mod store;
pub(super) mod table;
pub(super) mod train;
pub(super) mod weights;

pub(super) use key::{from_command, from_file};
