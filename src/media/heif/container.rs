//! Which coded pictures make the photo.
//!
//! A container names its pictures and their bytes by number and offset, so that a small file can ask for any number of
//! them, for the same ones again and again, and for pictures of pictures. Held against the photo's size here: one picture,
//! or a grid of different ones, that cover the photo at most a few times over, of bytes that the file has once.

use std::collections::HashSet;

use heifer_isobmff::boxes::{ColorInfo, ConstructionMethod, Property};
use heifer_isobmff::{BoxIter, HeifFile, Item, ItemId};

use super::super::Limits;
use super::super::failure::Failure;

/// Bytes that the container's tables may have: a phone's photo has a few thousand.
const MOST_TABLES: usize = 1 << 20;
/// Pictures and blocks of metadata: 100 megapixels in tiles of 512x512 are 400, and as many of their alpha channel.
const MOST_ITEMS: usize = 4096;
/// Pieces that the bytes of one of them may be in.
const MOST_EXTENTS: u16 = 16;
/// Pixels that tiles may have beyond four times the photo's: one smaller than one tile is in order.
const TILE_SLACK: u64 = 1 << 20;

/// What alpha channels are called.
const ALPHA: [&str; 2] = ["urn:mpeg:hevc:2015:auxid:1", "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"];

/// A part of a picture, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crop {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// What is done to the decoded picture.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Crop(Crop),
    /// So many quarters clockwise.
    Turn(u32),
    /// Left and right change places, or top and bottom.
    Mirror {
        top_and_bottom: bool,
    },
}

/// A picture of coded pictures in rows; one that is coded whole is a mosaic of one.
#[derive(Debug)]
pub(super) struct Mosaic {
    pub width: u32,
    pub height: u32,
    pub columns: u32,
    /// Width and height of each.
    pub tile: (u32, u32),
    pub tiles: Vec<ItemId>,
    /// Matrix and whether values take the full range, where the whole says so.
    pub colours: Option<(u16, bool)>,
}

/// Everything that makes the photo.
pub(super) struct Photo {
    pub colour: Mosaic,
    pub alpha: Option<Mosaic>,
    pub steps: Vec<Step>,
}

fn too_much<T>(reason: String) -> Result<T, Failure> {
    Err(Failure::Disproportionate(reason))
}

/// Reads the container's tables.
///
/// # Errors
/// [`Failure::Disproportionate`] for tables that would take more memory or time to read than a photo has use for.
pub(super) fn parse(bytes: &[u8]) -> Result<HeifFile<'_>, Failure> {
    let mut tables = 0;
    for top in BoxIter::new(bytes) {
        let top = top?;
        if &top.header.box_type.0 != b"meta" {
            continue;
        }
        // A version and flags come first.
        for inner in BoxIter::new(top.content.get(4..).unwrap_or_default()) {
            let inner = inner?;
            match &inner.header.box_type.0 {
                b"idat" => {}
                kind => {
                    tables += inner.content.len();
                    if tables > MOST_TABLES {
                        return too_much(format!("more than {MOST_TABLES} bytes of tables"));
                    }
                    match kind {
                        b"iloc" => places(inner.content)?,
                        b"iinf" => items(inner.content)?,
                        _ => {}
                    }
                }
            }
        }
    }
    Ok(HeifFile::parse(bytes)?)
}

/// How many items a list of them names.
fn items(list: &[u8]) -> Result<(), Failure> {
    let wide = list.first().is_some_and(|version| *version > 0);
    let named = BoxIter::new(list.get(if wide { 8 } else { 6 }..).unwrap_or_default()).take(MOST_ITEMS + 1).count();
    if named > MOST_ITEMS {
        return too_much(format!("more than {MOST_ITEMS} pictures and blocks"));
    }
    Ok(())
}

/// Holds a table of places (`iloc`) against its own length: pieces whose offset and length take no bytes cost nothing to
/// name and 24 bytes each to remember.
fn places(table: &[u8]) -> Result<(), Failure> {
    let byte = |at: usize| table.get(at).copied().map(usize::from);
    let number = |at: usize, width: usize| {
        table.get(at..at + width)?.iter().try_fold(0u64, |all, b| all.checked_mul(256)?.checked_add(u64::from(*b)))
    };
    let walk = || -> Option<Result<(), Failure>> {
        let version = byte(0)?;
        let sizes = (byte(4)?, byte(5)?);
        let (offset, length, base) = (sizes.0 >> 4, sizes.0 & 15, sizes.1 >> 4);
        let index = if version > 0 { sizes.1 & 15 } else { 0 };
        let wide = version > 1;
        let count = number(6, if wide { 4 } else { 2 })?;
        let mut at = if wide { 10 } else { 8 };
        if count > MOST_ITEMS as u64 {
            return Some(too_much(format!(
                "places of {count} pictures and blocks, where {MOST_ITEMS} are read at most"
            )));
        }
        for _ in 0..count {
            at += if wide { 4 } else { 2 } + if version > 0 { 2 } else { 0 } + 2 + base;
            let pieces = number(at, 2)? as u16;
            if pieces > MOST_EXTENTS {
                return Some(too_much(format!("a picture in {pieces} pieces, where {MOST_EXTENTS} are read at most")));
            }
            at += 2 + usize::from(pieces) * (index + offset + length);
        }
        Some(Ok(()))
    };
    // One that breaks off is refused by whoever reads it.
    walk().unwrap_or(Ok(()))
}

/// Plans the photo: its primary picture, and that one's alpha channel.
///
/// # Errors
/// [`Failure::TooLarge`], [`Failure::Disproportionate`], and [`Failure::Unsupported`] for pictures composed in other ways.
pub(super) fn photo(file: &HeifFile, length: u64, limits: &Limits) -> Result<Photo, Failure> {
    let colour = mosaic(file, file.primary_id, limits)?;
    let is_alpha = |id: &ItemId| {
        let properties = file.item_properties(*id).ok();
        properties.is_some_and(|mut all| {
            all.any(|p| matches!(p, Property::AuxiliaryType(t) if ALPHA.contains(&t.trim_end_matches('\0'))))
        })
    };
    let alpha = file.referencing_items(file.primary_id, b"auxl").into_iter().find(is_alpha);
    let alpha = alpha.map(|id| mosaic(file, id, limits)).transpose()?;
    if alpha.as_ref().is_some_and(|a| (a.width, a.height) != (colour.width, colour.height)) {
        return Err(Failure::Unsupported("an alpha channel of another size than the picture".to_string()));
    }
    let mut bytes = 0u64;
    let mut seen = HashSet::new();
    for id in colour.tiles.iter().chain(alpha.iter().flat_map(|a| &a.tiles)) {
        if !seen.insert(*id) {
            return too_much("one of its tiles used again and again".to_string());
        }
        let place = file.item(*id)?.location.as_ref();
        if place.is_some_and(|p| p.construction_method == ConstructionMethod::Item) {
            return Err(Failure::Unsupported("pictures made of other pictures' bytes".to_string()));
        }
        bytes += file.item_data(*id)?.len() as u64;
        if bytes > length {
            return too_much("pictures that are longer together than the file, one over the other".to_string());
        }
    }
    let steps = steps(file, file.primary_id, (colour.width, colour.height))?;
    Ok(Photo { colour, alpha, steps })
}

/// Whether a picture is coded in a way that is read as kith was built.
fn is_coded(kind: &[u8; 4]) -> bool {
    (cfg!(feature = "heic") && kind == b"hvc1") || (cfg!(feature = "avif") && kind == b"av01")
}

/// What a picture is that is none of these.
pub(super) fn unread(item: &Item) -> Failure {
    Failure::Unsupported(format!("a picture of kind `{}`", item.item_type))
}

fn mosaic(file: &HeifFile, id: ItemId, limits: &Limits) -> Result<Mosaic, Failure> {
    let size = |id| file.image_size(id)?.ok_or(Failure::Truncated("it does not say how large its picture is"));
    let item = file.item(id)?;
    let mosaic = match &item.item_type.0 {
        kind if is_coded(kind) => {
            let (width, height) = size(id)?;
            Mosaic { width, height, columns: 1, tile: (width, height), tiles: vec![id], colours: None }
        }
        b"grid" => {
            let grid = file.grid(id)?;
            let tiles = file.referenced_items(id, b"dimg").to_vec();
            let (rows, columns) = (u32::from(grid.rows), u32::from(grid.columns));
            if tiles.len() as u64 != u64::from(rows) * u64::from(columns) {
                return Err(Failure::Truncated("it has another number of tiles than its grid"));
            }
            for tile in &tiles {
                if !is_coded(&file.item(*tile)?.item_type.0) || !steps(file, *tile, (1, 1))?.is_empty() {
                    return Err(Failure::Unsupported("tiles that are no plain pictures".to_string()));
                }
            }
            let tile = size(tiles[0])?;
            let (width, height) = (grid.output_width, grid.output_height);
            Mosaic { width, height, columns, tile, tiles, colours: colours(file, id) }
        }
        _ => return Err(unread(item)),
    };
    let pixels = u64::from(mosaic.width) * u64::from(mosaic.height);
    if pixels > limits.max_pixels {
        return Err(Failure::TooLarge(mosaic.width, mosaic.height));
    }
    let (columns, rows) = mosaic.tile;
    if pixels == 0 || columns == 0 || rows == 0 {
        return Err(Failure::Truncated("a picture without pixels"));
    }
    let count = mosaic.tiles.len() as u64;
    if (u64::from(columns) * u64::from(rows)).saturating_mul(count)
        > pixels.saturating_mul(4).saturating_add(TILE_SLACK)
    {
        let (width, height) = (mosaic.width, mosaic.height);
        return too_much(format!("{count} tiles of {columns}x{rows} pixels for a picture of {width}x{height}"));
    }
    Ok(mosaic)
}

/// Matrix and range, where a picture's properties say them.
pub(super) fn colours(file: &HeifFile, id: ItemId) -> Option<(u16, bool)> {
    file.item_properties(id).ok()?.find_map(|property| match property {
        Property::Color(ColorInfo::Nclx { matrix, full_range, .. }) => Some((*matrix, *full_range)),
        _ => None,
    })
}

/// What is done to a picture of that size, in order.
fn steps(file: &HeifFile, id: ItemId, (width, height): (u32, u32)) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for property in file.item_properties(id)? {
        match *property {
            Property::Rotation(quarters) if quarters % 4 > 0 => steps.push(Step::Turn(4 - u32::from(quarters % 4))),
            Property::Mirror(top_and_bottom) => steps.push(Step::Mirror { top_and_bottom }),
            Property::CleanAperture { width: w, height: h, horiz_offset: x, vert_offset: y } => {
                if !steps.is_empty() {
                    return Err(Failure::Unsupported("a picture cut after it is turned".to_string()));
                }
                let along = |whole, (part, by), (offset, per)| aperture(whole, (part, by), (offset, per));
                let ((left, width), (top, height)) = (along(width, w, x)?, along(height, h, y)?);
                steps.push(Step::Crop(Crop { left, top, width, height }));
            }
            _ => {}
        }
    }
    Ok(steps)
}

/// Where a cut of that length, whose centre lies that far from the picture's, begins, and how long it is.
fn aperture(whole: u32, part: (u32, u32), offset: (i32, u32)) -> Result<(u32, u32), Failure> {
    let bad = Failure::Truncated("it is cut to a part that it has not");
    if part.1 == 0 || offset.1 == 0 {
        return Err(bad);
    }
    let length = f64::from(part.0) / f64::from(part.1);
    let centre = f64::from(offset.0) / f64::from(offset.1) + (f64::from(whole) - 1.0) / 2.0;
    let first = (centre - (length - 1.0) / 2.0).round();
    let length = length.round();
    if length < 1.0 || first < 0.0 || first + length > f64::from(whole) {
        return Err(bad);
    }
    Ok((first as u32, length as u32))
}
