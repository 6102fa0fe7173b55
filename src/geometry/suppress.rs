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
