//! AVIF, held against libavif's pixels, and files of it that are hostile; see `common/heif.rs`.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(feature = "avif")]

#[path = "common/heif.rs"]
mod heif;

use heif::{Kind, alone, longer, place, refused};

const AVIF: Kind = Kind {
    ending: "avif",
    coded: b"av01",
    files: 11,
    // Halved chroma is interpolated with other roundings; of ten bits libavif rounds before it goes to RGB. Across the
    // seams of a grid's tiles it is not interpolated.
    within: |name| match name {
        "ten_bit" => (48.0, 5),
        "grid" => (45.0, 30),
        _ => (50.0, 4),
    },
    one: "photo",
    larger: "a picture of more pixels in one of 8x8",
};

#[test]
fn every_kind_of_file_has_libavifs_pixels() {
    AVIF.every_file_has_the_librarys_pixels();
}

#[test]
fn what_the_container_turns_is_turned_once_and_the_date_is_read() {
    AVIF.what_the_container_turns_is_turned_once_and_the_date_is_read();
}

#[test]
fn a_file_that_breaks_off_or_is_damaged_anywhere_is_refused_or_read_in_bounds() {
    AVIF.one_that_breaks_off_or_is_damaged_anywhere_is_refused_or_read_in_bounds();
}

#[test]
fn tables_that_name_more_than_they_have_room_for_are_refused() {
    AVIF.tables_that_name_more_than_they_have_room_for_are_refused();
}

#[test]
fn tiles_used_again_and_pictures_larger_than_they_say_are_refused() {
    AVIF.tiles_used_again_and_pictures_larger_than_they_say_are_refused();
}

/// Where the units of a file's picture begin, and their heads: one byte and a length of seven bits a byte.
fn units(whole: &[u8]) -> Vec<usize> {
    let mut at = place(whole, b"mdat") + 4;
    let mut units = Vec::new();
    while at < whole.len() {
        let (mut length, mut digits) = (0usize, 0);
        loop {
            digits += 1;
            length |= usize::from(whole[at + digits] & 0x7f) << (7 * (digits - 1));
            if whole[at + digits] & 0x80 == 0 {
                break;
            }
        }
        units.push(at);
        at += 1 + digits + length;
    }
    assert_eq!(at, whole.len());
    units
}

#[test]
fn a_picture_of_a_thousand_frames_is_refused() {
    let _alone = alone();
    let whole = AVIF.bytes("odd");
    // The last unit is the picture's one frame.
    let last = *units(&whole).last().unwrap();
    assert_eq!(whole[last] >> 3, 6);
    let file = longer(&whole, &whole[last..].repeat(1000));
    refused(&file, "photo.disproportionate", "1001 frames for one picture");
}

/// What the command says on standard error of a photo.
#[cfg(feature = "cli")]
fn said_of(bytes: &[u8]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.avif");
    std::fs::write(&photo, bytes).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kith"));
    let done = command.arg("detect").arg(&photo).output().unwrap();
    (done.status.code(), String::from_utf8(done.stderr).unwrap())
}

#[cfg(feature = "cli")]
#[test]
fn of_units_that_are_not_known_and_of_a_decoder_that_gives_up_the_command_says_nothing_but_its_own() {
    let whole = AVIF.bytes("odd");
    let units = units(&whole);
    let of = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        said_of(&bytes)
    };
    // The delimiter, two bytes, becomes a unit of a type that is reserved, or metadata of none.
    for kind in [9u8, 14, 5] {
        let (code, said) = of(&|bytes| bytes[units[0]..units[0] + 2].copy_from_slice(&[kind << 3 | 2, 0]));
        assert_eq!((code, said.as_str()), (Some(0), ""), "type {kind}");
    }
    // The decoder panics on this header of a frame.
    let frame = *units.last().unwrap();
    let (code, said) = of(&|bytes| bytes[frame + 3] = 255);
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.starts_with("kith: ") && said.contains("the decoder gave up on it"), "{said}");
}
