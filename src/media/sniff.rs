//! What a file is, by its first bytes: a photo of a kind that is read, a picture or film of another kind, or neither.

use image::ImageFormat;

/// Bytes that tell: the longest list of brands of an ISO base media file is shorter.
pub const SNIFFED: usize = 256;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// A photo that [`super::Photo`] reads.
    Photo,
    /// A picture or film that it does not read, by its name.
    Foreign(&'static str),
    /// Neither.
    Other,
}

/// What bytes begin like; the first [`SNIFFED`] are enough.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    match foreign(bytes) {
        Some(name) => Sniffed::Foreign(name),
        None if format(bytes).is_some() => Sniffed::Photo,
        None => Sniffed::Other,
    }
}

/// What reads a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The `image` crate, or for JPEG another decoder.
    Plain(ImageFormat),
    #[cfg(any(feature = "heic", feature = "avif"))]
    Heif,
}

/// The format of a photo, and its name.
pub(super) fn format(bytes: &[u8]) -> Option<(Format, &'static str)> {
    #[cfg(any(feature = "heic", feature = "avif"))]
    if let Some(name) = branded(bytes).filter(|name| is_read(name)) {
        return Some((Format::Heif, name));
    }
    let big_tiff = bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+");
    let format = if big_tiff { ImageFormat::Tiff } else { image::guess_format(bytes).ok()? };
    let name = match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Tiff => "TIFF",
        _ => return None,
    };
    Some((Format::Plain(format), name))
}

/// Coded in HEVC and in AV1, which are read with features of these names.
const HEIC: &str = "HEIC";
const AVIF: &str = "AVIF";

/// Whether a kind of ISO base media file is read as kith was built.
fn is_read(name: &str) -> bool {
    (cfg!(feature = "heic") && name == HEIC) || (cfg!(feature = "avif") && name == AVIF)
}

/// Brands of ISO base media files (ISO/IEC 14496-12, `ftyp`) and what they are.
const BRANDS: [(&[u8; 4], &str); 17] = [
    (b"avif", AVIF),
    (b"avis", AVIF),
    (b"heic", HEIC),
    (b"heix", HEIC),
    (b"heim", HEIC),
    (b"heis", HEIC),
    (b"hevc", HEIC),
    (b"hevx", HEIC),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
    (b"crx ", "a raw photo (CR3)"),
    (b"qt  ", "a film (QuickTime)"),
    (b"isom", "a film (MP4)"),
    (b"iso2", "a film (MP4)"),
    (b"mp41", "a film (MP4)"),
    (b"mp42", "a film (MP4)"),
    (b"M4V ", "a film (MP4)"),
];
/// First bytes of other kinds.
const HEADS: [(&[u8], &str); 8] = [
    (b"\xFF\x0A", "JPEG XL"),
    (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF-", "a PDF"),
    (b"\x1A\x45\xDF\xA3", "a film (Matroska, WebM)"),
    (b"FUJIFILMCCD-RAW", "a raw photo (RAF)"),
    (b"IIU\0", "a raw photo (RW2)"),
];

/// The name of a picture or film that is not read.
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    if let Some((_, name)) = HEADS.iter().find(|(head, _)| bytes.starts_with(head)) {
        return Some(name);
    }
    branded(bytes).filter(|name| !is_read(name))
}

/// The name of an ISO base media file by its brands.
fn branded(bytes: &[u8]) -> Option<&'static str> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let brands = rest.strip_prefix(b"ftyp")?;
    let length = (u32::from_be_bytes(*length) as usize).saturating_sub(8).min(brands.len());
    // The major brand first, then its version, then those that it is compatible with.
    let mut brands = brands[..length].chunks_exact(4).enumerate().filter(|(place, _)| *place != 1).map(|(_, b)| b);
    let named = |brand: &[u8]| BRANDS.iter().find(|(known, _)| known[..] == *brand).map(|(_, name)| *name);
    let major = brands.next().and_then(named);
    match major {
        // The general brand says only that it is a picture; the others say how it is coded.
        None | Some("HEIF") => brands.filter_map(named).find(|name| *name != "HEIF").or(major),
        named => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn box_of(brands: &[&[u8; 4]]) -> Vec<u8> {
        let mut bytes = (16 + 4 * (brands.len() as u32 - 1)).to_be_bytes().to_vec();
        bytes.extend(b"ftyp");
        bytes.extend(brands[0]);
        bytes.extend([0; 4]);
        brands[1..].iter().for_each(|b| bytes.extend(*b));
        bytes.extend(b"\0\0\0\x20meta....heic");
        bytes
    }

    #[test]
    fn pictures_of_other_kinds_are_told_by_their_bytes() {
        for (brands, name) in [
            (&[b"heic", b"mif1"][..], Some("HEIC")),
            (&[b"mif1", b"heic"], Some("HEIC")),
            (&[b"mif1", b"miaf", b"avif"], Some("AVIF")),
            (&[b"avif", b"mif1"], Some("AVIF")),
            (&[b"mif1", b"miaf"], Some("HEIF")),
            (&[b"qt  "], Some("a film (QuickTime)")),
            (&[b"isom", b"avif"], Some("a film (MP4)")),
            (&[b"what"], None),
        ] {
            assert_eq!(branded(&box_of(brands)), name, "{brands:?}");
            let sniffed = match name {
                Some(name) if is_read(name) => Sniffed::Photo,
                name => name.map_or(Sniffed::Other, Sniffed::Foreign),
            };
            assert_eq!(sniff(&box_of(brands)), sniffed);
        }
        for cut in 0..16 {
            foreign(&box_of(&[b"heic"])[..cut]);
        }
        assert_eq!(foreign(b"\xFF\x0A...."), Some("JPEG XL"));
    }

    #[test]
    fn photos_are_told_by_their_bytes_and_text_is_none() {
        for photo in
            ["grace_hopper.jpg", "astronaut.png", "astronaut.bmp", "astronaut.gif", "astronaut.tif", "astronaut.webp"]
        {
            let bytes = std::fs::read(format!("tests/fixtures/photos/{photo}")).unwrap();
            assert_eq!(sniff(&bytes[..SNIFFED]), Sniffed::Photo, "{photo}");
        }
        for other in [&b""[..], b"notes", b"\0\0\0\0", b"ftyp", b"\0\0\0\x08ftyp"] {
            assert_eq!(sniff(other), Sniffed::Other, "{other:?}");
        }
    }
}
