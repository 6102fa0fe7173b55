//! Faces by UUID: `image_id` of CompreFace is the face's number, written as a UUID of version 8 (RFC 9562),
//! so that it can be read back without a table and stays what it is for as long as the face is there.

use axum::http::StatusCode;
use uuid::{Builder, Uuid};

use super::super::problem::Problem;

/// What the UUIDs of faces begin with.
const MARK: [u8; 6] = *b"kith\0\0";
/// Bits of byte 8 that RFC 9562 keeps for itself; the number's bits go to byte 7.
const KEPT_BITS: u32 = 2;

/// The UUID of a face.
pub(super) fn id_of(face: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&MARK);
    bytes[8..].copy_from_slice(&face.to_be_bytes());
    bytes[7] = bytes[8] >> (8 - KEPT_BITS);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// The face of a UUID; none where it is no face's.
fn face_of(id: Uuid) -> Option<u64> {
    let bytes = id.into_bytes();
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[8..]);
    number[0] = (number[0] & (0xff >> KEPT_BITS)) | (bytes[7] << (8 - KEPT_BITS));
    let face = u64::from_be_bytes(number);
    (id_of(face) == id).then_some(face)
}

/// The UUID in a path or a body.
///
/// # Errors
/// 400 for text that is none.
pub(super) fn parse(text: &str) -> Result<Uuid, Problem> {
    let bad = |_| Problem::bad("request.bad_image_id", format!("image_id is a UUID, not {text:?}"));
    // Braces, URNs and missing hyphens are other ways to write one; clients send what they were given.
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36).ok_or(()).map_err(bad)
}

/// The face that a path names.
///
/// # Errors
/// 400 for text that is no UUID, 404 for one that is no face's.
pub(super) fn known(text: &str) -> Result<u64, Problem> {
    face_of(parse(text)?).ok_or_else(|| unknown(text))
}

/// The faces that a list names, without those that are no face's.
///
/// # Errors
/// 400 for text that is no UUID.
pub(super) fn known_among(texts: &[String]) -> Result<Vec<u64>, Problem> {
    let ids = texts.iter().map(|t| parse(t)).collect::<Result<Vec<_>, _>>()?;
    Ok(ids.into_iter().filter_map(face_of).collect())
}

fn unknown(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "gallery.unknown_face", format!("there is no image {id} in this collection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_uuid_of_its_own_and_is_read_back() {
        for face in [0, 1, 7, 255, 256, 1 << 40, (1 << 62) - 1, 1 << 62, 1 << 63, u64::MAX] {
            let id = id_of(face);
            assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122), "{face}");
            assert_eq!(known(&id.to_string()), Ok(face));
        }
        assert_eq!(id_of(7).to_string(), "6b697468-0000-8000-8000-000000000007");
    }

    #[test]
    fn other_uuids_are_no_face_and_other_text_is_none_at_all() {
        for other in ["6b135f5b-a365-4522-b1f1-4c9ac2dd0728", "6b697468-0001-8000-8000-000000000007"] {
            assert_eq!(known(other).unwrap_err().code(), "gallery.unknown_face");
        }
        for bad in ["", "7", "6b697468000080008000000000000007", "{6b697468-0000-8000-8000-000000000007}"] {
            assert_eq!(known(bad).unwrap_err().code(), "request.bad_image_id", "{bad}");
        }
        let mixed = [id_of(3).to_string(), Uuid::nil().to_string()];
        assert_eq!(known_among(&mixed), Ok(vec![3]));
    }
}
