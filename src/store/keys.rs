//! Keys of the records. Ids are big-endian, so that keys sort as their ids do.
//!
//! | first byte | then | record |
//! | --- | --- | --- |
//! | `h` | nothing | [`super::HeadRecord`] |
//! | `g` | gallery `u32` | [`super::GalleryRecord`] |
//! | `p` | gallery `u32`, person `u64` | [`super::PersonRecord`] |
//! | `f` | gallery `u32`, face `u64` | [`super::FaceRecord`] |
//! | `c` | gallery `u32`, face `u64` | [`super::ChipRecord`] |
//! | `k` | group `u64` | [`super::GroupRecord`] |
//! | `l` | photo `u64` | [`super::PhotoRecord`] |
//! | `t` | photo `u64` | [`super::PicturesRecord`] |

pub(super) const HEAD: u8 = b'h';
pub(super) const GALLERY: u8 = b'g';
pub(super) const PERSON: u8 = b'p';
pub(super) const FACE: u8 = b'f';
pub(super) const CHIP: u8 = b'c';
pub(super) const GROUP: u8 = b'k';
pub(super) const PHOTO: u8 = b'l';
pub(super) const PICTURES: u8 = b't';

/// The key of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The database's own record.
    Head,
    /// A gallery.
    Gallery(u32),
    /// A person of a gallery.
    Person(u32, u64),
    /// A face of a gallery.
    Face(u32, u64),
    /// The chip of a face.
    Chip(u32, u64),
    /// A group of the library's faces.
    Group(u64),
    /// A photo of the library.
    Photo(u64),
    /// The pictures of a photo's faces.
    Pictures(u64),
}

impl Key {
    /// The key as it is stored.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let (kind, gallery, number) = match self {
            Key::Head => return vec![HEAD],
            Key::Gallery(gallery) => (GALLERY, gallery, None),
            Key::Person(gallery, person) => (PERSON, gallery, Some(person)),
            Key::Face(gallery, face) => (FACE, gallery, Some(face)),
            Key::Chip(gallery, face) => (CHIP, gallery, Some(face)),
            Key::Group(group) => return of_library(GROUP, group),
            Key::Photo(photo) => return of_library(PHOTO, photo),
            Key::Pictures(photo) => return of_library(PICTURES, photo),
        };
        let mut bytes = vec![kind];
        bytes.extend(gallery.to_be_bytes());
        bytes.extend(number.into_iter().flat_map(u64::to_be_bytes));
        bytes
    }

    /// Reads a stored key; `None` for one that this program would not write.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        if kind == HEAD {
            return rest.is_empty().then_some(Key::Head);
        }
        let library = || Some(u64::from_be_bytes(rest.try_into().ok()?));
        match kind {
            GROUP => return library().map(Key::Group),
            PHOTO => return library().map(Key::Photo),
            PICTURES => return library().map(Key::Pictures),
            _ => {}
        }
        let (gallery, number) = rest.split_first_chunk::<4>()?;
        let gallery = u32::from_be_bytes(*gallery);
        if kind == GALLERY {
            return number.is_empty().then_some(Key::Gallery(gallery));
        }
        let number = u64::from_be_bytes(number.try_into().ok()?);
        match kind {
            PERSON => Some(Key::Person(gallery, number)),
            FACE => Some(Key::Face(gallery, number)),
            CHIP => Some(Key::Chip(gallery, number)),
            _ => None,
        }
    }
}

/// The library is the database's, and of no gallery.
fn of_library(kind: u8, number: u64) -> Vec<u8> {
    [&[kind], number.to_be_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_sort_by_number_and_reject_the_rest() {
        let keys = [
            Key::Chip(0, 1),
            Key::Chip(0, 256),
            Key::Face(0, u64::MAX),
            Key::Face(1, 0),
            Key::Gallery(0),
            Key::Gallery(u32::MAX),
            Key::Head,
            Key::Group(3),
            Key::Photo(1),
            Key::Photo(1 << 33),
            Key::Person(7, 1 << 40),
            Key::Pictures(2),
        ];
        let bytes = keys.map(Key::bytes);
        assert!(bytes.is_sorted());
        for (key, bytes) in keys.iter().zip(&bytes) {
            assert_eq!(Key::parse(bytes), Some(*key));
            assert_eq!(Key::parse(&[bytes.as_slice(), &[0]].concat()), None, "{key:?} with a byte too many");
            assert_eq!(Key::parse(&bytes[..bytes.len() - 1]), None, "{key:?} cut short");
        }
        assert_eq!(Key::parse(b"z\0\0\0\0\0\0\0\0\0\0\0\0"), None);
    }
}
