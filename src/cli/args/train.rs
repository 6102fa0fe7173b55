//! What can be said to `kith train`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

use super::eval::WhichFace;
use super::numbers::{rate, within};
use super::place::Place;
use crate::train::{AdaptMethod, AdaptOptions, ClassicOptions, Head, Mining, Objective, Rule, Schedule, TrainOptions};

#[derive(Debug, Group)]
pub(in crate::cli) struct Train {
    #[command(subcommand)]
    pub what: TrainWhat,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TrainWhat {
    /// Eigenfaces: the directions in which faces differ most (Turk and Pentland, 1991)
    Eigenfaces {
        #[command(flatten)]
        classic: TrainClassic,
        /// Leave out this many leading directions, which hold the light
        #[arg(long, default_value_t = ClassicOptions::default().drop, value_name = "N")]
        drop: usize,
        /// Do not scale directions to unit variance
        #[arg(long)]
        no_whitening: bool,
    },
    /// Fisherfaces: the directions that part people best (Belhumeur, Hespanha and Kriegman, 1997)
    Fisherfaces {
        #[command(flatten)]
        classic: TrainClassic,
    },
    /// The network that --model names (one of `kith train networks`; tiny when not said), from photos of people: the triplet
    /// loss of FaceNet, or a head with a direction for each person
    Triplet(Box<TrainTriplet>),
    /// A small network learns what a large one makes of photos; nobody need say who is on them
    Distil(Box<TrainDistil>),
    /// Fit a gallery's model to its people: a projection that is written only where people not fitted to gain
    Adapt(TrainAdapt),
    /// Draw what training does to photos: each augmentation beside the chip, on one sheet
    Preview(TrainPreview),
    /// List the networks that can be trained: parameters and operations of each layer, beside the papers' tables
    Networks {
        /// One of them, layer by layer
        name: Option<String>,
    },
}

/// What the training of both takes.
#[derive(Debug, Group)]
pub(in crate::cli) struct TrainClassic {
    /// A folder with one folder of photos for each person
    #[arg(value_name = "PEOPLE")]
    pub people: PathBuf,
    /// What to call the model: for --model, and the file in your weights folder; the method's own name when
    /// not said
    #[arg(long)]
    pub name: Option<String>,
    /// Write to this file instead
    #[arg(long, short, value_name = "FILE", conflicts_with = "name")]
    pub output: Option<PathBuf>,
    /// Share of the faces' variance that principal components keep
    #[arg(long, default_value_t = ClassicOptions::default().variance, value_name = "SHARE",
        value_parser = within(1e-6, 1.0))]
    pub variance: f64,
    /// Leave out the people named in this pairs.txt, so that an evaluation on it is honest
    #[arg(long, value_name = "FILE")]
    pub except: Option<PathBuf>,
    /// Which face counts where a photo shows several
    #[arg(long, value_enum, default_value = "central")]
    pub face: WhichFace,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Method {
    /// In closed form: linear discriminant analysis with the scaling of its probabilistic form
    Lda,
    /// By the triplet loss, from the model as it is
    Triplet,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct TrainAdapt {
    /// What to call the adapted model: for --model, and the file in your weights folder
    #[arg(long)]
    pub name: String,
    /// What the projection is fitted by
    #[arg(long, value_enum, default_value = "lda")]
    pub method: Method,
    /// The false accept rate at which people not fitted to must gain; the strictest of 0.001, 0.01 and 0.1 that the
    /// gallery's pairs support when not said
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub far: Option<f64>,
    /// Folds of people: each is measured by what the others gave
    #[arg(long, default_value_t = AdaptOptions::default().folds, value_name = "N", value_parser = within(2usize, 100))]
    pub folds: usize,
    /// Seed of whatever is drawn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    #[command(flatten)]
    pub place: Place,
}

impl TrainAdapt {
    pub(in crate::cli) fn options(&self) -> AdaptOptions {
        let method = match self.method {
            Method::Lda => AdaptMethod::Lda,
            Method::Triplet => AdaptMethod::Triplet,
        };
        AdaptOptions { method, folds: self.folds, far: self.far, seed: self.seed }
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct TrainPreview {
    /// Photos with a face
    #[arg(required = true)]
    pub photos: Vec<PathBuf>,
    /// The sheet to write: a PNG or JPEG file
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Which face counts where a photo shows several
    #[arg(long, value_enum, default_value = "central")]
    pub face: WhichFace,
    /// Seed of whatever is drawn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Loss {
    /// Triplet loss, negatives semi-hard (FaceNet's)
    Triplet,
    /// Triplet loss, the hardest positive and negative of each face after --semi-hard epochs
    BatchHard,
    /// ArcFace
    Arcface,
    /// CosFace
    Cosface,
    /// SFace's sigmoid-constrained loss
    Sface,
    /// Cross entropy over people
    Softmax,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum By {
    /// Adagrad (FaceNet's)
    Adagrad,
    /// SGD with momentum 0.9
    Sgd,
    /// AdamW
    Adamw,
}

/// What a run of any kind takes.
#[derive(Debug, Group)]
pub(in crate::cli) struct TrainRun {
    /// What to call the model: for --model, and the file in your weights folder; the network's name when not said
    #[arg(long)]
    pub name: Option<String>,
    /// Write to this file instead
    #[arg(long, short, value_name = "FILE", conflicts_with = "name")]
    pub output: Option<PathBuf>,
    /// Begin from these weights of the same network instead of from random ones
    #[arg(long, value_name = "NAME")]
    pub from: Option<String>,
    /// Save the run here after each epoch, and go on from there where it is already
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Write the curves of the run as one HTML page after each epoch; open, it follows the run
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep cut chips, and what a teacher makes of them, in this folder for the next time. They are biometric data
    #[arg(long, value_name = "FOLDER")]
    pub chips: Option<PathBuf>,
    /// Which face counts where a photo shows several
    #[arg(long, value_enum, default_value = "central")]
    pub face: WhichFace,
    /// Share of the people (of the photos, where nobody says who is on them) not trained on but measured on
    #[arg(long, default_value_t = 0.1, value_name = "SHARE", value_parser = within(0.0, 0.9))]
    pub held_out: f64,
    /// Let the rate fall along half a cosine
    #[arg(long)]
    pub cosine: bool,
    /// Steps over which the rate rises
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub warm_up: u64,
    /// Passes over the people, or over the photos
    #[arg(long, default_value_t = TrainOptions::default().epochs, value_name = "N", value_parser = within(1u64, 1_000_000))]
    pub epochs: u64,
    /// Faces that go through the network together; larger batches go in parts, mined as a whole
    #[arg(long, default_value_t = TrainOptions::default().part, value_name = "N", value_parser = within(2usize, 100_000))]
    pub part: usize,
    /// Layers that stay as they are, parted by commas
    #[arg(long, value_name = "LAYER,...", value_delimiter = ',')]
    pub frozen: Vec<String>,
    /// Show photos as they are: no crop, flip, turn, colour, blur, low light or occlusion (`kith train preview` draws them)
    #[arg(long)]
    pub no_augmentation: bool,
    /// Keep a running mean of the parameters, this share of it at each step
    #[arg(long, value_name = "SHARE", value_parser = within(0.001, 0.99999))]
    pub average: Option<f64>,
    /// Stop after so many epochs without a better validation, and keep the best weights
    #[arg(long, value_name = "N")]
    pub patience: Option<u64>,
    /// Seed of whatever is drawn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

impl TrainRun {
    fn options(&self, objective: Objective, by: By, rate: f64, (people, each): (usize, usize)) -> TrainOptions {
        TrainOptions {
            objective,
            rule: match by {
                By::Adagrad => Rule::Adagrad,
                By::Sgd => Rule::SGD,
                By::Adamw => Rule::ADAMW,
            },
            rate,
            schedule: if self.cosine { Schedule::Cosine } else { Schedule::Constant },
            warm_up: self.warm_up,
            epochs: self.epochs,
            people,
            each,
            part: self.part,
            frozen: self.frozen.clone(),
            average: self.average,
            patience: self.patience,
            augment: !self.no_augmentation,
            seed: self.seed,
            ..TrainOptions::default()
        }
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct TrainTriplet {
    /// A folder with one folder of photos for each person
    #[arg(value_name = "PEOPLE")]
    pub people: PathBuf,
    /// Leave out the people named in this pairs.txt, so that an evaluation on it is honest
    #[arg(long, value_name = "FILE")]
    pub except: Option<PathBuf>,
    /// What is made small
    #[arg(long, value_enum, default_value = "triplet")]
    pub loss: Loss,
    /// By how much a negative must be further, in squared distance
    #[arg(long, default_value_t = 0.2, value_name = "DISTANCE", value_parser = within(1e-6, 4.0))]
    pub margin: f64,
    /// Epochs of semi-hard mining before batch-hard
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub semi_hard: u64,
    /// What moves the parameters
    #[arg(long, value_enum, default_value = "adagrad")]
    pub by: By,
    /// Learning rate
    #[arg(long, default_value_t = TrainOptions::default().rate, value_name = "RATE", value_parser = within(1e-9, 10.0))]
    pub rate: f64,
    /// People of a batch
    #[arg(long, default_value_t = TrainOptions::default().people, value_name = "P", value_parser = within(2usize, 10_000))]
    pub batch_people: usize,
    /// Faces of each
    #[arg(long, default_value_t = TrainOptions::default().each, value_name = "K", value_parser = within(2usize, 1000))]
    pub batch_faces: usize,
    #[command(flatten)]
    pub run: TrainRun,
}

impl TrainTriplet {
    pub(in crate::cli) fn options(&self) -> TrainOptions {
        let triplet = |mining, semi_hard_epochs| Objective::Triplet { mining, margin: self.margin, semi_hard_epochs };
        let objective = match self.loss {
            Loss::Triplet => triplet(Mining::SemiHard, 0),
            Loss::BatchHard => triplet(Mining::BatchHard, self.semi_hard),
            Loss::Arcface => Objective::Head(Head::ARCFACE),
            Loss::Cosface => Objective::Head(Head::COSFACE),
            Loss::Sface => Objective::Head(Head::SFACE),
            Loss::Softmax => Objective::Head(Head::Softmax),
        };
        self.run.options(objective, self.by, self.rate, (self.batch_people, self.batch_faces))
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct TrainDistil {
    /// A folder of photos of faces, folders in it included
    #[arg(value_name = "PHOTOS")]
    pub photos: PathBuf,
    /// The model to learn from: a name from `kith weights list`
    #[arg(long, value_name = "NAME", default_value = "sface")]
    pub teacher: String,
    /// The network that learns: one of `kith train networks`
    #[arg(long, value_name = "NETWORK", default_value = "tiny")]
    pub student: String,
    /// PHOTOS has one folder for each person: some people are held out and error rates measured on them. Learning takes no
    /// notice of it
    #[arg(long)]
    pub people: bool,
    /// What differences between the cosines of pairs count beside those of vectors
    #[arg(long, default_value_t = 1.0, value_name = "WEIGHT", value_parser = within(0.0, 1000.0))]
    pub relations: f64,
    /// What moves the parameters
    #[arg(long, value_enum, default_value = "adamw")]
    pub by: By,
    /// Learning rate
    #[arg(long, default_value_t = 0.002, value_name = "RATE", value_parser = within(1e-9, 10.0))]
    pub rate: f64,
    /// Faces of a batch
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = within(2usize, 100_000))]
    pub batch: usize,
    #[command(flatten)]
    pub run: TrainRun,
}

impl TrainDistil {
    pub(in crate::cli) fn options(&self) -> TrainOptions {
        let objective = Objective::Distil { relations: self.relations };
        self.run.options(objective, self.by, self.rate, (self.batch, 1))
    }
}
