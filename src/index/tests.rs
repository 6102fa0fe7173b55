//! Every way of answering against the answer by hand.

use super::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A normal number (Box and Muller, 1958).
fn normal(rng: &mut impl Rng) -> f32 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

fn unit(v: Vec<f32>) -> Vec<f32> {
    let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    v.iter().map(|x| x / length).collect()
}

fn any(rng: &mut ChaCha8Rng, dimension: usize) -> Vec<f32> {
    unit((0..dimension).map(|_| normal(rng)).collect())
}

/// People with centres in a subspace, and faces about them: as face networks place them.
struct Faces {
    rng: ChaCha8Rng,
    basis: Vec<Vec<f32>>,
    dimension: usize,
}

impl Faces {
    fn new(dimension: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let basis = (0..64).map(|_| (0..dimension).map(|_| normal(&mut rng)).collect()).collect();
        Self { rng, basis, dimension }
    }

    fn person(&mut self) -> Vec<f32> {
        let mut centre = vec![0f32; self.dimension];
        for direction in &self.basis {
            let weight = normal(&mut self.rng);
            centre.iter_mut().zip(direction).for_each(|(c, d)| *c += weight * d);
        }
        unit(centre)
    }

    fn face(&mut self, person: &[f32]) -> Vec<f32> {
        let noise = 0.35 / (self.dimension as f32).sqrt();
        unit(person.iter().map(|&c| c + noise * normal(&mut self.rng)).collect())
    }
}

fn by_hand(kept: &[(u64, Vec<f32>)], probe: &[f32], count: usize, allowed: impl Fn(u64) -> bool) -> Vec<u64> {
    let distance = |v: &[f32]| -> f64 {
        v.iter().zip(probe).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
    };
    let mut all: Vec<(f64, u64)> = kept.iter().filter(|(f, _)| allowed(*f)).map(|(f, v)| (distance(v), *f)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter().take(count).map(|(_, f)| f).collect()
}

fn faces(near: &[Neighbour]) -> Vec<u64> {
    near.iter().map(|n| n.face).collect()
}

#[test]
fn the_scan_gives_the_true_nearest_whatever_was_added_and_removed() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for (dimension, count) in [(3, 50), (128, 300), (512, 400), (16, 3 * 4096 + 17), (16, (1 << 14) + 900)] {
        let mut index = FaceIndex::new(dimension, Precision::F32);
        let mut kept: Vec<(u64, Vec<f32>)> = Vec::new();
        for face in 0..count as u64 {
            let v = any(&mut rng, dimension);
            index.insert(face, &v);
            kept.push((face, v));
        }
        for _ in 0..2 * count / 3 {
            let (gone, _) = kept.swap_remove(rng.random_range(0..kept.len()));
            assert!(index.remove(gone));
            assert!(!index.remove(gone));
        }
        let replaced = any(&mut rng, dimension);
        let at = rng.random_range(0..kept.len());
        index.insert(kept[at].0, &replaced);
        kept[at].1 = replaced;
        index.check().unwrap();
        assert_eq!(index.len(), kept.len());
        let probes: Vec<Vec<f32>> = (0..40).map(|_| any(&mut rng, dimension)).collect();
        let even = |f: u64| f.is_multiple_of(16);
        for wanted in [1, 10] {
            for probe in &probes {
                assert_eq!(faces(&index.nearest(probe, wanted, None)), by_hand(&kept, probe, wanted, |_| true));
                let got = faces(&index.nearest(probe, wanted, Some(&even)));
                assert_eq!(got, by_hand(&kept, probe, wanted, even));
            }
            let many: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
            for (near, probe) in index.exact_of_each(&many, wanted, None).iter().zip(&probes) {
                assert_eq!(*near, index.nearest(probe, wanted, None), "many at once");
            }
        }
    }
}

/// Vectors that differ by less than their codes can say: the bound must keep them all for the second look.
#[test]
fn the_bound_keeps_the_true_nearest_where_codes_cannot_tell() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for dimension in [8, 128] {
        let centre = any(&mut rng, dimension);
        let mut index = FaceIndex::new(dimension, Precision::F32);
        let mut kept = Vec::new();
        for face in 0..3000u64 {
            let v = unit(centre.iter().map(|c| c + 1e-4 * normal(&mut rng)).collect());
            index.insert(face, &v);
            kept.push((face, v));
        }
        // One long thin vector makes the scale coarse for all.
        let mut spike = vec![0.0; dimension];
        spike[1] = 1.0;
        index.insert(9999, &spike);
        kept.push((9999, spike));
        index.check().unwrap();
        for _ in 0..20 {
            let probe = unit(centre.iter().map(|c| c + 1e-4 * normal(&mut rng)).collect());
            let near = index.nearest(&probe, 5, None);
            let wanted = by_hand(&kept, &probe, 5, |_| true);
            let truth = |face: u64| -> f64 {
                let v = &kept.iter().find(|(f, _)| *f == face).unwrap().1;
                v.iter().zip(&probe).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
            };
            for (got, wanted) in near.iter().zip(wanted) {
                // Equal to f32 rounding: two faces may change places at the ninth digit.
                assert!(truth(got.face) - truth(wanted) < 1e-7, "{got:?}, not {wanted}");
            }
        }
    }
}

#[test]
fn empty_duplicate_and_ill_fitting_probes() {
    for precision in [Precision::F32, Precision::F16] {
        let mut index = FaceIndex::new(2, precision);
        assert!(index.nearest(&[1.0, 0.0], 5, None).is_empty());
        for face in [5, 3, 9] {
            index.insert(face, &[0.6, 0.8]);
        }
        index.check().unwrap();
        let found = index.nearest(&index.vector(3).unwrap(), 5, None);
        assert_eq!(faces(&found), [3, 5, 9]);
        assert!(found.iter().all(|n| n.distance == 0.0));
        assert!(index.nearest(&[1.0, 0.0, 0.0], 5, None).is_empty(), "another dimension");
        assert!(index.nearest(&[1.0, 0.0], 0, None).is_empty());
        assert!(index.nearest(&[1.0, 0.0], 5, Some(&|_| false)).is_empty());
        assert!(index.nearest(&[f32::NAN, 0.0], 2, None).is_empty(), "a probe that is no vector is near nobody");
        assert!(index.nearest(&[f32::INFINITY, 0.0], 2, None).is_empty());
        assert_eq!(index.nearest(&[0.0, 0.0], 5, None).len(), 3, "every face is as far from nothing");
        for face in [3, 5, 9] {
            assert!(index.remove(face));
        }
        index.check().unwrap();
        assert_eq!(index.len(), 0);
    }
}

#[test]
fn sixteen_bits_answer_for_the_vectors_as_they_are_held() {
    let mut faces_of = Faces::new(128, 3);
    let mut index = FaceIndex::new(128, Precision::F16);
    let mut kept = Vec::new();
    for person in 0..300u64 {
        let centre = faces_of.person();
        for sample in 0..3 {
            index.insert(person * 3 + sample, &faces_of.face(&centre));
        }
    }
    index.check().unwrap();
    (0..900).for_each(|face| kept.push((face, index.vector(face).unwrap())));
    for _ in 0..50 {
        let centre = faces_of.person();
        let probe = faces_of.face(&centre);
        assert_eq!(faces(&index.nearest(&probe, 7, None)), by_hand(&kept, &probe, 7, |_| true));
    }
}

/// Does all upkeep that is due.
fn settle(index: &mut FaceIndex) {
    while let Some(plan) = index.plan(true) {
        assert!(index.apply(plan));
    }
}

/// Faces and their vectors.
type Kept = Vec<(u64, Vec<f32>)>;

/// A gallery of `people` with three faces each, its graph, and its content.
fn with_graph(people: u64, dimension: usize, seed: u64) -> (FaceIndex, Kept, Faces, Vec<Vec<f32>>) {
    let mut faces_of = Faces::new(dimension, seed);
    let mut index = FaceIndex::new(dimension, Precision::F32);
    let (mut kept, mut centres) = (Vec::new(), Vec::new());
    for person in 0..people {
        let centre = faces_of.person();
        for sample in 0..3 {
            let v = faces_of.face(&centre);
            index.insert(person * 3 + sample, &v);
            kept.push((person * 3 + sample, v));
        }
        centres.push(centre);
    }
    index.begin_graph(Parameters::default());
    settle(&mut index);
    index.check().unwrap();
    (index, kept, faces_of, centres)
}

/// Share of probes whose nearest, and whose ten nearest, are the true ones.
fn recall(index: &FaceIndex, probes: &[Vec<f32>], allowed: FaceFilter) -> (f64, f64) {
    let (mut first, mut ten) = (0, 0);
    for probe in probes {
        let (near, truth) = (index.nearest(probe, 10, allowed), index.exact(probe, 10, allowed));
        first += usize::from(near[0].face == truth[0].face);
        ten += near.iter().filter(|n| truth.iter().any(|t| t.face == n.face)).count();
    }
    (first as f64 / probes.len() as f64, ten as f64 / (10 * probes.len()) as f64)
}

#[test]
fn the_graph_finds_the_nearest() {
    let (index, _, mut faces_of, centres) = with_graph(2000, 128, 1);
    let probes: Vec<Vec<f32>> = centres.iter().step_by(6).map(|c| faces_of.face(c)).collect();
    let (first, ten) = recall(&index, &probes, None);
    let width = index.width().unwrap();
    println!("width {width}: recall@1 {first}, recall@10 {ten}");
    assert!(width < 768, "no width was enough");
    assert!(first >= 0.999 && ten >= 0.85, "recall@1 {first}, recall@10 {ten}");
    let third = |f: u64| f.is_multiple_of(3);
    let (first, _) = recall(&index, &probes, Some(&third));
    assert!(first >= 0.995, "among a third: {first}");
    let few = |f: u64| f.is_multiple_of(500);
    assert_eq!(recall(&index, &probes, Some(&few)).0, 1.0, "a selective filter is answered by the scan");
}

/// Faces come, go and change in any order, with upkeep in between: the graph stays sound, nothing that was
/// just enrolled is missed, and nobody forgotten is answered.
#[test]
fn faces_come_and_go() {
    for seed in 0..2 {
        println!("seed {seed}");
        let (mut index, mut kept, mut faces_of, mut centres) = with_graph(500, 64, seed);
        let mut next = kept.len() as u64;
        let (mut hits, mut asked) = (0, 0);
        for round in 0..40 {
            for _ in 0..40 {
                match faces_of.rng.random_range(0..10) {
                    0..5 => {
                        if faces_of.rng.random_bool(0.2) {
                            centres.push(faces_of.person());
                        }
                        let at = faces_of.rng.random_range(0..centres.len());
                        let v = faces_of.face(&centres[at].clone());
                        index.insert(next, &v);
                        assert_eq!(index.nearest(&v, 1, None)[0].face, next, "enrolled a moment ago");
                        kept.push((next, v));
                        next += 1;
                    }
                    5..9 if !kept.is_empty() => {
                        let (face, v) = kept.swap_remove(faces_of.rng.random_range(0..kept.len()));
                        assert!(index.remove(face));
                        assert!(index.nearest(&v, 5, None).iter().all(|n| n.face != face), "forgotten");
                    }
                    _ if !kept.is_empty() => {
                        let at = faces_of.rng.random_range(0..kept.len());
                        let v = any(&mut faces_of.rng, 64);
                        index.insert(kept[at].0, &v);
                        assert_eq!(index.nearest(&v, 1, None)[0].face, kept[at].0, "replaced");
                        kept[at].1 = v;
                    }
                    _ => {}
                }
            }
            if round % 3 == 0 {
                for _ in 0..round % 4 {
                    if let Some(plan) = index.plan(round % 2 == 0) {
                        assert!(index.apply(plan));
                    }
                }
                index.check().unwrap_or_else(|fault| panic!("seed {seed}, round {round}: {fault}"));
            }
            let at = faces_of.rng.random_range(0..centres.len());
            let probe = faces_of.face(&centres[at].clone());
            hits += usize::from(index.nearest(&probe, 1, None) == index.exact(&probe, 1, None));
            asked += 1;
        }
        assert!(hits * 100 >= asked * 98, "seed {seed}: {hits} of {asked}");
        settle(&mut index);
        index.check().unwrap();
        assert_eq!((index.graph().unwrap().tombstones(), index.len()), (0, kept.len()));
        // Everybody goes, and a few come back.
        for (face, _) in kept.drain(..) {
            assert!(index.remove(face));
        }
        settle(&mut index);
        index.check().unwrap();
        assert!(index.nearest(&any(&mut faces_of.rng, 64), 3, None).is_empty());
        for face in 0..40 {
            index.insert(face, &any(&mut faces_of.rng, 64));
            settle(&mut index);
        }
        index.check().unwrap();
        let v = index.vector(7).unwrap();
        assert_eq!(index.nearest(&v, 1, None)[0].face, 7);
    }
}

#[test]
fn many_at_one_place_do_not_cut_the_graph() {
    let (mut index, kept, mut faces_of, centres) = with_graph(500, 64, 4);
    for copy in 0..300 {
        index.insert(10_000 + copy, &kept[0].1);
    }
    settle(&mut index);
    index.check().unwrap();
    let near = index.nearest(&kept[0].1, 20, None);
    assert!(near.iter().all(|n| n.distance == 0.0), "{near:?}");
    for centre in &centres {
        let probe = faces_of.face(centre);
        assert_eq!(index.nearest(&probe, 1, None), index.exact(&probe, 1, None));
    }
    for copy in 0..300 {
        index.remove(10_000 + copy);
    }
    assert_eq!(index.nearest(&kept[0].1, 2, None), index.exact(&kept[0].1, 2, None), "among the removed");
}

#[test]
fn one_outcome_on_any_number_of_cores() {
    let (index, kept, mut faces_of, centres) = with_graph(800, 64, 6);
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut other = FaceIndex::new(64, Precision::F32);
    kept.iter().for_each(|(face, v)| other.insert(*face, v));
    other.begin_graph(Parameters::default());
    alone.install(|| settle(&mut other));
    assert_eq!(saved(&index, &stamp()), saved(&other, &stamp()));
    let probe = faces_of.face(&centres[5]);
    assert_eq!(index.nearest(&probe, 5, None), other.nearest(&probe, 5, None));
}

/// The file that a graph would be saved in.
fn saved(index: &FaceIndex, stamp: &Stamp) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.snapshot().unwrap().write(stamp, &mut |faces| index.sums(faces), &mut bytes).unwrap();
    bytes
}

fn stamp() -> Stamp {
    Stamp { database: [7; 16], gallery: 3, write: 99, model: "dlib-resnet/00ff/five-point".to_string() }
}

#[test]
fn a_saved_graph_is_brought_up_to_the_store_and_a_damaged_one_is_not_used() {
    let (mut index, mut kept, mut faces_of, centres) = with_graph(400, 64, 8);
    let bytes = saved(&index, &stamp());
    let probes: Vec<Vec<f32>> = centres.iter().map(|c| faces_of.face(c)).collect();

    // The same faces in another order, some gone, some new, one changed.
    for _ in 0..60 {
        let (face, _) = kept.swap_remove(faces_of.rng.random_range(0..kept.len()));
        index.remove(face);
    }
    for face in 5000..5060 {
        let v = any(&mut faces_of.rng, 64);
        index.insert(face, &v);
        kept.push((face, v));
    }
    kept[3].1 = any(&mut faces_of.rng, 64);
    let mut again = FaceIndex::new(64, Precision::F32);
    kept.iter().rev().for_each(|(face, v)| again.insert(*face, v));
    let later = Stamp { write: 200, ..stamp() };
    let graph = again.read_graph(&later, &mut bytes.as_slice()).unwrap();
    assert_eq!(graph.waiting(), 61, "what came and what changed is scanned");
    again.put_graph(graph);
    again.check().unwrap();
    for probe in &probes {
        assert_eq!(again.nearest(probe, 1, None), again.exact(probe, 1, None));
    }
    let changed = &kept[3];
    assert_eq!(again.nearest(&changed.1, 1, None)[0].face, changed.0);

    let refused = |mut bytes: &[u8], what: &str| {
        assert!(again.read_graph(&stamp(), &mut bytes).is_err(), "{what}");
    };
    // Every bit of the header, the sums and what stands about them; then anywhere.
    for bit in (0..120 * 8).chain((0..200).map(|_| faces_of.rng.random_range(0..bytes.len() * 8))) {
        let mut torn = bytes.clone();
        torn[bit / 8] ^= 1 << (bit % 8);
        // The number of the last write is told, not trusted; its checksum is held all the same.
        refused(&torn, &format!("bit {bit}"));
    }
    for cut in [0, 1, 7, 12, 100, bytes.len() / 2, bytes.len() - 1] {
        refused(&bytes[..cut], "cut short");
    }
    refused(&[bytes.as_slice(), b"x"].concat(), "something follows");
    for other in [
        Stamp { database: [8; 16], ..stamp() },
        Stamp { gallery: 4, ..stamp() },
        Stamp { model: "another".to_string(), ..stamp() },
    ] {
        assert!(again.read_graph(&other, &mut bytes.as_slice()).is_err());
    }
    let empty = FaceIndex::new(64, Precision::F32);
    assert!(empty.read_graph(&stamp(), &mut bytes.as_slice()).is_err(), "a gallery that has none of its faces");
    assert!(
        FaceIndex::new(128, Precision::F32).read_graph(&stamp(), &mut bytes.as_slice()).is_err(),
        "another dimension"
    );
}

#[test]
fn searches_go_on_while_faces_come() {
    use std::sync::RwLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let (index, kept, mut faces_of, centres) = with_graph(700, 64, 12);
    let index = RwLock::new(index);
    let (over, searches, misses) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..3usize {
            let (index, kept, over, searches, misses) = (&index, &kept, &over, &searches, &misses);
            scope.spawn(move || {
                let mut at = reader * 131;
                while !over.load(Ordering::Relaxed) {
                    let (face, v) = &kept[at % kept.len()];
                    let near = index.read().unwrap().nearest(v, 1, None);
                    misses.fetch_add(u64::from(near[0].face != *face), Ordering::Relaxed);
                    at += 7;
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for face in 0..1300u64 {
            let v = faces_of.face(&centres[face as usize % centres.len()].clone());
            index.write().unwrap().insert(100_000 + face, &v);
            assert_eq!(index.read().unwrap().nearest(&v, 1, None)[0].face, 100_000 + face);
            let plan = index.read().unwrap().plan(face % 50 == 0);
            if let Some(plan) = plan {
                index.write().unwrap().apply(plan);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let index = index.into_inner().unwrap();
    index.check().unwrap();
    let (searches, misses) = (searches.into_inner(), misses.into_inner());
    println!("{searches} searches, {misses} missed, {} waiting", index.graph().unwrap().waiting());
    assert!(searches > 0 && misses * 200 <= searches, "{misses} of {searches} missed the face itself");
}

#[test]
fn hnsw_rs_answers_behind_the_same_door() {
    let (mut index, kept, mut faces_of, centres) = with_graph(500, 64, 20);
    index.build(IndexChoice::Hnsw, &|done, all| assert!(done <= all));
    assert_eq!(index.kind(), IndexChoice::Hnsw);
    index.check().unwrap();
    let probes: Vec<Vec<f32>> = centres.iter().map(|c| faces_of.face(c)).collect();
    let (first, _) = recall(&index, &probes, None);
    assert!(first >= 0.99, "recall@1 {first}, width {:?}", index.width());
    // Gone is gone, what comes is found, and a number that comes again is not there twice.
    for (face, v) in kept.iter().take(100) {
        assert!(index.remove(*face));
        assert!(index.nearest(v, 3, None).iter().all(|n| n.face != *face));
    }
    let moved = any(&mut faces_of.rng, 64);
    index.insert(kept[200].0, &moved);
    index.insert(77_777, &moved);
    let near = index.nearest(&moved, 3, None);
    assert_eq!(faces(&near)[..2], [kept[200].0, 77_777]);
    index.check().unwrap();
    let even = |f: u64| f.is_multiple_of(2);
    assert_eq!(recall(&index, &probes, Some(&even)).0, 1.0);
    kept.iter().skip(100).take(600).for_each(|(face, _)| assert!(index.remove(*face)));
    assert_eq!(recall(&index, &probes, None), (1.0, 1.0), "the scan answers once most points are nobody's");
    index.build(IndexChoice::Exact, &|_, _| {});
    index.check().unwrap();
    assert_eq!((index.kind(), index.removed_rows()), (IndexChoice::Exact, 0));
}
