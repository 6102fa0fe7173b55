//! What can be said to `kith eval`.

use std::path::{Path, PathBuf};

use clap::{Args as Group, Subcommand, ValueEnum};

use super::common::Common;
use super::numbers::within;
use super::people::Stand;
use crate::cluster::Method;
use crate::eval::{EmbeddingCache, FOLDS};
use crate::{Engine, FaceChoice};

#[derive(Debug, Group)]
pub(in crate::cli) struct Eval {
    #[command(subcommand)]
    pub what: EvalWhat,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EvalWhat {
    /// Verification: judge pairs of photos, with one model or several side by side
    Pairs(EvalPairs),
    /// Open-set identification: enrol some people of a folder, search for them and for strangers
    Identify(EvalIdentify),
    /// Grouping: sort a folder's photos into people without their labels, and hold the groups against them
    Cluster(EvalCluster),
    /// Detection: hold the faces found against labelled boxes
    Detect(EvalDetect),
    /// Alignment: scan scale and shifts of the model's template for the lowest false non-match rate
    Alignment(EvalAlignment),
    /// Quality: which measure of a picture tells beforehand that its comparisons go wrong (error-versus-discard curves)
    Quality(EvalQuality),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum WhichFace {
    /// The one nearest the photo's centre
    Central,
    /// The largest
    Largest,
    /// A photo with several faces is a failure to acquire
    Only,
}

impl WhichFace {
    pub(in crate::cli) fn choice(self) -> FaceChoice {
        match self {
            WhichFace::Central => FaceChoice::Central,
            WhichFace::Largest => FaceChoice::Largest,
            WhichFace::Only => FaceChoice::Only,
        }
    }
}

/// What every evaluation of embedders takes.
#[derive(Debug, Group)]
pub(in crate::cli) struct Evaluated {
    /// Models to evaluate side by side, parted by commas; --model alone when not said
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub models: Vec<String>,
    /// Which face counts where a photo shows several
    #[arg(long, value_enum, default_value = "central")]
    pub face: WhichFace,
    /// Keep embeddings in this folder, by content and model, for the next time. They are biometric data
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    /// Write the report as one HTML page, with the faces of the worst mistakes in it
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Seed of whatever is drawn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

impl Evaluated {
    pub(in crate::cli) fn names(&self, common: &Common) -> Vec<String> {
        if self.models.is_empty() { vec![common.model_name().to_string()] } else { self.models.clone() }
    }

    pub(in crate::cli) fn engines(&self, common: &Common) -> anyhow::Result<Vec<Engine>> {
        self.names(common).iter().map(|name| Ok(common.builder()?.model(name).build()?)).collect()
    }

    pub(in crate::cli) fn cache(&self, common: &Common, engine: &Engine) -> anyhow::Result<EmbeddingCache> {
        let Some(folder) = &self.cache else { return Ok(EmbeddingCache::none()) };
        let setup = format!(
            "detector {}, faces from {} pixels, longer side {:?}, {:?}, filled up beyond the edges, turned where its faces lie",
            engine.detector(),
            common.min_face,
            common.max_side,
            self.face
        );
        let setup = match engine.detector() {
            // It looks at no enlarged copies.
            "mtcnn" => setup,
            _ => format!("{setup}, enlarged {}", common.enlarge),
        };
        // What was kept before there was a choice is in f32.
        let setup = if engine.precision() == "f32" { setup } else { format!("{setup}, in {}", engine.precision()) };
        Ok(EmbeddingCache::open(folder, &setup)?)
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct EvalPairs {
    /// LFW's pairs.txt, a CSV file (file_x,file_y,same), or a folder with one folder of photos for each
    /// person, from which pairs are drawn
    #[arg(value_name = "FILE")]
    pub list: PathBuf,
    /// The folder that the listed photos are in; the list's own folder when not said
    #[arg(long, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
    /// From a folder: draw at most this many genuine and as many impostor pairs for each fold
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = within(1usize, 100_000_000))]
    pub pairs: usize,
    /// From a folder: deal the people to this many folds
    #[arg(long, default_value_t = FOLDS, value_name = "N", value_parser = within(1usize, 1000))]
    pub folds: usize,
    /// From a folder: take every pair of photos, in one fold
    #[arg(long, conflicts_with_all = ["pairs", "folds"])]
    pub all_pairs: bool,
    /// Name at most this many mistakes of either kind, the worst first (in --json and --html)
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = within(0usize, 100_000))]
    pub mistakes: usize,
    #[command(flatten)]
    pub evaluated: Evaluated,
}

impl EvalPairs {
    pub(in crate::cli) fn images(&self) -> PathBuf {
        beside(&self.list, self.images.as_ref())
    }
}

/// The folder of a list's photos.
fn beside(list: &Path, images: Option<&PathBuf>) -> PathBuf {
    let own = || list.parent().unwrap_or(Path::new(".")).to_path_buf();
    images.cloned().unwrap_or_else(own)
}

impl EvalDetect {
    pub(in crate::cli) fn images(&self) -> PathBuf {
        beside(&self.boxes, self.images.as_ref())
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct EvalIdentify {
    /// A folder with one folder of photos for each person
    pub people: PathBuf,
    /// Share of those who have enough photos to enrol; everybody else is a stranger
    #[arg(long, default_value_t = 0.5, value_name = "SHARE", value_parser = within(1e-6, 1.0))]
    pub enrolled: f64,
    /// Photos enrolled of each; the rest of theirs are searched for
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = within(1usize, 1_000_000))]
    pub gallery_photos: usize,
    /// How a person's photos stand for the person; several, parted by commas, side by side
    #[arg(long, value_enum, value_delimiter = ',', default_value = "best", value_name = "HOW,...")]
    pub by: Vec<Stand>,
    #[command(flatten)]
    pub evaluated: Evaluated,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct EvalAlignment {
    /// A folder with one folder of photos for each person
    pub people: PathBuf,
    /// Folds of people: the choice is made on all but one, and tried on that one
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = within(2usize, 100))]
    pub folds: usize,
    /// The false-match rate at which false non-match rates are compared
    #[arg(long, default_value_t = 1e-4, value_name = "RATE", value_parser = within(1e-9, 0.5))]
    pub fmr: f64,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct EvalQuality {
    /// A folder with one folder of photos for each person
    pub people: PathBuf,
    /// The false-match rate, over all pairs, at whose threshold pairs are judged
    #[arg(long, default_value_t = 1e-3, value_name = "RATE", value_parser = within(1e-9, 0.5))]
    pub fmr: f64,
    /// Folds of people, for the standard errors
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = within(2usize, 100))]
    pub folds: usize,
    /// Write the curves as one HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct EvalCluster {
    /// A folder with one folder of photos for each person
    pub people: PathBuf,
    /// Only people with at least so many photos
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = within(1usize, 1_000_000))]
    pub at_least: usize,
    /// How faces are grouped
    #[arg(long, value_enum, default_value = "linkage")]
    pub method: Way,
    #[command(flatten)]
    pub evaluated: Evaluated,
}

/// How faces are grouped.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Way {
    /// Agglomerative: the mean of average and centroid linkage
    Linkage,
    /// Chinese whispers
    Whispers,
}

impl Way {
    pub(in crate::cli) fn method(self) -> Method {
        match self {
            Way::Linkage => Method::Linkage,
            Way::Whispers => Method::Whispers,
        }
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct EvalDetect {
    /// Labelled boxes as CSV: file,x0,y0,x1,y1 and optionally five landmarks as x,y; a line with a file
    /// alone is a photo without a face, a last column `ignore` a face that need not be found
    #[arg(long, value_name = "FILE")]
    pub boxes: PathBuf,
    /// The folder that the listed photos are in; the list's own folder when not said
    #[arg(long, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
