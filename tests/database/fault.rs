//! Every write, sync, rename and removal beneath the database fails once in turn, or from then on: no acknowledged
//! write is lost, nobody who was forgotten comes back, nothing hangs, and whatever is left opens.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kith::{Database, DatabaseOptions, EnrolmentPolicy, MasterKey, NewFace, PersonFilter};

use super::require::missing;
use super::{MAIN, face, who};

const WITHIN: Duration = Duration::from_secs(20);

/// What the child does, in order.
const STEPS: &[&str] = &[
    "enroll a 1",
    "enroll b 2",
    "enroll a 3",
    "rename b c",
    "enroll d 4",
    "forget a",
    "enroll e 5",
    "reopen",
    "forget c",
    "enroll f 6",
    "backup",
    "forget f",
    "enroll g 7",
    "rekey",
    "enroll h 8",
    "forget d",
];

fn options(sealed: bool, wait: Duration) -> DatabaseOptions {
    let key = sealed.then(|| MasterKey::parse(&"5a".repeat(32)).unwrap());
    DatabaseOptions { create: true, wait, key }
}

type People = BTreeSet<(String, u64)>;

/// Who is enrolled after a step, with the numbers of their faces.
fn expect(people: &mut People, step: &str) {
    let words: Vec<&str> = step.split(' ').collect();
    match words[0] {
        "enroll" => drop(people.insert((words[1].to_string(), words[2].parse().unwrap()))),
        "forget" => people.retain(|(name, _)| name != words[1]),
        "rename" => {
            *people = std::mem::take(people)
                .into_iter()
                .map(|(name, number)| (if name == words[1] { words[2].to_string() } else { name }, number))
                .collect();
        }
        _ => {}
    }
}

/// Does the steps, says each that is done, and stops at the first that is refused.
#[test]
#[ignore = "the child of the tests below"]
fn child() {
    let Ok(folder) = std::env::var("KITH_TEST_FOLDER") else { return };
    let path = Path::new(&folder).join("faces");
    let sealed = std::env::var("KITH_TEST_SEALED").is_ok();
    let mut options = options(sealed, Duration::from_secs(5));
    let mut out = std::io::stdout();
    let mut said = |line: String| {
        out.write_all(format!("said: {line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let mut database = match Database::open(&path, &options) {
        Ok(database) => Some(database),
        Err(e) => return said(format!("refused 0 {} {e}", e.code())),
    };
    for (number, step) in STEPS.iter().enumerate() {
        let words: Vec<&str> = step.split(' ').collect();
        let db = || database.as_ref().unwrap();
        let done = match words[0] {
            "enroll" => {
                let number: u64 = words[2].parse().unwrap();
                let kept = NewFace {
                    pictures: Some(kith::FacePictures { chip: vec![number as u8; 9_000], thumbnail: vec![1; 900] }),
                    ..face(number)
                };
                db().enroll(MAIN, words[1], kept, &EnrolmentPolicy::default()).map(drop)
            }
            "forget" => db().forget(MAIN, words[1], true).map(drop),
            "rename" => db().rename(MAIN, words[1], words[2]).map(drop),
            "backup" => db().backup(Path::new(&folder).join("faces.bak"), None).map(drop),
            "rekey" if sealed => {
                drop(database.take());
                let next = MasterKey::parse(&"5b".repeat(32)).unwrap();
                let done = Database::rekey(&path, &options, Some(&next));
                if done.is_ok() {
                    options.key = Some(next);
                }
                let reopened = done.and_then(|()| Database::open(&path, &options));
                reopened.map(|d| database = Some(d))
            }
            "rekey" => Ok(()),
            "reopen" => {
                drop(database.take());
                Database::open(&path, &options).map(|d| database = Some(d))
            }
            other => panic!("{other}"),
        };
        match done {
            Ok(()) => said(format!("done {number}")),
            Err(e) => return said(format!("refused {number} {} {e}", e.code())),
        }
    }
}

/// The library that lets calls fail, compiled; none where there is no compiler.
fn shim(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/database/fault/shim.c");
    let library = folder.join("shim.so");
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    if made.is_ok_and(|s| s.success()) {
        return Some(library);
    }
    missing("there is no C compiler");
    None
}

struct Ended {
    done: Vec<usize>,
    refused: Option<String>,
    reached: bool,
}

fn run(shim: &Path, folder: &Path, sealed: bool, at: u64, errno: i32, stays: bool) -> Ended {
    let told = folder.with_extension("told");
    let _ = std::fs::remove_file(&told);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "fault::child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("LD_PRELOAD", shim).env("KITH_FAULT_FOLDER", folder.join("faces")).env("KITH_FAULT_TOLD", &told);
    command.env("KITH_FAULT_AT", at.to_string()).env("KITH_FAULT_ERRNO", errno.to_string());
    command.env("KITH_FAULT_STAYS", u8::from(stays).to_string()).env("KITH_TEST_FOLDER", folder);
    if sealed {
        command.env("KITH_TEST_SEALED", "1");
    }
    let what = format!("call {at}, errno {errno}, stays: {stays}, sealed: {sealed}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + WITHIN;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("{what}: hangs after {}", String::from_utf8_lossy(&output.stdout));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {text}{errors}");
    let said: Vec<&str> = text.lines().filter_map(|l| l.find("said: ").map(|at| &l[at + 6..])).collect();
    let done = said.iter().filter_map(|l| l.strip_prefix("done ")?.parse().ok()).collect();
    let refused = said.iter().find_map(|l| l.strip_prefix("refused ")).map(str::to_string);
    Ended { done, refused, reached: told.exists() }
}

/// The database that was left must open, and hold what was acknowledged, or that and the step that was refused.
fn inspect(folder: &Path, sealed: bool, ended: &Ended, what: &str) {
    let mut people = People::new();
    ended.done.iter().for_each(|step| expect(&mut people, STEPS[*step]));
    let mut further = people.clone();
    if let Some(next) = STEPS.get(ended.done.len()) {
        expect(&mut further, next);
    }
    let path = folder.join("faces");
    let mut opened = Database::open(&path, &options(sealed, Duration::ZERO));
    if sealed && opened.as_ref().is_err_and(|e| e.code() == "store.wrong_key") {
        let next = MasterKey::parse(&"5b".repeat(32)).unwrap();
        opened = Database::open(&path, &DatabaseOptions { key: Some(next), ..options(sealed, Duration::ZERO) });
    }
    let database = opened.unwrap_or_else(|e| panic!("{what}: does not open: {e}"));
    let report = database.check().unwrap();
    assert!(report.is_clean(), "{what}: {report:?}");
    let mut found = People::new();
    for person in database.people(MAIN, &PersonFilter::default()).unwrap_or_default() {
        for face in database.person(MAIN, &person.name).unwrap().1 {
            let number = face.source.trim_start_matches("photo-").trim_end_matches(".jpg").parse().unwrap();
            assert_eq!(who(&database, number).as_deref(), Some(person.name.as_str()), "{what}");
            found.insert((person.name.clone(), number));
        }
    }
    assert!(found == people || found == further, "{what}: {found:?} is neither {people:?} nor {further:?}");
}

fn every_call(sealed: bool, errno: i32, stays: bool, step: usize) {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = shim(folder.path()) else { return };
    let mut ended_early = 0;
    for at in (1u64..).step_by(step) {
        let place = folder.path().join(format!("at-{at}"));
        std::fs::create_dir(&place).unwrap();
        let ended = run(&shim, &place, sealed, at, errno, stays);
        let what = format!(
            "call {at}, errno {errno}, stays: {stays}, sealed: {sealed}, done {:?}, then {:?}",
            ended.done.len(),
            ended.refused
        );
        inspect(&place, sealed, &ended, &what);
        ended_early += u32::from(ended.refused.is_some());
        std::fs::remove_dir_all(&place).unwrap();
        if !ended.reached {
            assert_eq!(ended.done.len(), STEPS.len(), "{what}");
            println!("{at} calls, {ended_early} of them refused a step");
            assert!(at > 100, "only {at} calls were passed");
            return;
        }
    }
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[test]
fn a_call_that_fails_once_loses_nothing() {
    every_call(false, EIO, false, 1);
}

#[test]
fn a_call_that_fails_once_loses_nothing_of_an_encrypted_database() {
    every_call(true, EIO, false, 1);
}

#[test]
fn a_disk_that_is_full_from_any_call_on_loses_nothing_and_lets_nothing_hang() {
    every_call(false, ENOSPC, true, 2);
    every_call(true, ENOSPC, true, 3);
}
