//! HEIC and AVIF: HEVC or AV1 pictures, whole or in tiles, in a HEIF container (ISO/IEC 23008-12, AV1 Image File Format).
//!
//! | file | what |
//! | --- | --- |
//! | `container` | which coded pictures make the photo, held against its size before one is decoded |
//! | `hevc` | one coded picture to samples (ITU-T H.265, intra), each block once; feature `heic` |
//! | `av1` | one coded picture to samples (AV1), of few frames; feature `avif` |
//! | `picture` | samples, whichever they come from |
//! | `colour` | samples to RGB (ITU-T H.273) |
//!
//! Turning and mirroring are the container's (`irot`, `imir`); an EXIF orientation beside them says the same again and is
//! not followed (ISO/IEC 23008-12, section 6.5.10). Colour profiles are not applied, as with the other formats.

#[cfg(feature = "avif")]
mod av1;
mod colour;
mod container;
#[cfg(feature = "heic")]
mod hevc;
mod picture;

use heifer_isobmff::{HeifFile, ItemId};

use super::failure::Failure;
use super::{Limits, Raster};
use container::{Crop, Mosaic, Step};
use picture::Picture;

/// The pixels, and the EXIF orientation (1 to 8) that says the same as the container's transformations.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Raster, u8), Failure> {
    let file = container::parse(bytes)?;
    let photo = container::photo(&file, bytes.len() as u64, limits)?;
    let mut raster = Raster::new(photo.colour.width, photo.colour.height, [0; 3]);
    tiles(&file, &photo.colour, |picture, x, y| colour::paint(&mut raster, picture, x, y))?;
    if let Some(alpha) = &photo.alpha {
        tiles(&file, alpha, |picture, x, y| colour::over_white(&mut raster, picture, x, y))?;
    }
    Ok(upright(raster, &photo.steps))
}

/// When the photo was taken is in this block.
pub(super) fn exif(bytes: &[u8]) -> Option<Vec<u8>> {
    let file = container::parse(bytes).ok()?;
    file.exif(file.primary_id).ok()?
}

/// Decodes one tile after the other and hands it on with the place of its top left pixel.
fn tiles(
    file: &HeifFile,
    mosaic: &Mosaic,
    mut paint: impl FnMut(&Picture, u32, u32) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for (id, place) in mosaic.tiles.iter().zip(0u32..) {
        let mut picture = coded(file, *id, mosaic.tile)?;
        if let Some((matrix, full_range)) = container::colours(file, *id).or(mosaic.colours) {
            (picture.matrix, picture.full_range) = (matrix, full_range);
        }
        paint(&picture, place % mosaic.columns * mosaic.tile.0, place / mosaic.columns * mosaic.tile.1)?;
    }
    Ok(())
}

/// Decodes a coded picture, which must be of that size.
fn coded(file: &HeifFile, id: ItemId, size: (u32, u32)) -> Result<Picture, Failure> {
    match &file.item(id)?.item_type.0 {
        #[cfg(feature = "heic")]
        b"hvc1" => hevc::decode(&file.hevc_bitstream(id)?, size),
        #[cfg(feature = "avif")]
        b"av01" => av1::decode(&file.item_data(id)?, size),
        _ => Err(container::unread(file.item(id)?)),
    }
}

/// Cuts, turns and mirrors; gives the EXIF orientation of that turning and mirroring.
fn upright(mut raster: Raster, steps: &[Step]) -> (Raster, u8) {
    // All of them come to so many quarters clockwise, and then perhaps a mirror.
    let (mut quarters, mut mirrored) = (0u32, false);
    for step in steps {
        match *step {
            Step::Crop(Crop { left, top, width, height }) => {
                let mut cut = Raster::new(width, height, [0; 3]);
                cut.blit(&raster, -i64::from(left), -i64::from(top));
                raster = cut;
            }
            Step::Turn(clockwise) => quarters += if mirrored { 4 - clockwise } else { clockwise },
            Step::Mirror { top_and_bottom } => {
                mirrored = !mirrored;
                // Upside down is mirrored and turned by two quarters, in either order.
                quarters += if top_and_bottom { 2 } else { 0 };
            }
        }
    }
    let quarters = quarters % 4;
    if quarters > 0 {
        raster = raster.turned(quarters);
    }
    if mirrored {
        raster = raster.mirrored();
    }
    let orientation = if mirrored { [2, 5, 4, 7] } else { [1, 6, 3, 8] }[quarters as usize];
    (raster, orientation)
}

impl From<heifer_isobmff::Error> for Failure {
    fn from(e: heifer_isobmff::Error) -> Self {
        match e {
            heifer_isobmff::Error::Unimplemented(what) => Self::Unsupported(what.to_string()),
            e => Self::Damaged(e.to_string()),
        }
    }
}

#[cfg(feature = "heic")]
impl From<heifer_hevc_dec::Error> for Failure {
    fn from(e: heifer_hevc_dec::Error) -> Self {
        match e {
            heifer_hevc_dec::Error::Unimplemented(what) => Self::Unsupported(what.to_string()),
            e => Self::Damaged(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_any_order_come_to_one_orientation() {
        let data: Vec<u8> = (0..6u8).flat_map(|v| [v; 3]).collect();
        // 0 1 2 over 3 4 5.
        let picture = Raster::from_rgb(3, 2, data).unwrap();
        let read = |r: &Raster| r.data().chunks(3).map(|p| p[0]).collect::<Vec<_>>();
        let one = |step: &Step, raster: &Raster| match *step {
            Step::Turn(quarters) => raster.turned(quarters),
            Step::Mirror { top_and_bottom: false } => raster.mirrored(),
            Step::Mirror { top_and_bottom: true } => raster.turned(2).mirrored(),
            Step::Crop(_) => unreachable!(),
        };
        let all = [
            Step::Turn(1),
            Step::Turn(2),
            Step::Turn(3),
            Step::Mirror { top_and_bottom: false },
            Step::Mirror { top_and_bottom: true },
        ];
        for first in all {
            for second in all {
                for third in all {
                    let steps = [first, second, third];
                    let wanted = steps.iter().fold(picture.clone(), |raster, step| one(step, &raster));
                    let (raster, orientation) = upright(picture.clone(), &steps);
                    assert_eq!(read(&raster), read(&wanted), "{steps:?}");
                    let exif = image::metadata::Orientation::from_exif(orientation).unwrap();
                    let rgb = image::RgbImage::from_raw(3, 2, picture.data().to_vec()).unwrap();
                    let mut by_exif = image::DynamicImage::ImageRgb8(rgb);
                    by_exif.apply_orientation(exif);
                    assert_eq!(by_exif.into_rgb8().into_raw(), raster.data(), "{steps:?} is {orientation}");
                }
            }
        }
    }
}
