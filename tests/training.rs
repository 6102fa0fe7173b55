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

/// A step of a large batch takes long; who asks twice does not want to wait for it.
#[cfg(all(target_os = "linux", feature = "serve"))]
#[test]
fn a_second_interruption_ends_the_run_in_the_middle_of_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    let (mut command, mut arguments) = (Command::new(env!("CARGO_BIN_EXE_kith")), TRAIN);
    // Faces of each person in a batch.
    arguments[8] = "1000";
    command.args(arguments).args(["--loss", "arcface"]).current_dir(home).env("KITH_WEIGHTS", home.join("weights"));
    let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let second = std::time::Duration::from_secs(1);
    let interrupt = || Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    // Whether the process has an ear for it yet, as the system says.
    let hears = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_string();
        u64::from_str_radix(&caught, 16).unwrap() & 2 != 0
    };
    let began = std::time::Instant::now();
    while !hears() && began.elapsed().as_secs() < 120 {
        std::thread::sleep(second / 20);
    }
    assert!(interrupt().success());
    std::thread::sleep(second);
    assert!(interrupt().success());
    let asked = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if asked.elapsed() > 5 * second {
            child.kill().unwrap();
            panic!("the run goes on: {:?}", child.wait().unwrap());
        }
        std::thread::sleep(second / 20);
    };
    assert_eq!(status.code(), Some(2));
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

const DISTIL: [&str; 12] = [
    "train",
    "distil",
    "people",
    "--name",
    "small",
    "--batch",
    "4",
    "--chips",
    "chips",
    "--no-augmentation",
    "--part",
    "4",
];

#[test]
fn a_small_network_learns_from_a_large_one_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    let said = |more: &[&str]| kith(home, &[DISTIL.as_slice(), more, &["--json"]].concat());
    // Folders that name nobody: photos are held out, and likeness to the teacher is measured.
    let trained = json(&said(&["--epochs", "2", "--held-out", "0.25", "--checkpoint", "run", "--html", "run.html"]));
    assert_eq!((&trained["faces"], &trained["people"]), (&6.into(), &Value::Null));
    assert!(trained["teacher"].as_str().unwrap().starts_with("sface/"), "{trained}");
    assert!(trained["epochs"][1]["agreement"].as_f64().is_some() && trained["epochs"][1]["validation"].is_null());
    assert!(trained["failures"][0].as_str().unwrap().contains("broken.jpg"));
    // A chip and a vector of each photo are kept.
    let kept: Vec<String> =
        std::fs::read_dir(home.join("chips")).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    let of = |ending: &str| kept.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((of(".png"), of(".f32")), (8, 8), "{kept:?}");
    let card = std::fs::read_to_string(home.join("weights/small.card.md")).unwrap();
    assert!(card.contains("| learnt from | sface/") && card.contains("6 faces, whoever is on them"), "{card}");

    let more = ["--held-out", "0.25", "--checkpoint", "run"];
    json(&said(&[["--epochs", "4"].as_slice(), &more].concat()));
    let resumed = std::fs::read(home.join("weights/small.safetensors")).unwrap();
    json(&said(&["--epochs", "4", "--held-out", "0.25"]));
    assert!(resumed == std::fs::read(home.join("weights/small.safetensors")).unwrap(), "the same bits");
    let (code, message) = refused(&said(&[["--epochs", "4", "--relations", "3"].as_slice(), &more].concat()));
    assert!(code == "train.other_run" && message.contains("relations") && !message.contains("seed"), "{message}");

    // Folders that name people.
    let named = json(&said(&["--epochs", "1", "--people", "--held-out", "0"]));
    assert_eq!(named["faces"], 8);
    let photo = fixtures().join("grace_hopper.jpg");
    let embedded = json(&kith(home, &["embed", photo.to_str().unwrap(), "--model", "small", "--json"]));
    assert!(embedded.to_string().contains("tiny/"), "{embedded}");
    let large = ["train", "distil", "people", "--batch", "30", "--chips", "chips", "--json"];
    let (code, message) = refused(&kith(home, &large));
    assert!(code == "train.too_few_faces" && message.contains("takes 30"), "{message}");
    assert!(refused(&said(&["--teacher", "nobody"])).1.contains("nobody"));
}

/// What a disk is full for: a file that grows beyond so many KiB fails in its middle.
#[cfg(unix)]
fn with_room(home: &Path, kib: u32, arguments: &[&str]) -> Output {
    let limited = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_kith")]).args(arguments).current_dir(home);
    command.env("KITH_WEIGHTS", home.join("weights")).env("XDG_DATA_HOME", home).env_remove("KITH_DB").output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_said_wherever_distillation_writes() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    let say = |more: &[&'static str]| [DISTIL.as_slice(), &["--held-out", "0", "--json"], more].concat();
    let files = |folder: &str, ending: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(home.join(folder)).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
    };
    // No chip: the first that does not fit ends it, and nothing half written is left.
    let (code, message) = refused(&with_room(home, 1, &say(&["--epochs", "1"])));
    assert!(code == "train.checkpoint" && message.contains("a chip was not kept"), "{code}: {message}");
    assert_eq!((files("chips", ""), files("weights", "")), (Vec::new(), Vec::new()));
    // What the teacher makes of a photo: its chip is cut again with it, and the one that is there stays whole.
    let once = say(&["--epochs", "1", "--checkpoint", "run"]);
    json(&kith(home, &once));
    files("chips", ".f32").iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let (code, message) = refused(&with_room(home, 0, &once));
    assert!(code == "train.checkpoint" && message.contains(".png: a chip was not kept"), "{code}: {message}");
    assert!(files("chips", ".f32").is_empty() && files("chips", ".png").len() == 8);
    // The run: the checkpoint before is whole, and goes on when there is room.
    let (before, weights) = (std::fs::read(home.join("run")).unwrap(), home.join("weights/small.safetensors"));
    let first = std::fs::read(&weights).unwrap();
    let twice = say(&["--epochs", "2", "--checkpoint", "run"]);
    let (code, message) = refused(&with_room(home, 64, &twice));
    assert!(code == "train.checkpoint" && message.contains("the one before it is untouched"), "{code}: {message}");
    assert!(std::fs::read(home.join("run")).unwrap() == before && std::fs::read(&weights).unwrap() == first);
    json(&kith(home, &twice));
    // The weights, and the card beside them: what stood there before stays.
    let written = std::fs::read(&weights).unwrap();
    let (_, message) = refused(&with_room(home, 64, &say(&["--epochs", "1"])));
    assert!(message.contains("small.safetensors"), "{message}");
    assert!(std::fs::read(&weights).unwrap() == written);
    std::fs::remove_file(home.join("weights/small.card.md")).unwrap();
    std::fs::create_dir(home.join("weights/small.card.md")).unwrap();
    let (code, message) = refused(&kith(home, &twice));
    assert!(code == "train.checkpoint" && message.contains("small.card.md"), "{code}: {message}");
    assert!(files("weights", ".kith").is_empty() && files("", ".tmp").is_empty());
}

#[test]
fn what_cannot_be_written_is_said_before_anything_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    for option in ["--checkpoint", "--html"] {
        let (_, message) = refused(&kith(home, &[TRAIN.as_slice(), &[option, "nowhere/run"]].concat()));
        assert!(message.contains("nowhere: nothing can be written"), "{message}");
        let (_, message) = refused(&kith(home, &[TRAIN.as_slice(), &[option, "people"]].concat()));
        assert!(message.contains("people: this is a folder"), "{message}");
    }
    assert!(!home.join("chips").exists(), "no face was looked for");
    // Two people of whom none is left to learn from, and one person of whom nothing can be measured.
    std::fs::remove_dir_all(home.join("people/collins")).unwrap();
    let one = ["train", "triplet", "people", "--batch-people", "2", "--held-out", "0.5", "--json"];
    let (_, message) = refused(&kith(home, &one));
    assert!(message.contains("measuring takes two people") && message.contains("--held-out 0"), "{message}");
}

#[test]
fn one_epoch_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(home);
    std::fs::create_dir(home.join("people/cernan")).unwrap();
    std::fs::copy(fixtures().join("grace_hopper.jpg"), home.join("people/cernan/one.jpg")).unwrap();
    let said = kith(home, &[&TRAIN[..13], &["--epochs", "1"]].concat());
    let line = String::from_utf8(said.stdout).unwrap();
    // A person with one photo is no person of the training.
    assert!(line.contains("8 faces of 2 people in 1 epoch;"), "{line}");
    let card = std::fs::read_to_string(home.join("weights/ours.card.md")).unwrap();
    assert!(card.contains("8 faces of 2 people; 1 more people have one face"), "{card}");
}
