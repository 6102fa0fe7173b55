//! Grouping many faces: `cargo bench --bench cluster`, or with the numbers of faces, `-- 25000 100000`.
//!
//! Vectors: people of twelve faces each whose cosine is about 0.65, as SFace's are, at right angles to each other, and
//! two fifths of the faces nobody else's; by the shipped line of SFace. Printed for each number of faces: seconds, the
//! most memory that the process had (on Linux), and how many faces are in another group than the one they were drawn for.
//!
//! `cargo bench --bench cluster -- held-out FOLDER [CACHE]` says what the line's two constants are worth on people that they
//! were not chosen on: FOLDER has one folder of photos for each person. The people are drawn into halves; on each half the
//! pair of constants with the largest sum of both F1 is chosen, and the other half grouped by it, and by those shipped.
//! Printed are means over drawings and halves. Embeddings are kept in CACHE for the next time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kith::cluster::{Method, Rows, Rules};
use kith::eval::{EmbeddingCache, GroupScores, group_scores, people_of};
use kith::{Calibration, Engine, FaceChoice, ModelId, Photo, Strangers, group_rows, line_among, line_by};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

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

/// Constants that are compared; between large groups no fewer than between two faces.
const OF_FACES: [f64; 5] = [0.01, 0.02, 0.035, 0.05, 0.07];
const OF_GROUPS: [f64; 6] = [0.035, 0.05, 0.085, 0.12, 0.17, 0.25];
/// The least photos of a person, and how often the people are drawn into halves.
const DRAWINGS: [(usize, u64); 2] = [(2, 3), (1, 2)];

/// The faces of each person in a folder of folders.
fn faces_of(engine: &Engine, folder: &Path, cache: &EmbeddingCache) -> Vec<Vec<Vec<f32>>> {
    let face = |path: &PathBuf| -> Option<Vec<f32>> {
        use sha2::Digest;
        let sha256: String =
            sha2::Sha256::digest(std::fs::read(path).ok()?).iter().map(|b| format!("{b:02x}")).collect();
        let kept = cache.get(&sha256, engine.model()).unwrap_or_else(|| {
            let found = engine.one_face(&Photo::open(path).ok()?, FaceChoice::Central).ok()?;
            cache.put(&sha256, engine.model(), Some(&found.embedding)).ok()?;
            Some(found.embedding)
        });
        kept.map(|e| e.values().to_vec())
    };
    let people = people_of(folder).unwrap_or_else(|e| panic!("{e}"));
    people.par_iter().map(|p| p.photos.iter().filter_map(face).collect()).collect()
}

/// How right the groups of these people are, with those constants.
fn grouped(people: &[&Vec<Vec<f32>>], calibration: &Calibration, strangers: Strangers) -> GroupScores {
    let faces = || people.iter().zip(0u32..).flat_map(|(faces, person)| faces.iter().map(move |face| (person, face)));
    let truth: Vec<u32> = faces().map(|(person, _)| person).collect();
    let values: Vec<f32> = faces().flat_map(|(_, face)| face).copied().collect();
    let rows = Rows::new(&values, values.len() / truth.len().max(1));
    let line = line_by(calibration, rows.len(), strangers).unwrap_or_else(|e| panic!("{e}"));
    group_scores(&truth, &group_rows(rows, &Rules::none(rows.len()), line, Method::Linkage))
}

fn held_out(folder: &Path, cache: Option<&Path>) {
    let engine = Engine::builder().build().unwrap_or_else(|e| panic!("{e}"));
    let cache =
        cache.map_or(Ok(EmbeddingCache::none()), |at| EmbeddingCache::open(at, "bench of groups, central face"));
    let all = faces_of(&engine, folder, &cache.unwrap_or_else(|e| panic!("{e}")));
    let Some(calibration) = engine.calibration() else { panic!("{} has no record", engine.model()) };
    let pairs = OF_FACES.into_iter().flat_map(|faces| OF_GROUPS.map(|groups| Strangers { faces, groups }));
    let pairs: Vec<Strangers> = pairs.filter(|s| s.groups >= s.faces).collect();
    let Some(shipped) = pairs.iter().position(|s| *s == Strangers::default()) else {
        panic!("the shipped pair is no choice")
    };
    for (least, drawings) in DRAWINGS {
        let mut order: Vec<&Vec<Vec<f32>>> = all.iter().filter(|faces| faces.len() >= least).collect();
        println!("{} people with {least} or more photos, {} pairs of constants", order.len(), pairs.len());
        let (mut sums, mut halves, mut chosen) = ([[0.0f64; 6]; 2], 0.0, BTreeMap::<usize, usize>::new());
        for seed in 1..=drawings {
            order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let (one, other) = order.split_at(order.len() / 2);
            let scores = [one, other].map(|h| pairs.iter().map(|s| grouped(h, calibration, *s)).collect::<Vec<_>>());
            for (on, out) in [(0, 1), (1, 0)] {
                let worth = |at: &usize| scores[on][*at].bcubed.f1 + scores[on][*at].pairwise.f1;
                let best = (0..pairs.len()).max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap_or(shipped);
                *chosen.entry(best).or_default() += 1;
                halves += 1.0;
                for (sums, at) in sums.iter_mut().zip([best, shipped]) {
                    let s = &scores[out][at];
                    let values = [s.bcubed, s.pairwise].map(|a| [a.precision, a.recall, a.f1]);
                    sums.iter_mut().zip(values.as_flattened()).for_each(|(sum, v)| *sum += v);
                }
            }
        }
        for (what, sums) in ["chosen on the other half", "shipped"].into_iter().zip(sums) {
            let shown: Vec<String> = sums.iter().map(|sum| format!("{:.4}", sum / halves)).collect();
            println!("{what:<25} BCubed P, R, F1, pairs P, R, F1: {}", shown.join(" "));
        }
        for (at, times) in chosen {
            println!("  chosen {times} times: {:?}", pairs[at]);
        }
    }
}

fn main() {
    let said: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [mode, folder, rest @ ..] = said.as_slice()
        && mode == "held-out"
    {
        return held_out(Path::new(folder), rest.first().map(Path::new));
    }
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
