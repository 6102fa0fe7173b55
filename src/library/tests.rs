//! A library of made-up people, without a network: groups, corrections, searches, and what is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::gallery::DatabaseOptions;
use crate::gallery::{LibraryChange, PhotoChange};
use crate::geometry::{BBox, Landmarks};
use crate::store::{PhotoFace, PhotoFile, QualityRecord};
use crate::vector::{Embedding, ModelId};
use crate::verify::{Calibration, OperatingPoint};
use crate::{EnrolmentPolicy, MasterKey, NewFace};

pub(super) const MODEL: &str = "m/0/t";
pub(super) const DIMENSION: usize = 48;

/// Made-up strangers are at right angles: distance 1.41.
pub(super) fn calibration() -> Calibration {
    let point = |fmr, distance, impostors_below| OperatingPoint { fmr, distance, fnmr: 0.0, impostors_below };
    Calibration {
        version: 1,
        model: MODEL.to_string(),
        detector: None,
        source: "made up".to_string(),
        genuine_pairs: 1000,
        impostor_pairs: 1_000_000,
        failures_to_acquire: 0,
        midpoint: 1.0,
        slope: 20.0,
        replicates: None,
        alike: None,
        least_length: None,
        points: vec![point(1e-1, 1.1, 100_000), point(1e-3, 1.0, 1000), point(1e-4, 0.95, 100)],
    }
}

pub(super) fn vector(person: u64, face: u64, noise: f32) -> Vec<f32> {
    let mut of_person = ChaCha8Rng::seed_from_u64(person);
    let mut of_face = ChaCha8Rng::seed_from_u64(1000 * person + face + 77);
    let mut v: Vec<f32> = (0..DIMENSION).map(|_| of_person.random_range(-1.0f32..1.0)).collect();
    v.iter_mut().for_each(|v| *v += noise * of_face.random_range(-1.0f32..1.0));
    let length = v.iter().map(|v| v * v).sum::<f32>().sqrt();
    v.iter().map(|v| v / length).collect()
}

pub(super) fn face(vector: Vec<f32>) -> PhotoFace {
    PhotoFace {
        id: 0,
        vector,
        bbox: [10.0, 10.0, 90.0, 90.0],
        landmarks: [[30.0, 30.0]; 5],
        score: 0.99,
        quality: QualityRecord { eye_distance: 40.0, ..QualityRecord::default() },
        good: true,
        no_face: false,
    }
}

pub(super) fn photo(number: u64, people: &[u64]) -> PhotoRecord {
    PhotoRecord {
        sha256: [number as u8; 32],
        files: vec![PhotoFile {
            path: format!("/photos/{number}.jpg"),
            size: 1,
            modified_ns: number as i64,
            missing: false,
        }],
        width: 100,
        height: 100,
        taken: format!("2024-{:02}-01T10:00:00", 1 + number % 12),
        likeness: [u64::from(number as u8) * 0x0101_0101_0101_0101; 4],
        model: MODEL.to_string(),
        detector: "d".to_string(),
        faces: people.iter().map(|p| face(vector(*p, number, 0.6))).collect(),
        fault: Default::default(),
        added_ms: 1,
    }
}

/// Photos with the people of each; the numbers of the photos and of their faces.
pub(super) fn added(database: &Database, photos: &[(u64, Vec<u64>)]) -> Vec<(u64, Vec<u64>)> {
    let change = |(number, people): &(u64, Vec<u64>)| {
        let record = photo(*number, people);
        let pictures = Some(vec![vec![7; 40]; record.faces.len()]);
        PhotoChange { id: None, record: Some(record), pictures, like: Vec::new() }
    };
    let photos = photos.iter().map(change).collect();
    database.library_change(LibraryChange { photos, ..LibraryChange::default() }).unwrap().0
}

pub(super) fn group(library: &Library) -> Vec<GroupSummary> {
    library.group(Some("main"), Some(&calibration()), false).unwrap().groups
}

/// Faces of each group.
pub(super) fn faces(library: &Library) -> BTreeMap<u64, BTreeSet<u64>> {
    library.groups().unwrap().into_iter().map(|(id, g)| (id, g.faces.into_iter().collect())).collect()
}

pub(super) fn family() -> Vec<(u64, Vec<u64>)> {
    // Persons 1 to 4; 5 is seen once.
    (0..20).map(|n| (n, if n == 19 { vec![5] } else { vec![1 + n % 4, 1 + (n + 1) % 4] })).collect()
}

pub(super) fn opened(folder: &std::path::Path, key: Option<MasterKey>) -> Database {
    Database::open(folder.join("faces"), &DatabaseOptions { key, ..DatabaseOptions::default() }).unwrap()
}

#[test]
fn groups_keep_their_numbers_from_run_to_run_and_when_photos_come() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let first = group(&library);
    assert_eq!(first.iter().map(|g| g.faces).sum::<usize>(), 38, "{first:?}");
    assert_eq!(first.len(), 4, "whoever is seen once is no group");
    let before = faces(&library);
    let writes = database.stats().unwrap().writes;
    assert_eq!(group(&library), first);
    assert_eq!(database.stats().unwrap().writes, writes, "nothing changed, and nothing is written");
    added(&database, &[(20, vec![1, 5]), (21, vec![2])]);
    let second = group(&library);
    assert_eq!(second.len(), 5);
    for (id, faces) in &before {
        assert!(self::faces(&library)[id].is_superset(faces), "group {id}");
    }
    let report = database.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn names_and_corrections_hold_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let ids: Vec<u64> = group(&library).iter().map(|g| g.id).collect();
    let [a, b, c, d] = ids[..] else { panic!("{ids:?}") };
    let text = |id: u64| id.to_string();
    library.name(&text(a), "Ada", false).unwrap();
    library.name(&text(b), "Grace", false).unwrap();
    assert!(library.name(&text(c), " ", false).is_err() && library.name(&text(c), "17", false).is_err());
    assert_eq!(library.merge("ada", "Grace").unwrap_err().code(), "library.two_names");
    // Two faces of Ada are said to be somebody else's, one to be not hers, and one to be none.
    let of_ada: Vec<u64> = faces(&library)[&a].iter().copied().collect();
    let parted = library.split("Ada", &of_ada[..2]).unwrap().group.unwrap();
    library.not_this_person(of_ada[2]).unwrap();
    library.not_a_face(of_ada[3]).unwrap();
    // C and D are one, it is said.
    library.merge(&text(c), &text(d)).unwrap();
    let both: BTreeSet<u64> = faces(&library)[&d].clone();
    for round in 0..4u64 {
        added(&database, &[(100 + 2 * round, vec![1, 2]), (101 + 2 * round, vec![3, 4])]);
        group(&library);
        let now = faces(&library);
        assert!(now[&parted].contains(&of_ada[0]) && now[&parted].contains(&of_ada[1]), "round {round}");
        assert!(of_ada[..4].iter().all(|f| !now[&a].contains(f)), "round {round}: {now:?}");
        assert!(now.values().all(|g| !g.contains(&of_ada[3])), "round {round}: what is no face is in no group");
        assert!(now[&d].is_superset(&both) && !now.contains_key(&c), "round {round}");
        let named: Vec<(u64, String)> = library
            .group_list()
            .unwrap()
            .into_iter()
            .filter_map(|g| Some((g.id, g.name?)))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(
            named,
            BTreeSet::from([(a, "Ada".to_string()), (b, "Grace".to_string())]).into_iter().collect::<Vec<_>>()
        );
        // To vectors these are one person's, so a new face may come to either.
        let both = now[&a].len() + now[&parted].len();
        assert!(
            both > of_ada.len() - 2 + round as usize,
            "round {round}: new photos come to Ada, or to whoever was parted"
        );
    }
    // The latest word counts.
    let back = library.merge(&text(parted), "Ada").unwrap();
    assert_eq!((back.group, back.gone), (Some(a), Some(parted)));
    group(&library);
    assert!(faces(&library)[&a].contains(&of_ada[0]));
    assert!(database.check().unwrap().is_clean());
}

#[test]
fn a_face_seen_once_can_be_named_and_two_groups_of_one_name_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    let photos = added(&database, &family());
    let ids: Vec<u64> = group(&library).iter().map(|g| g.id).collect();
    let alone = photos[19].1[0];
    let named = library.name_face(alone, "Linus").unwrap();
    assert_eq!((named.faces, named.name.as_deref()), (1, Some("Linus")));
    group(&library);
    assert_eq!(faces(&library)[&named.group.unwrap()], BTreeSet::from([alone]));
    library.name(&ids[0].to_string(), "Ada", false).unwrap();
    // Not unasked: the two would be one for ever.
    let before = faces(&library);
    let refused = library.name(&ids[1].to_string(), "ADA", false).unwrap_err();
    assert_eq!(refused.code(), "library.same_name");
    assert!(refused.to_string().contains(&format!("group {} is \"Ada\" already", ids[0])), "{refused}");
    assert_eq!(faces(&library), before);
    let one = library.name(&ids[1].to_string(), "ADA", true).unwrap();
    assert_eq!((one.group, one.gone), (Some(ids[0]), Some(ids[1])));
    let before = faces(&library)[&ids[0]].clone();
    group(&library);
    assert!(faces(&library)[&ids[0]].is_superset(&before));
    assert_eq!(library.name_face(99_999, "Nobody").unwrap_err().code(), "library.unknown_face");
    assert_eq!(library.not_this_person(99_999).unwrap_err().code(), "library.ungrouped");
}

#[test]
fn enrolled_people_give_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let enrolled = NewFace {
        embedding: Embedding::from_raw(vector(1, 999, 0.3), ModelId::from_text(MODEL)).unwrap(),
        bbox: BBox::new(1.0, 2.0, 30.0, 40.0),
        landmarks: Landmarks([[5.0, 6.0]; 5]),
        score: 0.99,
        quality: [30.0, 0.1, 0.5, 1.0, 2.0, 3.0].into(),
        source: "portrait.jpg".to_string(),
        source_sha256: None,
        pictures: None,
    };
    database.enroll("main", "Ada", enrolled, &EnrolmentPolicy::default()).unwrap();
    let groups = group(&library);
    assert_eq!(groups[0].name.as_deref(), Some("Ada"));
    assert!(groups[1..].iter().all(|g| g.name.is_none()));
    let photos = library.find(&PhotoFilter { who: vec!["Ada".to_string()], ..PhotoFilter::default() }).unwrap();
    assert_eq!(photos.len(), groups[0].photos);
    let of_one = |p: &FoundPhoto| p.id;
    assert!(photos.iter().map(of_one).collect::<BTreeSet<_>>().len() == photos.len());
}

#[test]
fn photos_are_found_by_who_is_in_them_and_by_date() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let ids: Vec<String> = group(&library).iter().map(|g| g.id.to_string()).collect();
    let of = |who: &[&str], from: Option<&str>, to: Option<&str>| {
        let text = |t: Option<&str>| t.map(str::to_string);
        let who = who.iter().map(|w| w.to_string()).collect();
        library.find(&PhotoFilter { who, from: text(from), to: text(to) })
    };
    let all = of(&[&ids[0]], None, None).unwrap();
    let with = of(&[&ids[0], &ids[1]], None, None).unwrap();
    assert!(!with.is_empty() && with.len() < all.len());
    let year = of(&[&ids[0]], Some("2024"), Some("2024")).unwrap();
    assert_eq!(year, all);
    assert!(of(&[&ids[0]], Some("2025"), None).unwrap().is_empty());
    let spring = of(&[], Some("2024-03"), Some("2024-05")).unwrap();
    let months: BTreeSet<String> = spring.iter().map(|p| p.taken.clone().unwrap()[5..7].to_string()).collect();
    assert_eq!(months, ["03", "04", "05"].map(str::to_string).into());
    assert_eq!(of(&[], Some("2024-05-01"), Some("2024-05-01")).unwrap().len(), 2);
    for bad in [
        "24",
        "2024-13",
        "2024-05-32",
        "2024-02-30",
        "2023-02-29",
        "2024-06-31",
        "2024-5",
        "yesterday",
        "2024-05-01-01",
    ] {
        assert_eq!(of(&[], Some(bad), None).unwrap_err().code(), "library.bad_date", "{bad}");
    }
    assert!(of(&[], Some("2024-02-29"), None).is_ok() && of(&[], Some("2000-02-29"), None).is_ok());
    assert_eq!(of(&["Nobody"], None, None).unwrap_err().code(), "library.unknown_group");
    let page = library.photos_page("<Ada> & co", &with).unwrap();
    assert!(
        page.contains("&lt;Ada&gt; &amp; co") && page.contains("data:image/jpeg;base64,") && !page.contains("<Ada>")
    );
    let sheet = library.groups_page(&library.group_list().unwrap()).unwrap();
    assert_eq!(sheet.matches("<section>").count(), 4);
}

#[test]
fn what_is_removed_is_gone_from_groups_and_from_the_files() {
    for key in [None, Some(MasterKey::generate().unwrap())] {
        let folder = tempfile::tempdir().unwrap();
        let database = opened(folder.path(), key.clone());
        let library = Library::of(&database);
        added(&database, &family());
        group(&library);
        let holds = |what: &[u8]| {
            let files = std::fs::read_dir(folder.path().join("faces")).unwrap().flatten().map(|e| e.path());
            let files = files.filter(|p| p.is_file()).map(|p| std::fs::read(p).unwrap());
            files.collect::<Vec<_>>().iter().any(|bytes| bytes.windows(what.len()).any(|w| w == what))
        };
        assert_eq!(holds(b"/photos/7.jpg"), key.is_none(), "sealed or not");
        let (photos, faces) = library.remove(&["/photos/7.jpg".into()], false, true).unwrap();
        assert_eq!((photos, faces), (1, 2));
        assert!(!holds(b"/photos/7.jpg"));
        let known: BTreeSet<u64> =
            library.photos().unwrap().values().flat_map(|p| p.faces.iter().map(|f| f.id)).collect();
        assert!(self::faces(&library).values().all(|g| g.is_subset(&known)));
        assert_eq!(library.status().unwrap().faces, 37);
        assert!(database.check().unwrap().is_clean());
        drop(database);
        // Another key, or none: everything is read as before.
        let other = MasterKey::generate().unwrap();
        let options = DatabaseOptions { key, ..DatabaseOptions::default() };
        Database::rekey(folder.path().join("faces"), &options, Some(&other)).unwrap();
        let database = opened(folder.path(), Some(other));
        assert_eq!(Library::of(&database).status().unwrap().faces, 37);
        assert!(database.check().unwrap().is_clean());
    }
}

#[test]
fn the_same_picture_saved_again_is_told_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    let open = |name: &str| crate::Photo::open(format!("tests/fixtures/photos/{name}")).unwrap();
    let names =
        ["astronaut.png", "astronaut_q30.jpg", "astronaut.webp", "grace_hopper.jpg", "two_faces.jpg", "no_face.jpg"];
    let change = |(number, name): (usize, &&str)| {
        let seen = open(name);
        let record = PhotoRecord {
            likeness: super::look::likeness(seen.raster()),
            width: seen.width(),
            height: seen.height(),
            files: vec![PhotoFile { path: name.to_string(), size: 1, modified_ns: 1, missing: false }],
            ..photo(number as u64, &[])
        };
        PhotoChange { id: None, record: Some(record), pictures: None, like: Vec::new() }
    };
    let photos = names.iter().enumerate().map(change).collect();
    database.library_change(LibraryChange { photos, ..LibraryChange::default() }).unwrap();
    let sets = library.duplicates().unwrap();
    assert_eq!(sets.len(), 1, "{sets:?}");
    assert_eq!(sets[0].files.iter().map(String::as_str).collect::<BTreeSet<_>>(), names[..3].iter().copied().collect());
    assert!(!sets[0].same_bytes);
}

/// Unit vectors along made-up axes, with a little noise of their own.
pub(super) fn along(parts: &[(usize, f32)], noise: u64) -> Vec<f32> {
    let mut drawn = ChaCha8Rng::seed_from_u64(noise);
    let mut v: Vec<f32> = (0..DIMENSION).map(|_| 0.02 * drawn.random_range(-1.0f32..1.0)).collect();
    parts.iter().for_each(|(axis, share)| v[*axis] += share);
    let length = v.iter().map(|v| v * v).sum::<f32>().sqrt();
    v.iter().map(|v| v / length).collect()
}

#[test]
fn the_most_doubtful_pair_is_asked_first_and_what_was_answered_never_again() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    // Three people of three photos each: the second is nearly as like the first as one person is, the third a little less;
    // a fourth is like nobody. One person begins at a cosine of about 0.53.
    let people: [&[(usize, f32)]; 4] = [&[(0, 1.0)], &[(0, 0.5), (1, 0.866)], &[(0, 0.45), (2, 0.893)], &[(3, 1.0)]];
    let photos = (0..12u64).map(|n| {
        let mut record = photo(n, &[1]);
        record.faces = vec![face(along(people[n as usize % 4], n))];
        PhotoChange { id: None, record: Some(record), pictures: None, like: Vec::new() }
    });
    let change = LibraryChange { photos: photos.collect(), ..LibraryChange::default() };
    let faces_of: Vec<u64> = database.library_change(change).unwrap().0.into_iter().map(|(_, f)| f[0]).collect();
    assert_eq!(group(&library).len(), 4);
    let group_of = |face: u64| {
        let groups = library.groups().unwrap();
        groups.into_iter().find(|(_, g)| g.faces.contains(&face)).map(|(id, _)| id).unwrap()
    };
    let [one, second, third, _] = [0, 1, 2, 3].map(|n| group_of(faces_of[n]));
    let asked = || -> Vec<BTreeSet<u64>> {
        let questions = library.album().unwrap().questions(Some(&calibration())).unwrap();
        assert!(questions.iter().all(|q| q.likeness >= 0.75 * q.line), "{questions:?}");
        questions.iter().map(|q| [q.one.id, q.other.id].into()).collect()
    };
    assert_eq!(asked(), [[one, second].into(), [one, third].into()]);
    let id = |id: u64| format!("#{id}");
    // Hidden people, and two with names, are no question.
    library.hide(&id(third), true).unwrap();
    assert_eq!(asked(), [[one, second].into()]);
    library.hide(&id(third), false).unwrap();
    library.name(&id(one), "Ada", false).unwrap();
    library.name(&id(second), "Grace", false).unwrap();
    assert_eq!(asked(), [[one, third].into()]);
    let question = library.album().unwrap().questions(Some(&calibration())).unwrap().remove(0);
    assert_eq!((question.one.name.as_deref(), question.other.id), (Some("Ada"), third), "who has a name comes first");
    // No: not again, also after they are grouped anew, and not while there are more photos of either.
    let said = library.different("Ada", &id(third)).unwrap();
    assert_eq!((said.group, said.faces), (Some(one), 3));
    assert!(asked().is_empty());
    let more = (20..22u64).map(|n| {
        let mut record = photo(n, &[1]);
        record.faces = vec![face(along(people[if n == 20 { 0 } else { 2 }], n))];
        PhotoChange { id: None, record: Some(record), pictures: None, like: Vec::new() }
    });
    database.library_change(LibraryChange { photos: more.collect(), ..LibraryChange::default() }).unwrap();
    group(&library);
    assert_eq!((faces(&library)[&one].len(), faces(&library)[&third].len()), (4, 4));
    assert!(asked().is_empty());
    // The latest word counts: yes makes them one.
    let merged = library.merge(&id(third), "Ada").unwrap();
    assert_eq!((merged.group, merged.faces, merged.gone), (Some(one), 8, Some(third)));
    assert!(library.different(&id(third), "Ada").is_err(), "that group is no more");
    assert!(database.check().unwrap().is_clean());
}

#[test]
fn a_number_sign_calls_a_group_by_its_number_whatever_people_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let ids: Vec<u64> = group(&library).iter().map(|g| g.id).collect();
    // A name that an enrolled person brings along may be a number, or look like one.
    let record = |name: String| GroupRecord { name, kept: true, ..library.groups().unwrap()[&ids[0]].clone() };
    for name in [ids[1].to_string(), format!("#{}", ids[1])] {
        let change = crate::gallery::GroupChange { id: Some(ids[0]), record: Some(record(name)) };
        database.library_change(LibraryChange { groups: vec![change], ..LibraryChange::default() }).unwrap();
        assert_eq!(library.hide(&format!("#{}", ids[1]), false).unwrap().group, Some(ids[1]));
    }
    assert_eq!(library.hide("#99999", true).unwrap_err().code(), "library.unknown_group");
}

#[test]
#[ignore = "takes minutes; makes a library of 50,000 made-up faces at $KITH_LARGE_LIBRARY, and says how long it takes to read"]
fn fifty_thousand_faces() {
    let (model, faces, people) = ("sface/72a0b0467d18eab6/five-point-112", 50_000u64, 6_000u64);
    let place = std::env::var_os("KITH_LARGE_LIBRARY").expect("a folder that is not there yet");
    let picture = std::fs::read("tests/fixtures/photos/astronaut_q30.jpg").unwrap();
    let picture = crate::Photo::from_bytes(&picture, "a face", &Default::default()).unwrap();
    let small = crate::media::fit_within(picture.raster(), 120, 120);
    let database = Database::open(&place, &DatabaseOptions::default()).unwrap();
    let vector = |person: u64, n: u64| -> Vec<f32> {
        let mut of_person = ChaCha8Rng::seed_from_u64(person);
        let mut own = ChaCha8Rng::seed_from_u64(1_000_000 + n);
        let mut v: Vec<f32> = (0..128).map(|_| of_person.random_range(-1.0f32..1.0)).collect();
        v.iter_mut().for_each(|v| *v += 0.7 * own.random_range(-1.0f32..1.0));
        let length = v.iter().map(|v| v * v).sum::<f32>().sqrt();
        v.iter().map(|v| v / length).collect()
    };
    let mut numbers = Vec::new();
    for start in (0..faces).step_by(2000) {
        let photos = (start..(start + 2000).min(faces)).step_by(2).map(|n| {
            let mut record = photo(n, &[]);
            record.sha256 = std::array::from_fn(|i| (n >> (8 * (i % 8))) as u8);
            record.files[0].path = format!("/photos/{n:06}.jpg");
            (record.model, record.width, record.height) = (model.to_string(), 640, 480);
            record.faces = [n, n + 1].map(|n| face(vector(n % people, n))).to_vec();
            let colour = [(n * 37 % 200) as u8 + 40, (n * 91 % 200) as u8 + 40, (n * 53 % 200) as u8 + 40];
            let mut shown = small.clone();
            crate::media::fill_rect(&mut shown, 0.0, 0.0, 30.0, 30.0, colour, 1.0);
            let jpeg = crate::media::encode_jpeg(&shown).unwrap();
            PhotoChange { id: None, record: Some(record), pictures: Some(vec![jpeg.clone(), jpeg]), like: Vec::new() }
        });
        let change = LibraryChange { photos: photos.collect(), ..LibraryChange::default() };
        numbers.extend(database.library_change(change).unwrap().0.into_iter().flat_map(|(_, faces)| faces));
    }
    let mut members: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    (0..faces).zip(&numbers).for_each(|(n, id)| members.entry(n % people).or_default().push(*id));
    let groups = members.into_iter().map(|(person, faces)| {
        let name = if person % 3 == 0 { format!("Person {person}") } else { String::new() };
        let record = GroupRecord { faces, kept: !name.is_empty(), name, ..GroupRecord::default() };
        crate::gallery::GroupChange { id: None, record: Some(record) }
    });
    database.library_change(LibraryChange { groups: groups.collect(), ..LibraryChange::default() }).unwrap();
    let timed = |what: &str, work: &dyn Fn() -> usize| {
        let begun = std::time::Instant::now();
        let count = work();
        println!("{what}: {count} in {:.3} s", begun.elapsed().as_secs_f64());
    };
    let library = Library::of(&database);
    timed("read", &|| library.album().unwrap().summaries.len());
    let album = library.album().unwrap();
    timed("listed", &|| album.groups(&GroupFilter::default()).len());
    timed("found", &|| album.find(&PhotoFilter::default()).unwrap().len());
    timed("questions", &|| album.questions(None).unwrap().len());
    timed("named", &|| library.name(&format!("#{}", album.summaries[0].id), "Somebody", false).unwrap().faces);
}

#[test]
fn two_faces_of_one_photo_are_two_people_unless_they_are_as_alike_as_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    // Person 1 in photos of their own; then two look-alikes of 1 in one photo, and 1 twice in a collage.
    added(&database, &(0..4).map(|n| (n, vec![1])).collect::<Vec<_>>());
    let faces_of = |number: u64, vectors: Vec<Vec<f32>>| {
        let mut record = photo(number, &[]);
        record.faces = vectors.into_iter().map(face).collect();
        let pictures = Some(vec![vec![7; 40]; record.faces.len()]);
        let photos = vec![PhotoChange { id: None, record: Some(record), pictures, like: Vec::new() }];
        let change = LibraryChange { photos, ..LibraryChange::default() };
        database.library_change(change).unwrap().0.remove(0).1
    };
    let alike = faces_of(10, vec![vector(1, 50, 1.2), vector(1, 51, 1.2)]);
    let collage = faces_of(11, vec![vector(1, 52, 0.2), vector(1, 53, 0.2)]);
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let strictest = 1.0 - 0.95f32 * 0.95 / 2.0;
    assert!(cosine(&vector(1, 50, 1.2), &vector(1, 51, 1.2)) < strictest);
    assert!(cosine(&vector(1, 52, 0.2), &vector(1, 53, 0.2)) > strictest);
    group(&library);
    let groups = faces(&library);
    let of = |face: u64| groups.iter().find(|(_, faces)| faces.contains(&face)).map(|(id, _)| *id);
    assert!(of(alike[0]).is_none() || of(alike[0]) != of(alike[1]), "{groups:?}");
    assert_eq!(of(collage[0]), of(collage[1]), "{groups:?}");
    // Somebody knows better.
    let main = of(collage[0]).unwrap().to_string();
    for face in &alike {
        library.name_face(*face, "Ada").unwrap();
    }
    library.merge(&main, "Ada").unwrap();
    group(&library);
    let groups = faces(&library);
    assert!(groups.values().any(|g| alike.iter().chain(&collage).all(|f| g.contains(f))), "{groups:?}");
}
