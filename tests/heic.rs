//! HEIC, held against libheif's pixels, and files of it that are hostile; see `common/heif.rs`.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(feature = "heic")]

#[path = "common/heif.rs"]
mod heif;

use heif::{Kind, alone, longer, place, refused};

const HEIC: Kind = Kind {
    ending: "heic",
    coded: b"hvc1",
    files: 9,
    // Of ten bits libheif drops the lowest two before it goes to RGB, and does not round.
    within: |name| if name == "ten_bit" { (48.0, 3) } else { (60.0, 1) },
    one: "wide",
    larger: "a picture of 832x832 pixels in one of 8x8",
};

#[test]
fn every_kind_of_file_has_libheifs_pixels() {
    HEIC.every_file_has_the_librarys_pixels();
}

#[test]
fn what_the_container_turns_is_turned_once_and_the_date_is_read() {
    HEIC.what_the_container_turns_is_turned_once_and_the_date_is_read();
}

#[test]
fn a_file_that_breaks_off_or_is_damaged_anywhere_is_refused_or_read_in_bounds() {
    HEIC.one_that_breaks_off_or_is_damaged_anywhere_is_refused_or_read_in_bounds();
}

#[test]
fn tables_that_name_more_than_they_have_room_for_are_refused() {
    HEIC.tables_that_name_more_than_they_have_room_for_are_refused();
}

#[test]
fn tiles_used_again_and_pictures_larger_than_they_say_are_refused() {
    HEIC.tiles_used_again_and_pictures_larger_than_they_say_are_refused();
}

/// A NAL unit's payload without the bytes that keep it from looking like a start code.
fn plain(unit: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for &byte in unit {
        if byte == 3 && out.ends_with(&[0, 0]) {
            continue;
        }
        out.push(byte);
    }
    out
}

fn escaped(unit: &[u8]) -> Vec<u8> {
    let (mut out, mut zeros) = (Vec::new(), 0);
    for &byte in unit {
        if zeros == 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[test]
fn a_picture_coded_a_thousand_times_over_is_refused() {
    let _alone = alone();
    let whole = HEIC.bytes("wide");
    let data = place(&whole, b"mdat") + 4;
    // The last unit is the picture's one slice; each has its length before it.
    let mut at = data;
    let mut last = (0, 0);
    while at < whole.len() {
        let length = u32::from_be_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
        last = (at, length);
        at += 4 + length;
    }
    let slice = &whole[last.0 + 4..last.0 + 4 + last.1];
    let (head, payload) = (&slice[..2], plain(&slice[2..]));
    // The first bit says that it is a picture's first slice, and two more follow; then another one's address would stand.
    let first = payload[0];
    assert_eq!(first >> 7, 1);
    let address = [first & 0b0110_0000, first & 0b0001_1111];
    let again = escaped(&[head, &address, &payload[1..]].concat());
    let again = [&(again.len() as u32).to_be_bytes()[..], &again].concat();
    let file = longer(&whole, &again.repeat(1000));
    refused(&file, "photo.disproportionate", "coded twice");
}
