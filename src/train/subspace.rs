//! Eigenfaces and Fisherfaces from chips: principal components by a singular value decomposition, and
//! Fisher's linear discriminant on top. Pure numbers, in double precision.
//!
//! M. Turk, A. Pentland, "Eigenfaces for recognition", 1991; P. Belhumeur, J. Hespanha, D. Kriegman,
//! "Eigenfaces vs. Fisherfaces", PAMI 1997.

use faer::{Mat, MatRef, Side};

use crate::error::EvalError;

/// How much of a subspace is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Share of the chips' variance that the kept directions hold, above 0 and at most 1.
    pub variance: f64,
    /// Leading directions left out: the first few hold the light, not the person.
    pub drop: usize,
    /// Scale every direction to unit variance.
    pub whiten: bool,
}

/// Mean and directions, as rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Learnt {
    /// Mean of the chips.
    pub mean: Vec<f64>,
    /// Directions, most telling first.
    pub directions: Vec<Vec<f64>>,
    /// What each direction tells: variance along it for Eigenfaces, between people's over within people's
    /// variance for Fisherfaces.
    pub weights: Vec<f64>,
}

/// Singular values below this share of the largest are rounding, not variance.
const ROUNDING: f64 = 1e-10;

fn too_little(reason: String) -> EvalError {
    EvalError::TooLittle { reason }
}

fn solver(e: impl std::fmt::Debug) -> EvalError {
    EvalError::Training { reason: format!("{e:?}") }
}

/// Rows, less their mean.
fn centred(chips: &[Vec<f32>]) -> (Vec<f64>, Mat<f64>) {
    let (n, width) = (chips.len(), chips.first().map_or(0, Vec::len));
    let mut mean = vec![0.0; width];
    for chip in chips {
        mean.iter_mut().zip(chip).for_each(|(m, &v)| *m += f64::from(v) / n as f64);
    }
    let matrix = Mat::from_fn(n, width, |i, j| f64::from(chips[i][j]) - mean[j]);
    (mean, matrix)
}

/// The directions in which the chips differ most.
///
/// # Errors
/// [`EvalError::TooLittle`] for fewer than two chips, or when nothing is left after dropping.
pub fn eigenfaces(chips: &[Vec<f32>], kept: Kept) -> Result<Learnt, EvalError> {
    let n = chips.len();
    if n < 2 {
        return Err(too_little(format!("{n} faces, at least 2 are needed")));
    }
    let (mean, matrix) = centred(chips);
    let svd = matrix.thin_svd().map_err(solver)?;
    // The variance along direction i is s_i^2 / (n - 1).
    let singular: Vec<f64> = (0..svd.S().dim()).map(|i| svd.S()[i]).collect();
    let rank = singular.iter().take_while(|s| **s > singular[0] * ROUNDING && **s > 0.0).count();
    let variances: Vec<f64> = singular[..rank].iter().map(|s| s * s / (n - 1) as f64).collect();
    let wanted = variances.iter().sum::<f64>() * kept.variance.clamp(0.0, 1.0);
    let mut held = 0.0;
    let short = variances.iter().take_while(|v| {
        let more = held < wanted * (1.0 - 1e-12);
        held += **v;
        more
    });
    let count = short.count();
    if count <= kept.drop {
        return Err(too_little(format!(
            "{count} directions hold the variance asked for, and {} are dropped",
            kept.drop
        )));
    }
    let v = svd.V();
    let directions = (kept.drop..count).map(|i| {
        let scale = if kept.whiten { 1.0 / variances[i].sqrt() } else { 1.0 };
        (0..v.nrows()).map(|j| v[(j, i)] * scale).collect()
    });
    Ok(Learnt { mean, directions: directions.collect(), weights: variances[kept.drop..count].to_vec() })
}

/// The directions that part the people best: principal components first, so that the scatter within people
/// can be inverted, then Fisher's discriminant, each direction scaled to unit variance within people.
/// `people` numbers each chip's person; people with one chip say nothing of the scatter within, and are
/// left out.
///
/// # Errors
/// [`EvalError::TooLittle`] for fewer than two people with two chips.
pub fn fisherfaces(chips: &[Vec<f32>], people: &[usize], variance: f64) -> Result<Learnt, EvalError> {
    let mut counts = std::collections::BTreeMap::new();
    people.iter().for_each(|p| *counts.entry(*p).or_insert(0usize) += 1);
    let several = |p: &usize| counts.get(p).is_some_and(|n| *n > 1);
    let chosen: Vec<usize> = (0..chips.len()).filter(|&i| several(&people[i])).collect();
    let classes: Vec<usize> = counts.iter().filter(|(_, n)| **n > 1).map(|(p, _)| *p).collect();
    if classes.len() < 2 {
        return Err(too_little(format!("{} people have two faces or more, at least 2 are needed", classes.len())));
    }
    let chips: Vec<Vec<f32>> = chosen.iter().map(|&i| chips[i].clone()).collect();
    let class: Vec<usize> = chosen.iter().map(|&i| classes.binary_search(&people[i]).unwrap_or(0)).collect();
    let mut first = eigenfaces(&chips, Kept { variance, drop: 0, whiten: false })?;
    // The scatter within has rank n - c at most (Belhumeur et al., section 2.4).
    first.directions.truncate((chips.len() - classes.len()).max(1));
    let width = first.mean.len();
    let components = Mat::from_fn(first.directions.len(), width, |i, j| first.directions[i][j]);
    let (_, matrix) = centred(&chips);
    let reduced = &matrix * components.transpose();
    let within_people = discriminants(reduced.as_ref(), &class, classes.len())?;
    let directions = &within_people.0 * &components;
    let rows = (0..directions.nrows()).map(|i| (0..width).map(|j| directions[(i, j)]).collect());
    Ok(Learnt { mean: first.mean, directions: rows.collect(), weights: within_people.1 })
}

/// Fisher's discriminants of centred rows, as rows, and the ratio of variances along each: the solutions of
/// `between w = ratio within w`, scaled so that `w' within w = 1`, both scatters divided by the number of
/// rows. At most one direction fewer than there are classes has a ratio above zero.
fn discriminants(rows: MatRef<f64>, class: &[usize], classes: usize) -> Result<(Mat<f64>, Vec<f64>), EvalError> {
    let (n, width) = (rows.nrows(), rows.ncols());
    let mut means = Mat::<f64>::zeros(classes, width);
    let mut sizes = vec![0.0; classes];
    for i in 0..n {
        sizes[class[i]] += 1.0;
        for j in 0..width {
            means[(class[i], j)] += rows[(i, j)];
        }
    }
    let inside = Mat::from_fn(n, width, |i, j| rows[(i, j)] - means[(class[i], j)] / sizes[class[i]]);
    // The rows' own mean is zero, so a class's mean is its distance from it.
    let between = Mat::from_fn(classes, width, |c, j| means[(c, j)] / sizes[c] * (sizes[c] / n as f64).sqrt());
    let scatter = inside.transpose() * &inside * faer::Scale(1.0 / n as f64);
    let eigen = scatter.self_adjoint_eigen(Side::Lower).map_err(solver)?;
    let values: Vec<f64> = (0..width).map(|i| eigen.S()[i]).collect();
    let largest = values.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return Err(too_little("the faces of each person are all the same picture".to_string()));
    }
    // Where the scatter within is empty no direction can be scaled to it.
    let usable: Vec<usize> = (0..width).filter(|&i| values[i] > largest * ROUNDING).collect();
    let u = eigen.U();
    let whitening = Mat::from_fn(width, usable.len(), |j, k| u[(j, usable[k])] / values[usable[k]].sqrt());
    let spread = &between * &whitening;
    let svd = spread.thin_svd().map_err(solver)?;
    let ratios: Vec<f64> = (0..svd.S().dim()).map(|i| svd.S()[i] * svd.S()[i]).collect();
    let count = ratios.iter().take(classes - 1).take_while(|r| **r > ratios[0] * ROUNDING && **r > 0.0).count();
    if count == 0 {
        return Err(too_little("all people have the same mean face".to_string()));
    }
    let turned = &whitening * svd.V();
    let rows = Mat::from_fn(count, width, |k, j| turned[(j, k)]);
    Ok((rows, ratios[..count].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const ALL: Kept = Kept { variance: 1.0, drop: 0, whiten: false };

    fn drawn(people: usize, each: usize, width: usize) -> (Vec<Vec<f32>>, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let centres: Vec<Vec<f32>> =
            (0..people).map(|_| (0..width).map(|_| rng.random_range(-1.0f32..1.0)).collect()).collect();
        let mut chips = Vec::new();
        let mut owners = Vec::new();
        for (p, centre) in centres.iter().enumerate() {
            for _ in 0..each {
                chips.push(centre.iter().map(|c| c + rng.random_range(-0.5f32..0.5)).collect());
                owners.push(p);
            }
        }
        (chips, owners)
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn eigenfaces_are_orthogonal_and_carry_the_variance_they_say() {
        let (chips, _) = drawn(6, 5, 40);
        let learnt = eigenfaces(&chips, ALL).unwrap();
        assert_eq!(learnt.directions.len(), 29, "one less than there are chips");
        for (i, a) in learnt.directions.iter().enumerate() {
            for (j, b) in learnt.directions.iter().enumerate() {
                assert!((dot(a, b) - f64::from(i == j)).abs() < 1e-9, "{i} {j}");
            }
            let along: Vec<f64> = chips
                .iter()
                .map(|c| c.iter().zip(&learnt.mean).zip(a).map(|((v, m), d)| (f64::from(*v) - m) * d).sum())
                .collect();
            assert!((dot(&along, &along) / 29.0 - learnt.weights[i]).abs() < 1e-9);
        }
        let total: f64 = learnt.weights.iter().sum();
        let some = eigenfaces(&chips, Kept { variance: 0.8, drop: 2, whiten: true }).unwrap();
        let held: f64 = learnt.weights[..some.weights.len() + 2].iter().sum();
        assert!(held >= 0.8 * total && held - some.weights.last().unwrap() < 0.8 * total);
        for (direction, variance) in some.directions.iter().zip(&some.weights) {
            assert!((dot(direction, direction) * variance - 1.0).abs() < 1e-9, "whitened");
        }
    }

    #[test]
    fn fisherfaces_have_unit_variance_within_people_and_part_them() {
        let (mut chips, mut people) = drawn(6, 8, 40);
        // Somebody with one chip is left out.
        chips.push(vec![9.0; 40]);
        people.push(77);
        let learnt = fisherfaces(&chips, &people, 1.0).unwrap();
        assert_eq!(learnt.directions.len(), 5, "one less than there are people");
        assert!(learnt.weights.windows(2).all(|w| w[0] >= w[1]) && learnt.weights[4] > 1.0);
        for direction in &learnt.directions {
            let mut within = 0.0;
            for p in 0..6 {
                let along: Vec<f64> = (0..8)
                    .map(|i| chips[8 * p + i].iter().zip(direction).map(|(v, d)| f64::from(*v) * d).sum())
                    .collect();
                let mean = along.iter().sum::<f64>() / 8.0;
                within += along.iter().map(|a| (a - mean).powi(2)).sum::<f64>();
            }
            assert!((within / 48.0 - 1.0).abs() < 1e-6, "{within}");
        }
    }

    /// Greatest angle between two subspaces in radians (A. Bjorck, G. Golub, 1973): the sine is the length of
    /// what the worst direction of one has outside the other.
    fn angle(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
        let basis = |rows: &[Vec<f64>]| {
            let columns = Mat::from_fn(rows[0].len(), rows.len(), |i, j| rows[j][i]);
            columns.thin_svd().unwrap().U().to_owned()
        };
        let (a, b) = (basis(a), basis(b));
        let outside = &b - &a * (a.transpose() * &b);
        outside.thin_svd().unwrap().S()[0].min(1.0).asin()
    }

    struct Golden {
        chips: Vec<Vec<f32>>,
        people: Vec<usize>,
        values: serde_json::Value,
        directions: Vec<Vec<f64>>,
    }

    /// What scikit-learn makes of the same chips (tests/golden/subspace.py).
    fn golden() -> Golden {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let values = serde_json::from_str(&std::fs::read_to_string(folder.join("subspace.json")).unwrap()).unwrap();
        let values: serde_json::Value = values;
        let sheet = crate::media::Photo::open(folder.join("subspace_chips.png")).unwrap();
        assert_eq!(sheet.sha256(), values["chips_sha256"].as_str());
        let tile = |at: i64| {
            let mut chip = crate::media::Raster::new(48, 48, [0; 3]);
            chip.blit(sheet.raster(), -48 * (at % 8), -48 * (at / 8));
            crate::embed::classic::pixels(&chip)
        };
        let numbers: Vec<f64> = std::fs::read(folder.join("subspace.f32"))
            .unwrap()
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect();
        let people = values["people"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap() as usize).collect();
        let directions = numbers.chunks_exact(48 * 48).map(<[f64]>::to_vec).collect();
        Golden { chips: (0..32).map(tile).collect(), people, values, directions }
    }

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    #[test]
    fn eigenfaces_are_scikit_learns_principal_components() {
        let golden = golden();
        let learnt = eigenfaces(&golden.chips, ALL).unwrap();
        for (got, wanted) in learnt.weights.iter().zip(numbers(&golden.values["variances"])) {
            assert!((got / wanted - 1.0).abs() < 1e-5, "{got} {wanted}");
        }
        for k in 1..=8 {
            let angle = angle(&learnt.directions[..k], &golden.directions[..k]);
            assert!(angle < 1e-4, "the first {k} span another space: {angle} radians");
        }
        let shares = numbers(&golden.values["shares"]);
        let kept = eigenfaces(&golden.chips, Kept { variance: 0.9, drop: 0, whiten: true }).unwrap();
        let mut held = 0.0;
        let wanted = shares
            .iter()
            .take_while(|s| {
                let more = held < 0.9;
                held += **s;
                more
            })
            .count();
        assert_eq!(kept.directions.len(), wanted);
        for (direction, wanted) in kept.directions.iter().zip(numbers(&golden.values["whitened_first_chip"])) {
            let chip = golden.chips[0].iter().zip(&kept.mean).map(|(&v, m)| f64::from(v) - m);
            let got: f64 = chip.zip(direction).map(|(v, d)| v * d).sum();
            assert!((got.abs() - wanted).abs() < 1e-4, "{got} {wanted}");
        }
    }

    #[test]
    fn fisherfaces_are_scikit_learns_discriminants() {
        let golden = golden();
        let learnt = fisherfaces(&golden.chips, &golden.people, 1.0).unwrap();
        assert_eq!(learnt.directions.len(), 3);
        for k in 1..=3 {
            let angle = angle(&learnt.directions[..k], &golden.directions[8..8 + k]);
            assert!(angle < 1e-3, "the first {k} span another space: {angle} radians");
        }
        let total: f64 = learnt.weights.iter().sum();
        for (got, wanted) in learnt.weights.iter().zip(numbers(&golden.values["between_over_total"])) {
            assert!((got / total - wanted).abs() < 1e-5, "{} {wanted}", got / total);
        }
        let apart = angle(&learnt.directions, &golden.directions[..3]);
        assert!(apart > 0.1, "discriminants are not the leading components: {apart}");
    }

    #[test]
    fn too_little_to_learn_from_is_said() {
        let (chips, _) = drawn(1, 3, 10);
        assert_eq!(eigenfaces(&chips[..1], ALL).unwrap_err().code(), "eval.too_little");
        assert_eq!(eigenfaces(&chips, Kept { drop: 2, ..ALL }).unwrap_err().code(), "eval.too_little");
        assert_eq!(fisherfaces(&chips, &[0, 0, 1], 1.0).unwrap_err().code(), "eval.too_little");
        let same = vec![vec![1.0f32; 10]; 4];
        assert!(eigenfaces(&same, ALL).is_err() && fisherfaces(&same, &[0, 0, 1, 1], 1.0).is_err());
    }
}
