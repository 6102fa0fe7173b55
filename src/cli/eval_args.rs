//! What can be said to `kith eval` and `kith train`.

use std::path::{Path, PathBuf};

use clap::{Args as Group, Subcommand, ValueEnum};

use super::args::Common;
use crate::eval::{EmbeddingCache, FOLDS};
use crate::{Engine, FaceChoice};

#[derive(Debug, Group)]
pub(super) struct Eval {
    #[command(subcommand)]
    pub what: EvalWhat,
}

#[derive(Debug, Subcommand)]
pub(super) enum EvalWhat {
    /// Verification: judge pairs of photos, with one model or several side by side
    Pairs(EvalPairs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum WhichFace {
    /// The one nearest the photo's centre
    Central,
    /// The largest
    Largest,
    /// A photo with several faces is a failure to acquire
    Only,
}

/// What every evaluation of embedders takes.
#[derive(Debug, Group)]
pub(super) struct Evaluated {
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
    pub(super) fn choice(&self) -> FaceChoice {
        match self.face {
            WhichFace::Central => FaceChoice::Central,
            WhichFace::Largest => FaceChoice::Largest,
            WhichFace::Only => FaceChoice::Only,
        }
    }

    pub(super) fn names(&self, common: &Common) -> Vec<String> {
        if self.models.is_empty() { vec![common.model.clone()] } else { self.models.clone() }
    }

    pub(super) fn engines(&self, common: &Common) -> anyhow::Result<Vec<Engine>> {
        self.names(common).iter().map(|name| Ok(common.builder()?.model(name).build()?)).collect()
    }

    pub(super) fn cache(&self, common: &Common, engine: &Engine) -> anyhow::Result<EmbeddingCache> {
        let Some(folder) = &self.cache else { return Ok(EmbeddingCache::none()) };
        let setup = format!("detector {}, faces from {} pixels, {:?}", engine.detector(), common.min_face, self.face);
        Ok(EmbeddingCache::open(folder, &setup)?)
    }
}

#[derive(Debug, Group)]
pub(super) struct EvalPairs {
    /// LFW's pairs.txt, a CSV file (file_x,file_y,same), or a folder with one folder of photos for each
    /// person, from which pairs are drawn
    #[arg(value_name = "FILE")]
    pub list: PathBuf,
    /// The folder that the listed photos are in; the list's own folder when not said
    #[arg(long, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
    /// From a folder: draw at most this many genuine and as many impostor pairs for each fold
    #[arg(long, default_value_t = 300, value_name = "N")]
    pub pairs: usize,
    /// From a folder: deal the people to this many folds
    #[arg(long, default_value_t = FOLDS, value_name = "N")]
    pub folds: usize,
    /// From a folder: take every pair of photos, in one fold
    #[arg(long, conflicts_with_all = ["pairs", "folds"])]
    pub all_pairs: bool,
    #[command(flatten)]
    pub evaluated: Evaluated,
}

impl EvalPairs {
    pub(super) fn images(&self) -> PathBuf {
        let own = || self.list.parent().unwrap_or(Path::new(".")).to_path_buf();
        self.images.clone().unwrap_or_else(own)
    }
}
