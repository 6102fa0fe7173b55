//! How much more often false matches happen among people who are alike.
//!
//! A false-match rate is measured over pairs of any two people. At a door where all are of one sex, age and origin, pairs
//! are harder. Photos without such labels can tell how much by another model's eyes: people are grouped by it (spherical
//! k-means on centred vectors, one face of each person), and the pairs within each group are counted at thresholds of the
//! model that is measured. By another model, since groups made by a model's own vectors are near in them by choice.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::alike::{AlikeGroups, AlikeRate};
use super::{Calibration, OperatingPoint};
use crate::error::ModelError;
use crate::vector::Embedding;

/// Rates at whose thresholds groups are counted, where the pairs support them.
const RATES: [f64; 3] = [1e-2, 1e-3, 1e-4];
/// Times that k-means starts anew; the tightest groups count.
const STARTS: u64 = 10;
/// Rounds of k-means, at most.
const ROUNDS: usize = 50;

/// Groups people by `others` (one vector of each person, in one model's space), and counts the pairs within each group at
/// thresholds of `own` (of the same people, in another model's). `None` where the pairs support no rate of the three.
///
/// # Errors
/// [`ModelError::MixedModels`] for vectors of several models in one list.
pub fn alike_groups(own: &[Embedding], others: &[Embedding], groups: usize) -> Result<Option<AlikeGroups>, ModelError> {
    let people = own.len().min(others.len());
    let groups = groups.clamp(2, people.max(2));
    let Some(first) = others.first() else { return Ok(None) };
    let of = grouped(&centred(&others[..people]), groups);
    let row = |i: usize| -> Result<Vec<(bool, f32)>, ModelError> {
        (i + 1..people).map(|j| Ok((of[i] == of[j], own[i].distance(&own[j])?))).collect()
    };
    let rows: Vec<Vec<(bool, f32)>> = (0..people).into_par_iter().map(row).collect::<Result<_, _>>()?;
    let mut all: Vec<f32> = rows.iter().flatten().map(|(_, distance)| *distance).collect();
    all.par_sort_unstable_by(f32::total_cmp);
    let mut sizes = vec![0u64; groups];
    of.iter().for_each(|&group| sizes[group] += 1);
    let pairs = |size: u64| size * size.saturating_sub(1) / 2;
    let at = RATES.iter().filter_map(|&rate| {
        let below = (rate * all.len() as f64) as usize;
        if (below as u64) < Calibration::LEAST_SUPPORT {
            return None;
        }
        // As the points of a record: at most the share lies at or below.
        let threshold = super::operating_point(rate, &all, &all).map(|OperatingPoint { distance, .. }| distance)?;
        let fmr = all.partition_point(|d| *d <= threshold) as f64 / all.len() as f64;
        let mut matched = vec![0u64; groups];
        for (i, row) in rows.iter().enumerate() {
            matched[of[i]] += row.iter().filter(|(same, distance)| *same && *distance <= threshold).count() as u64;
        }
        let times = |matched: u64, pairs: u64| matched as f64 / pairs as f64 / fmr;
        let each = sizes.iter().zip(&matched).filter(|(size, _)| pairs(**size) > 0);
        let each: Vec<f64> = each.map(|(size, matched)| times(*matched, pairs(*size))).collect();
        Some(AlikeRate {
            fmr: rate,
            least: each.iter().copied().fold(f64::INFINITY, f64::min),
            mean: times(matched.iter().sum(), sizes.iter().copied().map(pairs).sum()),
            most: each.iter().copied().fold(0.0, f64::max),
        })
    });
    let at: Vec<AlikeRate> = at.collect();
    Ok((!at.is_empty()).then(|| AlikeGroups { by: first.model().to_string(), people: sizes, at }))
}

/// Unit vectors from the mean of all.
fn centred(vectors: &[Embedding]) -> Vec<Vec<f32>> {
    let mut mean = vec![0f32; vectors.first().map_or(0, |v| v.values().len())];
    vectors.iter().for_each(|v| mean.iter_mut().zip(v.values()).for_each(|(m, x)| *m += x / vectors.len() as f32));
    vectors.iter().map(|v| unit(v.values().iter().zip(&mean).map(|(x, m)| x - m).collect())).collect()
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|v| *v /= length);
    vector
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The group of each vector, by spherical k-means; the same for the same vectors.
fn grouped(vectors: &[Vec<f32>], groups: usize) -> Vec<usize> {
    let start = |seed: u64| -> (f32, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut centres: Vec<Vec<f32>> =
            (0..groups).map(|_| vectors[rng.random_range(0..vectors.len())].clone()).collect();
        let (mut of, mut tight) = (vec![0; vectors.len()], f32::NEG_INFINITY);
        for _ in 0..ROUNDS {
            let nearest = |v: &Vec<f32>| {
                let each = centres.iter().enumerate().map(|(group, centre)| (dot(v, centre), group));
                each.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
            };
            let found: Vec<(f32, usize)> = vectors.iter().map(nearest).collect();
            let now = found.iter().map(|(cosine, _)| cosine).sum::<f32>();
            of = found.iter().map(|(_, group)| *group).collect();
            if now <= tight {
                break;
            }
            tight = now;
            for (group, centre) in centres.iter_mut().enumerate() {
                let mut sum = vec![0f32; centre.len()];
                let members = vectors.iter().zip(&of).filter(|(_, of)| **of == group);
                members.for_each(|(v, _)| sum.iter_mut().zip(v).for_each(|(s, v)| *s += v));
                // One that nobody is nearest to starts elsewhere.
                let empty = !of.contains(&group);
                *centre = if empty { vectors[rng.random_range(0..vectors.len())].clone() } else { unit(sum) };
            }
        }
        (tight, of)
    };
    let best = (0..STARTS).into_par_iter().map(start).reduce_with(|a, b| if b.0 > a.0 { b } else { a });
    best.map(|(_, of)| of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::ModelId;

    /// Two kinds of people, parted in the other model; in the own one pairs of a kind are nearer than pairs of two.
    fn people(nearer: f32) -> (Vec<Embedding>, Vec<Embedding>) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut of = |model: &str, apart: f32| -> Vec<Embedding> {
            let model = ModelId::new(model, &"0".repeat(64), "none");
            let one = |i: usize| {
                let mut values: Vec<f32> = (0..32).map(|_| rng.random_range(-1.0..1.0)).collect();
                values[0] += if i.is_multiple_of(2) { apart } else { -apart };
                Embedding::from_raw(values, model.clone()).unwrap()
            };
            (0..400).map(one).collect()
        };
        (of("own", nearer), of("other", 8.0))
    }

    #[test]
    fn alike_people_match_more_often_and_only_where_they_are_nearer() {
        let (own, other) = people(2.0);
        let spread = alike_groups(&own, &other, 2).unwrap().unwrap();
        assert_eq!((spread.people.as_slice(), spread.by.as_str()), (&[200, 200][..], other[0].model().as_str()));
        assert_eq!(spread.at.iter().map(|r| r.fmr).collect::<Vec<_>>(), [1e-2, 1e-3], "79,800 pairs");
        // All matches lie within the two groups, which hold half of the pairs.
        for rate in &spread.at {
            assert!((rate.mean - 2.0).abs() < 0.1, "{rate:?}");
            assert!(rate.least <= rate.mean && rate.mean <= rate.most, "{rate:?}");
        }
        assert_eq!(spread.fault(), None);
        let (own, other) = people(0.0);
        let none = alike_groups(&own, &other, 2).unwrap().unwrap();
        assert!((none.at[0].mean - 1.0).abs() < 0.2, "{none:?}");
    }

    #[test]
    fn too_few_people_hold_no_rate_and_what_contradicts_itself_is_refused() {
        let (own, other) = people(2.0);
        assert_eq!(alike_groups(&own[..20], &other[..20], 2).unwrap(), None);
        assert_eq!(alike_groups(&[], &[], 8).unwrap(), None);
        let good = alike_groups(&own, &other, 2).unwrap().unwrap();
        let mut bad = [good.clone(), good.clone(), good.clone(), good];
        bad[0].at[0].least = 3.0;
        bad[1].at.reverse();
        bad[2].people.truncate(1);
        bad[3].at[1].most = f64::NAN;
        bad.iter().for_each(|bad| assert!(bad.fault().is_some(), "{bad:?}"));
    }
}
