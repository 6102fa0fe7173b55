//! Losses over embeddings, with gradients: the triplet loss, and heads that hold a direction for each person.
//!
//! | loss | paper |
//! | --- | --- |
//! | [`triplet`] | F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet", CVPR 2015 (arXiv 1503.03832), section 3.1 |
//! | [`Head::ArcFace`] | J. Deng et al., "ArcFace", CVPR 2019 (arXiv 1801.07698), equation 3 |
//! | [`Head::CosFace`] | H. Wang et al., "CosFace", CVPR 2018 (arXiv 1801.09414), equation 4 |
//! | [`Head::SFace`] | Y. Zhong et al., "SFace", IEEE TIP 2021 (arXiv 2205.12010), equations 4 to 9 |
//! | [`Head::Softmax`] | cross entropy over logits with a bias |
//!
//! Distances are squared Euclidean distances of vectors scaled to length one, as in the paper, and every loss is a mean
//! over what it counts (triplets, or faces), so that the learning rate does not depend on the size of the batch.

use candle_core::{D, DType, Result, Tensor};

use super::mining::Triplet;

/// Least squared length that is divided by: a vector of zeros stays one.
const LEAST_SQUARE: f64 = 1e-24;
/// Least squared sine in ArcFace, so that its gradient stays finite where a face lies on its person's direction.
const LEAST_SINE: f64 = 1e-9;

/// Rows scaled to length one.
pub(crate) fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let length = x.sqr()?.sum_keepdim(D::Minus1)?.maximum(LEAST_SQUARE)?.sqrt()?;
    x.broadcast_div(&length)
}

/// The mean over the triplets of `max(|a - p|^2 - |a - n|^2 + margin, 0)`; `embeddings` are unit rows `[n, dimension]`.
/// Zero without a triplet.
pub(crate) fn triplet(embeddings: &Tensor, triplets: &[Triplet], margin: f64) -> Result<Tensor> {
    if triplets.is_empty() {
        return embeddings.sum_all()?.affine(0.0, 0.0);
    }
    let rows = |of: fn(&Triplet) -> usize| -> Result<Tensor> {
        let places: Vec<u32> = triplets.iter().map(|t| of(t) as u32).collect();
        embeddings.index_select(&Tensor::new(places, embeddings.device())?, 0)
    };
    let (a, p, n) = (rows(|t| t.anchor)?, rows(|t| t.positive)?, rows(|t| t.negative)?);
    let square = |x: &Tensor, y: &Tensor| (x - y)?.sqr()?.sum(D::Minus1);
    (square(&a, &p)? - square(&a, &n)?)?.affine(1.0, margin)?.relu()?.mean_all()
}

/// What a student is from its teacher: the mean squared distance of their unit vectors `[n, dimension]`, and `relations` times
/// the mean squared difference of the cosines of pairs (W. Park et al., "Relational knowledge distillation", CVPR 2019, with
/// cosines in place of distances). Vectors of different lengths have no distance, and only the cosines count.
pub(crate) fn distil(student: &Tensor, teacher: &Tensor, relations: f64) -> Result<Tensor> {
    let (n, dimension) = student.dims2()?;
    let (faces, taught) = teacher.dims2()?;
    if n != faces {
        candle_core::bail!("{faces} vectors of a teacher for {n} faces");
    }
    let cosines = |x: &Tensor| x.matmul(&x.t()?);
    let pairs = (n * n.saturating_sub(1)).max(1) as f64;
    // The diagonal is one on both sides.
    let related = || (cosines(student)? - cosines(teacher)?)?.sqr()?.sum_all()?.affine(1.0 / pairs, 0.0);
    if dimension != taught {
        return related();
    }
    let near = (student - teacher)?.sqr()?.sum_all()?.affine(1.0 / n as f64, 0.0)?;
    if relations > 0.0 { near + related()?.affine(relations, 0.0)? } else { Ok(near) }
}

/// How a face is held against everybody's direction.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Head {
    /// Logits `x W^T + b`.
    Softmax,
    /// `scale * cos(angle + margin)` for the face's own person.
    ArcFace {
        /// Logits' scale.
        scale: f64,
        /// Added to the angle, in radians.
        margin: f64,
    },
    /// `scale * (cos(angle) - margin)` for the face's own person.
    CosFace {
        /// Logits' scale.
        scale: f64,
        /// Taken from the cosine.
        margin: f64,
    },
    /// Gradients along the angles whose lengths are sigmoids of them.
    SFace {
        /// Greatest length of a gradient.
        scale: f64,
        /// Slope of the sigmoids.
        slope: f64,
        /// Angle to the own person, in radians, about which the pull fades.
        own: f64,
        /// Angle to others, in radians, about which the push begins.
        others: f64,
    },
}

impl Head {
    /// The paper's scale and margin.
    pub const ARCFACE: Self = Self::ArcFace { scale: 64.0, margin: 0.5 };
    /// The paper's scale and margin.
    pub const COSFACE: Self = Self::CosFace { scale: 64.0, margin: 0.35 };
    /// The paper's values for CASIA-WebFace.
    pub const SFACE: Self = Self::SFace { scale: 64.0, slope: 80.0, own: 0.8, others: 1.22 };

    /// Whether the head has a bias beside its directions.
    pub(crate) fn has_bias(self) -> bool {
        self == Self::Softmax
    }

    /// Mean loss of raw `embeddings` `[n, dimension]` of people `labels` against `directions` `[people, dimension]`.
    pub(crate) fn loss(
        self,
        embeddings: &Tensor,
        directions: &Tensor,
        bias: Option<&Tensor>,
        labels: &[usize],
    ) -> Result<Tensor> {
        let (people, _) = directions.dims2()?;
        let own = one_hot(labels, people, embeddings)?;
        if self == Self::Softmax {
            let logits = embeddings.matmul(&directions.t()?)?;
            let logits = bias.map_or(Ok(logits.clone()), |b| logits.broadcast_add(b))?;
            return cross_entropy(&logits, &own);
        }
        let cosines = unit_rows(embeddings)?.matmul(&unit_rows(directions)?.t()?)?;
        match self {
            Self::Softmax => unreachable!("answered above"),
            Self::CosFace { scale, margin } => {
                cross_entropy(&((cosines - own.affine(margin, 0.0)?)?.affine(scale, 0.0)?), &own)
            }
            Self::ArcFace { scale, margin } => {
                let cosine = (&cosines * &own)?.sum_keepdim(1)?;
                let sine = cosine.sqr()?.affine(-1.0, 1.0)?.maximum(LEAST_SINE)?.sqrt()?;
                let further = (cosine.affine(margin.cos(), 0.0)? - sine.affine(margin.sin(), 0.0)?)?;
                // Beyond pi - margin cos(angle + margin) would fall no more; ArcFace's own program goes on in a line.
                let line = cosine.affine(1.0, -margin * margin.sin())?;
                let inside = cosine.gt((std::f64::consts::PI - margin).cos())?;
                let moved = (inside.where_cond(&further, &line)? - &cosine)?;
                let logits = (&cosines + own.broadcast_mul(&moved)?)?;
                cross_entropy(&logits.affine(scale, 0.0)?, &own)
            }
            Self::SFace { scale, slope, own: near, others: far } => {
                let weights = sface_weights(&cosines, labels, scale, slope, near, far)?;
                (cosines * weights)?.sum_all()?.affine(1.0 / labels.len() as f64, 0.0)
            }
        }
    }
}

/// What each cosine counts in SFace's loss, a constant in its gradient: `-scale * sigmoid(slope * (angle - near))` for
/// the own person, `scale * sigmoid(-slope * (angle - far))` for others.
fn sface_weights(cosines: &Tensor, labels: &[usize], scale: f64, slope: f64, near: f64, far: f64) -> Result<Tensor> {
    let mut rows: Vec<Vec<f64>> = cosines.detach().to_dtype(DType::F64)?.to_vec2()?;
    for (row, &label) in rows.iter_mut().zip(labels) {
        for (person, value) in row.iter_mut().enumerate() {
            let angle = value.clamp(-1.0, 1.0).acos();
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            *value = match person == label {
                true => -scale * sigmoid(slope * (angle - near)),
                false => scale * sigmoid(-slope * (angle - far)),
            };
        }
    }
    Tensor::new(rows, cosines.device())?.to_dtype(cosines.dtype())
}

/// `[n, people]` with a one where the label is.
fn one_hot(labels: &[usize], people: usize, like: &Tensor) -> Result<Tensor> {
    if let Some(beyond) = labels.iter().find(|l| **l >= people) {
        candle_core::bail!("label {beyond} of {people} people");
    }
    let mut values = vec![0f32; labels.len() * people];
    labels.iter().enumerate().for_each(|(i, l)| values[i * people + l] = 1.0);
    Tensor::from_vec(values, (labels.len(), people), like.device())?.to_dtype(like.dtype())
}

/// Mean of `ln(sum(exp(logits))) - logit of the own person`.
fn cross_entropy(logits: &Tensor, own: &Tensor) -> Result<Tensor> {
    // A constant: what is taken from all logits of a row changes no gradient.
    let most = logits.max_keepdim(1)?.detach();
    let logits = logits.broadcast_sub(&most)?;
    let total = logits.exp()?.sum(1)?.log()?;
    (total - (logits * own)?.sum(1)?)?.mean_all()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const ROWS: usize = 6;
    const WIDTH: usize = 5;
    const PEOPLE: usize = 4;
    const LABELS: [usize; ROWS] = [0, 0, 1, 1, 2, 3];

    fn drawn(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    fn unit(row: &[f64]) -> Vec<f64> {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        row.iter().map(|v| v / length).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    /// Holds the gradient for `values` against central differences of `reference`, which is the loss written plainly.
    fn hold(values: &[f64], shape: (usize, usize), got: impl Fn(&Tensor) -> Tensor, reference: impl Fn(&[f64]) -> f64) {
        let var = Var::from_tensor(&Tensor::from_slice(values, shape, &Device::Cpu).unwrap()).unwrap();
        let loss = got(&var);
        let value = loss.to_scalar::<f64>().unwrap();
        assert!((value - reference(values)).abs() < 1e-9, "{value} is not {}", reference(values));
        let gradient = loss.backward().unwrap().get(&var).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let mut greatest = 0f64;
        for (i, &got) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut values = values.to_vec();
                values[i] += by;
                reference(&values)
            };
            let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((got - wanted).abs() < 1e-6 * (1.0 + wanted.abs()), "value {i}: {got}, not {wanted}");
            greatest = greatest.max(wanted.abs());
        }
        assert!(greatest > 1e-3, "a gradient of nothing proves nothing");
    }

    #[test]
    fn triplet_loss_is_the_papers_with_its_gradient() {
        let triplets: Vec<Triplet> = [(0, 1, 2), (1, 0, 5), (2, 3, 0), (3, 2, 4), (0, 1, 4)]
            .map(|(anchor, positive, negative)| Triplet { anchor, positive, negative })
            .to_vec();
        let reference = |values: &[f64]| {
            let rows: Vec<Vec<f64>> = values.chunks(WIDTH).map(unit).collect();
            let d = |i: usize, j: usize| rows[i].iter().zip(&rows[j]).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            let each = triplets.iter().map(|t| (d(t.anchor, t.positive) - d(t.anchor, t.negative) + 0.2).max(0.0));
            each.sum::<f64>() / triplets.len() as f64
        };
        let values = drawn(ROWS * WIDTH, 1);
        hold(&values, (ROWS, WIDTH), |x| triplet(&unit_rows(x).unwrap(), &triplets, 0.2).unwrap(), reference);
        let x = Tensor::from_slice(&values, (ROWS, WIDTH), &Device::Cpu).unwrap();
        assert_eq!(triplet(&x, &[], 0.2).unwrap().to_scalar::<f64>().unwrap(), 0.0);
    }

    #[test]
    fn distillation_is_the_mean_of_its_squares_with_its_gradient() {
        let (values, teacher) = (drawn(ROWS * WIDTH, 5), drawn(ROWS * (WIDTH + 2), 6));
        for (width, relations) in [(WIDTH, 0.0), (WIDTH, 0.7), (WIDTH + 2, 0.7)] {
            let targets: Vec<Vec<f64>> = teacher.chunks(width).take(ROWS).map(unit).collect();
            let reference = |values: &[f64]| {
                let rows: Vec<Vec<f64>> = values.chunks(WIDTH).map(unit).collect();
                let (mut near, mut related) = (0.0, 0.0);
                for i in 0..ROWS {
                    near += rows[i].iter().zip(&targets[i]).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                    for j in (0..ROWS).filter(|j| *j != i) {
                        related += (dot(&rows[i], &rows[j]) - dot(&targets[i], &targets[j])).powi(2);
                    }
                }
                let related = related / (ROWS * (ROWS - 1)) as f64;
                if width == WIDTH { near / ROWS as f64 + relations * related } else { related }
            };
            let taught = Tensor::from_slice(&targets.concat(), (ROWS, width), &Device::Cpu).unwrap();
            hold(&values, (ROWS, WIDTH), |x| distil(&unit_rows(x).unwrap(), &taught, relations).unwrap(), reference);
            assert!(distil(&taught, &taught.narrow(0, 0, 2).unwrap(), 1.0).is_err());
        }
    }

    /// The losses of heads, written plainly; `fixed` are the cosines at which SFace's weights are taken.
    fn plain(head: Head, x: &[f64], w: &[f64], bias: &[f64], fixed: &[f64]) -> f64 {
        let mut sum = 0.0;
        for (i, label) in LABELS.into_iter().enumerate() {
            let row = &x[i * WIDTH..][..WIDTH];
            let mut logits = Vec::new();
            for j in 0..PEOPLE {
                let direction = &w[j * WIDTH..][..WIDTH];
                let cosine = dot(&unit(row), &unit(direction));
                logits.push(match head {
                    Head::Softmax => dot(row, direction) + bias[j],
                    Head::CosFace { scale, margin } => scale * (cosine - if j == label { margin } else { 0.0 }),
                    Head::ArcFace { scale, margin } if j == label => {
                        let angle = cosine.acos();
                        let line = cosine - margin * margin.sin();
                        scale * if angle < std::f64::consts::PI - margin { (angle + margin).cos() } else { line }
                    }
                    Head::ArcFace { scale, .. } => scale * cosine,
                    Head::SFace { scale, slope, own, others } => {
                        let angle = fixed[i * PEOPLE + j].acos();
                        let weight = match j == label {
                            true => -scale / (1.0 + (-slope * (angle - own)).exp()),
                            false => scale / (1.0 + (slope * (angle - others)).exp()),
                        };
                        weight * cosine
                    }
                });
            }
            sum += match head {
                Head::SFace { .. } => logits.iter().sum::<f64>(),
                _ => logits.iter().map(|l| (l - logits[label]).exp()).sum::<f64>().ln(),
            };
        }
        sum / ROWS as f64
    }

    #[test]
    fn every_head_is_its_paper_s_with_its_gradient() {
        // Gentle scales, so that central differences are exact; the last margin reaches ArcFace's line.
        let heads = [
            Head::Softmax,
            Head::CosFace { scale: 4.0, margin: 0.35 },
            Head::ArcFace { scale: 4.0, margin: 0.5 },
            Head::ArcFace { scale: 4.0, margin: 1.6 },
            Head::SFace { scale: 3.0, slope: 5.0, own: 0.8, others: 1.22 },
        ];
        let (x, w, bias) = (drawn(ROWS * WIDTH, 2), drawn(PEOPLE * WIDTH, 3), drawn(PEOPLE, 4));
        let cosines: Vec<f64> = x
            .chunks(WIDTH)
            .flat_map(|row| w.chunks(WIDTH).map(|d| dot(&unit(row), &unit(d))).collect::<Vec<_>>())
            .collect();
        let tensor = |values: &[f64], rows: usize| Tensor::from_slice(values, (rows, WIDTH), &Device::Cpu).unwrap();
        for head in heads {
            let b = Tensor::from_slice(&bias, PEOPLE, &Device::Cpu).unwrap();
            let b = head.has_bias().then_some(&b);
            hold(
                &x,
                (ROWS, WIDTH),
                |x| head.loss(x, &tensor(&w, PEOPLE), b, &LABELS).unwrap(),
                |x| plain(head, x, &w, &bias, &cosines),
            );
            hold(
                &w,
                (PEOPLE, WIDTH),
                |w| head.loss(&tensor(&x, ROWS), w, b, &LABELS).unwrap(),
                |w| plain(head, &x, w, &bias, &cosines),
            );
        }
        let beyond = Head::ARCFACE.loss(&tensor(&x, ROWS), &tensor(&w, PEOPLE), None, &[0, 1, 2, 3, 4, 0]);
        assert!(beyond.unwrap_err().to_string().contains("label 4 of 4 people"));
    }

    #[test]
    fn the_papers_own_scales_stay_finite_where_faces_lie_on_their_directions() {
        let on = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0], (2, 2), &Device::Cpu).unwrap();
        for head in [Head::Softmax, Head::ARCFACE, Head::COSFACE, Head::SFACE] {
            let var = Var::from_tensor(&on).unwrap();
            let loss = head.loss(&var, &on, None, &[0, 1]).unwrap();
            let gradient = loss.backward().unwrap().get(&var).unwrap().to_vec2::<f32>().unwrap();
            assert!(loss.to_scalar::<f32>().unwrap().is_finite() && gradient.concat().iter().all(|g| g.is_finite()));
        }
    }
}
