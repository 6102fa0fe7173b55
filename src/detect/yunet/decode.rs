//! From a cell's outputs to a face.

use super::net::{Answers, OUTPUTS};
use crate::detect::Detection;
use crate::geometry::{BBox, Landmarks};

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// A cell's score: the geometric mean of its two probabilities.
pub(super) fn score(cell: &[f32]) -> f32 {
    (sigmoid(cell[0]) * sigmoid(cell[1])).sqrt()
}

/// The cells of a level with at least `threshold`, in pixels of the network's input. A box that is
/// not finite is none.
pub(super) fn faces(answers: &Answers, stride: usize, threshold: f32) -> Vec<Detection> {
    let stride = stride as f32;
    let mut found = Vec::new();
    for (at, cell) in answers.values.as_chunks::<OUTPUTS>().0.iter().enumerate() {
        let score = score(cell);
        // Written so that a NaN score is none.
        if !matches!(score.partial_cmp(&threshold), Some(std::cmp::Ordering::Greater | std::cmp::Ordering::Equal)) {
            continue;
        }
        let (column, row) = ((at % answers.columns) as f32, (at / answers.columns) as f32);
        let [_, _, dx, dy, w, h, points @ ..] = cell;
        let (x, y) = ((column + dx) * stride, (row + dy) * stride);
        let (width, height) = (w.exp() * stride, h.exp() * stride);
        let bbox = BBox::new(x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0);
        let point = |j: usize| [(points[2 * j] + column) * stride, (points[2 * j + 1] + row) * stride];
        let landmarks = left_first(std::array::from_fn(point));
        found.push(Detection { bbox, score, landmarks, turned: 0 });
    }
    found.retain(Detection::is_finite);
    found
}

/// The network was taught the person's own right and left, and does not always keep to it; kith's
/// landmarks are left and right in the photo.
fn left_first([a, b, nose, c, d]: [[f32; 2]; 5]) -> Landmarks {
    let pair = |a: [f32; 2], b: [f32; 2]| if a[0] <= b[0] { [a, b] } else { [b, a] };
    let ([left_eye, right_eye], [mouth_left, mouth_right]) = (pair(a, b), pair(c, d));
    Landmarks([left_eye, right_eye, nose, mouth_left, mouth_right])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(cells: &[(usize, [f32; OUTPUTS])]) -> Answers {
        let mut values = vec![0.0; 2 * 3 * OUTPUTS];
        values.chunks_mut(OUTPUTS).for_each(|cell| cell[..2].fill(-9.0));
        for (at, cell) in cells {
            values[at * OUTPUTS..][..OUTPUTS].copy_from_slice(cell);
        }
        Answers { columns: 3, values }
    }

    #[test]
    fn a_cell_becomes_a_box_and_five_points() {
        // Probabilities 0.8 and 0.9; row 1, column 2.
        let mut cell = [0.0; OUTPUTS];
        cell[..6].copy_from_slice(&[4f32.ln(), 9f32.ln(), 0.5, 0.25, 2f32.ln(), 3f32.ln()]);
        // Eyes and mouth corners right first.
        cell[6..].copy_from_slice(&[1.0, 0.0, -1.0, 0.0, 0.0, 0.5, 0.75, 1.0, -0.75, 1.0]);
        let found = faces(&answers(&[(5, cell)]), 8, 0.5);
        let [face] = found[..] else { panic!("{found:?}") };
        assert!((face.score - 0.72f32.sqrt()).abs() < 1e-6);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
        let b = face.bbox;
        assert!(near(b.x0, 20.0 - 8.0) && near(b.x1, 20.0 + 8.0) && near(b.y0, 10.0 - 12.0) && near(b.y1, 22.0));
        assert_eq!(face.landmarks.0, [[8.0, 8.0], [24.0, 8.0], [16.0, 12.0], [10.0, 16.0], [22.0, 16.0]]);
        assert!(faces(&answers(&[(5, cell)]), 8, 0.9).is_empty());
    }

    #[test]
    fn boxes_that_are_none_are_dropped() {
        let sure = |at: usize, value: f32| {
            let mut cell = [0.0; OUTPUTS];
            cell[..2].fill(9.0);
            cell[at] = value;
            cell
        };
        for cell in [sure(4, 1e9), sure(2, f32::NAN), sure(7, f32::INFINITY), sure(0, f32::NAN)] {
            assert!(faces(&answers(&[(0, cell)]), 8, 0.5).is_empty(), "{cell:?}");
        }
    }
}
