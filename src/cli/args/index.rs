//! What can be said of indexes.

use clap::{Args as Group, ValueEnum};

use super::super::output;
use super::common::Common;
use super::place::Place;
use crate::{Database, IndexChoice, IndexStats, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// The exact scan in a small gallery, the graph in a large one
    Auto,
    /// Every vector is looked at
    Exact,
    /// The crate hnsw_rs; built anew each time, since it is kept in no file
    Hnsw,
    /// kith's own graph, whatever the gallery's size
    Graph,
}

impl From<Kind> for IndexChoice {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Auto => Self::Auto,
            Kind::Exact => Self::Exact,
            Kind::Hnsw => Self::Hnsw,
            Kind::Graph => Self::Graph,
        }
    }
}

/// What answers a search.
#[derive(Debug, Group)]
pub(in crate::cli) struct Way {
    /// What answers the search of the gallery
    #[arg(long, value_enum, default_value = "auto", value_name = "KIND")]
    pub index: Kind,
}

impl Way {
    /// Sees to it that the gallery is searched so; a graph that is missing is built, with a bar.
    pub(in crate::cli) fn prepare(&self, common: &Common, database: &Database, gallery: &str) -> Result<()> {
        if database.galleries().iter().any(|g| g == gallery) {
            with_bar(common, |told| database.use_index(gallery, self.index.into(), told))?;
        }
        Ok(())
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Reindex {
    #[command(flatten)]
    pub way: Way,
    #[command(flatten)]
    pub place: Place,
}

/// Runs what reports faces done and all faces, under a bar.
pub(in crate::cli) fn with_bar(
    common: &Common,
    work: impl FnOnce(&dyn Fn(usize, usize)) -> Result<IndexStats>,
) -> Result<IndexStats> {
    let bar = output::bar(common, 2, "indexing");
    let done = work(&|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    done
}
