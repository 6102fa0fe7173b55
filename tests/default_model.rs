//! What runs when nothing is said, and databases that another default made.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(all(feature = "cli", feature = "embedded-weights"))]

use std::path::Path;
use std::process::{Command, Output};

use kith::{Engine, Profile};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn photo(name: &str) -> String {
    format!("tests/fixtures/photos/{name}")
}

fn kith(db: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.current_dir(root()).args(arguments).env("KITH_DB", db).env("XDG_DATA_HOME", "/nonexistent");
    command.env_remove("KITH_WEIGHTS").env_remove("KITH_KEY").output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn names(answer: &Value) -> Vec<&str> {
    answer["photos"][0]["faces"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap_or("nobody")).collect()
}

/// Two people enrolled when mtcnn and dlib-resnet ran by default: Grace Hopper with her chip, Eileen Collins without.
fn first_default() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["CURRENT", "acknowledged", "journal-1"] {
        std::fs::copy(root().join("tests/fixtures/first-default").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

#[test]
fn the_default_is_the_fast_profile_and_every_built_in_profile_has_a_calibration_record() {
    let engine = Engine::builder().build().unwrap();
    assert_eq!((engine.detector(), Profile::default()), (Profile::Fast.detector(), Profile::Fast));
    assert!(engine.model().as_str().starts_with("sface/"));
    for profile in [Profile::Fast, Profile::Accurate, Profile::Classic] {
        let engine = Engine::builder().profile(profile).build().unwrap();
        let record = engine.calibration().unwrap_or_else(|| panic!("{profile} has no record"));
        assert_eq!(record.detector(), engine.detector());
        assert!(record.at_fmr(1e-5).is_ok(), "{profile}");
    }
}

#[test]
fn a_database_of_another_default_goes_on_with_its_own_model_until_it_is_moved() {
    let folder = first_default();
    let db = folder.path();
    // Nothing is said of models: what made the gallery's faces answers, and says so.
    let answer = kith(db, &["identify", &photo("hopper_tilt.jpg"), "--json"]);
    assert_eq!((names(&json(&answer)), answer.status.code()), (vec!["Grace Hopper"], Some(0)));
    assert!(json(&answer)["model"].as_str().unwrap().starts_with("dlib-resnet/"));
    let note = String::from_utf8_lossy(&answer.stderr).to_string();
    assert!(note.contains("dlib-resnet") && note.contains("kith reembed"), "{note}");
    assert_eq!(kith(db, &["enroll", "Grace Hopper", &photo("hopper_crop.jpg"), "-q"]).status.code(), Some(0));
    // Who asks for another model is refused, as ever.
    let refused = kith(db, &["identify", &photo("hopper_tilt.jpg"), "--profile", "fast", "--json"]);
    assert_eq!(json(&refused)["photos"][0]["error"]["code"], "gallery.wrong_model");
    // A gallery of another name is a new one, of today's default.
    let new = kith(db, &["enroll", "Grace Hopper", &photo("grace_hopper.jpg"), "--gallery", "new", "-q"]);
    assert_eq!(new.status.code(), Some(0));
    let of_new = kith(db, &["identify", &photo("hopper_tilt.jpg"), "--gallery", "new", "--json"]);
    assert!(json(&of_new)["model"].as_str().unwrap().starts_with("sface/"));
    assert!(of_new.stderr.is_empty(), "{}", String::from_utf8_lossy(&of_new.stderr));

    let moved = kith(db, &["reembed", "--json"]);
    assert_eq!(moved.status.code(), Some(0), "{}", String::from_utf8_lossy(&moved.stderr));
    assert_eq!(json(&moved)["reembedded"]["from_photos"], 3);
    for (face, name) in [("hopper_tilt.jpg", "Grace Hopper"), ("astronaut_q30.jpg", "Eileen Collins")] {
        let answer = kith(db, &["identify", &photo(face), "--json"]);
        assert_eq!(names(&json(&answer)), [name], "{}", String::from_utf8_lossy(&answer.stderr));
        assert!(json(&answer)["model"].as_str().unwrap().starts_with("sface/"));
        assert!(answer.stderr.is_empty());
    }
}

#[test]
fn kept_chips_move_a_gallery_whose_photos_are_gone() {
    let folder = first_default();
    let db = folder.path();
    // From another folder, so that the paths which were enrolled from lead nowhere.
    let away = tempfile::tempdir().unwrap();
    let reembed = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command.current_dir(away.path()).arg("reembed").args(arguments).arg("--json").env("KITH_DB", db);
        command.env("XDG_DATA_HOME", "/nonexistent").env_remove("KITH_WEIGHTS").output().unwrap()
    };
    let refused = reembed(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("1 faces cannot be embedded"));
    let done = reembed(&["--leave-out"]);
    assert_eq!((&json(&done)["reembedded"]["before"], &json(&done)["reembedded"]["left_out"]), (&1.into(), &1.into()));
    let answer = kith(db, &["identify", &photo("hopper_tilt.jpg"), "--json"]);
    assert_eq!(names(&json(&answer)), ["Grace Hopper"]);
}

#[test]
fn a_change_of_detector_alone_is_a_change_too() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path();
    let classic = ["--detector", "mtcnn", "--model", "sface"];
    let enroll = ["enroll", "Grace Hopper", "tests/fixtures/photos/grace_hopper.jpg", "-q"];
    assert_eq!(kith(db, &[&enroll[..], &classic[..]].concat()).status.code(), Some(0));
    assert_eq!(json(&kith(db, &["reembed", "--json"]))["reembedded"]["from_photos"], 1);
    let answer = kith(db, &["identify", &photo("hopper_tilt.jpg"), "--profile", "fast", "--json"]);
    assert_eq!(names(&json(&answer)), ["Grace Hopper"]);
    // Then there is nothing left to do.
    assert_eq!(json(&kith(db, &["reembed", "--json"]))["reembedded"]["from_photos"], 0);
}

#[test]
fn a_record_is_held_against_the_people_of_a_gallery() {
    let folder = first_default();
    let db = folder.path();
    let answer = json(&kith(db, &["calibrate", "--from-gallery", "--json"]));
    assert_eq!((&answer["people"], &answer["faces"], &answer["pairs"]), (&2.into(), &2.into(), &1.into()));
    let mut nearest = ["a", "b"].map(|side| answer["nearest"][0][side].as_str().unwrap());
    nearest.sort_unstable();
    assert_eq!(nearest, ["Eileen Collins", "Grace Hopper"]);
    let mut rates = answer["rates"].as_array().unwrap().iter();
    assert!(rates.all(|rate| rate["below"] == 0 || rate["record_fmr"].as_f64().unwrap() > 1e-2));
    let shown = kith(db, &["calibrate", "--from-gallery", "-q"]);
    let first = String::from_utf8_lossy(&shown.stdout).lines().next().unwrap().to_string();
    assert!(first.contains("too few pairs of different people"), "{first}");
    // One pair makes no record.
    let out = folder.path().join("ours.json");
    let refused = kith(db, &["calibrate", "--from-gallery", "-o", out.to_str().unwrap(), "--json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("refusal.cannot_calibrate") && !out.exists());
    let unknown = kith(db, &["calibrate", "--from-gallery", "--gallery", "nobody", "--json"]);
    assert!(String::from_utf8_lossy(&unknown.stdout).contains("gallery.unknown"));
}
