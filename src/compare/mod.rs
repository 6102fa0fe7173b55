//! The similarity picture: two photos side by side, every face boxed, the nearest pair joined.

mod colour;
mod labels;
mod named;
mod paint;
mod picture;
mod seed;
mod view;

pub use colour::similarity_colour;
pub(crate) use named::{Tag, draw_found, draw_names};
pub use picture::{Mark, Pair, Pane, Picture};
pub(crate) use seed::{draw_seed, stretched};
