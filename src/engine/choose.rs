//! Which of the boxes that a detector found count as faces, and which of them is meant.
//!
//! A detector sees a face in a chair now and then: a box much smaller than the person's and much less certain. Where one
//! face is asked for, such a box is no second person; it is passed over, and named in the answer.

use serde::Serialize;

use crate::detect::Detection;
use crate::error::RefusalError;
use crate::media::Photo;

/// Longer side of a box, as a share of the main face's, up to which it may be passed over. Chosen for boxes
/// of 55 pixels with scores of 0.7 to 0.8 beside faces five times as long; not measured on labelled photos.
const MUCH_SMALLER: f32 = 0.45;
/// How much lower its score is at least. Bystanders' faces have scores near the main face's, chairs have not.
const LESS_CERTAIN: f32 = 0.03;

/// Which face counts where one is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FaceChoice {
    /// The photo must show exactly one face that counts.
    #[default]
    Only,
    /// The largest box, however many there are.
    Largest,
    /// The box whose centre is nearest the photo's, in lengths of the box, however many there are: in photos that are
    /// cut about the person whom they are named for, as those of Labeled Faces in the Wild are.
    Central,
    /// The one with this number, from 1 on in the order in which the detector answers (as [`super::Engine::detect`] and
    /// an identification list them), whatever else is in the photo.
    Number(usize),
}

/// Which boxes count as faces, and which of them is meant where one is asked for.
///
/// ```
/// use kith::{FaceChoice, Selection};
/// let sure = Selection { min_score: Some(0.9), ..FaceChoice::Largest.into() };
/// assert_eq!(sure.choice, FaceChoice::Largest);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Selection {
    /// The one that is meant.
    pub choice: FaceChoice,
    /// Every box with at least this score, 0 to 1, counts, and no other. Not said: boxes that are both much smaller and
    /// less certain than the main face, which is the largest, do not count.
    pub min_score: Option<f32>,
}

impl From<FaceChoice> for Selection {
    fn from(choice: FaceChoice) -> Self {
        Self { choice, min_score: None }
    }
}

/// The boxes of a photo, parted.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Counted {
    /// Those that count, most confident first.
    pub faces: Vec<Detection>,
    /// Those that were passed over.
    pub passed_over: Vec<Detection>,
}

impl Selection {
    /// Parts what was found.
    pub fn count(&self, found: &[Detection]) -> Counted {
        let side = |d: &Detection| d.bbox.width().max(d.bbox.height());
        let main = found.iter().max_by(|a, b| a.bbox.area().total_cmp(&b.bbox.area()));
        let counts = |d: &&Detection| match (self.min_score, main) {
            (Some(least), _) => d.score >= least,
            // The person a photo is named for may well be neither the largest nor the most certain in it.
            (None, _) if self.choice == FaceChoice::Central => true,
            (None, Some(main)) => side(d) > MUCH_SMALLER * side(main) || d.score > main.score - LESS_CERTAIN,
            (None, None) => true,
        };
        let (faces, passed_over) = found.iter().partition(counts);
        Counted { faces, passed_over }
    }

    /// The one that is meant, and what was passed over.
    ///
    /// # Errors
    /// [`RefusalError::NoFace`], [`RefusalError::SeveralFaces`] under [`FaceChoice::Only`], or
    /// [`RefusalError::NoSuchFace`] under [`FaceChoice::Number`].
    pub(super) fn choose(
        &self,
        found: &[Detection],
        photo: &Photo,
    ) -> Result<(Detection, Vec<Detection>), RefusalError> {
        let Counted { faces, passed_over } = self.count(found);
        let (x, y) = (photo.width() as f32 / 2.0, photo.height() as f32 / 2.0);
        // In the boxes' own sizes: a speck beside the centre is not who the photo was cut about.
        let away = |d: &Detection| {
            let (width, height) = (d.bbox.width(), d.bbox.height());
            ((d.bbox.centre().0 - x) / width).hypot((d.bbox.centre().1 - y) / height)
        };
        let origin = || photo.origin().to_string();
        if let FaceChoice::Number(number) = self.choice {
            let meant = number.checked_sub(1).and_then(|at| found.get(at));
            return match meant {
                Some(meant) => Ok((*meant, Vec::new())),
                None if found.is_empty() => Err(RefusalError::NoFace { photo: origin() }),
                None => Err(RefusalError::NoSuchFace { photo: origin(), number, faces: found.len() }),
            };
        }
        let chosen = match (faces.as_slice(), self.choice) {
            ([], _) => return Err(RefusalError::NoFace { photo: origin() }),
            ([one], _) => *one,
            (several, FaceChoice::Only) => {
                let faces = several.iter().map(|d| [d.bbox.x0, d.bbox.y0, d.bbox.x1, d.bbox.y1]).collect();
                let number = |d: &Detection| found.iter().position(|f| f == d).map_or(0, |at| at + 1);
                let numbers = several.iter().map(number).collect();
                return Err(RefusalError::SeveralFaces { photo: origin(), faces, numbers });
            }
            ([first, ..], FaceChoice::Number(_)) => *first,
            ([first, rest @ ..], FaceChoice::Largest) => {
                let larger = |a: Detection, b: &Detection| if b.bbox.area() > a.bbox.area() { *b } else { a };
                rest.iter().fold(*first, larger)
            }
            ([first, rest @ ..], FaceChoice::Central) => {
                let nearer = |a: Detection, b: &Detection| if away(b) < away(&a) { *b } else { a };
                rest.iter().fold(*first, nearer)
            }
        };
        Ok((chosen, passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{BBox, Landmarks};
    use crate::media::Raster;

    fn found(boxes: &[(f32, f32)]) -> Vec<Detection> {
        let one = |(i, &(side, score)): (usize, &(f32, f32))| {
            let x = 300.0 * i as f32;
            let bbox = BBox::new(x, 10.0, x + side, 10.0 + side);
            Detection { bbox, score, landmarks: Landmarks([[x, 10.0]; 5]), turned: 0 }
        };
        boxes.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_chair_beside_a_face_is_passed_over_and_a_bystander_is_not() {
        let only = Selection::default();
        let parted = |boxes: &[(f32, f32)]| {
            let counted = only.count(&found(boxes));
            (counted.faces.len(), counted.passed_over.len())
        };
        assert_eq!(parted(&[(270.0, 0.9999), (55.0, 0.75)]), (1, 1));
        // As certain, or not much smaller: somebody.
        assert_eq!(parted(&[(270.0, 0.9999), (55.0, 0.999)]), (2, 0));
        assert_eq!(parted(&[(270.0, 0.9999), (200.0, 0.75)]), (2, 0));
        // Two people and a chair are two people; one uncertain box alone is what there is.
        assert_eq!(parted(&[(270.0, 0.9999), (55.0, 0.75), (250.0, 0.998)]), (2, 1));
        assert_eq!(parted(&[(55.0, 0.75)]), (1, 0));
        assert_eq!(parted(&[]), (0, 0));
        // Whoever says a score counts by it alone.
        let least = |min_score| Selection { min_score: Some(min_score), ..only };
        let boxes = found(&[(270.0, 0.9999), (55.0, 0.75)]);
        assert_eq!((least(0.7).count(&boxes).faces.len(), least(0.8).count(&boxes).faces.len()), (2, 1));
    }

    #[test]
    fn who_a_photo_is_cut_about_is_no_speck_near_its_centre() {
        let photo = Photo::from_raster(Raster::new(250, 250, [0; 3]), "cut.jpg");
        let at = |x: f32, y: f32, side: f32| Detection {
            bbox: BBox::new(x - side / 2.0, y - side / 2.0, x + side / 2.0, y + side / 2.0),
            score: 0.9,
            landmarks: Landmarks([[x, y]; 5]),
            turned: 0,
        };
        let (face, speck, bystander) = (at(125.0, 140.0, 100.0), at(127.0, 118.0, 20.0), at(220.0, 140.0, 110.0));
        let chosen = Selection::from(FaceChoice::Central).choose(&[speck, bystander, face], &photo).unwrap().0;
        assert_eq!(chosen, face);
    }

    #[test]
    fn a_face_is_meant_by_its_number_whatever_counts() {
        let photo = Photo::from_raster(Raster::new(900, 300, [0; 3]), "party.jpg");
        let boxes = found(&[(270.0, 0.9999), (55.0, 0.75), (260.0, 0.74)]);
        let meant = |number| Selection::from(FaceChoice::Number(number)).choose(&boxes, &photo);
        for number in 1..=3 {
            assert_eq!(meant(number).unwrap(), (boxes[number - 1], Vec::new()));
        }
        for number in [0, 4, usize::MAX] {
            let refused = meant(number).unwrap_err();
            assert_eq!(refused.code(), "refusal.no_such_face");
            assert!(refused.to_string().contains("3 were found"), "{refused}");
        }
        let none = Selection::from(FaceChoice::Number(1)).choose(&[], &photo).unwrap_err();
        assert_eq!(none.code(), "refusal.no_face");
        // The refusal for several says the numbers of those that count, among all.
        match Selection::default().choose(&found(&[(270.0, 0.9), (55.0, 0.7), (260.0, 0.9)]), &photo).unwrap_err() {
            RefusalError::SeveralFaces { numbers, .. } => assert_eq!(numbers, [1, 3]),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_refusal_says_where_the_faces_are() {
        let photo = Photo::from_raster(Raster::new(900, 300, [0; 3]), "party.jpg");
        let boxes = found(&[(270.0, 0.9999), (260.0, 0.999), (55.0, 0.75)]);
        let refused = Selection::default().choose(&boxes, &photo).unwrap_err();
        assert_eq!(refused.code(), "refusal.several_faces");
        let text = refused.to_string();
        assert!(text.contains("2 faces found") && text.contains("0,10 to 270,280; 300,10 to 560,270"), "{text}");
        let (largest, over) = Selection::from(FaceChoice::Largest).choose(&boxes, &photo).unwrap();
        assert_eq!((largest, over.len()), (boxes[0], 1));
    }
}
