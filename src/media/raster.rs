//! A picture in memory: 8-bit RGB, row by row.

use std::fmt;

use crate::error::PhotoError;

/// An upright 8-bit RGB picture of at least one pixel, three bytes a pixel, rows from the top.
#[derive(Clone, PartialEq, Eq)]
pub struct Raster {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Raster {
    /// A picture of one colour. Sizes of zero become one.
    pub fn new(width: u32, height: u32, colour: [u8; 3]) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        Self { width, height, data: colour.repeat(width as usize * height as usize) }
    }

    /// Takes over `width * height * 3` bytes.
    ///
    /// # Errors
    /// [`PhotoError::WrongBuffer`] for another length, or for a picture without pixels.
    pub fn from_rgb(width: u32, height: u32, data: Vec<u8>) -> Result<Self, PhotoError> {
        let expected = width as usize * height as usize * 3;
        if expected == 0 || data.len() != expected {
            return Err(PhotoError::WrongBuffer { width, height, expected, received: data.len() });
        }
        Ok(Self { width, height, data })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All bytes, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The bytes of row `y`.
    ///
    /// # Panics
    /// When `y` is outside.
    pub fn row(&self, y: u32) -> &[u8] {
        let length = self.width as usize * 3;
        &self.data[y as usize * length..][..length]
    }

    /// The colour at column `x` of row `y`.
    ///
    /// # Panics
    /// When the pixel is outside.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = x as usize * 3;
        let row = self.row(y);
        [row[at], row[at + 1], row[at + 2]]
    }

    /// Mixes `colour` into a pixel: `share` 0 leaves it, 1 replaces it. Pixels outside are let be.
    pub(crate) fn blend(&mut self, x: i64, y: i64, colour: [u8; 3], share: f32) {
        if x < 0 || y < 0 || x >= i64::from(self.width) || y >= i64::from(self.height) {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * 3;
        for (value, wanted) in self.data[at..at + 3].iter_mut().zip(colour) {
            let mixed = f32::from(*value) + (f32::from(wanted) - f32::from(*value)) * share.clamp(0.0, 1.0);
            *value = mixed.round() as u8;
        }
    }

    /// Copies `other` so that its top left pixel falls on `(x, y)`; what falls outside is cut off.
    pub fn blit(&mut self, other: &Raster, x: i64, y: i64) {
        let first = (-x).clamp(0, i64::from(other.width)) as usize;
        let room = (i64::from(self.width) - x).clamp(0, i64::from(other.width)) as usize;
        if first >= room {
            return;
        }
        for row in 0..other.height {
            let target = y + i64::from(row);
            if target < 0 || target >= i64::from(self.height) {
                continue;
            }
            let from = &other.row(row)[first * 3..room * 3];
            let at = (target as usize * self.width as usize + (x + first as i64) as usize) * 3;
            self.data[at..at + from.len()].copy_from_slice(from);
        }
    }

    /// The picture turned clockwise by that many quarters.
    pub fn turned(&self, quarters: u32) -> Raster {
        let (width, height) = match quarters % 2 {
            0 => (self.width, self.height),
            _ => (self.height, self.width),
        };
        let mut turned = Raster::new(width, height, [0; 3]);
        let rows = turned.data.chunks_exact_mut(width as usize * 3).zip(0u32..);
        for (pixel, x, y) in rows.flat_map(|(row, y)| row.chunks_exact_mut(3).zip(0u32..).map(move |(p, x)| (p, x, y)))
        {
            let from = match quarters % 4 {
                1 => self.pixel(y, width - 1 - x),
                2 => self.pixel(width - 1 - x, height - 1 - y),
                3 => self.pixel(height - 1 - y, x),
                _ => self.pixel(x, y),
            };
            pixel.copy_from_slice(&from);
        }
        turned
    }

    /// The mirror image.
    pub fn mirrored(&self) -> Raster {
        let mut mirrored = self.clone();
        let row = self.width as usize * 3;
        for (to, from) in mirrored.data.chunks_exact_mut(row).zip(self.data.chunks_exact(row)) {
            for (t, f) in to.chunks_exact_mut(3).zip(from.chunks_exact(3).rev()) {
                t.copy_from_slice(f);
            }
        }
        mirrored
    }
}

/// A photo is personal data: no debug print of it shows its pixels.
impl fmt::Debug for Raster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raster({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_buffer_is_refused() {
        assert!(Raster::from_rgb(2, 2, vec![0; 12]).is_ok());
        assert!(Raster::from_rgb(2, 2, vec![0; 11]).is_err());
        assert!(Raster::from_rgb(0, 2, vec![]).is_err());
    }

    #[test]
    fn turning_moves_every_pixel_clockwise() {
        let data: Vec<u8> = (0..6u8).flat_map(|v| [v; 3]).collect();
        // 0 1 2 over 3 4 5.
        let picture = Raster::from_rgb(3, 2, data).unwrap();
        let read = |r: Raster| r.data().chunks(3).map(|p| p[0]).collect::<Vec<_>>();
        let quarter = picture.turned(1);
        assert_eq!((quarter.width(), quarter.height()), (2, 3));
        assert_eq!(read(quarter), [3, 0, 4, 1, 5, 2]);
        assert_eq!(read(picture.turned(2)), [5, 4, 3, 2, 1, 0]);
        assert_eq!(read(picture.turned(3)), [2, 5, 1, 4, 0, 3]);
        assert_eq!(picture.turned(4), picture);
    }

    #[test]
    fn blit_cuts_off_what_falls_outside() {
        let mut small = Raster::new(2, 2, [0, 0, 0]);
        small.data_mut().copy_from_slice(&[1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        let mut canvas = Raster::new(3, 3, [9, 9, 9]);
        canvas.blit(&small, -1, -1);
        canvas.blit(&small, 2, 2);
        canvas.blit(&small, 50, 0);
        canvas.blit(&small, -50, 0);
        assert_eq!(canvas.pixel(0, 0), [4, 4, 4]);
        assert_eq!(canvas.pixel(2, 2), [1, 1, 1]);
        assert_eq!(canvas.pixel(1, 1), [9, 9, 9]);
        assert_eq!(small.mirrored().data(), [2, 2, 2, 1, 1, 1, 4, 4, 4, 3, 3, 3]);
    }
}
