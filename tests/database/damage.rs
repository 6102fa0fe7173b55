//! Files that are damaged, newer, missing or not to be written: a typed error or a repair that says what
//! was lost, never a wrong answer and never a panic.

use std::path::Path;
use std::time::Duration;

use kith::error::{Error, StoreError};
use kith::{CheckReport, Database, DatabaseOptions, repair};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::require::missing;
use super::{MAIN, copy, enroll, existing, files, open, records, small, small_with, who};

#[test]
fn whatever_happens_to_one_file_costs_no_face() {
    damage(None);
}

#[test]
fn whatever_happens_to_one_file_of_an_encrypted_database_costs_no_face() {
    damage(Some(kith::MasterKey::generate().unwrap()));
}

fn faces_in(database: &Database) -> usize {
    database.stats().unwrap().galleries.iter().map(|g| g.faces).sum()
}

/// The database after whatever happened to it, as it opens or as a repair makes it; and what was said of it.
fn opened_or_repaired(path: &Path, options: &DatabaseOptions, what: &str) -> (Database, CheckReport) {
    match Database::open(path, options) {
        Ok(database) => {
            let report = database.check().unwrap();
            assert!(report.lost.is_empty(), "{what}: only a repair loses anything: {report:?}");
            if report.is_clean() {
                return (database, report);
            }
            drop(database);
            let report = repair(path, options).unwrap_or_else(|e| panic!("{what}: {e}"));
            (Database::open(path, options).unwrap(), report)
        }
        Err(Error::Store(e)) => {
            assert!(!matches!(e, StoreError::Locked { .. } | StoreError::TooNew { .. }), "{what}: {e}");
            let report = repair(path, options).unwrap_or_else(|again| panic!("{what}: {e}; then {again}"));
            assert!(!report.is_clean(), "{what}: a repair that says nothing");
            let said = [&report.repaired[..], &report.lost].concat().join("\n");
            assert!(!said.contains("--repair"), "{what}: a repair that advises one: {said}");
            (Database::open(path, options).unwrap(), report)
        }
        Err(e) => panic!("{what}: {e}"),
    }
}

fn damage(key: Option<kith::MasterKey>) {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let options = DatabaseOptions { create: false, wait: Duration::ZERO, key };
    small_with(&original, &DatabaseOptions { create: true, ..options.clone() });
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    for file in files(&original) {
        let bytes = std::fs::read(&file).unwrap();
        // sled's log is mostly empty; what is written is in its first part and is what is aimed at.
        let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        for round in 0..20 {
            let copied = folder.path().join("copy");
            let _ = std::fs::remove_dir_all(&copied);
            copy(&original, &copied);
            let target = copied.join(file.strip_prefix(&original).unwrap());
            let what = match round {
                0 => {
                    std::fs::remove_file(&target).unwrap();
                    "removed".to_string()
                }
                1 => {
                    std::fs::write(&target, []).unwrap();
                    "emptied".to_string()
                }
                2 => {
                    std::fs::write(&target, &bytes[..bytes.len() / 2]).unwrap();
                    "cut in half".to_string()
                }
                _ if written == 0 => break,
                _ => {
                    let (at, bit) = (rng.random_range(0..written), rng.random_range(0..8));
                    let mut changed = bytes.clone();
                    changed[at] ^= 1 << bit;
                    std::fs::write(&target, changed).unwrap();
                    format!("bit {bit} of byte {at} changed")
                }
            };
            let what = format!("{}: {what}", target.strip_prefix(&copied).unwrap().display());
            let (database, told) = opened_or_repaired(&copied, &options, &what);
            right_or_unknown(&database, &what);
            assert_eq!(faces_in(&database), 30, "{what}: faces are missing: {told:?}");
            // Whatever was set right is right from then on.
            drop(database);
            let again = Database::open(&copied, &options).unwrap();
            let report = again.check().unwrap();
            assert!(report.is_clean() && report.repaired.is_empty(), "{what}: {report:?}");
            assert_eq!(faces_in(&again), 30, "{what}: opened again");
        }
    }
}

/// One bit changed at a random place of a database of 500 faces, again and again: what is there after a repair.
#[test]
fn of_two_hundred_changed_bits_none_costs_a_face_and_none_makes_a_wrong_answer() {
    for key in [None, Some(kith::MasterKey::generate().unwrap())] {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("original");
        let options = DatabaseOptions { create: true, wait: Duration::ZERO, key };
        let database = Database::open(&original, &options).unwrap();
        for number in 0..500 {
            let policy = kith::EnrolmentPolicy::default();
            let name = format!("p{}", number % 100);
            let (_, pending) = database.enroll_pending(MAIN, &name, super::face(number), &policy).unwrap();
            database.settle(pending).unwrap();
        }
        drop(database);
        let all: Vec<(std::path::PathBuf, Vec<u8>)> =
            files(&original).into_iter().map(|f| (f.clone(), std::fs::read(f).unwrap())).collect();
        // Places that something was written to, over all files as one.
        let places: Vec<(usize, usize)> = all
            .iter()
            .enumerate()
            .flat_map(|(file, (_, bytes))| {
                bytes.iter().enumerate().filter(|(_, b)| **b != 0).map(move |(at, _)| (file, at))
            })
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (mut found, mut noticed) = (0, 0);
        for _ in 0..200 {
            let (file, at) = places[rng.random_range(0..places.len())];
            let bit = rng.random_range(0..8);
            let copied = folder.path().join("copy");
            let _ = std::fs::remove_dir_all(&copied);
            copy(&original, &copied);
            let (path, bytes) = &all[file];
            let inside = path.strip_prefix(&original).unwrap();
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            std::fs::write(copied.join(inside), changed).unwrap();
            let what = format!("{}: bit {bit} of byte {at}", inside.display());
            let (database, report) = opened_or_repaired(&copied, &options, &what);
            noticed += usize::from(!report.is_clean() || !report.repaired.is_empty());
            assert_eq!(report.lost, Vec::<String>::new(), "{what}");
            found += faces_in(&database);
            for number in (0..500).step_by(37) {
                let name = who(&database, number);
                assert_eq!(name, Some(format!("p{}", number % 100)), "{what}: {report:?}");
            }
        }
        println!("{found} of {} faces; {noticed} of 200 changes noticed", 200 * 500);
        assert_eq!(found, 200 * 500);
    }
}

/// Every bit of the files that a whole database hangs on, one after the other; and pages of the key ring lost.
#[test]
fn no_bit_of_the_smallest_files_and_no_lost_page_of_the_ring_costs_anything() {
    for key in [None, Some(kith::MasterKey::generate().unwrap())] {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("original");
        let options = DatabaseOptions { create: true, wait: Duration::ZERO, key };
        small_with(&original, &options);
        // So that the numbers are not the first.
        let database = Database::open(&original, &options).unwrap();
        for gone in ["x", "y"] {
            database.enroll(MAIN, gone, super::face(900), &kith::EnrolmentPolicy::default()).unwrap();
            database.forget(MAIN, gone, true).unwrap();
        }
        drop(database);
        let mut changes: Vec<(String, Vec<u8>)> = Vec::new();
        let current = std::fs::read(original.join("CURRENT")).unwrap();
        for bit in 0..current.len() * 8 {
            let mut changed = current.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            changes.push(("CURRENT".to_string(), changed));
        }
        changes.extend((0..current.len()).map(|cut| ("CURRENT".to_string(), current[..cut].to_vec())));
        for ring in ["ring-1", "ring-1.mirror"] {
            let Ok(bytes) = std::fs::read(original.join(ring)) else { continue };
            for at in (0..bytes.len()).step_by(2048) {
                let mut changed = bytes.clone();
                changed[at..(at + 4096).min(bytes.len())].fill(0);
                changes.push((ring.to_string(), changed));
            }
        }
        for (number, (file, bytes)) in changes.iter().enumerate() {
            let copied = folder.path().join("copy");
            let _ = std::fs::remove_dir_all(&copied);
            copy(&original, &copied);
            std::fs::write(copied.join(file), bytes).unwrap();
            let what = format!("{file}, change {number}");
            let options = DatabaseOptions { create: false, ..options.clone() };
            let (database, report) = opened_or_repaired(&copied, &options, &what);
            assert_eq!((faces_in(&database), report.lost.len()), (30, 0), "{what}: {report:?}");
        }
    }
}

#[test]
fn where_journal_and_records_are_both_damaged_what_either_has_is_kept_and_every_loss_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    small(&original);
    let journal = std::fs::read(original.join("journal-1")).unwrap();
    let log = std::fs::read(original.join("records-1/db")).unwrap();
    let written = log.iter().rposition(|b| *b != 0).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (mut found, rounds) = (0, 60);
    for round in 0..rounds {
        let copied = folder.path().join("copy");
        let _ = std::fs::remove_dir_all(&copied);
        copy(&original, &copied);
        let (mut j, mut l) = (journal.clone(), log.clone());
        for _ in 0..1 + round % 3 {
            j[rng.random_range(96..journal.len())] ^= 1 << rng.random_range(0..8);
        }
        l[rng.random_range(0..=written)] ^= 1 << rng.random_range(0..8);
        std::fs::write(copied.join("journal-1"), &j).unwrap();
        std::fs::write(copied.join("records-1/db"), &l).unwrap();
        let options = DatabaseOptions { create: false, wait: Duration::ZERO, key: None };
        let (database, report) = opened_or_repaired(&copied, &options, &format!("round {round}"));
        right_or_unknown(&database, &format!("round {round}"));
        let faces = faces_in(&database);
        assert!(faces == 30 || !report.lost.is_empty(), "round {round}: {faces} faces and not a word: {report:?}");
        found += faces;
    }
    println!("{found} of {} faces", 30 * rounds);
    assert!(found * 100 > 30 * rounds * 85, "{found}");
}

fn right_or_unknown(database: &Database, what: &str) {
    if !database.galleries().contains(&MAIN.to_string()) {
        return;
    }
    for number in 0..30 {
        if let Some(name) = who(database, number) {
            assert_eq!(name, format!("p{}", number % 10), "{what}");
        }
    }
}

#[test]
fn a_newer_database_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces");
    small(&path);
    let journal = std::fs::read(path.join("journal-1")).unwrap();
    let place = path.join("records-1");
    let db = records(&place);
    let mut head = db.get(b"h").unwrap().unwrap().to_vec();
    head[1..5].copy_from_slice(&99u32.to_le_bytes());
    let end = head.len() - 4;
    let mut sum = crc32fast::Hasher::new();
    sum.update(b"h");
    sum.update(&head[..end]);
    head[end..].copy_from_slice(&sum.finalize().to_le_bytes());
    db.insert(b"h", head.clone()).unwrap();
    db.flush().unwrap();
    drop(db);
    match existing(&path) {
        Err(Error::Store(StoreError::TooNew { found: 99, .. })) => {}
        other => panic!("{other:?}"),
    }
    let db = records(&place);
    assert_eq!(db.get(b"h").unwrap().unwrap(), head);
    assert_eq!(std::fs::read(path.join("journal-1")).unwrap(), journal);
}

#[test]
fn a_backup_restores_to_the_same_answers_and_a_damaged_one_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("faces"), folder.path().join("faces.bak"));
    small(&path);
    let database = open(&path).unwrap();
    let written = database.backup(&file, None).unwrap();
    assert_eq!(written.bytes, std::fs::metadata(&file).unwrap().len());
    let restored = folder.path().join("restored");
    Database::restore(&file, &restored, None, None).unwrap();
    let again = existing(&restored).unwrap();
    for number in 0..30 {
        assert_eq!(who(&again, number), who(&database, number));
    }
    assert!(again.check().unwrap().is_clean());
    let fresh = enroll(&again, "new", 500);
    assert!(database.stats().unwrap().galleries[0].faces == 30 && fresh.face > 30, "numbers go on, not again");
    assert_eq!(Database::restore(&file, &path, None, None).unwrap_err().code(), "store.taken");

    let bytes = std::fs::read(&file).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for round in 0..200 {
        let mut changed = bytes.clone();
        if round % 2 == 0 {
            changed.truncate(rng.random_range(0..bytes.len()));
        } else {
            changed[rng.random_range(0..bytes.len())] ^= 1 << rng.random_range(0..8);
        }
        let damaged = folder.path().join("damaged.bak");
        std::fs::write(&damaged, changed).unwrap();
        let target = folder.path().join("never");
        let refused = Database::restore(&damaged, &target, None, None).unwrap_err();
        assert_eq!(refused.code(), "store.bad_archive", "round {round}: {refused}");
        assert!(!target.exists(), "nothing is made of a damaged backup");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_a_typed_error() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    let can_write = || std::fs::write(locked.join("probe"), b"x").is_ok();
    // The superuser may write whatever the mode says, but not to a file system that is mounted read-only.
    let mounted = can_write() && {
        let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "none"]).arg(&locked).output();
        mount.is_ok_and(|done| done.status.success())
    };
    let refused = (!can_write()).then(|| open(&locked).map(|_| ()));
    if mounted {
        let _ = std::process::Command::new("umount").arg("-l").arg(&locked).status();
    }
    match refused {
        Some(refused) => assert_eq!(refused.unwrap_err().code(), "store.read_only"),
        None => missing("this user may write anywhere, and may not mount a file system read-only"),
    }
}
