//! facenet-pytorch's crop: the detector's box with a margin, resized to a square.
//!
//! Where the box reaches beyond the photo, facenet-pytorch clamps it and stretches what is left, so that the same face
//! has another shape on its chip when the photo is cut. Here the rest of the box is black, as on every other chip.

use crate::error::ModelError;
use crate::geometry::BBox;
use crate::media::{Raster, resize_triangle};

/// Cuts `bbox`, grown so that `margin` of the chip's `size` pixels lie outside it (half on each
/// side), black beyond the photo, and resizes it to `size` x `size` with a triangle filter that widens
/// with the reduction, as Pillow's bilinear resize does.
///
/// # Errors
/// [`ModelError::InvalidOption`] for a margin that leaves no face, [`ModelError::BadEmbedding`] when
/// no pixel of the photo is inside the box.
pub fn box_crop(photo: &Raster, bbox: &BBox, size: u32, margin: u32) -> Result<Raster, ModelError> {
    if margin >= size {
        return Err(ModelError::InvalidOption {
            option: "margin",
            received: margin.to_string(),
            expected: "less than the chip's size",
        });
    }
    let share = f64::from(margin) / f64::from(size - margin);
    let grown = |length: f32| share * f64::from(length) / 2.0;
    let (across, down) = (grown(bbox.width()), grown(bbox.height()));
    // However far the box reaches, no more than the photo's own length is filled up on each side.
    let edge = |edge: f64, length: u32| {
        let length = i64::from(length);
        (edge.floor() as i64).clamp(-length, 2 * length)
    };
    let (x0, x1) = (edge(f64::from(bbox.x0) - across, photo.width()), edge(f64::from(bbox.x1) + across, photo.width()));
    let (y0, y1) = (edge(f64::from(bbox.y0) - down, photo.height()), edge(f64::from(bbox.y1) + down, photo.height()));
    let holds = |from: i64, to: i64, length: u32| from.max(0) < to.min(i64::from(length));
    if !holds(x0, x1, photo.width()) || !holds(y0, y1, photo.height()) {
        return Err(ModelError::BadEmbedding { reason: "the face's box holds no pixel of the photo".to_string() });
    }
    // The crop is copied out first, so that the filter sees nothing beyond its edges.
    let mut crop = Raster::new((x1 - x0) as u32, (y1 - y0) as u32, [0; 3]);
    crop.blit(photo, -x0, -y0);
    Ok(resize_triangle(&crop, size, size))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::media::Photo;

    #[test]
    fn crops_are_facenet_pytorchs_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let photo = Photo::open(root.join("fixtures/photos/astronaut.png")).unwrap();
        let text = std::fs::read_to_string(root.join("golden/crop.json")).unwrap();
        let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
        for case in cases.as_array().unwrap() {
            let edge = |i: usize| case["box"][i].as_f64().unwrap() as f32;
            let bbox = BBox::new(edge(0), edge(1), edge(2), edge(3));
            let margin = case["margin"].as_u64().unwrap() as u32;
            let chip = box_crop(photo.raster(), &bbox, 160, margin).unwrap();
            let wanted = Photo::open(root.join("golden/chips").join(case["chip"].as_str().unwrap())).unwrap();
            let gaps = chip.data().iter().zip(wanted.raster().data()).map(|(a, &b)| a.abs_diff(b));
            assert!(gaps.max().unwrap() <= 1, "{case}");
        }
    }

    #[test]
    fn a_face_has_one_shape_whether_the_photo_is_cut_or_not() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos");
        let photo = Photo::open(root.join("astronaut.png")).unwrap();
        let whole = box_crop(photo.raster(), &BBox::new(176.0, 70.0, 271.0, 199.0), 160, 0).unwrap();
        // The right fifth of the box is cut away.
        let mut cut = Raster::new(252, 512, [0; 3]);
        cut.blit(photo.raster(), 0, 0);
        let chip = box_crop(&cut, &BBox::new(176.0, 70.0, 271.0, 199.0), 160, 0).unwrap();
        let (left, beyond) = ((0..125), (130..160));
        assert!(left.flat_map(|x| (0..160).map(move |y| (x, y))).all(|(x, y)| chip.pixel(x, y) == whole.pixel(x, y)));
        assert!(beyond.flat_map(|x| (0..160).map(move |y| (x, y))).all(|(x, y)| chip.pixel(x, y) == [0; 3]));
    }

    #[test]
    fn boxes_that_hold_nothing_are_refused() {
        let photo = Raster::new(50, 40, [1, 2, 3]);
        let nan = f32::NAN;
        for b in [[60.0, 0.0, 90.0, 30.0], [10.0, 10.0, 10.0, 10.0], [30.0, 30.0, 10.0, 10.0], [nan, nan, nan, nan]] {
            let bbox = BBox::new(b[0], b[1], b[2], b[3]);
            let answer = box_crop(&photo, &bbox, 160, 0);
            assert!(answer.is_err() || b[0].is_nan(), "{b:?}");
        }
        assert!(box_crop(&photo, &BBox::new(0.0, 0.0, 9.0, 9.0), 160, 160).is_err());
    }
}
