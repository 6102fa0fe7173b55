//! One file to its record.

use super::carry::{Before, carry_by_likeness, carry_by_place, remembered};
use super::find::{alike, difference};
use crate::database::Database;
use crate::engine::{Engine, Selection, thumbnail};
use crate::error::{Error, Result};
use crate::files::now_ms;
use crate::geometry::FaceQuality;
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
/// `adrift` are those none of whose files is there.
///
/// # Errors
/// A device's error: nothing is known of the photo then.
pub(super) fn look(
    engine: &Engine,
    limits: &Limits,
    bytes: &[u8],
    sha256: [u8; 32],
    file: PhotoFile,
    (before, adrift): (Option<Before>, &[Before]),
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
    // Photos that are nowhere any more: one of them can have been moved and changed at once.
    let found_again = || adrift.iter().filter(|b| same(b)).min_by_key(|b| difference(b.record, &record)).copied();
    let same_picture = before.filter(same).or_else(found_again);
    if let Some(before) = same_picture {
        let remembered = remembered(&before, &record, &counted);
        counted.extend(remembered);
    }
    let side = engine.side(&photo, &counted, &Selection { min_score: Some(0.0), ..Selection::default() })?;
    let mut pictures = Vec::with_capacity(side.faces.len());
    for (face, quality) in side.faces.iter().zip(&side.quality) {
        record.faces.push(PhotoFace {
            id: 0,
            vector: face.embedding.values().to_vec(),
            bbox: [face.bbox.x0, face.bbox.y0, face.bbox.x1, face.bbox.y1],
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
            carry_by_place(same.record, &mut record);
            Some(same.id)
        }
        (None, Some(before)) => (carry_by_likeness(before.record, &mut record) > 0).then_some(before.id),
        (None, None) => None,
    };
    Ok(Looked { record, pictures, like: Vec::new(), follows })
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
