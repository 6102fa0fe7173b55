//! Encryption at rest: what stands in the files, who can read it, and what forgetting leaves of it.

use std::path::Path;
use std::time::Duration;

use kith::{Database, DatabaseOptions, EnrolmentPolicy, FacePictures, MasterKey, NewFace, PersonFilter};

use super::{MAIN, copy, embedding, enroll, exactly, existing, face, files, of_model, open, records, who};

fn with(key: &MasterKey) -> DatabaseOptions {
    DatabaseOptions { create: true, wait: Duration::ZERO, key: Some(key.clone()) }
}

fn sealed(path: &Path, key: &MasterKey) -> Database {
    Database::open(path, &with(key)).unwrap()
}

/// The files' bytes, but for the lock, which says who looked last.
fn bytes_of(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let kept = files(folder).into_iter().filter(|f| !f.ends_with("LOCK"));
    kept.map(|f| (f.clone(), std::fs::read(f).unwrap())).collect()
}

/// Everything personal about face 99 of the secretive person.
fn traces() -> Vec<Vec<u8>> {
    let vector: Vec<u8> = embedding(99).values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let box_and_landmarks = [1f32, 2.0, 30.0, 40.0, 5.0, 6.0, 5.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let words = ["Secretive Person", "photo-99.jpg", "night shift", "third door", "secret gallery"];
    let mut all: Vec<Vec<u8>> = words.iter().map(|w| w.as_bytes().to_vec()).collect();
    all.extend([vector[..64].to_vec(), box_and_landmarks, vec![0xA5; 64], [99u8; 32].to_vec()]);
    all
}

fn found_in(folder: &Path) -> Vec<usize> {
    let held = bytes_of(folder);
    let found = |trace: &Vec<u8>| held.iter().any(|(_, bytes)| bytes.windows(trace.len()).any(|w| w == trace));
    traces().iter().enumerate().filter(|(_, t)| found(t)).map(|(n, _)| n).collect()
}

fn enroll_secretive(database: &Database) {
    let policy = EnrolmentPolicy {
        groups: vec!["night shift".into()],
        labels: [("door".to_string(), "third door".to_string())].into(),
        ..Default::default()
    };
    let kept = NewFace {
        pictures: Some(FacePictures { chip: vec![0xA5; 5000], thumbnail: vec![0x5A; 5000] }),
        source_sha256: Some([99; 32]),
        ..face(99)
    };
    database.enroll(MAIN, "Secretive Person", kept, &policy).unwrap();
    let other = NewFace { embedding: of_model(7, "m/0/t"), ..face(7) };
    database.enroll("secret gallery", "Ada", other, &EnrolmentPolicy::default()).unwrap();
}

#[test]
fn an_encrypted_database_shows_nothing_personal_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, path) = (folder.path().join("plain"), folder.path().join("sealed"));
    let key = MasterKey::generate().unwrap();
    enroll_secretive(&open(&plain).unwrap());
    assert_eq!(found_in(&plain).len(), traces().len(), "what is plain is found, or the search is no test");
    let database = sealed(&path, &key);
    assert!(database.stats().unwrap().encrypted);
    enroll_secretive(&database);
    let (backups, ring) = (folder.path().join("backups"), folder.path().join("backups/ring"));
    std::fs::create_dir(&backups).unwrap();
    database.backup(backups.join("faces.bak"), Some(&ring)).unwrap();
    assert_eq!(who(&database, 99).as_deref(), Some("Secretive Person"));
    drop(database);
    assert!(found_in(&path).is_empty() && found_in(&backups).is_empty());
    let database = sealed(&path, &key);
    assert_eq!(who(&database, 99).as_deref(), Some("Secretive Person"));
    let (person, faces) = database.person(MAIN, "Secretive Person").unwrap();
    assert_eq!((person.groups[0].as_str(), faces[0].chip), ("night shift", true));
    assert!(database.check().unwrap().is_clean());
}

#[test]
fn a_wrong_a_missing_and_a_needless_key_are_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, path) = (folder.path().join("plain"), folder.path().join("sealed"));
    let key = MasterKey::generate().unwrap();
    enroll(&open(&plain).unwrap(), "Ada", 1);
    enroll(&sealed(&path, &key), "Ada", 1);
    let before = (bytes_of(&plain), bytes_of(&path));
    let wrong = Database::open(&path, &with(&MasterKey::generate().unwrap())).unwrap_err();
    assert_eq!(wrong.code(), "store.wrong_key");
    assert!(wrong.to_string().contains("nothing was changed"), "{wrong}");
    assert_eq!(existing(&path).unwrap_err().code(), "store.key_needed");
    assert_eq!(open(&path).unwrap_err().code(), "store.key_needed");
    assert_eq!(Database::open(&plain, &with(&key)).unwrap_err().code(), "store.not_encrypted");
    assert_eq!(
        Database::rekey(&path, &with(&MasterKey::generate().unwrap()), None).unwrap_err().code(),
        "store.wrong_key"
    );
    assert_eq!(kith::repair(&path, &with(&MasterKey::generate().unwrap())).unwrap_err().code(), "store.wrong_key");
    assert!(before == (bytes_of(&plain), bytes_of(&path)));
    let ring = std::fs::read(path.join("ring-1")).unwrap();
    std::fs::remove_file(path.join("ring-1")).unwrap();
    assert_eq!(who(&sealed(&path, &key), 1).as_deref(), Some("Ada"), "its mirror makes up for it");
    assert_eq!(std::fs::read(path.join("ring-1")).unwrap(), ring);
    for copy in ["ring-1", "ring-1.mirror"] {
        std::fs::remove_file(path.join(copy)).unwrap();
    }
    assert_eq!(Database::open(&path, &with(&key)).unwrap_err().code(), "store.no_ring");
    assert_eq!(who(&open(&plain).unwrap(), 1).as_deref(), Some("Ada"));
}

#[test]
fn who_is_forgotten_can_be_read_in_no_old_copy_and_in_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate().unwrap();
    for scrub in [true, false] {
        let at = |name: &str| folder.path().join(format!("{name}-{scrub}"));
        let database = sealed(&at("faces"), &key);
        for number in 0..20 {
            enroll(&database, &format!("p{}", number % 4), number);
        }
        enroll_secretive(&database);
        database.backup(at("before.bak"), None).unwrap();
        // A copy of everything on the disk, as somebody may have taken it.
        copy(&at("faces"), &at("stolen"));
        assert_eq!(database.forget(MAIN, "Secretive Person", scrub).unwrap(), 1);
        enroll(&database, "later", 200);
        let ring = at("ring-copy");
        database.backup(at("after.bak"), Some(&ring)).unwrap();

        // The backup of before, with the ring of after: everybody but the one who was forgotten.
        for ring in [ring, at("faces").join("ring-1")] {
            let restored = at("restored");
            let done = Database::restore(at("before.bak"), &restored, Some(&key), Some(&ring)).unwrap();
            assert_eq!(done.forgotten, 3, "person, face and chip");
            let again = sealed(&restored, &key);
            assert!(again.check().unwrap().is_clean());
            assert_eq!(who(&again, 99), None);
            assert_eq!(who(&again, 19).as_deref(), Some("p3"));
            assert_eq!(who(&again, 200), None, "enrolled after the backup");
            // Nobody gets a key that was somebody's once.
            enroll(&again, "new", 300);
            drop(again);
            assert_eq!(who(&sealed(&restored, &key), 300).as_deref(), Some("new"));
            std::fs::remove_dir_all(restored).unwrap();
        }
        // The stolen records, with the ring as it is now.
        drop(database);
        std::fs::copy(at("faces").join("ring-1"), at("stolen").join("ring-1")).unwrap();
        std::fs::remove_file(at("stolen").join("ring-1.mirror")).unwrap();
        let refused = Database::open(at("stolen"), &with(&key)).unwrap_err();
        assert!(refused.to_string().contains("not in the key ring"), "{refused}");
        let report = kith::repair(at("stolen"), &with(&key)).unwrap();
        assert!(!report.is_clean());
        let left = sealed(&at("stolen"), &key);
        assert_eq!(who(&left, 99), None);
        assert_eq!(who(&left, 18).as_deref(), Some("p2"), "the others are there");
    }
}

#[test]
fn merging_keeps_backups_readable_and_forgetting_reaches_all_that_was_merged() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("faces"), MasterKey::generate().unwrap());
    let database = sealed(&path, &key);
    for (name, number) in [("Ada", 1), ("Ada L.", 2), ("Grace", 3), ("Grace", 4)] {
        enroll(&database, name, number);
    }
    let bak = folder.path().join("faces.bak");
    database.backup(&bak, None).unwrap();
    database.merge(MAIN, "Ada L.", "Ada").unwrap();
    let restore = |to: &str| {
        let to = folder.path().join(to);
        Database::restore(&bak, &to, Some(&key), Some(&path.join("ring-1"))).unwrap();
        let names = sealed(&to, &key).people(MAIN, &PersonFilter::default()).unwrap();
        names.into_iter().map(|p| p.name).collect::<Vec<_>>()
    };
    assert_eq!(restore("merged"), ["Ada", "Ada L.", "Grace"]);
    database.forget(MAIN, "Ada", false).unwrap();
    assert_eq!(restore("forgotten"), ["Grace"], "under both names");
    // One face forgotten: what is left of the person lives on under another key.
    let first = database.person(MAIN, "Grace").unwrap().1[0].id;
    database.forget_face(MAIN, first, false).unwrap();
    assert_eq!(restore("one face"), [] as [&str; 0]);
    drop(database);
    let database = sealed(&path, &key);
    assert_eq!((who(&database, 3), who(&database, 4).as_deref()), (None, Some("Grace")));
    assert!(database.check().unwrap().is_clean());
}

#[test]
fn the_key_can_be_changed_set_and_taken_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces");
    let (first, second) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
    let all = |database: &Database| {
        assert!(database.check().unwrap().is_clean());
        assert_eq!(who(database, 99).as_deref(), Some("Secretive Person"));
        assert_eq!(who(database, 5).as_deref(), Some("p1"));
        assert_eq!(database.stats().unwrap().galleries.iter().map(|g| g.faces).sum::<usize>(), 22);
        assert!(database.person(MAIN, "Secretive Person").unwrap().1[0].chip);
    };
    {
        let database = open(&path).unwrap();
        for number in 0..20 {
            enroll(&database, &format!("p{}", number % 4), number);
        }
        enroll_secretive(&database);
    }
    let none = DatabaseOptions { create: false, wait: Duration::ZERO, key: None };
    Database::rekey(&path, &none, Some(&first)).unwrap();
    assert!(found_in(&path).is_empty(), "the plain records are gone");
    assert_eq!(existing(&path).unwrap_err().code(), "store.key_needed");
    let database = sealed(&path, &first);
    all(&database);
    let bak = folder.path().join("faces.bak");
    database.backup(&bak, None).unwrap();
    drop(database);

    Database::rekey(&path, &with(&first), Some(&second)).unwrap();
    assert_eq!(Database::open(&path, &with(&first)).unwrap_err().code(), "store.wrong_key");
    all(&sealed(&path, &second));
    // A backup of before opens with the new key and the new ring.
    let restored = folder.path().join("restored");
    let ring =
        files(&path).into_iter().find(|f| f.file_name().unwrap().to_string_lossy().starts_with("ring-")).unwrap();
    assert_eq!(Database::restore(&bak, &restored, Some(&first), Some(&ring)).unwrap_err().code(), "store.wrong_key");
    assert_eq!(Database::restore(&bak, &restored, Some(&second), None).unwrap_err().code(), "store.no_ring");
    assert_eq!(Database::restore(&bak, &restored, None, Some(&ring)).unwrap_err().code(), "store.key_needed");
    assert!(!restored.exists(), "refused before anything is made");
    Database::restore(&bak, &restored, Some(&second), Some(&ring)).unwrap();
    all(&sealed(&restored, &second));
    let other = sealed(&folder.path().join("other"), &second);
    let foreign = folder.path().join("other/ring-1");
    let refused = Database::restore(&bak, folder.path().join("never"), Some(&second), Some(&foreign)).unwrap_err();
    assert_eq!(refused.code(), "store.no_ring", "another database's ring");
    drop(other);

    Database::rekey(&path, &with(&second), None).unwrap();
    all(&existing(&path).unwrap());
    assert!(!files(&path).iter().any(|f| f.file_name().unwrap().to_string_lossy().starts_with("ring-")));
}

#[test]
fn records_put_in_each_others_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("faces"), MasterKey::generate().unwrap());
    let database = sealed(&path, &key);
    let a = enroll(&database, "Ada", 1);
    let b = enroll(&database, "Ada", 2);
    drop(database);
    // Both are one person's, under one data key: only their places differ.
    let db = records(&path.join("records-1"));
    let keys: Vec<_> = db.scan_prefix(b"f").keys().map(Result::unwrap).collect();
    assert_eq!((keys.len(), a.person), (2, b.person));
    let values: Vec<Vec<u8>> = keys.iter().map(|k| db.get(k).unwrap().unwrap().to_vec()).collect();
    for (key, value) in keys.iter().zip(values.iter().rev()) {
        let body = &value[..value.len() - 4];
        let mut sum = crc32fast::Hasher::new();
        sum.update(key);
        sum.update(body);
        db.insert(key, [body, &sum.finalize().to_le_bytes()].concat()).unwrap();
    }
    db.flush().unwrap();
    drop(db);
    // The digest of all records does not fit any more, and the journal has them as they were.
    let database = sealed(&path, &key);
    assert!(database.notes()[0].contains("made again from the journal"), "{:?}", database.notes());
    assert_eq!(database.person(MAIN, "Ada").unwrap().1[0].source, "photo-1.jpg");
    assert_eq!(database.distance_to_face(MAIN, b.face, &embedding(2)).unwrap(), 0.0);
}

#[test]
fn vectors_stored_as_f16_answer_the_same_before_and_after_and_take_half() {
    let folder = tempfile::tempdir().unwrap();
    let half = EnrolmentPolicy { half: true, ..Default::default() };
    let (narrow, wide) = (folder.path().join("f16"), folder.path().join("f32"));
    let size = |path: &Path, policy: &EnrolmentPolicy| {
        let database = open(path).unwrap();
        for number in 0..200 {
            database.enroll(MAIN, &format!("p{number}"), face(number), policy).unwrap();
        }
        let file = path.with_extension("bak");
        database.backup(&file, None).unwrap().bytes
    };
    let saved = size(&wide, &EnrolmentPolicy::default()) - size(&narrow, &half);
    assert_eq!(saved, 200 * 2 * super::DIMENSION as u64);
    let answers = |path: &Path| {
        let database = existing(path).unwrap();
        assert!(database.check().unwrap().is_clean());
        (0..200).map(|n| database.identify(MAIN, &embedding(n), &exactly(), None).unwrap()).collect::<Vec<_>>()
    };
    let (before, after) = (answers(&narrow), answers(&narrow));
    for (number, (b, a)) in before.iter().zip(&after).enumerate() {
        assert_eq!(a.candidates, b.candidates);
        assert_eq!(a.name, Some(format!("p{number}")));
        assert!(a.candidates[0].distance > 0.0 && a.candidates[0].distance < 1e-3);
    }
}
