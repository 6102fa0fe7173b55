//! `weights/manifest.toml`: every model that kith knows by name.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::error::WeightsError;

const TEXT: &str = include_str!("../../../weights/manifest.toml");

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    // Compiled in, and read by a test.
    toml::from_str(TEXT).unwrap_or_else(|e| unreachable!("weights/manifest.toml is sound: {e}"))
});

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Finds faces.
    Detector,
    /// Turns chips into vectors.
    Embedder,
}

/// The release that weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Who releases it, and where.
    pub name: String,
    /// Addresses of the files, where they can be fetched one by one.
    #[serde(default)]
    pub urls: Vec<String>,
    /// The files inside the release, with the sha256 of each where it is known.
    #[serde(default)]
    pub files: Vec<UpstreamFile>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamFile {
    /// Path inside the release.
    pub path: String,
    /// Hex sha256.
    pub sha256: String,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// What to call it.
    pub name: String,
    /// Detector or embedder.
    pub kind: Kind,
    /// The network.
    pub architecture: String,
    /// Numbers in an embedding; none for a detector.
    pub dimension: Option<usize>,
    /// The licence, by its SPDX name where it has one.
    pub licence: String,
    /// Whether anyone may use the weights for anything.
    pub free_for_any_use: bool,
    /// What to know before use.
    pub note: String,
    /// Form that kith stores: `f32`, `f16` or `int8 blocks`.
    pub stored: String,
    /// Size of kith's file in bytes; unknown until the first import where upstream's bytes are not at hand.
    pub size: Option<u64>,
    /// Hex sha256 of kith's file, likewise.
    pub sha256: Option<String>,
    /// Hex sha256 of other files that are the same network: made from another release of the same weights.
    #[serde(default)]
    pub also: Vec<String>,
    /// Hex sha256 that ids of the model begin with, where that is not the file's: the weights were stored in another form
    /// before, and what was made with them goes on to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Precisions other than f32 in which these very bytes were held to f32 by a test, on every instruction set, so that
    /// loading them tries nothing.
    #[serde(default, skip_serializing)]
    pub proven: Vec<String>,
    /// Whether the default build carries it.
    pub embedded: bool,
    /// Where it comes from.
    pub upstream: Upstream,
}

impl ModelEntry {
    /// Name of kith's file.
    pub fn file_name(&self) -> String {
        format!("{}.safetensors", self.name)
    }

    /// Hex sha256 that ids of the model begin with; none where upstream's bytes are not known.
    pub(crate) fn identity(&self) -> Option<&str> {
        self.identity.as_deref().or(self.sha256.as_deref())
    }
}

/// All models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// In the order of the file.
    pub model: Vec<ModelEntry>,
}

impl Manifest {
    /// The manifest that this program was built with.
    pub fn built_in() -> &'static Manifest {
        &MANIFEST
    }

    /// Whether the weights of that sha256 give in that precision what they give in f32.
    pub(crate) fn is_proven(&self, sha256: &str, precision: &str) -> bool {
        let these = |m: &&ModelEntry| m.identity() == Some(sha256);
        self.model.iter().filter(these).any(|m| m.proven.iter().any(|p| p == precision))
    }

    /// What ids of the model that is made of a file begin with, by the file's sha256: the same bytes are the same model,
    /// whatever they are called.
    pub(crate) fn identity_of(&self, sha256: &str) -> String {
        let entry = self.model.iter().find(|m| m.sha256.as_deref() == Some(sha256));
        entry.and_then(ModelEntry::identity).unwrap_or(sha256).to_string()
    }

    /// The model of that name.
    ///
    /// # Errors
    /// [`WeightsError::UnknownModel`], with the names that are known.
    pub fn find(&self, name: &str) -> Result<&ModelEntry, WeightsError> {
        self.model.iter().find(|m| m.name == name).ok_or_else(|| WeightsError::UnknownModel {
            name: name.to_string(),
            known: self.model.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_complete() {
        for m in &Manifest::built_in().model {
            assert!(super::super::specs::of(&m.architecture).is_some(), "{}", m.name);
            assert_eq!(m.dimension.is_some(), m.kind == Kind::Embedder, "{}", m.name);
            assert!(["f32", "f16", "int8 blocks"].contains(&m.stored.as_str()));
            assert!(!m.embedded || (m.free_for_any_use && m.sha256.is_some() && m.size.is_some()), "{}", m.name);
            assert!(m.proven.iter().all(|p| ["f16", "int16"].contains(&p.as_str())), "{}", m.name);
            // Of files that the manifest knows only by name a test has nothing to hold.
            assert!(m.proven.is_empty() || m.embedded, "{}", m.name);
            assert!(!m.note.is_empty() && !m.licence.is_empty());
        }
        assert_eq!(Manifest::built_in().find("facenet").unwrap_err().code(), "weights.unknown_model");
    }
}
