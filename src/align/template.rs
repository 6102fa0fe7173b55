//! Where the five landmarks of a face belong in a chip.

use crate::error::ModelError;
use crate::geometry::{Landmarks, Similarity};
use crate::media::{Raster, warp};

/// Named landmark positions in a chip of a given size.
#[derive(Debug, PartialEq)]
pub struct Template {
    /// The name that travels in the model id.
    pub name: &'static str,
    /// Width and height of the chip in pixels.
    pub size: (u32, u32),
    /// Left eye, right eye, nose, left and right mouth corner, as pixels of the chip.
    pub points: [[f64; 2]; 5],
}

impl Template {
    /// The chip in which the landmarks lie on the template's as nearly as a similarity brings them.
    ///
    /// # Errors
    /// [`ModelError::BadEmbedding`] when the landmarks fall on one point.
    pub fn cut(&self, photo: &Raster, landmarks: &Landmarks) -> Result<Raster, ModelError> {
        let to_chip = Similarity::fit(&landmarks.to_f64(), &self.points)
            .ok_or_else(|| ModelError::BadEmbedding { reason: "the face's landmarks fall on one point".to_string() })?;
        let (width, height) = self.size;
        Ok(warp(photo, to_chip.inverse().rows(), width, height))
    }
}

/// dlib's 150x150 chip with padding 0.25: where MTCNN's landmarks fall in chips that dlib cut from its
/// own landmarks, in the median of 25 faces measured side by side.
pub static DLIB_150: Template = Template {
    name: "five-point-150",
    size: (150, 150),
    points: [[46.8, 45.3], [101.3, 46.3], [73.4, 79.2], [49.0, 102.5], [99.2, 102.9]],
};

/// A tight 48x48 chip, from above the brows to below the lips: [`DLIB_150`] cut to the square of 105 pixels
/// from (21.5, 24) and reduced. Hair, ears and background, which subspaces would learn, stay out.
pub static CLASSIC_48: Template = Template {
    name: "five-point-48-grey",
    size: (48, 48),
    points: [[11.29, 9.47], [36.21, 9.92], [23.45, 24.96], [12.3, 35.61], [35.25, 35.8]],
};

/// The 112x112 chip of ArcFace (J. Deng et al., CVPR 2019) and of most embedders since.
pub static ARCFACE_112: Template = Template { name: "five-point-112", size: (112, 112), points: ARCFACE_POINTS };

const ARCFACE_SIDE: f64 = 112.0;
const ARCFACE_POINTS: [[f64; 2]; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// [`ARCFACE_112`] for chips of other sizes: as wide as they are, and in their middle from top to bottom.
const fn arcface(name: &'static str, width: u32, height: u32) -> Template {
    let factor = width as f64 / ARCFACE_SIDE;
    let down = (height as f64 - width as f64) / 2.0;
    let mut points = ARCFACE_POINTS;
    let mut i = 0;
    while i < points.len() {
        points[i] = [points[i][0] * factor, points[i][1] * factor + down];
        i += 1;
    }
    Template { name, size: (width, height), points }
}

static OTHER_SIZES: [Template; 6] = [
    arcface("five-point-96", 96, 96),
    arcface("five-point-116x140", 116, 140),
    arcface("five-point-160", 160, 160),
    arcface("five-point-165", 165, 165),
    arcface("five-point-220", 220, 220),
    arcface("five-point-224", 224, 224),
];

/// ArcFace's template for chips of that width and height; none where there is none of that size.
pub(crate) fn of_size(size: (u32, u32)) -> Option<&'static Template> {
    std::iter::once(&ARCFACE_112).chain(&OTHER_SIZES).find(|t| t.size == size)
}

#[cfg(test)]
mod tests {
    use super::super::Alignment;
    use super::*;
    use crate::geometry::{BBox, Landmarks};
    use crate::media::Raster;

    #[test]
    fn landmarks_land_on_the_template() {
        // A face turned by 30 degrees at 1.2 times the chip's scale: each landmark is marked in the photo
        // and must show up at the template's place.
        let (turn, scale, shift) = (0.52f64, 1.2, (150.0, 80.0));
        let place = |p: [f64; 2]| {
            [
                (scale * (turn.cos() * p[0] - turn.sin() * p[1]) + shift.0) as f32,
                (scale * (turn.sin() * p[0] + turn.cos() * p[1]) + shift.1) as f32,
            ]
        };
        let landmarks = Landmarks(DLIB_150.points.map(place));
        let mut photo = Raster::new(400, 400, [0, 0, 0]);
        for [x, y] in landmarks.0 {
            for (dx, dy) in (-4i32..=4).flat_map(|dx| (-4i32..=4).map(move |dy| (dx, dy))) {
                let at = (((y as i32 + dy) * 400 + x as i32 + dx) * 3) as usize;
                photo.data_mut()[at..at + 3].fill(255);
            }
        }
        let nothing = BBox::new(0.0, 0.0, 0.0, 0.0);
        let chip = Alignment::FivePoint(&DLIB_150).cut(&photo, &nothing, &landmarks).unwrap();
        assert_eq!((chip.width(), chip.height()), (150, 150));
        for [x, y] in DLIB_150.points {
            assert!(chip.pixel(x.round() as u32, y.round() as u32)[0] > 200, "at {x}, {y}");
        }
        assert_eq!(chip.pixel(20, 130), [0, 0, 0]);
    }

    #[test]
    fn landmarks_on_one_point_are_refused() {
        let photo = Raster::new(50, 50, [9, 9, 9]);
        let bbox = BBox::new(0.0, 0.0, 50.0, 50.0);
        let collapsed = Landmarks([[5.0, 5.0]; 5]);
        assert!(Alignment::FivePoint(&DLIB_150).cut(&photo, &bbox, &collapsed).is_err());
    }
}
