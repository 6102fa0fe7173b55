//! A setting: where it was said, what is wrong with it, what is in force.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::files::spelled;
use crate::serve::ServeLimits;

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Source {
    /// On the command line.
    Flag(String),
    /// In this variable of the environment.
    Variable(String),
    /// In this file, on this line.
    File(PathBuf, usize),
    /// Nowhere.
    Default,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::File(path, line) => write!(f, "{}:{line}", spelled(path)),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Fault {
    /// Where, as far as that is known.
    pub place: Option<String>,
    /// What, and what to do.
    pub what: String,
}

impl Fault {
    pub(in crate::cli) fn at(place: impl ToString, what: impl Into<String>) -> Self {
        Self { place: Some(place.to_string()), what: what.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// A setting as it is in force.
#[derive(Debug, Clone)]
pub(in crate::cli) struct InForce {
    pub name: String,
    /// `None` where nothing was said and there is no default.
    pub value: Option<String>,
    pub source: Source,
}

/// What the layers came to.
#[derive(Debug, Default)]
pub(in crate::cli) struct Settings {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// Whether a file that was named could not be read at all.
    pub unreadable: bool,
    pub faults: Vec<Fault>,
    /// Every setting, and every limit as `limits.NAME`.
    pub in_force: Vec<InForce>,
    pub limits: ServeLimits,
}

impl Settings {
    /// # Errors
    /// With every fault on a line of its own.
    pub(in crate::cli) fn faultless(&self) -> anyhow::Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        Err(anyhow::anyhow!("{}", lines.join("\n")))
    }
}

/// What was said of a limit, by name, with its place.
pub(super) type Limits = BTreeMap<String, (toml::Value, Source)>;
