//! What can be said about the service and its keys.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args as Group, Subcommand, ValueEnum};

use super::super::settings::{limits_help, one_limit};
use super::numbers::within;
use super::place::Place;
use crate::files::spelled;
use crate::serve::{ROTATE_BYTES, Role, ServeOptions};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogForm {
    /// Lines for people
    Text,
    /// An object a line, for programs
    Json,
}

/// Where the service keeps its keys and its audit log.
#[derive(Debug, Group)]
pub(in crate::cli) struct StatePlace {
    /// A TOML file that says what the flags do: `listen = "0.0.0.0:8321"`, and so on. Flags count over the
    /// environment ($KITH_LISTEN) over this file; its paths begin at its own folder
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The service's own folder, for keys and the audit log; the database's with `.serve` after its name,
    /// when not said
    #[arg(long, global = true, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

impl StatePlace {
    /// The folder, which has to be there: a name that is mistyped must not pass as an empty one.
    pub(in crate::cli) fn kept(&self) -> anyhow::Result<PathBuf> {
        let folder = self.folder()?;
        let shown = spelled(&folder);
        anyhow::ensure!(
            folder.is_dir(),
            "{shown}: no service has kept keys or a log here; say --db FOLDER or --state FOLDER as to `kith serve`"
        );
        Ok(folder)
    }

    pub(in crate::cli) fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.state {
            return Ok(folder.clone());
        }
        let database = self.place.folder()?;
        let name = database.file_name().ok_or_else(|| {
            anyhow::anyhow!("{}: has no name to put a folder beside; say --state FOLDER", spelled(&database))
        })?;
        let mut name = name.to_os_string();
        name.push(".serve");
        Ok(database.with_file_name(name))
    }
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Serve {
    /// Where to listen. Anywhere but on this machine alone needs keys and TLS
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ServeOptions::LISTEN)]
    pub listen: SocketAddr,
    /// The certificate chain, as a PEM file; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, as a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Listen where others can reach the service even without keys or TLS
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
        require_equals = true, value_name = "true|false")]
    pub insecure: bool,
    /// Access policies, as a TOML file
    #[arg(long, value_name = "FILE")]
    pub policies: Option<PathBuf>,
    /// Keep each enrolled face's chip and a thumbnail: about 40 to 55 KB a face, where its vector takes 1. A change of
    /// model needs the chip, and the page shows the thumbnail
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
        require_equals = true, value_name = "true|false")]
    pub keep_chips: bool,
    /// Keep no picture of enrolled faces, whatever --keep-chips says
    #[arg(long, default_value_t = false, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
        require_equals = true, value_name = "true|false")]
    pub no_thumbnails: bool,
    /// Bytes after which the audit log goes on in a new file: 65536 to 1099511627776. The full ones are kept
    #[arg(long, value_name = "BYTES", default_value_t = ROTATE_BYTES)]
    pub audit_bytes: u64,
    #[arg(long, value_name = "FILE", help = "Limits, as a TOML file; `--help` names them and their defaults",
        long_help = limits_help())]
    pub limits: Option<PathBuf>,
    /// One limit, over those of files and environment (may be said again)
    #[arg(long, value_name = "NAME=NUMBER", value_parser = one_limit)]
    pub limit: Vec<(String, f64)>,
    /// How the log on standard error is written
    #[arg(long, value_enum, default_value = "text")]
    pub log: LogForm,
    #[command(flatten)]
    pub at: StatePlace,
    #[command(flatten)]
    pub way: super::index::Way,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct ConfigArgs {
    #[command(subcommand)]
    pub action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigAction {
    /// Say what `kith serve` would start with and where each value was said, and whether it would start.
    /// Exit codes: 0 it would, 1 something is wrong (each thing is named), 2 a file could not be read
    Check {
        /// The file of settings; with --config, $KITH_CONFIG or none of them, when not said
        #[arg(conflicts_with = "config")]
        file: Option<PathBuf>,
        #[command(flatten)]
        serve: Box<Serve>,
    },
}

#[derive(Debug, Group)]
pub(in crate::cli) struct KeysArgs {
    #[command(subcommand)]
    pub action: KeysAction,
    #[command(flatten)]
    pub at: StatePlace,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeysAction {
    /// Make a key and show it, once
    New {
        /// What it is for
        name: String,
        /// What it may do (may be said again)
        #[arg(long, required = true, value_parser = role)]
        role: Vec<Role>,
        /// A gallery that it may do it in (may be said again); all, when not said
        #[arg(long = "only", value_name = "GALLERY")]
        galleries: Vec<String>,
        /// Days until it ends; it does not end, when not said
        #[arg(long, value_name = "N")]
        days: Option<f64>,
        /// Requests a second, in place of the service's bound
        #[arg(long, value_name = "N")]
        rate: Option<f64>,
        /// Requests at once, in place of the service's bound
        #[arg(long, value_name = "N")]
        concurrent: Option<usize>,
    },
    /// Every key: what it is for and what it may do, never the key itself
    List,
    /// Make a key useless, from the next request on
    Revoke {
        /// Its id, as `kith keys list` shows it
        id: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    let known = Role::NAMES.iter().find(|(name, _)| *name == text);
    let names = || Role::NAMES.map(|(name, _)| name).join(", ");
    known.map(|(_, role)| *role).ok_or_else(|| format!("a role is one of {}", names()))
}

#[derive(Debug, Group)]
pub(in crate::cli) struct AuditArgs {
    #[command(subcommand)]
    pub action: AuditAction,
    #[command(flatten)]
    pub at: StatePlace,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditAction {
    /// Read the whole log: is every line there, unchanged and in order?
    Verify {
        /// A head that was noted before, as LINES:SHA256: the log must still hold it
        #[arg(long, value_name = "LINES:SHA256")]
        head: Option<String>,
    },
    /// Print the last lines
    Show {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = within(1usize, 1_000_000))]
        last: usize,
    },
}
