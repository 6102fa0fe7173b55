//! What an answer says beside the verdict: of the faces it is about, and of boxes that did not count.

use super::output;
use crate::error::RefusalError;
use crate::{Detection, Error, SeenFace};

/// Says what is to be known of a face of the first or second photo: that it would not be enrolled, and that the photo
/// was turned.
pub(super) fn face(which: &str, seen: &SeenFace) {
    if seen.found.turned != 0 {
        output::line(&format!(
            "note: the {which} photo was turned by {} degrees: no upright face is in it",
            seen.found.turned
        ));
    }
    if let Some(refusal) = &seen.refusal {
        output::line(&format!(
            "note: the {which} photo's face would not be enrolled: {refusal}; the rate is measured on faces that would"
        ));
    }
}

/// Says which boxes of the first or second photo did not count.
pub(super) fn passed_over(which: &str, boxes: &[Detection]) {
    for d in boxes {
        let b = d.bbox;
        output::line(&format!(
            "note: a box in the {which} photo does not count, small and uncertain beside the face: {:.0},{:.0} to \
             {:.0},{:.0}, score {:.3} (--min-score counts by score alone)",
            b.x0, b.y0, b.x1, b.y1, d.score
        ));
    }
}

/// The error as a command with `--largest` and `--face` says it.
pub(super) fn with_face(error: &Error) -> String {
    match error {
        Error::Refusal(RefusalError::SeveralFaces { .. }) => {
            format!("{}, or --face NUMBER as `kith identify` numbers them", with_largest(error))
        }
        _ => error.to_string(),
    }
}

/// The error as a command with `--largest` says it.
pub(super) fn with_largest(error: &Error) -> String {
    match error {
        Error::Refusal(RefusalError::SeveralFaces { .. }) => format!("{error}, or say --largest to take the largest"),
        _ => error.to_string(),
    }
}
