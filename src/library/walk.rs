//! What is in folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::files::{real_path, spelled};
use crate::store::PhotoFile;

/// Names of films, and of photos that they are half of: phones put `IMG_1234.MOV` beside `IMG_1234.HEIC`.
const FILMS: [&str; 2] = ["mov", "mp4"];
const STILLS: [&str; 4] = ["heic", "heif", "jpg", "jpeg"];
/// Folders that systems and programs put beside photos.
const OF_SYSTEMS: [&str; 4] = ["@eadir", "__macosx", "$recycle.bin", "lost+found"];

/// The one path of a folder, whatever leads to it: what is found by two would be taken for copies.
///
/// # Errors
/// What the operating system says.
pub(super) fn real(folder: &Path) -> std::io::Result<PathBuf> {
    fs::metadata(folder)?;
    real_path(folder)
}

/// What is in folders.
#[derive(Default)]
pub(super) struct Walked {
    /// Files by their spelled paths.
    pub found: BTreeMap<String, PhotoFile>,
    /// Folders that cannot be looked into, and why: what was in them is not known to be gone.
    pub closed: Vec<(PathBuf, String)>,
    /// Links to files, and the files, spelled: `kith find -o` makes such, and so do programs that keep large files apart.
    pub links: Vec<(String, String)>,
}

/// Those of the files that are the film beside a photo of the same name.
pub(super) fn films_of_live_photos(found: &BTreeMap<String, PhotoFile>) -> Vec<String> {
    let parts = |path: &str| {
        let (stem, ending) = path.rsplit_once('.')?;
        Some((stem.to_string(), ending.to_ascii_lowercase()))
    };
    let named = |endings: &[&str], path: &str| parts(path).filter(|(_, ending)| endings.contains(&ending.as_str()));
    let stills: BTreeSet<String> = found.keys().filter_map(|path| Some(named(&STILLS, path)?.0)).collect();
    let is_half = |path: &&String| named(&FILMS, path).is_some_and(|(stem, _)| stills.contains(&stem));
    found.keys().filter(is_half).cloned().collect()
}

/// Every file under a folder. What begins with a dot is passed over, and links to folders, which
/// could lead in circles.
pub(super) fn walk(root: &Path, walked: &mut Walked) {
    let Walked { found, closed, links } = walked;
    let mut folders = vec![root.to_path_buf()];
    if let Some(facts) = fs::metadata(root).ok().filter(fs::Metadata::is_file) {
        folders.clear();
        found.insert(spelled(root), file(root, &facts));
    }
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It was there a moment ago: what was in it is gone.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => {
                closed.push((folder, e.to_string()));
                continue;
            }
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let lower = name.as_encoded_bytes().to_ascii_lowercase();
            if lower.starts_with(b".") || OF_SYSTEMS.iter().any(|known| known.as_bytes() == lower) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                kind => {
                    if kind.is_ok_and(|kind| kind.is_symlink())
                        && let Ok(file) = real_path(&path)
                    {
                        links.push((spelled(&path), spelled(&file)));
                    }
                    if let Some(facts) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) {
                        found.insert(spelled(&path), file(&path, &facts));
                    }
                }
            }
        }
    }
}

pub(super) fn file(path: &Path, facts: &fs::Metadata) -> PhotoFile {
    // Before 1970 where a camera's clock was never set.
    let nanoseconds = |t: SystemTime| match t.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).ok(),
        Err(e) => i64::try_from(e.duration().as_nanos()).ok().map(|before| -before),
    };
    let modified_ns = facts.modified().ok().and_then(nanoseconds).unwrap_or_default();
    PhotoFile { path: spelled(path), size: facts.len(), modified_ns, missing: false }
}
