//! Every command that holds a database, beside a running `kith serve`: the same answers as without it.
#![cfg(all(unix, feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/require.rs"]
mod require;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kith::{Database, DatabaseOptions};
use serde_json::Value;

fn photo(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name).display().to_string()
}

/// A command about the database `faces` in a folder, which is where it is run.
fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
    command.args(arguments).current_dir(home).env("KITH_DB", "faces").env("XDG_DATA_HOME", "/nonexistent");
    command.env_remove("KITH_WEIGHTS").env_remove("KITH_KEY");
    command
}

fn at(home: &Path, arguments: &[&str]) -> Output {
    command(home, arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {}", said(output)))
}

#[track_caller]
fn done(output: Output) -> Output {
    assert_eq!(code(&output), 0, "{}", said(&output));
    output
}

/// A running service over the database `faces` in a folder.
struct Service {
    process: Child,
    address: String,
    home: PathBuf,
}

impl Service {
    fn begin(home: &Path, arguments: &[&str]) -> Self {
        // Named otherwise than the commands name it, and started elsewhere.
        let mut process = Command::new(env!("CARGO_BIN_EXE_kith"))
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(home.join("faces"))
            .args(arguments)
            .env("XDG_DATA_HOME", "/nonexistent")
            .env_remove("KITH_KEY")
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(home.join("serve.log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = std::fs::read_to_string(home.join("serve.log")).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("it did not start: {log}"));
        Self { address: address.to_string(), process, home: home.to_path_buf() }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("serve.log")).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.home.join("faces/SOCKET")
    }

    /// Status of an answer to a photo.
    fn post(&self, path: &str, photo: &str) -> u16 {
        let body = std::fs::read(photo).unwrap();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: image/jpeg\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{text:?}"))
    }

    /// Ends it as a service manager does.
    fn stop(mut self) {
        done(Command::new("kill").arg(self.process.id().to_string()).output().unwrap());
        assert!(self.process.wait().unwrap().success(), "{}", self.log());
        assert!(!self.socket().exists(), "a service that stops takes its socket away");
    }

    /// Ends it as a power cut does.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder of people, as `kith enroll --dir` takes it.
fn people(into: &Path) {
    for (person, photos) in [
        ("Grace_Hopper", &["grace_hopper.jpg", "hopper_tilt.jpg"][..]),
        ("Eileen_Collins", &["astronaut.png"]),
        ("Nobody", &["no_face.jpg"]),
    ] {
        let folder = into.join(person);
        std::fs::create_dir_all(&folder).unwrap();
        for name in photos {
            std::fs::copy(photo(name), folder.join(name)).unwrap();
        }
    }
}

fn copy(from: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, into) = (entry.as_ref().unwrap().path(), into.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &into);
        } else {
            std::fs::copy(&from, &into).unwrap();
        }
    }
}

/// What two runs may differ in: when things were enrolled.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "created_ms" | "enrolled_ms" => *field = Value::from(0),
                    _ => without_times(field),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Exit code, standard output and standard error.
fn seen(output: &Output) -> (i32, Value, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // sled lays its files out otherwise when it was opened once and not for each command.
    let on_disk =
        text.split_once(" writes, ").and_then(|(before, after)| Some((before, after.split_once(" MB on disk")?.1)));
    let text = on_disk.map_or(text.clone(), |(before, after)| format!("{before} writes{after}"));
    let mut shown = serde_json::from_str(&text).unwrap_or(Value::String(text));
    without_times(&mut shown);
    if shown.get("writes").is_some() {
        shown["bytes"] = Value::from(0);
        // What a table has reserved depends on how it grew.
        for gallery in shown["galleries"].as_array_mut().unwrap() {
            gallery["index"]["bytes"] = Value::from(0);
        }
    }
    (code(output), shown, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A model that is the default one but for a bit of one weight: its chips are cut alike.
fn twin(home: &Path) {
    let weights = home.join("weights");
    std::fs::create_dir_all(&weights).unwrap();
    let mut bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/dlib-resnet.safetensors")).unwrap();
    let last = bytes.len() - 1;
    bytes[last - 1] ^= 1;
    std::fs::write(home.join("moved.safetensors"), bytes).unwrap();
    let into = weights.join("twin.safetensors");
    let words =
        ["weights", "import", "moved.safetensors", "--architecture", "dlib-resnet", "-o", into.to_str().unwrap()];
    done(at(home, &words));
}

#[test]
fn every_command_answers_beside_the_service_as_it_does_without() {
    let folder = tempfile::tempdir().unwrap();
    let (alone, beside) = (folder.path().join("alone"), folder.path().join("beside"));
    std::fs::create_dir(&alone).unwrap();
    people(&alone.join("people"));
    twin(&alone);
    done(at(&alone, &["enroll", "Mary", &photo("two_faces.jpg"), "--largest", "--keep-chips", "--gallery", "first"]));
    copy(&alone, &beside);
    let service = Service::begin(&beside, &[]);
    assert!(std::fs::symlink_metadata(service.socket()).unwrap().file_type().is_socket());
    assert_eq!(std::fs::symlink_metadata(service.socket()).unwrap().permissions().mode() & 0o777, 0o600);

    let [hopper, tilt, astronaut, none, progressive] =
        ["grace_hopper.jpg", "hopper_tilt.jpg", "astronaut.png", "no_face.jpg", "astronaut_progressive.jpg"].map(photo);
    let anew = ["reembed", "--model", "twin", "--weights", "weights", "--photos", "people", "--leave-out"];
    let commands: &[&[&str]] = &[
        &["enroll", "Grace Hopper", &hopper, "--keep-chips", "--group", "navy", "--label", "door=3"],
        &["enroll", "Grace Hopper", &hopper],
        &["enroll", "Somebody Else", &tilt],
        &["enroll", "Nobody", &none],
        &["enroll", "Nobody", "no/such.jpg"],
        &["enroll", "--dir", "people", "--resume"],
        &["enroll", "Eileen Collins", &progressive, "--allow", "duplicate", "--gallery", "second", "--store", "f16"],
        &["identify", &tilt, &astronaut, "--top", "2"],
        &["identify", &tilt, "--by", "mean", "--max-fmr", "0.0001"],
        &["identify", &tilt, "--index", "exact", "--group", "navy"],
        &["identify", &tilt, "--index", "hnsw"],
        &["identify", &tilt, "--index", "graph"],
        &["identify", &astronaut, "--label", "door=3", "--threshold", "0.4"],
        &["identify", &none],
        &["identify", &tilt, "--gallery", "nowhere"],
        &["identify", &tilt, "--output", "named.png"],
        &["people"],
        &["people", "--group", "navy"],
        &["people", "show", "Grace Hopper"],
        &["people", "show", "Nobody"],
        &["people", "rename", "Eileen Collins", "Eileen"],
        &["people", "rename", "Eileen", "Grace Hopper"],
        &["people", "label", "Eileen", "--join", "navy", "--set", "floor=2"],
        &["people", "label", "Eileen", "--join", " "],
        &["stats"],
        &["check"],
        &["reindex", "--index", "graph"],
        &["reindex"],
        &["backup", "all.bak"],
        &["backup", "no/such/folder/all.bak"],
        &["backup", "all.bak"],
        &["backup", "all.bak", "--force", "--ring", "ring"],
        &["export", "out", "--chips"],
        &["export", "out"],
        &["import", "out", "--gallery", "third"],
        &["import", "out", "--gallery", "third"],
        &["import", "people", "--gallery", "third"],
        &["people", "merge", "Eileen", "Grace Hopper"],
        &["people", "merge", "Eileen", "Grace Hopper", "--yes"],
        &["people", "split", "Grace Hopper", "EILEEN"],
        &["people", "split", "Grace Hopper"],
        &["people", "merge", "EILEEN", "grace hopper", "--yes"],
        &["people", "merge", "Eileen", "Grace Hopper", "--yes"],
        &["identify", &astronaut, "--by", "mean"],
        &["forget", "Eileen", "--gallery", "third"],
        &["forget", "--face", "9999"],
        &["forget", "Mary", "--gallery", "first", "--no-scrub"],
        &["identify", &tilt],
        &anew,
        &["identify", &astronaut],
        &["identify", &astronaut, "--model", "twin", "--weights", "weights", "--threshold", "0.4"],
        &anew,
        &["people", "--gallery", "second"],
        &["stats"],
        &["check"],
    ];
    for &words in commands {
        for form in [&["--json"][..], &[]] {
            // A change is made once; what only reads is asked for in both forms.
            let changes = ["rename", "merge", "split", "label"].contains(words.get(1).unwrap_or(&""));
            let reads = ["identify", "people", "stats", "check"].contains(&words[0]) && !changes;
            if form.is_empty() && !reads {
                continue;
            }
            let words = [words, form].concat();
            let (one, other) = (seen(&at(&alone, &words)), seen(&at(&beside, &words)));
            assert_eq!(one, other, "{words:?}\n{}", service.log());
        }
    }
    for name in ["named.png", "all.bak", "out/vectors.npy"] {
        let [one, other] = [&alone, &beside].map(|home| std::fs::read(home.join(name)).unwrap());
        assert_eq!(one.len(), other.len(), "{name}");
        assert!(name == "all.bak" || one == other, "{name}");
    }
    // A refusal shows that it came from the gallery, whoever holds it.
    let unknown = json(&at(&beside, &["people", "show", "Nobody", "--json"]));
    assert_eq!(unknown["error"]["code"], "gallery.unknown_person");

    // Everything that was changed or asked is in the log, as a command's.
    done(at(&beside, &["audit", "verify"]));
    let shown = at(&beside, &["audit", "show", "--last", "1000"]);
    let lines: Vec<Value> = said(&shown).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let noted = |action: &str, result: &str| {
        let is = |l: &&Value| l["action"] == action && l["result"] == result;
        lines.iter().filter(is).collect::<Vec<_>>()
    };
    let enrolled = noted("enroll", "done");
    assert!(enrolled.iter().any(|l| l["person"] == "Grace Hopper" && l["evidence"]["status"] == "added"), "{lines:?}");
    let key = enrolled[0]["key_name"].as_str().unwrap();
    assert!(enrolled[0]["key"] == "command" && key.starts_with("user ") && key.contains("process "), "{key}");
    let refused = noted("enroll", "refused");
    assert!(refused.iter().any(|l| l["code"] == "gate.someone_else" && l["person"] == "Somebody Else"), "{lines:?}");
    for action in [
        "search",
        "change person",
        "merge person",
        "split person",
        "forget person",
        "backup",
        "export",
        "import",
        "reembed",
    ] {
        assert!(!noted(action, "done").is_empty(), "{action}: {lines:?}");
        // What changes something was noted before it was done.
        assert_eq!(noted(action, "begun").is_empty(), action == "search", "{action}: {lines:?}");
    }
    let moved = noted("merge person", "done");
    assert_eq!((&moved[0]["person"], &moved[0]["evidence"]["into"]), (&"Eileen".into(), &"Grace Hopper".into()));

    // And it is all on disk.
    service.kill();
    let [one, other] = [&alone, &beside].map(|home| seen(&done(at(home, &["people", "--json"]))));
    assert_eq!(one, other);
    done(at(&beside, &["check"]));
}

#[test]
fn what_needs_the_database_for_itself_names_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    done(at(home, &["enroll", "Grace Hopper", &photo("grace_hopper.jpg")]));
    done(at(home, &["backup", "all.bak"]));
    done(at(home, &["key", "new", "key"]));
    let service = Service::begin(home, &[]);
    let start = Instant::now();
    for words in [
        &["check", "--repair"][..],
        &["rekey", "--new-key-file", "key"],
        &["restore", "all.bak"],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let refused = at(home, &[words, &["--json"]].concat());
        let error = json(&refused)["error"].clone();
        assert_eq!((code(&refused), &error["code"]), (2, &"store.serving".into()), "{words:?} {}", said(&refused));
        let (text, process) = (error["message"].as_str().unwrap(), format!("process {},", service.process.id()));
        assert!(text.contains("stop the service first") && text.contains(&process), "{text}");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "a service is not waited for");
    // The service was not disturbed, nor its socket taken away by the other one.
    assert_eq!(service.post("/v1/identify", &photo("hopper_tilt.jpg")), 200);
    done(at(home, &["identify", &photo("hopper_tilt.jpg")]));
    service.stop();
    done(at(home, &["rekey", "--new-key-file", "key"]));
}

#[test]
fn commands_at_once_take_turns_and_say_for_whom_they_wait() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    done(at(home, &["enroll", "Grace Hopper", &photo("grace_hopper.jpg")]));
    let tilt = photo("hopper_tilt.jpg");
    let start = |words: &[&str]| {
        command(home, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output()
    };
    std::thread::scope(|scope| {
        let at_once: Vec<_> = (0..3).map(|_| scope.spawn(|| start(&["identify", &tilt]).unwrap())).collect();
        at_once.into_iter().for_each(|one| drop(done(one.join().unwrap())));
    });

    let held = Database::open(home.join("faces"), &DatabaseOptions::default()).unwrap();
    let refused = at(home, &["people", "--wait", "0.2", "--json"]);
    assert_eq!((code(&refused), &json(&refused)["error"]["code"]), (2, &"store.locked".into()));
    assert!(said(&refused).contains(&format!("process {} ", std::process::id())), "{}", said(&refused));
    let (sender, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let home = &home;
        scope.spawn(move || {
            let mut waiting = command(home, &["people"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
            stderr.read_line(&mut line).unwrap();
            sender.send(line).unwrap();
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "", "it is said once");
            assert!(said(&done(waiting.wait_with_output().unwrap())).contains("Grace Hopper"));
        });
        let line = told.recv_timeout(Duration::from_secs(60)).unwrap();
        let process = format!("waiting for process {} ", std::process::id());
        assert!(line.contains(&process) && line.contains("--wait"), "{line}");
        drop(held);
    });
}

#[test]
fn a_folder_is_enrolled_while_others_ask_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    people(&home.join("people"));
    done(at(home, &["enroll", "Mary Jackson", &photo("two_faces.jpg"), "--largest", "--gallery", "other"]));
    let service = Service::begin(home, &[]);
    let over = std::sync::atomic::AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let ask = || {
            let mut asked = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(service.post("/v1/identify?gallery=other", &photo("hopper_tilt.jpg")), 200);
                asked += 1;
            }
            asked
        };
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(ask)).collect();
        let enrolled = at(home, &["enroll", "--dir", "people", "--json"]);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((code(&enrolled), &json(&enrolled)["added"]), (2, &3.into()), "{}", said(&enrolled));
        clients.into_iter().map(|c| c.join().unwrap()).sum::<usize>()
    });
    assert!(asked > 0);
    let listed = json(&at(home, &["people", "--json"]));
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Eileen Collins", "Grace Hopper"]);
    done(at(home, &["check"]));
}

#[test]
fn a_service_that_is_killed_leaves_a_socket_that_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let all = home.join("people");
    // Enough photos for the kill to come before the end.
    for number in 0..40 {
        let one = all.join(format!("Person_{}", ["a", "b"][number % 2]));
        std::fs::create_dir_all(&one).unwrap();
        let name = ["grace_hopper.jpg", "astronaut_progressive.jpg"][number % 2];
        let mut bytes = std::fs::read(photo(name)).unwrap();
        // Other bytes, the same picture: each is looked at.
        bytes.extend(number.to_string().bytes());
        std::fs::write(one.join(format!("{number}.jpg")), bytes).unwrap();
    }
    done(at(home, &["enroll", "Mary Jackson", &photo("two_faces.jpg"), "--largest", "--gallery", "other"]));
    let service = Service::begin(home, &[]);
    let enrolling = command(home, &["enroll", "--dir", "people", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is in: the service has a line of it.
    let log = home.join("faces.serve/audit.jsonl");
    let enough = |log: &Path| std::fs::read_to_string(log).is_ok_and(|text| text.contains("\"action\":\"enroll\""));
    let start = Instant::now();
    while !enough(&log) {
        assert!(start.elapsed() < Duration::from_secs(120), "{}", service.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let socket = service.socket();
    service.kill();
    let broken = enrolling.wait_with_output().unwrap();
    assert_eq!((code(&broken), &json(&broken)["error"]["code"]), (2, &"store.connection".into()), "{}", said(&broken));
    assert!(socket.exists(), "nobody took it away");
    done(at(home, &["check"]));
    // Nobody answers at it, and nobody waits for that.
    let again = at(home, &["enroll", "--dir", "people", "--json"]);
    assert_eq!((code(&again), &json(&again)["refused"]), (0, &0.into()), "{}", said(&again));
    let service = Service::begin(home, &[]);
    assert_eq!(json(&done(at(home, &["people", "--json"]))).as_array().unwrap().len(), 2);
    done(at(home, &["check"]));
    service.stop();
}

#[test]
fn the_key_is_asked_for_at_the_socket_too_however_deep_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    // Deeper than the path of a socket may be.
    let home = folder.path().join("d".repeat(80)).join("e".repeat(80));
    std::fs::create_dir_all(&home).unwrap();
    let home = home.as_path();
    for key in ["key", "other"] {
        done(at(home, &["key", "new", key]));
    }
    let hopper = photo("grace_hopper.jpg");
    done(at(home, &["enroll", "Grace Hopper", &hopper, "--key-file", "key"]));
    let answers = |beside: bool| {
        let words = [&["people", "--key-file", "key"][..], &["people"], &["people", "--key-file", "other"]];
        words.map(|words| {
            let (code, shown, said) = seen(&at(home, &[words, &["--json"]].concat()));
            assert!(!beside || !said.contains("waiting"), "{said}");
            // The service names the folder by its whole path.
            (code, shown["error"]["code"].clone(), shown[0]["name"].clone())
        })
    };
    let alone = answers(false);
    let codes: Vec<_> = alone.iter().map(|(code, error, name)| (*code, error.as_str(), name.as_str())).collect();
    let wanted =
        [(0, None, Some("Grace Hopper")), (2, Some("store.key_needed"), None), (2, Some("store.wrong_key"), None)];
    assert_eq!(codes, wanted);
    let key = home.join("key");
    let service = Service::begin(home, &["--key-file", key.to_str().unwrap()]);
    assert_eq!(answers(true), alone, "{}", service.log());
    done(at(home, &["enroll", "Eileen Collins", &photo("astronaut.png"), "--key-file", "key"]));
    done(at(home, &["backup", "all.bak", "--ring", "ring", "--key-file", "key"]));
    assert!(home.join("all.bak").exists() && home.join("ring").exists());
    service.stop();
    // A plain one takes no key, in either way.
    let plain = folder.path();
    done(at(plain, &["enroll", "Grace Hopper", &hopper]));
    let needless = |home: &Path| json(&at(home, &["people", "--json", "--key-file", key.to_str().unwrap()]));
    let alone = needless(plain)["error"]["code"].clone();
    let service = Service::begin(plain, &[]);
    assert_eq!(
        (needless(plain)["error"]["code"].clone(), alone.as_str()),
        (alone.clone(), Some("store.not_encrypted"))
    );
    drop(service);
}

#[test]
fn whoever_says_nothing_or_nonsense_keeps_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    done(at(home, &["enroll", "Grace Hopper", &photo("grace_hopper.jpg")]));
    let service = Service::begin(home, &[]);
    let connect = || UnixStream::connect(service.socket()).unwrap();
    // Silent ones fill every place, and give way: a command need not wait until they are sent away.
    let silent: Vec<UnixStream> = (0..40).map(|_| connect()).collect();
    for _ in 0..3 {
        done(at(home, &["people", "--wait", "0"]));
    }
    drop(silent);
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[5, 0, 0, 0, b'H', 1, 2, 3, 4], &[0; 64], &[255; 64], &[9]] {
        let mut stream = connect();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(nonsense).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Whatever it is told, it is the end.
        let _ = stream.read_to_end(&mut Vec::new());
        done(at(home, &["people"]));
    }
    assert_eq!(service.post("/v1/identify", &photo("hopper_tilt.jpg")), 200);
    service.stop();
}

/// Whether this process may become another user.
fn may_be_nobody() -> bool {
    let set = Command::new("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "true"]).output();
    let may = set.is_ok_and(|done| done.status.success());
    if !may {
        require::missing("this needs root and setpriv");
    }
    may
}

#[test]
fn another_users_command_is_turned_away() {
    if !may_be_nobody() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    done(at(home, &["enroll", "Grace Hopper", &photo("grace_hopper.jpg")]));
    let service = Service::begin(home, &[]);
    let program = home.join("kith");
    std::fs::copy(env!("CARGO_BIN_EXE_kith"), &program).unwrap();
    let opened = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    opened(home);
    opened(&program);
    let asked = || {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["people", "--wait", "0", "--json", "--db"])
            .arg(home.join("faces"))
            .output()
            .unwrap()
    };
    let refused = asked();
    assert_eq!(code(&refused), 2, "{}", said(&refused));
    assert!(!said(&refused).contains("Grace"), "{}", said(&refused));
    // However carelessly the files are given away, the service looks at whose the command is.
    opened(&home.join("faces"));
    for entry in std::fs::read_dir(home.join("faces")).unwrap() {
        opened(&entry.unwrap().path());
    }
    let refused = asked();
    assert_eq!((code(&refused), &json(&refused)["error"]["code"]), (2, &"store.locked".into()), "{}", said(&refused));
    assert!(service.log().contains("another user"), "{}", service.log());
    done(at(home, &["people"]));
}
