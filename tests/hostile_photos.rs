//! Files that are made to cost far more than their pixels: refused, or read without paying for it. What decoding
//! allocates is counted, so that the tests run one after the other.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kith::error::PhotoError;
use kith::{Limits, Photo};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes for a pixel, and beyond, that reading any photo may take: what `media` allows its decoders.
const A_PIXEL: usize = 16;
const BEYOND: usize = 16 << 20;

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name)).unwrap()
}

/// Reads the photo; fails where that took more memory than pixels, of which there are at most `pixels`, and a copy of
/// the file justify.
#[track_caller]
fn read(bytes: &[u8], pixels: usize) -> Result<Photo, PhotoError> {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let answer = Photo::from_bytes(bytes, "hostile", &Limits::default());
    let most = A_PIXEL * pixels + BEYOND + 3 * bytes.len();
    let taken = ALLOCATED.peak_usage() - before;
    assert!(taken <= most, "{taken} bytes were taken for {pixels} pixels and {} bytes of file", bytes.len());
    answer
}

#[track_caller]
fn refused(bytes: &[u8], pixels: usize, reason: &str) {
    let error = read(bytes, pixels).map(|photo| (photo.width(), photo.height())).unwrap_err();
    assert_eq!(error.code(), "photo.disproportionate", "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

/// Zeros, a thousand times as many as they take packed.
fn packed_zeros(count: usize) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let some = vec![0u8; 1 << 20];
    (0..count.div_ceil(some.len())).for_each(|_| packer.write_all(&some).unwrap());
    packer.finish().unwrap()
}

// JPEG

/// Where the marker segments and scans of a JPEG begin, with their codes; the end of the picture is last.
fn markers(jpeg: &[u8]) -> Vec<(usize, u8)> {
    let mut found = Vec::new();
    let mut at = 2;
    while at + 1 < jpeg.len() {
        match (jpeg[at], jpeg[at + 1]) {
            (0xff, 0xd9) => {
                found.push((at, 0xd9));
                break;
            }
            (0xff, code) if code != 0 && code != 0xff && !(0xd0..=0xd7).contains(&code) => {
                found.push((at, code));
                at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            }
            _ => at += 1,
        }
    }
    found
}

/// The progressive fixture with its refinement of DC coefficients `times` times: a scan that reads one bit a block,
/// whatever was read before.
fn with_scans(times: usize) -> Vec<u8> {
    let jpeg = fixture("astronaut_progressive.jpg");
    let markers = markers(&jpeg);
    let refines_dc = |at: usize| {
        let tables = at + 5 + 2 * usize::from(jpeg[at + 4]);
        jpeg[tables..tables + 2] == [0, 0] && jpeg[tables + 2] >> 4 > 0
    };
    let scan = markers.iter().position(|(at, code)| *code == 0xda && refines_dc(*at)).unwrap();
    let (from, to) = (markers[scan].0, markers[scan + 1].0);
    [&jpeg[..from], &jpeg[from..to].repeat(times), &jpeg[to..]].concat()
}

#[test]
fn a_jpeg_with_more_scans_than_a_picture_has_use_for_is_refused() {
    let _alone = alone();
    let once = read(&with_scans(1), 320 * 320).unwrap();
    assert_eq!(
        once.raster(),
        Photo::from_bytes(&fixture("astronaut_progressive.jpg"), "", &Limits::default()).unwrap().raster()
    );
    read(&with_scans(10), 320 * 320).unwrap();
    refused(&with_scans(30), 320 * 320, "scans of one colour component");
    refused(&with_scans(5000), 320 * 320, "scans of one colour component");
}

#[test]
fn a_jpeg_with_tables_for_thousands_of_scans_is_refused() {
    let _alone = alone();
    let jpeg = fixture("hopper_small.jpg");
    let markers = markers(&jpeg);
    let at = markers.iter().position(|(_, code)| *code == 0xc4).unwrap();
    let (from, to) = (markers[at].0, markers[at + 1].0);
    let many = [&jpeg[..from], &jpeg[from..to].repeat(2000), &jpeg[to..]].concat();
    refused(&many, 1 << 20, "Huffman tables");
}

#[test]
fn what_a_jpeg_says_of_itself_costs_nothing() {
    let _alone = alone();
    let jpeg = fixture("orientation_6.jpg");
    let profile = [&[0xff, 0xe2, 0xff, 0xff][..], b"ICC_PROFILE\0\x01\xff", &[0; 65_519]].concat();
    let padded = [&jpeg[..2], &profile.repeat(64), &jpeg[2..]].concat();
    let photo = read(&padded, 240 * 160).unwrap();
    assert_eq!((photo.orientation(), photo.width(), photo.height()), (6, 160, 240));
}

// PNG

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(name);
    checksum.update(data);
    let length = (data.len() as u32).to_be_bytes();
    [&length[..], name, data, &checksum.sum().to_be_bytes()].concat()
}

/// The fixture with more chunks after its header, and more before its end.
fn png_with(first: &[u8], last: &[u8]) -> Vec<u8> {
    let png = fixture("astronaut_palette.png");
    let (head, end) = (8 + 25, png.len() - 12);
    [&png[..head], first, &png[head..end], last, &png[end..]].concat()
}

/// An EXIF block that says nothing but the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

#[test]
fn a_png_is_read_without_unpacking_what_is_no_pixel() {
    let _alone = alone();
    let plain = Photo::from_bytes(&fixture("astronaut_palette.png"), "", &Limits::default()).unwrap();
    let bomb = packed_zeros(256 << 20);
    let profile = chunk(b"iCCP", &[b"p\0\0", &bomb[..]].concat());
    let text = chunk(b"zTXt", &[b"t\0\0", &bomb[..]].concat());
    let international = chunk(b"iTXt", &[b"t\0\x01\0\0\0", &bomb[..]].concat());
    let many = chunk(b"tEXt", b"Comment\0hello").repeat(20_000);
    for first in [profile, text, international, many] {
        let photo = read(&png_with(&first, &[]), 256 * 256).unwrap();
        assert_eq!(photo.raster(), plain.raster());
    }
    // Frames of an animation are not looked at either.
    let frames = chunk(b"fdAT", &[7; 64]).repeat(20_000);
    assert_eq!(
        read(&png_with(&chunk(b"acTL", &[0, 0, 78, 32, 0, 0, 0, 0]), &frames), 256 * 256).unwrap().raster(),
        plain.raster()
    );
}

#[test]
fn a_png_stands_upright_wherever_it_says_how_and_an_endless_exif_block_is_passed_over() {
    let _alone = alone();
    let turned = chunk(b"eXIf", &exif(6));
    for png in [png_with(&turned, &[]), png_with(&[], &turned)] {
        assert_eq!(read(&png, 256 * 256).unwrap().orientation(), 6);
    }
    let endless = [exif(6), vec![0; 1 << 20]].concat();
    assert_eq!(read(&png_with(&chunk(b"eXIf", &endless), &[]), 256 * 256).unwrap().orientation(), 1);
}

#[test]
fn what_follows_the_last_row_of_a_png_is_not_unpacked() {
    let _alone = alone();
    let png = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]),
        chunk(b"IDAT", &packed_zeros(256 << 20)),
        chunk(b"IEND", &[]),
    ];
    assert_eq!(read(&png.concat(), 1).unwrap().raster().pixel(0, 0), [0, 0, 0]);
}

// WebP

fn riff(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, data) in chunks {
        body.extend_from_slice(*name);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

/// The head of an extended WebP of that size.
fn vp8x(flags: u8, width: u32, height: u32) -> (&'static [u8; 4], Vec<u8>) {
    let three = |length: u32| (length - 1).to_le_bytes()[..3].to_vec();
    (b"VP8X", [vec![flags, 0, 0, 0], three(width), three(height)].concat())
}

/// A lossy frame that says it has that many pixels on a side, and breaks off.
fn vp8(side: u16) -> Vec<u8> {
    let [low, high] = side.to_le_bytes();
    [&[0x10, 0x02, 0, 0x9d, 0x01, 0x2a, low, high, low, high][..], &[0x55; 64]].concat()
}

#[test]
fn a_webp_whose_frame_is_larger_than_its_picture_is_refused() {
    let _alone = alone();
    refused(&riff(&[vp8x(0, 1, 1), (b"VP8 ", vp8(16_383))]), 1, "a frame of 16383x16383 pixels");
    let frame =
        [vec![0; 16], b"VP8 ".to_vec(), (vp8(16_383).len() as u32).to_le_bytes().to_vec(), vp8(16_383)].concat();
    let animated = riff(&[vp8x(2, 1, 1), (b"ANIM", vec![0; 6]), (b"ANMF", frame)]);
    refused(&animated, 1, "a frame of 16383x16383 pixels");
    // Lossless coding of one pixel in a megabyte: tables for it, for the most part.
    let tables = [&[0x2f, 0, 0, 0, 0][..], &vec![0x5a; 1 << 20]].concat();
    refused(&riff(&[(b"VP8L", tables)]), 1, "bytes for pixels that take");
}

#[test]
fn a_webp_stands_upright_and_its_profiles_cost_nothing() {
    let _alone = alone();
    let plain = fixture("astronaut.webp");
    let length = u32::from_le_bytes(plain[16..20].try_into().unwrap()) as usize;
    assert_eq!(&plain[12..16], b"VP8 ");
    let frame = (b"VP8 ", plain[20..20 + length].to_vec());
    let with = |exif: Vec<u8>| {
        riff(&[
            vp8x(0x2c, 256, 256),
            (b"ICCP", vec![0; 1 << 20]),
            frame.clone(),
            (b"EXIF", exif),
            (b"XMP ", vec![32; 1 << 20]),
        ])
    };
    let photo = read(&with(exif(6)), 256 * 256).unwrap();
    assert_eq!(photo.orientation(), 6);
    assert_eq!(read(&with([exif(6), vec![0; 1 << 20]].concat()), 256 * 256).unwrap().orientation(), 1);
}

// GIF

#[test]
fn a_gif_costs_its_first_frame_and_no_more_than_its_picture() {
    let _alone = alone();
    // A picture of one pixel, and in it a frame of 16,000 x 16,000.
    let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend([0x2c, 0, 0, 0, 0, 0x80, 0x3e, 0x80, 0x3e, 0, 2, 2, 0x44, 1, 0, 0x3b]);
    refused(&gif, 1, "more memory than a picture of its size takes");
    let whole = fixture("astronaut.gif");
    let end = whole.len() - 1;
    let frame = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0];
    let many = [&whole[..end], &frame.repeat(50_000), &whole[end..]].concat();
    assert_eq!(read(&many, 128 * 128).unwrap().width(), 128);
}

// TIFF

/// A TIFF of these entries (tag, kind: 3 for u16 or 4 for u32, values), and after its directory `rest`.
fn tiff(entries: &[(u16, u16, Vec<u32>)], rest: &[u8]) -> Vec<u8> {
    let directory = 8 + 2 + 12 * entries.len() + 4;
    let mut at = directory + rest.len();
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for (tag, kind, held) in entries {
        let bytes: Vec<u8> = match kind {
            3 => held.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect(),
            _ => held.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        lines.extend(tag.to_le_bytes());
        lines.extend(kind.to_le_bytes());
        lines.extend((held.len() as u32).to_le_bytes());
        if bytes.len() <= 4 {
            lines.extend(bytes.iter().copied().chain([0; 4]).take(4));
        } else {
            lines.extend((at as u32).to_le_bytes());
            at += bytes.len();
            values.extend(bytes);
        }
    }
    let count = (entries.len() as u16).to_le_bytes();
    [b"II*\0\x08\0\0\0", &count[..], &lines, &[0; 4], rest, &values].concat()
}

/// Where what follows the directory of so many entries begins.
fn after(entries: usize) -> u32 {
    8 + 2 + 12 * entries as u32 + 4
}

/// The entries of a grey picture, but for where its pixels are.
fn grey(width: u32, height: u32, compression: u32) -> Vec<(u16, u16, Vec<u32>)> {
    vec![
        (256, 4, vec![width]),
        (257, 4, vec![height]),
        (258, 3, vec![8]),
        (259, 3, vec![compression]),
        (262, 3, vec![1]),
        (277, 3, vec![1]),
    ]
}

fn with(mut entries: Vec<(u16, u16, Vec<u32>)>, more: Vec<(u16, u16, Vec<u32>)>) -> Vec<(u16, u16, Vec<u32>)> {
    entries.extend(more);
    entries.sort_by_key(|entry| entry.0);
    entries
}

#[test]
fn a_tiff_as_it_should_be_is_read() {
    let _alone = alone();
    let pixels: Vec<u8> = (0..64u8).collect();
    let strips =
        with(grey(8, 8, 1), vec![(273, 4, vec![after(9), after(9) + 32]), (278, 4, vec![4]), (279, 4, vec![32, 32])]);
    let photo = read(&tiff(&strips, &pixels), 64).unwrap();
    assert_eq!(photo.raster().pixel(7, 7), [63, 63, 63]);
    // Smaller than its one tile, which is usual.
    let tile = with(
        grey(8, 8, 1),
        vec![(322, 4, vec![256]), (323, 4, vec![256]), (324, 4, vec![after(10)]), (325, 4, vec![65_536])],
    );
    let photo = read(&tiff(&tile, &vec![9; 65_536]), 64).unwrap();
    assert_eq!(photo.raster().pixel(3, 3), [9, 9, 9]);
}

#[test]
fn a_tiff_of_palette_indices_has_the_colours_of_its_map() {
    let _alone = alone();
    let pixels: Vec<u8> = (0..64u8).collect();
    // All reds, then all greens, then all blues.
    let colour = |i: u32| [257 * i, 257 * (255 - i), 257 * (i / 2)];
    let map: Vec<u32> = (0..3).flat_map(|c| (0..256).map(move |i| colour(i)[c])).collect();
    let picture = |map: Vec<u32>| {
        let place = vec![(273, 4, vec![after(10)]), (278, 4, vec![8]), (279, 4, vec![64]), (320, 3, map)];
        let mut entries = with(grey(8, 8, 1), place);
        entries.iter_mut().filter(|e| e.0 == 262).for_each(|e| e.2 = vec![3]);
        tiff(&entries, &pixels)
    };
    let photo = read(&picture(map.clone()), 64).unwrap();
    assert_eq!(photo.raster().pixel(0, 0), [0, 255, 0]);
    assert_eq!(photo.raster().pixel(7, 7), [63, 192, 31]);
    // A map that is cut short leaves nothing to colour with.
    assert_eq!(read(&picture(map[..700].to_vec()), 64).unwrap_err().code(), "photo.unsupported");
}

#[test]
fn a_tiff_of_64_bit_offsets_is_read() {
    let _alone = alone();
    let entries: [(u16, u16, u64); 8] = [
        (256, 4, 4),
        (257, 4, 4),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 16, 16 + 8 + 8 * 20 + 8),
        (278, 4, 4),
        (279, 4, 16),
    ];
    let lines = entries.iter().flat_map(|(tag, kind, value)| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1u64.to_le_bytes(), &value.to_le_bytes()].concat()
    });
    let lines: Vec<u8> = lines.collect();
    let head = [&b"II+\0\x08\0\0\0"[..], &16u64.to_le_bytes(), &8u64.to_le_bytes()].concat();
    let pixels: Vec<u8> = (100..116).collect();
    let photo = read(&[&head[..], &lines, &[0; 8], &pixels].concat(), 64).unwrap();
    assert_eq!(photo.raster().pixel(3, 3), [115, 115, 115]);
}

#[test]
fn a_tiff_that_asks_for_more_than_its_picture_is_refused() {
    let _alone = alone();
    let data = vec![0; 1 << 16];
    // The same bytes for each of a thousand strips.
    let strips =
        with(grey(8, 1000, 8), vec![(273, 4, vec![after(9); 1000]), (278, 4, vec![1]), (279, 4, vec![1 << 16; 1000])]);
    refused(&tiff(&strips, &data), 8000, "longer together than the file");
    let many =
        with(grey(8, 8, 1), vec![(273, 4, vec![after(9); 500_000]), (278, 4, vec![1]), (279, 4, vec![1; 500_000])]);
    refused(&tiff(&many, &data), 64, "500000 strips");
    let tile = with(
        grey(8, 8, 8),
        vec![(322, 4, vec![60_000]), (323, 4, vec![60_000]), (324, 4, vec![after(10)]), (325, 4, vec![1 << 16])],
    );
    refused(&tiff(&tile, &data), 64, "of 60000x60000 pixels");
    let deep = with(grey(8, 8, 8), vec![(273, 4, vec![after(8)]), (279, 4, vec![1 << 16])]);
    let deep: Vec<_> =
        deep.into_iter().map(|(tag, kind, held)| (tag, kind, if tag == 277 { vec![60_000] } else { held })).collect();
    refused(&tiff(&deep, &data), 64, "60000 samples");
    let tables =
        with(grey(8, 8, 7), vec![(273, 4, vec![after(9)]), (279, 4, vec![1 << 16]), (347, 4, vec![0; 1 << 19])]);
    refused(&tiff(&tables, &data), 64, "values of tag 347");
    let mut floats = with(
        grey(2000, 2000, 8),
        vec![(273, 4, vec![after(10)]), (279, 4, vec![1 << 16]), (339, 3, vec![3; 4]), (338, 3, vec![2])],
    );
    for (tag, _, held) in &mut floats {
        match tag {
            258 => *held = vec![32; 4],
            262 => *held = vec![2],
            277 => *held = vec![4],
            _ => {}
        }
    }
    refused(&tiff(&floats, &data), 4_000_000, "128 bits a pixel");
}

#[test]
fn a_jpeg_in_a_tiff_is_held_against_its_strip() {
    let _alone = alone();
    let jpeg = fixture("astronaut_grey.jpg");
    let size = Photo::from_bytes(&jpeg, "", &Limits::default()).map(|p| (p.width(), p.height())).unwrap();
    let holding = |jpeg: &[u8], width: u32, height: u32| {
        let entries = with(grey(width, height, 7), vec![(273, 4, vec![after(8)]), (279, 4, vec![jpeg.len() as u32])]);
        tiff(&entries, jpeg)
    };
    assert_eq!(read(&holding(&jpeg, size.0, size.1), 512 * 512).unwrap().width(), size.0);
    refused(&holding(&jpeg, 1, 1), 1, "in one of its strips");
    refused(&holding(&with_scans(100), 320, 320), 320 * 320, "scans of one colour component");
}

// BMP

#[test]
fn a_bmp_that_states_more_pixels_than_it_has_costs_no_more_than_they_would() {
    let _alone = alone();
    let mut bmp = fixture("astronaut.bmp");
    bmp[18..22].copy_from_slice(&4000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&4000u32.to_le_bytes());
    assert_eq!(read(&bmp, 4000 * 4000).unwrap_err().code(), "photo.damaged");
}
