//! Remembers people in a database, and says who is in another photo.
//!
//! `cargo run --release --example enrol_and_identify [DATABASE]`

use kith::{DEFAULT_GALLERY, Database, DatabaseOptions, Engine, EnrolOptions, Photo, SearchPolicy};

const PEOPLE: [(&str, &str); 2] = [("Grace Hopper", "grace_hopper.jpg"), ("Eileen Collins", "astronaut.png")];

fn photo(name: &str) -> kith::Result<Photo> {
    Ok(Photo::open(format!("tests/fixtures/photos/{name}"))?)
}

fn main() -> kith::Result<()> {
    let folder = std::env::temp_dir().join(format!("kith-example-{}", std::process::id()));
    let path = std::env::args().nth(1).map_or_else(|| folder.join("faces"), Into::into);
    let engine = Engine::builder().build()?;
    let database = Database::open(&path, &DatabaseOptions::default())?;

    for (name, file) in PEOPLE {
        let options = EnrolOptions { groups: vec!["pioneers".to_string()], ..EnrolOptions::default() };
        // A photo without a face, with several, or too poor to remember anybody by is an error that says so. So is a
        // face that the gallery knows as somebody else's.
        let enrolled = engine.enroll(&database, DEFAULT_GALLERY, name, &photo(file)?, &options)?;
        println!("{name}: face {}", enrolled.face);
    }

    // Of 100 strangers at most one is taken for somebody in the gallery, however many are enrolled.
    let policy = SearchPolicy { max_fpir: 0.01, ..SearchPolicy::default() };
    for file in ["hopper_tilt.jpg", "two_faces.jpg", "no_face.jpg"] {
        let faces = engine.identify(&database, DEFAULT_GALLERY, &photo(file)?, &policy)?;
        println!("{file}: {} faces", faces.len());
        for face in faces {
            let nearest = face.answer.candidates.first();
            let distance = nearest.map_or("nobody enrolled".to_string(), |c| format!("distance {:.3}", c.distance));
            println!("  {} ({distance})", face.answer.name.as_deref().unwrap_or("unknown"));
        }
    }

    // Whoever is forgotten is in no file any more when this returns.
    let faces = database.forget(DEFAULT_GALLERY, "Grace Hopper", true)?;
    println!("forgot Grace Hopper: {faces} faces");
    let left = engine.identify(&database, DEFAULT_GALLERY, &photo("hopper_tilt.jpg")?, &policy)?;
    println!("hopper_tilt.jpg: {}", left[0].answer.name.as_deref().unwrap_or("unknown"));
    drop(database);
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
