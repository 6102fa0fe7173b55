//! Databases of every past format, made by the program of their time, open forever.
//!
//! `tests/fixtures/databases/v0001` and its like are never made again. A new format's is made once, by
//! its own program: `KITH_TEST_FIXTURE=tests/fixtures/databases/v000N cargo test --test database fixture`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kith::geometry::{BBox, Landmarks};
use kith::{
    Database, DatabaseOptions, Embedding, EnrolmentPolicy, MasterKey, ModelId, NewFace, PersonFilter, SearchPolicy,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::copy;

fn vector(number: u64, dimension: usize, model: &str) -> Embedding {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let values = (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect();
    Embedding::from_raw(values, ModelId::from_text(model)).unwrap()
}

fn face(number: u64, dimension: usize, model: &str) -> NewFace {
    NewFace {
        embedding: vector(number, dimension, model),
        bbox: BBox::new(1.0, 2.0, 30.0, 40.0 + number as f32),
        landmarks: Landmarks([[5.0, 6.0], [7.0, 8.0], [9.0, 10.0], [11.0, 12.0], [13.0, 14.0]]),
        score: 0.75,
        quality: [30.0, 0.1, 0.5, 1.0, 2.0, 3.0].into(),
        source: format!("photo-{number}.jpg"),
        source_sha256: number.is_multiple_of(2).then_some([number as u8; 32]),
        pictures: (number == 2).then(|| kith::FacePictures { chip: vec![1, 2, 3], thumbnail: vec![4, 5] }),
    }
}

const MAIN: (usize, &str) = (16, "m/0/t");
const VISITORS: (usize, &str) = (8, "other/0/t");

/// What every fixture holds.
fn fill(database: &Database) {
    let plain = EnrolmentPolicy::default();
    let labelled = EnrolmentPolicy {
        groups: vec!["staff".into(), "night".into()],
        labels: BTreeMap::from([("door".to_string(), "3".to_string())]),
        ..Default::default()
    };
    let main = |number| face(number, MAIN.0, MAIN.1);
    database.enroll("main", "Ada Lovelace", main(1), &labelled).unwrap();
    database.enroll("main", "Grace", main(2), &plain).unwrap();
    database.enroll("main", "Grace", main(3), &plain).unwrap();
    database.enroll("main", "Nobody", main(4), &plain).unwrap();
    database.rename("main", "Grace", "Grace Hopper").unwrap();
    database.forget("main", "Nobody", false).unwrap();
    database.enroll("visitors", "Zoë", face(5, VISITORS.0, VISITORS.1), &plain).unwrap();
}

/// Every name, group, label, source, chip and vector is what [`fill`] put in.
fn holds(database: &Database, what: &str) {
    assert!(database.check().unwrap().is_clean(), "{what}");
    let people = database.people("main", &PersonFilter::default()).unwrap();
    let listed: Vec<(&str, usize)> = people.iter().map(|p| (p.name.as_str(), p.faces)).collect();
    assert_eq!(listed, [("Ada Lovelace", 1), ("Grace Hopper", 2)], "{what}");
    assert_eq!(people[0].groups, ["night", "staff"]);
    assert_eq!(people[0].labels["door"], "3");
    let (_, faces) = database.person("main", "Grace Hopper").unwrap();
    assert_eq!((faces[0].source.as_str(), faces[0].chip), ("photo-2.jpg", true), "{what}");
    assert_eq!(faces[0].source_sha256.as_deref(), Some("02".repeat(32).as_str()));
    assert_eq!((faces[1].bbox, faces[1].score, faces[1].chip), (BBox::new(1.0, 2.0, 30.0, 43.0), 0.75, false));
    assert_eq!((faces[1].quality.eye_distance, faces[1].quality.pose()), (30.0, [1.0, 2.0, 3.0]));
    let policy = SearchPolicy { top: 1, threshold: Some(1e-3), ..SearchPolicy::default() };
    for (gallery, number, space, name) in [
        ("main", 1, MAIN, Some("Ada Lovelace")),
        ("main", 2, MAIN, Some("Grace Hopper")),
        ("main", 3, MAIN, Some("Grace Hopper")),
        ("main", 4, MAIN, None),
        ("visitors", 5, VISITORS, Some("Zoë")),
    ] {
        let answer = database.identify(gallery, &vector(number, space.0, space.1), &policy, None).unwrap();
        assert_eq!(answer.name.as_deref(), name, "{what}: vector {number}");
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/databases")
}

/// Fixtures whose name says `sealed` are encrypted, with this key.
fn options(path: &Path) -> DatabaseOptions {
    let sealed = path.to_string_lossy().contains("sealed");
    let key = sealed.then(|| MasterKey::parse(&"5a".repeat(32)).unwrap());
    DatabaseOptions { create: true, wait: Duration::ZERO, key }
}

fn open(path: &Path) -> Database {
    Database::open(path, &DatabaseOptions { create: false, ..options(path) }).unwrap()
}

#[test]
fn fixture_of_the_present_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var("KITH_TEST_FIXTURE").map_or_else(|_| folder.path().join("faces"), PathBuf::from);
    assert!(!path.exists(), "a fixture is never made again");
    fill(&Database::open(&path, &options(&path)).unwrap());
    holds(&open(&path), "made just now");
}

#[test]
fn databases_of_every_past_format_open() {
    let mut opened = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let fixture = entry.unwrap().path();
        let what = fixture.file_name().unwrap().to_string_lossy().into_owned();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(&what);
        copy(&fixture, &path);
        holds(&open(&path), &what);
        holds(&open(&path), &format!("{what}, opened again"));
        opened += 1;
    }
    assert!(opened > 0);
}
