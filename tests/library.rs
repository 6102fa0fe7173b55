//! The photo library as a user runs it: scans that find what is new, changed, moved and gone; names and searches; and a
//! scan that is killed again and again without a face lost or doubled.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(all(feature = "cli", feature = "embedded-weights"))]

#[path = "common/place.rs"]
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kith::{Database, Library, PhotoFilter};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use place::{Place, counts, fixture};

const KILLS: usize = 20;
const SEED: u64 = 20_261_201;

#[test]
fn a_scan_finds_what_is_new_changed_moved_and_gone_and_opens_nothing_else() {
    let place = Place::new(false);
    place.put("grace_hopper.jpg", "a/hopper.jpg");
    place.put("hopper_tilt.jpg", "a/tilt.jpg");
    place.put("astronaut.png", "b/astronaut.png");
    place.put("no_face.jpg", "b/no_face.jpg");
    std::fs::write(place.photos().join("notes.txt"), "not a photo").unwrap();
    std::fs::write(place.photos().join("b/clip.mov"), b"\0\0\0\x14ftypqt  \0\0\0\0qt  ").unwrap();
    let what = ["photos", "added", "unchanged", "changed", "moved", "copies", "missing", "returned", "faces"];
    let first = place.add();
    assert_eq!(counts(&first, what), [4, 4, 0, 0, 0, 0, 0, 0, 3], "{first}");
    assert_eq!(first["passed_over"]["a film (QuickTime)"], 1);

    // What is not opened cannot be read either.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(place.photos().join("a/tilt.jpg"), PermissionsExt::from_mode(0o0)).unwrap();
    }
    let second = place.add();
    assert_eq!(counts(&second, what), [4, 0, 4, 0, 0, 0, 0, 0, 0], "{second}");
    let before = faces(&place.open());

    std::fs::create_dir(place.photos().join("c")).unwrap();
    std::fs::rename(place.photos().join("a/hopper.jpg"), place.photos().join("c/grace.jpg")).unwrap();
    std::fs::copy(place.photos().join("b/astronaut.png"), place.photos().join("c/copy.png")).unwrap();
    std::fs::remove_file(place.photos().join("b/no_face.jpg")).unwrap();
    let third = place.add();
    assert_eq!(counts(&third, what), [4, 0, 2, 0, 1, 1, 1, 0, 0], "{third}");
    assert_eq!(faces(&place.open()), before, "nobody's face is another since");
    let moved = place.open();
    let photos = Library::of(&moved).find(&PhotoFilter::default()).unwrap();
    let files: Vec<usize> = photos.iter().map(|p| p.files.len()).collect();
    assert_eq!((photos.len(), files.iter().sum::<usize>()), (3, 4), "{photos:?}");
    drop(moved);

    // Another picture under a known name; and one that is back.
    place.put("two_faces.jpg", "b/astronaut.png");
    place.put("no_face.jpg", "b/no_face.jpg");
    let fourth = place.add();
    let [changed, returned, faces_found] = counts(&fourth, ["changed", "returned", "faces"]);
    assert_eq!((changed, faces_found), (1, 2), "{fourth}");
    assert!(returned <= 1, "its time tells, or its bytes do");
    let status = place.answer(&["library", "status"], 0);
    assert_eq!(counts(&status, ["photos", "missing", "faces"]), [5, 0, 5], "{status}");
    // There is nobody to ask.
    let refused = place.run(&["library", "remove", "/"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("5 photos with 5 faces, and 0 names"), "{said}");
    let gone = place.answer(&["library", "remove", "--yes", place.photos().join("c").to_str().unwrap()], 0);
    assert_eq!(counts(&gone, ["photos", "faces"]), [2, 2], "{gone}");
    assert!(place.open().check().unwrap().is_clean());
    let nowhere = place.run(&["library", "add", "/no/such/folder"]);
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn people_are_grouped_named_and_found() {
    let place = Place::new(true);
    for (from, to) in [
        ("grace_hopper.jpg", "1.jpg"),
        ("hopper_tilt.jpg", "2.jpg"),
        ("hopper_dark.jpg", "3.jpg"),
        ("astronaut.png", "4.png"),
        ("astronaut_q30.jpg", "5.jpg"),
    ] {
        place.put(from, to);
    }
    place.add();
    let grouped = place.answer(&["cluster"], 0);
    let groups = grouped["groups"].as_array().unwrap();
    let sizes: Vec<u64> = groups.iter().map(|g| g["faces"].as_u64().unwrap()).collect();
    assert!(sizes == [3, 2] || sizes == [2, 2], "a dark photo may be too poor: {grouped}");
    let hopper = groups[0]["id"].to_string();
    let named = place.answer(&["cluster", "name", &hopper, "Grace Hopper"], 0);
    assert_eq!(named["name"], "Grace Hopper");
    assert_eq!(place.answer(&["cluster"], 0)["groups"][0]["name"], "Grace Hopper");
    let links = place.at("links");
    let sheet = place.at("sheet.html");
    let found =
        place.answer(&["find", "grace hopper", "-o", links.to_str().unwrap(), "--html", sheet.to_str().unwrap()], 0);
    let photos = found["photos"].as_array().unwrap();
    assert_eq!(photos.len() as u64, sizes[0]);
    assert_eq!(std::fs::read_dir(&links).unwrap().count(), photos.len());
    assert!(std::fs::read_to_string(&sheet).unwrap().contains("data:image/jpeg;base64,"));
    let other = groups[1]["id"].to_string();
    assert_eq!(place.answer(&["find", "Grace Hopper", "--with", &other], 1)["photos"].as_array().unwrap().len(), 0);
    let twice = place.answer(&["library", "duplicates"], 0);
    // The astronaut compressed again, and the portrait darkened.
    assert_eq!(twice["duplicates"].as_array().unwrap().len(), 2, "{twice}");
    let unknown = place.answer(&["find", "Nobody"], 2);
    assert_eq!(unknown["error"]["code"], "library.unknown_group");
}

/// The face of each photo, by what the photo's bytes are.
fn faces(database: &Database) -> BTreeMap<u64, Vec<u64>> {
    let photos = Library::of(database).find(&PhotoFilter::default()).unwrap();
    photos
        .into_iter()
        .map(|p| (p.id, p.faces.iter().map(|f| f.id).collect()))
        .filter(|(_, f): &(_, Vec<_>)| !f.is_empty())
        .collect()
}

/// Bytes in the database's journals.
fn written(place: &Place) -> u64 {
    let entries = std::fs::read_dir(place.at("faces")).into_iter().flatten().flatten();
    let journals = entries.filter(|e| e.file_name().to_string_lossy().starts_with("journal-"));
    journals.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

#[test]
fn a_scan_that_is_killed_twenty_times_loses_and_doubles_no_face() {
    let place = Place::new(true);
    let photo = std::fs::read(fixture("hopper_small.jpg")).unwrap();
    const PHOTOS: usize = 96;
    for number in 0..PHOTOS {
        // What follows the end of a JPEG is no part of the picture: each file is another, and as quickly read.
        let bytes = [photo.as_slice(), format!("photo {number}").as_bytes()].concat();
        std::fs::write(place.photos().join(format!("{number:03}.jpg")), bytes).unwrap();
    }
    let photos = place.photos();
    let arguments = ["library", "add", photos.to_str().unwrap(), "--min-face", "60"];
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut known, mut interrupted) = (BTreeMap::new(), 0);
    for round in 0..KILLS {
        let mut child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Every fourth is killed while the database is opened or the first photos are read, the others once more has been
        // written, and a moment after.
        let (begun, before) = (Instant::now(), written(&place));
        let moment = Duration::from_millis(rng.random_range(0..500));
        let in_time = || match round % 4 {
            0 => begun.elapsed() >= moment,
            _ => written(&place) > before || begun.elapsed() > Duration::from_secs(120),
        };
        while !in_time() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(moment / 4);
        interrupted += usize::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
        if !place.at("faces").join("CURRENT").exists() {
            continue;
        }
        let database = place.open();
        let report = database.check().unwrap();
        assert!(report.is_clean(), "round {round}: {report:?}");
        let now = faces(&database);
        for (photo, faces) in &known {
            assert_eq!(now.get(photo), Some(faces), "round {round}: a face is lost or has another number");
        }
        let all: Vec<u64> = now.values().flatten().copied().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "round {round}: a face twice");
        known = now;
    }
    let last = place.add();
    let [photos, refused] = [last["photos"].as_u64().unwrap(), last["refused"].as_array().unwrap().len() as u64];
    assert_eq!((photos, refused), (PHOTOS as u64, 0), "{last}");
    let database = place.open();
    let now = faces(&database);
    assert!(known.iter().all(|(photo, faces)| now.get(photo) == Some(faces)));
    assert_eq!(now.len(), PHOTOS, "a face in each");
    assert!(now.values().all(|f| f.len() == 1), "{now:?}");
    assert!(database.check().unwrap().is_clean());
    assert!(interrupted > 4, "{interrupted} scans were killed at work");
    println!("{interrupted} of {KILLS} scans were killed at work; {} photos were known before the last", known.len());
}
