//! Samples of a coded picture, whichever decoder they come from.

use std::borrow::Cow;

/// Planes of samples, luma first.
pub(super) trait Rows {
    /// A whole row of a plane, in its own resolution.
    fn row(&self, plane: usize, y: usize) -> Cow<'_, [u16]>;
}

/// A picture's samples, and what they mean.
pub(super) struct Picture {
    /// Width and height that are shown, within the planes.
    pub size: (u32, u32),
    /// Where the picture begins in the first plane.
    pub left: usize,
    pub top: usize,
    /// Bits of luma and of chroma.
    pub depths: [u8; 2],
    /// Halvings of chroma across and down; none where there is no chroma.
    pub subsampling: Option<[u8; 2]>,
    /// Whether halved chroma is interpolated (its samples lie between those of luma) or taken from the nearest.
    pub smooth: bool,
    /// Matrix of ITU-T H.273.
    pub matrix: u16,
    /// Whether luma goes from 0 to the largest value.
    pub full_range: bool,
    pub rows: Box<dyn Rows>,
}

impl Picture {
    /// Luma of a row, from the first pixel shown.
    pub(super) fn luma(&self, y: u32) -> Cow<'_, [u16]> {
        match self.rows.row(0, self.top + y as usize) {
            Cow::Borrowed(row) => Cow::Borrowed(&row[self.left..]),
            Cow::Owned(mut row) => {
                row.drain(..self.left);
                Cow::Owned(row)
            }
        }
    }

    /// Both chroma rows of a row, a value for each pixel shown; none where there is no chroma.
    pub(super) fn chroma(&self, y: u32) -> Option<[Vec<f32>; 2]> {
        let [across, down] = self.subsampling?;
        let (x, y) = (self.left, self.top + y as usize);
        let last = (self.top + self.size.1 as usize - 1) >> down;
        let near = y >> down;
        let beside = if self.smooth && down > 0 { neighbour(y, last) } else { near };
        let plane = |plane: usize| -> Vec<f32> {
            let row = self.rows.row(plane, near);
            let mixed: Vec<f32> = match beside == near {
                true => row.iter().map(|v| f32::from(*v)).collect(),
                false => mix(row.iter(), self.rows.row(plane, beside).iter()),
            };
            let wide = x..x + self.size.0 as usize;
            match across {
                0 => mixed[wide].to_vec(),
                _ if self.smooth => {
                    let last = (wide.end - 1) >> 1;
                    wide.map(|x| 0.75 * mixed[x >> 1] + 0.25 * mixed[neighbour(x, last)]).collect()
                }
                _ => wide.map(|x| mixed[x >> 1]).collect(),
            }
        };
        Some([plane(1), plane(2)])
    }
}

fn mix<'a>(near: impl Iterator<Item = &'a u16>, beside: impl Iterator<Item = &'a u16>) -> Vec<f32> {
    near.zip(beside).map(|(a, b)| 0.75 * f32::from(*a) + 0.25 * f32::from(*b)).collect()
}

/// The second nearest of halved samples that lie in the middle of two whole ones each.
fn neighbour(at: usize, last: usize) -> usize {
    if at % 2 == 1 { (at / 2 + 1).min(last) } else { (at / 2).saturating_sub(1) }
}
