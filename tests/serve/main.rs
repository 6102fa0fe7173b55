//! The service, driven through its router without a socket, and once with one.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

mod access;
mod audit;
mod batch;
mod compreface;
mod crowd;
mod description;
#[path = "../common/distort.rs"]
mod distort;
mod keeping;
mod large;
mod lateness;
mod library;
mod naming;
mod people;
mod repeats;
#[path = "../common/shapes.rs"]
mod shapes;
mod socket;
mod support;
mod tls;
mod verdicts;
mod ways_in;
