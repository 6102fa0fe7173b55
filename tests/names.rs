//! Names as people and systems have them: every command with file names and names of people that are not UTF-8, not
//! composed, written from right to left, as long as can be, or of two lines.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(all(unix, feature = "cli", feature = "embedded-weights"))]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn photo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name)
}

fn kith(home: &Path, words: &[&OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.args(words).current_dir(home).env("XDG_DATA_HOME", home.join("data"));
    command.env_remove("KITH_WEIGHTS").env_remove("KITH_KEY").env_remove("KITH_DB").output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command with `--json`; its answer, and its exit code, which is no more than 2.
#[track_caller]
fn answered(home: &Path, words: &[&OsStr]) -> (i32, Value) {
    let output = kith(home, &[words, &[OsStr::new("--json")]].concat());
    let code = output.status.code().unwrap_or(999);
    assert!(code <= 2 && !said(&output).contains("panicked"), "{words:?}: {code}: {}", said(&output));
    let text = std::str::from_utf8(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", said(&output)));
    let value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{words:?}: {e}: {}", said(&output)));
    (code, value)
}

/// The name with something after it, no longer than a file's may be.
fn with(name: &OsStr, end: &str) -> OsString {
    let mut bytes = name.as_bytes().to_vec();
    bytes.truncate(255 - end.len());
    bytes.extend(end.as_bytes());
    OsString::from_vec(bytes)
}

const MIRRORED: &[u8] = "\u{5d3}\u{5d5}\u{5d3} \u{5d1}\u{5df}".as_bytes();

/// What a name is, its bytes, and whether a person can have it.
fn names() -> Vec<(&'static str, OsString, bool)> {
    let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    vec![
        ("not UTF-8", name(b"Jos\xe9 \xff\xc3"), true),
        ("NFD", name("Jose\u{301} Nu\u{308}n\u{303}ez".as_bytes()), true),
        ("right to left", name(MIRRORED), true),
        ("255 bytes", name(&[b'a'; 255]), false),
        ("with a newline", name(b"Ada\nLovelace"), false),
        ("turned", name("Ada\u{202e}ecalevoL".as_bytes()), false),
    ]
}

#[test]
fn every_command_takes_every_name_or_says_why_not() {
    for (what, name, usable) in names() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let o = OsStr::new;
        let (jpg, other) = (with(&name, ".jpg"), with(&name, " 2.png"));
        std::fs::copy(photo("grace_hopper.jpg"), home.join(&jpg)).unwrap();
        std::fs::copy(photo("astronaut.png"), home.join(&other)).unwrap();
        let people = home.join(with(&name, ".people"));
        for (file, person) in [("grace_hopper.jpg", name.clone()), ("astronaut.png", with(&name, ".2"))] {
            std::fs::create_dir_all(people.join(&person)).unwrap();
            std::fs::copy(photo(file), people.join(&person).join(&jpg)).unwrap();
        }
        let db = with(&name, ".db");
        let at = |words: &[&OsStr]| answered(home, &[words, &[o("--db"), &db]].concat());

        let (code, compared) = answered(home, &[o("compare"), &jpg, &other, o("-o"), &with(&name, ".c.png")]);
        // A picture is written beside its place first, under a longer name.
        assert!(code == 1 || (code == 2 && name.len() > 200), "{what}: {compared}");
        answered(home, &[o("verify"), &jpg, &jpg]);
        let (_, found) = answered(home, &[o("detect"), &jpg, &other, o("-o"), &with(&name, ".out")]);
        assert_eq!(found["photos"].as_array().unwrap().len(), 2, "{what}");
        answered(home, &[o("embed"), &jpg, o("-o"), &with(&name, ".npy")]);
        answered(home, &[o("embed"), &with(&name, ".missing")]);

        let label = with(&name, "=1");
        let (code, enrolled) = at(&[o("enroll"), &name, &jpg, o("--group"), &name, o("--label"), &label]);
        assert_eq!(code == 0, usable, "{what}: {enrolled}");
        let (code, again) = at(&[o("enroll"), o("--dir"), people.as_os_str(), o("--gallery"), &with(&name, ".g")]);
        assert_eq!(code == 0, usable, "{what}: {again}");
        if usable {
            let (_, listed) = at(&[o("people"), o("--gallery"), &with(&name, ".g")]);
            assert_eq!(listed.as_array().unwrap().len(), 2, "{what}: {listed}");
            let (code, found) = at(&[o("identify"), &jpg, o("-o"), &with(&name, ".who.png")]);
            assert_eq!(code, 0, "{what}: {found}");
            assert_eq!(at(&[o("people"), o("show"), &name]).0, 0, "{what}");
            assert_eq!(at(&[o("enroll"), o("Second"), &other]).0, 0, "{what}");
            assert_eq!(at(&[o("people"), o("rename"), o("Second"), &with(&name, " the other")]).0, 0, "{what}");
            assert_eq!(at(&[o("people"), o("merge"), &with(&name, " the other"), &name]).0, 2, "{what}: not alike");
            assert_eq!(at(&[o("people"), o("merge"), &with(&name, " the other"), &name, o("--yes")]).0, 0, "{what}");
            assert_eq!(at(&[o("people"), o("split"), &name]).0, 0, "{what}");
            let change = [o("people"), o("label"), &name, o("--join"), &name, o("--leave"), &name];
            assert_eq!(at(&[&change[..], &[o("--set"), &label, o("--unset"), &name]].concat()).0, 0, "{what}");
        } else {
            at(&[o("people"), o("show"), &name]);
            at(&[o("people"), o("rename"), &name, &name]);
            at(&[o("people"), o("merge"), &name, &name]);
            at(&[o("people"), o("split"), &name, &name, o("--called"), &name]);
            at(&[o("people"), o("label"), &name, o("--join"), &name]);
            assert_eq!(at(&[o("enroll"), o("Grace"), &jpg]).0, 0, "{what}: the file's name is nobody's");
        }
        for words in [&["stats"][..], &["check"], &["reindex"], &["people"]] {
            assert_eq!(at(&words.iter().map(|word| o(word)).collect::<Vec<_>>()).0, 0, "{what}: {words:?}");
        }
        let (code, found) = at(&[o("people"), o("--group"), &name, o("--label"), &label]);
        assert!(code == 0 && found.is_array(), "{what}: {found}");
        let (bak, out) = (with(&name, ".bak"), with(&name, ".export"));
        at(&[o("backup"), &bak]);
        answered(home, &[o("restore"), &bak, o("--db"), &with(&name, ".again")]);
        at(&[o("export"), &out]);
        at(&[o("import"), &out, o("--gallery"), o("third")]);
        at(&[o("reembed"), o("--photos"), people.as_os_str()]);
        at(&[o("forget"), &name]);
        at(&[o("forget"), &name, o("--gallery"), &name]);
        let key = with(&name, ".key");
        answered(home, &[o("key"), o("new"), &key]);
        at(&[o("rekey"), o("--new-key-file"), &key]);
        at(&[o("check"), o("--repair"), o("--key-file"), &key]);

        answered(home, &[o("eval"), o("pairs"), people.as_os_str(), o("--html"), &with(&name, ".html")]);
        answered(home, &[o("eval"), o("identify"), people.as_os_str()]);
        answered(home, &[o("eval"), o("detect"), o("--boxes"), &with(&name, ".boxes")]);
        answered(home, &[o("calibrate"), people.as_os_str(), o("-o"), &with(&name, ".json")]);
        answered(home, &[o("train"), o("eigenfaces"), people.as_os_str(), o("-o"), &with(&name, ".safetensors")]);
        answered(home, &[o("weights"), o("list"), o("--weights"), &name]);
        answered(home, &[o("weights"), o("import"), &jpg, o("-o"), &with(&name, ".w")]);
        answered(home, &[o("weights"), o("pull"), &name]);
        answered(home, &[o("verify"), &jpg, &jpg, o("--calibration"), &name, o("--model"), &name]);
        if cfg!(feature = "serve") {
            let state = [o("--state"), &name];
            answered(home, &[&[o("keys"), o("new"), o("door"), o("--role"), o("read")], &state[..]].concat());
            answered(home, &[&[o("keys"), o("list")], &state[..]].concat());
            answered(home, &[&[o("keys"), o("revoke"), &name], &state[..]].concat());
            answered(home, &[&[o("audit"), o("verify")], &state[..]].concat());
            answered(home, &[o("config"), o("check"), &name]);
        }
    }
}

#[test]
fn two_names_of_bytes_are_two_people_and_a_spelling_of_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (home, o) = (folder.path(), OsStr::new);
    let people = home.join("people");
    let persons: [(&[u8], &str); 2] = [(b"Jos\xe9", "grace_hopper.jpg"), (b"Jos\xe8", "astronaut.png")];
    for (name, file) in persons {
        let person = people.join(OsStr::from_bytes(name));
        std::fs::create_dir_all(&person).unwrap();
        std::fs::copy(photo(file), person.join("1.jpg")).unwrap();
    }
    let db = [o("--db"), o("faces")];
    let (code, done) = answered(home, &[&[o("enroll"), o("--dir"), people.as_os_str()], &db[..]].concat());
    assert_eq!((code, done["added"].as_u64()), (0, Some(2)), "{done}");
    let (_, listed) = answered(home, &[&[o("people")], &db[..]].concat());
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Jos\\xE8", "Jos\\xE9"]);
    // By the folder's bytes, and by what is listed.
    for name in [OsStr::from_bytes(b"Jos\xe9"), o("Jos\\xE9")] {
        let (code, shown) = answered(home, &[&[o("people"), o("show"), name], &db[..]].concat());
        assert_eq!((code, shown["person"]["name"].as_str()), (0, Some("Jos\\xE9")), "{shown}");
        assert!(shown["faces"][0]["source"].as_str().unwrap().contains("Jos\\xE9"), "{shown}");
    }
    let said = said(&kith(home, &[&[o("enroll"), o("--dir"), people.as_os_str()], &db[..]].concat()));
    assert!(said.contains("not UTF-8") && said.contains("Jos\\xE9"), "{said}");

    // And the same name composed and apart is one.
    let one = answered(home, &[&[o("people"), o("rename"), o("Jos\\xE9"), o("Jos\u{e9}")], &db[..]].concat());
    assert_eq!(one.0, 0, "{}", one.1);
    let jpg = photo("grace_hopper.jpg");
    let words = [o("enroll"), o("Jose\u{301}"), jpg.as_os_str()];
    let (code, again) = answered(home, &[&words[..], &db[..]].concat());
    assert_eq!((code, again["known"].as_u64()), (0, Some(1)), "{again}");
}

#[test]
fn faces_of_different_people_do_not_come_under_one_name_unsaid() {
    let folder = tempfile::tempdir().unwrap();
    let (home, o) = (folder.path(), OsStr::new);
    let db = [o("--db"), o("faces")];
    let (hopper, eileen) = (photo("grace_hopper.jpg"), photo("astronaut.png"));
    let team = [o("enroll"), o("Team"), hopper.as_os_str(), eileen.as_os_str()];
    let (code, done) = answered(home, &[&team[..], &db[..]].concat());
    assert_eq!((code, done["added"].as_u64(), done["refused"].as_u64()), (2, Some(1), Some(1)), "{done}");
    let refused = &done["photos"][1]["error"];
    assert_eq!(refused["code"], "gate.different_person", "{done}");
    assert!(refused["message"].as_str().unwrap().contains("--allow different"), "{done}");
    // Two photos of one person are taken, and so is everything where that is asked for.
    let tilt = photo("hopper_tilt.jpg");
    let (code, done) = answered(home, &[&[o("enroll"), o("Team"), tilt.as_os_str()], &db[..]].concat());
    assert_eq!((code, done["added"].as_u64()), (0, Some(1)), "{done}");
    let allowed = [o("--allow"), o("different")];
    let (code, done) = answered(home, &[&team[..], &allowed, &db].concat());
    assert_eq!((code, done["added"].as_u64(), done["known"].as_u64()), (0, Some(1), Some(1)), "{done}");

    // A folder of files: numbers of employees are names, numbers of cameras and dates are nobody's.
    let files = home.join("files");
    std::fs::create_dir(&files).unwrap();
    for (name, file) in [
        ("EMP-1001.jpg", &hopper),
        ("EMP-1002.jpg", &eileen),
        ("IMG_1234.jpg", &hopper),
        ("2024-05-01 12.00.jpg", &eileen),
        ("Grace_0001.jpg", &hopper),
        ("Grace_0002.jpg", &eileen),
    ] {
        std::fs::copy(file, files.join(name)).unwrap();
    }
    let other = [o("--db"), o("others"), o("--allow"), o("duplicate")];
    let (code, done) = answered(home, &[&[o("enroll"), o("--dir"), files.as_os_str()], &other[..]].concat());
    assert_eq!(code, 2);
    let passed: Vec<&str> =
        done["passed_over"].as_array().unwrap().iter().map(|p| p["path"].as_str().unwrap()).collect();
    assert!(passed.len() == 2 && passed[0].ends_with("12.00.jpg") && passed[1].ends_with("IMG_1234.jpg"), "{done}");
    assert_eq!((done["added"].as_u64(), done["refused"].as_u64()), (Some(3), Some(1)), "{done}");
    let (_, listed) = answered(home, &[o("people"), o("--db"), o("others")]);
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["EMP-1001", "EMP-1002", "Grace"]);
    let shown = said(&kith(home, &[&[o("enroll"), o("--dir"), files.as_os_str()], &other[..]].concat()));
    assert!(shown.contains("2 passed over") && shown.contains("kith enroll NAME IMG..."), "{shown}");
}

#[test]
fn groups_and_labels_reach_a_person_whose_photo_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (home, o) = (folder.path(), OsStr::new);
    let hopper = photo("grace_hopper.jpg");
    let people = home.join("people/Grace");
    std::fs::create_dir_all(&people).unwrap();
    std::fs::copy(&hopper, people.join("1.jpg")).unwrap();
    let dir = home.join("people");
    let enrolled = |ways: &[&OsStr]| answered(home, &[&[o("enroll")], ways, &[o("--db"), o("faces")]].concat());
    assert_eq!(enrolled(&[o("Grace"), hopper.as_os_str()]).0, 0);
    let (code, known) = enrolled(&[o("grace"), hopper.as_os_str(), o("--group"), o("navy"), o("--label"), o("door=3")]);
    assert_eq!((code, known["known"].as_u64()), (0, Some(1)), "{known}");
    let (_, more) = enrolled(&[o("--dir"), dir.as_os_str(), o("--group"), o("staff"), o("--label"), o("door=4")]);
    assert_eq!(more["known"].as_u64(), Some(1), "{more}");
    let (_, listed) = answered(home, &[o("people"), o("--db"), o("faces")]);
    assert_eq!(listed[0]["groups"], serde_json::json!(["navy", "staff"]));
    assert_eq!(listed[0]["labels"], serde_json::json!({ "door": "4" }));
}

#[test]
fn what_is_said_is_what_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let (home, o) = (folder.path(), OsStr::new);
    let (hopper, tilt) = (photo("grace_hopper.jpg"), photo("hopper_tilt.jpg"));
    let verify = [o("verify"), hopper.as_os_str(), tilt.as_os_str(), o("--max-fmr")];
    for rate in ["0.1%", "1/1000"] {
        let (code, verdict) = answered(home, &[&verify[..], &[o(rate)]].concat());
        assert_eq!((code, verdict["threshold"]["fmr"].as_f64()), (0, Some(1e-3)), "{rate}: {verdict}");
    }
    let (code, wrong) = answered(home, &[&verify[..], &[o("often")]].concat());
    assert_eq!((code, wrong["error"]["code"].as_str()), (2, Some("arguments")), "{wrong}");
    assert!(wrong["error"]["message"].as_str().unwrap().contains("0.1%"), "{wrong}");

    // A database that is there is not said to be none.
    let db = [o("--db"), o("faces")];
    answered(home, &[&[o("enroll"), o("Grace"), hopper.as_os_str()], &db[..]].concat());
    answered(home, &[&[o("backup"), o("all.bak")], &db[..]].concat());
    let (code, taken) = answered(home, &[&[o("restore"), o("all.bak")], &db[..]].concat());
    assert_eq!((code, taken["error"]["code"].as_str()), (2, Some("store.taken")), "{taken}");
    assert!(!taken["error"]["message"].as_str().unwrap().contains("not a kith database"), "{taken}");
    let (_, other) = answered(home, &[&[o("enroll"), o("Somebody"), tilt.as_os_str()], &db[..]].concat());
    let message = other["photos"][0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("takes this face for \"Grace\", another person"), "{message}");

    // A picture of another kind is named by its kind, whatever the file is called.
    std::fs::write(home.join("x.jpg"), b"\0\0\0\x18ftypcrx \0\0\0\0crx isom").unwrap();
    let (code, raw) = answered(home, &[o("detect"), o("x.jpg")]);
    assert_eq!((code, raw["photos"][0]["error"]["code"].as_str()), (2, Some("photo.foreign_format")), "{raw}");
    assert!(raw["photos"][0]["error"]["message"].as_str().unwrap().contains("this is a raw photo (CR3)"), "{raw}");
}
