//! What it costs that an enrolment is on disk when it is acknowledged, and that it is sealed:
//! `cargo bench --bench store`. The disk decides; so the lines are to be read against each other.
//!
//! Seen on a virtual disk that takes 0.4 ms for the two `fdatasync`s, microseconds a face of 512 numbers, plain and
//! sealed: not settled 145 and 195, 100 settled together 158 and 146, each settled 593 and 635. So what is on disk at
//! each acknowledgement costs four times the writing itself, shared by a hundred next to nothing; sealing is lost in
//! either.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_main};
use kith::geometry::{BBox, Landmarks};
use kith::{
    Database, DatabaseOptions, Embedding, EnrolmentPolicy, IndexChoice, MasterKey, ModelId, NewFace, SearchPolicy,
    TemplateRule,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIMENSION: usize = 512;
/// Faces that a bulk enrolment settles together.
const TOGETHER: u64 = 100;

fn face(rng: &mut ChaCha8Rng) -> NewFace {
    let values = (0..DIMENSION).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    let embedding = Embedding::from_raw(values, ModelId::new("bench", "00ff00ff00ff00ff", "none"));
    NewFace {
        embedding: embedding.expect("numbers that are no vector"),
        bbox: BBox::new(1.0, 2.0, 130.0, 140.0),
        landmarks: Landmarks([[50.0, 60.0]; 5]),
        score: 0.99,
        quality: [30.0, 0.1, 0.5, 1.0, 2.0, 3.0].into(),
        source: "photo.jpg".to_string(),
        source_sha256: None,
        pictures: None,
    }
}

/// Enrols `faces` people of one face each and settles after every `together` of them, the last ones too;
/// 0 leaves it to the closing. Returns what that took, without making the faces.
fn enrolled(database: &Database, rng: &mut ChaCha8Rng, first: u64, faces: u64, together: u64) -> Duration {
    let policy = EnrolmentPolicy::default();
    let mut spent = Duration::ZERO;
    for number in first..first + faces {
        let (name, face) = (format!("person {number}"), face(rng));
        let start = Instant::now();
        let (_, pending) = database.enroll_pending("main", &name, face, &policy).expect("enrolling");
        let last = number + 1 == first + faces;
        if together > 0 && (last || (number - first + 1).is_multiple_of(together)) {
            database.settle(pending).expect("settling");
        }
        spent += start.elapsed();
    }
    spent
}

fn enrolling(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("enrolling faces of {DIMENSION} numbers"));
    group.sample_size(10).throughput(Throughput::Elements(1));
    let key = || Some(MasterKey::generate().expect("a key"));
    for (kind, key) in [("plain", None), ("sealed", key())] {
        for (when, together) in [("not settled", 0), ("100 settled together", TOGETHER), ("each settled", 1)] {
            let folder = tempfile::tempdir().expect("a folder");
            let options = DatabaseOptions { create: true, wait: Duration::ZERO, key: key.clone() };
            let database = Database::open(folder.path().join("faces"), &options).expect("a database");
            let (mut rng, mut next) = (ChaCha8Rng::seed_from_u64(1), 0);
            group.bench_function(format!("{kind}, {when}"), |bench| {
                bench.iter_custom(|faces| {
                    next += faces;
                    enrolled(&database, &mut rng, next - faces, faces, together)
                });
            });
        }
    }
    group.finish();
}

/// People in the gallery that is searched while it changes.
const PEOPLE: u64 = 20_000;
/// Searches of each kind.
const SEARCHES: usize = 2_000;
/// Enrolments between two people who are forgotten, which saves the graph.
const BETWEEN: u64 = 20;

/// How long a search takes while others are enrolled and forgotten and the graph is saved. Criterion gives means, and
/// it is the slow ones that matter here.
fn searching_beside_writers() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).expect("a database");
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    enrolled(&database, &mut rng, 0, PEOPLE, PEOPLE);
    database.reindex("main", IndexChoice::Graph, &|_, _| {}).expect("a graph");
    let probes: Vec<Embedding> = (0..64).map(|_| face(&mut rng).embedding).collect();
    for (what, writing) in [("alone", false), ("beside writers", true)] {
        for (way, by) in [("best", TemplateRule::Best), ("mean", TemplateRule::Mean)] {
            let policy = SearchPolicy { threshold: Some(0.5), by, ..SearchPolicy::default() };
            let search = |probe| drop(database.identify("main", probe, &policy, None).expect("searching"));
            search(&probes[0]);
            let (over, changes) = (AtomicBool::new(!writing), AtomicU64::new(0));
            let mut spent: Vec<Duration> = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut rng, mut number) = (ChaCha8Rng::seed_from_u64(3), PEOPLE);
                    while !over.load(Ordering::Relaxed) {
                        enrolled(&database, &mut rng, number, BETWEEN, 1);
                        for gone in number..number + BETWEEN {
                            let scrub = gone % BETWEEN == 0;
                            database.forget("main", &format!("person {gone}"), scrub).expect("forgetting");
                        }
                        number += BETWEEN;
                        changes.fetch_add(2 * BETWEEN, Ordering::Relaxed);
                    }
                });
                let timed = |probe| {
                    let start = Instant::now();
                    search(probe);
                    start.elapsed()
                };
                let spent = probes.iter().cycle().take(SEARCHES).map(timed).collect();
                over.store(true, Ordering::Relaxed);
                spent
            });
            spent.sort_unstable();
            let at = |share: f64| spent[((SEARCHES as f64 * share) as usize).min(SEARCHES - 1)].as_secs_f64() * 1e3;
            println!(
                "search of {PEOPLE} people by {way}, {what}: p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms, {} changes meanwhile",
                at(0.5),
                at(0.99),
                at(1.0),
                changes.into_inner()
            );
        }
    }
}

fn benches() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--bench") && arguments.iter().all(|a| a.starts_with("--") || a == "search") {
        searching_beside_writers();
    }
    enrolling(&mut Criterion::default().configure_from_args());
}

criterion_main!(benches);
