//! The innermost loops, over any [`Number`]: a tile of pixels by output channels held in registers while a window
//! passes, and windows of each channel alone.
//!
//! Implicit GEMM: row `p` of the left matrix is not copied (no im2col) but read through a pointer to the window of
//! pixel `p`, as runs of consecutive values (a whole row of a window, where maps store nothing between its pixels).
//! The right matrix is packed panel by panel in the order it is read.

use std::ops::Range;

use crate::lanes::paths::{by_path, compiled, for_each_path, tile_table};
use crate::lanes::{LANES, MapProducts, Number, Products, Vectors};
use crate::simd::Simd;

/// Pixels in the tallest tile of any instruction set.
pub(crate) const TALLEST: usize = 12;

/// What happens to a sum before it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum After {
    Nothing,
    Relu,
    /// Bounded by zero and six.
    Relu6,
    /// Negative sums are multiplied by the slope of their channel; the pointer is at the panel's first.
    PRelu(*const f32),
}

impl After {
    /// What becomes of vector `n` of a panel.
    ///
    /// # Safety
    /// The slopes can be read, and the processor has the instructions.
    #[inline(always)]
    pub(crate) unsafe fn apply<V: Vectors>(self, v: V::Vector, n: usize) -> V::Vector {
        // SAFETY: handed on to the caller.
        unsafe {
            let zero = V::splat(&V::Number::ZERO);
            match self {
                Self::Nothing => v,
                // Its second operand is what comes of NaN.
                Self::Relu => V::max(zero, v),
                Self::Relu6 => V::bounded(v, zero, V::splat(&V::Number::SIX)),
                Self::PRelu(slope) => V::prelu(v, V::load_floats(slope.add(n * LANES)), zero),
            }
        }
    }
}

/// One tile: `pixels` of it by one panel of output channels.
pub(crate) struct Tile<'a, N = f32> {
    /// Where the window of each pixel begins.
    pub pixels: [*const N; TALLEST],
    /// Where each run begins, counted from the window's beginning.
    pub runs: &'a [usize],
    /// Values in a run.
    pub run: usize,
    /// `[runs * run, panel]`; in f16 and int16 `[runs, run / 2, panel, 2]`.
    pub weights: *const N,
    /// `[panel]`.
    pub bias: *const f32,
    pub after: After,
    /// Where each pixel's sums go.
    pub out: [*mut N; TALLEST],
    /// What is added to each pixel's sums.
    pub add: Option<[*const N; TALLEST]>,
    /// What this thread is likely to read after this panel, and how many bytes of it to prefetch for each step of the
    /// run.
    pub ahead: (*const N, usize),
}

pub(crate) type TileKernel<N> = unsafe fn(&Tile<N>);

/// Tiles of as many pixels each, of one panel of output channels, side by side: what they read and write lies at even
/// steps.
pub(crate) struct Tiles<'a, N = f32> {
    pub count: usize,
    /// Where the first pixel's window begins, and the values from there to the next one's.
    pub from: *const N,
    pub step: usize,
    pub runs: &'a [usize],
    pub run: usize,
    pub weights: *const N,
    pub bias: *const f32,
    pub after: After,
    /// Where the first pixel's sums go, and the values from there to the next one's.
    pub out: *mut N,
    pub out_step: usize,
}

pub(crate) type TilesKernel<N> = unsafe fn(&Tiles<N>);

/// Windows of a row over one map, all channels alike.
pub(crate) struct Windows<N = f32> {
    /// How many, and the values from a window to the next and from a result to the next.
    pub count: usize,
    pub step: usize,
    pub out_step: usize,
    pub from: *const N,
    pub rows: usize,
    pub columns: usize,
    /// Values from a row of the map to the next, and from a pixel to the next.
    pub row: usize,
    pub column: usize,
    pub out: *mut N,
    /// Vectors of channels.
    pub vectors: usize,
}

/// The functions of one instruction set over maps of `N`.
pub(crate) struct Kernels<N: 'static = f32> {
    /// By vectors of output channels (from 1), then by pixels (from 1).
    pub tiles: &'static [&'static [TileKernel<N>]],
    pub even: &'static [&'static [TilesKernel<N>]],
    pub greatest: unsafe fn(&Windows<N>),
    /// The sum of each window times the factor.
    pub mean: unsafe fn(&Windows<N>, f32),
    /// Adds to each value at the second the one at the first, over that many vectors of channels.
    pub add: unsafe fn(*const N, *mut N, usize),
}

impl Kernels {
    pub(crate) fn of(simd: Simd) -> &'static Self {
        by_path!(simd => &KERNELS)
    }
}

impl<N> Kernels<N> {
    /// Pixels in this set's tallest tile.
    pub(crate) fn tall(&self) -> usize {
        self.tiles[0].len()
    }

    /// Vectors of output channels in this set's widest tile.
    pub(crate) fn wide(&self) -> usize {
        self.tiles.len()
    }

    /// Runs a tile of `pixels` by `vectors`.
    ///
    /// # Safety
    /// This processor has the set's instructions. The first `pixels` entries of `tile.pixels` may be
    /// read over every run (in f16, where a run is odd, one value behind it, too), those of `add` and `out` over
    /// `vectors` vectors, and nothing else writes to what is read or touches what is written meanwhile (`add` may be
    /// `out`). `weights`, `bias` and
    /// slopes are as long as [`Tile`] says.
    pub(crate) unsafe fn tile(&self, pixels: usize, vectors: usize, tile: &Tile<N>) {
        // SAFETY: handed on to the caller.
        unsafe { self.tiles[vectors - 1][pixels - 1](tile) }
    }

    /// Computes `count` pixels by `vectors`, in tiles as even as can be, whatever `tiles.count` says.
    ///
    /// # Safety
    /// As for [`Self::tile`]: every window and result of those pixels.
    pub(crate) unsafe fn line(&self, count: usize, vectors: usize, mut tiles: Tiles<N>) {
        let all = count.div_ceil(self.tall());
        let (each, larger) = (count / all, count % all);
        for (pixels, count) in [(each + 1, larger), (each, all - larger)] {
            tiles.count = count;
            if count > 0 {
                // SAFETY: handed on to the caller.
                unsafe { self.even[vectors - 1][pixels - 1](&tiles) }
                tiles.from = tiles.from.wrapping_add(count * pixels * tiles.step);
                tiles.out = tiles.out.wrapping_add(count * pixels * tiles.out_step);
            }
        }
    }
}

/// What a tile is summed of.
pub(crate) struct Terms<'a, E, const P: usize> {
    pub pixels: [*const E; P],
    pub runs: &'a [usize],
    pub run: usize,
    pub weights: *const E,
    pub ahead: (*const E, usize),
}

/// Adds the products of a tile to its sums; `AHEAD` is whether what it names is prefetched.
///
/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
pub(crate) unsafe fn sum<D: Products<E>, E, const P: usize, const N: usize, const AHEAD: bool>(
    t: &Terms<E, P>,
    first: [D::Sums; N],
) -> [[D::Sums; N]; P] {
    // SAFETY: the caller holds the pointers valid for what is read here.
    unsafe {
        let mut sums = [first; P];
        let mut weights = t.weights;
        let (mut ahead, step) = t.ahead;
        for &begin in t.runs {
            for i in (begin..begin + t.run).step_by(D::STEP) {
                let mut w = first;
                for (n, w) in w.iter_mut().enumerate() {
                    *w = D::load_weights(weights.add(n * LANES * D::STEP));
                }
                weights = weights.add(N * LANES * D::STEP);
                if AHEAD {
                    for line in 0..N {
                        D::prefetch(ahead.wrapping_byte_add(64 * line));
                    }
                    ahead = ahead.wrapping_byte_add(step);
                }
                for (sums, pixel) in sums.iter_mut().zip(t.pixels) {
                    let x = D::splat_values(pixel.add(i));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = D::add_products(x, w, *sum);
                    }
                }
            }
        }
        sums
    }
}

/// The sums of a tile over maps of `E`, as values.
///
/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn values<D: MapProducts<E>, E: Number, const P: usize, const N: usize, const AHEAD: bool>(
    t: &Terms<E, P>,
    bias: *const f32,
) -> [[<D::Out as Vectors>::Vector; N]; P] {
    // SAFETY: the caller holds the pointers valid for what is read here.
    unsafe {
        let mut first = [D::begin(bias); N];
        for (n, first) in first.iter_mut().enumerate() {
            *first = D::begin(bias.add(n * LANES));
        }
        D::finish(sum::<D, E, P, N, AHEAD>(t, first))
    }
}

/// Adds to a tile's values what `add` names, activates and writes them.
///
/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
pub(crate) unsafe fn write<V: Vectors, const P: usize, const N: usize>(
    mut values: [[V::Vector; N]; P],
    add: &Option<[*const V::Number; TALLEST]>,
    after: After,
    out: &[*mut V::Number; TALLEST],
) {
    // Pass by pass, so that every loop unrolls: one index that is not constant, and the compiler keeps all sums
    // in memory, from their first product on.
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        if let Some(add) = add {
            for (values, from) in values.iter_mut().zip(add) {
                for (n, v) in values.iter_mut().enumerate() {
                    *v = V::add(*v, V::load(from.add(n * LANES)));
                }
            }
        }
        for values in &mut values {
            for (n, v) in values.iter_mut().enumerate() {
                *v = after.apply::<V>(*v, n);
            }
        }
        for (out, values) in out.iter().zip(values) {
            for (n, v) in values.into_iter().enumerate() {
                V::store(out.add(n * LANES), v);
            }
        }
    }
}

/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
pub(crate) unsafe fn tile_body<D: MapProducts<E>, E: Number, const P: usize, const N: usize>(t: &Tile<E>) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let mut pixels = [t.pixels[0]; P];
        pixels.copy_from_slice(&t.pixels[..P]);
        let terms = Terms { pixels, runs: t.runs, run: t.run, weights: t.weights, ahead: t.ahead };
        // Where nothing is prefetched, the instructions for it would take the place of loads.
        let values = match t.ahead.1 {
            0 => values::<D, E, P, N, false>(&terms, t.bias),
            _ => values::<D, E, P, N, true>(&terms, t.bias),
        };
        write::<D::Out, P, N>(values, &t.add, t.after, &t.out);
    }
}

/// # Safety
/// As for [`Kernels::line`], with `P` pixels and `N` vectors.
#[inline(always)]
pub(crate) unsafe fn even_body<D: MapProducts<E>, E: Number, const P: usize, const N: usize>(t: &Tiles<E>) {
    let ahead = (std::ptr::null(), 0);
    let (mut from, mut out) = (t.from, t.out);
    for _ in 0..t.count {
        // SAFETY: the caller holds the pointers valid for what is read and written here.
        unsafe {
            let mut pixels = [from; P];
            for pixel in &mut pixels {
                *pixel = from;
                from = from.wrapping_add(t.step);
            }
            let terms = Terms { pixels, runs: t.runs, run: t.run, weights: t.weights, ahead };
            let mut values = values::<D, E, P, N, false>(&terms, t.bias);
            for values in &mut values {
                for (n, v) in values.iter_mut().enumerate() {
                    *v = t.after.apply::<D::Out>(*v, n);
                }
            }
            for values in values {
                for (n, v) in values.into_iter().enumerate() {
                    D::Out::store(out.add(n * LANES), v);
                }
                out = out.wrapping_add(t.out_step);
            }
        }
    }
}

/// Folds windows, vector by vector of those channels.
///
/// # Safety
/// The windows may be read and `out` written over those channels, whole vectors; the processor has the instructions.
#[inline(always)]
pub(crate) unsafe fn window_body<V: Vectors>(
    w: &Windows<V::Number>,
    channels: Range<usize>,
    fold: impl Fn(V::Vector, V::Vector) -> V::Vector,
    factor: Option<V::Number>,
) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        for channel in channels.step_by(V::WIDTH) {
            let (mut from, mut out) = (w.from.add(channel), w.out.add(channel));
            for _ in 0..w.count {
                let mut folded = V::load(from);
                for y in 0..w.rows {
                    // Row by row: a sum in f16 would lose more if it grew value by value.
                    let line = from.add(y * w.row);
                    let mut row = V::load(line);
                    for x in 1..w.columns {
                        row = fold(row, V::load(line.add(x * w.column)));
                    }
                    folded = if y == 0 { row } else { fold(folded, row) };
                }
                if let Some(factor) = factor {
                    folded = V::multiply(folded, V::splat(&factor));
                }
                V::store(out, folded);
                (from, out) = (from.wrapping_add(w.step), out.wrapping_add(w.out_step));
            }
        }
    }
}

/// Adds to each value at `to` the one at `from`, vector by vector of those channels.
///
/// # Safety
/// Those channels of both, whole vectors, may be read, and those of `to` written; the processor has the instructions.
#[inline(always)]
pub(crate) unsafe fn add_body<V: Vectors>(from: *const V::Number, to: *mut V::Number, channels: Range<usize>) {
    for channel in channels.step_by(V::WIDTH) {
        // SAFETY: the caller holds the pointers valid for what is read and written here.
        unsafe { V::store(to.add(channel), V::add(V::load(to.add(channel)), V::load(from.add(channel)))) }
    }
}

macro_rules! path {
    ($name:ident, $lanes:ty, $pixels:tt, $vectors:tt, $block:literal $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            compiled!([$($feature)?]
                fn tile<P, N>(t: &Tile) = tile_body::<$lanes, f32, P, N>(t);
                fn even<P, N>(t: &Tiles) = even_body::<$lanes, f32, P, N>(t);
                fn greatest(w: &Windows) = window_body::<$lanes>(w, 0..w.vectors * LANES, |a, b| <$lanes>::max(a, b), None);
                fn mean(w: &Windows, factor: f32) =
                    window_body::<$lanes>(w, 0..w.vectors * LANES, |a, b| <$lanes>::add(a, b), Some(factor));
                fn add(from: *const f32, to: *mut f32, vectors: usize) =
                    add_body::<$lanes>(from, to, 0..vectors * LANES);
            );

            pub(super) static KERNELS: Kernels = Kernels {
                tiles: tile_table!(tile, $pixels, $vectors),
                even: tile_table!(even, $pixels, $vectors),
                greatest,
                mean,
                add,
            };
        }
    };
}
for_each_path!(path);
