//! Training: Eigenfaces and Fisherfaces from a folder of people, and networks by gradients. Measuring is
//! [`crate::eval`]'s.

mod adapt;
mod adapt_triplets;
mod augment;
mod card;
mod checkpoint;
mod chips;
mod classic;
mod faces;
#[cfg(test)]
mod golden;
mod losses;
mod mining;
mod optimiser;
mod options;
mod sampler;
mod subspace;
mod tensors;
mod trainer;
mod validate;

pub use crate::embed::adapted::Projection;
pub use crate::nn::graph::{LayerCost, Network, presets as networks};
pub use adapt::{AdaptMethod, AdaptOptions, AdaptReport, adapt};
pub use augment::{Augmentation, augmented, preview};
pub use card::{AdaptedCard, ModelCard};
pub use chips::{chips_of, taught_by};
pub use classic::{ClassicKind, ClassicOptions, Trained, train_classic};
pub use faces::FaceSet;
pub use losses::Head;
pub use mining::{Mined, Mining, Triplet, mine, squared_distances};
pub use optimiser::{Rule, Schedule};
pub use options::{Ending, EpochReport, Event, Objective, StepReport, TrainOptions, written_epoch};
pub use sampler::Sampler;
pub use trainer::Trainer;
pub use validate::{Validation, agreement, validate};
