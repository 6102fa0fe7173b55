//! Who may know whom: every `crate::ROOM` in the sources is held against the table of rooms.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    ("eval", &["error", "files", "geometry", "vector", "media", "nn", "detect", "verify", "cluster", "engine"]),
    // Training finds faces as the engine does.
    ("train", &["error", "files", "geometry", "vector", "media", "nn", "align", "embed", "engine"]),
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

/// The only rooms that may name candle.
const KNOW_CANDLE: &[&str] = &["nn", "detect", "embed"];
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

#[test]
fn rooms_use_only_what_the_table_allows() {
    let rooms = code_by_room();
    let mut faults = Vec::new();
    for (room, files) in &rooms {
        if room == "lib" || room == "main" {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| name == room) else {
            faults.push(format!("{room} is in no row of the table"));
            continue;
        };
        for (file, code) in files {
            for used in code.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_room = MAY_USE.iter().any(|(name, _)| *name == used);
                if is_room && used != *room && !allowed.contains(&used.as_str()) {
                    faults.push(format!("{} uses {used}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(rooms.len(), MAY_USE.len() + 2, "a row of the table has no room");
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
            let kernel = KERNELS.iter().any(|k| file.ends_with(k) || file.parent().is_some_and(|f| f.ends_with(k)));
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
