//! Greedy non-maximum suppression.

use super::boxes::{BBox, Overlap};
use super::near::NearBoxes;

/// Greedy non-maximum suppression: indices of the boxes kept, highest score first. A box goes when it
/// overlaps a kept one by more than `threshold`. Equal scores keep their order.
///
/// Each box is compared with the kept ones near it only, so that the cost grows with the number of boxes and not with
/// its square.
///
/// # Panics
/// When `boxes` and `scores` differ in length.
pub fn non_maximum_suppression(boxes: &[BBox], scores: &[f32], threshold: f32, measure: Overlap) -> Vec<usize> {
    assert_eq!(boxes.len(), scores.len(), "one score a box");
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut near = NearBoxes::new(measure, threshold);
    order.retain(|&i| {
        let gone = near.any(&boxes[i], |kept| boxes[kept].overlap(&boxes[i], measure) > threshold);
        if !gone {
            near.insert(i, &boxes[i]);
        }
        !gone
    });
    order
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn suppression_keeps_the_best_of_each_cluster() {
        let boxes = [
            BBox::new(0.0, 0.0, 10.0, 10.0),
            BBox::new(1.0, 0.0, 11.0, 10.0),
            BBox::new(50.0, 50.0, 60.0, 60.0),
            BBox::new(0.0, 1.0, 10.0, 11.0),
        ];
        let kept = non_maximum_suppression(&boxes, &[0.8, 0.9, 0.5, 0.7], 0.5, Overlap::Union);
        assert_eq!(kept, vec![1, 2]);
        assert!(non_maximum_suppression(&[], &[], 0.5, Overlap::Union).is_empty());
    }

    #[test]
    fn a_nan_score_does_not_panic() {
        let boxes = [BBox::new(0.0, 0.0, 1.0, 1.0); 2];
        let kept = non_maximum_suppression(&boxes, &[f32::NAN, 0.5], 0.5, Overlap::Union);
        assert_eq!(kept.len(), 1);
    }

    /// The definition: every box against every kept one.
    fn by_all_pairs(boxes: &[BBox], scores: &[f32], threshold: f32, measure: Overlap) -> Vec<usize> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut gone = vec![false; boxes.len()];
        let mut kept = Vec::new();
        for (rank, &i) in order.iter().enumerate() {
            if gone[i] {
                continue;
            }
            kept.push(i);
            for &j in &order[rank + 1..] {
                gone[j] = gone[j] || boxes[i].overlap(&boxes[j], measure) > threshold;
            }
        }
        kept
    }

    /// Boxes of one kind, by a seed: what detectors give, and what none of them should.
    fn boxes_of(kind: usize, rng: &mut ChaCha8Rng) -> BBox {
        let mut within = |from: f32, to: f32| rng.random_range(from..to);
        let special = [0.0, -0.0, 1.0, 16.0, -16.0, 1e-30, -1e-30, 1e-7, 15.999_999, f32::EPSILON];
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e30, 1.1e9, -1.1e9, 0.0, 5.0];
        match kind {
            // Cells of one level: many with the very same edges.
            0 => {
                let (x, y) = (within(0.0, 40.0).floor() * 3.0, within(0.0, 40.0).floor() * 3.0);
                BBox::new(x, y, x + 19.0, y + 19.0)
            }
            // Squares of all sizes, crowded.
            1 => {
                let (x, y, side) = (within(-20.0, 300.0), within(-20.0, 300.0), within(0.0, 8.0).exp2());
                BBox::new(x, y, x + side, y + side)
            }
            // Any rectangle, slivers and boxes turned inside out among them.
            2 => {
                let (x, y) = (within(-50.0, 50.0), within(-50.0, 50.0));
                BBox::new(x, y, x + within(-10.0, 60.0), y + within(-1.0, 4.0))
            }
            // Edges at the bounds of cells, and so thin that products underflow.
            3 => {
                let mut edge =
                    || special[within(0.0, 10.0) as usize] * if within(0.0, 1.0) < 0.5 { 1.0 } else { 1e-22 };
                BBox::new(edge(), edge(), edge(), edge())
            }
            // Edges that are no edges.
            4 => {
                let mut edge = || wild[within(0.0, 10.0) as usize];
                BBox::new(edge(), edge(), edge(), edge())
            }
            // Whole pixels that just touch, or do but for one pixel.
            _ => {
                let (x, y) = (within(0.0, 12.0).floor() * 8.0, within(0.0, 12.0).floor() * 8.0);
                let side = [6.0, 7.0, 8.0, 9.0, 16.0][within(0.0, 5.0) as usize];
                BBox::new(x, y, x + side, y + side)
            }
        }
    }

    #[test]
    fn suppression_keeps_what_comparing_all_pairs_keeps() {
        for seed in 0..400u64 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            // One kind, or all of them mixed.
            let only = rng.random_range(0..9usize);
            let count = rng.random_range(0..300);
            let boxes: Vec<BBox> = (0..count)
                .map(|_| {
                    let kind = if only < 6 { only } else { rng.random_range(0..6) };
                    boxes_of(kind, &mut rng)
                })
                .collect();
            // Few different scores, so that many are equal.
            let scores: Vec<f32> = (0..count).map(|_| [0.1, 0.5, 0.9, 1.0, f32::NAN][rng.random_range(0..5)]).collect();
            for measure in [Overlap::Union, Overlap::SmallerInPixels] {
                for threshold in [0.0, 0.3, 0.5, 0.7, 1.0, -0.1, f32::NAN, 1e-6] {
                    let (found, wanted) = (
                        non_maximum_suppression(&boxes, &scores, threshold, measure),
                        by_all_pairs(&boxes, &scores, threshold, measure),
                    );
                    assert_eq!(found, wanted, "seed {seed}, {measure:?} above {threshold}");
                }
            }
        }
    }

    #[test]
    fn a_box_of_a_crowd_is_compared_with_those_near_it_alone() {
        let crowd = |faces: usize| -> Vec<BBox> {
            let at = |i: usize| ((i % 100) as f32 * 30.0, (i / 100) as f32 * 30.0);
            (0..faces).map(at).map(|(x, y)| BBox::new(x, y, x + 24.0, y + 24.0)).collect()
        };
        let looks = |boxes: &[BBox], measure: Overlap| {
            let mut near = NearBoxes::new(measure, 0.7);
            let mut looks = 0;
            for (i, b) in boxes.iter().enumerate() {
                near.any(b, |_| {
                    looks += 1;
                    false
                });
                near.insert(i, b);
            }
            looks
        };
        for measure in [Overlap::Union, Overlap::SmallerInPixels] {
            let (some, more) = (looks(&crowd(1500), measure), looks(&crowd(6000), measure));
            assert!(more <= 5 * some, "{measure:?}: {some} comparisons for 1,500 boxes, {more} for 6,000");
        }
    }
}
