//! Resizing: by area for networks, bilinear and high quality for pictures.

use fast_image_resize as fir;
use fast_image_resize::images::{Image, ImageRef};
use rayon::prelude::*;

use super::Raster;

/// Part of a picture: columns `x0..x1` and rows `y0..y1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub x0: usize,
    /// First row.
    pub y0: usize,
    /// One past the last column.
    pub x1: usize,
    /// One past the last row.
    pub y1: usize,
}

/// How the three channels of numbers lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// All red, all green, all blue: `[3, height, width]`.
    Planar,
    /// Red, green, blue of each pixel: `[height, width, 3]`.
    Interleaved,
}

/// Pixel values go to networks as `(v - 127.5) / 128`.
const MIDDLE: f32 = 127.5;
const FACTOR: f32 = 0.007_812_5;
/// Outputs of fewer numbers than this are not worth sharing among cores.
const WORTH_SHARING: usize = 1 << 16;

/// One line of each of the three planes.
type PlanarLine<'a> = ((&'a mut [f32], &'a mut [f32]), &'a mut [f32]);

/// The window of input lines that output line `i` is the mean of.
fn window(i: usize, input: usize, output: usize) -> (usize, usize) {
    (i * input / output, ((i + 1) * input).div_ceil(output))
}

/// Shrinks (or grows) `region` to `out_w` x `out_h` by taking means: output line `i` of `n` covers
/// input lines `floor(i * input / n)` to `ceil((i + 1) * input / n)`, which is torch's adaptive average
/// pooling. Each mean `v` is written as `(v - 127.5) / 128`.
///
/// # Panics
/// When the region is empty or reaches outside, when a size is zero, or when `out` does not hold
/// exactly `3 * out_w * out_h` numbers.
pub fn resize_area(src: &Raster, region: Region, out_w: usize, out_h: usize, out: &mut [f32], order: ChannelOrder) {
    let Region { x0, y0, x1, y1 } = region;
    assert!(x0 < x1 && y0 < y1 && x1 <= src.width() as usize && y1 <= src.height() as usize, "{region:?}");
    assert!(out_w > 0 && out_h > 0 && out.len() == 3 * out_w * out_h, "{} numbers", out.len());
    let (in_w, in_h) = (x1 - x0, y1 - y0);
    let columns: Vec<(usize, usize)> = (0..out_w).map(|x| window(x, in_w, out_w)).collect();
    // One output row: the window's rows are summed first (bytes, in order, which the compiler turns into
    // vector code), then the sums are gathered column by column. Sums of bytes are exact.
    let row = |y: usize, sums: &mut Vec<u32>, write: &mut dyn FnMut(usize, usize, f32)| {
        let (top, bottom) = window(y, in_h, out_h);
        sums.clear();
        sums.resize(in_w * 3, 0);
        for line in top..bottom {
            let bytes = &src.row((y0 + line) as u32)[x0 * 3..x1 * 3];
            sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += u32::from(byte));
        }
        for (x, &(left, right)) in columns.iter().enumerate() {
            let mut total = [0u32; 3];
            for pixel in sums[left * 3..right * 3].chunks_exact(3) {
                (0..3).for_each(|c| total[c] += pixel[c]);
            }
            let count = ((bottom - top) * (right - left)) as f32;
            (0..3).for_each(|c| write(x, c, (total[c] as f32 / count - MIDDLE) * FACTOR));
        }
    };
    let shared = out.len() >= WORTH_SHARING;
    match order {
        ChannelOrder::Interleaved => {
            let fill = |sums: &mut Vec<u32>, (y, line): (usize, &mut [f32])| {
                row(y, sums, &mut |x, c, v| line[x * 3 + c] = v);
            };
            if shared {
                out.par_chunks_mut(out_w * 3).enumerate().for_each_init(Vec::new, fill);
            } else {
                let mut sums = Vec::new();
                out.chunks_mut(out_w * 3).enumerate().for_each(|line| fill(&mut sums, line));
            }
        }
        ChannelOrder::Planar => {
            let (red, rest) = out.split_at_mut(out_w * out_h);
            let (green, blue) = rest.split_at_mut(out_w * out_h);
            let fill = |sums: &mut Vec<u32>, (y, ((r, g), b)): (usize, PlanarLine)| {
                row(y, sums, &mut |x, c, v| match c {
                    0 => r[x] = v,
                    1 => g[x] = v,
                    _ => b[x] = v,
                });
            };
            if shared {
                let lines = red.par_chunks_mut(out_w).zip(green.par_chunks_mut(out_w)).zip(blue.par_chunks_mut(out_w));
                lines.enumerate().for_each_init(Vec::new, fill);
            } else {
                let mut sums = Vec::new();
                let lines = red.chunks_mut(out_w).zip(green.chunks_mut(out_w)).zip(blue.chunks_mut(out_w));
                lines.enumerate().for_each(|line| fill(&mut sums, line));
            }
        }
    }
}

/// Binary places of a weight in [`resize_bilinear_fixed`], for columns and rows each.
const WEIGHT_BITS: u32 = 11;

/// For an output line: the two input lines that it is mixed from, and their weights.
fn mixing(input: u32, output: u32, keep_weights: bool) -> Vec<([usize; 2], [i32; 2])> {
    let scale = f64::from(input) / f64::from(output);
    let last = i64::from(input) - 1;
    let weight = |share: f32| (share * (1 << WEIGHT_BITS) as f32).round_ties_even() as i32;
    let line = |i: u32| {
        let at = ((f64::from(i) + 0.5) * scale - 0.5) as f32;
        let first = at.floor();
        let (first, mut share) = (first as i64, at - first);
        if !keep_weights && (first < 0 || first >= last) {
            share = 0.0;
        }
        ([first, first + 1].map(|v| v.clamp(0, last) as usize), [weight(1.0 - share), weight(share)])
    };
    (0..output).map(line).collect()
}

/// The picture at exactly `width` x `height`, each pixel mixed from the four nearest (no smoothing when
/// shrinking), pixel centres at halves, in whole numbers: every pixel is what OpenCV 4.10's `resize`
/// gives with `INTER_LINEAR`, which at exactly half size takes the mean of four instead.
pub fn resize_bilinear_fixed(src: &Raster, width: u32, height: u32) -> Raster {
    let mut out = Raster::new(width, height, [0; 3]);
    let (width, height) = (out.width(), out.height());
    let (columns, rows) = (mixing(src.width(), width, false), mixing(src.height(), height, true));
    let halved = src.width() == 2 * width && src.height() == 2 * height;
    let across = |row: usize, x: usize, c: usize| {
        let ([left, right], [a, b]) = columns[x];
        let line = src.row(row as u32);
        i32::from(line[left * 3 + c]) * a + i32::from(line[right * 3 + c]) * b
    };
    let fill = |(y, line): (usize, &mut [u8])| {
        let ([upper, lower], [a, b]) = rows[y];
        for (at, value) in line.iter_mut().enumerate() {
            let (x, c) = (at / 3, at % 3);
            *value = if halved {
                let pair = |row: u32| u32::from(src.row(row)[6 * x + c]) + u32::from(src.row(row)[6 * x + 3 + c]);
                ((pair(2 * y as u32) + pair(2 * y as u32 + 1) + 2) >> 2) as u8
            } else {
                let mixed = ((a * (across(upper, x, c) >> 4)) >> 16) + ((b * (across(lower, x, c) >> 4)) >> 16);
                ((mixed + 2) >> 2).clamp(0, 255) as u8
            };
        }
    };
    out.data_mut().par_chunks_mut(width as usize * 3).enumerate().for_each(fill);
    out
}

/// The picture in its own proportions, as large as fits into `max_width` x `max_height`.
pub fn fit_within(src: &Raster, max_width: u32, max_height: u32) -> Raster {
    let (width, height) = (f64::from(src.width()), f64::from(src.height()));
    let scale = (f64::from(max_width) / width).min(f64::from(max_height) / height);
    let length = |v: f64| ((v * scale).round() as u32).max(1);
    let (new_width, new_height) = (length(width), length(height));
    if (new_width, new_height) == (src.width(), src.height()) {
        return src.clone();
    }
    resize_with(src, new_width, new_height, fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom))
}

fn resize_with(src: &Raster, width: u32, height: u32, algorithm: fir::ResizeAlg) -> Raster {
    let mut resized = Raster::new(width, height, [0; 3]);
    let (width, height) = (resized.width(), resized.height());
    let source = ImageRef::new(src.width(), src.height(), src.data(), fir::PixelType::U8x3);
    let target = Image::from_slice_u8(width, height, resized.data_mut(), fir::PixelType::U8x3);
    let options = fir::ResizeOptions::new().resize_alg(algorithm);
    // A Raster's buffer always fits its size, so neither view nor the resize of equal pixel types fails.
    let done = source.ok().zip(target.ok()).map(|(s, mut t)| fir::Resizer::new().resize(&s, &mut t, &options));
    debug_assert!(matches!(done, Some(Ok(()))));
    resized
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn noise(width: u32, height: u32, seed: u64) -> Raster {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let data = (0..width * height * 3).map(|_| rng.random()).collect();
        Raster::from_rgb(width, height, data).unwrap()
    }

    #[test]
    fn area_is_the_mean_over_each_window() {
        let mut rng = ChaCha8Rng::seed_from_u64(12);
        for round in 0..60 {
            let (w, h) = (rng.random_range(1..90), rng.random_range(1..90));
            let src = noise(w, h, round);
            let (w, h) = (w as usize, h as usize);
            let (x0, y0) = (rng.random_range(0..w), rng.random_range(0..h));
            let region = Region { x0, y0, x1: rng.random_range(x0 + 1..=w), y1: rng.random_range(y0 + 1..=h) };
            let (ow, oh) = (rng.random_range(1..70), rng.random_range(1..70));
            let mut planar = vec![0f32; 3 * ow * oh];
            let mut mixed = planar.clone();
            resize_area(&src, region, ow, oh, &mut planar, ChannelOrder::Planar);
            resize_area(&src, region, ow, oh, &mut mixed, ChannelOrder::Interleaved);
            for (y, x, c) in (0..oh).flat_map(|y| (0..ow).flat_map(move |x| (0..3).map(move |c| (y, x, c)))) {
                let (top, bottom) = (y * (region.y1 - y0) / oh, ((y + 1) * (region.y1 - y0)).div_ceil(oh));
                let (left, right) = (x * (region.x1 - x0) / ow, ((x + 1) * (region.x1 - x0)).div_ceil(ow));
                let mut sum = 0f64;
                for (v, u) in (top..bottom).flat_map(|v| (left..right).map(move |u| (v, u))) {
                    sum += f64::from(src.pixel((x0 + u) as u32, (y0 + v) as u32)[c]);
                }
                let mean = sum / ((bottom - top) * (right - left)) as f64;
                let wanted = (mean - 127.5) / 128.0;
                assert!((f64::from(planar[c * ow * oh + y * ow + x]) - wanted).abs() < 1e-6);
                assert_eq!(planar[c * ow * oh + y * ow + x], mixed[(y * ow + x) * 3 + c]);
            }
        }
    }

    #[test]
    fn large_outputs_are_the_same_as_small_ones() {
        let src = noise(400, 300, 5);
        let region = Region { x0: 0, y0: 0, x1: 400, y1: 300 };
        let mut whole = vec![0f32; 3 * 400 * 300];
        resize_area(&src, region, 400, 300, &mut whole, ChannelOrder::Interleaved);
        assert!(whole.len() > WORTH_SHARING);
        for (value, &byte) in whole.iter().zip(src.data()) {
            assert_eq!(*value, (f32::from(byte) - 127.5) / 128.0);
        }
    }

    #[test]
    fn fitting_keeps_proportions() {
        let fitted = fit_within(&noise(400, 300, 1), 200, 1000);
        assert_eq!((fitted.width(), fitted.height()), (200, 150));
        let grown = fit_within(&noise(10, 20, 1), 720, 720);
        assert_eq!((grown.width(), grown.height()), (360, 720));
        let line = fit_within(&noise(3000, 1, 1), 100, 100);
        assert_eq!((line.width(), line.height()), (100, 1));
        let flat = resize_bilinear_fixed(&Raster::new(7, 5, [1, 2, 3]), 800, 600);
        assert!(flat.data().chunks(3).all(|p| p == [1, 2, 3]));
    }
}
