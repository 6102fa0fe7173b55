//! The command as a user runs it: exit codes, output, pictures.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(feature = "cli")]

#[path = "common/distort.rs"]
mod distort;
#[path = "common/shapes.rs"]
mod shapes;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kith::Photo;
use serde_json::Value;

fn photo(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name).display().to_string()
}

fn kith(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.args(arguments).env_remove("KITH_WEIGHTS").env("XDG_DATA_HOME", "/nonexistent").output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn compare_same_person_draws_the_picture_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    let out: PathBuf = folder.path().join("pair.png");
    let answer = kith(&[
        "compare",
        &photo("grace_hopper.jpg"),
        &photo("hopper_tilt.jpg"),
        "-o",
        out.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(code(&answer), 0, "{answer:?}");
    let object = json(&answer);
    let verdict = &object["verdict"];
    assert_eq!(verdict["decision"], "same");
    assert!(verdict["similarity"].as_f64().unwrap() > 50.0);
    assert!(verdict["distance"].as_f64().unwrap() < verdict["threshold"]["distance"].as_f64().unwrap());
    assert_eq!(verdict["threshold"]["fmr"], 1e-3);
    assert!(verdict["model"].as_str().unwrap().starts_with("sface/"));
    assert_eq!(object["left"]["faces"][0]["landmarks"].as_array().unwrap().len(), 5);
    assert!(object["left"]["times"]["detect_ms"].as_f64().unwrap() > 0.0);
    assert!(object["times"]["total_ms"].as_f64().unwrap() > 0.0);
    assert!(!String::from_utf8_lossy(&answer.stdout).contains("\"embedding\""), "no template is printed");

    let picture = Photo::open(&out).unwrap();
    assert!(picture.width() > picture.height());
    let colour = kith::similarity_colour(verdict["similarity"].as_f64().unwrap() as f32);
    let painted = picture.raster().data().chunks(3).filter(|p| *p == colour).count();
    assert!(painted > 2000, "boxes, line and caption in the pair's colour: {painted} pixels");
}

#[test]
fn compare_different_people_exits_1_and_no_face_exits_2() {
    let answer = kith(&["compare", &photo("grace_hopper.jpg"), &photo("astronaut.png")]);
    assert_eq!(code(&answer), 1, "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.stdout).starts_with("Different people"));

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("none.jpg");
    let answer =
        kith(&["compare", &photo("no_face.jpg"), &photo("astronaut.png"), "-o", out.to_str().unwrap(), "--json"]);
    assert_eq!(code(&answer), 2);
    assert_eq!(json(&answer)["undecided"]["code"], "refusal.no_face");
    assert!(out.is_file(), "the picture is drawn all the same");
}

#[test]
fn compare_scores_every_pair_of_several_faces() {
    let answer = kith(&["compare", &photo("two_faces.jpg"), &photo("grace_hopper.jpg"), "--json"]);
    assert_eq!(code(&answer), 0);
    let object = json(&answer);
    assert_eq!(object["pairs"].as_array().unwrap().len(), 2);
    assert_eq!(object["fmr_over_all_pairs"], 2e-3);
    let best = &object["pairs"][object["best"].as_u64().unwrap() as usize];
    let face = &object["left"]["faces"][best["left"].as_u64().unwrap() as usize];
    assert!(face["box"]["x0"].as_f64().unwrap() > 512.0, "Grace Hopper stands at the right");
}

#[test]
fn seed_layout_is_1600x600() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("seed.jpg");
    let paths = [photo("grace_hopper.jpg"), photo("hopper_mirror.jpg")];
    let answer = kith(&["compare", &paths[0], &paths[1], "--seed-layout", "-o", out.to_str().unwrap()]);
    assert_eq!(code(&answer), 0, "{answer:?}");
    let picture = Photo::open(out).unwrap();
    assert_eq!((picture.width(), picture.height()), (1600, 600));
}

#[test]
fn verify_refuses_what_it_cannot_decide() {
    let hopper = photo("grace_hopper.jpg");
    for (arguments, exit, word) in [
        (vec!["verify", &hopper, &photo("hopper_mirror.jpg")], 0, "same person"),
        (vec!["verify", &hopper, &photo("hopper_small.jpg"), "--max-fmr", "1e-4"], 0, "same person"),
        (vec!["verify", &hopper, &photo("astronaut.png")], 1, "different people"),
        (vec!["verify", &hopper, &photo("hopper_mirror.jpg"), "--threshold", "0.0001"], 1, "different people"),
        (vec!["verify", &hopper, &photo("no_face.jpg")], 2, "no face found"),
        (vec!["verify", &hopper, &photo("two_faces.jpg")], 2, "2 faces found"),
        (vec!["verify", &hopper, &photo("two_faces.jpg"), "--largest"], 0, "same person"),
        (vec!["verify", &hopper, "/no/such.jpg"], 2, "no such file"),
        (vec!["verify", &hopper, &hopper, "--max-fmr", "1e-12"], 2, "supports false-match rates"),
        (vec!["verify", &hopper, &hopper, "--threshold", "9"], 2, "must be a distance"),
        (vec!["verify", &hopper, &hopper, "--device", "metal"], 2, "--features metal"),
        (vec!["verify", &hopper, &hopper, "--model", "facenet-vggface2"], 2, "kith weights pull facenet-vggface2"),
        (vec!["verify", &hopper, &hopper, "--max-megapixels", "0.1"], 2, "over the limit"),
    ] {
        let answer = kith(&arguments);
        let said = String::from_utf8_lossy(&answer.stdout).to_string() + &String::from_utf8_lossy(&answer.stderr);
        if cfg!(feature = "metal") && word.contains("metal") {
            continue;
        }
        assert_eq!(code(&answer), exit, "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    let error = json(&kith(&["verify", &hopper, &photo("no_face.jpg"), "--json"]));
    assert_eq!(error["error"]["code"], "refusal.no_face");
}

#[test]
fn two_faces_that_would_not_be_enrolled_are_not_decided_and_one_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let blurred = |name: &str| {
        let out = folder.path().join(format!("blurred_{name}.png"));
        let photo = Photo::open(photo(name)).unwrap();
        kith::media::save(&distort::blurred(photo.raster(), 5.0), &out).unwrap();
        out.display().to_string()
    };
    let (sharp, a, b) = (photo("grace_hopper.jpg"), blurred("grace_hopper.jpg"), blurred("hopper_mirror.jpg"));
    let both = kith(&["verify", &a, &b, "--json"]);
    assert_eq!((code(&both), json(&both)["error"]["code"].as_str()), (2, Some("refusal.poor_faces")), "{both:?}");
    let said = String::from_utf8_lossy(&both.stderr).to_string();
    assert!(said.contains("could not be decided") && said.matches("too blurred").count() == 2, "{said}");
    let compared = kith(&["compare", &a, &b, "--json"]);
    assert_eq!((code(&compared), json(&compared)["undecided"]["code"].as_str()), (2, Some("refusal.poor_faces")));
    assert_eq!(json(&compared)["left"]["faces"][0]["refusal"]["code"], "gate.blurred");

    let asked = kith(&["verify", &a, &b, "--accept-poor", "--json"]);
    let object = json(&asked);
    assert_eq!((code(&asked), object["decision"].as_str()), (0, Some("same")), "{object}");
    for side in ["left", "right"] {
        assert_eq!(object[side]["refusal"]["code"], "gate.blurred");
        assert!(object[side]["quality"]["sharpness"].as_f64().unwrap() < 0.01);
    }
    let one = kith(&["verify", &sharp, &a]);
    let said = String::from_utf8_lossy(&one.stdout).to_string();
    assert!(code(&one) < 2 && said.contains("note: the second photo's face would not be enrolled"), "{said}");
    let object = json(&kith(&["verify", &sharp, &a, "--json"]));
    assert_eq!(
        (&object["left"]["refusal"], object["right"]["refusal"]["code"].as_str()),
        (&Value::Null, Some("gate.blurred"))
    );
}

#[test]
fn a_photo_on_its_side_is_turned_and_the_answer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let lying = folder.path().join("lying.png").display().to_string();
    let hopper = photo("grace_hopper.jpg");
    kith::media::save(&Photo::open(&hopper).unwrap().raster().turned(1), &lying).unwrap();
    let answer = kith(&["verify", &hopper, &lying]);
    let said = String::from_utf8_lossy(&answer.stdout).to_string();
    assert!(code(&answer) == 0 && said.contains("the second photo was turned by 270 degrees"), "{answer:?}");
    let object = json(&kith(&["detect", &lying, "--json"]));
    let face = &object["photos"][0]["faces"][0];
    assert_eq!(face["turned"], 270, "{object}");
    let (width, x1) = (object["photos"][0]["width"].as_f64().unwrap(), face["box"]["x1"].as_f64().unwrap());
    assert!(x1 <= width, "in the photo's own pixels: {face}");
    // Who says a score counts by it: none is that certain.
    let none = kith(&["verify", &hopper, &hopper, "--min-score", "1"]);
    assert_eq!(code(&none), 2, "{none:?}");
}

#[test]
fn a_refusal_for_several_faces_says_where_they_are() {
    let answer = kith(&["verify", &photo("grace_hopper.jpg"), &photo("two_faces.jpg"), "--json"]);
    let message = json(&answer)["error"]["message"].as_str().unwrap().to_string();
    assert!(message.contains("2 faces found") && message.matches(" to ").count() >= 2, "{message}");
    assert!(message.contains("--largest"), "{message}");
}

#[test]
fn detect_and_embed_write_what_they_find() {
    let folder = tempfile::tempdir().unwrap();
    let two = photo("two_faces.jpg");
    let marked = folder.path().join("marked");
    let answer = kith(&["detect", &two, "/no/such.jpg", "-o", marked.to_str().unwrap(), "--json"]);
    assert_eq!(code(&answer), 2, "one of the photos is missing");
    let object = json(&answer);
    assert_eq!(object["photos"][0]["faces"].as_array().unwrap().len(), 2);
    assert_eq!(object["photos"][1]["error"]["code"], "photo.not_found");
    let chip = Photo::open(marked.join("two_faces.jpg.face2.png")).unwrap();
    assert_eq!((chip.width(), chip.height()), (112, 112));
    assert!(marked.join("two_faces.jpg.faces.png").is_file());

    // Photos of one name, at once: each has pictures of its own.
    let both: Vec<String> = ["a", "b"]
        .iter()
        .zip(["grace_hopper.jpg", "two_faces.jpg"])
        .map(|(place, file)| {
            let place = folder.path().join(place);
            std::fs::create_dir(&place).unwrap();
            std::fs::copy(photo(file), place.join("1.jpg")).unwrap();
            place.join("1.jpg").display().to_string()
        })
        .collect();
    let (faces, names, db) = (folder.path().join("faces"), folder.path().join("names"), folder.path().join("db"));
    let (faces, names, db) = (faces.to_str().unwrap(), names.to_str().unwrap(), db.to_str().unwrap());
    assert_eq!(code(&kith(&["detect", &both[0], &both[1], "-o", faces])), 0);
    assert_eq!(code(&kith(&["enroll", "Grace", &both[0], "--db", db])), 0);
    assert_eq!(code(&kith(&["identify", &both[0], &both[1], "-o", names, "--db", db])), 1);
    let written = |folder: &str| {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let pictures =
        ["a_1.jpg.face1.png", "a_1.jpg.faces.png", "b_1.jpg.face1.png", "b_1.jpg.face2.png", "b_1.jpg.faces.png"];
    assert_eq!(written(faces), pictures);
    assert_eq!(written(names), ["a_1.jpg.names.png", "b_1.jpg.names.png"]);

    let npy = folder.path().join("faces.npy");
    let answer = kith(&["embed", &two, &photo("astronaut.png"), "-o", npy.to_str().unwrap(), "--json"]);
    assert_eq!(code(&answer), 0);
    let object = json(&answer);
    let faces = object["faces"].as_array().unwrap();
    assert_eq!((faces.len(), &object["dimension"]), (3, &Value::from(128)));
    let bytes = std::fs::read(npy).unwrap();
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    assert_eq!(bytes.len() % 64, 0);
    let floats: Vec<f32> =
        bytes[bytes.len() - 3 * 128 * 4..].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    for (row, face) in floats.chunks(128).zip(faces) {
        assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((f64::from(row[7]) - face["embedding"][7].as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn a_photo_without_a_face_is_no_success_of_embed() {
    let answer = kith(&["embed", &photo("no_face.jpg"), &photo("astronaut.png"), "--json"]);
    assert_eq!(code(&answer), 2);
    assert_eq!(json(&answer)["faces"].as_array().unwrap().len(), 1, "the other photo's face is given");
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(said.contains("no_face.jpg"), "{said}");
}

#[test]
fn the_numbers_that_an_embedder_computes_in_are_chosen_and_told() {
    let photo = photo("astronaut.png");
    let embedded = |precision: &str| {
        let answer = kith(&["embed", &photo, "--device", "cpu", "--precision", precision, "--json"]);
        assert_eq!(code(&answer), 0, "{answer:?}");
        json(&answer)
    };
    let (full, auto) = (embedded("f32"), embedded("auto"));
    assert_eq!(full["precision"], "f32");
    assert!(["f32", "f16", "int16"].contains(&auto["precision"].as_str().unwrap()), "{}", auto["precision"]);
    let vector = |object: &Value| -> Vec<f64> {
        object["faces"][0]["embedding"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let cosine: f64 = vector(&full).iter().zip(vector(&auto)).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.9995, "{cosine}");

    let refused = kith(&["embed", &photo, "--precision", "int8"]);
    assert_eq!(code(&refused), 2);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("int8") && said.contains("int16"), "{said}");
    // Where `auto` does not take them, the processor has no instructions for them, and asking for them says so.
    let order = ["f16", "int16", "f32"];
    let taken = order.iter().position(|kind| auto["precision"] == *kind).unwrap();
    for (kind, instructions) in [("f16", "AVX-512 FP16")].into_iter().take(taken) {
        // Plain code, for which `auto` takes f32, computes in all of them, slowly.
        if auto["precision"] != "f32" {
            let refused = kith(&["embed", &photo, "--precision", kind]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(code(&refused) == 2 && said.contains(instructions), "{said}");
        }
    }
}

#[test]
fn weights_are_listed_checked_and_imported() {
    let list = json(&kith(&["weights", "list", "--json"]));
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"mtcnn") && names.contains(&"dlib-resnet") && names.contains(&"facenet-vggface2"));
    assert_eq!(code(&kith(&["weights", "verify"])), 0);

    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    let mtcnn = root.join("mtcnn.safetensors").display().to_string();
    let out = folder.path().join("again.safetensors");
    let answer = kith(&["weights", "import", &mtcnn, "-o", out.to_str().unwrap(), "--json"]);
    assert_eq!(json(&answer)["architecture"], "mtcnn");
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&mtcnn).unwrap(), "the same weights, the same bytes");
    let wrong = kith(&["weights", "import", &mtcnn, "--architecture", "dlib-resnet", "-o", out.to_str().unwrap()]);
    assert_eq!(code(&wrong), 2);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("tensor input.mean ([3]) is missing"), "{wrong:?}");

    std::fs::write(folder.path().join("mtcnn.safetensors"), b"rubbish").unwrap();
    let damaged = kith(&["weights", "verify", "--weights", folder.path().to_str().unwrap()]);
    assert_eq!(code(&damaged), 2);
    let refused = kith(&["weights", "pull", "facenet-vggface2", "--weights", folder.path().to_str().unwrap()]);
    assert_eq!(code(&refused), 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--accept-licence"), "{refused:?}");
}

#[test]
fn wrong_words_are_explained() {
    for arguments in [&["compare"][..], &["frobnicate"], &["verify", "a", "b", "--device", "gpu"]] {
        let answer = kith(arguments);
        assert_eq!(code(&answer), 2);
        assert!(!answer.stderr.is_empty());
    }
}

/// A command on a database of its own.
fn at(db: &Path, arguments: &[&str]) -> Output {
    let mut all = arguments.to_vec();
    all.extend(["--db", db.to_str().unwrap()]);
    kith(&all)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The percentage that a line says.
fn percents(text: &str) -> Vec<f32> {
    let words = text.split_whitespace().filter_map(|w| w.strip_suffix('%'));
    words.filter_map(|w| w.parse().ok()).collect()
}

#[test]
fn a_percentage_is_of_the_threshold_in_force_wherever_one_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("faces");
    let (hopper, tilted) = (photo("grace_hopper.jpg"), photo("hopper_tilt.jpg"));
    assert_eq!(code(&at(&db, &["enroll", "Grace Hopper", &hopper])), 0);
    // The two are 0.24 apart: one person by the one line, and by the other not.
    for (threshold, same) in [("1.1", true), ("0.26", true), ("0.22", false), ("0.01", false)] {
        let verified = kith(&["verify", &hopper, &tilted, "--threshold", threshold]);
        let compared = kith(&["compare", &hopper, &tilted, "--threshold", threshold]);
        let found = at(&db, &["identify", &tilted, "--threshold", threshold]);
        for answer in [verified, compared, found] {
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            assert_eq!(code(&answer), i32::from(!same), "{threshold}: {text}");
            let shown = percents(&text);
            assert!(!shown.is_empty() && shown.iter().all(|p| (*p >= 50.0) == same), "{threshold}: {text}");
        }
    }
}

#[test]
fn enrol_identify_rename_forget() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("faces");
    assert_eq!(code(&at(&db, &["identify", &photo("hopper_tilt.jpg")])), 2, "nobody is enrolled yet");
    assert!(!db.exists(), "asking makes no database");

    let hopper = photo("grace_hopper.jpg");
    let added = at(&db, &["enroll", "Grace Hopper", &hopper, "--group", "navy", "--keep-chips", "--json"]);
    assert_eq!(code(&added), 0, "{added:?}");
    assert_eq!(json(&added)["photos"][0]["enrolled"]["status"], "added");
    let again = at(&db, &["enroll", "Grace Hopper", &hopper, "--json"]);
    assert_eq!((code(&again), json(&again)["known"].as_u64()), (0, Some(1)));

    let out = folder.path().join("names.png");
    let found = at(&db, &["identify", &photo("hopper_tilt.jpg"), "--json", "-o", out.to_str().unwrap()]);
    assert_eq!(code(&found), 0, "{found:?}");
    let face = &json(&found)["photos"][0]["faces"][0];
    assert_eq!(face["name"], "Grace Hopper");
    assert!(face["candidates"][0]["similarity"].as_f64().unwrap() > 50.0);
    assert!(face["candidates"][0]["distance"].as_f64().unwrap() < face["threshold"]["distance"].as_f64().unwrap());
    assert_eq!(face["threshold"]["max_fpir"], 0.01);
    assert_eq!(face["calibration"].as_str().unwrap().len(), 12);
    assert!(!said(&found).contains("vector"), "no template is printed");
    assert!(Photo::open(&out).unwrap().width() > 100);

    let stranger = at(&db, &["identify", &photo("astronaut.png")]);
    assert_eq!(code(&stranger), 1, "{stranger:?}");
    assert!(said(&stranger).contains("unknown"));
    assert_eq!(code(&at(&db, &["identify", &photo("hopper_tilt.jpg"), "--group", "army"])), 1);
    assert_eq!(code(&at(&db, &["identify", &photo("hopper_tilt.jpg"), "--group", "navy"])), 0);

    let other = at(&db, &["enroll", "Somebody Else", &photo("hopper_tilt.jpg"), "--json"]);
    assert_eq!((code(&other), json(&other)["photos"][0]["error"]["code"].as_str()), (2, Some("gate.someone_else")));
    assert!(said(&other).contains("Grace Hopper"), "the evidence is named");

    assert_eq!(code(&at(&db, &["people", "rename", "Grace Hopper", "Admiral Hopper"])), 0);
    let shown = at(&db, &["people", "show", "Admiral Hopper", "--json"]);
    assert_eq!(json(&shown)["faces"][0]["chip"], true);
    assert_eq!(json(&shown)["person"]["groups"][0], "navy");
    assert_eq!(code(&at(&db, &["people", "show", "Grace Hopper"])), 2);

    let backup = folder.path().join("faces.bak");
    assert_eq!(code(&at(&db, &["backup", backup.to_str().unwrap()])), 0);
    let again = at(&db, &["backup", backup.to_str().unwrap()]);
    assert!(code(&again) == 2 && said(&again).contains("--force"), "{}", said(&again));
    assert_eq!(code(&at(&db, &["backup", backup.to_str().unwrap(), "--force"])), 0);
    assert_eq!(code(&at(&db, &["forget", "Admiral Hopper"])), 0);
    assert_eq!(code(&at(&db, &["identify", &photo("hopper_tilt.jpg")])), 1);
    assert_eq!(code(&at(&db, &["check"])), 0);
    assert_eq!(json(&at(&db, &["stats", "--json"]))["galleries"][0]["faces"], 0);
    let restored = folder.path().join("restored");
    assert_eq!(code(&at(&restored, &["restore", backup.to_str().unwrap()])), 0);
    assert_eq!(code(&at(&restored, &["identify", &photo("hopper_tilt.jpg")])), 0);
}

#[test]
fn a_folder_of_people_is_enrolled_with_what_was_refused_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let (db, people) = (folder.path().join("faces"), folder.path().join("people"));
    std::fs::create_dir_all(people.join("Eileen_Collins")).unwrap();
    std::fs::copy(photo("astronaut.png"), people.join("Eileen_Collins/portrait.png")).unwrap();
    std::fs::copy(photo("grace_hopper.jpg"), people.join("Grace_Hopper_0001.jpg")).unwrap();
    std::fs::write(people.join("Eileen_Collins/broken.jpg"), b"no photo").unwrap();
    let done = at(&db, &["enroll", "--dir", people.to_str().unwrap(), "--json"]);
    let object = json(&done);
    assert_eq!((code(&done), object["added"].as_u64(), object["refused"].as_u64()), (2, Some(2), Some(1)));
    assert!(said(&done).contains("broken.jpg"));
    let again = json(&at(&db, &["enroll", "--dir", people.to_str().unwrap(), "--resume", "--json"]));
    assert_eq!((again["added"].as_u64(), again["known"].as_u64()), (Some(0), Some(2)));
    let names = json(&at(&db, &["people", "--json"]));
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Eileen Collins", "Grace Hopper"]);
}

#[test]
fn what_the_gate_refuses_can_be_allowed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("faces");
    let dark = folder.path().join("dark.png");
    let mut pixels = Photo::open(photo("grace_hopper.jpg")).unwrap().raster().clone();
    pixels.data_mut().iter_mut().for_each(|v| *v /= 12);
    kith::media::save(&pixels, &dark).unwrap();
    let dark = dark.to_str().unwrap();
    let refused = at(&db, &["enroll", "Grace", dark, "--json"]);
    let why = json(&refused)["photos"][0]["error"]["code"].clone();
    assert_eq!(code(&refused), 2);
    assert!(why == "gate.too_dark" || why == "gate.blurred", "{why}");
    assert_eq!(code(&at(&db, &["enroll", "Grace", dark, "--allow", "light,blurred"])), 0);
    assert_eq!(code(&at(&db, &["enroll", "Grace", dark, "--allow", "everything"])), 2, "not a refusal's name");
}

#[test]
fn boxes_thresholds_and_similarities_are_printed_in_one_shape_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("faces").display().to_string();
    let (hopper, tilt) = (photo("grace_hopper.jpg"), photo("hopper_tilt.jpg"));
    kith(&["enroll", "Grace", &hopper, "--db", &db]);
    for arguments in [
        &["detect", &tilt][..],
        &["embed", &tilt],
        &["verify", &hopper, &tilt],
        &["verify", &hopper, &tilt, "--threshold", "0.3"],
        &["compare", &hopper, &tilt],
        &["identify", &tilt, "--db", &db],
        &["identify", &tilt, "--db", &db, "--threshold", "0.3"],
        &["people", "show", "Grace", "--db", &db],
        &["calibrate", "--show"],
    ] {
        let answer = kith(&[arguments, &["--json"]].concat());
        assert!(code(&answer) < 2, "{arguments:?}: {answer:?}");
        shapes::hold(&json(&answer), &arguments.join(" "));
    }
    let shown = json(&kith(&["people", "show", "Grace", "--db", &db, "--json"]));
    let found = json(&kith(&["identify", &tilt, "--db", &db, "--json"]));
    assert!(shown["faces"][0]["box"].is_object() && found["photos"][0]["faces"][0]["box"].is_object());
    assert!(found["photos"][0]["faces"][0]["threshold"].is_object());
}

#[test]
fn help_groups_the_commands_and_shows_examples_and_options_where_they_act() {
    let text = |arguments: &[&str]| String::from_utf8(kith(arguments).stdout).unwrap();
    let help = text(&["help"]);
    let at = |word: &str| help.find(word).unwrap_or_else(|| panic!("{word} is not in {help}"));
    let (photos, people, evaluation) = (at("\nPhotos:"), at("\nPeople:"), at("\nEvaluation:"));
    let (service, upkeep, options) = (at("\nService:"), at("\nUpkeep:"), at("\nOptions:"));
    assert!([photos, people, evaluation, service, upkeep, options].is_sorted());
    let between = |word: &str, from: usize, to: usize| help[from..to].contains(&format!("\n  {word} "));
    assert!(between("compare", photos, people) && between("enroll", people, evaluation));
    assert!(between("eval", evaluation, service) && between("serve", service, upkeep));
    assert!(between("backup", upkeep, options) && between("man", upkeep, options));
    assert!(help.contains("Exit codes:"));
    let (stats, verify) = (text(&["stats", "--help"]), text(&["verify", "--help"]));
    assert!(!stats.contains("--min-face") && stats.contains("--json") && verify.contains("--min-face"));
    assert!(verify.contains("Examples:\n  kith verify passport.jpg selfie.jpg"), "{verify}");

    let refused = kith(&["stats", "--model", "sface", "--json"]);
    assert_eq!(code(&refused), 2);
    let said = json(&refused)["error"]["message"].to_string();
    assert!(said.contains("--model does nothing in `kith stats`"), "{said}");
}

#[test]
fn a_word_that_is_no_command_leads_to_the_one_that_is_meant() {
    for (word, meant) in [
        ("rename", "people rename"),
        ("merge", "people merge"),
        ("label", "people label"),
        ("search", "identify"),
        ("add", "enroll"),
        ("who", "identify"),
        ("delete", "forget"),
        ("WHO", "identify"),
    ] {
        let answer = kith(&[word, "x"]);
        let said = String::from_utf8_lossy(&answer.stderr);
        assert_eq!(code(&answer), 2, "{word}");
        assert!(said.contains(&format!("`kith {meant}`")) && !said.contains("similar"), "{word}: {said}");
    }
    // One that is merely misspelled is found as before.
    let said = kith(&["comparee", "a", "b"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("'compare'"), "{said:?}");
}

#[test]
fn completions_and_the_manual_know_every_command() {
    for (shell, word) in [("bash", "_kith"), ("zsh", "#compdef kith"), ("fish", "complete -c kith")] {
        let answer = kith(&["completions", shell]);
        assert_eq!(code(&answer), 0, "{shell}");
        let script = String::from_utf8(answer.stdout).unwrap();
        assert!(script.contains(word) && script.contains("identify"), "{shell}");
    }
    assert!(json(&kith(&["completions", "bash", "--json"]))["script"].as_str().unwrap().contains("_kith"));
    let page = String::from_utf8(kith(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH kith 1") && page.contains("kith\\-enroll(1)"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let answer = json(&kith(&["man", "-o", pages.to_str().unwrap(), "--json"]));
    for name in ["kith.1", "kith-people.1", "kith-people-rename.1", "kith-man.1"] {
        assert!(pages.join(name).is_file(), "{name}: {answer}");
        assert!(answer["pages"].as_array().unwrap().iter().any(|p| p.as_str().unwrap().ends_with(name)));
    }
}
