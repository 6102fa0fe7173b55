//! Where commands write: names of the pictures of several photos in one folder, and what is not written over.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::files::spelled;
use crate::media::{SNIFFED, Sniffed, sniff};

/// Longest name, bytes: file systems take 255, and an ending is added.
const LONGEST: usize = 200;

/// Refuses to write over what is read, or over a photo where something else is written.
///
/// # Errors
/// What is there, and what to do.
pub(super) fn spare(target: &Path, read: &[&PathBuf], is_picture: bool) -> anyhow::Result<()> {
    let Ok(there) = std::fs::canonicalize(target) else { return Ok(()) };
    let is_read = read.iter().any(|path| std::fs::canonicalize(path).is_ok_and(|p| p == there));
    anyhow::ensure!(!is_read, "{}: this is one of the photos that are read; name another file", spelled(target));
    let mut first = Vec::new();
    // A pipe or a terminal has nothing to lose, and would be waited for.
    let looked = there.is_file()
        && std::fs::File::open(&there).and_then(|file| file.take(SNIFFED as u64).read_to_end(&mut first)).is_ok();
    let is_photo = looked && sniff(&first) == Sniffed::Photo;
    anyhow::ensure!(is_picture || !is_photo, "{}: there is a photo here; name another file", spelled(target));
    Ok(())
}

/// A name for each photo, in the order of the photos, none like another, also where case does not count: the photo's own,
/// or with as many of the folders before it as tell it from the others (`a_1.jpg` and `b_1.jpg`), or with a number.
pub(super) fn distinct_names(photos: &[PathBuf]) -> Vec<String> {
    let deepest = photos.iter().map(|p| parts(p).len()).max().unwrap_or(0);
    let mut names: Vec<String> = photos.iter().map(|p| joined(p, 1)).collect();
    for depth in 2..=deepest {
        let repeated = repeated(&names);
        if repeated.is_empty() {
            break;
        }
        for (name, photo) in names.iter_mut().zip(photos) {
            if repeated.contains(&name.to_lowercase()) {
                *name = joined(photo, depth);
            }
        }
    }
    let mut taken = HashSet::new();
    for name in &mut names {
        let plain = name.clone();
        let mut number = 2;
        while !taken.insert(name.to_lowercase()) {
            *name = format!("{plain}-{number}");
            number += 1;
        }
    }
    names
}

fn repeated(names: &[String]) -> HashSet<String> {
    let mut seen = HashSet::new();
    names.iter().map(|n| n.to_lowercase()).filter(|n| !seen.insert(n.clone())).collect()
}

/// The names in a path, without what is no name.
fn parts(path: &Path) -> Vec<String> {
    let name = |part: Component| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// The last `depth` names of a path as one.
fn joined(path: &Path, depth: usize) -> String {
    let parts = parts(path);
    let name = parts[parts.len().saturating_sub(depth)..].join("_");
    match name.char_indices().rev().find(|(at, _)| name.len() - at >= LONGEST) {
        // Its end tells it from others, and has the ending.
        Some((at, _)) if name.len() > LONGEST => name[at..].chars().skip(1).collect(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(photos: &[&str]) -> Vec<String> {
        distinct_names(&photos.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn photos_of_one_name_get_their_folders_and_the_same_photo_twice_a_number() {
        assert_eq!(names(&["a/1.jpg", "b/2.jpg"]), ["1.jpg", "2.jpg"]);
        assert_eq!(names(&["a/1.jpg", "b/1.jpg", "2.jpg"]), ["a_1.jpg", "b_1.jpg", "2.jpg"]);
        assert_eq!(names(&["x/a/1.jpg", "y/a/1.JPG"]), ["x_a_1.jpg", "y_a_1.JPG"]);
        assert_eq!(names(&["1.jpg", "./1.jpg", "../1.jpg"]), ["1.jpg", "1.jpg-2", "1.jpg-3"]);
        assert_eq!(names(&["a/b_1.jpg", "a_b/1.jpg", "b/1.jpg"]), ["b_1.jpg", "a_b_1.jpg", "b_1.jpg-2"]);
        assert_eq!(names(&["/", ".."]), ["", "-2"]);
    }

    #[test]
    fn neither_what_is_read_nor_a_photo_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
        for name in ["a.jpg", "b.jpg"] {
            std::fs::copy(photos.join("hopper_small.jpg"), at(name)).unwrap();
        }
        std::fs::write(at("report.html"), "<p>").unwrap();
        let (a, link) = (at("a.jpg"), at("link.jpg"));
        #[cfg(unix)]
        std::os::unix::fs::symlink(&a, &link).unwrap();
        #[cfg(not(unix))]
        std::fs::hard_link(&a, &link).unwrap();
        assert!(spare(&a, &[&a], true).is_err());
        #[cfg(unix)]
        assert!(spare(&link, &[&a], true).is_err());
        // Another picture may be, as any file that is named.
        assert!(spare(&at("b.jpg"), &[&a], true).is_ok() && spare(&at("b.jpg"), &[&a], false).is_err());
        assert!(spare(&at("report.html"), &[], false).is_ok() && spare(&at("new.npy"), &[&a], false).is_ok());
    }

    #[test]
    fn long_names_are_cut_at_their_beginning() {
        let (long, other) = ("é".repeat(120) + ".jpg", "x".repeat(250) + ".png");
        for name in names(&[&long, &format!("d/{long}"), &other]) {
            assert!(name.len() <= LONGEST + 2 && !name.starts_with('d'), "{name}");
        }
    }
}
