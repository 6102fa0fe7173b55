//! Where weights lie, and how they are loaded.
//!
//! Looked for in this order: the folder that was given, `KITH_WEIGHTS`, the user's data folder, then
//! the copy that is compiled in. A file is held against the sha256 of the manifest, or against the one
//! recorded beside it when it was imported.

use std::env;
use std::path::{Path, PathBuf};

use super::blocks::{self, Blocks};
use super::{Manifest, ModelEntry, TensorMap, check, check_finite, files, safetensors_file, sha256_hex, specs};
use crate::error::WeightsError;
use crate::vector::{MIRROR_SUFFIX, ModelId};

/// The weights that the build carries.
#[cfg(feature = "embedded-weights")]
const EMBEDDED: [(&str, &[u8]); 5] = [
    ("mtcnn", include_bytes!("../../../weights/mtcnn.safetensors")),
    ("yunet", include_bytes!("../../../weights/yunet.safetensors")),
    ("dlib-resnet", include_bytes!("../../../weights/dlib-resnet.safetensors")),
    ("sface", include_bytes!("../../../weights/sface.safetensors")),
    ("centerface", include_bytes!("../../../weights/centerface.safetensors")),
];
#[cfg(not(feature = "embedded-weights"))]
const EMBEDDED: [(&str, &[u8]); 0] = [];

/// Weights in memory, checked.
pub struct LoadedWeights {
    pub(crate) tensors: TensorMap,
    /// The network that they are for.
    pub architecture: String,
    /// Hex sha256 of the file; of what it was stored as before where the manifest says so.
    pub sha256: String,
}

/// Whether a model's weights are at hand.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "where")]
#[non_exhaustive]
pub enum Status {
    /// Compiled into the program.
    Embedded,
    /// In a file.
    File {
        /// Its path.
        #[serde(serialize_with = "crate::files::as_text")]
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Not here.
    Absent,
}

/// The places where weights are looked for.
#[derive(Debug, Clone)]
pub struct WeightStore {
    folders: Vec<PathBuf>,
}

/// The folder that imported and downloaded weights go to: `KITH_WEIGHTS`, or `kith/weights` in the
/// user's data folder.
pub fn user_folder() -> Option<PathBuf> {
    given("KITH_WEIGHTS").or_else(|| Some(data_folder()?.join("weights")))
}

/// `kith` in the user's data folder; none where no home is known.
pub(crate) fn data_folder() -> Option<PathBuf> {
    let home = || given("HOME").or_else(|| given("USERPROFILE"));
    let data = if cfg!(windows) {
        given("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|h| h.join("Library/Application Support"))
    } else {
        given("XDG_DATA_HOME").or_else(|| home().map(|h| h.join(".local/share")))
    };
    data.map(|d| d.join("kith"))
}

fn given(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

impl WeightStore {
    /// The places of this user, with `folder` before all others.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folders: folder.into_iter().chain(user_folder()).collect() }
    }

    /// Where the weights of that name are.
    pub fn status(&self, name: &str) -> Status {
        if let Some(path) = self.file(name) {
            let size = std::fs::metadata(&path).map_or(0, |m| m.len());
            return Status::File { path, size };
        }
        if embedded(name).is_some() { Status::Embedded } else { Status::Absent }
    }

    /// Names of weights in the folders that the manifest does not know: imported under names of the user's own,
    /// or trained. In order.
    pub fn own_names(&self) -> Vec<String> {
        let files = self.folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let name = |file: std::fs::DirEntry| Some(file.file_name().to_str()?.strip_suffix(".safetensors")?.to_string());
        let known = |name: &String| Manifest::built_in().model.iter().any(|m| m.name == *name);
        let own = files.filter_map(name).filter(|name| !known(name) && self.file(name).is_some());
        own.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// What to ask for to get the model of that id: a name of the manifest or of imported weights, with `+mirror` where
    /// the id says so; none where no weights at hand make that model.
    pub(crate) fn name_of(&self, model: &ModelId) -> Option<String> {
        let (architecture, mirrored, digits) = model.parts()?;
        let made_by = |name: &str| match self.file(name) {
            Some(path) => files::read(&path)
                .is_ok_and(|bytes| Manifest::built_in().identity_of(&sha256_hex(&bytes)).starts_with(digits)),
            None => embedded(name).is_some_and(|bytes| {
                let known = Manifest::built_in().find(name).ok().and_then(ModelEntry::identity);
                known.map_or_else(|| sha256_hex(bytes), str::to_string).starts_with(digits)
            }),
        };
        let listed = Manifest::built_in().model.iter().filter(|m| m.architecture == architecture);
        let name = listed.map(|m| m.name.clone()).chain(self.own_names()).find(|name| made_by(name))?;
        Some(if mirrored { name + MIRROR_SUFFIX } else { name })
    }

    /// Reads and checks the weights of that name: one of the manifest, or one imported under any name.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] with what to run, [`WeightsError::WrongChecksum`],
    /// [`WeightsError::MissingTensor`] or another that names the fault.
    pub fn load(&self, name: &str) -> Result<LoadedWeights, WeightsError> {
        let entry = Manifest::built_in().model.iter().find(|m| m.name == name);
        if let Some(path) = self.file(name) {
            let bytes = files::read(&path)?;
            let shown = path.display().to_string();
            let received = sha256_hex(&bytes);
            let expected = expected_checksum(entry, &path)?.filter(|e| *e != received);
            let same_network = entry.is_some_and(|e| e.also.contains(&received));
            if let Some(expected) = expected.filter(|_| !same_network) {
                return Err(WeightsError::WrongChecksum { path: shown, expected, received });
            }
            return loaded(&bytes, &shown, Manifest::built_in().identity_of(&received), entry);
        }
        if let (Some(bytes), Some(entry)) = (embedded(name), entry) {
            // Bytes compiled in cannot have changed since the test that held them against the manifest.
            let sha256 = entry.identity().map_or_else(|| sha256_hex(bytes), str::to_string);
            return loaded(bytes, &format!("<built-in {name}>"), sha256, Some(entry));
        }
        match Manifest::built_in().find(name) {
            Ok(entry) => Err(self.missing(entry)),
            Err(WeightsError::UnknownModel { name, known }) => {
                let known = std::iter::once(known).chain(self.own_names()).collect::<Vec<_>>().join(", ");
                Err(WeightsError::UnknownModel { name, known })
            }
            Err(other) => Err(other),
        }
    }

    /// Reads the weights of that name wherever they are, holds checksum, tensors and every value
    /// against what they should be, and returns the sha256.
    ///
    /// # Errors
    /// As [`WeightStore::load`], and [`WeightsError::NotFinite`].
    pub fn verify(&self, name: &str) -> Result<String, WeightsError> {
        let loaded = self.load(name)?;
        check_finite(name, &loaded.tensors)?;
        if let (None, Some(bytes)) = (self.file(name), embedded(name)) {
            let received = sha256_hex(bytes);
            let known = Manifest::built_in().find(name)?.sha256.clone();
            if let Some(expected) = known.filter(|known| *known != received) {
                return Err(WeightsError::WrongChecksum { path: format!("<built-in {name}>"), expected, received });
            }
            return Ok(received);
        }
        Ok(loaded.sha256)
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        let plain = is_weights_name(name);
        let in_folder = |f: &PathBuf| Some(f.join(format!("{name}.safetensors"))).filter(|p| p.is_file());
        if plain { self.folders.iter().find_map(in_folder) } else { None }
    }

    fn missing(&self, entry: &ModelEntry) -> WeightsError {
        let searched: Vec<String> = self.folders.iter().map(|f| f.display().to_string()).collect();
        let remedy = if entry.upstream.urls.is_empty() {
            format!("run `kith weights import` on the files of {} with `--name {}`", entry.upstream.name, entry.name)
        } else {
            format!("run `kith weights pull {}`", entry.name)
        };
        WeightsError::Missing { name: entry.name.clone(), searched: searched.join(", "), remedy }
    }
}

/// Whether weights can be called so: by letters, digits, `-`, `_` and `.`. A name is a name, never a way to another folder.
pub fn is_weights_name(name: &str) -> bool {
    !name.starts_with('.') && !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
}

fn embedded(name: &str) -> Option<&'static [u8]> {
    EMBEDDED.iter().find(|(n, _)| *n == name).map(|(_, bytes)| *bytes)
}

/// Name of the file that holds the checksum recorded at import.
pub(super) fn checksum_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".sha256");
    name.into()
}

fn expected_checksum(entry: Option<&ModelEntry>, path: &Path) -> Result<Option<String>, WeightsError> {
    if let Some(known) = entry.and_then(|e| e.sha256.clone()) {
        return Ok(Some(known));
    }
    let recorded = checksum_file(path);
    if !recorded.is_file() {
        return Ok(None);
    }
    let text = files::read(&recorded)?;
    Ok(Some(String::from_utf8_lossy(&text).split_whitespace().next().unwrap_or_default().to_string()))
}

fn loaded(bytes: &[u8], path: &str, sha256: String, entry: Option<&ModelEntry>) -> Result<LoadedWeights, WeightsError> {
    let (tensors, written) = safetensors_file::parse(bytes, path)?;
    let architecture = entry.map(|e| e.architecture.clone()).or(written).ok_or_else(|| WeightsError::Malformed {
        path: path.to_string(),
        format: "safetensors",
        reason: "it names no architecture; run `kith weights import` on it".to_string(),
    })?;
    let specs = specs::of(&architecture).ok_or_else(|| WeightsError::UnknownModel {
        name: architecture.clone(),
        known: specs::architectures().join(", "),
    })?;
    check(path, &architecture, &specs, &tensors)?;
    for name in tensors.keys().filter(|name| blocks::is_in_blocks(&tensors, name) && blocks::part_of(name).is_none()) {
        Blocks::of(&tensors, name).map_err(|e| WeightsError::Malformed {
            path: path.to_string(),
            format: "block-quantised",
            reason: e.to_string(),
        })?;
    }
    Ok(LoadedWeights { tensors, architecture, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "embedded-weights")]
    #[test]
    fn the_weights_compiled_in_are_those_of_the_manifest() {
        for (name, bytes) in EMBEDDED {
            let entry = Manifest::built_in().find(name).unwrap();
            assert_eq!(entry.sha256.as_deref(), Some(sha256_hex(bytes).as_str()), "{name}");
            assert_eq!(entry.size, Some(bytes.len() as u64), "{name}");
            assert!(entry.embedded);
            let loaded = loaded(bytes, name, String::new(), Some(entry)).unwrap();
            super::super::check_finite(name, &loaded.tensors).unwrap();
        }
        assert_eq!(Manifest::built_in().model.iter().filter(|m| m.embedded).count(), EMBEDDED.len());
    }

    #[cfg(feature = "embedded-weights")]
    #[test]
    fn the_same_bytes_are_the_same_model_whatever_they_are_called() {
        let folder = tempfile::tempdir().unwrap();
        let store = WeightStore::new(Some(folder.path().to_path_buf()));
        let built_in = store.load("sface").unwrap().sha256;
        std::fs::write(folder.path().join("mine.safetensors"), embedded("sface").unwrap()).unwrap();
        assert_eq!(store.load("mine").unwrap().sha256, built_in);
        // Whoever mistypes it sees what is there.
        let unknown = store.load("mien").err().unwrap().to_string();
        assert!(unknown.contains("sface") && unknown.contains("mine"), "{unknown}");
    }

    #[test]
    fn a_file_that_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mtcnn.safetensors");
        std::fs::write(&path, b"something else").unwrap();
        let store = WeightStore { folders: vec![folder.path().to_path_buf()] };
        assert_eq!(store.load("mtcnn").err().unwrap().code(), "weights.wrong_checksum");
        assert!(matches!(store.status("mtcnn"), Status::File { size: 14, .. }));
    }

    #[test]
    fn weights_under_names_of_the_users_own_are_listed_once() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, name) in [
            (&first, "ours.safetensors"),
            (&second, "ours.safetensors"),
            (&second, "eigenfaces.safetensors"),
            (&first, "mtcnn.safetensors"),
            (&first, "notes.txt"),
            (&first, "no name.safetensors"),
        ] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let folders = vec![first.path().to_path_buf(), "/nonexistent".into(), second.path().to_path_buf()];
        assert_eq!(WeightStore { folders }.own_names(), ["eigenfaces", "ours"]);
    }

    #[test]
    fn missing_weights_say_what_to_run() {
        let store = WeightStore { folders: vec![] };
        let error = store.load("facenet-vggface2").err().unwrap();
        assert!(error.to_string().contains("kith weights pull facenet-vggface2"), "{error}");
        assert_eq!(store.load("../../etc/passwd").err().unwrap().code(), "weights.unknown_model");
    }
}
