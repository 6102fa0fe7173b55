//! Searching and building, on seeded face-like vectors: `cargo bench --bench index`.
//!
//! Vectors: centres of people in a random 64-dimensional subspace, five samples each with noise of 0.35 in
//! all; probes are further samples of 1,000 of them. `KITH_BENCH_PEOPLE` and `KITH_BENCH_DIM` say other
//! sizes than 20,000 people and 128 numbers, `KITH_BENCH_HNSW` builds `hnsw_rs` too. A table of recall and
//! rate is printed first; criterion then times single searches, and one in a gallery of 10,000.
//!
//! Seen on two cores of a Xeon with AVX-512, 100,000 x 128, with hnswlib 15.7 s, faiss 18.7 s and usearch
//! 23.5 s to build in the next minute: built in 21.0 s; 22,036 searches/s on one thread at recall@1 1.0000
//! (hnswlib 10,584 and faiss 23,713 at the same recall); exact 664 to 780/s, 979/s for 32 at once (faiss 871
//! for 1,000 at once); among 10,000 exact 0.13 ms.
//!
//! Then the innermost loops got their rows from a trait in place of closures, which had stayed calls (a seventh of
//! the time of a build), and the AVX2 path multiplies magnitudes by signed codes, 32 at once. On two cores of an EPYC
//! with AVX2, with hnswlib 20.7 s and faiss 33.4 s to build in the same minutes: built in 22.6 s; 16,917 searches/s
//! (hnswlib 8,720 at ef 32, faiss 13,836 at ef 16); exact 800 and 1,934/s in two runs (faiss flat, one at a time, 204
//! to 215), 1,916/s for 32 at once (faiss 1,958 for 1,000 at once). Again on a quiet machine of that kind, the peers in
//! the next minute: built in 20.9 s (hnswlib 23.8). With 80 candidates in place of 96 18.3 s and the same recall@1, not
//! taken yet: seen at this size only.
//!
//! Then the scan asked memory 4 KiB ahead for the first probe of each block (for every probe of a block it halved the
//! speed of many at once; a choice made at run time in the innermost loop cost a third of it). In turns on the same
//! machine, 100,000 x 128, one at a time: 770 and 662/s without, 1,759 and 1,250 with it; x 512 87 and 96, then 126 and
//! 138. Later 166 (faiss flat 46).
//!
//! Where a graph is sooner, 128 numbers, exact and graph in microseconds: 2,000 faces 36 and 26, 5,000 58 and 30,
//! 10,000 80 and 38, 20,000 156 and 44, 30,000 217 and 48. The scan keeps galleries under 30,000 all the same: its
//! answer is the true one and nothing is built, for a fifth of a millisecond.
//!
//! A graph's width was measured on 1,000 faces for 0.999 of them: at 1,000,000 x 128 it chose 32, and probes found
//! 0.9980 at 7,827/s. On 2,000 to 4,000 faces for 0.9995 it chose 40 (1.0000 at 6,567/s; built in 360 s, before in 321,
//! hnswlib in 488), and x 512 24 (on 1,000 faces 48, since no miss was left to it).

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_main};
use kith::{FaceIndex, IndexChoice, Neighbour, Precision};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A normal number (Box and Muller, 1958).
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

fn unit(mut v: Vec<f32>) -> Vec<f32> {
    let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    v.iter_mut().for_each(|x| *x /= length);
    v
}

/// An index of `people` with five faces each, and probes.
fn gallery(people: usize, dimension: usize, probes: usize) -> (FaceIndex, Vec<Vec<f32>>) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let basis: Vec<Vec<f32>> = (0..64).map(|_| (0..dimension).map(|_| normal(&mut rng)).collect()).collect();
    let mut index = FaceIndex::new(dimension, Precision::F32);
    let mut asked = Vec::new();
    for person in 0..people {
        let mut centre = vec![0f32; dimension];
        for direction in &basis {
            let weight = normal(&mut rng);
            centre.iter_mut().zip(direction).for_each(|(c, d)| *c += weight * d);
        }
        let centre = unit(centre);
        let noise = 0.35 / (dimension as f32).sqrt();
        let mut face = || unit(centre.iter().map(|&c| c + noise * normal(&mut rng)).collect());
        (0..5).for_each(|sample| index.insert((person * 5 + sample) as u64, &face()));
        if person % (people / probes).max(1) == 0 && asked.len() < probes {
            asked.push(face());
        }
    }
    (index, asked)
}

fn said(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn recall(found: &[Vec<Neighbour>], truth: &[Vec<Neighbour>]) -> (f64, f64) {
    let first = found.iter().zip(truth).filter(|(f, t)| f[0].face == t[0].face).count();
    let among = |n: &Neighbour, t: &[Neighbour]| t.iter().any(|t| t.face == n.face);
    let ten: usize = found.iter().zip(truth).map(|(f, t)| f.iter().filter(|n| among(n, t)).count()).sum();
    (first as f64 / truth.len() as f64, ten as f64 / (10 * truth.len()) as f64)
}

fn searches(c: &mut Criterion) {
    let (people, dimension) = (said("KITH_BENCH_PEOPLE", 20_000), said("KITH_BENCH_DIM", 128));
    let (mut index, probes) = gallery(people, dimension, 1000);
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let (one, two) = (pool(1), pool(2));
    let faces = index.len();
    let timed = |pool: &rayon::ThreadPool, work: &(dyn Fn() -> Vec<Vec<Neighbour>> + Sync)| {
        let start = Instant::now();
        let found = pool.install(work);
        (probes.len() as f64 / start.elapsed().as_secs_f64(), found)
    };
    let exact = |index: &FaceIndex| probes.iter().map(|p| index.exact(p, 10, None)).collect::<Vec<_>>();
    let (rate, truth) = timed(&one, &|| exact(&index));
    let read = rate * (faces * dimension) as f64 / 1e9;
    println!("{faces} x {dimension}, exact: {rate:.0} searches/s on one thread ({read:.1} GB/s of codes)");
    let (rate, _) = timed(&two, &|| exact(&index));
    println!("exact: {rate:.0} searches/s on two threads");
    let borrowed: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
    let (rate, many) = timed(&one, &|| index.exact_of_each(&borrowed, 10, None));
    assert_eq!(many, truth, "many at once are answered as one by one");
    println!("exact, 32 at once: {rate:.0} searches/s on one thread");

    let mut group = c.benchmark_group(format!("{faces} x {dimension}"));
    group.sample_size(20);
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % probes.len();
        probes[at].as_slice()
    };
    group.bench_function("exact", |x| x.iter(|| one.install(|| index.exact(black_box(next()), 10, None))));
    let mut kinds = vec![(IndexChoice::Graph, "graph")];
    if said("KITH_BENCH_HNSW", 0) > 0 {
        kinds.push((IndexChoice::Hnsw, "hnsw_rs"));
    }
    for (kind, name) in kinds {
        let start = Instant::now();
        // Progress is told on the calling thread only, and is of no interest here.
        two.install(|| index.build(kind, &|_, _| {}));
        let built = start.elapsed().as_secs_f64();
        let (rate, found) = timed(&one, &|| probes.iter().map(|p| index.nearest(p, 10, None)).collect());
        let (first, ten) = recall(&found, &truth);
        let (width, bytes) = (index.width().unwrap_or(0), index.bytes() / faces);
        println!(
            "{name}: built in {built:.1} s on two threads, {bytes} bytes a face, width {width}: {rate:.0} searches/s \
             on one thread, recall@1 {first:.4}, recall@10 {ten:.4}"
        );
        group.bench_function(name, |x| x.iter(|| one.install(|| index.nearest(black_box(next()), 10, None))));
    }
    group.finish();
}

fn small(c: &mut Criterion) {
    let (index, probes) = gallery(2000, 128, 100);
    let mut at = 0;
    c.bench_function("10000 x 128, exact", |x| {
        x.iter(|| {
            at = (at + 1) % probes.len();
            index.nearest(black_box(&probes[at]), 12, None)
        });
    });
}

mod groups {
    #![allow(missing_docs)] // the macro makes a public function without any
    criterion::criterion_group!(benches, super::small, super::searches);
}
criterion_main!(groups::benches);
