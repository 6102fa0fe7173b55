//! Resizing: by area for networks, bilinear and high quality for pictures.

use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
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

/// Part of a picture that may reach beyond its edges: columns `x0..x1` and rows `y0..y1`, counted from its first
/// pixel. What lies beyond is black, so that a part keeps its proportions wherever it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// First column.
    pub x0: i64,
    /// First row.
    pub y0: i64,
    /// One past the last column.
    pub x1: i64,
    /// One past the last row.
    pub y1: i64,
}

impl From<Region> for Frame {
    fn from(r: Region) -> Self {
        Self { x0: r.x0 as i64, y0: r.y0 as i64, x1: r.x1 as i64, y1: r.y1 as i64 }
    }
}

/// Pixel values go to networks as `(v - 127.5) / 128`.
const MIDDLE: f32 = 127.5;
const FACTOR: f32 = 0.007_812_5;

/// The window of input lines that output line `i` is the mean of.
fn window(i: usize, input: usize, output: usize) -> (usize, usize) {
    (i * input / output, ((i + 1) * input).div_ceil(output))
}

/// Shrinks (or grows) part of a picture by taking means, row by row: output line `i` of `n` covers input
/// lines `floor(i * input / n)` to `ceil((i + 1) * input / n)`, which is torch's adaptive average
/// pooling. Each mean `v` is written as `(v - 127.5) / 128`. Beyond the picture's edges it is black.
pub struct AreaRows<'a> {
    src: &'a Raster,
    frame: Frame,
    /// The part of the frame that the picture has.
    region: Region,
    height: usize,
    /// First and one past the last byte of each output column's window, from the region's left edge.
    columns: Vec<(usize, usize)>,
    /// How many columns each window has, those beyond the picture among them.
    widths: Vec<f32>,
}

impl<'a> AreaRows<'a> {
    /// `frame` of `src` at `width` x `height`.
    ///
    /// # Panics
    /// When the frame holds no pixel of the picture, or when a size is zero.
    pub fn new(src: &'a Raster, frame: impl Into<Frame>, width: usize, height: usize) -> Self {
        let frame: Frame = frame.into();
        let within = |edge: i64, length: u32| edge.clamp(0, i64::from(length)) as usize;
        let (x0, x1) = (within(frame.x0, src.width()), within(frame.x1, src.width()));
        let (y0, y1) = (within(frame.y0, src.height()), within(frame.y1, src.height()));
        assert!(x0 < x1 && y0 < y1, "{frame:?}");
        assert!(width > 0 && height > 0, "{width}x{height}");
        let windows = (0..width).map(|x| window(x, (frame.x1 - frame.x0) as usize, width));
        let widths = windows.clone().map(|(left, right)| (right - left) as f32).collect();
        let columns = windows.map(|(left, right)| {
            let place = |at: usize| (frame.x0 + at as i64).clamp(x0 as i64, x1 as i64) as usize - x0;
            (place(left) * 3, place(right) * 3)
        });
        Self { src, frame, region: Region { x0, y0, x1, y1 }, height, columns: columns.collect(), widths }
    }

    /// Writes red, green and blue of row `y`. `sums` is room for the work: the same for one row after
    /// the other.
    ///
    /// # Panics
    /// When a row is shorter than the width, or `y` is outside.
    pub fn row(&self, y: usize, sums: &mut RowSums, red: &mut [f32], green: &mut [f32], blue: &mut [f32]) {
        let rows = self.sum(y, sums);
        let width = self.columns.len();
        let (red, green, blue) = (&mut red[..width], &mut green[..width], &mut blue[..width]);
        let totals = self.totals(&sums.upto).zip(red.iter_mut().zip(&mut *green).zip(&mut *blue));
        totals.for_each(|(total, ((r, g), b))| (*r, *g, *b) = total.into());
        for plane in [red, green, blue] {
            for (value, width) in plane.iter_mut().zip(&self.widths) {
                *value = normalised(*value, rows * width);
            }
        }
    }

    /// Writes row `y` pixel by pixel.
    ///
    /// # Panics
    /// When `y` is outside.
    pub fn interleaved_row(&self, y: usize, sums: &mut RowSums, out: &mut [f32]) {
        let rows = self.sum(y, sums);
        let totals = self.totals(&sums.upto).zip(&self.widths);
        for ((total, width), pixel) in totals.zip(out.as_chunks_mut::<3>().0) {
            *pixel = total.map(|t| normalised(t, rows * width));
        }
    }

    /// Sums up the rows of row `y`'s window, and along them; says how many they are, those beyond the picture among
    /// them. Black adds nothing to a sum.
    fn sum(&self, y: usize, sums: &mut RowSums) -> f32 {
        assert!(y < self.height, "row {y} of {}", self.height);
        let Region { x0, x1, y0, y1 } = self.region;
        let (top, bottom) = window(y, (self.frame.y1 - self.frame.y0) as usize, self.height);
        let rows = (bottom - top) as f32;
        let place = |at: usize| (self.frame.y0 + at as i64).clamp(y0 as i64, y1 as i64) as usize;
        let (top, bottom) = (place(top), place(bottom));
        let line = |y: usize| &self.src.row(y as u32)[x0 * 3..x1 * 3];
        if top == bottom {
            sums.upto.clear();
            sums.upto.resize((x1 - x0 + 1) * 3, 0);
            return rows;
        }
        // The window's rows are summed first, which the compiler turns into vector code. Sums of bytes are
        // exact.
        if bottom - top <= RowSums::ROWS_IN_16_BITS {
            sums.short.clear();
            sums.short.extend(line(top).iter().map(|&byte| u16::from(byte)));
            for y in top + 1..bottom {
                sums.short.iter_mut().zip(line(y)).for_each(|(sum, &byte)| *sum += u16::from(byte));
            }
            run_up(&sums.short, &mut sums.upto);
        } else {
            sums.long.clear();
            sums.long.resize((x1 - x0) * 3, 0);
            for y in top..bottom {
                sums.long.iter_mut().zip(line(y)).for_each(|(sum, &byte)| *sum += u32::from(byte));
            }
            run_up(&sums.long, &mut sums.upto);
        }
        rows
    }

    /// The sums of each window.
    fn totals(&self, upto: &[u32]) -> impl Iterator<Item = [f32; 3]> {
        self.columns.iter().map(|&(left, right)| {
            let (before, after) = (&upto[left..left + 3], &upto[right..right + 3]);
            std::array::from_fn(|c| after[c].wrapping_sub(before[c]) as f32)
        })
    }
}

fn normalised(total: f32, count: f32) -> f32 {
    (total / count - MIDDLE) * FACTOR
}

/// Writes to place `i` the sum of every third number before it: of its own colour's, left of it.
/// Sums wrap around; their differences do not, as long as those fit.
fn run_up<T: Copy + Into<u32>>(sums: &[T], upto: &mut Vec<u32>) {
    upto.resize(sums.len() + 3, 0);
    let mut total = [0u32; 3];
    for (to, pixel) in upto.as_chunks_mut::<3>().0[1..].iter_mut().zip(sums.as_chunks::<3>().0) {
        total = std::array::from_fn(|c| total[c].wrapping_add(pixel[c].into()));
        *to = total;
    }
}

/// Room for [`AreaRows::row`].
#[derive(Default)]
pub struct RowSums {
    /// The window's rows summed.
    short: Vec<u16>,
    long: Vec<u32>,
    upto: Vec<u32>,
}

impl RowSums {
    /// Rows of bytes whose sums fit into 16 bits.
    const ROWS_IN_16_BITS: usize = 257;
}

/// The whole of [`AreaRows`] as planes `[3, height, width]`.
///
/// # Panics
/// As [`AreaRows::new`], and when `out` does not hold exactly `3 * width * height` f32 values.
pub fn resize_area(src: &Raster, frame: impl Into<Frame>, width: usize, height: usize, out: &mut [f32]) {
    let rows = AreaRows::new(src, frame, width, height);
    assert_eq!(out.len(), 3 * width * height, "three planes");
    let (red, rest) = out.split_at_mut(width * height);
    let (green, blue) = rest.split_at_mut(width * height);
    let lines = red.chunks_mut(width).zip(green.chunks_mut(width)).zip(blue.chunks_mut(width));
    let mut sums = RowSums::default();
    for (y, ((r, g), b)) in lines.enumerate() {
        rows.row(y, &mut sums, r, g, b);
    }
}

/// The whole of [`AreaRows`] pixel by pixel, `[height, width, 3]`.
///
/// # Panics
/// As [`resize_area`].
pub fn resize_area_interleaved(src: &Raster, frame: Frame, width: usize, height: usize, out: &mut [f32]) {
    let rows = AreaRows::new(src, frame, width, height);
    assert_eq!(out.len(), 3 * width * height, "three numbers a pixel");
    let mut sums = RowSums::default();
    for (y, row) in out.chunks_mut(3 * width).enumerate() {
        rows.interleaved_row(y, &mut sums, row);
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
/// shrinking), pixel centres at half-integers, in fixed-point integers: every pixel is what OpenCV 4.10's `resize`
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
    resize_part(src, whole(src), new_width, new_height, fir::FilterType::CatmullRom)
}

/// The picture at `width` x `height` by a triangle filter that widens with the reduction, as Pillow's
/// bilinear resize does; sizes are those that [`Raster::new`] makes of them.
pub fn resize_triangle(src: &Raster, width: u32, height: u32) -> Raster {
    resize_part(src, whole(src), width, height, fir::FilterType::Bilinear)
}

/// Part of the picture at `width` x `height`, where each pixel is the mean of those whose centres it covers.
///
/// # Panics
/// When the part is empty or reaches outside.
pub(super) fn shrink_part(src: &Raster, part: Region, width: u32, height: u32) -> Raster {
    resize_part(src, part, width, height, fir::FilterType::Box)
}

fn whole(src: &Raster) -> Region {
    Region { x0: 0, y0: 0, x1: src.width() as usize, y1: src.height() as usize }
}

/// Pixels read from which on a resize is worth more than one thread.
const MANY_PIXELS: usize = 1 << 20;
/// Rows written that go to one thread; not a share of them, so that the answer does not depend on the threads.
const BAND: u32 = 64;

/// By the typed call: the one that takes a picture's type at run time is compiled for every type of pixel.
fn resize_part(src: &Raster, part: Region, width: u32, height: u32, filter: fir::FilterType) -> Raster {
    let Region { x0, y0, x1, y1 } = part;
    assert!(x0 < x1 && y0 < y1 && x1 <= src.width() as usize && y1 <= src.height() as usize, "{part:?}");
    let mut resized = Raster::new(width, height, [0; 3]);
    let (width, height) = (resized.width(), resized.height());
    let source = TypedImageRef::<U8x3>::from_buffer(src.width(), src.height(), src.data());
    let rows = if (x1 - x0) * (y1 - y0) < MANY_PIXELS { height } else { BAND.min(height) };
    let line = width as usize * 3;
    let (left, top, bottom) = (x0 as f64, y0 as f64, y1 as f64);
    let edge = |row: u32| (top + (bottom - top) * f64::from(row) / f64::from(height)).min(bottom);
    let band = |(i, pixels): (usize, &mut [u8])| {
        let first = i as u32 * rows;
        let count = (pixels.len() / line) as u32;
        let (from, to) = (edge(first), edge(first + count));
        let options = fir::ResizeOptions::new().crop(left, from, (x1 - x0) as f64, to - from);
        let options = options.resize_alg(fir::ResizeAlg::Convolution(filter));
        let target = TypedImage::<U8x3>::from_buffer(width, count, pixels);
        // A Raster's buffer always fits its size, so neither view nor the resize fails.
        let views = source.as_ref().ok().zip(target.ok());
        let done = views.map(|(s, mut t)| fir::Resizer::new().resize_typed(s, &mut t, &options));
        debug_assert!(matches!(done, Some(Ok(()))), "{done:?}");
    };
    resized.data_mut().par_chunks_mut(line * rows as usize).enumerate().for_each(band);
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
            resize_area(&src, region, ow, oh, &mut planar);
            resize_area_interleaved(&src, region.into(), ow, oh, &mut mixed);
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
    fn what_lies_beyond_the_picture_is_black() {
        let mut rng = ChaCha8Rng::seed_from_u64(21);
        for round in 0..60 {
            let (w, h) = (rng.random_range(1..40u32), rng.random_range(1..40u32));
            let src = noise(w, h, 100 + round);
            // A frame that holds at least one pixel, and the same part of the picture on a black canvas.
            let edges = |length: u32, rng: &mut ChaCha8Rng| {
                let first = rng.random_range(-30..i64::from(length));
                (first, rng.random_range(first.max(0) + 1..i64::from(length) + 30))
            };
            let ((x0, x1), (y0, y1)) = (edges(w, &mut rng), edges(h, &mut rng));
            let mut canvas = Raster::new((x1 - x0) as u32, (y1 - y0) as u32, [0; 3]);
            canvas.blit(&src, -x0, -y0);
            let (ow, oh) = (rng.random_range(1..50), rng.random_range(1..50));
            let (mut framed, mut padded) = (vec![0f32; 3 * ow * oh], vec![0f32; 3 * ow * oh]);
            resize_area_interleaved(&src, Frame { x0, y0, x1, y1 }, ow, oh, &mut framed);
            resize_area_interleaved(&canvas, whole(&canvas).into(), ow, oh, &mut padded);
            assert_eq!(framed, padded, "{w}x{h}: {x0},{y0} to {x1},{y1} at {ow}x{oh}");
        }
    }

    #[test]
    fn windows_of_many_rows_do_not_overflow() {
        let white = Raster::new(3, 1000, [255; 3]);
        let region = Region { x0: 0, y0: 0, x1: 3, y1: 1000 };
        for height in [1, 2, 3, 4, 5] {
            let mut out = vec![0f32; 3 * height];
            resize_area(&white, region, 1, height, &mut out);
            assert!(out.iter().all(|&v| v == 127.5 / 128.0), "{height}");
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

    #[test]
    fn bands_meet_without_a_seam() {
        let src = noise(1500, 1100, 3);
        for filter in [fir::FilterType::Box, fir::FilterType::Bilinear, fir::FilterType::CatmullRom] {
            for (part, width, height) in
                [(whole(&src), 401, 303), (Region { x0: 7, y0: 3, x1: 1490, y1: 1099 }, 77, 129)]
            {
                let banded = resize_part(&src, part, width, height, filter);
                let mut at_once = Raster::new(width, height, [0; 3]);
                let source = TypedImageRef::<U8x3>::from_buffer(1500, 1100, src.data()).unwrap();
                let mut target = TypedImage::<U8x3>::from_buffer(width, height, at_once.data_mut()).unwrap();
                let Region { x0, y0, x1, y1 } = part;
                let options = fir::ResizeOptions::new().crop(x0 as f64, y0 as f64, (x1 - x0) as f64, (y1 - y0) as f64);
                let options = options.resize_alg(fir::ResizeAlg::Convolution(filter));
                fir::Resizer::new().resize_typed(&source, &mut target, &options).unwrap();
                let gap = banded.data().iter().zip(at_once.data()).map(|(a, &b)| a.abs_diff(b)).max();
                assert!(gap <= Some(1), "{filter:?} {part:?}: {gap:?}");
            }
        }
    }
}
