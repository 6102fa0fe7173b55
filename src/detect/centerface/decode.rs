//! From a cell's outputs to a face.

use super::net::{OUTPUTS, STRIDE};
use crate::detect::Detection;
use crate::geometry::{BBox, Landmarks};

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The cells, in rows of `columns`, whose heat is above `threshold`, in pixels of the network's input. A box whose
/// numbers are not finite is none.
///
/// A cell says how far below and right of its middle the face's centre is, in cells; the logarithms of the box's height
/// and width, in cells; and each landmark from the box's upper left corner on, in heights and widths of the box.
/// Everything comes vertical first. Landmarks are left and right in the photo.
pub(super) fn faces(answers: &[f32], columns: usize, threshold: f32) -> Vec<Detection> {
    let stride = STRIDE as f32;
    let mut found = Vec::new();
    for (at, cell) in answers.as_chunks::<OUTPUTS>().0.iter().enumerate() {
        let &[heat, log_height, log_width, down, right, ref points @ ..] = cell;
        let score = sigmoid(heat);
        // Written so that a score that is not a number is none.
        if score.partial_cmp(&threshold) != Some(std::cmp::Ordering::Greater) {
            continue;
        }
        let (column, row) = ((at % columns) as f32, (at / columns) as f32);
        let (height, width) = (log_height.exp() * stride, log_width.exp() * stride);
        let (x0, y0) = ((column + right + 0.5) * stride - width / 2.0, (row + down + 0.5) * stride - height / 2.0);
        let point = |j: usize| [x0 + points[2 * j + 1] * width, y0 + points[2 * j] * height];
        found.push(Detection {
            bbox: BBox::new(x0, y0, x0 + width, y0 + height),
            score,
            landmarks: Landmarks(std::array::from_fn(point)),
            turned: 0,
        });
    }
    found.retain(Detection::is_finite);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(cells: &[(usize, [f32; OUTPUTS])]) -> Vec<f32> {
        let mut values = vec![0.0; 2 * 3 * OUTPUTS];
        values.chunks_mut(OUTPUTS).for_each(|cell| cell[0] = -9.0);
        for (at, cell) in cells {
            values[at * OUTPUTS..][..OUTPUTS].copy_from_slice(cell);
        }
        values
    }

    #[test]
    fn a_cell_becomes_a_box_and_five_points() {
        // Heat 0.8; row 1, column 2; twelve pixels high and eight wide.
        let mut cell = [0.0; OUTPUTS];
        cell[..5].copy_from_slice(&[4f32.ln(), 3f32.ln(), 2f32.ln(), 0.25, -0.5]);
        cell[5..].copy_from_slice(&[0.25, 0.0, 0.25, 1.0, 0.5, 0.5, 0.75, 0.25, 0.75, 0.75]);
        let found = faces(&answers(&[(5, cell)]), 3, 0.5);
        let [face] = found[..] else { panic!("{found:?}") };
        assert!((face.score - 0.8).abs() < 1e-6);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
        let b = face.bbox;
        assert!(near(b.x0, 8.0 - 4.0) && near(b.x1, 12.0) && near(b.y0, 7.0 - 6.0) && near(b.y1, 13.0), "{b:?}");
        let wanted = [[4.0, 4.0], [12.0, 4.0], [8.0, 7.0], [6.0, 10.0], [10.0, 10.0]];
        for (point, wanted) in face.landmarks.0.iter().zip(wanted) {
            assert!(near(point[0], wanted[0]) && near(point[1], wanted[1]), "{face:?}");
        }
        assert!(faces(&answers(&[(5, cell)]), 3, 0.81).is_empty());
    }

    #[test]
    fn boxes_that_are_none_are_dropped() {
        let sure = |at: usize, value: f32| {
            let mut cell = [0.0; OUTPUTS];
            cell[0] = 9.0;
            cell[at] = value;
            cell
        };
        assert_eq!(faces(&answers(&[(0, sure(1, 1.0))]), 3, 0.5).len(), 1);
        for cell in [sure(2, 1e9), sure(3, f32::NAN), sure(9, f32::INFINITY), sure(0, f32::NAN)] {
            assert!(faces(&answers(&[(0, cell)]), 3, 0.5).is_empty(), "{cell:?}");
        }
    }
}
