//! Files that are damaged, newer, missing or not to be written: a typed error or a repair that says what
//! was lost, never a wrong answer and never a panic.

use std::path::Path;
use std::time::Duration;

use kith::error::{Error, StoreError};
use kith::{Database, DatabaseOptions, repair};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::require::missing;
use super::{MAIN, copy, enroll, existing, files, open, records, small, small_with, who};

#[test]
fn a_changed_bit_in_any_file_is_never_a_wrong_answer_nor_a_panic() {
    damage(None);
}

#[test]
fn a_changed_bit_in_any_file_of_an_encrypted_database_is_neither() {
    damage(Some(kith::MasterKey::generate().unwrap()));
}

fn damage(key: Option<kith::MasterKey>) {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let options = DatabaseOptions { create: false, wait: Duration::ZERO, key };
    let existing = |path: &Path| Database::open(path, &options);
    small_with(&original, &DatabaseOptions { create: true, ..options.clone() });
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    let (mut refused, mut sound, mut repaired) = (0, 0, 0);
    for file in files(&original) {
        let bytes = std::fs::read(&file).unwrap();
        // The log is mostly empty; what is written stands in its first part and is what is aimed at.
        let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        for round in 0..40 {
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
            match existing(&copied) {
                Err(Error::Store(e)) => {
                    refused += 1;
                    assert!(!matches!(e, StoreError::Locked { .. } | StoreError::TooNew { .. }), "{what}: {e}");
                    if let Ok(report) = repair(&copied, &options) {
                        repaired += 1;
                        assert!(!report.is_clean(), "{what}: a repair that says nothing");
                        right_or_unknown(&existing(&copied).unwrap(), &what);
                    }
                }
                Err(e) => panic!("{what}: {e}"),
                Ok(database) => {
                    sound += 1;
                    right_or_unknown(&database, &what);
                    let faces: usize = database.stats().unwrap().galleries.iter().map(|g| g.faces).sum();
                    assert_eq!(faces, 30, "{what}: opened without a word, and faces are missing");
                }
            }
        }
    }
    println!("{refused} refused, {repaired} of them repaired, {sound} untouched in what counts");
    assert!(refused > 20 && sound > 0);
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
    assert_eq!(Database::restore(&file, &path, None, None).unwrap_err().code(), "store.not_a_database");

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
        Some(refused) => assert_eq!(refused.unwrap_err().code(), "store.io"),
        None => missing("this user may write anywhere, and may not mount a file system read-only"),
    }
}
