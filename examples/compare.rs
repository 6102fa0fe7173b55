//! Are these two photos of one person? Prints the verdict with what it rests on, and draws the picture.
//!
//! `cargo run --release --example compare [A] [B] [PICTURE]`

use kith::media::save;
use kith::{Decision, Engine, Photo, Policy};

fn main() -> kith::Result<()> {
    let mut said = std::env::args().skip(1);
    let a = said.next().unwrap_or_else(|| "tests/fixtures/photos/grace_hopper.jpg".to_string());
    let b = said.next().unwrap_or_else(|| "tests/fixtures/photos/hopper_tilt.jpg".to_string());

    let engine = Engine::builder().build()?;
    let (a, b) = (Photo::open(a)?, Photo::open(b)?);
    // Of 10 000 pairs of photos of two people, at most one is taken for one person.
    let comparison = engine.compare(&a, &b, Policy::MaxFmr(1e-4))?;

    comparison.caption().iter().for_each(|line| println!("{line}"));
    match comparison.verdict() {
        Some(verdict) if verdict.decision == Decision::Same => println!("-> the same person"),
        Some(_) => println!("-> different people"),
        // No face, a poor picture, a rate that was never measured: refused, and no match.
        None => println!("-> not decided"),
    }
    for pair in &comparison.pairs {
        println!("face {} and face {}: distance {:.3}", pair.left, pair.right, pair.distance);
    }
    if let Some(path) = said.next() {
        save(&engine.draw(&a, &b, &comparison), path)?;
    }
    Ok(())
}
