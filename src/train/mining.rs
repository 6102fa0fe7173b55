//! Which triplets of a batch are learnt from. Pure numbers over the batch's distances.
//!
//! | rule | for each | negative |
//! | --- | --- | --- |
//! | [`Mining::SemiHard`] | ordered pair of one person's faces | the nearest of those further than the positive and less than the margin further (Schroff et al. 2015, section 3.2) |
//! | [`Mining::BatchHard`] | face, with its furthest positive | the nearest (A. Hermans, L. Beyer, B. Leibe, "In defense of the triplet loss", arXiv 1703.07737, equation 5) |
//!
//! Of equal distances the first face of the batch counts.

use serde::{Deserialize, Serialize};

/// Places of three faces in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Triplet {
    /// The face that is held against both others.
    pub anchor: usize,
    /// Another face of the same person.
    pub positive: usize,
    /// A face of another person.
    pub negative: usize,
}

/// How negatives are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mining {
    /// The paper's: negatives further than the positive, but inside the margin.
    #[default]
    SemiHard,
    /// The furthest positive and the nearest negative of each face.
    BatchHard,
}

/// What was chosen from a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Mined {
    /// The triplets.
    pub triplets: Vec<Triplet>,
    /// Those of them whose loss is above zero.
    pub active: usize,
    /// Triplets that the rule would choose at most: ordered genuine pairs, or faces with a positive.
    pub candidates: usize,
}

impl Mined {
    /// Share of the candidates that give a loss above zero; 0 without candidates.
    pub fn active_share(&self) -> f64 {
        if self.candidates == 0 { 0.0 } else { self.active as f64 / self.candidates as f64 }
    }
}

/// Squared Euclidean distances between all rows of `dimension` values, row by row.
pub fn squared_distances(rows: &[f32], dimension: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = rows.chunks_exact(dimension.max(1)).collect();
    let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
    rows.iter().flat_map(|a| rows.iter().map(move |b| square(a, b))).collect()
}

/// Chooses triplets from the squared distances of a batch (`labels.len()` rows of as many) of people `labels`.
pub fn mine(distances: &[f32], labels: &[usize], rule: Mining, margin: f32) -> Mined {
    let n = labels.len();
    let mut mined = Mined { triplets: Vec::new(), active: 0, candidates: 0 };
    for anchor in 0..n {
        let row = &distances[anchor * n..][..n];
        let others = || (0..n).filter(|&i| labels[i] != labels[anchor]);
        let positives = || (0..n).filter(|&i| labels[i] == labels[anchor] && i != anchor);
        match rule {
            Mining::SemiHard => {
                for positive in positives() {
                    mined.candidates += 1;
                    let inside = |&i: &usize| row[i] > row[positive] && row[i] < row[positive] + margin;
                    if let Some(negative) = others().filter(inside).min_by(|&a, &b| row[a].total_cmp(&row[b])) {
                        mined.triplets.push(Triplet { anchor, positive, negative });
                        mined.active += 1;
                    }
                }
            }
            Mining::BatchHard => {
                // The last of equal maxima would be taken, hence the order turned round.
                let furthest = positives().rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
                let nearest = others().min_by(|&a, &b| row[a].total_cmp(&row[b]));
                let (Some(positive), Some(negative)) = (furthest, nearest) else { continue };
                mined.candidates += 1;
                mined.active += usize::from(row[positive] - row[negative] + margin > 0.0);
                mined.triplets.push(Triplet { anchor, positive, negative });
            }
        }
    }
    mined
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// All triplets of the batch.
    fn all(labels: &[usize]) -> Vec<Triplet> {
        let n = labels.len();
        let mut all = Vec::new();
        for anchor in 0..n {
            for positive in (0..n).filter(|&p| p != anchor && labels[p] == labels[anchor]) {
                all.extend((0..n).filter(|&i| labels[i] != labels[anchor]).map(|negative| Triplet {
                    anchor,
                    positive,
                    negative,
                }));
            }
        }
        all
    }

    #[test]
    fn both_rules_choose_what_looking_at_every_triplet_chooses() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (mut some, mut none) = (0, 0);
        for round in 0..60 {
            let n = rng.random_range(1..14usize);
            let labels: Vec<usize> = (0..n).map(|_| rng.random_range(0..4)).collect();
            let coarse = round % 2 == 0;
            let rows: Vec<f32> = (0..n * 3)
                .map(|_| {
                    let v = rng.random_range(-0.4f32..0.4);
                    if coarse { (v * 5.0).round() / 5.0 } else { v }
                })
                .collect();
            let d = squared_distances(&rows, 3);
            let at = |i: usize, j: usize| d[i * n + j];
            let margin = 0.2;
            let semi = mine(&d, &labels, Mining::SemiHard, margin);
            let mut wanted: Vec<Triplet> = Vec::new();
            let inside = |t: &Triplet| {
                let gap = (at(t.anchor, t.positive), at(t.anchor, t.negative));
                gap.1 > gap.0 && gap.1 < gap.0 + margin
            };
            for t in all(&labels).into_iter().filter(inside) {
                match wanted.iter_mut().find(|w| (w.anchor, w.positive) == (t.anchor, t.positive)) {
                    Some(w) if at(t.anchor, t.negative) < at(w.anchor, w.negative) => *w = t,
                    Some(_) => {}
                    None => wanted.push(t),
                }
            }
            assert_eq!(semi.triplets, wanted, "round {round}");
            let pairs: std::collections::BTreeSet<_> = all(&labels).iter().map(|t| (t.anchor, t.positive)).collect();
            assert!(semi.active == wanted.len() && semi.candidates >= pairs.len());
            some += usize::from(!wanted.is_empty());
            none += usize::from(wanted.is_empty());

            let hard = mine(&d, &labels, Mining::BatchHard, margin);
            let mut anchors = 0;
            for anchor in 0..n {
                let of: Vec<Triplet> = all(&labels).into_iter().filter(|t| t.anchor == anchor).collect();
                let chosen = hard.triplets.iter().find(|t| t.anchor == anchor);
                assert_eq!(chosen.is_none(), of.is_empty());
                let Some(chosen) = chosen else { continue };
                anchors += 1;
                let loss = |t: &Triplet| at(t.anchor, t.positive) - at(t.anchor, t.negative);
                let worst = of.iter().map(loss).fold(f32::MIN, f32::max);
                assert_eq!(loss(chosen), worst);
                let first = of.iter().find(|t| loss(t) == worst).unwrap();
                assert_eq!(at(anchor, first.positive), at(anchor, chosen.positive));
            }
            assert_eq!((hard.candidates, hard.triplets.len()), (anchors, anchors));
            let active = hard.triplets.iter().filter(|t| at(t.anchor, t.positive) + margin > at(t.anchor, t.negative));
            assert_eq!(hard.active, active.count());
        }
        assert!(some > 10 && none > 3, "{some} batches with triplets, {none} without");
    }

    #[test]
    fn of_equal_distances_the_first_counts() {
        let rows = [0.0f32, 0.1, -0.1, 0.3, -0.3];
        let labels = [0, 0, 0, 1, 2];
        let d = squared_distances(&rows, 1);
        let hard = mine(&d, &labels, Mining::BatchHard, 0.2);
        assert_eq!(hard.triplets[0], Triplet { anchor: 0, positive: 1, negative: 3 });
        assert_eq!(mine(&d, &[0, 1, 2, 3, 4], Mining::BatchHard, 0.2).active_share(), 0.0);
    }
}
