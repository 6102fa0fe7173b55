//! CenterFace as a user has it, built in: the faces that ONNX Runtime finds with the published file
//! (tests/golden/centerface.py), and those that an enlarged copy shows.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(feature = "embedded-weights")]

#[path = "common/require.rs"]
mod require;

use std::path::{Path, PathBuf};

use kith::geometry::Overlap;
use kith::media::fit_within;
use kith::{CenterFaceOptions, Detection, DeviceChoice, Engine, Enlarge, Photo, PrecisionChoice};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn photo(name: &str) -> Photo {
    Photo::open(root().join("tests/fixtures/photos").join(name)).unwrap()
}

/// None where the processor cannot compute so.
fn engine(precision: PrecisionChoice, enlarge: Enlarge) -> Option<Engine> {
    let options = CenterFaceOptions { heat: 0.5, enlarge, min_face: 10, ..CenterFaceOptions::default() };
    let builder = Engine::builder().device(DeviceChoice::Cpu).detector("centerface").precision(precision);
    match builder.centerface(options).build() {
        Ok(engine) => Some(engine),
        Err(e) => {
            assert_eq!(e.code(), "model.invalid_option", "{e}");
            require::processor_lacks(e);
            None
        }
    }
}

/// How a found face departs from the reference's: pixels of box, pixels of landmarks, heat.
fn gaps(found: &Detection, wanted: &Value) -> [f32; 3] {
    let number = |v: &Value| v.as_f64().unwrap() as f32;
    let b = found.bbox;
    let edges = [b.x0, b.y0, b.x1, b.y1].into_iter().zip(wanted["box"].as_array().unwrap());
    let edge = edges.map(|(e, w)| (e - number(w)).abs()).fold(0.0, f32::max);
    let points = found.landmarks.0.iter().zip(wanted["landmarks"].as_array().unwrap());
    let point = points.map(|(p, w)| (p[0] - number(&w[0])).abs().max((p[1] - number(&w[1])).abs()));
    [edge, point.fold(0.0, f32::max), (found.score - number(&wanted["score"])).abs()]
}

#[test]
fn fixtures_give_the_faces_that_onnx_runtime_gives() {
    let text = std::fs::read_to_string(root().join("tests/golden/centerface.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    for precision in [PrecisionChoice::F32, PrecisionChoice::F16, PrecisionChoice::Auto] {
        let Some(engine) = engine(precision, Enlarge::Off) else { continue };
        assert_eq!(engine.detector(), "centerface");
        let mut worst = [0f32; 3];
        for (name, wanted) in golden["photos"].as_object().unwrap() {
            let found = engine.detect(&photo(name)).unwrap();
            let wanted = wanted["faces"].as_array().unwrap();
            assert_eq!(found.len(), wanted.len(), "{name} in {precision}: {found:?}");
            for (found, wanted) in found.iter().zip(wanted) {
                let gap = gaps(found, wanted);
                worst = std::array::from_fn(|k| worst[k].max(gap[k]));
                // In f16 cells that are nearly as hot as each other change places, each with a box of its own.
                let full = precision == PrecisionChoice::F32;
                let (pixels, heat) = if full { (0.5, 1e-3) } else { (0.03 * found.bbox.height(), 1e-2) };
                assert!(gap[0] < pixels && gap[1] < pixels && gap[2] < heat, "{name} in {precision}: off by {gap:?}");
            }
        }
        println!("{precision}: box, landmarks and heat off by {worst:?} at most");
    }
}

#[test]
fn faces_too_small_for_the_photo_are_found_in_an_enlarged_copy_of_it() {
    let small = Photo::from_raster(fit_within(photo("two_faces.jpg").raster(), 128, 128), "small");
    let (off, by) = (Enlarge::Off, Enlarge::By(3.0));
    let [plain, enlarged] = [off, by].map(|e| engine(PrecisionChoice::F32, e).unwrap().detect(&small).unwrap());
    println!("{plain:?}\n{enlarged:?}");
    assert_eq!(enlarged.len(), 2, "{enlarged:?}");
    let surest = |found: &[Detection]| found.iter().map(|d| d.score).fold(0.0, f32::max);
    assert!(plain.len() < 2 || surest(&enlarged) > surest(&plain));
    for known in [[176.0, 110.0, 270.0, 232.0], [687.0, 138.0, 867.0, 335.0]] {
        let [x0, y0, x1, y1] = known.map(|v: f32| v / 8.0);
        let wanted = kith::geometry::BBox::new(x0, y0, x1, y1);
        let best = enlarged.iter().map(|d| d.bbox.overlap(&wanted, Overlap::Union)).fold(0.0, f32::max);
        assert!(best > 0.5, "{enlarged:?}");
    }
    let wrong = CenterFaceOptions { enlarge: Enlarge::By(0.5), ..CenterFaceOptions::default() };
    let refused = Engine::builder().detector("centerface").centerface(wrong).build();
    assert_eq!(refused.unwrap_err().code(), "model.invalid_option");
}

#[test]
fn large_photos_give_the_same_faces_in_their_own_pixels() {
    let small = photo("grace_hopper.jpg");
    let large = Photo::from_raster(fit_within(small.raster(), 3000, 3000), "large");
    let engine = engine(PrecisionChoice::F32, Enlarge::Auto).unwrap();
    let (on_small, on_large) = (engine.detect(&small).unwrap(), engine.detect(&large).unwrap());
    assert_eq!((on_small.len(), on_large.len()), (1, 1), "{on_large:?}");
    let scaled = on_small[0].bbox.scaled(large.width() as f32 / small.width() as f32);
    assert!(scaled.overlap(&on_large[0].bbox, Overlap::Union) > 0.8, "{scaled:?} {on_large:?}");
}

#[test]
fn a_face_that_fills_a_large_photo_is_found_in_a_smaller_copy() {
    let hopper = photo("grace_hopper.jpg");
    let mut face = kith::Raster::new(200, 216, [0; 3]);
    face.blit(hopper.raster(), -165, -128);
    let large = Photo::from_raster(fit_within(&face, 1280, 1280), "large");
    let found = engine(PrecisionChoice::F32, Enlarge::Auto).unwrap().detect(&large).unwrap();
    assert!(found.len() == 1 && found[0].bbox.height() > 900.0, "{found:?}");
}
