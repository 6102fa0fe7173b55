//! What has reached the disk when a write is acknowledged, and what happens when it cannot.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use kith::error::{Error, StoreError};
use kith::{DatabaseOptions, EnrolmentPolicy, MasterKey, NewFace};

use super::require::missing;
use super::{MAIN, existing, face, open, who};

/// Enrols until it is done or an error comes, and says each acknowledged face and the error's code. Run
/// as a process of its own, with `KITH_TEST_FOLDER` and `KITH_TEST_COUNT`; with `KITH_TEST_SEALED`, encrypted.
#[test]
#[ignore = "the child of the tests below"]
fn child() {
    let (Ok(folder), Ok(count)) = (std::env::var("KITH_TEST_FOLDER"), std::env::var("KITH_TEST_COUNT")) else { return };
    let key = std::env::var("KITH_TEST_SEALED").ok().map(|k| MasterKey::parse(&k).unwrap());
    let options = DatabaseOptions { key, ..DatabaseOptions::default() };
    let mut out = std::io::stdout();
    let enrolled = kith::Database::open(folder, &options).and_then(|database| {
        for number in 0..count.parse().unwrap() {
            let kept = NewFace {
                pictures: Some(kith::FacePictures { chip: vec![number as u8; 40_000], thumbnail: vec![1; 9_000] }),
                ..face(number)
            };
            database.enroll(MAIN, &format!("p{number}"), kept, &EnrolmentPolicy::default())?;
            out.write_all(format!("acknowledged {number}\n").as_bytes()).unwrap();
            out.flush().unwrap();
        }
        Ok(())
    });
    if let Err(e) = enrolled {
        println!("refused {} {e}", e.code());
    }
}

fn child_command(program: &[&str], folder: &Path, count: u64) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = match program {
        [] => Command::new(&exe),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&exe);
            command
        }
    };
    command.args(["--exact", "durability::child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("KITH_TEST_FOLDER", folder).env("KITH_TEST_COUNT", count.to_string());
    command
}

fn lines_of(output: &Output, word: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The test harness may print before the first.
    text.lines().filter_map(|l| l.find(word).map(|at| l[at + word.len()..].trim().to_string())).collect()
}

/// A system call, in the order in which it began and ended.
struct Call {
    name: String,
    text: String,
    began: usize,
    ended: usize,
}

fn calls(trace: &str) -> Vec<Call> {
    let (mut calls, mut open) = (Vec::new(), HashMap::new());
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim();
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            open.insert(thread.to_string(), (number, begun.to_string()));
        } else if text.starts_with("<... ") {
            if let Some((began, begun)) = open.remove(thread) {
                let name = begun.split('(').next().unwrap_or_default().to_string();
                calls.push(Call { name, text: begun, began, ended: number });
            }
        } else if let Some((name, _)) = text.split_once('(') {
            calls.push(Call { name: name.to_string(), text: text.to_string(), began: number, ended: number });
        }
    }
    calls
}

#[test]
fn records_are_synced_before_they_are_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let program =
        ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write,pwrite64", "-s", "40", "-o", trace.to_str().unwrap()];
    let output = child_command(&program, &folder.path().join("faces"), 8).output();
    let acknowledged = output.as_ref().map_or(0, |o| lines_of(o, "acknowledged ").len());
    let Some(trace) = std::fs::read_to_string(&trace).ok().filter(|_| acknowledged == 8) else {
        return missing("strace is not there, or may not trace");
    };
    let calls = calls(&trace);
    let of = |name: &str, file: &str| -> Vec<&Call> {
        calls.iter().filter(|c| c.name == name && c.text.contains(file)).collect()
    };
    for number in 0..8 {
        let said = of("write", &format!("acknowledged {number}\\n"));
        let said = said.first().unwrap_or_else(|| panic!("acknowledgement {number} is not in the trace"));
        let before = |calls: Vec<&Call>| {
            calls.into_iter().filter(|c| c.ended < said.began).map(|c| (c.began, c.ended)).next_back()
        };
        let logged = before(of("write", "/journal-1>")).unwrap();
        let synced = before(of("fdatasync", "/journal-1>")).unwrap();
        let witnessed = before(of("write", "/acknowledged>")).unwrap();
        let settled = before(of("fdatasync", "/acknowledged>")).unwrap();
        assert!(logged.1 < synced.0, "face {number}: the journal is written, then synced");
        assert!(synced.1 < witnessed.0, "face {number}: the journal is synced, then the write's number written");
        assert!(witnessed.1 < settled.0, "face {number}: the number is written, then synced, then acknowledged");
    }
    println!("8 acknowledgements, each after both fdatasync calls");
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_a_typed_error_and_costs_nothing_acknowledged() {
    for (sealed, blocks) in [(false, 1_400), (true, 1_400), (false, 2_600), (false, 60)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        // Files may not grow beyond so many blocks of 512 bytes, and the system says so as it does of a
        // full disk: a write fails.
        let shell = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut command = child_command(&["sh", "-c", &shell], &path, 200);
        let key = "5a".repeat(32);
        if sealed {
            command.env("KITH_TEST_SEALED", &key);
        }
        let output = command.output().unwrap();
        let what = format!("{blocks} blocks");
        let Some(kept) = refused_and_lost_nothing(&output, &path, sealed.then_some(key.as_str()), &what) else {
            continue;
        };
        // There is room again.
        super::enroll(&kept, "later", 900);
        drop(kept);
    }
}

/// The database that a full disk left, which holds everything acknowledged; `None` when there was no room for one.
#[cfg(unix)]
fn refused_and_lost_nothing(output: &Output, path: &Path, key: Option<&str>, what: &str) -> Option<kith::Database> {
    let (done, refused) = (lines_of(output, "acknowledged "), lines_of(output, "refused "));
    let shown = format!("{what}: {} acknowledged, then {refused:?}", done.len());
    println!("{shown}");
    assert_eq!(refused.len(), 1, "{shown}: {}", String::from_utf8_lossy(&output.stderr));
    let code = refused[0].split(' ').next().unwrap();
    assert_eq!(code, "store.full", "{shown}");
    if done.is_empty() {
        return None;
    }
    let options = DatabaseOptions { key: key.map(|k| MasterKey::parse(k).unwrap()), ..Default::default() };
    let database = kith::Database::open(path, &options).unwrap();
    assert!(database.check().unwrap().is_clean(), "{shown}");
    for number in &done {
        let number: u64 = number.parse().unwrap();
        assert_eq!(who(&database, number), Some(format!("p{number}")), "{shown}");
    }
    Some(database)
}

/// A file system with no room left, which refuses otherwise than a bound on the size of files.
#[cfg(target_os = "linux")]
#[test]
fn a_full_file_system_is_a_typed_error_and_costs_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let at = &folder.path().join("disk");
    let Some(_mounted) = super::disk::Mounted::new(at, "4m") else { return };
    let filler = at.join("filler");
    std::fs::write(&filler, vec![0u8; 1 << 20]).unwrap();
    let path = at.join("faces");
    let output = child_command(&[], &path, 200).output().unwrap();
    std::fs::remove_file(&filler).unwrap();
    let kept = refused_and_lost_nothing(&output, &path, None, "a file system of 3 MB");
    super::enroll(&kept.expect("there was room for some"), "later", 900);
}

#[test]
fn a_file_that_is_missing_is_named_and_nothing_is_made_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces");
    super::small(&path);
    let current = std::fs::read(path.join("CURRENT")).unwrap();
    std::fs::remove_file(path.join("CURRENT")).unwrap();
    let before = super::files(&path).len();
    // Enrolling makes databases; it must not make one over this.
    match open(&path) {
        Err(Error::Store(StoreError::Damaged { what, .. })) => assert!(what.contains("CURRENT"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(super::files(&path).len(), before);
    // Without its acknowledgements too it is no new database, for whoever makes one.
    let witness = std::fs::read(path.join("acknowledged")).unwrap();
    std::fs::remove_file(path.join("acknowledged")).unwrap();
    assert_eq!(open(&path).unwrap_err().code(), "store.damaged");
    let bak = folder.path().join("faces.bak");
    super::small(&folder.path().join("other"));
    open(&folder.path().join("other")).unwrap().backup(&bak, None).unwrap();
    assert_eq!(kith::Database::restore(&bak, &path, None, None).unwrap_err().code(), "store.damaged");
    std::fs::write(path.join("acknowledged"), witness).unwrap();
    std::fs::write(path.join("CURRENT"), current).unwrap();
    assert_eq!(who(&existing(&path).unwrap(), 29).as_deref(), Some("p9"));
}
