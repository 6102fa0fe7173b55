//! The service, driven through its router without a socket, and once with one.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

mod access;
mod batch;
mod compreface;
mod people;
mod socket;
mod support;
mod ways_in;
