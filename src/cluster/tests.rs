//! Grouping made-up people.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::faces::dot;
use super::*;

const DIMENSION: usize = 32;

/// So many people of so many faces each, in one direction each, with noise; the person of each face beside it.
fn people(people: usize, faces: usize, noise: f32, seed: u64) -> (Vec<Vec<f32>>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |about: &[f32], noise: f32| -> Vec<f32> {
        let v: Vec<f32> = about.iter().map(|a| a + noise * rng.random_range(-1.0f32..1.0)).collect();
        let length = v.iter().map(|v| v * v).sum::<f32>().sqrt();
        v.iter().map(|v| v / length).collect()
    };
    let mut all = (Vec::new(), Vec::new());
    for person in 0..people {
        let centre = draw(&[0.0; DIMENSION], 1.0);
        for _ in 0..faces {
            all.0.push(draw(&centre, noise));
            all.1.push(person as u32);
        }
    }
    all
}

fn nearest(rows: Rows, probes: &[u32], count: usize) -> Vec<Vec<Near>> {
    let of = |row: usize| {
        let others = (0..rows.len()).filter(|&other| other != row);
        let mut near: Vec<Near> = others.map(|o| (o as u32, dot(rows.row(row), rows.row(o)))).collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.truncate(count);
        near
    };
    probes.iter().map(|row| of(*row as usize)).collect()
}

fn options(method: Method, neighbours: usize) -> Options {
    Options { method, line: Line { faces: 0.65, groups: 0.6 }, neighbours, seed: 1 }
}

fn grouped(vectors: &[Vec<f32>], rules: &Rules, options: &Options) -> Vec<u32> {
    let flat: Vec<f32> = vectors.concat();
    group(Rows::new(&flat, DIMENSION), rules, options, &nearest)
}

#[test]
fn people_are_found_by_either_method_in_any_order() {
    let (vectors, truth) = people(12, 9, 0.1, 7);
    for method in [Method::Linkage, Method::Whispers] {
        let options = options(method, 48);
        assert_eq!(grouped(&vectors, &Rules::none(vectors.len()), &options), truth, "{method:?}");
        let mut order: Vec<usize> = (0..vectors.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(3));
        let shuffled: Vec<Vec<f32>> = order.iter().map(|&i| vectors[i].clone()).collect();
        let wanted: Vec<u32> = order.iter().map(|&i| truth[i]).collect();
        assert_eq!(grouped(&shuffled, &Rules::none(vectors.len()), &options), numbered(&wanted), "{method:?}");
    }
}

#[test]
fn linkage_takes_no_chain_for_a_person_and_whispers_may() {
    // Each is 20 degrees from the next: ends are 100 degrees apart.
    let chain: Vec<Vec<f32>> = (0..6)
        .map(|i| {
            let angle = (20.0 * i as f32).to_radians();
            let mut v = vec![0.0; DIMENSION];
            (v[0], v[1]) = (angle.cos(), angle.sin());
            v
        })
        .collect();
    let groups = grouped(&chain, &Rules::none(6), &Options { line: Line::level(0.8), ..options(Method::Linkage, 48) });
    assert!(groups.iter().max() > Some(&0), "{groups:?}");
    assert_eq!(groups[0], groups[1]);
}

/// The two groups that are most alike above their line and may be one, merged, until there are none: every pair looked at
/// each time, in doubles.
fn greedily(vectors: &[Vec<f32>], apart: &[(u32, u32)], line: Line) -> Vec<u32> {
    let mut groups: Vec<Vec<u32>> = (0..vectors.len() as u32).map(|row| vec![row]).collect();
    let sum = |group: &[u32]| -> Vec<f64> {
        (0..DIMENSION).map(|at| group.iter().map(|&row| f64::from(vectors[row as usize][at])).sum()).collect()
    };
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    loop {
        let sums: Vec<Vec<f64>> = groups.iter().map(|group| sum(group)).collect();
        let mut best = (0.0, None);
        for a in 0..groups.len() {
            for b in a + 1..groups.len() {
                let forbidden = |&(x, y): &(u32, u32)| {
                    let within = |group: &[u32], row| group.contains(&row);
                    let one = |a: usize, b: usize| within(&groups[a], x) && within(&groups[b], y);
                    one(a, b) || one(b, a)
                };
                let weight = |g: usize| groups[g].len() as f64 * product(&sums[g], &sums[g]).sqrt();
                let alike = product(&sums[a], &sums[b]) / (weight(a) * weight(b)).sqrt();
                let worth = alike - f64::from(line.between(groups[a].len() as u32, groups[b].len() as u32));
                if worth >= best.0 && !apart.iter().any(forbidden) {
                    best = (worth, Some((a, b)));
                }
            }
        }
        let Some((a, b)) = best.1 else { break };
        let gone = groups.remove(b);
        groups[a].extend(gone);
    }
    let of = |row: u32| groups.iter().position(|group| group.contains(&row)).unwrap() as u32;
    numbered(&(0..vectors.len() as u32).map(of).collect::<Vec<_>>())
}

#[test]
fn linkage_merges_as_one_does_who_looks_at_every_pair_each_time() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut sizes = Vec::new();
    for seed in 0..12 {
        // So noisy that people fall apart here and there.
        let (vectors, _) = people(4, 16, 0.17 + 0.01 * seed as f32, 100 + seed);
        let rows = vectors.len() as u32;
        let apart: Vec<(u32, u32)> = (0..seed * 2)
            .map(|_| (rng.random_range(0..rows), rng.random_range(0..rows)))
            .filter(|(a, b)| a != b)
            .collect();
        let options = options(Method::Linkage, vectors.len());
        let mut rules = Rules::none(vectors.len());
        rules.part(apart.iter().copied());
        let groups = grouped(&vectors, &rules, &options);
        assert_eq!(groups, greedily(&vectors, &apart, options.line), "seed {seed}");
        sizes.push(groups.iter().max().unwrap() + 1);
    }
    assert!(sizes.iter().any(|count| *count > 4) && sizes.contains(&4), "some fall apart, some not: {sizes:?}");
}

#[test]
fn a_burst_that_fills_up_its_own_neighbours_is_still_the_persons() {
    // Twenty shots of one moment and twenty of another: with eight neighbours asked for, none is in the other scene.
    let (mut vectors, _) = people(1, 2, 0.12, 5);
    for scene in [0, 1] {
        let centre = vectors[scene].clone();
        let mut rng = ChaCha8Rng::seed_from_u64(scene as u64);
        for _ in 0..20 {
            let v: Vec<f32> = centre.iter().map(|c| c + rng.random_range(-0.002..0.002)).collect();
            let length = v.iter().map(|v| v * v).sum::<f32>().sqrt();
            vectors.push(v.iter().map(|v| v / length).collect());
        }
    }
    let rules = Rules::none(vectors.len());
    let groups = grouped(&vectors, &rules, &options(Method::Linkage, 8));
    assert!(groups.iter().all(|g| *g == 0), "{groups:?}");
}

#[test]
fn no_rule_is_broken_whatever_the_vectors_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for round in 0..200 {
        let (vectors, _) = people(4, 5, 0.25, round);
        let rows = vectors.len() as u32;
        let mut draw = || rng.random_range(0..rows);
        let together: Vec<(Vec<u32>, Option<u32>)> =
            (0..4).map(|i| ((0..3).map(|_| draw()).collect(), (i < 3).then_some(i % 2))).collect();
        let apart: Vec<(u32, u32)> = (0..3).map(|_| (draw(), draw())).collect();
        let Ok(rules) = Rules::new(rows as usize, &together, &apart) else { continue };
        for method in [Method::Linkage, Method::Whispers] {
            for neighbours in [3, 48] {
                let groups = grouped(&vectors, &rules, &options(method, neighbours));
                let of = |row: u32| groups[row as usize];
                for (set, _) in &together {
                    assert!(set.iter().all(|row| of(*row) == of(set[0])), "round {round}: {method:?} parts {set:?}");
                }
                for (a, b) in &apart {
                    assert_ne!(of(*a), of(*b), "round {round}: {method:?} joins {a} and {b}");
                }
                assert_eq!(of(together[0].0[0]), of(together[2].0[0]), "one name, one person");
                assert_ne!(of(together[0].0[0]), of(together[1].0[0]), "two names, two people");
            }
        }
    }
}

#[test]
fn rules_that_contradict_each_other_name_the_rows() {
    let refused = |together: &[(Vec<u32>, Option<u32>)], apart: &[(u32, u32)]| Rules::new(5, together, apart).is_err();
    assert!(refused(&[(vec![0, 1], None), (vec![1, 2], None)], &[(0, 2)]));
    assert!(refused(&[(vec![0, 1], Some(0)), (vec![1, 2], Some(1))], &[]));
    assert!(refused(&[], &[(3, 3)]));
    assert!(!refused(&[(vec![0, 1], Some(0)), (vec![2, 3], Some(1))], &[(0, 4), (1, 2)]));
}

#[test]
fn nothing_and_one_face_are_grouped_too() {
    let nothing = group(Rows::new(&[], 4), &Rules::none(0), &options(Method::Linkage, 5), &nearest);
    assert!(nothing.is_empty());
    assert_eq!(grouped(&people(1, 1, 0.1, 1).0, &Rules::none(1), &options(Method::Linkage, 5)), [0]);
}
