//! Several processes at one database: each takes its turn, and none undoes or mistakes what another did.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kith::{Database, DatabaseOptions, EnrolmentPolicy, MasterKey, PersonFilter};

use super::{MAIN, enroll, face, open, who};

/// How often each race is run.
const ROUNDS: u64 = 20;
const KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

fn options(wait: u64, sealed: bool) -> DatabaseOptions {
    let key = sealed.then(|| MasterKey::parse(KEY).unwrap());
    DatabaseOptions { create: true, wait: Duration::from_secs(wait), key }
}

/// Does what `KITH_TEST_DO` says to `KITH_TEST_FOLDER`, and says `done`, or `refused` and the error.
#[test]
#[ignore = "the child of the tests below"]
fn child() {
    let (Ok(what), Ok(folder)) = (std::env::var("KITH_TEST_DO"), std::env::var("KITH_TEST_FOLDER")) else { return };
    let folder = Path::new(&folder);
    let words: Vec<&str> = what.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let opened = || Database::open(folder, &options(60, false));
    let there = DatabaseOptions { create: false, ..options(60, false) };
    let done = match words[0] {
        "enroll" => {
            opened().and_then(|d| d.enroll(MAIN, words[1], face(number(2)), &EnrolmentPolicy::default()).map(drop))
        }
        "forget" => opened().and_then(|d| d.forget(MAIN, words[1], true).map(drop)),
        "rename" => opened().and_then(|d| d.rename(MAIN, words[1], words[2]).map(drop)),
        "people" => opened().and_then(|d| d.people(MAIN, &PersonFilter::default()).map(drop)),
        "identify" => opened().map(|d| drop(who(&d, number(1)))),
        "check" => opened().and_then(|d| {
            let report = d.check()?;
            assert!(report.is_clean(), "{report:?}");
            Ok(())
        }),
        "repair" => kith::repair(folder, &there).map(|report| assert!(report.is_clean(), "{report:?}")),
        "restore" => Database::restore(words[1], folder, None, None).map(drop),
        "rekey" => Database::rekey(folder, &there, Some(&MasterKey::parse(KEY).unwrap())),
        other => panic!("{other}"),
    };
    let mut out = std::io::stdout();
    match done {
        Ok(()) => writeln!(out, "said: done").unwrap(),
        Err(e) => writeln!(out, "said: refused {} {e}", e.code()).unwrap(),
    }
}

fn start(folder: &Path, what: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "processes::child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("KITH_TEST_DO", what).env("KITH_TEST_FOLDER", folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn said(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|l| l.find("said: ").map(|at| l[at + 6..].to_string()));
    said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn processes_that_make_one_database_together_all_find_their_place_in_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let path = folder.path().join(format!("faces-{round}"));
        let children: Vec<Child> = (0..4).map(|n| start(&path, &format!("enroll P{n} {n}"))).collect();
        for child in children {
            assert_eq!(said(child), "done");
        }
        let database = open(&path).unwrap();
        for number in 0..4 {
            assert_eq!(who(&database, number), Some(format!("P{number}")), "round {round}");
        }
    }
}

#[test]
fn who_waits_to_make_a_database_finds_the_one_made_meanwhile() {
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let first = open(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Database::open(path, &options(60, false)).unwrap()
        });
        enroll(&first, "Ada", 1);
        drop(first);
        assert_eq!(who(&waiting.join().unwrap(), 1).as_deref(), Some("Ada"));
    }
}

#[test]
fn restoring_and_enrolling_at_once_loses_neither() {
    let folder = tempfile::tempdir().unwrap();
    let (source, backup) = (folder.path().join("source"), folder.path().join("faces.bak"));
    let database = open(&source).unwrap();
    enroll(&database, "Grace", 7);
    database.backup(&backup, None).unwrap();
    drop(database);
    let mut restored = 0;
    for round in 0..ROUNDS {
        let path = folder.path().join(format!("faces-{round}"));
        let restore = format!("restore {}", backup.display());
        let (a, b) = if round % 2 == 0 {
            let restore = start(&path, &restore);
            (restore, start(&path, "enroll Ada 1"))
        } else {
            let enroll = start(&path, "enroll Ada 1");
            (start(&path, &restore), enroll)
        };
        let (restore, enrolled) = (said(a), said(b));
        assert_eq!(enrolled, "done", "round {round}");
        let database = open(&path).unwrap();
        assert_eq!(who(&database, 1).as_deref(), Some("Ada"), "round {round}");
        if restore == "done" {
            restored += 1;
            assert_eq!(who(&database, 7).as_deref(), Some("Grace"), "round {round}: what was restored is gone");
        } else {
            assert!(restore.contains("store.taken"), "round {round}: {restore}");
        }
    }
    println!("{restored} of {ROUNDS} restores came first");
}

#[test]
fn who_waits_behind_a_change_of_the_files_is_never_told_that_they_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let path = folder.path().join(format!("faces-{round}"));
        let database = open(&path).unwrap();
        for number in 0..20 {
            enroll(&database, &format!("p{number}"), number);
        }
        drop(database);
        let all =
            ["forget p1", "enroll p20 20", "people", "forget p2", "rename p3 p33", "identify 4", "repair", "check"];
        let children: Vec<(&str, Child)> = all.iter().map(|what| (*what, start(&path, what))).collect();
        for (what, child) in children {
            assert_eq!(said(child), "done", "round {round}: {what}");
        }
        let database = open(&path).unwrap();
        let at = |number| who(&database, number);
        assert_eq!((at(1), at(2), at(3).as_deref(), at(20).as_deref()), (None, None, Some("p33"), Some("p20")));
        drop(database);

        let (rekey, enrolling) = (start(&path, "rekey"), start(&path, "enroll p21 21"));
        assert_eq!(said(rekey), "done", "round {round}");
        let enrolled = said(enrolling);
        let sealed = Database::open(&path, &options(10, true)).unwrap();
        // Whoever came after needs the key, and is told so.
        match enrolled.as_str() {
            "done" => assert_eq!(who(&sealed, 21).as_deref(), Some("p21")),
            other => assert!(other.contains("store.key_needed"), "round {round}: {other}"),
        }
        assert_eq!(who(&sealed, 5).as_deref(), Some("p5"));
    }
}
