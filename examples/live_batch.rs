//! Frames as a camera gives them, straight from memory: detected, embedded on all cores, and asked of a gallery.
//!
//! `cargo run --release --example live_batch`

use std::time::Instant;

use kith::{
    Database, DatabaseOptions, Engine, EnrolOptions, Face, IndexChoice, MtcnnOptions, Photo, Raster, SearchPolicy,
};
use rayon::prelude::*;

const GALLERY: &str = "camera";

fn main() -> kith::Result<()> {
    // Whoever is far from the camera is not looked for: larger faces alone are several times faster.
    let detection = MtcnnOptions { min_face: 60, max_side: Some(640), ..MtcnnOptions::default() };
    let engine = Engine::builder().detection(detection).build()?;
    let folder = std::env::temp_dir().join(format!("kith-live-{}", std::process::id()));
    let database = Database::open(folder.join("faces"), &DatabaseOptions::default())?;
    let portrait = Photo::open("tests/fixtures/photos/grace_hopper.jpg")?;
    engine.enroll(&database, GALLERY, "Grace Hopper", &portrait, &EnrolOptions::default())?;
    database.use_index(GALLERY, IndexChoice::Auto, &|_, _| {})?;

    // A camera's frames are pixels, and no files.
    let frames: Vec<Photo> = ["hopper_tilt.jpg", "astronaut.png", "two_faces.jpg", "no_face.jpg"]
        .iter()
        .map(|name| {
            let decoded = Photo::open(format!("tests/fixtures/photos/{name}"))?;
            let pixels: &Raster = decoded.raster();
            Ok(Photo::from_raster(pixels.clone(), *name))
        })
        .collect::<kith::Result<_>>()?;

    let start = Instant::now();
    let faces: Vec<Vec<Face>> = frames.par_iter().map(|frame| engine.faces(frame)).collect::<kith::Result<_>>()?;
    let policy = SearchPolicy { top: 1, ..SearchPolicy::default() };
    for (frame, faces) in frames.iter().zip(&faces) {
        for face in faces {
            let answer = database.identify(GALLERY, &face.embedding, &policy, engine.calibration())?;
            let (name, b) = (answer.name.as_deref().unwrap_or("unknown"), face.bbox);
            println!("{}: {name} at {:.0},{:.0} to {:.0},{:.0}", frame.origin(), b.x0, b.y0, b.x1, b.y1);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{} frames in {seconds:.2} s", frames.len());
    drop(database);
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
