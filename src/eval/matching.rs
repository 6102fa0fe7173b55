//! Detections held against labelled boxes: recall, precision, average precision, landmark error. Pure
//! numbers.
//!
//! Detections of all photos, most confident first, each take the free labelled box of their photo that they
//! overlap most, by at least [`LEAST_OVERLAP`] of the union (M. Everingham et al., "The PASCAL visual object
//! classes challenge", 2010). What takes a box is a true positive, what finds none a false one; a detection
//! on a box that is labelled "ignore" is neither. Average precision is the area under the curve of greatest
//! precision at no less recall, over all points.

use serde::Serialize;

use crate::detect::Detection;
use crate::geometry::{BBox, Landmarks, Overlap};

/// Intersection over union from which a detection counts as one of a labelled face.
pub const LEAST_OVERLAP: f32 = 0.5;

/// A face that somebody marked in a photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledFace {
    /// The box in pixels of the upright photo.
    pub bbox: BBox,
    /// The landmarks, where they were marked.
    pub landmarks: Option<Landmarks>,
    /// Too small or too hidden to be asked for: neither found nor missed.
    pub ignore: bool,
}

/// What came of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matched {
    /// Labelled faces, without those to be ignored.
    pub faces: usize,
    /// Of them found.
    pub found: usize,
    /// Detections that are on no labelled face.
    pub false_positives: usize,
    /// Share of labelled faces found.
    pub recall: f64,
    /// Share of detections that are on a labelled face; none without detections.
    pub precision: Option<f64>,
    /// Area under precision over recall.
    pub average_precision: f64,
    /// Mean intersection over union of found faces and their boxes.
    pub mean_overlap: Option<f64>,
    /// Mean distance of landmarks from the labelled ones, in distances between the labelled eyes; none where
    /// no landmarks are labelled on a found face.
    pub landmark_error: Option<f64>,
    /// Precision and recall as the score falls.
    pub curve: Vec<PrecisionRecall>,
    /// Photo and place of each labelled face that was missed.
    pub missed: Vec<(usize, usize)>,
    /// Photo and place of each detection that is on no labelled face.
    pub spurious: Vec<(usize, usize)>,
}

/// Precision and recall when detections below a score are left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// The score.
    pub score: f32,
    /// Share of labelled faces found.
    pub recall: f64,
    /// Share of detections on a labelled face.
    pub precision: f64,
}

/// Holds the detections of each photo against its labelled faces.
///
/// # Panics
/// When the lists are of different lengths.
pub fn match_detections(labelled: &[Vec<LabelledFace>], detected: &[Vec<Detection>]) -> Matched {
    assert_eq!(labelled.len(), detected.len(), "one list of detections a photo");
    let mut order: Vec<(usize, usize)> =
        detected.iter().enumerate().flat_map(|(photo, found)| (0..found.len()).map(move |i| (photo, i))).collect();
    order.sort_by(|&(p, i), &(q, j)| detected[q][j].score.total_cmp(&detected[p][i].score));
    let faces = labelled.iter().flatten().filter(|f| !f.ignore).count();
    let mut taken: Vec<Vec<bool>> = labelled.iter().map(|faces| vec![false; faces.len()]).collect();
    let (mut found, mut overlaps, mut errors) = (0usize, Vec::new(), Vec::new());
    let (mut spurious, mut curve) = (Vec::new(), Vec::new());
    for (photo, at) in order {
        let detection = &detected[photo][at];
        let candidates = labelled[photo].iter().enumerate().filter(|(i, f)| !taken[photo][*i] || f.ignore);
        let best = candidates
            .map(|(i, f)| (i, detection.bbox.overlap(&f.bbox, Overlap::Union)))
            .filter(|(_, overlap)| *overlap >= LEAST_OVERLAP)
            .max_by(|a, b| a.1.total_cmp(&b.1));
        match best {
            Some((i, _)) if labelled[photo][i].ignore => continue,
            Some((i, overlap)) => {
                taken[photo][i] = true;
                found += 1;
                overlaps.push(f64::from(overlap));
                errors.extend(labelled[photo][i].landmarks.map(|l| landmark_error(&detection.landmarks, &l)));
            }
            None => spurious.push((photo, at)),
        }
        let recall = if faces == 0 { 0.0 } else { found as f64 / faces as f64 };
        let precision = found as f64 / (found + spurious.len()) as f64;
        curve.push(PrecisionRecall { score: detection.score, recall, precision });
    }
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let missed = labelled.iter().enumerate().flat_map(|(photo, faces)| {
        let missed = faces.iter().enumerate().filter(|(_, f)| !f.ignore).map(move |(i, _)| (photo, i));
        missed.collect::<Vec<_>>()
    });
    let missed = missed.filter(|&(photo, i)| !taken[photo][i]).collect();
    Matched {
        faces,
        found,
        false_positives: spurious.len(),
        recall: if faces == 0 { 1.0 } else { found as f64 / faces as f64 },
        precision: curve.last().map(|p| p.precision),
        average_precision: average_precision(&curve),
        mean_overlap: mean(&overlaps),
        landmark_error: mean(&errors),
        curve,
        missed,
        spurious,
    }
}

fn average_precision(curve: &[PrecisionRecall]) -> f64 {
    let (mut area, mut best) = (0.0, 0.0f64);
    for (i, point) in curve.iter().enumerate().rev() {
        best = best.max(point.precision);
        let before = if i == 0 { 0.0 } else { curve[i - 1].recall };
        area += (point.recall - before) * best;
    }
    area
}

fn landmark_error(found: &Landmarks, labelled: &Landmarks) -> f64 {
    let gaps = found.0.iter().zip(&labelled.0).map(|(a, b)| f64::from((a[0] - b[0]).hypot(a[1] - b[1])));
    gaps.sum::<f64>() / 5.0 / f64::from(labelled.eye_distance()).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(x: f32) -> Landmarks {
        Landmarks([[x, 0.0], [x + 10.0, 0.0], [x + 5.0, 5.0], [x + 2.0, 9.0], [x + 8.0, 9.0]])
    }

    fn face(x: f32, ignore: bool) -> LabelledFace {
        LabelledFace { bbox: BBox::new(x, 0.0, x + 10.0, 10.0), landmarks: Some(marks(x)), ignore }
    }

    fn detection(x: f32, score: f32) -> Detection {
        Detection { bbox: BBox::new(x, 0.0, x + 10.0, 10.0), score, landmarks: marks(x), turned: 0 }
    }

    #[test]
    fn counts_and_areas_laid_out_by_hand() {
        let labelled =
            vec![vec![face(0.0, false), face(100.0, false)], vec![face(0.0, true), face(50.0, false)], vec![]];
        let detected = vec![
            // One off by a tenth, the same again (false), one nowhere near.
            vec![detection(1.0, 0.99), detection(0.0, 0.6), detection(300.0, 0.8)],
            vec![detection(0.0, 0.95), detection(0.0, 0.94), detection(50.0, 0.7)],
            vec![],
        ];
        let m = match_detections(&labelled, &detected);
        assert_eq!((m.faces, m.found, m.false_positives), (3, 2, 2));
        assert_eq!((m.missed.clone(), m.spurious.clone()), (vec![(0, 1)], vec![(0, 2), (0, 1)]));
        assert!((m.recall - 2.0 / 3.0).abs() < 1e-12 && m.precision == Some(0.5));
        // By score: hit (1/1), false (1/2), hit (2/3), false (2/4): 1/3 x 1 + 1/3 x 2/3.
        assert!((m.average_precision - (1.0 / 3.0 + 2.0 / 9.0)).abs() < 1e-12);
        assert!((m.landmark_error.unwrap() - 0.05).abs() < 1e-6, "a tenth on one face, nothing on the other");
        assert!((m.mean_overlap.unwrap() - (9.0 / 11.0 + 1.0) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn photos_without_faces_and_without_detections() {
        let none = match_detections(&[vec![]], &[vec![]]);
        assert_eq!((none.recall, none.precision, none.false_positives), (1.0, None, 0));
        let missed = match_detections(&[vec![face(0.0, false)]], &[vec![]]);
        assert_eq!((missed.recall, missed.average_precision, missed.missed.len()), (0.0, 0.0, 1));
        let spurious = match_detections(&[vec![]], &[vec![detection(0.0, 0.9)]]);
        assert_eq!((spurious.precision, spurious.false_positives), (Some(0.0), 1));
    }
}
