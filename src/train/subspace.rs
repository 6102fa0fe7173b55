//! Eigenfaces and Fisherfaces from chips: principal components by the singular values of all chips, and
//! Fisher's linear discriminant on top. Pure numbers, in double precision.
//!
//! M. Turk, A. Pentland, "Eigenfaces for recognition", 1991; P. Belhumeur, J. Hespanha, D. Kriegman,
//! "Eigenfaces vs. Fisherfaces", PAMI 1997.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::error::EvalError;

/// How much of a subspace is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    /// Share of the chips' variance that the kept directions hold, above 0 and at most 1.
    pub variance: f64,
    /// Leading directions left out: the first few hold the light, not the person.
    pub drop: usize,
    /// Scale every direction to unit variance. Along as many directions as there are faces (less one) this
    /// makes any two of the faces learnt from equally distant: keep fewer.
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

/// Variances below this share of the largest are rounding: they come of sums of squares in double precision.
const ROUNDING: f64 = 1e-11;

fn too_little(reason: String) -> EvalError {
    EvalError::TooLittle { reason }
}

/// Eigenvalues in falling order, and the eigenvectors as columns in the same order.
pub(super) fn falling(matrix: DMatrix<f64>) -> (Vec<f64>, DMatrix<f64>) {
    let eigen = SymmetricEigen::new(matrix);
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let values = order.iter().map(|&i| eigen.eigenvalues[i]).collect();
    (values, eigen.eigenvectors.select_columns(&order))
}

/// How many of the falling values are more than rounding.
fn rank(values: &[f64]) -> usize {
    values.iter().take_while(|v| **v > values[0] * ROUNDING && **v > 0.0).count()
}

/// Rows, less their mean.
fn centred(chips: &[Vec<f32>]) -> (Vec<f64>, DMatrix<f64>) {
    let (n, width) = (chips.len(), chips.first().map_or(0, Vec::len));
    let mut mean = vec![0.0; width];
    for chip in chips {
        mean.iter_mut().zip(chip).for_each(|(m, &v)| *m += f64::from(v) / n as f64);
    }
    let matrix = DMatrix::from_fn(n, width, |i, j| f64::from(chips[i][j]) - mean[j]);
    (mean, matrix)
}

fn rows(matrix: &DMatrix<f64>) -> Vec<Vec<f64>> {
    matrix.row_iter().map(|row| row.iter().copied().collect()).collect()
}

/// The directions in which the chips differ most: the right singular vectors of the centred chips, by way of
/// the eigenvectors of the smaller of `X X'` and `X' X` (section 2 of Turk and Pentland).
///
/// # Errors
/// [`EvalError::TooLittle`] for fewer than two chips, or when nothing is left after dropping.
pub fn eigenfaces(chips: &[Vec<f32>], kept: Kept) -> Result<Learnt, EvalError> {
    let n = chips.len();
    if n < 2 {
        return Err(too_little(format!("{n} faces, at least 2 are needed")));
    }
    let (mean, matrix) = centred(chips);
    let wide = matrix.ncols() > n;
    let transposed = matrix.transpose();
    let (squares, vectors) = falling(if wide { &matrix * &transposed } else { &transposed * &matrix });
    // The variance along a direction is its squared singular value over n - 1.
    let variances: Vec<f64> = squares[..rank(&squares)].iter().map(|s| s / (n - 1) as f64).collect();
    let wanted = variances.iter().sum::<f64>() * kept.variance.clamp(0.0, 1.0);
    let mut held = 0.0;
    let short = variances.iter().take_while(|v| {
        let more = held < wanted * (1.0 - 1e-12);
        held += **v;
        more
    });
    let count = short.count();
    if count <= kept.drop {
        let reason = format!("{count} directions hold the variance asked for, and {} are dropped", kept.drop);
        return Err(too_little(reason));
    }
    let chosen = vectors.columns(kept.drop, count - kept.drop);
    let mut directions = if wide { chosen.transpose() * &matrix } else { chosen.transpose() };
    for (mut row, variance) in directions.row_iter_mut().zip(&variances[kept.drop..]) {
        let length = row.norm() * if kept.whiten { variance.sqrt() } else { 1.0 };
        row /= length;
    }
    Ok(Learnt { mean, directions: rows(&directions), weights: variances[kept.drop..count].to_vec() })
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
    let classes: Vec<usize> = counts.iter().filter(|(_, n)| **n > 1).map(|(p, _)| *p).collect();
    if classes.len() < 2 {
        return Err(too_little(format!("{} people have two faces or more, at least 2 are needed", classes.len())));
    }
    let (mut kept, mut class) = (Vec::new(), Vec::new());
    for (chip, person) in chips.iter().zip(people) {
        if let Ok(place) = classes.binary_search(person) {
            kept.push(chip.clone());
            class.push(place);
        }
    }
    let mut first = eigenfaces(&kept, Kept { variance, drop: 0, whiten: false })?;
    // The scatter within has rank n - c at most (Belhumeur et al., section 2.4).
    first.directions.truncate((kept.len() - classes.len()).max(1));
    let width = first.mean.len();
    let components = DMatrix::from_fn(first.directions.len(), width, |i, j| first.directions[i][j]);
    let reduced = centred(&kept).1 * components.transpose();
    let (discriminants, ratios) = discriminants(&reduced, &class, classes.len())?;
    Ok(Learnt { mean: first.mean, directions: rows(&(discriminants * components)), weights: ratios })
}

/// Fisher's discriminants of centred rows, as rows, and the ratio of variances along each: the solutions of
/// `between w = ratio within w`, scaled so that `w' within w = 1`, both scatters divided by the number of
/// rows. At most one direction fewer than there are classes has a ratio above zero.
fn discriminants(rows: &DMatrix<f64>, class: &[usize], classes: usize) -> Result<(DMatrix<f64>, Vec<f64>), EvalError> {
    let (n, width) = rows.shape();
    let mut means = DMatrix::<f64>::zeros(classes, width);
    let mut sizes = vec![0.0; classes];
    for (row, &c) in rows.row_iter().zip(class) {
        sizes[c] += 1.0;
        let mut mean = means.row_mut(c);
        mean += row;
    }
    let inside = DMatrix::from_fn(n, width, |i, j| rows[(i, j)] - means[(class[i], j)] / sizes[class[i]]);
    // The rows' own mean is zero, so a class's mean is its distance from it.
    let between = DMatrix::from_fn(classes, width, |c, j| means[(c, j)] / (sizes[c] * n as f64).sqrt());
    let (within, vectors) = falling(inside.transpose() * &inside / n as f64);
    // Where the scatter within is empty no direction can be scaled to it.
    let usable = rank(&within);
    if usable == 0 {
        return Err(too_little("the faces of each person are all the same picture".to_string()));
    }
    let mut whitening = vectors.columns(0, usable).into_owned();
    for (mut column, value) in whitening.column_iter_mut().zip(&within) {
        column /= value.sqrt();
    }
    let spread = &between * &whitening;
    let (ratios, turns) = falling(spread.transpose() * &spread);
    let count = rank(&ratios).min(classes - 1);
    if count == 0 {
        return Err(too_little("all people have the same mean face".to_string()));
    }
    Ok(((whitening * turns.columns(0, count)).transpose(), ratios[..count].to_vec()))
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
        let basis = |rows: &[Vec<f64>]| DMatrix::from_fn(rows[0].len(), rows.len(), |i, j| rows[j][i]).qr().q();
        let (a, b) = (basis(a), basis(b));
        let outside = &b - &a * (a.transpose() * &b);
        outside.singular_values()[0].min(1.0).asin()
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
