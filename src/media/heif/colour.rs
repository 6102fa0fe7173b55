//! Samples to RGB (ITU-T H.273), and alpha over white.

use super::super::Raster;
use super::super::failure::Failure;
use super::picture::Picture;

/// Shares of red and blue in luma, by the matrix.
fn shares(matrix: u16) -> Result<(f32, f32), Failure> {
    match matrix {
        1 => Ok((0.2126, 0.0722)),
        4 => Ok((0.30, 0.11)),
        // BT.601, and what is not said.
        2 | 5 | 6 => Ok((0.299, 0.114)),
        7 => Ok((0.212, 0.087)),
        9 => Ok((0.2627, 0.0593)),
        other => Err(Failure::Unsupported(format!("colours of matrix {other}"))),
    }
}

/// What takes samples of so many bits to 0 to 255: what is taken off, and a factor.
fn luma_scale(depth: u8, full_range: bool) -> (f32, f32) {
    if full_range {
        (0.0, 255.0 / ((1u32 << depth) - 1) as f32)
    } else {
        ((16u32 << (depth - 8)) as f32, 255.0 / (219u32 << (depth - 8)) as f32)
    }
}

/// The same for differences of colour, about 0.
fn chroma_scale(depth: u8, full_range: bool) -> (f32, f32) {
    let half = (1u32 << (depth - 1)) as f32;
    (half, 255.0 / if full_range { ((1u32 << depth) - 1) as f32 } else { (224u32 << (depth - 8)) as f32 })
}

/// Rows and columns of a picture that fall into a raster when its top left pixel is at `(x, y)`.
fn within(raster: &Raster, picture: &Picture, x: u32, y: u32) -> (u32, usize) {
    let rows = picture.size.1.min(raster.height().saturating_sub(y));
    (rows, picture.size.0.min(raster.width().saturating_sub(x)) as usize)
}

fn row(raster: &mut Raster, x: u32, y: u32, columns: usize) -> &mut [u8] {
    let from = (y as usize * raster.width() as usize + x as usize) * 3;
    &mut raster.data_mut()[from..from + 3 * columns]
}

/// Paints a picture with its top left pixel at `(x, y)`; what falls outside is cut off.
pub(super) fn paint(raster: &mut Raster, picture: &Picture, x: u32, y: u32) -> Result<(), Failure> {
    let [depth, chroma_depth] = picture.depths;
    let (off, scale) = luma_scale(depth, picture.full_range);
    let (half, chroma_scale) = chroma_scale(chroma_depth, picture.full_range);
    let byte = |v: f32| (v + 0.5) as u8;
    let (rows, columns) = within(raster, picture, x, y);
    // Green, blue and red as they are.
    let coloured = picture.subsampling.is_some();
    let plain = picture.matrix == 0 && coloured;
    let (red, blue) = if plain || !coloured { (0.0, 0.0) } else { shares(picture.matrix)? };
    let green = 1.0 - red - blue;
    for line in 0..rows {
        let luma = picture.luma(line);
        let out = row(raster, x, y + line, columns).as_chunks_mut::<3>().0;
        let Some([first, second]) = picture.chroma(line) else {
            out.iter_mut().zip(&*luma).for_each(|(out, l)| *out = [byte((f32::from(*l) - off) * scale); 3]);
            continue;
        };
        for ((out, l), (u, v)) in out.iter_mut().zip(&*luma).zip(first.into_iter().zip(second)) {
            let l = (f32::from(*l) - off) * scale;
            *out = if plain {
                [(v - off) * scale, l, (u - off) * scale].map(byte)
            } else {
                let (u, v) = ((u - half) * chroma_scale, (v - half) * chroma_scale);
                let r = l + 2.0 * (1.0 - red) * v;
                let b = l + 2.0 * (1.0 - blue) * u;
                let g = l - 2.0 * (red * (1.0 - red) * v + blue * (1.0 - blue) * u) / green;
                [r, g, b].map(byte)
            };
        }
    }
    Ok(())
}

/// Lays what is painted over white, by an alpha channel whose top left pixel is at `(x, y)`.
pub(super) fn over_white(raster: &mut Raster, alpha: &Picture, x: u32, y: u32) -> Result<(), Failure> {
    let (off, scale) = luma_scale(alpha.depths[0], alpha.full_range);
    let (rows, columns) = within(raster, alpha, x, y);
    for line in 0..rows {
        let out = row(raster, x, y + line, columns).as_chunks_mut::<3>().0;
        for (out, a) in out.iter_mut().zip(&*alpha.luma(line)) {
            let share = ((f32::from(*a) - off) * scale / 255.0).clamp(0.0, 1.0);
            *out = out.map(|v| (f32::from(v) * share + 255.0 * (1.0 - share) + 0.5) as u8);
        }
    }
    Ok(())
}
