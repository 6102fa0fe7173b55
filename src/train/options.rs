//! How a network is trained, and what a run says of itself.

use serde::{Deserialize, Serialize};

use super::losses::Head;
use super::mining::Mining;
use super::optimiser::{Rule, Schedule};
use super::validate::Validation;
use crate::error::{ModelError, Result};

/// What is made small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Objective {
    /// The triplet loss over mined triplets.
    Triplet {
        /// How negatives are chosen.
        mining: Mining,
        /// By how much a negative must be further, in squared distance.
        margin: f64,
        /// Epochs of semi-hard mining before that rule.
        semi_hard_epochs: u64,
    },
    /// A direction for each person, left behind after training.
    Head(Head),
    /// The vectors that a teacher makes of the same faces; nobody need know who is on them.
    Distil {
        /// What differences between cosines of pairs count beside those of vectors. They alone count where the teacher's
        /// vectors have another length than the student's.
        relations: f64,
    },
}

impl Objective {
    /// The paper's: semi-hard, margin 0.2.
    pub const PAPER: Self = Self::Triplet { mining: Mining::SemiHard, margin: 0.2, semi_hard_epochs: 0 };
}

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// What is made small.
    pub objective: Objective,
    /// What moves the parameters.
    pub rule: Rule,
    /// Learning rate.
    pub rate: f64,
    /// How the rate changes.
    pub schedule: Schedule,
    /// Steps over which the rate rises to its value.
    pub warm_up: u64,
    /// Weight decay of matrices and convolutions.
    pub weight_decay: f64,
    /// Norm that gradients are clipped to.
    pub clip: Option<f64>,
    /// Share of the running mean of parameters that is kept at each step; without it the last parameters are the result.
    pub average: Option<f64>,
    /// Passes over the people.
    pub epochs: u64,
    /// People of a batch; faces of it where a teacher is learnt from.
    pub people: usize,
    /// Faces of each; one where a teacher is learnt from.
    pub each: usize,
    /// Faces that go through the network together with a graph.
    pub part: usize,
    /// Layers that stay as they are.
    pub frozen: Vec<String>,
    /// Epochs without a better validation after which training stops.
    pub patience: Option<u64>,
    /// Whether chips are changed as [`super::augmented`] does.
    pub augment: bool,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            objective: Objective::PAPER,
            rule: Rule::Adagrad,
            rate: 0.05,
            schedule: Schedule::Constant,
            warm_up: 0,
            weight_decay: 5e-4,
            clip: Some(5.0),
            average: None,
            epochs: 20,
            people: 16,
            each: 4,
            part: 32,
            frozen: Vec::new(),
            patience: None,
            augment: true,
            seed: 1,
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// Number of the step, from 0.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Loss.
    pub loss: f64,
    /// Share of candidates for triplets whose loss is above zero; none for heads.
    pub active: Option<f64>,
    /// Mean squared distance between the batch's embeddings: near nought where the network has collapsed.
    pub spread: f64,
    /// Norm of all gradients, before clipping.
    pub norm: f64,
    /// Learning rate.
    pub rate: f64,
    /// Faces of the batch.
    pub faces: usize,
}

/// What an epoch did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Mean loss.
    pub loss: f64,
    /// Mean share of active triplets.
    pub active: Option<f64>,
    /// Error rates on people not trained on.
    pub validation: Option<Validation>,
    /// Likeness to a teacher on faces not trained on: see [`super::agreement`].
    #[serde(default)]
    pub agreement: Option<f64>,
}

impl EpochReport {
    /// What a run is stopped by: the true accept rate at 1e-2 or the area under the ROC, else likeness to the teacher.
    pub fn score(&self) -> Option<f64> {
        self.validation.as_ref().map(Validation::score).or(self.agreement)
    }
}

/// The epoch whose weights a run writes: the first of the best where it had patience, else the last.
pub fn written_epoch<'a>(epochs: &'a [EpochReport], options: &TrainOptions) -> Option<&'a EpochReport> {
    let scored = |e: &'a EpochReport| Some((e, e.score()?));
    let best = epochs.iter().rev().filter_map(scored).max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(e, _)| e);
    best.filter(|_| options.patience.is_some()).or(epochs.last())
}

/// What a watcher is told.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step was done.
    Step(&'a StepReport),
    /// An epoch was done.
    Epoch(&'a EpochReport),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ending {
    /// All epochs are done.
    Finished,
    /// Validation was no better for as many epochs as patience had.
    NoBetter,
    /// The watcher asked for an end; the run can go on from its checkpoint.
    Interrupted,
}

/// Refuses options out of range.
pub(super) fn check(options: &TrainOptions) -> Result<()> {
    let within = |option: &'static str, value: f64, fits: bool, expected: &'static str| match fits {
        true => Ok(()),
        false => Err(ModelError::InvalidOption { option, received: value.to_string(), expected }),
    };
    within("rate", options.rate, options.rate > 0.0 && options.rate.is_finite(), "above 0")?;
    within("weight decay", options.weight_decay, (0.0..1.0).contains(&options.weight_decay), "from 0 to below 1")?;
    let clip = options.clip.unwrap_or(1.0);
    within("clip", clip, clip > 0.0, "above 0")?;
    let average = options.average.unwrap_or(0.5);
    within("average", average, average > 0.0 && average < 1.0, "above 0 and below 1")?;
    if let Objective::Triplet { margin, .. } = options.objective {
        within("margin", margin, margin > 0.0 && margin <= 4.0, "above 0 and at most 4")?;
    }
    if let Objective::Distil { relations } = options.objective {
        within("relations", relations, (0.0..=1000.0).contains(&relations), "from 0 to 1000")?;
    }
    // Checkpoints are TOML, whose integers are signed.
    within("seed", options.seed as f64, i64::try_from(options.seed).is_ok(), "below 2^63")?;
    within("epochs", options.epochs as f64, options.epochs > 0, "at least 1")?;
    Ok(())
}
