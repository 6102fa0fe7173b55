//! Training: Eigenfaces and Fisherfaces from a folder of people, and networks by gradients. Measuring is
//! [`crate::eval`]'s.

mod classic;
#[cfg(test)]
mod golden;
mod losses;
mod mining;
mod optimiser;
mod sampler;
mod subspace;
mod tensors;

pub use classic::{ClassicKind, ClassicOptions, Trained, train_classic};
pub use losses::Head;
pub use mining::{Mined, Mining, Triplet, mine, squared_distances};
pub use optimiser::{Rule, Schedule};
pub use sampler::Sampler;
