//! What can be said about keys, exports and changes of model.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args as Group, Subcommand};

use super::gallery_args::Place;
use crate::MasterKey;
use crate::files::spelled;

/// Where the key of an encrypted database comes from. It is never printed.
#[derive(Debug, Group)]
pub(super) struct KeySource {
    /// Open an encrypted database with the key in this file, or make a new one encrypted; $KITH_KEY (the
    /// key itself) counts when neither this nor --key-command is said
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Open it with the key that this command prints
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "key_file")]
    pub key_command: Option<String>,
}

impl KeySource {
    pub(super) fn key(&self) -> anyhow::Result<Option<MasterKey>> {
        match (&self.key_file, &self.key_command) {
            (Some(path), _) => Ok(Some(from_file(path)?)),
            (None, Some(command)) => Ok(Some(from_command(command)?)),
            (None, None) => match std::env::var("KITH_KEY") {
                Ok(text) if !text.trim().is_empty() => Ok(Some(named("$KITH_KEY", MasterKey::parse(&text))?)),
                Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => anyhow::bail!("$KITH_KEY is not text"),
            },
        }
    }
}

fn named(source: &str, key: Result<MasterKey, crate::error::StoreError>) -> anyhow::Result<MasterKey> {
    key.map_err(|e| anyhow::Error::new(crate::Error::from(e)).context(source.to_string()))
}

/// The key in a file.
pub(super) fn from_file(path: &Path) -> anyhow::Result<MasterKey> {
    let shown = spelled(path);
    let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{shown}: reading the key: {e}"))?;
    warn_of_readers(path);
    named(&shown, MasterKey::parse(&zeroize::Zeroizing::new(text)))
}

#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0) {
        eprintln!("kith: warning: {} can be read by others; `chmod 600` keeps it yours", spelled(path));
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

/// The key that a command prints. Its standard error goes to ours, so that it can ask.
pub(super) fn from_command(command: &str) -> anyhow::Result<MasterKey> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let output = Command::new(shell)
        .args([flag, command])
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| anyhow::anyhow!("--key-command: {shell}: {e}"))?;
    let text = zeroize::Zeroizing::new(output.stdout);
    anyhow::ensure!(output.status.success(), "--key-command: the command failed ({})", output.status);
    let text = std::str::from_utf8(&text).map_err(|_| anyhow::anyhow!("--key-command: what it printed is not text"))?;
    named("--key-command", MasterKey::parse(text))
}

#[derive(Debug, Group)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    pub action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyAction {
    /// Draw a new key and write it into a new file that only you can read
    New {
        /// The file to make
        file: PathBuf,
    },
}

#[derive(Debug, Group)]
pub(super) struct ExportArgs {
    /// The folder to make: gallery.jsonl and vectors.npy. Not encrypted, whatever the database is
    pub folder: PathBuf,
    /// Kept chips and thumbnails too
    #[arg(long)]
    pub chips: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(super) struct ImportArgs {
    /// What `kith export` made
    pub folder: PathBuf,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Group)]
pub(super) struct Reembed {
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
pub(super) struct Rekey {
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
