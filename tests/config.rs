//! The service's settings: flags over environment over file, and what `kith config check` says of them.
#![cfg(all(feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Checked {
    code: i32,
    said: Value,
}

impl Checked {
    /// Value and source of a setting.
    fn of(&self, name: &str) -> (String, String) {
        let all = self.said["settings"].as_array().unwrap();
        let one = all.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no {name} in {all:?}"));
        (one["value"].as_str().unwrap_or("-").to_string(), one["source"].as_str().unwrap().to_string())
    }

    fn faults(&self) -> Vec<String> {
        let all = self.said["faults"].as_array().unwrap();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        all.iter().map(|f| format!("{}: {}", text(&f["place"]), text(&f["what"]))).collect()
    }
}

struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn kith(&self, line: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("KITH_")) {
            command.env_remove(name);
        }
        command.current_dir(self.0.path()).env("KITH_DB", self.0.path().join("faces"));
        command.args(line).envs(variables.iter().copied());
        command
    }

    fn check(&self, line: &[&str], variables: &[(&str, &str)]) -> Checked {
        let all = [&["config", "check", "--json"], line].concat();
        let output = self.kith(&all, variables).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        Checked { code: output.status.code().unwrap(), said }
    }
}

#[test]
fn flags_count_over_the_environment_over_the_file_over_the_defaults() {
    let house = House::new();
    house.put("etc/policies.toml", "[policy.door]\nliveness = false\nmax_fmr = 0.001\n");
    let file = house.put(
        "etc/kith.toml",
        "listen = \"127.0.0.1:1\"\nkeep_chips = true\npolicies = \"policies.toml\"\nmin_face = 40\n\n\
         [limits]\nworkers = 3\nqueue = 7\nwork_seconds = 9\n",
    );
    let at = |line: usize| format!("{}:{line}", file.display());
    let path = file.to_str().unwrap();
    let variables = [("KITH_LISTEN", "127.0.0.1:2"), ("KITH_MIN_FACE", "50"), ("KITH_LIMITS_QUEUE", "8")];
    let flags = ["--listen", "127.0.0.1:3", "--limit", "work_seconds=2.5"];
    let checked = house.check(&[&[path], flags.as_slice()].concat(), &variables);
    assert_eq!((checked.code, checked.faults()), (0, Vec::new()));
    let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
    assert_eq!(checked.of("listen"), pair("127.0.0.1:3", "--listen"));
    assert_eq!(checked.of("min_face"), pair("50", "$KITH_MIN_FACE"));
    assert_eq!(checked.of("keep_chips"), pair("true", &at(2)));
    // A path in a file begins at the file's folder.
    let policies = file.with_file_name("policies.toml");
    assert_eq!(checked.of("policies"), pair(policies.to_str().unwrap(), &at(3)));
    assert_eq!(checked.of("tls_cert"), pair("-", "default"));
    let limit = |name: &str| {
        let all = checked.said["settings"].as_array().unwrap();
        let one = all.iter().find(|s| s["name"] == format!("limits.{name}")).unwrap();
        (one["value"].as_str().unwrap().parse::<f64>().unwrap(), one["source"].as_str().unwrap().to_string())
    };
    assert_eq!(limit("workers"), (3.0, at(7)));
    assert_eq!(limit("queue"), (8.0, "$KITH_LIMITS_QUEUE".to_string()));
    assert_eq!(limit("work_seconds"), (2.5, "--limit".to_string()));
    assert_eq!(limit("drain_seconds").1, "default");
    // A flag takes back what the file says, and the file may come from the environment.
    let checked = house.check(&["--keep-chips=false"], &[("KITH_CONFIG", path)]);
    assert_eq!((checked.of("keep_chips"), checked.code), (pair("false", "--keep-chips"), 0));
    assert_eq!(checked.of("listen"), pair("127.0.0.1:1", &at(1)));
    // Pictures of faces are kept unless that is said.
    let nothing = house.check(&[], &[]);
    assert_eq!(nothing.of("keep_chips"), pair("true", "default"));
    let none = house.check(&["--no-thumbnails"], &[]);
    assert_eq!(none.of("no_thumbnails"), pair("true", "--no-thumbnails"));
}

#[test]
fn whatever_is_wrong_is_named_with_its_place_and_the_nearest_key() {
    let house = House::new();
    let policies = house.put("policies.toml", "[policy.door]\nliveness = false\nmax_frm = 0.001\n");
    let file = house.put(
        "kith.toml",
        "lisen = \"127.0.0.1:1\"\nlog = \"xml\"\nkeep_chips = [1]\n\n[limits]\nworkrs = 2\nqueue = \"many\"\n\
         head_seconds = 0\n",
    );
    let checked = house.check(&[file.to_str().unwrap()], &[("KITH_POLICIES", policies.to_str().unwrap())]);
    assert_eq!(checked.code, 1);
    let faults = checked.faults().join("\n");
    let shown = file.display();
    for part in [
        format!("{shown}:1: there is no setting \"lisen\"; the nearest is listen"),
        format!("{shown}:2: log is \"xml\": one of text, json is wanted"),
        format!("{shown}:3: keep_chips: text, a number, true or false is wanted"),
        format!("{shown}:6: there is no setting \"workrs\"; the nearest is workers"),
        format!("{shown}:7: queue is \"many\": invalid type"),
        "head_seconds is 0: above 0".to_string(),
        "line 3: there is no setting \"max_frm\"; the nearest is max_fmr".to_string(),
    ] {
        assert!(faults.contains(&part), "{part}\n is not in\n{faults}");
    }
    // The service says the same, and does not start.
    let output = house.kith(&["serve", "--config", file.to_str().unwrap()], &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the nearest is listen"));

    let exposed = house.check(&["--listen", "0.0.0.0:8321"], &[]);
    assert!(exposed.code == 1 && exposed.faults().join("").contains("make a key"), "{:?}", exposed.faults());
    let half = house.put("half.toml", "tls_cert = \"cert.pem\"\n");
    let half = house.check(&[half.to_str().unwrap()], &[]);
    assert!(half.code == 1 && half.faults().join("").contains("tls-key"), "{:?}", half.faults());
    let missing = house.check(&["nowhere.toml"], &[]);
    assert!(missing.code == 2 && missing.faults()[0].contains("nowhere.toml"), "{:?}", missing.faults());
    let broken = house.put("broken.toml", "\n\nlisten = \n");
    let broken = house.check(&[broken.to_str().unwrap()], &[]);
    assert!(broken.code == 2 && broken.faults()[0].contains("broken.toml:3"), "{:?}", broken.faults());
}

#[test]
fn policies_that_fit_no_model_here_are_told() {
    let house = House::new();
    let text = "[policy.door]\nliveness = false\nmax_fmr = 0.001\nmodel = \"facenet-vggface2\"\n";
    let policies = house.put("policies.toml", text);
    let checked = house.check(&["--policies", policies.to_str().unwrap()], &[]);
    let warnings = checked.said["warnings"].to_string();
    assert!(checked.code == 0 && warnings.contains("needs model facenet-vggface2"), "{warnings}");
}

#[test]
fn numbers_that_no_service_could_keep_to_are_named_before_it_starts() {
    let house = House::new();
    let with = |rule: &str| format!("[policy.door]\nliveness = false\nmax_fmr = 0.001\n{rule}\n");
    let cool = |within: &str, seconds: &str, failures: &str| {
        with(&format!("cool_down = {{ failures = {failures}, within_seconds = {within}, seconds = {seconds} }}"))
    };
    let mut texts: Vec<String> = ["inf", "1e300", "nan", "-1", "0"]
        .iter()
        .flat_map(|n| [cool(n, "60", "5"), cool("60", n, "5"), with(&format!("max_fpir = {n}"))])
        .collect();
    texts.push(cool("60", "60", "1000000"));
    for text in texts {
        let policies = house.put("policies.toml", &text);
        let checked = house.check(&["--policies", policies.to_str().unwrap()], &[]);
        assert!(checked.code == 1 && checked.faults().join("").contains("line 4: "), "{text}{:?}", checked.faults());
    }
    let checked = house.check(&["--audit-bytes", "1"], &[("KITH_MIN_FACE", "30")]);
    assert!(checked.code == 1 && checked.faults().join("").contains("audit_bytes is 1"), "{:?}", checked.faults());
    let checked = house.check(&[], &[("KITH_WAIT", "inf")]);
    assert!(checked.code == 1 && checked.faults().join("").contains("from 0 to 31536000"), "{:?}", checked.faults());
}

#[test]
fn numbers_of_the_command_are_refused_and_never_bent() {
    let house = House::new();
    let refused = |line: &[&str], part: &str| {
        let output = house.kith(line, &[]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(part), "{line:?}: {told}");
    };
    let new = |flag: &str, value: &str, part: &str| {
        refused(&["keys", "new", "door", "--role", "decide", &format!("--{flag}={value}")], part)
    };
    for days in ["99999999999999999999", "36501", "inf", "nan", "0", "-1", "1e-300"] {
        new("days", days, "at most 36500");
    }
    for rate in ["inf", "nan", "0", "-1", "1e-300", "1e300"] {
        new("rate", rate, "requests a second");
    }
    for concurrent in ["0", "18446744073709551615"] {
        new("concurrent", concurrent, "requests at once");
    }
    assert!(!house.0.path().join("faces.serve/keys.json").exists(), "a key was made");
    for line in [
        ["people", "--wait=-1"],
        ["people", "--wait=nan"],
        ["people", "--wait=inf"],
        ["people", "--threads=1000000"],
        ["people", "--max-megapixels=nan"],
        ["people", "--max-megapixels=inf"],
    ] {
        refused(&line, "is wanted");
    }
    for line in [
        ["identify", "x.jpg", "--top=0"],
        ["identify", "x.jpg", "--top=18446744073709551615"],
        ["audit", "show", "--last=18446744073709551615"],
    ] {
        refused(&line, "from 1 to 1000000");
    }
}

#[test]
fn what_a_policy_supports_and_what_there_is_is_told_before_the_service_starts() {
    let house = House::new();
    let text = "[policy.door]\nliveness = false\nmax_fpir = 0.02\n[policy.vault]\nliveness = false\nmax_fpir = 1e-6\n";
    let policies = house.put("policies.toml", text);
    let line = ["--policies", policies.to_str().unwrap()];
    let checked = house.check(&line, &[]);
    let room = |checked: &Checked, i: usize| {
        let room = &checked.said["policies"][i];
        (room["supports_faces"].as_u64(), room["has_faces"].as_u64(), room["enough"].as_bool())
    };
    assert_eq!((checked.code, room(&checked, 0)), (0, (Some(10_101), None, Some(true))), "{}", checked.said);
    assert!(checked.said["warnings"].to_string().contains("vault\\\" supports 0 faces"), "{}", checked.said);
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos/grace_hopper.jpg");
    let enrolled = house.kith(&["enroll", "Grace", photo.to_str().unwrap()], &[]).output().unwrap();
    assert!(enrolled.status.success());
    assert_eq!(room(&house.check(&line, &[]), 0), (Some(10_101), Some(1), Some(true)));
    let output = house.kith(&[&["config", "check"], &line[..]].concat(), &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("policy \"door\" supports 10101 faces, has 1 in gallery \"main\""), "{said}");
}

#[test]
fn keys_are_found_where_the_file_says() {
    let house = House::new();
    let file = house.put("kith.toml", "state = \"own\"\nlisten = \"127.0.0.1:1\"\n");
    let line = ["keys", "new", "door", "--role", "decide", "--config", file.to_str().unwrap()];
    assert!(house.kith(&line, &[]).output().unwrap().status.success());
    let state = house.0.path().join("own");
    assert!(Path::new(&state).join("keys.json").is_file());
    let lines = kith::serve::last_lines(&state, None, 10).unwrap();
    assert_eq!((lines.len(), lines[0]["action"].as_str()), (1, Some("new key")));
}

#[test]
fn keys_and_logs_that_are_not_there_do_not_pass_as_empty_ones() {
    let house = House::new();
    let said = |line: &[&str]| {
        let output = house.kith(line, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for line in [["audit", "verify"], ["audit", "show"], ["keys", "list"]] {
        let told = said(&[&line[..], &["--db", "no-such"]].concat());
        assert!(told.contains("no-such.serve") && told.contains("--db FOLDER"), "{told}");
    }
    for gallery in ["staff", "main"] {
        let refused = said(&["keys", "new", "cam", "--role", "identify", "--gallery", gallery]);
        assert!(refused.contains("--only GALLERY"), "{refused}");
    }
    assert!(house.kith(&["keys", "new", "cam", "--role", "identify"], &[]).output().unwrap().status.success());
    assert!(house.kith(&["audit", "verify"], &[]).output().unwrap().status.success());
}

#[test]
fn the_help_names_every_limit_with_its_default() {
    let output = House::new().kith(&["serve", "--help"], &[]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["body_bytes = 16777216", "work_seconds = 30", "key_rate (none)", "connections = 2048"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
