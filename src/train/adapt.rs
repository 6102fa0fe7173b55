//! A projection of one model's vectors that is fitted to the user's own people: in closed form, or by [triplets].
//!
//! [triplets]: super::adapt_triplets
//!
//! The closed form is of the two-covariance model (N. Brummer, E. de Villiers, "The speaker partitioning problem", Odyssey 2010; S. Ioffe,
//! "Probabilistic linear discriminant analysis", ECCV 2006): a face is its person's point plus what light, camera and pose
//! add, both normal. Both covariances are shrunk to a multiple of the identity (O. Ledoit, M. Wolf, 2004), diagonalised
//! together, and each direction is scaled by the root of its weight in the cross term of the model's log-likelihood ratio,
//! `r / (1 + 2 r)` where `r` is the variance between people over that within. How strongly the covariances are shrunk is
//! chosen on people whom the projection was not fitted to.
//!
//! Whether it helps is measured on yet other people: they are dealt to folds, and each fold is projected by what the others
//! gave, their shrinkage included. What gains no more than one standard error is refused.

use std::collections::BTreeMap;

use nalgebra::DMatrix;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::adapt_triplets;
use super::subspace::falling;
use crate::embed::adapted::Projection;
use crate::error::{EvalError, Result, TrainError};
use crate::eval::Scores;

/// Shares of the identity that are tried, the most cautious first.
const SHRINKAGES: [f64; 8] = [0.95, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05, 0.02];
/// Folds by which the shrinkage is chosen.
const INNER_FOLDS: usize = 3;
/// Times that people are drawn again for the standard error (B. Efron, 1979).
const DRAWS: usize = 400;
/// False accept rates that are tried, the strictest that the pairs support first.
const RATES: [f64; 3] = [1e-3, 1e-2, 1e-1];
/// People with two faces, at least.
const LEAST_PEOPLE: usize = 6;
/// Faces of a person that count, at most, so that nobody's camera decides for everybody.
const MOST_FACES: usize = 20;

/// What a projection is fitted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AdaptMethod {
    /// Two covariances, in closed form.
    Lda,
    /// The triplet loss, from the identity.
    Triplet,
}

impl std::fmt::Display for AdaptMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lda => "lda",
            Self::Triplet => "triplet",
        })
    }
}

impl AdaptMethod {
    /// What is tried for [`AdaptReport::shrinkage`], the most cautious first.
    fn tried(self) -> &'static [f64] {
        match self {
            Self::Lda => &SHRINKAGES,
            Self::Triplet => &adapt_triplets::PULLS,
        }
    }
}

/// How a projection is fitted and measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptOptions {
    /// What it is fitted by.
    pub method: AdaptMethod,
    /// Folds of people.
    pub folds: usize,
    /// The false accept rate at which true accept rates are compared; the strictest of 0.001, 0.01 and 0.1 that the pairs
    /// support where none is said.
    pub far: Option<f64>,
    /// Seed of the folds and of the drawing.
    pub seed: u64,
}

impl Default for AdaptOptions {
    fn default() -> Self {
        Self { method: AdaptMethod::Lda, folds: 5, far: None, seed: 1 }
    }
}

/// What adaptation came to, on people whom the projection was not fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AdaptReport {
    /// People with two faces or more.
    pub people: usize,
    /// Their faces.
    pub faces: usize,
    /// People with one face, who say nothing of what light and camera add.
    pub single: usize,
    /// Genuine pairs of held-out people.
    pub genuine: usize,
    /// Impostor pairs of held-out people.
    pub impostor: usize,
    /// False accept rate at which true accept rates are compared.
    pub far: f64,
    /// True accept rate of the vectors as they are.
    pub before: f64,
    /// True accept rate of the projected vectors.
    pub after: f64,
    /// Standard error of the difference, over people.
    pub error: f64,
    /// Share of the identity in both covariances of the projection that is written, or the pull towards the identity of one
    /// that triplets fitted.
    pub shrinkage: f64,
}

impl AdaptReport {
    /// The difference.
    pub fn gain(&self) -> f64 {
        self.after - self.before
    }
}

/// A pair of held-out faces: whose they are, and their squared distances before and after.
struct Pair {
    people: (usize, usize),
    distances: [f32; 2],
}

/// Fits a projection to `vectors` of people `people`, and measures it.
///
/// # Errors
/// [`EvalError::TooLittle`] for too few people with two faces, or too few pairs for the rate;
/// [`TrainError::NoGain`] where held-out people do not gain beyond one standard error.
pub fn adapt(vectors: &[Vec<f32>], people: &[usize], options: &AdaptOptions) -> Result<(Projection, AdaptReport)> {
    let (data, single) = Data::new(vectors, people, options.seed);
    let persons = data.of.len();
    let folds = options.folds.clamp(2, (persons / 2).max(2));
    if persons < LEAST_PEOPLE {
        let reason = format!("{persons} people have two faces or more, at least {LEAST_PEOPLE} are needed");
        return Err(EvalError::TooLittle { reason }.into());
    }
    let mut pairs = Vec::new();
    for fold in 0..folds {
        let (held, rest): (Vec<usize>, Vec<usize>) = (0..persons).partition(|p| p % folds == fold);
        let projection = fit(&data, &rest, choose(&data, &rest, options)?, options)?;
        pairs.extend(data.pairs(&held, Some(&projection)));
    }
    let genuine = pairs.iter().filter(|p| p.people.0 == p.people.1).count();
    let far = rate(&pairs, options.far)?;
    let ones = vec![1u32; persons];
    let sorted = [0, 1].map(|side| sorted(&pairs, side));
    let [before, after] = [0, 1].map(|side| tar(&pairs, &sorted[side], &ones, far).unwrap_or(0.0));
    let error = standard_error(&pairs, &sorted, persons, far, options.seed);
    let everybody: Vec<usize> = (0..persons).collect();
    let shrinkage = choose(&data, &everybody, options)?;
    let report = AdaptReport {
        people: persons,
        faces: data.of.iter().map(Vec::len).sum(),
        single,
        genuine,
        impostor: pairs.len() - genuine,
        far,
        before,
        after,
        error,
        shrinkage,
    };
    let gain = report.gain();
    if gain <= error || gain <= 0.0 {
        let metric = format!("the true accept rate at a false accept rate of {far}");
        return Err(TrainError::NoGain { metric, before, after, gain, error }.into());
    }
    Ok((fit(&data, &everybody, shrinkage, options)?, report))
}

/// Vectors of length one, by person; the people in a drawn order.
struct Data {
    of: Vec<Vec<Vec<f64>>>,
}

impl Data {
    /// Those of people with two faces or more, and how many have one.
    fn new(vectors: &[Vec<f32>], people: &[usize], seed: u64) -> (Self, usize) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut by_person = BTreeMap::<usize, Vec<Vec<f64>>>::new();
        for (vector, person) in vectors.iter().zip(people) {
            let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            by_person.entry(*person).or_default().push(vector.iter().map(|v| f64::from(*v) / length).collect());
        }
        let (mut of, single): (Vec<_>, Vec<_>) = by_person.into_values().partition(|faces| faces.len() > 1);
        of.shuffle(&mut rng);
        for faces in &mut of {
            faces.shuffle(&mut rng);
            faces.truncate(MOST_FACES);
        }
        (Self { of }, single.len())
    }

    /// All pairs of faces of some people, before and after a projection.
    fn pairs(&self, people: &[usize], projection: Option<&Projection>) -> Vec<Pair> {
        let faces: Vec<(usize, Vec<f32>, Vec<f32>)> = people
            .iter()
            .flat_map(|&p| self.of[p].iter().map(move |v| (p, v)))
            .map(|(person, v)| {
                let plain: Vec<f32> = v.iter().map(|v| *v as f32).collect();
                let after = projection.map_or_else(|| plain.clone(), |p| unit(p.apply(&plain)));
                (person, plain, after)
            })
            .collect();
        let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
        let mut pairs = Vec::new();
        for (i, a) in faces.iter().enumerate() {
            for b in &faces[..i] {
                pairs.push(Pair { people: (a.0, b.0), distances: [square(&a.1, &b.1), square(&a.2, &b.2)] });
            }
        }
        pairs
    }
}

fn unit(values: Vec<f32>) -> Vec<f32> {
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.into_iter().map(|v| v / length).collect()
}

/// The shrinkage that parts people best whom the projection was not fitted to; of equals the most cautious.
fn choose(data: &Data, people: &[usize], options: &AdaptOptions) -> Result<f64> {
    let mut best = (f64::MIN, f64::NAN);
    for &shrinkage in options.method.tried() {
        let (mut sum, folds) = (0.0, INNER_FOLDS.min(people.len() / 2).max(2));
        for fold in 0..folds {
            let part = |held: bool| -> Vec<usize> {
                let inside = people.iter().enumerate().filter(|(i, _)| (i % folds == fold) == held);
                inside.map(|(_, p)| *p).collect()
            };
            let projection = fit(data, &part(false), shrinkage, options)?;
            let pairs = data.pairs(&part(true), Some(&projection));
            let (genuine, impostor): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(|p| p.people.0 == p.people.1);
            let distances = |pairs: &[&Pair]| pairs.iter().map(|p| p.distances[1]).collect();
            sum += 1.0 - Scores::new(distances(&genuine), distances(&impostor))?.equal_error().rate;
        }
        if sum > best.0 + 1e-9 {
            best = (sum, shrinkage);
        }
    }
    Ok(best.1)
}

/// The projection that the method fits to some people.
fn fit(data: &Data, people: &[usize], shrinkage: f64, options: &AdaptOptions) -> Result<Projection> {
    match options.method {
        AdaptMethod::Lda => Ok(closed_form(data, people, shrinkage)?),
        AdaptMethod::Triplet => {
            let faces: Vec<&[Vec<f64>]> = people.iter().map(|&p| data.of[p].as_slice()).collect();
            adapt_triplets::fit(&faces, shrinkage, options.seed)
        }
    }
}

/// The projection of the two-covariance model.
fn closed_form(data: &Data, people: &[usize], shrinkage: f64) -> Result<Projection, EvalError> {
    let width = data.of[people[0]][0].len();
    let means: Vec<Vec<f64>> = people
        .iter()
        .map(|&p| {
            let faces = &data.of[p];
            (0..width).map(|i| faces.iter().map(|f| f[i]).sum::<f64>() / faces.len() as f64).collect()
        })
        .collect();
    let mean: Vec<f64> = (0..width).map(|i| means.iter().map(|m| m[i]).sum::<f64>() / means.len() as f64).collect();
    let mut inside = Vec::new();
    for (&p, own) in people.iter().zip(&means) {
        // Each person counts alike: by the degrees of freedom of their faces.
        let factor = 1.0 / ((data.of[p].len() - 1) as f64 * people.len() as f64).sqrt();
        inside
            .extend(data.of[p].iter().map(|f| f.iter().zip(own).map(|(v, m)| (v - m) * factor).collect::<Vec<f64>>()));
    }
    let factor = 1.0 / (means.len() as f64 - 1.0).max(1.0).sqrt();
    let outside: Vec<Vec<f64>> =
        means.iter().map(|own| own.iter().zip(&mean).map(|(v, m)| (v - m) * factor).collect()).collect();
    let covariance = |rows: &[Vec<f64>]| -> Option<DMatrix<f64>> {
        let rows = DMatrix::from_fn(rows.len(), width, |i, j| rows[i][j]);
        let full = rows.transpose() * &rows;
        let even = full.trace() / width as f64;
        (even > 0.0).then(|| full * (1.0 - shrinkage) + DMatrix::identity(width, width) * (even * shrinkage))
    };
    let (Some(within), Some(between)) = (covariance(&inside), covariance(&outside)) else {
        let reason = "the faces of each person, or of all people, are all the same vector".to_string();
        return Err(EvalError::TooLittle { reason });
    };
    let (spread, mut whitening) = falling(within);
    for (mut column, value) in whitening.column_iter_mut().zip(&spread) {
        column /= value.max(f64::MIN_POSITIVE).sqrt();
    }
    let (ratios, turns) = falling(whitening.transpose() * between * &whitening);
    let mut directions = whitening * turns;
    for (mut column, ratio) in directions.column_iter_mut().zip(&ratios) {
        let ratio = ratio.max(0.0);
        column *= (ratio / (1.0 + 2.0 * ratio)).sqrt();
    }
    let rows = directions.column_iter().map(|c| c.iter().map(|v| *v as f32).collect()).collect();
    Ok(Projection { mean: mean.into_iter().map(|v| v as f32).collect(), rows })
}

/// The false accept rate to compare at.
fn rate(pairs: &[Pair], asked: Option<f64>) -> Result<f64, EvalError> {
    let (genuine, impostor): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(|p| p.people.0 == p.people.1);
    let distances = |pairs: &[&Pair]| pairs.iter().map(|p| p.distances[0]).collect();
    let impostors = impostor.len();
    let scores = Scores::new(distances(&genuine), distances(&impostor))?;
    let supported = |far: &&f64| scores.at_fmr(**far).is_some();
    let tried: &[f64] = asked.as_ref().map_or(&RATES, std::slice::from_ref);
    tried.iter().find(supported).copied().ok_or_else(|| EvalError::TooLittle {
        reason: format!(
            "{impostors} impostor pairs of held-out people do not support a false accept rate of {}; more people or more \
             photos of each are needed",
            tried.last().copied().unwrap_or_default()
        ),
    })
}

/// Places of the pairs in rising order of their distance before (0) or after (1).
fn sorted(pairs: &[Pair], side: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..pairs.len()).collect();
    places.sort_by(|&a, &b| pairs[a].distances[side].total_cmp(&pairs[b].distances[side]));
    places
}

/// True accept rate at a false accept rate, where people count `weights` times; none where no impostor pair counts.
fn tar(pairs: &[Pair], sorted: &[usize], weights: &[u32], far: f64) -> Option<f64> {
    let weight = |p: &Pair| {
        let (a, b) = p.people;
        let weight = if a == b { weights[a] } else { weights[a] * weights[b] };
        (u64::from(weight), a == b)
    };
    let (mut genuine, mut impostor) = (0, 0);
    for (weight, same) in pairs.iter().map(weight) {
        *if same { &mut genuine } else { &mut impostor } += weight;
    }
    if genuine == 0 || impostor == 0 {
        return None;
    }
    let allowed = (far * impostor as f64) as u64;
    let (mut hits, mut false_hits) = (0, 0);
    for &place in sorted {
        match weight(&pairs[place]) {
            (weight, true) => hits += weight,
            (weight, false) => {
                false_hits += weight;
                if false_hits > allowed {
                    break;
                }
            }
        }
    }
    Some(hits as f64 / genuine as f64)
}

/// Standard deviation of the gain when people are drawn with replacement.
fn standard_error(pairs: &[Pair], sorted: &[Vec<usize>; 2], persons: usize, far: f64, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut gains = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut weights = vec![0u32; persons];
        (0..persons).for_each(|_| weights[rng.random_range(0..persons)] += 1);
        let [before, after] = [0, 1].map(|side| tar(pairs, &sorted[side], &weights, far));
        gains.extend(after.zip(before).map(|(a, b)| a - b));
    }
    let n = gains.len().max(2) as f64;
    let mean = gains.iter().sum::<f64>() / n;
    (gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of people about their own points, moved along a few directions by light that is nobody's.
    fn drawn(people: usize, each: usize, light: f32, seed: u64) -> (Vec<Vec<f32>>, Vec<usize>) {
        const WIDTH: usize = 24;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = move || (0..12).map(|_| rng.random_range(-0.5f32..0.5)).sum::<f32>();
        let lights: Vec<Vec<f32>> = (0..3).map(|k| (0..WIDTH).map(|i| f32::from(i % 3 == k)).collect()).collect();
        let (mut vectors, mut labels) = (Vec::new(), Vec::new());
        for person in 0..people {
            let point: Vec<f32> = (0..WIDTH).map(|_| normal()).collect();
            for _ in 0..each {
                let by: Vec<f32> = (0..3).map(|_| light * normal()).collect();
                let value =
                    |i: usize, n: f32| point[i] + 0.4 * n + lights.iter().zip(&by).map(|(l, b)| l[i] * b).sum::<f32>();
                vectors.push((0..WIDTH).map(|i| value(i, normal())).collect());
                labels.push(person);
            }
        }
        (vectors, labels)
    }

    #[test]
    fn people_not_learnt_from_gain_where_light_hides_them() {
        let (vectors, people) = drawn(40, 5, 1.5, 1);
        for method in [AdaptMethod::Lda, AdaptMethod::Triplet] {
            gains(method, &vectors, &people);
        }
    }

    fn gains(method: AdaptMethod, vectors: &[Vec<f32>], people: &[usize]) {
        let options = AdaptOptions { method, ..AdaptOptions::default() };
        let (projection, report) = adapt(vectors, people, &options).unwrap();
        println!("{method}: {report:?}");
        assert_eq!((report.people, report.faces, report.single, report.genuine), (40, 200, 0, 400));
        assert!(report.gain() > 2.0 * report.error && report.gain() > 0.1, "{method}: {report:?}");
        // And strangers whom nothing has seen.
        let (strangers, labels) = drawn(40, 5, 1.5, 2);
        let rates = |project: bool| {
            let rows: Vec<Vec<f32>> = strangers
                .iter()
                .map(|v| unit(if project { projection.apply(&unit(v.clone())) } else { v.clone() }))
                .collect();
            super::super::validate::validate(&rows, &labels).unwrap().tar(1e-2).unwrap()
        };
        assert!(rates(true) > rates(false) + 0.05, "{method}: {} {}", rates(true), rates(false));
        assert_eq!(adapt(vectors, people, &options).unwrap().1, report, "seeded");
    }

    #[test]
    fn what_does_not_help_is_refused() {
        // Nothing to take away: the same noise in every direction.
        let (vectors, people) = drawn(30, 4, 0.0, 3);
        for method in [AdaptMethod::Lda, AdaptMethod::Triplet] {
            let options = AdaptOptions { method, ..AdaptOptions::default() };
            let error = adapt(&vectors, &people, &options).unwrap_err();
            assert_eq!(error.code(), "train.no_gain", "{method}: {error}");
            assert!(error.to_string().contains("standard error"), "{error}");
        }
        let few = adapt(&vectors[..16], &people[..16], &AdaptOptions::default()).unwrap_err();
        assert!(few.code() == "eval.too_little" && few.to_string().contains("4 people"), "{few}");
        let strict = AdaptOptions { far: Some(1e-6), ..AdaptOptions::default() };
        assert_eq!(adapt(&vectors, &people, &strict).unwrap_err().code(), "eval.too_little");
        let same = vec![vec![1.0f32, 0.0]; 24];
        let labels: Vec<usize> = (0..24).map(|i| i / 3).collect();
        assert_eq!(adapt(&same, &labels, &AdaptOptions::default()).unwrap_err().code(), "eval.too_little");
    }

    #[test]
    fn rates_of_drawn_people_are_those_of_the_pairs_repeated() {
        let (vectors, people) = drawn(6, 3, 1.0, 4);
        let (data, _) = Data::new(&vectors, &people, 1);
        let pairs = data.pairs(&[0, 1, 2, 3, 4, 5], None);
        let order = sorted(&pairs, 0);
        let weights = [2, 0, 1, 3, 0, 1];
        let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
        for pair in &pairs {
            let (a, b) = pair.people;
            let count = if a == b { weights[a] } else { weights[a] * weights[b] };
            let into = if a == b { &mut genuine } else { &mut impostor };
            (0..count).for_each(|_| into.push(pair.distances[0]));
        }
        impostor.sort_by(f32::total_cmp);
        let threshold = impostor[(0.2 * impostor.len() as f64) as usize];
        let wanted = genuine.iter().filter(|d| **d < threshold).count() as f64 / genuine.len() as f64;
        assert!((tar(&pairs, &order, &weights, 0.2).unwrap() - wanted).abs() < 1e-12);
        assert_eq!(tar(&pairs, &order, &[1, 0, 0, 0, 0, 0], 0.2), None);
    }
}
