//! `kith serve` as a process of its own: a full disk, and thousands of connections.
#![cfg(all(unix, feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/require.rs"]
mod require;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kith::serve::{AuditHead, last_lines, verify_log};
use serde_json::json;
use sha2::{Digest, Sha256};

struct Service {
    process: Child,
    address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    /// Starts a service in a folder; `before` is shell that runs first in its process.
    fn start(folder: &Path, before: &str, flags: &[&str]) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_kith")])
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(folder.join("faces"))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("it did not start: {line}"));
        Self { address: address.to_string(), process }
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(stream)
    }

    /// Status and body of an answer.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect().unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{text:?}"));
        (status, text.split_once("\r\n\r\n").unwrap().1.to_string())
    }

    fn decide(&self) -> (u16, String) {
        self.ask("POST", "/v1/access/decide?policy=door", "image/jpeg", &photo("hopper_tilt.jpg"))
    }

    fn number(&self, metric: &str) -> f64 {
        let (_, text) = self.ask("GET", "/metrics", "text/plain", b"");
        let line = text.lines().find(|l| l.split(' ').next() == Some(metric)).unwrap_or_else(|| panic!("{text}"));
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

fn photo(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/fixtures/photos").join(name)).unwrap()
}

/// A log of one line that leaves `room` bytes until it has `bytes`.
fn nearly_full_log(state: &Path, bytes: usize, room: usize) {
    std::fs::create_dir_all(state).unwrap();
    let line = |pad: usize| {
        let zeros = "0".repeat(64);
        json!({ "seq": 1, "at": "2026-01-01T00:00:00.000Z", "prev": zeros, "request": null, "key": "-",
            "key_name": "", "action": "identify", "result": "done", "evidence": " ".repeat(pad) })
        .to_string()
    };
    let pad = bytes - room - line(0).len() - 1;
    let line = line(pad);
    std::fs::write(state.join("audit.jsonl"), format!("{line}\n")).unwrap();
    let sha256: String = Sha256::digest(line.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let head = serde_json::to_string(&AuditHead { lines: 1, sha256 }).unwrap();
    std::fs::write(state.join("audit.head"), format!("{head:<127}\n")).unwrap();
}

#[test]
fn a_log_that_cannot_be_written_opens_no_door_and_answers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, "[policy.door]\nliveness = false\nmax_fpir = 0.01\n").unwrap();
    let flags = ["--policies", policies.to_str().unwrap()];
    let enrolled = Service::start(folder.path(), "", &flags);
    let name = "/v1/people/Grace/faces";
    assert_eq!(enrolled.ask("POST", name, "image/jpeg", &photo("grace_hopper.jpg")).0, 201);
    drop(enrolled);

    // The system lets no file grow beyond 8 MiB: room for a few lines.
    let state = folder.path().join("faces.serve");
    nearly_full_log(&state, 8 << 20, 2000);
    let service = Service::start(folder.path(), "trap '' XFSZ; ulimit -f 16384;", &flags);
    let (status, answer) = service.decide();
    assert!(status == 200 && answer.contains("\"decision\":\"allow\""), "{status} {answer}");
    let mut tries = 0;
    let (status, answer) = loop {
        let (status, answer) = service.decide();
        if status != 200 || tries > 20 {
            break (status, answer);
        }
        tries += 1;
    };
    assert!(status == 503 && answer.contains("\"decision\":\"deny\""), "{status} {answer}");
    assert!(answer.contains("audit_unavailable") && !answer.contains("Grace"), "{answer}");
    let (status, answer) = service.ask("POST", "/v1/identify", "image/jpeg", &photo("hopper_tilt.jpg"));
    assert!(status == 503 && answer.contains("audit.unwritable") && !answer.contains("Grace"), "{status} {answer}");
    assert_eq!(service.ask("GET", "/healthz/live", "text/plain", b"").0, 200);
    drop(service);
    // What was acknowledged is there, and nothing half-written.
    let report = verify_log(&state, None).unwrap();
    assert_eq!((report.after_head, report.torn_bytes), (0, 0));
    let lines = last_lines(&state, None, 100).unwrap();
    assert!(lines.len() >= 2 && lines[0]["result"] == "allow", "{lines:?}");
    // With room again it goes on where it was.
    let again = Service::start(folder.path(), "", &flags);
    assert_eq!(again.decide().0, 200);
    drop(again);
    assert_eq!(verify_log(&state, None).unwrap().head.lines, report.head.lines + 1);
}

#[test]
fn a_full_audit_disk_stops_changes_and_doors_until_there_is_room() {
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|s| s.success()) {
        return require::missing("unshare is not here, or may not");
    }
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("small");
    std::fs::create_dir(&state).unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, "[policy.door]\nliveness = false\nmax_fpir = 0.01\n").unwrap();
    let shown = state.to_str().unwrap();
    let mount = format!(
        "exec unshare -rm sh -c 'mount -t tmpfs -o size=400k none {shown} && exec \"$0\" \"$@\"' \"$0\" \"$@\";"
    );
    let flags = ["--policies", policies.to_str().unwrap(), "--state", shown, "--audit-bytes", "65536"];
    let service = Service::start(folder.path(), &mount, &flags);
    // The folder as the service sees it.
    let seen = Path::new("/proc").join(service.process.id().to_string()).join("root").join(&shown[1..]);
    let name = "/v1/people/Grace/faces";
    assert_eq!(service.ask("POST", name, "image/jpeg", &photo("grace_hopper.jpg")).0, 201);
    assert_eq!(service.decide().0, 200);
    let add = |i: usize| {
        let body = json!({ "name": format!("person {i}") }).to_string();
        service.ask("POST", "/v1/people", "application/json", body.as_bytes())
    };
    let people = || -> Vec<String> {
        let (_, text) = service.ask("GET", "/v1/people?limit=1000", "text/plain", b"");
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        all["people"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_string()).collect()
    };
    let mut count = 0;
    for round in 0..3 {
        let mut filler = std::fs::File::create(seen.join("filler")).unwrap();
        while filler.write_all(&[0; 1024]).is_ok() {}
        // What is left of the log's last page takes a few lines yet.
        let refused = loop {
            count += 1;
            let (status, answer) = add(count);
            if status != 201 {
                break answer;
            }
            assert!(count < 500, "the disk is not full");
        };
        assert!(refused.contains("audit.unwritable"), "{refused}");
        for _ in 0..5 {
            count += 1;
            assert_eq!(add(count).0, 503);
        }
        let (status, answer) = service.decide();
        assert!(status == 503 && answer.contains("audit_unavailable") && answer.contains("deny"), "{status} {answer}");
        let (status, answer) = service.ask("GET", "/healthz/ready", "text/plain", b"");
        assert!(status == 503 && answer.contains("No space left"), "{status} {answer}");
        assert_eq!(service.number("kith_audit_writable"), 0.0);
        // Nobody is in without a line, and the line says whom.
        let begun: Vec<String> = last_lines(&seen, None, 10_000)
            .unwrap()
            .iter()
            .filter_map(|l| Some(l["person"].as_str()?.to_string()))
            .collect();
        for person in people() {
            assert!(begun.contains(&person), "round {round}: {person} is in without a line");
        }
        assert!(add(0).1.contains("nothing is changed"));
        drop(filler);
        std::fs::remove_file(seen.join("filler")).unwrap();
        let mut tries = 0;
        while service.ask("GET", "/healthz/ready", "text/plain", b"").0 != 200 {
            assert!(tries < 100, "it does not go on");
            tries += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        // On to the next file of the log.
        for _ in 0..60 {
            count += 1;
            assert_eq!(add(count).0, 201);
        }
        assert_eq!(service.decide().0, 200);
        assert_eq!(verify_log(&seen, None).unwrap().torn_bytes, 0);
    }
    assert!(verify_log(&seen, None).unwrap().files > 1);
}

/// The disk of the database is full: what reads is answered, what writes says why, readiness too; with room again it goes
/// on; and the service ends when it is asked to.
#[test]
fn a_full_database_disk_stops_nothing_but_writes_and_the_service_ends_all_the_same() {
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|s| s.success()) {
        return require::missing("unshare is not here, or may not");
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("faces");
    std::fs::create_dir(&database).unwrap();
    let shown = database.to_str().unwrap();
    let mount =
        format!("exec unshare -rm sh -c 'mount -t tmpfs -o size=2m none {shown} && exec \"$0\" \"$@\"' \"$0\" \"$@\";");
    let state = folder.path().join("state");
    let mut service = Service::start(folder.path(), &mount, &["--state", state.to_str().unwrap()]);
    // The folder as the service sees it.
    let seen = Path::new("/proc").join(service.process.id().to_string()).join("root").join(&shown[1..]);
    let add = |service: &Service, i: usize| {
        let body = json!({ "name": format!("person {i}") }).to_string();
        service.ask("POST", "/v1/people", "application/json", body.as_bytes())
    };
    let ready = |service: &Service| service.ask("GET", "/healthz/ready", "text/plain", b"");
    let mut count = 0;
    for round in 0..3 {
        let mut filler = std::fs::File::create(seen.join("filler")).unwrap();
        while filler.write_all(&[0; 1024]).is_ok() {}
        let refused = loop {
            count += 1;
            let (status, answer) = add(&service, count);
            if status != 201 {
                break (status, answer);
            }
            assert!(count < 5000, "the disk is not full");
        };
        assert!(refused.0 == 507 && refused.1.contains("store.full"), "round {round}: {refused:?}");
        // A look stays true for a tenth of a second.
        std::thread::sleep(Duration::from_millis(300));
        let (status, answer) = ready(&service);
        assert!(status == 503 && answer.contains("store.full"), "round {round}: {status} {answer}");
        assert_eq!(service.ask("GET", "/v1/people?limit=3", "text/plain", b"").0, 200);
        let gone = format!("/v1/people/person%20{}", count - 1);
        assert_eq!(service.ask("DELETE", &gone, "text/plain", b"").0, 200, "somebody can be forgotten");
        std::fs::remove_file(seen.join("filler")).unwrap();
        assert_eq!(add(&service, count).0, 201, "round {round}: there is room again");
        let mut tries = 0;
        while ready(&service).0 != 200 {
            assert!(tries < 100, "it does not go on");
            tries += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let mut filler = std::fs::File::create(seen.join("filler")).unwrap();
    while filler.write_all(&[0; 1024]).is_ok() {}
    let asked = Command::new("kill").args(["-TERM", &service.process.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let until = std::time::Instant::now() + Duration::from_secs(40);
    while service.process.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < until, "it does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every file and folder beneath a folder, and itself, with its rights.
fn modes(folder: &Path) -> Vec<(std::path::PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    let mut all = vec![(folder.to_path_buf(), mode(folder))];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(modes(&path)),
            false => all.push((path.clone(), mode(&path))),
        }
    }
    all
}

#[test]
fn what_the_service_keeps_is_its_owners_alone_whatever_the_umask() {
    for umask in ["000", "022", "277"] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("faces.serve");
        let made = Command::new("sh")
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_kith")])
            .args(["keys", "new", "door", "--role", "admin", "--db"])
            .arg(folder.path().join("faces"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = String::from_utf8(made.stdout).unwrap();
        // A database of its own making: what is asked here is of the service's folder.
        let before = if umask == "277" { String::new() } else { format!("umask {umask};") };
        let service = Service::start(folder.path(), &before, &["--audit-bytes", "65536"]);
        for i in 0..120 {
            let body = json!({ "name": format!("person {i}") }).to_string();
            let kind = format!("application/json\r\nx-api-key: {}", key.trim());
            assert_eq!(service.ask("POST", "/v1/people", &kind, body.as_bytes()).0, 201);
        }
        drop(service);
        let all = modes(&state);
        let has = |part: &str| all.iter().any(|(path, _)| path.to_string_lossy().contains(part));
        assert!(has("keys.json") && has("audit.head") && has("audit-0000"), "{all:?}");
        for (path, mode) in &all {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(*mode, expected, "umask {umask}: {} has {mode:o}", path.display());
        }
    }
}

/// Files that this process may have open at once.
fn most_files() -> usize {
    let output = Command::new("sh").args(["-c", "ulimit -n"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(usize::MAX)
}

#[test]
fn thousands_of_connections_are_bounded_and_shut_nobody_out_for_long() {
    const BOUND: usize = 200;
    let crowd = most_files().saturating_sub(200).min(10_000);
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--limit", "connections=200", "--limit", "head_seconds=3"];
    let service = Service::start(folder.path(), "", &flags);
    let mut held = service.connect().unwrap();
    // Without keys it is known who asks that.
    let alive = b"GET /v1/galleries HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let served = |held: &mut TcpStream| {
        held.write_all(alive).unwrap();
        let mut bytes = [0; 2048];
        let read = held.read(&mut bytes).unwrap();
        bytes[..read].starts_with(b"HTTP/1.1 200 ")
    };
    assert!(served(&mut held));
    let mut open: Vec<TcpStream> = Vec::new();
    for i in 0..crowd {
        open.extend(service.connect().ok());
        if i % 200 == 0 {
            // Whoever is in stays in, whatever the crowd does.
            assert!(served(&mut held), "after {i} connections");
        }
    }
    println!("{} of {crowd} connections were made", open.len());
    assert!(open.len() > BOUND * 2, "the crowd is too small to say anything");
    drop(held);
    // Nothing was asked, so each is closed: for another that comes, or when its time is over.
    for stream in &mut open {
        let end = stream.read(&mut [0; 1024]);
        let late = |e: &std::io::Error| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!end.as_ref().is_err_and(late), "a connection that asks nothing is kept");
    }
    drop(open);
    let mut tries = 0;
    while service.number("kith_connections") > 1.0 {
        assert!(tries < 100, "connections are not let go");
        tries += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(service.ask("GET", "/healthz/live", "text/plain", b"").0, 200);
}

#[test]
fn idle_connections_do_not_use_up_the_open_files() {
    let folder = tempfile::tempdir().unwrap();
    // Both bounds, soft and hard, are far below what the connections would need.
    let service = Service::start(folder.path(), "ulimit -n 300;", &["--limit", "head_seconds=300"]);
    let crowd: Vec<TcpStream> = (0..600).filter_map(|_| service.connect().ok()).collect();
    assert_eq!(crowd.len(), 600);
    for _ in 0..5 {
        assert_eq!(service.ask("GET", "/v1/galleries", "text/plain", b"").0, 200);
    }
}

/// Status, whether it is an earlier answer again, and the body of a write with a key; none where the service was gone
/// before it answered.
fn write_once(service: &Service, key: &str, name: &str) -> Option<(u16, bool, String)> {
    let mut stream = service.connect().ok()?;
    let body = json!({ "name": name }).to_string();
    let head = format!(
        "POST /v1/people HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_ascii_lowercase().contains("idempotent-replayed: true"), body.to_string()))
}

#[test]
fn a_write_with_a_key_is_done_once_whenever_the_service_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut outcomes = std::collections::BTreeMap::<&str, usize>::new();
    for round in 0..12u64 {
        let mut service = Service::start(folder.path(), "", &[]);
        let answered = std::thread::scope(|scope| {
            let writes = scope.spawn(|| {
                let write = |i: usize| {
                    let name = format!("{round}-{i}");
                    write_once(&service, &name, &name).map(|a| (name, a))
                };
                let mut answered = Vec::new();
                // The one that the kill met is the last.
                for i in 0.. {
                    match write(i) {
                        Some(one) => answered.push(one),
                        None => break,
                    }
                }
                answered
            });
            std::thread::sleep(Duration::from_millis(40 + 7 * round));
            // By its number: the thread holds the service.
            let kill = Command::new("kill").args(["-9", &service.process.id().to_string()]).status().unwrap();
            assert!(kill.success());
            writes.join().unwrap()
        });
        service.process.wait().unwrap();
        let again = Service::start(folder.path(), "", &[]);
        for (name, (status, _, body)) in &answered {
            assert_eq!(*status, 201, "{name}: {body}");
            // What was answered is answered again, to the byte.
            assert_eq!(write_once(&again, name, name).as_ref(), Some(&(201, true, body.clone())), "{name}");
        }
        // The one that was under way was done or not, and is in no case done again.
        let name = format!("{round}-{}", answered.len());
        let there = again.ask("GET", &format!("/v1/people/{name}"), "text/plain", b"").0 == 200;
        let (status, replayed, body) = write_once(&again, &name, &name).unwrap();
        let outcome = match (status, replayed, there) {
            (201, true, true) => "its answer was kept",
            (201, false, false) => "it had not begun",
            (409, false, _) if body.contains("idempotency.unknown_outcome") => "refused honestly",
            _ => panic!("{name}, there: {there}: {status} {replayed} {body}"),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("{outcomes:?}");
}

#[test]
fn the_log_says_at_the_start_what_serves_and_at_the_end_that_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, "[policy.door]\nliveness = false\nmax_fpir = 0.02\nmax_fmr = 0.0001\n").unwrap();
    let faces = folder.path().join("faces");
    let enrolled = Command::new(env!("CARGO_BIN_EXE_kith"))
        .args(["enroll", "Grace Hopper", "tests/fixtures/photos/grace_hopper.jpg", "--db"])
        .arg(&faces)
        .output()
        .unwrap();
    assert!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    let mut process = Command::new(env!("CARGO_BIN_EXE_kith"))
        .args(["serve", "--listen", "127.0.0.1:0", "--db"])
        .arg(&faces)
        .arg("--policies")
        .arg(&policies)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().to_string();
    let service = Service { address: address.trim_start_matches("http://").to_string(), process };
    assert_eq!(service.ask("GET", "/healthz/ready", "text/plain", b"").0, 200);
    let stopped = Command::new("kill").arg("-TERM").arg(service.process.id().to_string()).status().unwrap();
    assert!(stopped.success());
    let mut service = service;
    let mut text = String::new();
    service.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let ended = service.process.wait().unwrap();
    assert!(ended.success(), "{ended}: {text}");
    for said in [
        "model=sface",
        "detector=yunet",
        // Whatever is the fastest here that may be taken.
        &format!("precision=\"{}\"", kith::Engine::builder().build().unwrap().precision()),
        "gallery=\"main\" people=1 faces=1",
        "policy \"door\" supports 10101 faces, has 1",
        "body_bytes=16777216",
        &format!("listening on {address}"),
        "stopped: every request that was begun is answered answered=1 refused=0",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}
