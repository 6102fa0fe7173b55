//! What can be said to `kith completions` and `kith man`.

use std::path::PathBuf;

use clap::Args as Group;
use clap_complete::Shell;

#[derive(Debug, Group)]
pub(in crate::cli) struct Completions {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Manual {
    /// Write a page of each command into this folder, in place of the first one to standard output
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}
