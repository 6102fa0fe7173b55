//! A door: somebody says who they are, a camera has taken a few photos, and the door opens or not.
//!
//! It opens for one answer alone. Whatever goes wrong (no face, two faces, a poor picture, an unknown name, a gallery
//! of another model, a rate that the calibration does not support) keeps it shut, with the reason.
//!
//! `cargo run --release --example verify_at_a_door`

use kith::error::{GalleryError, RefusalError};
use kith::{Calibration, DEFAULT_GALLERY, Database, DatabaseOptions, Engine, EnrolOptions, Error, FaceChoice, Photo};

/// Of impostors who claim to be somebody, at most one in 1000 comes in.
const MAX_FMR: f64 = 1e-3;

/// Whether the door opens for whoever claims to be `name`.
fn opens(
    engine: &Engine,
    calibration: &Calibration,
    database: &Database,
    name: &str,
    photos: &[Photo],
) -> Result<bool, Error> {
    let mut refused = None;
    for photo in photos {
        let found = engine.detect(photo)?;
        // Nobody may stand beside whoever asks.
        let (seen, face) = match engine.see(&found, photo, FaceChoice::Only) {
            Ok(seen) => seen,
            Err(error @ Error::Refusal(_)) => {
                refused = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(why) = seen.refusal {
            refused = Some(GalleryError::Gate { photo: photo.origin().to_string(), refusal: why }.into());
            continue;
        }
        let (person, nearest) = database.nearest_face_of(DEFAULT_GALLERY, name, &face.embedding)?;
        // An impostor has as many chances as the person has faces: the threshold is that of a search among them.
        let line = calibration.for_search(MAX_FMR, person.faces)?;
        let distance = nearest.map_or(f32::INFINITY, |(_, distance)| distance);
        return Ok(!line.extrapolated && distance <= line.distance);
    }
    Err(refused.unwrap_or_else(|| RefusalError::NoFace { photo: "none was taken".to_string() }.into()))
}

fn main() -> Result<(), Error> {
    let photo = |name: &str| Photo::open(format!("tests/fixtures/photos/{name}"));
    let folder = std::env::temp_dir().join(format!("kith-door-{}", std::process::id()));
    let engine = Engine::builder().build()?;
    let database = Database::open(folder.join("faces"), &DatabaseOptions::default())?;
    engine.enroll(&database, DEFAULT_GALLERY, "Grace", &photo("grace_hopper.jpg")?, &EnrolOptions::default())?;
    // Without measured error rates there is no threshold, and no door that opens.
    let without = || RefusalError::NotCalibrated { model: engine.model().to_string() };
    let calibration = engine.calibration().ok_or_else(without)?;

    let tries = [
        ("Grace", vec![photo("no_face.jpg")?, photo("hopper_tilt.jpg")?]),
        ("Grace", vec![photo("astronaut.png")?]),
        ("Grace", vec![photo("two_faces.jpg")?]),
        ("Eve", vec![photo("astronaut.png")?]),
    ];
    for (name, photos) in tries {
        let told: Vec<&str> = photos.iter().map(|p| p.origin().rsplit('/').next().unwrap_or_default()).collect();
        match opens(&engine, calibration, &database, name, &photos) {
            Ok(true) => println!("{name} with {told:?}: open"),
            Ok(false) => println!("{name} with {told:?}: shut, that is somebody else"),
            Err(error) => println!("{name} with {told:?}: shut, {} ({error})", error.code()),
        }
    }
    drop(database);
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
