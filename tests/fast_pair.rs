//! The fast pair as a user has it: imported from the published files, finding and telling apart the faces
//! of the fixtures. Without the published files they have nothing to run; the networks themselves are held by
//! the golden tests beside their code.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use kith::geometry::Overlap;
use kith::{Decision, DeviceChoice, Engine, FaceChoice, Photo, Policy, PrecisionChoice};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn photo(name: &str) -> Photo {
    Photo::open(root().join("tests/fixtures/photos").join(name)).unwrap()
}

#[test]
fn yunet_finds_the_faces_that_mtcnn_finds() {
    let Some(folder) = common::fast_pair() else { return };
    let mtcnn = Engine::builder().detector("mtcnn").build().unwrap();
    for name in ["yunet", "yunet-n"] {
        let yunet = Engine::builder().detector(name).weights(folder.path()).build().unwrap();
        assert_eq!(yunet.detector(), name);
        for file in ["grace_hopper.jpg", "astronaut.png", "two_faces.jpg", "hopper_tilt.jpg", "no_face.jpg"] {
            let photo = photo(file);
            let (wanted, found) = (mtcnn.detect(&photo).unwrap(), yunet.detect(&photo).unwrap());
            assert_eq!(found.len(), wanted.len(), "{name} on {file}: {found:?}");
            for w in &wanted {
                let near = |overlap: f32| overlap > 0.5;
                let same = found.iter().find(|f| near(f.bbox.overlap(&w.bbox, Overlap::Union)));
                let same = same.unwrap_or_else(|| panic!("{name} on {file}: {w:?} is not in {found:?}"));
                let far = same.landmarks.0.iter().zip(w.landmarks.0).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]));
                assert!(far.fold(0.0, f32::max) < 0.15 * w.bbox.width(), "{name} on {file}: {same:?} for {w:?}");
            }
        }
    }
}

#[test]
fn yunet_finds_the_same_faces_in_shorter_numbers() {
    let Some(folder) = common::fast_pair() else { return };
    let photo = photo("two_faces.jpg");
    for (precision, overlap, score) in [(PrecisionChoice::F16, 0.99, 5e-3)] {
        for name in ["yunet", "yunet-n"] {
            let engine = |precision: PrecisionChoice| {
                let builder = Engine::builder().device(DeviceChoice::Cpu).detector(name).weights(folder.path());
                builder.precision(precision).build()
            };
            let short = match engine(precision) {
                Ok(short) => short.detect(&photo).unwrap(),
                Err(e) => {
                    assert_eq!(e.code(), "model.invalid_option", "{e}");
                    common::require::processor_lacks(e);
                    continue;
                }
            };
            let full = engine(PrecisionChoice::F32).unwrap().detect(&photo).unwrap();
            assert!(full.len() == short.len() && full != short, "{name} in {precision}: {full:?} and {short:?}");
            for (a, b) in full.iter().zip(&short) {
                assert!(a.bbox.overlap(&b.bbox, Overlap::Union) > overlap, "{name} in {precision}: {a:?} became {b:?}");
                assert!((a.score - b.score).abs() < score, "{name} in {precision}: {a:?} became {b:?}");
            }
        }
    }
}

/// The first labelled pairs of LFW, from the photo to the verdict, in f32 and in all that runs here.
#[test]
fn shorter_numbers_decide_labelled_pairs_as_f32_does() {
    let Some(folder) = common::fast_pair() else { return };
    let lfw = root().join("../shared/data/lfw");
    let Ok(pairs) = std::fs::read_to_string(lfw.join("pairs.txt")) else {
        return common::require::missing("../shared/data/lfw/pairs.txt is not there");
    };
    let photo = |name: &str, number: &str| {
        Photo::open(lfw.join("people").join(name).join(format!("{name}_{number:0>4}.jpg"))).unwrap()
    };
    let pair = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [name, a, b] => Some([photo(name, a), photo(name, b)]),
        [left, a, right, b] => Some([photo(left, a), photo(right, b)]),
        _ => None,
    };
    let pairs: Vec<_> = pairs.lines().skip(1).step_by(25).filter_map(pair).collect();
    assert!(pairs.len() > 100);
    let engine = |precision: PrecisionChoice| {
        let builder = Engine::builder().device(DeviceChoice::Cpu).detector("yunet-n").model("mobilefacenet");
        builder.weights(folder.path()).precision(precision).build()
    };
    let full = engine(PrecisionChoice::F32).unwrap();
    let judge = full.judge(Policy::MaxFmr(1e-3)).unwrap();
    let of = |engine: &Engine, photos: &[Photo; 2]| {
        photos.each_ref().map(|photo| engine.one_face(photo, FaceChoice::Central).unwrap().embedding)
    };
    let wanted: Vec<_> = pairs.iter().map(|photos| of(&full, photos)).collect();
    for precision in [PrecisionChoice::Auto, PrecisionChoice::F16, PrecisionChoice::Int16] {
        let other = match engine(precision) {
            Ok(other) => other,
            Err(e) => {
                assert_eq!(e.code(), "model.invalid_option", "{e}");
                common::require::processor_lacks(e);
                continue;
            }
        };
        let mut cosines = Vec::new();
        for (photos, full) in pairs.iter().zip(&wanted) {
            let other = of(&other, photos);
            cosines.extend(full.iter().zip(&other).map(|(f, o)| f.cosine(o).unwrap()));
            let decide = |faces: &[kith::Embedding; 2]| judge.judge(&faces[0], &faces[1]).unwrap().decision;
            assert_eq!(decide(&other), decide(full), "{photos:?} in {precision}");
        }
        cosines.sort_by(f32::total_cmp);
        println!("{precision} ({}): cosines from {:?} on", other.precision(), &cosines[..5]);
        assert!(cosines[0] > 0.9995, "{precision}: {:?}", &cosines[..10]);
    }
}

#[test]
fn large_photos_give_the_same_faces_in_their_own_pixels() {
    let Some(folder) = common::fast_pair() else { return };
    let small = photo("grace_hopper.jpg");
    let large = Photo::from_raster(kith::media::fit_within(small.raster(), 3000, 3000), "large");
    let engine = Engine::builder().detector("yunet").weights(folder.path()).build().unwrap();
    let (on_small, on_large) = (engine.detect(&small).unwrap(), engine.detect(&large).unwrap());
    assert_eq!((on_small.len(), on_large.len()), (1, 1));
    let scaled = on_small[0].bbox.scaled(large.width() as f32 / small.width() as f32);
    assert!(scaled.overlap(&on_large[0].bbox, Overlap::Union) > 0.8, "{scaled:?} {on_large:?}");
}

#[test]
fn the_fast_pair_tells_people_apart_and_keeps_to_its_own_space() {
    let Some(folder) = common::fast_pair() else { return };
    let fast = Engine::builder().detector("yunet").model("mobilefacenet").weights(folder.path()).build().unwrap();
    assert_eq!(fast.dimension(), 128);
    assert!(fast.model().as_str().starts_with("mobilefacenet/"), "{}", fast.model());
    assert!(fast.model().as_str().ends_with("five-point-112"), "{}", fast.model());
    let face = |name: &str| fast.one_face(&photo(name), FaceChoice::Only).unwrap().embedding;
    let (hopper, tilted, collins) = (face("grace_hopper.jpg"), face("hopper_tilt.jpg"), face("astronaut.png"));
    let (same, different) = (hopper.distance(&tilted).unwrap(), hopper.distance(&collins).unwrap());
    println!("same person {same:.3}, two people {different:.3}");
    assert!(same < 0.9 && different > 1.1, "{same} {different}");
    let other = Engine::builder().build().unwrap().one_face(&photo("astronaut.png"), FaceChoice::Only).unwrap();
    assert_eq!(hopper.distance(&other.embedding).unwrap_err().code(), "model.mixed_models");
}

#[test]
fn the_fast_profile_decides_at_a_rate() {
    let Some(folder) = common::fast_pair() else { return };
    let fast = Engine::builder().detector("yunet-n").model("mobilefacenet").weights(folder.path()).build().unwrap();
    let verdict = |a: &str, b: &str| fast.verify(&photo(a), &photo(b), Policy::MaxFmr(1e-4), FaceChoice::Only).unwrap();
    let (same, different) =
        (verdict("grace_hopper.jpg", "hopper_tilt.jpg"), verdict("grace_hopper.jpg", "astronaut.png"));
    assert_eq!((same.decision, different.decision), (Decision::Same, Decision::Different));
    let (low, high) = same.similarity_interval.unwrap();
    assert!(same.similarity.is_some_and(|s| low <= s && s <= high));
    assert_eq!(same.threshold.fmr, Some(1e-4));
}

/// Who asks for the fast profile has it in the numbers that are fast here, and may say others.
#[test]
fn the_fast_profile_computes_in_what_auto_takes() {
    let Some(folder) = common::fast_pair() else { return };
    let said = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command.args(["embed", "tests/fixtures/photos/grace_hopper.jpg", "--json", "--device", "cpu", "--weights"]);
        let output = command.arg(folder.path()).args(options).current_dir(root()).output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["precision"].as_str().unwrap().to_owned()
    };
    let auto = said(&["--profile", "fast", "--precision", "auto"]);
    println!("auto takes {auto}");
    assert_eq!(said(&["--profile", "fast"]), auto);
    assert_eq!(said(&["--profile", "fast", "--precision", "f32"]), "f32");
    assert_eq!(said(&["--profile", "accurate"]), "f32");
}

#[test]
fn a_calibration_behind_another_detector_is_refused() {
    let Some(folder) = common::fast_pair() else { return };
    // No record of SFace was measured behind yunet-n, so there no rate is known.
    let engine = Engine::builder().detector("yunet-n").weights(folder.path()).build().unwrap();
    assert!(engine.calibration().is_none());
    assert_eq!(engine.judge(Policy::MaxFmr(1e-3)).unwrap_err().code(), "refusal.not_calibrated");
    let record = Engine::builder().build().unwrap().calibration().unwrap().clone();
    let refused = Engine::builder().detector("yunet-n").weights(folder.path()).calibration(record).build();
    assert_eq!(refused.unwrap_err().code(), "refusal.wrong_detector");
}
