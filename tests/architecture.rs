//! Who may know whom: everything that a file imports or names is held against the table of rooms, and no files form a
//! circle.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/imports.rs"]
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imports::{Imports, circles};

/// Each room, and the rooms that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("files", &[]),
    ("geometry", &["error"]),
    // Documentation: it uses nothing.
    ("guide", &[]),
    ("json", &[]),
    ("vector", &["error"]),
    ("media", &["error", "files"]),
    ("nn", &["error", "files", "geometry", "vector", "media"]),
    ("detect", &["error", "geometry", "vector", "media", "nn"]),
    ("align", &["error", "geometry", "vector", "media", "nn"]),
    // An embedder names its alignment.
    ("embed", &["error", "geometry", "vector", "media", "nn", "align"]),
    ("attributes", &["error", "geometry", "vector", "media", "nn"]),
    ("verify", &["error", "geometry", "vector", "media"]),
    // Grouping is handed vectors and their neighbours.
    ("cluster", &["vector"]),
    ("store", &["error", "files", "geometry", "vector", "media"]),
    ("index", &["error", "geometry", "vector", "media"]),
    ("gallery", &["error", "files", "geometry", "vector", "media", "store", "index", "verify"]),
    // The facade over galleries, here or in a running service.
    ("database", &["error", "geometry", "vector", "store", "index", "verify", "gallery"]),
    ("pipeline", &["error", "geometry", "vector", "media", "nn", "detect", "align", "embed"]),
    ("compare", &["error", "geometry", "media", "verify"]),
    (
        "engine",
        &[
            "error",
            "files",
            "json",
            "geometry",
            "vector",
            "media",
            "nn",
            "detect",
            "align",
            "embed",
            "verify",
            "pipeline",
            "compare",
            "attributes",
            "cluster",
            "index",
            "gallery",
            "database",
        ],
    ),
    // Photos on disk: it holds the facades, and the records that the database keeps of photos.
    (
        "library",
        &[
            "error", "files", "geometry", "vector", "media", "verify", "cluster", "store", "gallery", "database",
            "engine",
        ],
    ),
    // Evaluation measures the engine as its users hold it.
    // The scan of alignments moves an embedder's template.
    (
        "eval",
        &["error", "files", "geometry", "vector", "media", "nn", "detect", "align", "verify", "cluster", "engine"],
    ),
    // Training finds faces as the engine does.
    // Networks are measured by evaluation's scores.
    ("train", &["error", "files", "geometry", "vector", "media", "nn", "align", "embed", "engine", "eval"]),
    // The service holds the engine, and plain data that the engine answers with.
    ("serve", &["error", "files", "json", "geometry", "media", "verify", "database", "engine"]),
    // The command starts the service.
    (
        "cli",
        &[
            "error", "files", "json", "geometry", "vector", "media", "nn", "verify", "cluster", "pipeline", "engine",
            "eval", "train", "serve",
        ],
    ),
];

/// The rooms that may hold whatever is public in the crate's root.
const AT_THE_EDGE: &[&str] = &["serve", "cli"];
/// The only rooms that may name candle.
const KNOW_CANDLE: &[&str] = &["nn", "detect", "embed", "train"];
/// The only room that may name sled, and the only files that may name bincode: what is stored, and what is said.
const KNOWS_SLED: &str = "store";
const KNOW_BINCODE: &[&str] = &["store/codec.rs", "database/wire.rs"];
/// Where unsafe code may stand: SIMD kernels.
const KERNELS: &[&str] = &["nn/kernels", "vector/kernels"];
/// The only room that may name the linear algebra.
const KNOWS_NALGEBRA: &str = "train";
/// The only room that may name the web framework.
const KNOWS_AXUM: &str = "serve";
/// The only room that may make JSON values with serde_json's own macro, which writes an f32 with digits that nobody
/// computed.
const KNOWS_JSON_MACRO: &str = "json";
/// Rooms of pure numbers: no file, no network, no thread of their own.
const PURE: &[&str] = &["geometry", "vector", "verify", "cluster"];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The code of each file, without comments and without its tests, by room.
fn code_by_room() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut rooms: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let room = first.trim_end_matches(".rs").to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        rooms.entry(room).or_default().push((file.clone(), code.join("\n")));
    }
    rooms
}

/// What each file of the crate names of which other.
fn imports() -> Imports {
    Imports::read(&root().join("lib.rs"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room of a file of the sources.
fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix(root()).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_string()
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let imports = imports();
    let mut faults = Vec::new();
    let mut rooms = imports.rooms();
    // What the crate's root names for everybody belongs to the room that defines it; only rooms at the edge hold it as
    // their users do.
    for (file, to) in imports.edges() {
        if !AT_THE_EDGE.contains(&room_of(&file).as_str()) {
            rooms.entry(file).or_default().extend(to.iter().map(|f| room_of(f)));
        }
    }
    let mut seen = BTreeSet::new();
    for (file, used) in &rooms {
        let room = room_of(file);
        if room == "lib" {
            continue;
        }
        seen.insert(room.clone());
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{room} is in no row of the table"));
            continue;
        };
        for used in used.iter().filter(|u| MAY_USE.iter().any(|(name, _)| name == u)) {
            if *used != room && !allowed.contains(&used.as_str()) {
                faults.push(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(seen.len(), MAY_USE.len(), "a row of the table has no room");
}

#[test]
fn no_files_form_a_circle() {
    let rings = circles(&imports().edges());
    let shown = |ring: &BTreeSet<PathBuf>| -> Vec<String> {
        ring.iter().map(|f| f.strip_prefix(root()).unwrap().display().to_string()).collect()
    };
    let rings: Vec<Vec<String>> = rings.iter().map(shown).collect();
    assert!(rings.is_empty(), "{} circles of {} files: {rings:#?}", rings.len(), rings.iter().flatten().count());
}

#[test]
fn imports_are_seen_however_they_are_written() {
    let folder = std::env::temp_dir().join(format!("kith-imports-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("room")).unwrap();
    let files = [
        ("lib.rs", "mod base; mod room; pub use base::{Deep, Low};"),
        ("base.rs", "pub struct Low; pub struct Deep; pub fn low() {}"),
        ("room/mod.rs", "mod a; mod b; mod c; pub use a::A; pub struct Own;"),
        ("room/a.rs", "use crate::{Deep, room::{Own, c::C}}; pub struct A(Own, Deep, C);"),
        (
            "room/b.rs",
            "use super::A; // super::Own\nfn f() { \"crate::base::low()\"; super::c::g() }\n#[cfg(test)] mod t { use crate::base::Low; }",
        ),
        ("room/c.rs", "use super::super::base; pub fn g() { base::low() } pub struct C;"),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let edges = Imports::read(&folder.join("lib.rs")).edges();
    let seen = |name: &str| -> Vec<String> {
        edges[&folder.join(name)].iter().map(|f| f.strip_prefix(&folder).unwrap().display().to_string()).collect()
    };
    assert_eq!(seen("room/a.rs"), ["base.rs", "room/c.rs", "room/mod.rs"]);
    // A re-export leads to the file that defines the name, and texts, comments and tests lead nowhere.
    assert_eq!(seen("room/b.rs"), ["room/a.rs", "room/c.rs"]);
    assert_eq!(seen("room/c.rs"), ["base.rs"]);
    assert!(seen("lib.rs").is_empty() && seen("room/mod.rs").is_empty());
    assert!(circles(&edges).is_empty());
    std::fs::write(
        folder.join("base.rs"),
        "pub struct Low; pub struct Deep(crate::room::Own); pub fn low() { crate::room::A; }",
    )
    .unwrap();
    let edges = Imports::read(&folder.join("lib.rs")).edges();
    let rings: Vec<usize> = circles(&edges).iter().map(BTreeSet::len).collect();
    assert_eq!(rings, [3], "base, a and c lead to each other");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn candle_and_io_stay_where_they_belong() {
    for (room, files) in code_by_room() {
        for (file, code) in files {
            let shown = file.display();
            assert!(!code.contains("candle_") || KNOW_CANDLE.contains(&room.as_str()), "{shown} names candle");
            let impure = ["std::fs", "std::net", "std::thread", "println!"].iter().any(|w| code.contains(w));
            assert!(!impure || !PURE.contains(&room.as_str()), "{shown} is no longer pure");
            let own = ["serde_json::json!", "serde_json::json;", "json, Value", "Value, json"];
            let makes_json = own.iter().any(|w| code.contains(w));
            assert!(!makes_json || room == KNOWS_JSON_MACRO, "{shown} makes JSON without crate::json::json");
            let kernel = KERNELS.iter().any(|k| file.ancestors().any(|folder| folder.ends_with(k)));
            assert!(!code.contains("axum") || room == KNOWS_AXUM, "{shown} names axum");
            assert!(!code.contains("nalgebra::") || room == KNOWS_NALGEBRA, "{shown} names nalgebra");
            assert!(!code.contains("sled::") || room == KNOWS_SLED, "{shown} names sled");
            let knows = KNOW_BINCODE.iter().any(|k| file.ends_with(k));
            assert!(!code.contains("bincode::") || knows, "{shown} names bincode");
            assert!(kernel || !code.contains("unsafe "), "{shown}: unsafe belongs in kernels and memory maps only");
            let reasoned = std::fs::read_to_string(&file).unwrap().matches("// SAFETY:").count();
            assert!(code.matches("unsafe {").count() <= reasoned, "{shown}: an unsafe block without its reason");
        }
    }
}

#[test]
fn files_open_with_their_purpose_and_stay_short() {
    for (_, files) in code_by_room() {
        for (file, _) in files {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//!"), "{} has no opening line", file.display());
            assert!(text.lines().count() <= 600, "{} is too long to read in one sitting", file.display());
        }
    }
}

/// Rooms of the kernels' crate, and those that each may use: vectors, then kernels in f32, then the same in other
/// precisions (over f32's packed weights), then programs.
const KERNELS_MAY_USE: &[(&str, &[&str])] = &[
    ("simd", &[]),
    ("lanes", &["simd"]),
    ("f32", &["simd", "lanes"]),
    ("f16", &["simd", "lanes", "f32"]),
    ("int16", &["simd", "lanes", "f32"]),
    ("program", &["simd", "lanes", "f32", "f16", "int16"]),
];

#[test]
fn kernels_use_only_rooms_of_lower_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nn/kernels");
    let mut faults = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (file, code) in code_by_room().remove("nn").unwrap() {
        let Ok(inside) = file.strip_prefix(&root) else { continue };
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_string();
        if room == "lib" || room == "tests" {
            continue;
        }
        let Some((_, allowed)) = KERNELS_MAY_USE.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{room} is in no row of the table"));
            continue;
        };
        for used in code.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // What the crate gives out by its root would hide whose room it is.
            if used != room && !allowed.contains(&used.as_str()) {
                faults.push(format!("{} uses {used}", file.display()));
            }
        }
        let climbs = code.matches("super::super::").count();
        if climbs > 0 {
            faults.push(format!("{} names a room without crate::", file.display()));
        }
        seen.insert(room);
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(seen.len(), KERNELS_MAY_USE.len(), "a row of the table has no room");
}
