//! Crash tests: a child process writes and is killed, again and again; what it acknowledged must be
//! there, nothing may be half there, and the check must be clean.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Database, DatabaseOptions, EnrolmentPolicy, MasterKey, NewFace, PersonFilter, SearchPolicy};
use crate::geometry::{BBox, Landmarks};
use crate::vector::{Embedding, ModelId};

const GALLERY: &str = "main";
const DIMENSION: usize = 32;
/// Kills at random moments.
const KILLS: usize = 200;
const SEED: u64 = 20_260_101;
const PLAIN: &str = "plain";
const SEALED: &str = "sealed";

/// Faces of each person, by the number of their operation.
type Model = BTreeMap<String, BTreeSet<u64>>;

fn vector(number: u64) -> Embedding {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let values = (0..DIMENSION).map(|_| rng.random_range(-1.0..1.0)).collect();
    Embedding::from_raw(values, ModelId::from_text("m/0/t")).unwrap()
}

fn face(number: u64) -> NewFace {
    NewFace {
        embedding: vector(number),
        bbox: BBox::new(0.0, 0.0, 10.0, 10.0),
        landmarks: Landmarks([[1.0, 2.0]; 5]),
        score: 1.0,
        quality: [30.0, 0.1, 0.5, 0.0, 0.0, 0.0].into(),
        source: number.to_string(),
        source_sha256: None,
        // Some records are too large for sled's log and go to files of their own.
        pictures: (number.is_multiple_of(5)).then(|| super::FacePictures {
            chip: vec![number as u8; 300_000 * (number % 2) as usize + 9],
            thumbnail: vec![7; 100],
        }),
    }
}

/// Where the name of the folder says so, the database is encrypted.
fn options(folder: &Path) -> DatabaseOptions {
    let sealed = folder.ends_with(SEALED);
    let key = sealed.then(|| MasterKey::parse(&"5a".repeat(32)).unwrap());
    DatabaseOptions { create: true, wait: Duration::from_secs(20), key }
}

fn person(number: u64) -> String {
    format!("person {}", number % 6)
}

/// What operation `number` does: every eleventh forgets (every third of these rewrites the files), every
/// seventh merges, every thirteenth renames, the rest enrol.
fn perform(database: &Database, number: u64) -> crate::Result<()> {
    let name = person(number);
    let known = |name: &str| database.person(GALLERY, name).is_ok();
    if number % 11 == 10 {
        return if known(&name) { database.forget(GALLERY, &name, number.is_multiple_of(3)).map(drop) } else { Ok(()) };
    }
    if number % 7 == 6 {
        let into = person(number + 1);
        return if known(&name) && known(&into) { database.merge(GALLERY, &name, &into).map(drop) } else { Ok(()) };
    }
    if number % 13 == 12 {
        let to = person(number + 2);
        return if known(&name) && !known(&to) { database.rename(GALLERY, &name, &to).map(drop) } else { Ok(()) };
    }
    database.enroll(GALLERY, &name, face(number), &EnrolmentPolicy::default()).map(drop)
}

fn expect(model: &mut Model, number: u64) {
    let name = person(number);
    if number % 11 == 10 {
        model.remove(&name);
    } else if number % 7 == 6 {
        let into = person(number + 1);
        if model.contains_key(&name) && model.contains_key(&into) {
            let moved = model.remove(&name).unwrap();
            model.get_mut(&into).unwrap().extend(moved);
        }
    } else if number % 13 == 12 {
        let to = person(number + 2);
        if model.contains_key(&name) && !model.contains_key(&to) {
            let faces = model.remove(&name).unwrap();
            model.insert(to, faces);
        }
    } else {
        model.entry(name).or_default().insert(number);
    }
}

/// What the database holds, every face looked up by its vector too.
fn held(database: &Database) -> Model {
    let Ok(people) = database.people(GALLERY, &PersonFilter::default()) else { return Model::new() };
    let policy = SearchPolicy { top: 1, threshold: Some(0.01), ..SearchPolicy::default() };
    let mut model = Model::new();
    for person in people {
        let (_, faces) = database.person(GALLERY, &person.name).unwrap();
        let numbers: BTreeSet<u64> = faces.iter().map(|f| f.source.parse().unwrap()).collect();
        for &number in &numbers {
            let answer = database.identify(GALLERY, &vector(number), &policy, None).unwrap();
            assert_eq!(answer.name.as_deref(), Some(person.name.as_str()), "face {number}");
        }
        model.insert(person.name, numbers);
    }
    model
}

/// Run as a process of its own: goes on from operation `KITH_TEST_FROM`, and says each one that is done.
#[test]
#[ignore = "the child of the crash tests"]
fn child() {
    let (Ok(folder), Ok(from)) = (std::env::var("KITH_TEST_FOLDER"), std::env::var("KITH_TEST_FROM")) else { return };
    let database = Database::open(&folder, &options(Path::new(&folder))).unwrap();
    println!("begun");
    let first: u64 = from.parse().unwrap();
    for number in first..first + 60 {
        match perform(&database, number) {
            Ok(()) => println!("done {number}"),
            // What had no room was not done. Somebody may be forgotten though, and only the files not rewritten.
            Err(e) if e.code() == "store.full" => {
                let gone = number % 11 == 10 && database.person(GALLERY, &person(number)).is_err();
                println!("done {number} {}", if gone { "" } else { "not" });
            }
            Err(e) => panic!("{e}"),
        }
    }
}

fn start(folder: &Path, from: u64, abort_at: Option<u64>) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "gallery::crash::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("KITH_TEST_FOLDER", folder)
        .env("KITH_TEST_FROM", from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(point) = abort_at {
        command.env("KITH_TEST_ABORT_AT", point.to_string());
    }
    let mut child = command.spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// The next line of the child that says `word`: what follows it there.
fn heard(output: &mut BufReader<ChildStdout>, word: &str) -> Option<String> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        // The test harness may print before it.
        if let Some(at) = line.find(word) {
            return Some(line[at + word.len()..].trim().to_string());
        }
    }
}

/// Reads the child's acknowledgements to its end; the number of operations that are said to be done, and of them those
/// that found no room and were not.
fn acknowledged((mut child, mut output): (Child, BufReader<ChildStdout>), from: u64) -> (u64, BTreeSet<u64>) {
    let (mut next, mut not) = (from, BTreeSet::new());
    while let Some(said) = heard(&mut output, "done ") {
        let (number, how) = said.split_once(' ').unwrap_or((&said, ""));
        // A line that the kill cut short acknowledges nothing.
        let Ok(number) = number.parse::<u64>() else { break };
        assert_eq!(number, next, "operations are done in order");
        if how == "not" {
            not.insert(number);
        }
        next = number + 1;
    }
    child.wait().unwrap();
    (next, not)
}

/// The database after a crash: as after the acknowledged operations, or as after the one that was under
/// way too. Returns the next operation.
fn inspect(folder: &Path, model: &mut Model, from: u64, (next, not): (u64, BTreeSet<u64>), what: &str) -> u64 {
    for number in (from..next).filter(|n| !not.contains(n)) {
        expect(model, number);
    }
    let database = Database::open(folder, &options(folder)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let report = database.check().unwrap();
    assert!(report.is_clean(), "{what}: {report:?}");
    let found = held(&database);
    if found == *model {
        return next;
    }
    let mut further = model.clone();
    expect(&mut further, next);
    assert_eq!(found, further, "{what}: neither before nor after operation {next}");
    *model = further;
    next + 1
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    killed_again_and_again(folder.path());
}

/// The same on a disk that is nearly full all the time, so that every operation finds no room now and then.
#[cfg(target_os = "linux")]
#[test]
fn a_kill_at_any_moment_on_a_nearly_full_disk_loses_nothing_either() {
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=5m", "none"]).arg(folder.path()).output();
    if !mount.is_ok_and(|o| o.status.success()) {
        return crate::require::missing("this user may not mount a small file system");
    }
    let _mounted = Mounted(folder.path());
    killed_again_and_again(folder.path());
}

fn killed_again_and_again(folder: &Path) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    // Two databases take turns: one plain, one encrypted.
    let paths = [PLAIN, SEALED].map(|name| folder.join(name));
    let (mut models, mut reached_by, mut lively) = ([Model::new(), Model::new()], [0, 0], 0);
    for kill in 0..KILLS {
        let (path, model) = (&paths[kill % 2], &mut models[kill % 2]);
        let mut next = reached_by[kill % 2];
        let (mut child, mut output) = start(path, next, None);
        // A half at any moment of opening and writing, a half after something was acknowledged.
        let from = next;
        let (written, mut first) = (kill % 4 >= 2, String::new());
        if written {
            first = heard(&mut output, "done ").unwrap();
            let number = first.split(' ').next().unwrap();
            assert_eq!(number.parse::<u64>().unwrap(), next);
            next += 1;
        }
        let life = Duration::from_micros(rng.random_range(1_000..80_000));
        std::thread::sleep(life);
        child.kill().unwrap();
        let (reached, mut not) = acknowledged((child, output), next);
        if first.ends_with(" not") {
            not.insert(from);
        }
        lively += usize::from(reached > from);
        next = inspect(
            path,
            model,
            from,
            (reached, not),
            &format!("seed {SEED}, kill {kill} after {life:?}, written: {written}"),
        );
        reached_by[kill % 2] = next;
    }
    println!(
        "{KILLS} kills in {}, {lively} of them after acknowledged writes, {reached_by:?} operations",
        folder.display()
    );
    assert!(lively > KILLS / 4, "only {lively} children came to write");
}

#[test]
fn an_end_at_every_step_of_settling_loses_nothing_acknowledged() {
    every_step(PLAIN);
}

#[test]
fn an_end_at_every_step_of_an_encrypted_database_loses_nothing_acknowledged() {
    every_step(SEALED);
}

fn every_step(name: &str) {
    let mut ended = 0;
    for point in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut model = Model::new();
        let (reached, not) = acknowledged(start(&path, 0, Some(point)), 0);
        inspect(&path, &mut model, 0, (reached, not), &format!("end at step {point}"));
        if reached == 60 {
            break;
        }
        ended += 1;
    }
    println!("{name}: {ended} steps");
    assert!(ended > 100, "only {ended} steps were passed");
}

#[test]
fn a_snapshot_that_a_kill_cut_short_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PLAIN);
    let mut model = Model::new();
    let database = Database::open(&path, &options(&path)).unwrap();
    for number in 0..6 {
        perform(&database, number).unwrap();
        expect(&mut model, number);
    }
    drop(database);
    let inside = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path());
    let records: Vec<_> = inside.filter(|p| p.is_dir()).collect();
    assert_eq!(records.len(), 1, "{records:?}");
    let cut_short = records[0].join("snap.7FFFFFFFFFFFFFFF.generating");
    std::fs::write(&cut_short, b"cut").unwrap();
    assert_eq!(held(&Database::open(&path, &options(&path)).unwrap()), model);
    assert!(!cut_short.exists());
}
