//! Thresholds for your own photos: measures the model's error rates on a folder with one folder of photos for each
//! person, writes the record, and decides by it.
//!
//! `cargo run --release --example custom_calibration PEOPLE [RECORD.json]`; without a folder it shows what a record
//! says, and how one is refused that does not rest on enough pairs.

use std::path::{Path, PathBuf};

use kith::error::RefusalError;
use kith::{Calibration, Engine, Error, LabelledPhoto, Limits, Photo, Policy};

/// The photos of a folder that has a folder for each person.
fn labelled(folder: &Path) -> std::io::Result<Vec<LabelledPhoto>> {
    let inside = |folder: &Path| -> std::io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    let mut photos = Vec::new();
    for (person, own) in inside(folder)?.iter().filter(|p| p.is_dir()).enumerate() {
        photos.extend(inside(own)?.into_iter().map(|path| LabelledPhoto { person, path }));
    }
    Ok(photos)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut said = std::env::args_os().skip(1).map(PathBuf::from);
    let engine = Engine::builder().build()?;
    let record = match said.next() {
        Some(folder) => {
            let photos = labelled(&folder)?;
            let measured = engine.calibrate(&photos, &folder.display().to_string(), &Limits::default(), &|| {})?;
            println!("{} photos, {} without a face", photos.len(), measured.without_face.len());
            let target = said.next().unwrap_or_else(|| "record.json".into());
            std::fs::write(&target, serde_json::to_string_pretty(&measured.calibration)?)?;
            println!("written to {}", target.display());
            measured.calibration
        }
        None => {
            let few = ["grace_hopper.jpg", "hopper_tilt.jpg", "astronaut.png"];
            let photos = few
                .iter()
                .enumerate()
                .map(|(i, name)| LabelledPhoto { person: i / 2, path: format!("tests/fixtures/photos/{name}").into() });
            let photos: Vec<LabelledPhoto> = photos.collect();
            // Rates that nobody measured are not made up.
            match engine.calibrate(&photos, "three photos", &Limits::default(), &|| {}) {
                Err(Error::Refusal(RefusalError::CannotCalibrate { reason })) => println!("three photos: {reason}"),
                other => {
                    return Err(format!("three photos are no calibration: {:?}", other.map(|m| m.calibration)).into());
                }
            }
            engine.calibration().ok_or("the model came without a record")?.clone()
        }
    };

    println!(
        "{} behind {}: {} genuine pairs, {} impostor pairs",
        record.model,
        record.detector(),
        record.genuine_pairs,
        record.impostor_pairs
    );
    println!("false matches  distance  missed");
    for point in &record.points {
        println!("{:>13.0e}  {:>8.3}  {:>5.1}%", point.fmr, point.distance, point.fnmr * 100.0);
    }

    // A record is text; an engine with it decides by it, and by no other model's.
    let read = Calibration::parse(&serde_json::to_string(&record)?)?;
    let strict = read.lowest_fmr().ok_or("the record has no point")?;
    let engine = Engine::builder().calibration(read).build()?;
    let (a, b) =
        (Photo::open("tests/fixtures/photos/grace_hopper.jpg")?, Photo::open("tests/fixtures/photos/hopper_tilt.jpg")?);
    let comparison = engine.compare(&a, &b, Policy::MaxFmr(strict))?;
    println!("{}", comparison.caption().join(": "));
    Ok(())
}
