//! What can be said about keys, exports and changes of model.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

use super::place::Place;

#[derive(Debug, Group)]
pub(in crate::cli) struct KeyArgs {
    #[command(subcommand)]
    pub action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyAction {
    /// Draw a new key and write it into a new file that only you can read
    New {
        /// The file to make
        file: PathBuf,
    },
}

#[derive(Debug, Group)]
pub(in crate::cli) struct ExportArgs {
    /// The folder to make: gallery.jsonl and vectors.npy. Not encrypted, whatever the database is
    pub folder: PathBuf,
    /// Kept chips and thumbnails too
    #[arg(long)]
    pub chips: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct ImportArgs {
    /// What `kith export` made
    pub folder: PathBuf,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Reembed {
    /// A folder with the photos that the faces were enrolled from, found by their bytes, whatever they
    /// are called now (may be said again)
    #[arg(long, value_name = "FOLDER")]
    pub photos: Vec<PathBuf>,
    /// Drop the faces for which there is neither a fitting chip nor the photo
    #[arg(long)]
    pub leave_out: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Rekey {
    /// The new key: from this file
    #[arg(long, value_name = "FILE", required_unless_present_any = ["new_key_command", "plain"])]
    pub new_key_file: Option<PathBuf>,
    /// The new key: what this command prints
    #[arg(long, value_name = "COMMAND", conflicts_with = "new_key_file")]
    pub new_key_command: Option<String>,
    /// No key: make the database plain
    #[arg(long, conflicts_with_all = ["new_key_file", "new_key_command"])]
    pub plain: bool,
    #[command(flatten)]
    pub place: Place,
}
