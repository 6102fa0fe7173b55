//! Keys, exports and changes of model, as a user runs them.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(feature = "cli")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn photo(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name).display().to_string()
}

fn command(db: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.args(arguments).env("KITH_DB", db).env("XDG_DATA_HOME", "/nonexistent");
    command.env_remove("KITH_WEIGHTS").env_remove("KITH_KEY");
    command
}

fn at(db: &Path, arguments: &[&str]) -> Output {
    command(db, arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_key_comes_from_a_file_a_command_or_the_environment_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at_path = |name: &str| -> PathBuf { folder.path().join(name) };
    let (db, key, other) = (at_path("faces"), at_path("key"), at_path("other"));
    for file in [&key, &other] {
        assert_eq!(code(&at(&db, &["key", "new", text(file)])), 0);
    }
    let secret = std::fs::read_to_string(&key).unwrap();
    let secret = secret.trim();
    assert_eq!(secret.len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = at(&db, &["key", "new", text(&key)]);
    assert_eq!(code(&again), 2, "a key is never written over");
    assert_eq!(std::fs::read_to_string(&key).unwrap().trim(), secret);

    let hopper = photo("grace_hopper.jpg");
    let enrolled = at(&db, &["enroll", "Grace Hopper", &hopper, "--key-file", text(&key), "--keep-chips", "--json"]);
    assert_eq!(code(&enrolled), 0, "{}", said(&enrolled));
    let tilt = photo("hopper_tilt.jpg");
    let printed = format!("cat '{}'", key.display());
    let mut answers = vec![
        at(&db, &["identify", &tilt, "--key-file", text(&key)]),
        at(&db, &["identify", &tilt, "--key-command", &printed]),
        command(&db, &["identify", &tilt]).env("KITH_KEY", secret).output().unwrap(),
    ];
    for answer in &answers {
        assert_eq!(code(answer), 0, "{}", said(answer));
        assert!(said(answer).contains("Grace Hopper"));
    }
    let stats = at(&db, &["stats", "--json", "--key-file", text(&key)]);
    assert_eq!(json(&stats)["encrypted"], true);

    let bad = format!("{}x", &secret[1..]);
    for (arguments, environment, wanted) in [
        (vec!["stats", "--json"], None, "store.key_needed"),
        (vec!["stats", "--json", "--key-file", text(&other)], None, "store.wrong_key"),
        (vec!["stats", "--json"], Some(bad.as_str()), "store.bad_key"),
        (vec!["stats", "--json", "--key-command", "exit 3"], None, "failed"),
        (vec!["stats", "--json", "--key-command", "echo nothing of use"], None, "store.bad_key"),
        (vec!["stats", "--json", "--key-file", "/no/such/key"], None, "failed"),
    ] {
        let mut asked = command(&db, &arguments);
        if let Some(key) = environment {
            asked.env("KITH_KEY", key);
        }
        let answer = asked.output().unwrap();
        assert_eq!((code(&answer), json(&answer)["error"]["code"].as_str()), (2, Some(wanted)), "{}", said(&answer));
        assert!(!said(&answer).contains(&bad));
        answers.push(answer);
    }
    let plain = at_path("plain");
    assert_eq!(code(&at(&plain, &["enroll", "Grace", &hopper])), 0);
    let needless = at(&plain, &["stats", "--json", "--key-file", text(&key)]);
    assert_eq!(json(&needless)["error"]["code"], "store.not_encrypted");
    answers.push(needless);
    for answer in &answers {
        assert!(!said(answer).contains(&secret[..16]), "a key is never printed");
    }

    // Another key, then none, then one again.
    let rekeyed = at(&db, &["rekey", "--key-file", text(&key), "--new-key-file", text(&other), "--json"]);
    assert_eq!((code(&rekeyed), &json(&rekeyed)["encrypted"]), (0, &Value::from(true)));
    assert_eq!(json(&at(&db, &["stats", "--json", "--key-file", text(&key)]))["error"]["code"], "store.wrong_key");
    assert_eq!(code(&at(&db, &["identify", &tilt, "--key-file", text(&other)])), 0);
    assert_eq!(code(&at(&plain, &["rekey", "--new-key-file", text(&key)])), 0);
    assert_eq!(code(&at(&plain, &["identify", &tilt, "--key-file", text(&key)])), 0);
    assert_eq!(code(&at(&plain, &["rekey", "--key-file", text(&key), "--plain"])), 0);
    assert_eq!(code(&at(&plain, &["identify", &tilt])), 0);
}

#[test]
fn a_backup_takes_the_place_of_nothing_but_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let at_path = |name: &str| folder.path().join(name);
    let (db, key, bak, ring) = (at_path("faces"), at_path("key"), at_path("faces.bak"), at_path("ring"));
    assert_eq!(code(&at(&db, &["key", "new", text(&key)])), 0);
    let keyed = |arguments: &[&str]| at(&db, &[arguments, &["--key-file", text(&key)]].concat());
    assert_eq!(code(&keyed(&["enroll", "Grace Hopper", &photo("grace_hopper.jpg")])), 0);
    let before = std::fs::read(&key).unwrap();
    let (inside, journal) = (db.join("faces.bak"), db.join("journal-1"));
    for (file, ring) in [(&bak, &key), (&bak, &bak), (&bak, &journal), (&inside, &ring), (&journal, &ring)] {
        let refused = keyed(&["backup", text(file), "--ring", text(ring), "--force"]);
        assert!(code(&refused) == 2 && said(&refused).contains("nothing was written"), "{}", said(&refused));
    }
    assert_eq!(std::fs::read(&key).unwrap(), before);
    assert!(!bak.exists() && !inside.exists());
    // Its own older copy gives way.
    for force in [&[][..], &["--force"]] {
        let arguments = [&["backup", text(&bak), "--ring", text(&ring)], force].concat();
        assert_eq!(code(&keyed(&arguments)), 0);
    }
    assert_eq!(code(&keyed(&["check"])), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (db, state) = (folder.path().join("faces"), folder.path().join("state"));
    assert_eq!(code(&at(&db, &["enroll", "Grace Hopper", &photo("grace_hopper.jpg")])), 0);
    let full = |arguments: &[&str]| {
        let device = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        command(&db, arguments).stdout(device).output().unwrap()
    };
    for arguments in [&["people", "--json"][..], &["people"], &["stats", "--json"]] {
        let failed = full(arguments);
        assert!(code(&failed) == 2 && said(&failed).contains("could not be written"), "{}", said(&failed));
    }
    #[cfg(feature = "serve")]
    {
        let made = full(&["keys", "new", "t", "--role", "read", "--state", text(&state)]);
        assert!(code(&made) == 2 && said(&made).contains("revoked"), "{}", said(&made));
        let listed = json(&at(&db, &["keys", "list", "--state", text(&state), "--json"]));
        assert!(listed[0]["revoked_ms"].is_u64(), "{listed}");
    }
}

#[test]
fn who_is_forgotten_does_not_come_back_from_an_encrypted_backup() {
    let folder = tempfile::tempdir().unwrap();
    let at_path = |name: &str| folder.path().join(name);
    let (db, key, bak, ring) = (at_path("faces"), at_path("key"), at_path("faces.bak"), at_path("ring"));
    assert_eq!(code(&at(&db, &["key", "new", text(&key)])), 0);
    let keyed = |db: &Path, arguments: &[&str]| at(db, &[arguments, &["--key-file", text(&key)]].concat());
    for (name, file) in [("Grace Hopper", "grace_hopper.jpg"), ("Eileen Collins", "astronaut.png")] {
        assert_eq!(code(&keyed(&db, &["enroll", name, &photo(file)])), 0);
    }
    let backup = keyed(&db, &["backup", text(&bak)]);
    assert!(said(&backup).contains("--ring"), "{}", said(&backup));
    assert_eq!(code(&keyed(&db, &["forget", "Grace Hopper"])), 0);
    assert_eq!(code(&keyed(&db, &["backup", text(&at_path("later.bak")), "--ring", text(&ring)])), 0);
    let restored = at_path("restored");
    assert_eq!(code(&keyed(&restored, &["restore", text(&bak)])), 2, "the ring is wanted");
    let done = keyed(&restored, &["restore", text(&bak), "--ring", text(&ring)]);
    assert_eq!(code(&done), 0, "{}", said(&done));
    assert!(said(&done).contains("2 records are of people forgotten since"), "{}", said(&done));
    assert_eq!(code(&keyed(&restored, &["identify", &photo("hopper_tilt.jpg")])), 1);
    assert_eq!(code(&keyed(&restored, &["identify", &photo("astronaut.png")])), 0);
    assert_eq!(code(&keyed(&restored, &["check"])), 0);
}

#[test]
fn a_gallery_is_exported_imported_and_embedded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let at_path = |name: &str| folder.path().join(name);
    let (db, out, again) = (at_path("faces"), at_path("out"), at_path("again"));
    let (hopper, tilt) = (photo("grace_hopper.jpg"), photo("hopper_tilt.jpg"));
    let moved = at_path("moved.png");
    std::fs::copy(photo("astronaut.png"), &moved).unwrap();
    assert_eq!(code(&at(&db, &["enroll", "Grace Hopper", &hopper, "--keep-chips", "--group", "navy"])), 0);
    assert_eq!(code(&at(&db, &["enroll", "Eileen Collins", text(&moved)])), 0);
    let exported = at(&db, &["export", text(&out), "--chips", "--json"]);
    assert_eq!((code(&exported), &json(&exported)["exported"]["faces"]), (0, &Value::from(2)), "{}", said(&exported));
    assert_eq!(code(&at(&db, &["export", text(&out)])), 2, "nothing is written over");
    let imported = at(&again, &["import", text(&out), "--json"]);
    assert_eq!((code(&imported), &json(&imported)["imported"]["added"]), (0, &Value::from(2)), "{}", said(&imported));
    assert_eq!(code(&at(&again, &["identify", &tilt, "--group", "navy"])), 0);
    assert_eq!(code(&at(&again, &["import", text(at_path("nothing").as_path())])), 2);
    // An import that fails leaves no database behind, whatever it fails at.
    let (broken, new) = (at_path("broken"), at_path("new"));
    std::fs::create_dir_all(broken.join("chips")).unwrap();
    for part in ["gallery.jsonl", "vectors.npy", "chips/0.png"] {
        std::fs::copy(out.join(part), broken.join(part)).unwrap();
    }
    for folder in [&at_path("nothing"), &broken] {
        let failed = at(&new, &["import", text(folder)]);
        assert!(code(&failed) == 2 && said(&failed).contains("not a whole kith export"), "{}", said(&failed));
        assert!(!new.exists(), "{} left a database behind", folder.display());
    }

    // The same network with one number moved: another model, whose chips are cut the same way.
    let weights = at_path("weights");
    std::fs::create_dir(&weights).unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/dlib-resnet.safetensors");
    let mut bytes = std::fs::read(own).unwrap();
    let last = bytes.len() - 1;
    bytes[last - 1] ^= 1;
    let moved_weights = at_path("moved.safetensors");
    std::fs::write(&moved_weights, bytes).unwrap();
    let twin = weights.join("twin.safetensors");
    let made =
        at(&db, &["weights", "import", text(&moved_weights), "--architecture", "dlib-resnet", "-o", text(&twin)]);
    assert_eq!(code(&made), 0, "{}", said(&made));
    let twin = |arguments: &[&str]| at(&db, &[arguments, &["--model", "twin", "--weights", text(&weights)]].concat());
    assert_eq!(
        json(&twin(&["identify", &tilt, "--threshold", "0.5", "--json"]))["photos"][0]["error"]["code"],
        "gallery.wrong_model"
    );

    // One face has its chip; the other's photo is gone from where it was.
    std::fs::rename(&moved, at_path("elsewhere.png")).unwrap();
    let refused = twin(&["reembed", "--json"]);
    assert_eq!(
        (code(&refused), &json(&refused)["error"]["code"]),
        (2, &Value::from("gallery.not_reembedded")),
        "{}",
        said(&refused)
    );
    assert!(said(&refused).contains("1 faces") && said(&refused).contains("--photos"), "{}", said(&refused));
    assert_eq!(code(&at(&db, &["identify", &tilt])), 0, "the gallery answers as before");
    assert_eq!(code(&at(&db, &["check"])), 0);
    let done = twin(&["reembed", "--photos", text(folder.path()), "--json"]);
    let object = json(&done)["reembedded"].clone();
    assert_eq!(code(&done), 0, "{}", said(&done));
    assert_eq!((object["before"].as_u64(), object["from_photos"].as_u64()), (Some(1), Some(1)), "{object}");
    assert_eq!(code(&twin(&["identify", &tilt, "--threshold", "0.5"])), 0);
    assert_eq!(code(&at(&db, &["check"])), 0);
    assert_eq!(json(&at(&db, &["identify", &tilt, "--json"]))["photos"][0]["error"]["code"], "gallery.wrong_model");
    let shown = at(&db, &["people", "show", "Grace Hopper", "--json"]);
    assert_eq!(json(&shown)["faces"][0]["chip"], true);
    let nothing = twin(&["reembed", "--json"]);
    assert_eq!((code(&nothing), &json(&nothing)["reembedded"]["from_chips"]), (0, &Value::from(0)));
}
