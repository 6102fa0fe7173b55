//! Where weights of one's own go: under names that every command can call them by, and never over others.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::args::common::Common;
use crate::files::{hex, spelled};
use crate::nn::weights::{Manifest, is_weights_name, user_folder};
use crate::vector::MIRROR_SUFFIX;

/// Files beside the weights that go with them.
const BESIDE: [&str; 2] = ["safetensors.sha256", "card.md"];
/// Digits of the old content's SHA-256 in the name that it has from now on.
const DIGITS: usize = 8;

pub(super) fn weights_folder(common: &Common) -> anyhow::Result<std::path::PathBuf> {
    let folder = common.weights.clone().or_else(user_folder);
    folder.ok_or_else(|| anyhow::anyhow!("no home folder is known; say --weights FOLDER"))
}

/// The file for weights of that name in one's folder of weights. Names of the manifest are refused: files called so are
/// taken for the released ones, and every command that needs these would fail.
pub(super) fn place(common: &Common, name: &str) -> anyhow::Result<PathBuf> {
    usable(name)?;
    anyhow::ensure!(
        Manifest::built_in().find(name).is_err(),
        "{name} is the name of a model that kith knows (`kith weights list`); give yours another --name"
    );
    Ok(weights_folder(common)?.join(format!("{name}.safetensors")))
}

/// The file for released weights of that name, which may be one of the manifest's that is not built in.
pub(super) fn place_of_released(common: &Common, name: &str) -> anyhow::Result<PathBuf> {
    usable(name)?;
    let built_in =
        Manifest::built_in().find(name).is_ok_and(|entry| entry.embedded) && cfg!(feature = "embedded-weights");
    anyhow::ensure!(!built_in, "{name} is built in; give the imported weights another --name, or say -o FILE");
    Ok(weights_folder(common)?.join(format!("{name}.safetensors")))
}

fn usable(name: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        is_weights_name(name),
        "{name:?} cannot be the name of weights: letters, digits, '-', '_' and '.' can be in it (a mirrored model is asked \
         for by NAME{MIRROR_SUFFIX})"
    );
    Ok(())
}

/// Writes weights. Others that are there under that name are kept under another, with what is beside them, so that
/// galleries that they made go on: a model is known by its content.
pub(super) fn keeping<T>(path: &Path, write: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let before = digits(path);
    let kept = before.as_ref().map(|digits| renamed(path, digits));
    if let Some(kept) = kept.as_ref().filter(|kept| !kept.exists()) {
        let failed = |e| anyhow::anyhow!("{}: {e}; the weights there would be lost", spelled(path));
        link(path, kept).map_err(failed)?;
        for ending in BESIDE.map(|ending| (path.with_extension(ending), kept.with_extension(ending))) {
            // A card that cannot be kept is no loss of weights.
            _ = link(&ending.0, &ending.1);
        }
    }
    let written = write();
    let (Some(kept), Some(before)) = (kept, before) else { return written };
    if written.is_err() || digits(path).as_ref() == Some(&before) {
        for file in std::iter::once(kept.clone()).chain(BESIDE.map(|ending| kept.with_extension(ending))) {
            _ = std::fs::remove_file(file);
        }
    } else {
        // What it says is of the others; who writes new ones with a card writes it after this.
        _ = std::fs::remove_file(path.with_extension(BESIDE[1]));
        eprintln!("kith: other weights were there under that name; they are {} now", spelled(&kept));
    }
    written
}

fn digits(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(hex(&Sha256::digest(bytes)).chars().take(DIGITS).collect())
}

fn renamed(path: &Path, digits: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!("{stem}-{digits}.safetensors"))
}

/// Another name for a file, or a copy where the file system has no links.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(|_| ()))
}
