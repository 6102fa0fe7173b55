//! A folder of people, as `kith enroll --dir` takes it: one folder of photos for each person, or photos named after
//! them. What a file is, its bytes say and not its name. Nothing is passed over unsaid but what systems put there
//! for themselves.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::file_names;
use crate::files::spelled;
use crate::json::json;
use crate::media::{SNIFFED, Sniffed, sniff};

/// Endings of photos' names. A file of one of these that is no photo by its bytes is a damaged one, and is told.
const ENDINGS: [&str; 18] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif", "tif", "tiff", "heic", "heif", "hif", "avif",
    "jxl", "jp2", "mpo",
];
/// What systems put into folders for themselves; beside these, every name that begins with a dot.
const OF_SYSTEMS: [&str; 8] =
    ["thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "@eadir", "__macosx", "$recycle.bin"];

/// A photo to enrol, and under which name.
#[derive(Debug)]
pub(super) struct Task {
    pub name: String,
    pub path: PathBuf,
}

/// Something that was passed over.
#[derive(Debug)]
pub(super) struct Passed {
    pub path: PathBuf,
    pub why: Why,
}

/// Why something was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    NoPhoto,
    Inner,
    Special,
    NobodysName,
    Nothing,
    Unreadable(String),
}

impl Why {
    fn code(&self) -> &'static str {
        match self {
            Self::NoPhoto => "enroll.no_photo",
            Self::Inner => "enroll.inner_folder",
            Self::Special => "enroll.special_file",
            Self::NobodysName => "enroll.nobodys_name",
            Self::Nothing => "enroll.nothing",
            Self::Unreadable(_) => "enroll.unreadable",
        }
    }

    fn text(&self) -> String {
        let text = match self {
            Self::NoPhoto => "no photo",
            Self::Inner => "a folder in a person's folder; photos of a person lie directly in theirs",
            Self::Special => "neither a file nor a folder",
            Self::NobodysName => {
                "a camera, a program or a date made this name, and it is no person's; put the photos into a folder named \
                 after the person, or say `kith enroll NAME IMG...`"
            }
            Self::Nothing => "no photo is in this person's folder",
            Self::Unreadable(reason) => return format!("cannot be read: {reason}"),
        };
        text.to_string()
    }

    /// Whether somebody or some photo is missing from the gallery for it.
    fn fails(&self) -> bool {
        matches!(self, Self::NobodysName | Self::Nothing | Self::Unreadable(_))
    }
}

impl Passed {
    pub(super) fn fails(&self) -> bool {
        self.why.fails()
    }

    pub(super) fn line(&self) -> String {
        format!("{}: passed over: {}", spelled(&self.path), self.why.text())
    }

    pub(super) fn object(&self) -> Value {
        json!({ "path": spelled(&self.path), "code": self.why.code(), "message": self.why.text() })
    }
}

/// What a folder of people comes to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub tasks: Vec<Task>,
    pub passed: Vec<Passed>,
    /// What is to be said beside.
    pub notes: Vec<String>,
}

/// What an entry of a folder is.
enum Entry {
    Folder,
    Photo,
    Other(Why),
}

/// Looks into a folder of people.
///
/// # Errors
/// When it cannot be read, or when nothing is in it.
pub(super) fn look(folder: &Path) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let inside = entries(folder).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(folder)))?;
    for path in inside {
        let name = spelled(path.file_name().unwrap_or_default());
        match entry(&path) {
            Entry::Folder => match file_names::in_folder(&name) {
                Some(name) => found.person(name, &path),
                None => found.pass(path, Why::NobodysName),
            },
            Entry::Photo => match file_names::in_photo(&spelled(path.file_stem().unwrap_or_default())) {
                Some(name) => found.add(name, path),
                None => found.pass(path, Why::NobodysName),
            },
            Entry::Other(why) => found.pass(path, why),
        }
    }
    let empty = found.tasks.is_empty() && found.passed.is_empty();
    anyhow::ensure!(!empty, "{}: no photos in it, nor in folders in it", spelled(folder));
    Ok(found)
}

impl Found {
    fn pass(&mut self, path: PathBuf, why: Why) {
        self.passed.push(Passed { path, why });
    }

    fn add(&mut self, name: String, path: PathBuf) {
        self.note(&name, &path);
        self.tasks.push(Task { name, path });
    }

    fn note(&mut self, name: &str, path: &Path) {
        if path.file_name().is_some_and(|file| file.to_str().is_none()) {
            let shown = spelled(path);
            self.notes.push(format!("{shown}: this name is not UTF-8, and the person is called {name} after it"));
        }
    }

    fn person(&mut self, name: String, folder: &Path) {
        self.note(&name, folder);
        let inside = match entries(folder) {
            Ok(inside) => inside,
            Err(e) => return self.pass(folder.to_path_buf(), Why::Unreadable(e.to_string())),
        };
        let before = self.tasks.len();
        for path in inside {
            match entry(&path) {
                Entry::Folder => self.pass(path, Why::Inner),
                Entry::Photo => self.tasks.push(Task { name: name.clone(), path }),
                Entry::Other(why) => self.pass(path, why),
            }
        }
        if self.tasks.len() == before {
            self.pass(folder.to_path_buf(), Why::Nothing);
        }
    }
}

/// What is in a folder, in order of its names, without what systems put there.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_ascii_lowercase();
        !name.starts_with(b".") && !OF_SYSTEMS.iter().any(|known| known.as_bytes() == name)
    });
    paths.sort();
    Ok(paths)
}

fn entry(path: &Path) -> Entry {
    let named = || {
        let ending = path.extension().map(|e| e.as_encoded_bytes().to_ascii_lowercase()).unwrap_or_default();
        ENDINGS.iter().any(|known| known.as_bytes() == ending)
    };
    match fs::metadata(path) {
        Ok(facts) if facts.is_dir() => Entry::Folder,
        Ok(facts) if !facts.is_file() => Entry::Other(Why::Special),
        Ok(_) => match first_bytes(path).map(|bytes| sniff(&bytes)) {
            Ok(Sniffed::Photo | Sniffed::Foreign(_)) => Entry::Photo,
            Ok(Sniffed::Other) if !named() => Entry::Other(Why::NoPhoto),
            // Whoever opens it says what is wrong with it.
            Ok(Sniffed::Other) | Err(_) => Entry::Photo,
        },
        // A link to what is not there may be to a photo.
        Err(_) => Entry::Photo,
    }
}

fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SNIFFED);
    File::open(path)?.take(SNIFFED as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg() -> Vec<u8> {
        std::fs::read("tests/fixtures/photos/hopper_small.jpg").unwrap()
    }

    fn named(found: &Found) -> Vec<(String, String)> {
        let file = |t: &Task| spelled(t.path.file_name().unwrap());
        found.tasks.iter().map(|t| (t.name.clone(), file(t))).collect()
    }

    #[test]
    fn files_are_what_their_bytes_say_and_nothing_is_passed_over_unsaid() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for inner in ["Ada_Lovelace/2023", "Grace/._", "Empty", "Text", "2024-05-01", "EMP-7", ".hidden"] {
            std::fs::create_dir_all(at(inner)).unwrap();
        }
        for photo in [
            "Ada_Lovelace/b.jpe",
            "Ada_Lovelace/no_ending",
            "Ada_Lovelace/really_a_jpeg.heic",
            "Ada_Lovelace/x.txt",
            "Grace/._a.jpg",
            "Grace/1.JPG",
            "EMP-7/a.jpg",
            "EMP-1001.jpg",
            "EMP-1002.jpg",
            "IMG_1234.jpg",
            "Grace_0002.jpg",
            "2024-05-01/a.jpg",
        ] {
            std::fs::write(at(photo), jpeg()).unwrap();
        }
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
        std::fs::write(at("Ada_Lovelace/a.heic"), heic).unwrap();
        for (file, bytes) in [
            ("Ada_Lovelace/notes.txt", &b"x"[..]),
            ("Ada_Lovelace/torn.jpg", b"x"),
            ("Text/notes.md", b"# x"),
            ("Grace/Thumbs.db", b"x"),
            ("Grace/.DS_Store", b"x"),
            ("list.csv", b"a,b"),
        ] {
            std::fs::write(at(file), bytes).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/no/such/photo", at("Grace/link")).unwrap();
        let found = look(folder.path()).unwrap();
        let mut wanted = vec![
            ("Ada Lovelace", "a.heic"),
            ("Ada Lovelace", "b.jpe"),
            ("Ada Lovelace", "no_ending"),
            ("Ada Lovelace", "really_a_jpeg.heic"),
            ("Ada Lovelace", "torn.jpg"),
            ("Ada Lovelace", "x.txt"),
            ("EMP-1001", "EMP-1001.jpg"),
            ("EMP-1002", "EMP-1002.jpg"),
            ("EMP-7", "a.jpg"),
            ("Grace", "1.JPG"),
            ("Grace", "Grace_0002.jpg"),
        ];
        if cfg!(unix) {
            wanted.insert(10, ("Grace", "link"));
        }
        assert_eq!(named(&found), wanted.map_into());
        let passed: Vec<(String, &str, bool)> = found
            .passed
            .iter()
            .map(|p| (spelled(p.path.strip_prefix(folder.path()).unwrap()), p.why.code(), p.fails()))
            .collect();
        let wanted = [
            ("2024-05-01", "enroll.nobodys_name", true),
            ("Ada_Lovelace/2023", "enroll.inner_folder", false),
            ("Ada_Lovelace/notes.txt", "enroll.no_photo", false),
            ("Empty", "enroll.nothing", true),
            ("IMG_1234.jpg", "enroll.nobodys_name", true),
            ("Text/notes.md", "enroll.no_photo", false),
            ("Text", "enroll.nothing", true),
            ("list.csv", "enroll.no_photo", false),
        ];
        assert_eq!(passed, wanted.map(|(path, code, fails)| (path.to_string(), code, fails)));
        assert!(look(&at("list.csv")).is_err() && look(&at("Grace/._")).is_err());
    }

    /// Owned copies, for comparing.
    trait MapInto {
        fn map_into(self) -> Vec<(String, String)>;
    }

    impl MapInto for Vec<(&str, &str)> {
        fn map_into(self) -> Vec<(String, String)> {
            self.into_iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn two_names_of_bytes_are_two_people() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        for name in [&b"Jos\xe9"[..], b"Jos\xe8", b"Jos\\xE9"] {
            let person = folder.path().join(std::ffi::OsStr::from_bytes(name));
            std::fs::create_dir(&person).unwrap();
            std::fs::write(person.join("1.jpg"), jpeg()).unwrap();
        }
        let found = look(folder.path()).unwrap();
        let names: Vec<&str> = found.tasks.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["Jos\\\\xE9", "Jos\\xE8", "Jos\\xE9"]);
        assert_eq!(found.notes.len(), 2);
    }
}
