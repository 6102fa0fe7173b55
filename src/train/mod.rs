//! Training on the user's own photos: a folder of people to a model in the weights folder.

mod classic;
mod subspace;

pub use classic::{ClassicKind, ClassicOptions, Trained, train_classic};
