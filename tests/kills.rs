//! Every command that writes, killed at a random moment on a disk that is nearly full: what was there stays there, what
//! was half done is done or undone, nobody who was forgotten comes back, and everything still opens.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "common/require.rs"]
mod require;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kith::geometry::{BBox, Landmarks};
use kith::{Database, DatabaseOptions, Embedding, EnrolmentPolicy, MasterKey, ModelId, NewFace, PersonFilter};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KILLS: usize = 200;
const SEED: u64 = 20_261_130;
/// No command takes longer.
const WITHIN: Duration = Duration::from_secs(20);
const KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn face(number: u64) -> NewFace {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let values = (0..64).map(|_| rng.random_range(-1.0..1.0)).collect();
    NewFace {
        embedding: Embedding::from_raw(values, ModelId::from_text("m/0/t")).unwrap(),
        bbox: BBox::new(1.0, 2.0, 30.0, 40.0),
        landmarks: Landmarks([[5.0, 6.0]; 5]),
        score: 0.99,
        quality: [30.0, 0.1, 0.5, 1.0, 2.0, 3.0].into(),
        source: format!("photo-{number}.jpg"),
        source_sha256: None,
        pictures: Some(kith::FacePictures { chip: vec![number as u8; 3_000], thumbnail: vec![1; 1_000] }),
    }
}

/// Faces of each person, by source.
type People = BTreeMap<String, Vec<String>>;

fn options(sealed: bool, create: bool) -> DatabaseOptions {
    let key = sealed.then(|| MasterKey::parse(KEY).unwrap());
    DatabaseOptions { create, wait: Duration::from_secs(5), key }
}

/// Who is in a database, which must be sound.
fn people(path: &Path, sealed: bool, what: &str) -> People {
    let begun = Instant::now();
    let database = Database::open(path, &options(sealed, false)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let report = database.check().unwrap();
    assert!(report.is_clean(), "{what}: {report:?}");
    let mut all = People::new();
    for person in database.people("main", &PersonFilter::default()).unwrap() {
        let mut sources: Vec<String> =
            database.person("main", &person.name).unwrap().1.into_iter().map(|f| f.source).collect();
        sources.sort();
        all.insert(person.name, sources);
    }
    drop(database);
    assert!(begun.elapsed() < WITHIN, "{what}: opening took {:?}", begun.elapsed());
    all
}

/// An export of people of these numbers, a face each.
fn export_of(folder: &Path, numbers: std::ops::Range<u64>) -> PathBuf {
    let (made, out) =
        (folder.join(format!("made-{}", numbers.start)), folder.join(format!("export-{}", numbers.start)));
    let database = Database::open(&made, &options(false, true)).unwrap();
    for number in numbers {
        let name = format!("p{number}");
        let (_, pending) = database.enroll_pending("main", &name, face(number), &EnrolmentPolicy::default()).unwrap();
        database.settle(pending).unwrap();
    }
    database.export("main", &out, true, &|| ()).unwrap();
    out
}

#[test]
fn two_hundred_kills_of_every_writing_command_on_a_nearly_full_disk_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "none"]).arg(&disk).output();
    if !mount.is_ok_and(|o| o.status.success()) {
        return require::missing("this user may not mount a small file system");
    }
    let _mounted = Mounted(disk.clone());
    let db = disk.join("faces");
    let key = folder.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let first = export_of(folder.path(), 0..40);
    let mut next = 1000;
    let mut sealed = false;
    {
        let database = Database::open(&db, &options(false, true)).unwrap();
        database.import("main", &first, &|| ()).unwrap();
    }
    let mut expected = people(&db, sealed, "at first");
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut killed, mut ended, mut refused, mut roomy) = (0, 0, 0, false);
    for kill in 0.. {
        if killed == KILLS {
            break;
        }
        assert!(kill < 20 * KILLS, "commands end before they are killed");
        // First without room for sled's files, then with little.
        if killed == KILLS / 2 && !roomy {
            roomy = true;
            let more = Command::new("mount").args(["-o", "remount,size=9m"]).arg(&disk).status().unwrap();
            assert!(more.success());
        }
        let names: Vec<String> = expected.keys().cloned().collect();
        let some = |rng: &mut ChaCha8Rng| names[rng.random_range(0..names.len())].clone();
        let (a, b) = (some(&mut rng), some(&mut rng));
        let mut after = expected.clone();
        let aside = disk.join("aside");
        let file = folder.path().join("faces.bak");
        let shown = |path: &Path| path.display().to_string();
        let mut arguments: Vec<String> = match kill % 10 {
            0 => {
                next += 10;
                let more = export_of(folder.path(), next..next + 3);
                for number in next..next + 3 {
                    after.insert(format!("p{number}"), vec![format!("photo-{number}.jpg")]);
                }
                vec!["import".into(), shown(&more)]
            }
            1 | 6 if names.len() > 5 => {
                after.remove(&a);
                vec!["forget".into(), a.clone()]
            }
            2 => {
                let to = format!("{a}x");
                let faces = after.remove(&a).unwrap();
                after.insert(to.clone(), faces);
                vec!["people".into(), "rename".into(), a.clone(), to]
            }
            3 if a != b => {
                let faces = after.remove(&a).unwrap();
                after.get_mut(&b).unwrap().extend(faces);
                after.get_mut(&b).unwrap().sort();
                vec!["people".into(), "merge".into(), a.clone(), b.clone()]
            }
            4 => vec!["backup".into(), "--force".into(), shown(&file)],
            5 => vec!["restore".into(), shown(&file)],
            7 => vec!["rekey".into()],
            8 => vec!["reindex".into(), "--index".into(), "graph".into()],
            9 => vec!["export".into(), shown(&folder.path().join(format!("out-{kill}")))],
            _ => vec!["people".into(), "label".into(), a.clone(), "--join".into(), "staff".into()],
        };
        let place = if arguments[0] == "restore" { &aside } else { &db };
        arguments.extend(["--db".into(), shown(place)]);
        if sealed && arguments[0] != "restore" {
            arguments.extend(["--key-file".into(), shown(&key)]);
        }
        match arguments[0].as_str() {
            "rekey" if !sealed => arguments.extend(["--new-key-file".into(), shown(&key)]),
            "rekey" => arguments.push("--plain".into()),
            "backup" if sealed => arguments.extend(["--ring".into(), shown(&folder.path().join("ring"))]),
            _ => {}
        }
        if arguments[0] == "restore" && !file.exists() {
            continue;
        }
        let what = format!("seed {SEED}, kill {kill}, {arguments:?}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_kith"))
            .args(&arguments)
            .env("XDG_DATA_HOME", "/nonexistent")
            .env_remove("KITH_KEY")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every tenth runs to its end.
        let life = if kill % 10 == 9 { WITHIN } else { Duration::from_micros(rng.random_range(1_000..30_000)) };
        let until = Instant::now() + life;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() >= until => break None,
                None => std::thread::sleep(Duration::from_micros(500)),
            }
        };
        match status {
            Some(status) if status.success() => ended += 1,
            Some(_) => refused += 1,
            None => {
                assert!(life < WITHIN, "{what}: does not end");
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
            }
        }
        let success = status.is_some_and(|s| s.success());
        if arguments[0] == "rekey" {
            // Whichever of the two it is, it is one of them.
            let other = Database::open(&db, &options(!sealed, false)).is_ok();
            assert!(!success || other, "{what}: done, and not so");
            sealed ^= other;
        }
        if arguments[0] == "restore" {
            if aside.join("CURRENT").exists() {
                let database = Database::open(&aside, &options(false, false));
                if let Ok(database) = database {
                    assert!(database.check().unwrap().is_clean(), "{what}");
                }
            }
            let _ = std::fs::remove_dir_all(&aside);
        }
        let found = people(&db, sealed, &what);
        if success {
            assert!(found == after, "{what}: done, and {found:?} is not {after:?}");
        }
        // An import is of faces one by one; of everything else there is all or nothing.
        let some_of_it = arguments[0] == "import"
            && expected.iter().all(|(name, faces)| found.get(name) == Some(faces))
            && found
                .iter()
                .all(|(name, faces)| after.get(name).is_some_and(|wanted| faces.iter().all(|f| wanted.contains(f))));
        assert!(found == expected || found == after || some_of_it, "{what}: {found:?}");
        expected = found;
    }
    println!("{killed} killed, {ended} ended, {refused} refused");
    assert!(ended > KILLS / 10, "{killed} killed, {ended} ended, {refused} refused");
}
