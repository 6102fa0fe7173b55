//! Grouping many faces: `cargo bench --bench cluster`, or with the numbers of faces, `-- 25000 100000`.
//!
//! Vectors: people of twelve faces each whose cosine is about 0.65, as SFace's are, at right angles to each other, and
//! two fifths of the faces nobody else's; by the shipped line of SFace. Printed for each number of faces: seconds, the
//! most memory that the process had (on Linux), and how many faces are in another group than the one they were drawn for.

use std::time::Instant;

use kith::cluster::{Method, Rows, Rules};
use kith::{Engine, ModelId, group_rows, line_among};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIMENSION: usize = 128;
/// Faces of a person.
const OF_ONE: usize = 12;

fn unit(v: &mut [f32]) {
    let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    v.iter_mut().for_each(|x| *x /= length);
}

/// A direction, or one near another.
fn draw(rng: &mut ChaCha8Rng, about: Option<&[f32]>) -> Vec<f32> {
    // Twelve uniform numbers make a nearly normal one.
    let mut normal = || (0..12).map(|_| rng.random_range(-0.5f32..0.5)).sum::<f32>();
    let mut v: Vec<f32> = (0..DIMENSION).map(|_| normal()).collect();
    unit(&mut v);
    if let Some(about) = about {
        v.iter_mut().zip(about).for_each(|(x, a)| *x = 0.6 * *x + 0.8 * a);
        unit(&mut v);
    }
    v
}

fn drawn(faces: usize) -> (Vec<f32>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(100_000);
    let (mut values, mut truth) = (Vec::with_capacity(faces * DIMENSION), Vec::with_capacity(faces));
    let mut person = 0;
    while truth.len() + OF_ONE <= faces * 3 / 5 {
        let centre = draw(&mut rng, None);
        for _ in 0..OF_ONE {
            values.extend(draw(&mut rng, Some(&centre)));
            truth.push(person);
        }
        person += 1;
    }
    while truth.len() < faces {
        values.extend(draw(&mut rng, None));
        truth.push(person);
        person += 1;
    }
    (values, truth)
}

/// The most megabytes that the process has had since this was last asked for; 0 where that is not known.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    // 5 sets the mark back (proc_pid_clear_refs(5)).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kilobytes.unwrap_or_default() / 1000.0
}

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![25_000, 50_000, 100_000] } else { sizes };
    let model = ModelId::from_text("sface/72a0b0467d18eab6/five-point-112");
    let Some(calibration) = Engine::shipped_calibration(&model) else { panic!("{model} has no record") };
    for faces in sizes {
        let (values, truth) = drawn(faces);
        let rows = Rows::new(&values, DIMENSION);
        let line = line_among(&calibration, faces).unwrap_or_else(|e| panic!("{e}"));
        peak();
        let begun = Instant::now();
        let groups = group_rows(rows, &Rules::none(rows.len()), line, Method::Linkage);
        let seconds = begun.elapsed().as_secs_f64();
        let wrong = groups.iter().zip(&truth).filter(|(a, b)| a != b).count();
        println!(
            "{faces:>7} faces: {seconds:6.1} s, {:.0} MB at most, {} groups for {} people, {wrong} faces elsewhere",
            peak(),
            groups.iter().max().map_or(0, |g| g + 1),
            truth.last().map_or(0, |p| p + 1),
        );
    }
}
