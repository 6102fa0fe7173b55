//! Where the key of an encrypted database comes from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args as Group;

use crate::MasterKey;
use crate::files::spelled;

/// Where the key of an encrypted database comes from. It is never printed.
#[derive(Debug, Group)]
pub(in crate::cli) struct KeySource {
    /// Open an encrypted database with the key in this file, or make a new one encrypted; $KITH_KEY (the
    /// key itself) counts when neither this nor --key-command is said
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Open it with the key that this command prints
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "key_file")]
    pub key_command: Option<String>,
}

impl KeySource {
    pub(in crate::cli) fn key(&self) -> anyhow::Result<Option<MasterKey>> {
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
pub(in crate::cli) fn from_file(path: &Path) -> anyhow::Result<MasterKey> {
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
pub(in crate::cli) fn from_command(command: &str) -> anyhow::Result<MasterKey> {
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
