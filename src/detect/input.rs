//! What detectors of one pass over the whole photo share: a copy of the photo as a network's input, programs for the sizes
//! seen last, and the way back to the photo's own pixels.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Detection;
use crate::geometry::{BBox, Landmarks};
use crate::media::Raster;
use crate::nn::Program;

/// Sizes of input whose programs are kept; cameras and folders have few.
const KEPT_PROGRAMS: usize = 6;

/// Rows and columns of an input, and the program for it.
type BySize = ((usize, usize), Arc<Program>);

/// The programs kept, the one used last first.
#[derive(Default)]
pub(super) struct KeptPrograms(Mutex<VecDeque<BySize>>);

impl KeptPrograms {
    /// The program for that many rows and columns: a kept one, else a new one, which the one used longest ago makes way
    /// for.
    pub(super) fn of(&self, size: (usize, usize), new: impl FnOnce(usize, usize) -> Program) -> Arc<Program> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(s, _)| *s == size);
        let entry = at.and_then(|at| kept.remove(at)).unwrap_or_else(|| (size, Arc::new(new(size.0, size.1))));
        let program = entry.1.clone();
        kept.push_front(entry);
        kept.truncate(KEPT_PROGRAMS);
        program
    }
}

/// Columns and rows of a network's input: the picture's, filled up at the end to multiples of `multiple`.
pub(super) fn padded(picture: &Raster, multiple: usize) -> (usize, usize) {
    let fill = |length: u32| (length as usize).next_multiple_of(multiple);
    (fill(picture.width()), fill(picture.height()))
}

/// A plane of each colour, 0 to 255, each `plane` values in rows of `columns`; `order` says which of red, green and blue
/// a plane holds. What the picture does not fill is left as it is.
pub(super) fn planar(picture: &Raster, order: [usize; 3], plane: usize, columns: usize, values: &mut [f32]) {
    for y in 0..picture.height() {
        for (x, pixel) in picture.row(y).as_chunks::<3>().0.iter().enumerate() {
            let at = y as usize * columns + x;
            for (i, colour) in order.into_iter().enumerate() {
                values[i * plane + at] = f32::from(pixel[colour]);
            }
        }
    }
}

/// Red, green and blue of row `y`, 0 to 255, filled up with zeros.
pub(super) fn interleaved(picture: &Raster, y: usize, out: &mut [f32]) {
    let row = if y < picture.height() as usize { picture.row(y as u32) } else { &[] };
    let (filled, rest) = out.split_at_mut(row.len());
    filled.iter_mut().zip(row).for_each(|(to, &v)| *to = f32::from(v));
    rest.fill(0.0);
}

impl Detection {
    /// The same face in a photo `across` times as wide and `down` times as high.
    pub(super) fn stretched(self, across: f32, down: f32) -> Self {
        let b = self.bbox;
        let bbox = BBox::new(b.x0 * across, b.y0 * down, b.x1 * across, b.y1 * down);
        Self { bbox, landmarks: Landmarks(self.landmarks.0.map(|[x, y]| [x * across, y * down])), ..self }
    }

    /// Whether box and landmarks are numbers.
    pub(super) fn is_finite(&self) -> bool {
        let b = self.bbox;
        [b.x0, b.y0, b.x1, b.y1].iter().chain(self.landmarks.0.as_flattened()).all(|v| v.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_filled_up_and_its_colours_come_in_the_order_asked_for() {
        let mut picture = Raster::new(3, 2, [1, 2, 3]);
        picture.blit(&Raster::new(1, 1, [7, 8, 9]), 2, 1);
        assert_eq!(padded(&picture, 4), (4, 4));
        let mut planes = vec![0.0; 3 * 16];
        planar(&picture, [2, 1, 0], 16, 4, &mut planes);
        assert_eq!(planes[..8], [3.0, 3.0, 3.0, 0.0, 3.0, 3.0, 9.0, 0.0]);
        assert_eq!(planes[32..40], [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 7.0, 0.0]);
        let mut row = [5.0; 12];
        interleaved(&picture, 1, &mut row);
        assert_eq!(row, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 0.0, 0.0, 0.0]);
        interleaved(&picture, 2, &mut row);
        assert_eq!(row, [0.0; 12]);
    }
}
