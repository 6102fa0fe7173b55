//! The database held against a model, and against everything that happens to files.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

mod damage;
mod disk;
mod durability;
mod fault;
mod formats;
mod processes;
#[path = "../common/require.rs"]
mod require;
mod sealed;
mod transfer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kith::error::{Error, GalleryError, GateRefusal, StoreError};
use kith::geometry::{BBox, Landmarks};
use kith::{
    Database, DatabaseOptions, Embedding, EnrolmentPolicy, EnrolmentStatus, FacePictures, ModelId, NewFace,
    PersonChange, PersonFilter, SearchPolicy, TemplateRule, Threshold,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const MAIN: &str = "main";
const DIMENSION: usize = 64;

fn embedding(number: u64) -> Embedding {
    of_model(number, "m/0/t")
}

fn of_model(number: u64, model: &str) -> Embedding {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    Embedding::from_raw((0..DIMENSION).map(|_| rng.random_range(-1.0..1.0)).collect(), ModelId::from_text(model))
        .unwrap()
}

fn face(number: u64) -> NewFace {
    NewFace {
        embedding: embedding(number),
        bbox: BBox::new(1.0, 2.0, 30.0, 40.0),
        landmarks: Landmarks([[5.0, 6.0]; 5]),
        score: 0.99,
        quality: [30.0, 0.1, 0.5, 1.0, 2.0, 3.0].into(),
        source: format!("photo-{number}.jpg"),
        source_sha256: Some([(number % 251) as u8; 32].map(|b| b ^ (number >> 8) as u8)),
        pictures: None,
    }
}

fn open(path: &Path) -> Result<Database, Error> {
    Database::open(path, &DatabaseOptions { create: true, wait: Duration::from_secs(10), key: None })
}

fn existing(path: &Path) -> Result<Database, Error> {
    Database::open(path, &DatabaseOptions { create: false, wait: Duration::ZERO, key: None })
}

/// The records as sled has them. A lock that was let go lives on for a moment in what the tests beside this one start.
fn records(folder: &Path) -> sled::Db {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match sled::open(folder) {
            Err(e) if e.to_string().contains("acquire lock") && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.unwrap(),
        }
    }
}

fn enroll(database: &Database, name: &str, number: u64) -> kith::Enrolled {
    database.enroll(MAIN, name, face(number), &EnrolmentPolicy::default()).unwrap()
}

fn exactly() -> SearchPolicy {
    SearchPolicy { top: 1, threshold: Some(0.01), ..SearchPolicy::default() }
}

fn who(database: &Database, number: u64) -> Option<String> {
    database.identify(MAIN, &embedding(number), &exactly(), None).unwrap().name
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
    // sled looks for its folder of large values even when it is empty.
    for entry in std::fs::read_dir(to).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::create_dir_all(path.join("blobs")).unwrap();
        }
    }
}

#[test]
fn random_operations_agree_with_a_model() {
    for seed in 0..12u64 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Every other database is encrypted.
        let key = (seed % 2 == 1).then(|| kith::MasterKey::generate().unwrap());
        let options = DatabaseOptions { create: true, wait: Duration::from_secs(10), key };
        let open = |path: &Path| Database::open(path, &options);
        let mut database = open(&path).unwrap();
        // Person to (face number in the database, number of its vector).
        let mut model: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for number in 0..120u64 {
            let name = |rng: &mut ChaCha8Rng| format!("p{}", rng.random_range(0..5));
            let (a, b) = (name(&mut rng), name(&mut rng));
            let gallery_exists = database.galleries().contains(&MAIN.to_string());
            match rng.random_range(0..12) {
                0..=5 => {
                    let enrolled = enroll(&database, &a, number);
                    assert_eq!(enrolled.status, EnrolmentStatus::Added);
                    model.entry(a).or_default().push((enrolled.face, number));
                }
                6 if gallery_exists => {
                    let gone = database.forget(MAIN, &a, rng.random_bool(0.3));
                    assert_eq!(gone.ok(), model.remove(&a).map(|f| f.len()), "seed {seed}");
                }
                7 if gallery_exists => {
                    let merged = database.merge(MAIN, &a, &b).is_ok();
                    let possible = a != b && model.contains_key(&a) && model.contains_key(&b);
                    assert_eq!(merged, possible, "seed {seed}: {a} into {b}");
                    if possible {
                        let moved = model.remove(&a).unwrap();
                        model.get_mut(&b).unwrap().extend(moved);
                    }
                }
                8 if gallery_exists => {
                    let renamed = database.rename(MAIN, &a, &b).is_ok();
                    let possible = model.contains_key(&a) && (a == b || !model.contains_key(&b));
                    assert_eq!(renamed, possible, "seed {seed}: {a} to {b}");
                    if let Some(faces) = model.remove(&a) {
                        model.insert(if possible { b } else { a }, faces);
                    }
                }
                9 if gallery_exists => {
                    let face = model.values().flatten().map(|f| f.0).next();
                    if let Some(face) = face {
                        database.forget_face(MAIN, face, false).unwrap();
                        model.values_mut().for_each(|f| f.retain(|(id, _)| *id != face));
                    }
                }
                10 => {
                    drop(database);
                    database = open(&path).unwrap();
                }
                _ => {}
            }
            let report = database.check().unwrap();
            assert!(report.is_clean(), "seed {seed}, operation {number}: {report:?}");
        }
        drop(database);
        let database = open(&path).unwrap();
        let people = database.people(MAIN, &PersonFilter::default()).unwrap();
        let listed: Vec<(String, usize)> = people.iter().map(|p| (p.name.clone(), p.faces)).collect();
        let wanted: Vec<(String, usize)> = model.iter().map(|(n, f)| (n.clone(), f.len())).collect();
        assert_eq!(listed, wanted, "seed {seed}");
        for (name, faces) in &model {
            for (_, number) in faces {
                assert_eq!(who(&database, *number).as_ref(), Some(name), "seed {seed}, vector {number}");
            }
        }
    }
}

#[test]
fn nothing_is_enrolled_twice_and_nobody_as_somebody_else() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("faces")).unwrap();
    let first = enroll(&database, "Ada", 1);
    let again = enroll(&database, "Ada", 1);
    assert_eq!((again.face, again.status), (first.face, EnrolmentStatus::SamePhoto));
    let resaved = NewFace { source_sha256: Some([77; 32]), ..face(1) };
    let again = database.enroll(MAIN, "Ada", resaved.clone(), &EnrolmentPolicy::default()).unwrap();
    assert_eq!((again.face, again.status), (first.face, EnrolmentStatus::SameFace));

    let watchful = EnrolmentPolicy { duplicates: Some(Threshold::at(0.3)), ..Default::default() };
    let refused = database.enroll(MAIN, "Grace", resaved.clone(), &watchful).unwrap_err();
    match &refused {
        Error::Gallery(GalleryError::Gate {
            refusal: GateRefusal::SomeoneElse { name, face, distance, .. }, ..
        }) => {
            assert_eq!((name.as_str(), *face), ("Ada", first.face));
            assert!(*distance < 1e-3);
        }
        other => panic!("{other}"),
    }
    assert_eq!(refused.code(), "gate.someone_else");
    assert!(database.person(MAIN, "Grace").is_err(), "a refusal leaves nobody behind");
    database.enroll(MAIN, "Grace", resaved, &EnrolmentPolicy::default()).unwrap();
    assert_eq!(database.stats().unwrap().galleries[0].faces, 2);
}

#[test]
fn faces_of_two_detectors_do_not_meet_unsaid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces");
    let database = open(&path).unwrap();
    let found_by = |number, detector: &str| NewFace { embedding: embedding(number).found_by(detector), ..face(number) };
    let add = |database: &Database, name: &str, face| database.enroll(MAIN, name, face, &EnrolmentPolicy::default());
    // Of this one it is not known.
    enroll(&database, "Ada", 1);
    let first = add(&database, "Grace", found_by(2, "mtcnn")).unwrap();
    let shown = database.person(MAIN, "Grace").unwrap().1;
    assert_eq!(shown[0].detector.as_deref(), Some("mtcnn"));
    let check = |database: &Database| {
        assert_eq!(add(database, "Eve", found_by(3, "yunet-n")).unwrap_err().code(), "gallery.wrong_detector");
        let probe = |number, detector: &str| {
            let probe = embedding(number).found_by(detector);
            database.identify(MAIN, &probe, &exactly(), None).map(|a| a.name)
        };
        let refused = probe(2, "yunet-n").unwrap_err();
        assert!(refused.to_string().contains("say --detector mtcnn"), "{refused}");
        assert_eq!(probe(2, "mtcnn").unwrap().as_deref(), Some("Grace"));
        assert_eq!(probe(1, "mtcnn").unwrap().as_deref(), Some("Ada"), "one whose detector is not known meets all");
        assert_eq!(who(database, 2).as_deref(), Some("Grace"), "and so does a probe");
        let near = database.distance_to_face(MAIN, first.face, &embedding(2).found_by("yunet-n")).unwrap_err();
        assert_eq!(near.code(), "gallery.wrong_detector");
    };
    check(&database);
    let exported = folder.path().join("export");
    database.export(MAIN, &exported, false, &|| ()).unwrap();
    drop(database);
    check(&open(&path).unwrap());
    let again = open(&folder.path().join("again")).unwrap();
    again.import(MAIN, &exported, &|| ()).unwrap();
    assert_eq!(add(&again, "Eve", found_by(3, "yunet-n")).unwrap_err().code(), "gallery.wrong_detector");
    // The last face of that detector is gone, and with it the bond.
    again.forget(MAIN, "Grace", false).unwrap();
    add(&again, "Eve", found_by(3, "yunet-n")).unwrap();
}

#[test]
fn galleries_models_groups_and_labels_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("faces")).unwrap();
    let staff = EnrolmentPolicy {
        groups: vec!["staff".into(), "night".into()],
        labels: BTreeMap::from([("door".to_string(), "3".to_string())]),
        ..Default::default()
    };
    database.enroll(MAIN, "Ada", face(1), &staff).unwrap();
    enroll(&database, "Grace", 2);
    database.enroll("visitors", "Ada", face(3), &EnrolmentPolicy::default()).unwrap();

    let only = |groups: &[&str], labels: &[(&str, &str)]| SearchPolicy {
        filter: PersonFilter {
            groups: groups.iter().map(ToString::to_string).collect(),
            labels: labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        },
        ..exactly()
    };
    let named = |number, policy: &SearchPolicy| {
        let answer = database.identify(MAIN, &embedding(number), policy, None).unwrap();
        (answer.name, answer.searched)
    };
    assert_eq!(named(1, &only(&["staff"], &[])), (Some("Ada".to_string()), 1));
    assert_eq!(named(2, &only(&["staff"], &[])), (None, 1));
    assert_eq!(named(1, &only(&["staff", "night"], &[("door", "3")])), (Some("Ada".to_string()), 1));
    assert_eq!(named(1, &only(&["staff"], &[("door", "4")])), (None, 0));
    assert_eq!(named(3, &exactly()), (None, 2), "another gallery's face");
    let change = PersonChange { leave: vec!["staff".into()], unset: vec!["door".into()], ..Default::default() };
    let ada = database.label(MAIN, "Ada", &change).unwrap();
    assert_eq!((ada.groups, ada.labels.len()), (vec!["night".to_string()], 0));
    assert_eq!(named(1, &only(&["staff"], &[])), (None, 0));

    let other = NewFace { embedding: of_model(9, "other/0/t"), ..face(9) };
    let refused = database.enroll(MAIN, "Eve", other, &EnrolmentPolicy::default()).unwrap_err();
    assert_eq!(refused.code(), "gallery.wrong_model");
    let refused = database.identify(MAIN, &of_model(1, "other/0/t"), &exactly(), None).unwrap_err();
    assert_eq!(refused.code(), "gallery.wrong_model");
    assert_eq!(
        database.identify("nowhere", &embedding(1), &exactly(), None).unwrap_err().code(),
        "gallery.unknown_gallery"
    );
    assert_eq!(
        database.identify(MAIN, &embedding(1), &SearchPolicy::default(), None).unwrap_err().code(),
        "refusal.not_calibrated"
    );
    for bad in ["", "  ", "a\nb", &"x".repeat(300)] {
        let refused = database.enroll(MAIN, bad, face(5), &EnrolmentPolicy::default()).unwrap_err();
        assert_eq!(refused.code(), "gallery.bad_name", "{bad:?}");
    }
}

#[test]
fn the_mean_of_a_persons_faces_stands_for_the_person() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("faces")).unwrap();
    let blend = |a: u64, b: u64| {
        let (a, b) = (embedding(a), embedding(b));
        let sum = a.values().iter().zip(b.values()).map(|(x, y)| x + y).collect();
        Embedding::from_raw(sum, a.model().clone()).unwrap()
    };
    enroll(&database, "Ada", 1);
    enroll(&database, "Ada", 2);
    enroll(&database, "Grace", 3);
    let mean = SearchPolicy { by: TemplateRule::Mean, ..exactly() };
    let answer = database.identify(MAIN, &blend(1, 2), &mean, None).unwrap();
    assert_eq!((answer.name.as_deref(), answer.searched), (Some("Ada"), 4 + 1));
    assert_eq!(database.identify(MAIN, &embedding(1), &mean, None).unwrap().name, None);
    enroll(&database, "Ada", 4);
    assert_eq!(database.identify(MAIN, &blend(1, 2), &mean, None).unwrap().name, None, "the mean has moved");
    enroll(&database, "Mary", 7);
    enroll(&database, "Mary", 8);
    // A template lies nearer to strangers than a face does, so it is held to a stricter line at any rate.
    let mut record = kith::Calibration::parse(include_str!("../../weights/calibrations/dlib-resnet.json")).unwrap();
    record.model = "m/0/t".to_string();
    let line = |by: TemplateRule, max_fmr: Option<f64>| {
        let policy = SearchPolicy { by, max_fmr, ..SearchPolicy::default() };
        let line = database.identify(MAIN, &embedding(1), &policy, Some(&record)).unwrap().threshold;
        (line.distance, line.fmr.unwrap(), line.comparisons.unwrap())
    };
    let (best, mean) = (line(TemplateRule::Best, None), line(TemplateRule::Mean, None));
    assert_eq!((best.2, mean.2), (3 + 1 + 2, 5 + 1 + 4));
    assert!(mean.1 < best.1 && mean.0 <= best.0);
    assert!(line(TemplateRule::Mean, Some(1e-3)).0 < line(TemplateRule::Best, Some(1e-3)).0);
    let few = database.identify(MAIN, &embedding(1), &SearchPolicy { top: 9, ..exactly() }, None).unwrap();
    assert_eq!(few.candidates.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().len(), 3, "people, not faces");
}

#[test]
fn what_is_forgotten_stands_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces");
    let database = open(&path).unwrap();
    for number in 0..50 {
        enroll(&database, &format!("person-of-{}", number % 5), number);
    }
    let kept =
        NewFace { pictures: Some(FacePictures { chip: vec![0xA5; 5000], thumbnail: vec![0x5A; 5000] }), ..face(99) };
    database.enroll(MAIN, "Secretive Person", kept, &EnrolmentPolicy::default()).unwrap();
    let vector: Vec<u8> = embedding(99).values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let traces: [&[u8]; 4] = [b"Secretive Person", b"photo-99.jpg", &vector[..64], &[0xA5; 64]];
    let found =
        |trace: &[u8]| files(&path).iter().any(|f| std::fs::read(f).unwrap().windows(trace.len()).any(|w| w == trace));
    for trace in traces {
        assert!(found(trace), "what is stored is found, or the search is no test");
    }
    assert_eq!(database.forget(MAIN, "Secretive Person", true).unwrap(), 1);
    for trace in traces {
        assert!(!found(trace), "while open: {:?}", &trace[..8]);
    }
    assert_eq!(who(&database, 99), None);
    enroll(&database, "after", 100);
    drop(database);
    for trace in traces {
        assert!(!found(trace), "after closing: {:?}", &trace[..8]);
    }
    let database = open(&path).unwrap();
    assert_eq!(database.stats().unwrap().galleries[0].faces, 51);
    assert_eq!(who(&database, 49), Some("person-of-4".to_string()));
    assert_eq!(who(&database, 100), Some("after".to_string()));
}

#[test]
fn a_second_process_is_told_who_holds_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces");
    let database = open(&path).unwrap();
    match existing(&path) {
        Err(Error::Store(StoreError::Locked { holder, .. })) => {
            assert!(holder.contains(&format!("process {}", std::process::id())), "{holder}");
        }
        other => panic!("{other:?}"),
    }
    drop(database);
    existing(&path).unwrap();
}

/// As while another thread starts a process, which has a copy of every descriptor until it is its own program.
#[cfg(unix)]
#[test]
fn a_lock_of_sleds_that_is_soon_let_go_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces");
    small(&path);
    let records = files(&path).into_iter().find(|f| f.ends_with("records-1/db")).unwrap();
    let held = std::fs::File::options().read(true).write(true).open(records).unwrap();
    held.lock().unwrap();
    let waiting = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(held);
    });
    assert!(existing(&path).unwrap().check().unwrap().is_clean());
    waiting.join().unwrap();
}

#[test]
fn what_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let missing = existing(&folder.path().join("nothing")).unwrap_err();
    assert_eq!(missing.code(), "store.not_found");
    assert!(!folder.path().join("nothing").exists());
    let holiday = folder.path().join("holiday");
    std::fs::create_dir(&holiday).unwrap();
    std::fs::write(holiday.join("beach.jpg"), b"x").unwrap();
    assert_eq!(open(&holiday).unwrap_err().code(), "store.not_a_database");
    assert_eq!(files(&holiday).len(), 1, "nothing was added");
    let file = folder.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    assert_eq!(open(&file).unwrap_err().code(), "store.not_a_database");
}

/// A small database of people 0 to 9, closed.
fn small(path: &Path) {
    small_with(path, &DatabaseOptions::default());
}

fn small_with(path: &Path, options: &DatabaseOptions) {
    let database = Database::open(path, options).unwrap();
    for number in 0..30 {
        enroll(&database, &format!("p{}", number % 10), number);
    }
}

/// How long readers and writers run against each other; `KITH_TEST_SECONDS` says another time.
fn together() -> Duration {
    let seconds = std::env::var("KITH_TEST_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

#[test]
fn two_enrol_while_eight_identify_and_no_answer_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("faces")).unwrap();
    enroll(&database, "p0", 0);
    // Everything below has been acknowledged, by each writer.
    let acknowledged = [AtomicU64::new(0), AtomicU64::new(0)];
    let (over, searches) = (AtomicBool::new(false), AtomicU64::new(0));
    let number = |writer: usize, n: u64| 1 + 2 * n + writer as u64;
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (database, acknowledged, over) = (&database, &acknowledged, &over);
            scope.spawn(move || {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let number = number(writer, n);
                    enroll(database, &format!("p{number}"), number);
                    acknowledged[writer].store(n + 1, Ordering::Release);
                }
            });
        }
        for reader in 0..8u64 {
            let (database, acknowledged, over, searches) = (&database, &acknowledged, &over, &searches);
            scope.spawn(move || {
                let mut rng = ChaCha8Rng::seed_from_u64(1000 + reader);
                while !over.load(Ordering::Relaxed) {
                    let writer = rng.random_range(0..2usize);
                    let there = acknowledged[writer].load(Ordering::Acquire);
                    if there > 0 {
                        // The newest as often as any other.
                        let n = if rng.random_bool(0.5) { there - 1 } else { rng.random_range(0..there) };
                        let number = number(writer, n);
                        assert_eq!(who(database, number), Some(format!("p{number}")));
                        searches.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let start = Instant::now();
        while start.elapsed() < together() {
            std::thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
    });
    let written: u64 = acknowledged.iter().map(|a| a.load(Ordering::Relaxed)).sum();
    println!("{written} enrolled, {} searches", searches.load(Ordering::Relaxed));
    assert!(written > 10 && searches.load(Ordering::Relaxed) > 100);
    assert!(database.check().unwrap().is_clean());
    assert_eq!(database.stats().unwrap().galleries[0].faces as u64, written + 1);
}
