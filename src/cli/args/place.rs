//! Which database and gallery, and how the database is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as Group;

use super::super::output;
use super::key::KeySource;
use super::names::name;
use super::numbers::{LONGEST_SECONDS, within};
use crate::nn::weights::data_folder;
use crate::{DEFAULT_GALLERY, Database, DatabaseOptions, Result, in_turn};

/// Which database and gallery.
#[derive(Debug, Group)]
pub(in crate::cli) struct Place {
    /// The database's folder; $KITH_DB, or `kith/faces` in your data folder, when not said
    #[arg(long, global = true, value_name = "FOLDER")]
    pub db: Option<PathBuf>,
    /// The gallery in it
    #[arg(long, global = true, default_value = DEFAULT_GALLERY, value_name = "NAME", value_parser = name())]
    pub gallery: String,
    /// Wait this long for another process to let go of the database. A running service answers without a wait
    #[arg(long, global = true, default_value_t = 60.0, value_name = "SECONDS",
        value_parser = within(0.0, LONGEST_SECONDS))]
    pub wait: f64,
    #[command(flatten)]
    pub key: KeySource,
}

impl Place {
    pub(in crate::cli) fn folder(&self) -> anyhow::Result<PathBuf> {
        let given = std::env::var_os("KITH_DB").filter(|v| !v.is_empty()).map(PathBuf::from);
        let own = || Some(data_folder()?.join("faces"));
        let folder = self.db.clone().or(given).or_else(own);
        folder.ok_or_else(|| anyhow::anyhow!("no home folder is known; say --db FOLDER"))
    }

    pub(in crate::cli) fn wait(&self) -> Duration {
        Duration::try_from_secs_f64(self.wait).unwrap_or(Duration::MAX)
    }

    /// The database: opened when it is its turn, or the running service that answers for it.
    pub(in crate::cli) fn open(&self, create: bool) -> anyhow::Result<Database> {
        self.opener(create)?()
    }

    /// Opens the database as often as it is called, with a key that is asked for once: whoever has it may be asked to type a
    /// password, and what comes through a pipe is there once.
    pub(in crate::cli) fn opener(&self, create: bool) -> anyhow::Result<impl Fn() -> anyhow::Result<Database>> {
        let (folder, options) = (self.folder()?, self.options(create)?);
        Ok(move || {
            let database = Database::join(&folder, &options, &waiting)?;
            for note in database.notes() {
                output::complain(note);
            }
            Ok(database)
        })
    }

    /// Does what needs the database for itself when it is its turn. A service that has it open is not waited for.
    pub(in crate::cli) fn alone<T>(
        &self,
        options: &DatabaseOptions,
        mut work: impl FnMut(&Path, &DatabaseOptions) -> Result<T>,
    ) -> anyhow::Result<T> {
        let folder = self.folder()?;
        let now = DatabaseOptions { wait: Duration::ZERO, ..options.clone() };
        Ok(in_turn(&folder, options.wait, &waiting, || work(&folder, &now))?)
    }

    pub(in crate::cli) fn options(&self, create: bool) -> anyhow::Result<DatabaseOptions> {
        Ok(DatabaseOptions { create, wait: self.wait(), key: self.key.key()? })
    }
}

/// Says for whom the command waits.
fn waiting(holder: &str) {
    eprintln!("kith: waiting for {holder}, which has the database open (--wait says how long)");
}
