//! Labelled boxes, as CSV: one line a face.
//!
//! | columns | meaning |
//! | --- | --- |
//! | `file` | a photo without any face; or, with more columns, the photo that the face is in |
//! | `x0,y0,x1,y1` | edges of the box, in pixels of the upright photo |
//! | ten more | left eye, right eye, nose, left and right mouth corner as `x,y`; left and right in the photo |
//! | `ignore` | a last column with this word: a face that need not be found, and may be |
//!
//! A first line whose first column is `file` is a heading.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::matching::LabelledFace;
use crate::error::EvalError;
use crate::files::spelled;
use crate::geometry::{BBox, Landmarks};

/// Photos and their labelled faces.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxList {
    /// Every photo once, in order of first mention.
    pub photos: Vec<PathBuf>,
    /// The faces of each.
    pub faces: Vec<Vec<LabelledFace>>,
}

impl BoxList {
    /// Reads a list; the photos are named from the folder `images`.
    ///
    /// # Errors
    /// [`EvalError::BadLine`], [`EvalError::NoPhoto`] or [`EvalError::Io`].
    pub fn read(file: &Path, images: &Path) -> Result<Self, EvalError> {
        let shown = spelled(file);
        let text =
            std::fs::read_to_string(file).map_err(|e| EvalError::Io { path: shown.clone(), reason: e.to_string() })?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let (mut list, mut places) = (BoxList { photos: Vec::new(), faces: Vec::new() }, HashMap::new());
        for row in reader.records() {
            let bad = |line: u64, reason: String| EvalError::BadLine { path: shown.clone(), line, reason };
            let row = row.map_err(|e| bad(e.position().map_or(0, csv::Position::line), e.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            let fields: Vec<&str> = row.iter().collect();
            let Some((&photo, rest)) = fields.split_first() else { continue };
            if photo == "file" && list.photos.is_empty() {
                continue;
            }
            let path = images.join(photo);
            if !path.is_file() {
                return Err(EvalError::NoPhoto { path: shown, line, photo: spelled(&path) });
            }
            let at = *places.entry(path.clone()).or_insert_with(|| {
                list.photos.push(path);
                list.faces.push(Vec::new());
                list.photos.len() - 1
            });
            list.faces[at].extend(face(rest).map_err(|reason| bad(line, reason))?);
        }
        if list.photos.is_empty() {
            return Err(EvalError::TooLittle { reason: format!("{shown} names no photo") });
        }
        Ok(list)
    }
}

/// The face of a line's columns after the first; none when there are none.
fn face(columns: &[&str]) -> Result<Option<LabelledFace>, String> {
    let columns: Vec<&str> = columns.iter().copied().rev().skip_while(|c| c.is_empty()).collect();
    let (ignore, columns) = match columns.split_first() {
        Some((&"ignore", rest)) => (true, rest.to_vec()),
        _ => (false, columns),
    };
    if columns.is_empty() && !ignore {
        return Ok(None);
    }
    let number = |c: &&str| c.parse::<f32>().ok().filter(|v| v.is_finite()).ok_or(format!("{c:?} is no number"));
    let numbers: Vec<f32> = columns.iter().rev().map(number).collect::<Result<_, _>>()?;
    let landmarks = match numbers.len() {
        4 => None,
        14 => Some(Landmarks(std::array::from_fn(|i| [numbers[4 + 2 * i], numbers[5 + 2 * i]]))),
        n => return Err(format!("{n} numbers after the file, 4 (a box) or 14 (and five landmarks) are expected")),
    };
    let bbox = BBox::new(numbers[0], numbers[1], numbers[2], numbers[3]);
    if bbox.width() <= 0.0 || bbox.height() <= 0.0 {
        return Err("the box is empty; its columns are x0,y0,x1,y1 with x0 < x1 and y0 < y1".to_string());
    }
    Ok(Some(LabelledFace { bbox, landmarks, ignore }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "b.jpg", "c, d.jpg"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let file = folder.path().join("boxes.csv");
        let text = "file,x0,y0,x1,y1\na.jpg,1,2,3,4\nb.jpg\n\"c, d.jpg\",1,2,30,40,1,1,9,1,5,5,2,8,8,8\na.jpg,5,6,7,8,ignore\nb.jpg,,,,\n";
        std::fs::write(&file, text).unwrap();
        let list = BoxList::read(&file, folder.path()).unwrap();
        assert_eq!(list.photos.len(), 3);
        assert_eq!(list.faces.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 1]);
        assert!(list.faces[0][1].ignore && !list.faces[0][0].ignore);
        assert_eq!(list.faces[2][0].landmarks.unwrap().0[4], [8.0, 8.0]);
        for (wrong, code, line) in [
            ("a.jpg,1,2,3\n", "eval.bad_line", ", line 1"),
            ("b.jpg\na.jpg,1,2,x,4\n", "eval.bad_line", ", line 2"),
            ("a.jpg,3,2,1,4\n", "eval.bad_line", "empty"),
            ("a.jpg,nan,2,3,4\n", "eval.bad_line", "no number"),
            ("nobody.jpg,1,2,3,4\n", "eval.no_photo", "nobody.jpg"),
            ("", "eval.too_little", "no photo"),
        ] {
            std::fs::write(&file, wrong).unwrap();
            let error = BoxList::read(&file, folder.path()).unwrap_err();
            assert_eq!(error.code(), code, "{wrong:?}");
            assert!(error.to_string().contains(line), "{error}");
        }
    }
}
