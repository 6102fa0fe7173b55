//! Photos that are edited, renamed and written over after somebody has said whose the faces in them are: nothing of what
//! was said is lost.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(all(feature = "cli", feature = "embedded-weights"))]

#[path = "common/place.rs"]
mod place;

use std::fs;
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use serde_json::Value;

use place::{Place, counts};

const WHAT: [&str; 6] = ["added", "changed", "moved", "copies", "missing", "returned"];

/// A library of two portraits and a photo of two people, with something said of every face.
struct Said {
    place: Place,
    before: Vec<Seen>,
}

/// What a photo shows: the numbers of its faces, and whose they are.
type Seen = Vec<(u64, Option<String>)>;

impl Said {
    fn new() -> Self {
        let place = Place::new(false);
        place.put("grace_hopper.jpg", "a.jpg");
        place.put("astronaut.png", "b.png");
        place.put("two_faces.jpg", "c.jpg");
        place.add();
        let said = Self { place, before: Vec::new() };
        let face = |photo: &str, at: usize| said.seen(photo)[at].0.to_string();
        let command = |words: &[&str]| drop(said.place.answer(&[&["cluster"], words].concat(), 0));
        command(&["name", "--face", &face("a.jpg", 0), "Grace"]);
        command(&["name", "--face", &face("c.jpg", 0), "Somebody"]);
        command(&["not-face", &face("c.jpg", 1)]);
        command(&["not-face", &face("b.png", 0)]);
        let before = ["a.jpg", "b.png", "c.jpg"].map(|photo| said.seen(photo)).to_vec();
        let named = |seen: &Seen| seen.iter().map(|(_, who)| who.clone()).collect::<Vec<_>>();
        let [a, b, c] = [named(&before[0]), named(&before[1]), named(&before[2])];
        assert_eq!((a, b, c), (vec![Some("Grace".into())], vec![], vec![Some("Somebody".into())]));
        Self { before, ..said }
    }

    fn at(&self, photo: &str) -> std::path::PathBuf {
        self.place.photos().join(photo)
    }

    /// The faces of a photo, after they were grouped; empty where it is not shown.
    fn seen(&self, photo: &str) -> Seen {
        let list = self.place.answer(&["library", "list"], 0);
        let path = self.at(photo);
        let is_meant =
            |p: &&Value| p["files"].as_array().unwrap().iter().any(|f| Path::new(f.as_str().unwrap()) == path);
        let Some(found) = list["photos"].as_array().unwrap().iter().find(is_meant) else { return Vec::new() };
        let face = |f: &Value| (f["id"].as_u64().unwrap(), f["who"]["name"].as_str().map(str::to_string));
        found["faces"].as_array().unwrap().iter().map(face).collect()
    }

    fn scan(&self) -> [u64; 6] {
        let scanned = self.place.add();
        self.place.answer(&["cluster"], 0);
        counts(&scanned, WHAT)
    }

    /// Each photo, by its name, shows what it showed.
    fn holds(&self, photos: [&str; 3]) {
        for (photo, before) in photos.iter().zip(&self.before) {
            assert_eq!(&self.seen(photo), before, "{photo}");
        }
        let none = self.place.answer(&["cluster", "no-faces"], 0);
        assert_eq!(none["faces"].as_array().unwrap().len(), 2, "{none}");
        assert!(self.place.open().check().unwrap().is_clean());
    }

    fn draw(&self, photo: &str, with: impl Fn(&DynamicImage) -> DynamicImage) {
        let picture = image::open(self.at(photo)).unwrap();
        let format = ImageFormat::from_path(self.at(photo)).unwrap();
        with(&picture).save_with_format(self.at(photo), format).unwrap();
    }
}

/// A JPEG with a comment.
fn with_comment(path: &Path, comment: &str) {
    let bytes = fs::read(path).unwrap();
    let length = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    fs::write(path, [&bytes[..2], &[0xff, 0xfe], &length, comment.as_bytes(), &bytes[2..]].concat()).unwrap();
}

#[test]
fn a_photo_that_is_saved_again_is_the_photo_that_it_was() {
    let said = Said::new();
    with_comment(&said.at("a.jpg"), "rated five stars");
    with_comment(&said.at("c.jpg"), "rated five stars");
    assert_eq!(said.scan(), [0, 2, 0, 0, 0, 0]);
    said.holds(["a.jpg", "b.png", "c.jpg"]);
    // Compressed again, and made smaller; brighter.
    said.draw("a.jpg", |p| p.resize(p.width() * 2 / 3, p.height() * 2 / 3, image::imageops::FilterType::Triangle));
    said.draw("b.png", |p| p.brighten(12));
    said.draw("c.jpg", |p| p.clone());
    assert_eq!(said.scan(), [0, 3, 0, 0, 0, 0]);
    said.holds(["a.jpg", "b.png", "c.jpg"]);
}

#[test]
fn a_face_in_a_photo_that_was_cut_or_turned_is_the_face_that_it_was() {
    let said = Said::new();
    said.draw("a.jpg", |p| p.crop_imm(0, 0, p.width(), p.height() * 4 / 5));
    said.draw("b.png", DynamicImage::rotate90);
    said.draw("c.jpg", DynamicImage::fliph);
    assert_eq!(said.scan(), [0, 3, 0, 0, 0, 0]);
    // In a mirror the second face is the first from the left: numbers go by what they show.
    let (turned, mut was) = (said.seen("c.jpg"), said.before[2].clone());
    was.sort_unstable();
    assert_eq!(turned, was);
    said.holds(["a.jpg", "b.png", "c.jpg"]);
}

#[test]
fn photos_that_change_names_keep_what_was_said() {
    let said = Said::new();
    let swap = |a: &str, b: &str| {
        fs::rename(said.at(a), said.at("for a moment")).unwrap();
        fs::rename(said.at(b), said.at(a)).unwrap();
        fs::rename(said.at("for a moment"), said.at(b)).unwrap();
    };
    swap("a.jpg", "c.jpg");
    let scanned = said.scan();
    assert_eq!([scanned[0], scanned[1], scanned[4]], [0, 0, 0], "{scanned:?}");
    said.holds(["c.jpg", "b.png", "a.jpg"]);
    // Numbered on, as a camera's program does: each file has the bytes of the one before.
    for (from, to) in [("c.jpg", "d.jpg"), ("b.png", "c.jpg"), ("a.jpg", "b.png")] {
        fs::rename(said.at(from), said.at(to)).unwrap();
    }
    let scanned = said.scan();
    assert_eq!([scanned[0], scanned[1], scanned[4]], [0, 0, 0], "{scanned:?}");
    said.holds(["d.jpg", "c.jpg", "b.png"]);
}

#[test]
fn what_is_like_a_photo_that_was_deleted_does_not_take_its_place() {
    let said = Said::new();
    let was = fs::read(said.at("c.jpg")).unwrap();
    fs::remove_file(said.at("c.jpg")).unwrap();
    said.scan();
    // The same picture from somewhere else begins with what was said.
    fs::write(said.at("d.jpg"), &was).unwrap();
    with_comment(&said.at("d.jpg"), "sent by a friend");
    assert_eq!(said.scan(), [1, 0, 0, 0, 0, 0]);
    let names: Vec<_> = said.seen("d.jpg").into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, [Some("Somebody".to_string())]);
    fs::remove_file(said.at("d.jpg")).unwrap();
    fs::write(said.at("c.jpg"), &was).unwrap();
    assert_eq!(said.scan()[5], 1);
    said.seen("d.jpg");
    assert_eq!(said.seen("c.jpg"), said.before[2]);
}

#[test]
fn photos_that_change_names_and_are_edited_at_once_keep_what_was_said() {
    let said = Said::new();
    fs::rename(said.at("a.jpg"), said.at("for a moment")).unwrap();
    fs::rename(said.at("c.jpg"), said.at("a.jpg")).unwrap();
    fs::rename(said.at("for a moment"), said.at("c.jpg")).unwrap();
    with_comment(&said.at("a.jpg"), "one");
    with_comment(&said.at("c.jpg"), "two");
    let scanned = said.scan();
    assert_eq!([scanned[0], scanned[4]], [0, 0], "{scanned:?}");
    said.holds(["c.jpg", "b.png", "a.jpg"]);
    assert_eq!(said.scan(), [0; 6]);
}

#[test]
fn a_photo_that_another_is_written_over_is_kept_until_it_is_back() {
    let said = Said::new();
    let was = fs::read(said.at("a.jpg")).unwrap();
    said.place.put("no_face.jpg", "a.jpg");
    assert_eq!(said.scan(), [0, 1, 0, 0, 1, 0]);
    assert_eq!(said.seen("a.jpg"), []);
    fs::write(said.at("a.jpg"), was).unwrap();
    assert_eq!(said.scan(), [0, 0, 0, 0, 1, 1]);
    said.holds(["a.jpg", "b.png", "c.jpg"]);
}

#[test]
fn of_copies_that_are_edited_one_is_the_photo_that_it_was() {
    let said = Said::new();
    fs::copy(said.at("c.jpg"), said.at("c again.jpg")).unwrap();
    assert_eq!(said.scan(), [0, 0, 0, 1, 0, 0]);
    // One: the other is what it was.
    with_comment(&said.at("c again.jpg"), "one");
    assert_eq!(said.scan(), [0, 1, 0, 0, 0, 0]);
    said.holds_but_for_one_more_no_face();
    fs::copy(said.at("c.jpg"), said.at("c again.jpg")).unwrap();
    said.scan();
    said.holds(["a.jpg", "b.png", "c.jpg"]);
    // Both, each otherwise; what remains to be found is found in the same scan.
    with_comment(&said.at("c.jpg"), "two");
    with_comment(&said.at("c again.jpg"), "three");
    assert_eq!(said.scan()[1], 2);
    let both = [said.seen("c.jpg"), said.seen("c again.jpg")];
    assert!(both.contains(&said.before[2]), "{both:?}");
    assert_eq!(said.scan(), [0; 6]);
    // Both, alike.
    let said = Said::new();
    fs::copy(said.at("c.jpg"), said.at("c again.jpg")).unwrap();
    said.scan();
    with_comment(&said.at("c.jpg"), "the same");
    with_comment(&said.at("c again.jpg"), "the same");
    said.scan();
    said.holds(["a.jpg", "b.png", "c.jpg"]);
    assert_eq!(said.seen("c again.jpg"), said.before[2]);
    // The original kept beside what was edited.
    let said = Said::new();
    fs::copy(said.at("c.jpg"), said.at("original of c.jpg")).unwrap();
    with_comment(&said.at("c.jpg"), "edited");
    said.scan();
    assert_eq!(said.seen("c.jpg"), said.before[2]);
    assert!(!said.seen("original of c.jpg").is_empty());
    assert_eq!(said.scan(), [0; 6]);
}

impl Said {
    /// An edited copy begins with what was said of the other.
    fn holds_but_for_one_more_no_face(&self) {
        assert_eq!(self.seen("c.jpg"), self.before[2]);
        let none = self.place.answer(&["cluster", "no-faces"], 0);
        assert_eq!(none["faces"].as_array().unwrap().len(), 3, "{none}");
        let names: Vec<_> = self.seen("c again.jpg").into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, [Some("Somebody".to_string())]);
    }
}

#[test]
fn a_folder_that_has_another_name_has_moved() {
    let said = Said::new();
    let (old, new) = (said.place.photos(), said.place.at("pictures"));
    fs::rename(&old, &new).unwrap();
    let scanned = said.place.answer(&["library", "add", new.to_str().unwrap()], 0);
    assert_eq!(counts(&scanned, WHAT), [0, 0, 3, 0, 0, 0], "{scanned}");
    let found = said.place.answer(&["find", "Grace", "-o", said.place.at("links").to_str().unwrap()], 0);
    assert_eq!(found["photos"][0]["files"], serde_json::json!([new.join("a.jpg")]), "{found}");
    assert!(fs::metadata(said.place.at("links").join("a.jpg")).is_ok(), "the link leads somewhere");
    assert_eq!(said.place.answer(&["library", "duplicates"], 0)["duplicates"], serde_json::json!([]));
    // Nothing is known by the old name any more.
    let gone = said.place.answer(&["library", "add", old.to_str().unwrap()], 2);
    assert_eq!(gone["error"]["code"], "library.folder");
}

#[test]
fn photos_that_are_moved_and_edited_between_two_scans_are_found_again() {
    let said = Said::new();
    // Two away for good, one of them in a folder that is renamed; one edited under its new name.
    said.place.put("hopper_crop.jpg", "sub/gone.jpg");
    said.scan();
    let (old, new) = (said.place.photos(), said.place.at("pictures"));
    fs::rename(&old, &new).unwrap();
    fs::remove_file(new.join("sub/gone.jpg")).unwrap();
    with_comment(&new.join("c.jpg"), "sorted");
    fs::rename(new.join("b.png"), new.join("eileen.png")).unwrap();
    let picture = image::open(new.join("eileen.png")).unwrap().brighten(10);
    picture.save_with_format(new.join("eileen.png"), ImageFormat::Png).unwrap();
    let scanned = said.place.answer(&["library", "add", new.to_str().unwrap()], 0);
    assert_eq!(counts(&scanned, WHAT), [0, 0, 3, 0, 1, 0], "{scanned}");
    let list = said.place.answer(&["library", "list"], 0);
    let mut shown: Vec<(String, u64)> = Vec::new();
    for photo in list["photos"].as_array().unwrap() {
        let path = photo["files"][0].as_str().unwrap();
        assert!(Path::new(path).starts_with(&new), "nothing is shown that is not there: {list}");
        let faces = photo["faces"].as_array().unwrap().iter().map(|f| f["id"].as_u64().unwrap()).sum();
        shown.push((Path::new(path).file_name().unwrap().to_str().unwrap().to_string(), faces));
    }
    shown.sort();
    let of = |at: usize| said.before[at].iter().map(|(id, _)| *id).sum::<u64>();
    assert_eq!(shown, [("a.jpg".into(), of(0)), ("c.jpg".into(), of(2)), ("eileen.png".into(), of(1))]);
    assert_eq!(said.place.answer(&["cluster", "no-faces"], 0)["faces"].as_array().unwrap().len(), 2);
}

#[test]
fn a_folder_that_is_not_there_keeps_nobody_from_the_others() {
    let said = Said::new();
    let disk = said.place.at("disk");
    fs::create_dir(&disk).unwrap();
    fs::rename(said.at("a.jpg"), disk.join("a.jpg")).unwrap();
    let both = [said.place.photos(), disk.clone()];
    let add = |code: i32| {
        let [one, other] = [0, 1].map(|at: usize| both[at].to_str().unwrap());
        said.place.answer(&["library", "add", other, one], code)
    };
    assert_eq!(counts(&add(0), WHAT), [0, 0, 1, 0, 0, 0]);
    // Unplugged.
    fs::rename(&disk, said.place.at("elsewhere")).unwrap();
    said.place.put("hopper_tilt.jpg", "new.jpg");
    let scanned = add(2);
    assert_eq!(counts(&scanned, WHAT), [1, 0, 0, 0, 1, 0], "{scanned}");
    assert_eq!(scanned["refused"][0]["code"], "library.folder");
    fs::rename(said.place.at("elsewhere"), &disk).unwrap();
    assert_eq!(counts(&add(0), WHAT), [0, 0, 0, 0, 0, 1]);
    // By itself it is said to be away, and nothing is forgotten.
    fs::rename(&disk, said.place.at("elsewhere")).unwrap();
    let alone = said.place.answer(&["library", "add", disk.to_str().unwrap()], 2);
    assert_eq!(counts(&alone, WHAT), [0, 0, 0, 0, 1, 0], "{alone}");
    fs::rename(said.place.at("elsewhere"), &disk).unwrap();
    add(0);
    assert_eq!(said.place.answer(&["find", "Grace"], 0)["photos"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_forgotten_leaves_no_name_behind() {
    let said = Said::new();
    let groups = || said.place.answer(&["library", "status"], 0)["named"].as_u64().unwrap();
    assert_eq!(groups(), 2);
    let gone = said.place.answer(&["library", "remove", "--yes", said.at("a.jpg").to_str().unwrap()], 0);
    assert_eq!(counts(&gone, ["photos", "faces"]), [1, 1]);
    let unknown = said.place.answer(&["find", "Grace"], 2);
    assert_eq!(unknown["error"]["code"], "library.unknown_group");
    assert_eq!(groups(), 1);
    let unnamed = said.place.answer(&["cluster", "unname", "Somebody"], 0);
    assert_eq!((&unnamed["name"], &unnamed["faces"]), (&Value::Null, &1.into()));
    assert_eq!(groups(), 0);
}

#[test]
fn names_of_enrolled_people_stay_while_they_are_enrolled() {
    let place = Place::new(false);
    for (from, to) in [("grace_hopper.jpg", "1.jpg"), ("hopper_tilt.jpg", "2.jpg"), ("astronaut.png", "3.png")] {
        place.put(from, to);
    }
    place.add();
    let portrait = place::fixture("hopper_mirror.jpg");
    place.answer(&["enroll", "Grace", portrait.to_str().unwrap()], 0);
    let grouped = place.answer(&["cluster"], 0);
    assert_eq!((&grouped["groups"][0]["name"], &grouped["enrolled"]), (&"Grace".into(), &1.into()), "{grouped}");
    // Another gallery knows nobody of the name, and says nothing of it.
    let stranger = place::fixture("astronaut.png");
    place.answer(&["enroll", "Eileen", stranger.to_str().unwrap(), "--gallery", "work"], 0);
    let names = |grouped: &Value| {
        let groups = grouped["groups"].as_array().unwrap();
        groups.iter().filter_map(|g| g["name"].as_str()).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&place.answer(&["cluster", "--gallery", "work"], 0)), ["Grace", "Eileen"]);
    // Of another model: they are compared with nothing, and it is said.
    let moved = place.run(&["reembed", "--profile", "classic"]);
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let grouped = place.answer(&["cluster"], 0);
    assert_eq!(names(&grouped), ["Grace", "Eileen"], "{grouped}");
    assert_eq!((&grouped["enrolled"], &grouped["enrolled_other_model"]), (&0.into(), &1.into()));
    let text = String::from_utf8(place.run(&["cluster"]).stdout).unwrap();
    assert!(text.contains("1 person enrolled in main gave no name"), "{text}");
    assert!(text.contains("kith reembed --gallery main"), "{text}");
    // Forgotten: the name goes from the library, which has it from the enrolment.
    let forgotten = place.answer(&["forget", "Grace"], 0);
    assert_eq!(forgotten["library_group"], Value::Null);
    let groups = place.answer(&["cluster", "list"], 0);
    assert_eq!(names(&groups), ["Eileen"], "{groups}");
    // Said of the photos: it stays, and it is said.
    let group =
        groups["groups"].as_array().unwrap().iter().find(|g| g["name"] == Value::Null).unwrap()["id"].to_string();
    place.answer(&["cluster", "name", &group, "Grace"], 0);
    place.answer(&["enroll", "Grace", portrait.to_str().unwrap()], 0);
    assert_eq!(place.answer(&["forget", "Grace"], 0)["library_group"].to_string(), group);
}
