//! Disks that are full or may only be read: what can be answered is answered, what cannot be done says why, nothing
//! hangs, and forgetting makes room.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use kith::{Database, DatabaseOptions, EnrolmentPolicy, FacePictures, MasterKey, NewFace, PersonFilter};

use super::require::missing;
use super::{MAIN, embedding, exactly, face, who};

/// No call takes longer, whatever the disk does.
const WITHIN: Duration = Duration::from_secs(20);

/// A small file system of its own, while it lives.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    /// None where this user may not mount one.
    pub(super) fn new(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).output();
        if mount.is_ok_and(|o| o.status.success()) {
            return Some(Self(at.to_path_buf()));
        }
        missing("this user may not mount a small file system");
        None
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }

    /// Takes all the room that is left, in whole blocks.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What `call` returns, unless it hangs.
pub(super) fn within<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (said, heard) = mpsc::channel();
    let working = std::thread::spawn(move || drop(said.send(call())));
    match heard.recv_timeout(WITHIN) {
        Ok(done) => done,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(working.join().unwrap_err()),
    }
}

/// What takes the room of a disk, for whoever has to find out.
fn taken(path: &Path) -> String {
    let run = |command: &str, arguments: &[&str]| {
        let output = Command::new(command).args(arguments).arg(path).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let open = Command::new("sh").args(["-c", "ls -ls /proc/$PPID/fd | grep deleted"]).output().unwrap();
    [run("df", &["-k"]), run("ls", &["-lsaR"]), String::from_utf8_lossy(&open.stdout).into_owned()].concat()
}

fn options(sealed: bool) -> DatabaseOptions {
    let key = sealed.then(|| MasterKey::parse(&"5a".repeat(32)).unwrap());
    DatabaseOptions { create: true, wait: Duration::from_secs(5), key }
}

fn kept(number: u64) -> NewFace {
    NewFace {
        pictures: Some(FacePictures { chip: vec![number as u8; 20_000], thumbnail: vec![1; 5_000] }),
        ..face(number)
    }
}

/// Enrols people of one face each until the disk is full; how many there are.
fn enrol_until_full(database: &Database) -> u64 {
    for number in 0..10_000 {
        match database.enroll(MAIN, &format!("p{number}"), kept(number), &EnrolmentPolicy::default()) {
            Ok(_) => {}
            Err(e) => {
                assert_eq!(e.code(), "store.full", "{e}");
                return number;
            }
        }
    }
    panic!("the disk has no end");
}

fn answers(database: &Database, people: u64) {
    for number in (0..people).step_by(7) {
        assert_eq!(who(database, number), Some(format!("p{number}")));
    }
    assert_eq!(database.people(MAIN, &PersonFilter::default()).unwrap().len() as u64, people);
    assert!(database.person(MAIN, "p0").unwrap().1[0].chip);
    assert!(database.check().unwrap().is_clean());
}

#[test]
fn on_a_full_disk_everything_is_answered_and_forgetting_makes_room() {
    for round in 0..20 {
        let (sealed, size) = [(false, "1500k"), (true, "1500k"), (false, "4m"), (true, "6m")][round % 4];
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = Mounted::new(&folder.path().join("disk"), size) else { return };
        let elsewhere = folder.path().to_path_buf();
        let path = folder.path().join("disk/faces");
        let people = within("enrolling", {
            let path = path.clone();
            move || enrol_until_full(&Database::open(&path, &options(sealed)).unwrap())
        });
        assert!(people > 3, "{people} people in {size}");
        let filler = disk.fill();
        within("answering on a full disk", {
            let path = path.clone();
            move || {
                let database = Database::open(&path, &options(sealed)).unwrap();
                answers(&database, people);
                database.export(MAIN, elsewhere.join("export"), true, &|| ()).unwrap();
                database
                    .backup(elsewhere.join("faces.bak"), sealed.then(|| elsewhere.join("ring")).as_deref())
                    .unwrap();
                let refused = database.enroll(MAIN, "later", kept(20_000), &EnrolmentPolicy::default()).unwrap_err();
                assert_eq!(refused.code(), "store.full", "{refused}");
                assert_eq!(database.trouble().unwrap().code(), "store.full");
                answers(&database, people);
            }
        });
        let left = within("forgetting on a full disk", {
            let path = path.clone();
            move || {
                let database = Database::open(&path, &options(sealed)).unwrap();
                for number in 0..people / 2 {
                    database
                        .forget(MAIN, &format!("p{number}"), true)
                        .unwrap_or_else(|e| panic!("round {round}, p{number}: {e}\n{}", taken(&path)));
                }
                people - people / 2
            }
        });
        within("going on", move || {
            let database = Database::open(&path, &options(sealed)).unwrap();
            assert_eq!(database.people(MAIN, &PersonFilter::default()).unwrap().len() as u64, left);
            assert_eq!(who(&database, 0), None);
            database.enroll(MAIN, "later", face(20_000), &EnrolmentPolicy::default()).unwrap();
            assert!(database.trouble().is_none());
            assert!(database.check().unwrap().is_clean());
        });
        drop(filler);
    }
}

#[test]
fn a_database_that_is_open_goes_on_when_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::new(&folder.path().join("disk"), "3m") else { return };
    let path = folder.path().join("disk/faces");
    within("filling up and making room", move || {
        let database = Database::open(&path, &options(false)).unwrap();
        let people = enrol_until_full(&database);
        let filler = disk.fill();
        assert_eq!(database.trouble().unwrap().code(), "store.full");
        answers(&database, people);
        std::fs::remove_file(filler).unwrap();
        disk.remount("size=9m");
        assert!(database.trouble().is_none());
        database.enroll(MAIN, "later", kept(20_000), &EnrolmentPolicy::default()).unwrap();
        drop(database);
        let again = Database::open(&path, &options(false)).unwrap();
        assert_eq!(who(&again, 20_000).as_deref(), Some("later"));
        drop(again);
    });
}

#[test]
fn a_database_on_a_read_only_disk_answers_and_is_not_touched() {
    for sealed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = Mounted::new(&folder.path().join("disk"), "8m") else { return };
        let (path, elsewhere) = (folder.path().join("disk/faces"), folder.path().to_path_buf());
        let database = Database::open(&path, &options(sealed)).unwrap();
        for number in 0..10 {
            database.enroll(MAIN, &format!("p{number}"), kept(number), &EnrolmentPolicy::default()).unwrap();
        }
        drop(database);
        disk.remount("ro");
        within("reading", {
            let path = path.clone();
            move || {
                let database = Database::open(&path, &options(sealed)).unwrap();
                assert!(database.read_only().is_some() && database.trouble().is_none());
                answers(&database, 10);
                let found = database.identify(MAIN, &embedding(3), &exactly(), None).unwrap();
                assert_eq!(found.name.as_deref(), Some("p3"));
                database.export(MAIN, elsewhere.join("export"), true, &|| ()).unwrap();
                database.backup(elsewhere.join("faces.bak"), None).unwrap();
                for refused in [
                    database.enroll(MAIN, "later", face(99), &EnrolmentPolicy::default()).unwrap_err(),
                    database.forget(MAIN, "p1", true).unwrap_err(),
                    database.rename(MAIN, "p1", "x").unwrap_err(),
                ] {
                    assert_eq!(refused.code(), "store.read_only", "{refused}");
                }
                drop(database);
                let rekeyed = Database::rekey(&path, &options(sealed), Some(&MasterKey::generate().unwrap()));
                assert_eq!(rekeyed.unwrap_err().code(), "store.read_only");
                let new = Database::open(path.with_file_name("new"), &options(sealed)).unwrap_err();
                assert_eq!(new.code(), "store.io", "{new}");
            }
        });
        disk.remount("rw");
        answers(&Database::open(&path, &options(sealed)).unwrap(), 10);
    }
}

#[test]
fn a_restore_that_finds_no_room_leaves_nothing_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::new(&folder.path().join("disk"), "200k") else { return };
    let (source, backup) = (folder.path().join("source"), folder.path().join("faces.bak"));
    let database = Database::open(&source, &options(false)).unwrap();
    for number in 0..20 {
        database.enroll(MAIN, &format!("p{number}"), kept(number), &EnrolmentPolicy::default()).unwrap();
    }
    database.backup(&backup, None).unwrap();
    drop(database);
    let path = folder.path().join("disk/faces");
    within("restoring", move || {
        let refused = Database::restore(&backup, &path, None, None).unwrap_err();
        assert_eq!(refused.code(), "store.full", "{refused}");
        assert!(!path.exists(), "{:?}", super::files(&path));
        // Into a folder that was there the lock file is all that may stay.
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Database::restore(&backup, &path, None, None).unwrap_err().code(), "store.full");
        assert!(super::files(&path).iter().all(|f| f.ends_with("LOCK")));
        disk.remount("size=8m");
        Database::restore(&backup, &path, None, None).unwrap();
        answers(&Database::open(&path, &options(false)).unwrap(), 20);
        drop(disk);
    });
}
