//! One file to its record.

use super::carry::{Before, carry_by_likeness, carry_by_place, remembered};
use super::find::{alike, difference};
use crate::database::Database;
use crate::engine::{Engine, Selection, known_face, thumbnail};
use crate::error::{Error, Result};
use crate::files::now_ms;
use crate::geometry::{BBox, FaceQuality};
use crate::media::{Limits, Photo, Raster, Region, encode_jpeg, resize_area, taken_at};
use crate::store::{PhotoFace, PhotoFile, PhotoRecord};

/// Side of the grid whose neighbours are compared.
const GRID: usize = 16;

/// What a photo comes to.
pub(super) struct Looked {
    /// Its record. Faces that are those of the photo that it was have their numbers; the others have none yet.
    pub record: PhotoRecord,
    /// A picture of each face.
    pub pictures: Vec<Vec<u8>>,
    /// Of each face the one that it is another picture of, 0 where it is of none: for a photo that is another's copy.
    pub like: Vec<u64>,
    /// Which photo it is, where it is one that was known: the same picture, or one with a face of it.
    pub follows: Option<u64>,
}

/// Looks at a photo's bytes. One that cannot be read has a record that says why. `before` is the photo that the file was;
/// `others` are
/// those that it may be else, the likelier first.
///
/// # Errors
/// A device's error: nothing is known of the photo then.
pub(super) fn look(
    engine: &Engine,
    limits: &Limits,
    bytes: &[u8],
    sha256: [u8; 32],
    file: PhotoFile,
    (before, others): (Option<Before>, &[Before]),
) -> Result<Looked> {
    let mut record = PhotoRecord {
        sha256,
        width: 0,
        height: 0,
        taken: taken_at(bytes).unwrap_or_default(),
        likeness: [0; 4],
        model: engine.model().to_string(),
        detector: engine.detector().to_string(),
        faces: Vec::new(),
        fault: Default::default(),
        added_ms: now_ms(),
        files: vec![file],
    };
    let photo = match Photo::from_bytes(bytes, &record.files[0].path, limits) {
        Ok(photo) => photo,
        Err(error) => {
            record.fault = fault(&error.into());
            return Ok(Looked { record, pictures: Vec::new(), like: Vec::new(), follows: None });
        }
    };
    (record.width, record.height) = (photo.width(), photo.height());
    record.likeness = likeness(photo.raster());
    let mut counted = Selection::default().count(&engine.detect(&photo)?).faces;
    let same = |b: &Before| b.record.sha256 == sha256 || alike(b.record, &record);
    // One of the others can have been moved and changed at once, or saved a second time.
    let found_again = || others.iter().filter(|b| same(b)).min_by_key(|b| difference(b.record, &record)).copied();
    let same_picture = before.filter(same).or_else(found_again);
    let found: Vec<BBox> = counted.iter().map(|face| face.bbox).collect();
    let remembered = same_picture.map_or_else(Vec::new, |before| remembered(&before, &record, &found));
    counted.extend(remembered.iter().map(|(bbox, landmarks, score)| known_face(*bbox, *landmarks, *score)));
    let side = engine.side(&photo, &counted, &Selection { min_score: Some(0.0), ..Selection::default() })?;
    let mut pictures = Vec::with_capacity(side.faces.len());
    for (face, quality) in side.faces.iter().zip(&side.quality) {
        record.faces.push(PhotoFace {
            id: 0,
            vector: face.embedding.values().to_vec(),
            bbox: corners(&face.bbox),
            landmarks: face.landmarks.0,
            score: face.score,
            quality: (*quality).into(),
            // Grouping leaves out what would go into any group, and an unclear face of somebody is in theirs more often than not.
            good: engine.refusal(&FaceQuality { embedding_length: None, ..*quality }).is_none(),
            no_face: false,
        });
        pictures.push(encode_jpeg(&thumbnail(photo.raster(), &face.bbox, face.turned))?);
    }
    let follows = match (same_picture, before) {
        (Some(same), _) => {
            let carried = carry_by_place(same.record, &mut record);
            // What was remembered and is not there is no face.
            let is_made_up = |f: &PhotoFace| f.id == 0 && remembered.iter().any(|(bbox, ..)| corners(bbox) == f.bbox);
            let stays: Vec<bool> = record.faces.iter().map(|face| !is_made_up(face)).collect();
            let (mut of_faces, mut of_pictures) = (stays.iter(), stays.iter());
            record.faces.retain(|_| of_faces.next() == Some(&true));
            pictures.retain(|_| of_pictures.next() == Some(&true));
            (carried > 0 || same.record.faces.is_empty()).then_some(same.id)
        }
        (None, Some(before)) => (carry_by_likeness(before.record, &mut record) > 0).then_some(before.id),
        (None, None) => None,
    };
    Ok(Looked { record, pictures, like: Vec::new(), follows })
}

fn corners(bbox: &BBox) -> [f32; 4] {
    [bbox.x0, bbox.y0, bbox.x1, bbox.y1]
}

/// Code and sentence of an error, as a record has them.
pub(super) fn fault(error: &Error) -> [String; 2] {
    [error.code().to_string(), error.to_string()]
}

/// 256 bits that hardly change when a picture is compressed again or made smaller: whether each cell of a grid is darker
/// than its right neighbour.
pub(super) fn likeness(raster: &Raster) -> [u64; 4] {
    let whole = Region { x0: 0, x1: raster.width() as usize, y0: 0, y1: raster.height() as usize };
    let (width, cells) = (GRID + 1, (GRID + 1) * GRID);
    let mut planes = vec![0f32; 3 * cells];
    resize_area(raster, whole, width, GRID, &mut planes);
    let luma: Vec<f32> = (0..cells).map(|i| planes[i] + 2.0 * planes[cells + i] + planes[2 * cells + i]).collect();
    let mut bits = [0u64; 4];
    for y in 0..GRID {
        for x in 0..GRID {
            let at = y * GRID + x;
            bits[at / 64] |= u64::from(luma[y * width + x] < luma[y * width + x + 1]) << (at % 64);
        }
    }
    bits
}

/// A name that somebody may have, as it is kept.
///
/// # Errors
/// [`crate::error::LibraryError::BadName`].
pub(super) fn usable(name: &str) -> Result<String, crate::error::LibraryError> {
    let trimmed = name.trim();
    let number = trimmed.strip_prefix('#').unwrap_or(trimmed).parse::<u64>();
    let fits = Database::is_name(trimmed) && number.is_err();
    if fits { Ok(trimmed.to_string()) } else { Err(crate::error::LibraryError::BadName { name: name.to_string() }) }
}
