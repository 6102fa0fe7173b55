//! Exports: the way out and back, and what happens to files that are no export.

use std::collections::BTreeMap;
use std::path::Path;

use kith::{Database, EnrolmentPolicy, NewFace, PersonFilter};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{DIMENSION, MAIN, copy, embedding, enroll, exactly, face, of_model, open, small, who};

fn export(database: &Database, folder: &Path) -> kith::Result<kith::Exported> {
    database.export(MAIN, folder, true, &|| ())
}

fn import(database: &Database, folder: &Path) -> kith::Result<kith::Imported> {
    database.import(MAIN, folder, &|| ())
}

fn labelled(database: &Database) {
    let policy = EnrolmentPolicy {
        groups: vec!["staff".into()],
        labels: BTreeMap::from([("door".to_string(), "3".to_string())]),
        ..Default::default()
    };
    let pictures = kith::FacePictures { chip: b"a chip".to_vec(), thumbnail: b"a thumbnail".to_vec() };
    let kept = NewFace { pictures: Some(pictures), ..face(50) };
    database.enroll(MAIN, "Zoë \"Z\" O'Neil", kept, &policy).unwrap();
}

#[test]
fn an_export_imports_to_the_same_gallery_and_a_second_time_to_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small(&at("faces"));
    let database = open(&at("faces")).unwrap();
    labelled(&database);
    let written = export(&database, &at("out")).unwrap();
    assert_eq!((written.people, written.faces, written.chips), (11, 31, 1));
    assert!(export(&database, &at("out")).is_err(), "nothing is written over");

    let again = open(&at("again")).unwrap();
    let read = import(&again, &at("out")).unwrap();
    assert_eq!((read.people, read.added, read.known), (11, 31, 0));
    let listed = |d: &Database| {
        let people = d.people(MAIN, &PersonFilter::default()).unwrap();
        let shown = people.into_iter().map(|p| {
            let faces = d.person(MAIN, &p.name).unwrap().1;
            let faces: Vec<_> = faces.into_iter().map(|f| kith::EnrolledFace { id: 0, ..f }).collect();
            (kith::Person { id: 0, ..p }, faces)
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(listed(&again), listed(&database), "names, groups, labels, boxes, measures, sources, times");
    for number in 0..30 {
        assert_eq!(who(&again, number), who(&database, number));
        let distance =
            |d: &Database| d.identify(MAIN, &embedding(number), &exactly(), None).unwrap().candidates[0].distance;
        assert_eq!(distance(&again), distance(&database), "vectors come back bit for bit");
    }
    assert_eq!(import(&again, &at("out")).unwrap().added, 0);
    export(&again, &at("out2")).unwrap();
    let lines = |name: &str| std::fs::read_to_string(at(name).join("gallery.jsonl")).unwrap();
    assert_eq!(lines("out2").lines().count(), lines("out").lines().count());
    assert_eq!(std::fs::read(at("out2/chips/30.png")).unwrap(), b"a chip");

    // The vectors are what NumPy reads: a header of 64n bytes, then little-endian float32.
    let npy = std::fs::read(at("out/vectors.npy")).unwrap();
    assert_eq!(&npy[..8], b"\x93NUMPY\x01\x00");
    let data = &npy[npy.len() - 31 * DIMENSION * 4..];
    let first: Vec<f32> = data[..DIMENSION * 4].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(first, embedding(0).values());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(at("out")).unwrap().permissions().mode() & 0o077, 0, "for its owner alone");
    }
    let other = open(&at("other")).unwrap();
    other.enroll(MAIN, "Eve", NewFace { embedding: of_model(1, "other/0/t"), ..face(1) }, &Default::default()).unwrap();
    assert_eq!(import(&other, &at("out")).unwrap_err().code(), "gallery.wrong_model");
}

#[test]
fn what_is_no_whole_export_enrols_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    small(&at("faces"));
    let database = open(&at("faces")).unwrap();
    labelled(&database);
    export(&database, &at("out")).unwrap();
    let target = open(&at("target")).unwrap();
    enroll(&target, "Ada", 500);
    let refused = |what: &str, change: &dyn Fn(&Path)| {
        let copied = at("copy");
        let _ = std::fs::remove_dir_all(&copied);
        copy(&at("out"), &copied);
        change(&copied);
        let error = import(&target, &copied).expect_err(what);
        let known = ["store.bad_archive", "gallery.bad_name", "store.io"].contains(&error.code());
        assert!(known, "{what}: {error}");
        assert_eq!(target.stats().unwrap().galleries[0].people, 1, "{what}: nobody was enrolled");
    };
    fn lines(change: impl Fn(String) -> String) -> impl Fn(&Path) {
        move |folder: &Path| {
            let path = folder.join("gallery.jsonl");
            let text = change(std::fs::read_to_string(&path).unwrap());
            std::fs::write(path, text).unwrap();
        }
    }
    fn replaced(from: &'static str, to: &'static str) -> impl Fn(String) -> String {
        move |text: String| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        }
    }
    for (what, from, to) in [
        ("another format", "\"kith_export\":1", "\"kith_export\":2"),
        ("dimension 0", "\"dimension\":64", "\"dimension\":0"),
        ("a huge dimension", "\"dimension\":64", "\"dimension\":4611686018427387904"),
        ("another dimension", "\"dimension\":64", "\"dimension\":32"),
        ("an unknown field", "{\"person\":", "{\"person\":\"x\",\"extra\":1,\"again\":"),
        ("a name twice", "\"person\":\"p1\"", "\"person\":\"p0\""),
        ("a name of nothing", "\"person\":\"p1\"", "\"person\":\"  \""),
        ("a face of nobody", "\"face_of\":\"p1\"", "\"face_of\":\"Mallory\""),
        ("a number that is none", "\"score\":0.99", "\"score\":1e999"),
        ("a digest that is none", "\"source_sha256\":\"", "\"source_sha256\":\"zz"),
        ("fewer faces than claimed", "\"faces\":31", "\"faces\":32"),
        ("more vectors than claimed", "\"vectors_sha256\":\"", "\"vectors_sha256\":\"00"),
        ("no JSON", "{\"face_of\"", "face_of"),
    ] {
        refused(what, &lines(replaced(from, to)));
    }
    refused("cut off", &lines(|t| t[..t.len() / 2].to_string()));
    refused("without its end", &lines(|t| t.lines().take(20).map(|l| format!("{l}\n")).collect()));
    refused("something after the end", &lines(|t| t.clone() + t.lines().nth(1).unwrap()));
    refused("empty", &lines(|_| String::new()));
    refused("an endless line", &lines(|t| "x".repeat(3 << 20) + &t));
    refused("not UTF-8", &|f| std::fs::write(f.join("gallery.jsonl"), b"\xff\xfe\n").unwrap());
    refused("no lines", &|f| std::fs::remove_file(f.join("gallery.jsonl")).unwrap());
    refused("no vectors", &|f| std::fs::remove_file(f.join("vectors.npy")).unwrap());
    refused("no folder", &|f| std::fs::remove_dir_all(f).unwrap());

    // Vectors with a digest that fits them, as whoever forges an export would have it.
    let forged = |what: &str, vectors: &dyn Fn(Vec<u8>) -> Vec<u8>| refused(what, &|folder| forge(folder, vectors));
    let put = |at_end: usize, with: f32| {
        move |mut b: Vec<u8>| {
            let at = b.len() - at_end;
            b[at..at + 4].copy_from_slice(&with.to_le_bytes());
            b
        }
    };
    forged("NaN", &put(400, f32::NAN));
    forged("infinity", &put(400, f32::INFINITY));
    forged("a vector that is too long", &put(400, 7.0));
    forged("a row too few", &|b| b[..b.len() - DIMENSION * 4].to_vec());
    forged("no .npy", &|b| vec![7; b.len()]);
    forged("nothing", &|_| Vec::new());
    forged("a description of four gigabytes", &|mut b| {
        b[6] = 2;
        b[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        b
    });
    let described = |from: &'static str, to: &'static str| {
        move |b: Vec<u8>| {
            let at = b.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            [&b[..at], to.as_bytes(), &b[at + from.len()..]].concat()
        }
    };
    forged("another shape", &described("31, 64", "62, 32"));
    forged("a shape that is too large", &described("31, 64", "1e9,64"));
    forged("Fortran order", &described("'fortran_order': False", "'fortran_order': True "));
    forged("doubles", &described("<f4", "<f8"));
    assert_eq!(target.stats().unwrap().galleries[0].people, 1);

    // Any bit of the description: refused, or without meaning.
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let fuzzed = open(&at("fuzzed")).unwrap();
    let mut accepted = 0;
    for _ in 0..150 {
        let (byte, bit) = (rng.random_range(0..128), rng.random_range(0..8));
        let copied = at("fuzz");
        let _ = std::fs::remove_dir_all(&copied);
        copy(&at("out"), &copied);
        forge(&copied, &|mut b| {
            b[byte] ^= 1 << bit;
            b
        });
        accepted += usize::from(import(&fuzzed, &copied).is_ok());
    }
    assert!(accepted < 75, "{accepted} of 150");
    for number in (0..30).filter(|_| accepted > 0) {
        assert_eq!(who(&fuzzed, number), Some(format!("p{}", number % 10)));
    }
}

/// Changes the vectors of an export, and the digest of them.
fn forge(folder: &Path, vectors: &dyn Fn(Vec<u8>) -> Vec<u8>) {
    let digest = |bytes: &[u8]| {
        use sha2::Digest;
        sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let path = folder.join("vectors.npy");
    let before = std::fs::read(&path).unwrap();
    let after = vectors(before.clone());
    let lines = folder.join("gallery.jsonl");
    let text = std::fs::read_to_string(&lines).unwrap().replace(&digest(&before), &digest(&after));
    std::fs::write(lines, text).unwrap();
    std::fs::write(path, after).unwrap();
}
