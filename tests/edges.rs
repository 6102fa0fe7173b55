//! Faces at the photo's edge and on its side: cut or turned, they are still the same person's.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

mod common;

use std::path::{Path, PathBuf};

use kith::media::Raster;
use kith::{Decision, Engine, Face, FaceChoice, Photo, Policy, Profile};
use rayon::prelude::*;

/// People of LFW with whom the cuts are tried.
const PEOPLE: usize = 45;
/// Of them, those who may be taken for somebody else once they are cut.
const MOST_DIFFERENT: usize = 2;

/// Shares of the face's box that are cut away at the left, top, right and bottom.
const CUTS: [(&str, [f32; 4]); 5] = [
    ("10% right and bottom", [0.0, 0.0, 0.1, 0.1]),
    ("15% left", [0.15, 0.0, 0.0, 0.0]),
    ("15% top", [0.0, 0.15, 0.0, 0.0]),
    ("20% bottom", [0.0, 0.0, 0.0, 0.2]),
    ("5% all round", [0.05; 4]),
];

/// Columns `x0..x1` and rows `y0..y1` of a photo.
fn cut(photo: &Photo, [x0, y0, x1, y1]: [u32; 4]) -> Photo {
    let mut part = Raster::new(x1 - x0, y1 - y0, [0; 3]);
    part.blit(photo.raster(), -i64::from(x0), -i64::from(y0));
    Photo::from_raster(part, photo.origin())
}

#[test]
fn a_face_cut_by_the_photos_edge_is_still_the_same_person() {
    let engine = Engine::builder().build().unwrap();
    let whole = Photo::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos/grace_hopper.jpg"));
    let whole = whole.unwrap();
    let part = cut(&whole, [170, 90, 340, 300]);
    let verdict = engine.verify(&whole, &part, Policy::default(), FaceChoice::Only).unwrap();
    println!("cut at 170,90 to 340,300: {verdict:?}");
    // Well within the line, not near it.
    let near = verdict.distance / verdict.threshold.distance;
    assert!(verdict.decision == Decision::Same && near < 0.65, "{verdict:?}");
}

/// Somebody's photo, and the one face in it.
struct Whole {
    name: String,
    photo: Photo,
    face: Face,
}

/// A photo of each of the first people whose photo shows one face, well within it.
fn people(engine: &Engine, lfw: &Path) -> Vec<Whole> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(lfw.join("people")).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    let tried: Vec<&PathBuf> = folders.iter().step_by(folders.len() / (2 * PEOPLE)).collect();
    let alone = |folder: &&PathBuf| {
        let name = format!("{}_0001", folder.file_name().unwrap().to_str().unwrap());
        let photo = Photo::open(folder.join(format!("{name}.jpg"))).unwrap();
        let face = engine.one_face(&photo, FaceChoice::Only).ok()?;
        Some(Whole { name, photo, face })
    };
    let mut found: Vec<Whole> = tried.par_iter().filter_map(alone).collect();
    found.truncate(PEOPLE);
    assert_eq!(found.len(), PEOPLE);
    found
}

/// How many of the people are taken for somebody else, or not found, by each cut.
fn different(engine: &Engine, people: &[Whole]) -> Vec<(&'static str, Vec<String>)> {
    let judge = engine.judge(Policy::default()).unwrap();
    let told = |cuts: &[f32; 4], Whole { name, photo, face: whole }: &Whole| -> Option<String> {
        let b = whole.bbox;
        let edge = |v: f32, length: u32| v.round().clamp(0.0, length as f32) as u32;
        // Where nothing is cut away the photo's own edge stays.
        let from = |at: f32, size: f32, share: f32| if share == 0.0 { 0.0 } else { at + share * size };
        let to = |at: f32, size: f32, share: f32| if share == 0.0 { f32::MAX } else { at - share * size };
        let part = cut(
            photo,
            [
                edge(from(b.x0, b.width(), cuts[0]), photo.width()),
                edge(from(b.y0, b.height(), cuts[1]), photo.height()),
                edge(to(b.x1, b.width(), cuts[2]), photo.width()),
                edge(to(b.y1, b.height(), cuts[3]), photo.height()),
            ],
        );
        let Ok(face) = engine.one_face(&part, FaceChoice::Largest) else { return Some(format!("{name}: no face")) };
        let verdict = judge.judge(&whole.embedding, &face.embedding).unwrap();
        (verdict.decision == Decision::Different).then(|| format!("{name}: {:.3}", verdict.distance))
    };
    CUTS.iter().map(|(name, cuts)| (*name, people.par_iter().filter_map(|p| told(cuts, p)).collect())).collect()
}

#[test]
fn of_45_people_cut_at_the_edge_at_most_two_are_taken_for_somebody_else() {
    let Some(lfw) = common::labelled("lfw") else { return };
    let built_in = [Profile::Fast, Profile::Accurate, Profile::Classic];
    let built_in = built_in.map(|profile| Engine::builder().profile(profile).build().unwrap());
    let fast = common::fast_pair();
    let yunet = fast.as_ref().map(|weights| {
        Engine::builder().detector("yunet-n").model("dlib-resnet").weights(weights.path()).build().unwrap()
    });
    let both = fast.as_ref().map(|weights| {
        Engine::builder().detector("yunet-n").model("mobilefacenet").weights(weights.path()).build().unwrap()
    });
    for engine in built_in.into_iter().chain([yunet, both].into_iter().flatten()) {
        let people = people(&engine, &lfw);
        for (cut, wrong) in different(&engine, &people) {
            println!("{engine:?}, {cut}: {} of {PEOPLE} differ: {wrong:?}", wrong.len());
            assert!(wrong.len() <= MOST_DIFFERENT, "{engine:?}, {cut}: {wrong:?}");
        }
    }
}

#[test]
fn a_photo_that_lies_on_its_side_or_head_is_turned_and_its_faces_are_found_where_they_are() {
    let engine = Engine::builder().build().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
    let photo = Photo::open(folder.join("grace_hopper.jpg")).unwrap();
    let face = engine.find_one(&photo, FaceChoice::Only).unwrap();
    for quarters in 1..4 {
        let lying = Photo::from_raster(photo.raster().turned(quarters), "lying");
        let found = engine.detect(&lying).unwrap();
        assert_eq!((found.len(), u32::from(found[0].turned)), (1, 360 - 90 * quarters), "{found:?}");
        // Where the face's nose went.
        let ([x, y], [w, h]) = (face.landmarks.0[2], [photo.width() as f32, photo.height() as f32]);
        let [x, y] = [[x, y], [h - 1.0 - y, x], [w - 1.0 - x, h - 1.0 - y], [y, w - 1.0 - x]][quarters as usize];
        let [fx, fy] = found[0].landmarks.0[2];
        assert!((fx - x).hypot(fy - y) < 6.0, "{quarters}: {fx},{fy} for {x},{y}");
        let verdict = engine.verify(&photo, &lying, Policy::default(), FaceChoice::Only).unwrap();
        assert!(verdict.decision == Decision::Same && verdict.distance < 0.2, "{quarters}: {verdict:?}");
        assert_eq!(u32::from(verdict.right.found.turned), 360 - 90 * quarters);
    }
    let nothing = Photo::open(folder.join("no_face.jpg")).unwrap();
    assert_eq!(engine.detect(&nothing).unwrap(), []);
}
