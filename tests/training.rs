//! Training of networks as a user runs it, on the fixtures.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(all(feature = "cli", feature = "embedded-weights"))]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos")
}

fn kith(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.args(arguments).current_dir(home).env("KITH_WEIGHTS", home.join("weights"));
    command.env("XDG_DATA_HOME", home).env_remove("KITH_DB").output().unwrap()
}

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn refused(output: &Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |part: &str| said["error"][part].as_str().unwrap().to_string();
    (of("code"), of("message"))
}

/// Two people, four photos of each, and one that is broken.
fn people(home: &Path) {
    for (name, photos) in [
        ("collins", ["astronaut.png", "astronaut_q30.jpg", "astronaut_grey.jpg", "astronaut.webp"]),
        ("hopper", ["grace_hopper.jpg", "hopper_tilt.jpg", "hopper_mirror.jpg", "hopper_small.jpg"]),
    ] {
        std::fs::create_dir_all(home.join("people").join(name)).unwrap();
        for photo in photos {
            std::fs::copy(fixtures().join(photo), home.join("people").join(name).join(photo)).unwrap();
        }
    }
    std::fs::write(home.join("people/hopper/broken.jpg"), b"\xff\xd8\xff\xe0 nothing more").unwrap();
}

const TRAIN: [&str; 14] = [
    "train",
    "triplet",
    "people",
    "--name",
    "ours",
    "--batch-people",
    "2",
    "--batch-faces",
    "2",
    "--held-out",
    "0",
    "--chips",
    "chips",
    "--json",
];

#[test]
fn a_network_is_trained_resumed_and_used_as_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    let said = |more: &[&str]| kith(home, &[TRAIN.as_slice(), more].concat());
    let trained = json(&said(&["--epochs", "2", "--checkpoint", "run", "--html", "run.html"]));
    let page = std::fs::read_to_string(home.join("run.html")).unwrap();
    assert!(page.contains("<svg ") && !page.contains("http-equiv=\"refresh\""), "the run is done");
    assert_eq!((&trained["faces"], &trained["people"], &trained["ending"]), (&8.into(), &2.into(), &"finished".into()));
    assert!(trained["failures"][0].as_str().unwrap().contains("broken.jpg"));
    assert_eq!(trained["epochs"].as_array().unwrap().len(), 2);
    let card = std::fs::read_to_string(home.join("weights/ours.card.md")).unwrap();
    assert!(
        card.contains("8 faces of 2 people") && card.contains(trained["written"]["sha256"].as_str().unwrap()),
        "{card}"
    );
    assert_eq!(std::fs::read_dir(home.join("chips")).unwrap().count(), 8);

    // Two epochs more give what four in one run give.
    json(&said(&["--epochs", "4", "--checkpoint", "run"]));
    let resumed = std::fs::read(home.join("weights/ours.safetensors")).unwrap();
    json(&said(&["--epochs", "4"]));
    assert!(resumed == std::fs::read(home.join("weights/ours.safetensors")).unwrap(), "the same bits");
    // What was there under that name is kept under another, with its card.
    let files = std::fs::read_dir(home.join("weights")).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let kept: Vec<String> = files.filter(|name| name.starts_with("ours-")).collect();
    assert!(kept.len() == 3 && kept.iter().any(|name| name.ends_with(".card.md")), "{kept:?}");
    let (code, message) = refused(&said(&["--epochs", "4", "--checkpoint", "run", "--rate", "0.5"]));
    assert!(code == "train.other_run" && message.contains("rate = 0.5"), "{message}");

    let photo = fixtures().join("grace_hopper.jpg");
    let embedded = json(&kith(home, &["embed", photo.to_str().unwrap(), "--model", "ours", "--json"]));
    assert!(embedded.to_string().contains("tiny/"), "{embedded}");
    let listed = json(&kith(home, &["weights", "list", "--json"]));
    let own = listed.as_array().unwrap().iter().find(|m| m["name"] == "ours").unwrap();
    assert_eq!((&own["architecture"], &own["fault"]), (&"tiny".into(), &Value::Null));

    let many = ["train", "triplet", "people", "--batch-people", "3", "--held-out", "0", "--chips", "chips", "--json"];
    let (code, message) = refused(&kith(home, &many));
    assert!(code == "train.too_few_people" && message.contains("2 people have two faces"), "{message}");
    assert!(refused(&said(&["--model", "nn9"])).1.contains("mobilefacenet-prelu"));
}

#[test]
fn weights_are_not_called_as_the_built_in_ones_nor_by_ways_to_other_folders() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    for name in ["yunet", "sface", "mobilefacenet", "../evil", "a/b", "", "with space", ".hidden", "x+mirror"] {
        let one = ["train", "triplet", "people", "--name", name, "--json"];
        let own = ["train", "eigenfaces", "people", "--name", name, "--json"];
        for command in [one, own] {
            let (_, message) = refused(&kith(home, &command));
            assert!(message.contains("name"), "{name}: {message}");
        }
    }
    let (_, message) = refused(&kith(home, &["weights", "import", "x.onnx", "--name", "sface", "--json"]));
    assert!(message.contains("built in"), "{message}");
    assert!(!home.join("weights").exists() || std::fs::read_dir(home.join("weights")).unwrap().next().is_none());
}

#[cfg(all(unix, feature = "serve"))]
#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.args(TRAIN).args(["--epochs", "100000", "--checkpoint", "run"]).current_dir(home);
    command.env("KITH_WEIGHTS", home.join("weights")).stdout(std::process::Stdio::piped());
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !home.join("run").is_file() && began.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let (_, message) = refused(&child.wait_with_output().unwrap());
    assert!(message.contains("interrupted after") && message.contains("the same command goes on"), "{message}");
    assert!(!home.join("weights/ours.safetensors").exists());
}

#[test]
fn a_preview_shows_every_augmentation_from_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let photo = fixtures().join("grace_hopper.jpg");
    let drawn = |seed: &str| {
        let arguments = ["train", "preview", photo.to_str().unwrap(), "-o", "sheet.png", "--seed", seed, "--json"];
        json(&kith(home, &arguments));
        std::fs::read(home.join("sheet.png")).unwrap()
    };
    let (first, again, other) = (drawn("1"), drawn("1"), drawn("2"));
    assert!(first == again && first != other);
    let sheet = kith::Photo::open(home.join("sheet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (12 * 112, 22 + 112));
    let no_face = fixtures().join("no_face.jpg");
    let said = kith(home, &["train", "preview", no_face.to_str().unwrap(), "-o", "none.png", "--json"]);
    assert!(refused(&said).1.contains("none of the photos"));
}

#[test]
fn networks_stand_beside_the_papers_tables() {
    let folder = tempfile::tempdir().unwrap();
    let listed = json(&kith(folder.path(), &["train", "networks", "nn1", "--json"]));
    let layers = listed[0]["layers"].as_array().unwrap();
    let conv1 = layers.iter().find(|l| l["layer"]["name"] == "conv1").unwrap();
    assert_eq!((&conv1["layer"]["parameters"], &conv1["paper"][0]), (&9472.into(), &"9K".into()));
    assert_eq!((&listed[0]["parameters"], &listed[0]["paper"][0]), (&140_025_536u64.into(), &"140M".into()));
    let table = kith(folder.path(), &["train", "networks"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(["nn1", "nn2", "nns2", "tiny", "220x220"].iter().all(|w| table.contains(w)), "{table}");
    assert_eq!(kith(folder.path(), &["train", "networks", "nn9"]).status.code(), Some(2));
}

#[test]
fn too_small_a_gallery_is_not_adapted_to() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let adapt =
        |gallery: &str| kith(home, &["train", "adapt", "--gallery", gallery, "--name", "door", "--db", "db", "--json"]);
    for (name, photo) in [("Grace", "grace_hopper.jpg"), ("Eileen", "astronaut.png")] {
        let photo = fixtures().join(photo);
        json(&kith(home, &["enroll", name, photo.to_str().unwrap(), "--db", "db", "--json"]));
    }
    let (code, message) = refused(&adapt("main"));
    assert!(code == "eval.too_little" && message.contains("at least 6"), "{message}");
    assert_eq!(refused(&adapt("nobody")).0, "gallery.unknown_gallery");
    assert!(!home.join("weights/door.safetensors").exists());
}
