//! The innermost loops: a tile of pixels by output channels held in registers while a window passes.
//!
//! An implicit matrix product: row `p` of the left matrix is not copied but read through a pointer to
//! the window of pixel `p`, as runs of consecutive numbers (a whole row of a window, where maps store
//! nothing between its pixels). The right matrix is packed panel by panel in the order it is read.

use std::ops::Range;

use super::lanes::{LANES, Lanes, Number, Vectors, fetch_each, load_each};
use super::winograd::{Gather, Spread, gather_body, spread_body};
use crate::Simd;

/// Pixels in the tallest tile of any path.
pub(super) const TALLEST: usize = 12;

/// What happens to a sum before it is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum After {
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
    pub(super) unsafe fn apply<V: Vectors>(self, v: V::Vector, n: usize) -> V::Vector {
        // SAFETY: handed on to the caller.
        unsafe {
            let zero = V::splat(&V::Number::ZERO);
            match self {
                Self::Nothing => v,
                // Its second is what comes of a number that is none.
                Self::Relu => V::max(zero, v),
                Self::Relu6 => V::bounded(v, zero, V::splat(&V::Number::SIX)),
                Self::PRelu(slope) => V::prelu(v, V::load_floats(slope.add(n * LANES)), zero),
            }
        }
    }
}

/// One tile: `pixels` of it by one panel of output channels.
pub(super) struct Tile<'a, N = f32> {
    /// Where the window of each pixel begins.
    pub pixels: [*const N; TALLEST],
    /// Where each run begins, counted from the window's beginning.
    pub runs: &'a [usize],
    /// Numbers in a run.
    pub run: usize,
    /// `[runs * run, panel]`; of halves `[runs, run / 2, panel, 2]`.
    pub weights: *const N,
    /// `[panel]`.
    pub bias: *const f32,
    pub after: After,
    /// Where each pixel's sums go.
    pub out: [*mut N; TALLEST],
    /// What is added to each pixel's sums.
    pub add: Option<[*const N; TALLEST]>,
    /// What this thread is likely to read after this panel, and how many bytes of it to ask for a number of the run.
    pub ahead: (*const N, usize),
}

pub(super) type TileKernel<N> = unsafe fn(&Tile<N>);

/// Tiles of as many pixels each, of one panel of output channels, side by side: what they read and write lies at even
/// steps.
pub(super) struct Tiles<'a, N = f32> {
    pub count: usize,
    /// Where the first pixel's window begins, and the numbers from there to the next one's.
    pub from: *const N,
    pub step: usize,
    pub runs: &'a [usize],
    pub run: usize,
    pub weights: *const N,
    pub bias: *const f32,
    pub after: After,
    /// Where the first pixel's sums go, and the numbers from there to the next one's.
    pub out: *mut N,
    pub out_step: usize,
}

pub(super) type TilesKernel<N> = unsafe fn(&Tiles<N>);

/// Windows of a row over one map, all channels alike.
pub(super) struct Windows<N = f32> {
    /// How many, and the numbers from a window to the next and from a result to the next.
    pub count: usize,
    pub step: usize,
    pub out_step: usize,
    pub from: *const N,
    pub rows: usize,
    pub columns: usize,
    /// Numbers from a row of the map to the next, and from a pixel to the next.
    pub row: usize,
    pub column: usize,
    pub out: *mut N,
    /// Vectors of channels.
    pub vectors: usize,
}

/// The functions of one path over maps of such numbers.
pub(super) struct Kernels<N: 'static = f32> {
    /// By vectors of output channels (from 1), then by pixels (from 1).
    pub tiles: &'static [&'static [TileKernel<N>]],
    pub even: &'static [&'static [TilesKernel<N>]],
    pub greatest: unsafe fn(&Windows<N>),
    /// The sum of each window times the factor.
    pub mean: unsafe fn(&Windows<N>, f32),
    /// Adds to each number at the second the one at the first, over that many vectors of channels.
    pub add: unsafe fn(*const N, *mut N, usize),
}

/// Winograd's transform of an input tile, and of a tile of products.
pub(super) struct Transforms {
    pub spread: unsafe fn(&Spread),
    pub gather: unsafe fn(&Gather),
}

impl Kernels {
    pub(super) fn of(simd: Simd) -> &'static Self {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => &avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => &avx512::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Simd::Neon => &neon::KERNELS,
            _ => &plain::KERNELS,
        }
    }
}

impl Transforms {
    pub(super) fn of(simd: Simd) -> &'static Self {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => &avx2::TRANSFORMS,
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => &avx512::TRANSFORMS,
            #[cfg(target_arch = "aarch64")]
            Simd::Neon => &neon::TRANSFORMS,
            _ => &plain::TRANSFORMS,
        }
    }
}

impl<N> Kernels<N> {
    /// Pixels in this path's tallest tile.
    pub(super) fn tall(&self) -> usize {
        self.tiles[0].len()
    }

    /// Vectors of output channels in this path's widest tile.
    pub(super) fn wide(&self) -> usize {
        self.tiles.len()
    }

    /// Runs a tile of `pixels` by `vectors`.
    ///
    /// # Safety
    /// This processor has the path's instructions. The first `pixels` entries of `tile.pixels` may be
    /// read over every run (of halves, where a run is odd, one behind it, too), those of `add` and `out` over `vectors` vectors, and nothing else writes to
    /// what is read or touches what is written meanwhile (`add` may be `out`). `weights`, `bias` and
    /// slopes are as long as [`Tile`] says.
    pub(super) unsafe fn tile(&self, pixels: usize, vectors: usize, tile: &Tile<N>) {
        // SAFETY: handed on to the caller.
        unsafe { self.tiles[vectors - 1][pixels - 1](tile) }
    }

    /// Computes `count` pixels by `vectors`, in tiles as even as can be, whatever `tiles.count` says.
    ///
    /// # Safety
    /// As for [`Self::tile`]: every window and result of those pixels.
    pub(super) unsafe fn line(&self, count: usize, vectors: usize, mut tiles: Tiles<N>) {
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
struct Terms<'a, const P: usize> {
    pixels: [*const f32; P],
    runs: &'a [usize],
    run: usize,
    weights: *const f32,
    bias: *const f32,
    ahead: (*const f32, usize),
}

/// The sums of a tile; `AHEAD` is whether what it names is asked for.
///
/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn sum<L: Lanes, const P: usize, const N: usize, const AHEAD: bool>(t: &Terms<P>) -> [[L::Vector; N]; P] {
    // SAFETY: the caller holds the pointers valid for what is read here.
    unsafe {
        let bias = load_each::<L, N>(t.bias, LANES);
        let mut sums = [bias; P];
        let mut weights = t.weights;
        let (mut ahead, step) = t.ahead;
        for &begin in t.runs {
            for i in begin..begin + t.run {
                let w = load_each::<L, N>(weights, LANES);
                weights = weights.add(N * LANES);
                if AHEAD {
                    fetch_each::<L, N>(ahead);
                    ahead = ahead.wrapping_byte_add(step);
                }
                for (sums, pixel) in sums.iter_mut().zip(t.pixels) {
                    let x = L::splat(pixel.add(i));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = L::multiply_add(x, w, *sum);
                    }
                }
            }
        }
        sums
    }
}

/// # Safety
/// As for [`Kernels::tile`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn tile_body<L: Lanes, const P: usize, const N: usize>(t: &Tile) {
    // SAFETY: the caller holds the pointers valid for what is read and written here.
    unsafe {
        let terms = Terms::<P> {
            pixels: std::array::from_fn(|p| t.pixels[p]),
            runs: t.runs,
            run: t.run,
            weights: t.weights,
            bias: t.bias,
            ahead: t.ahead,
        };
        // Where nothing is asked for, the asking would take the place of loads.
        let mut sums = if t.ahead.1 == 0 { sum::<L, P, N, false>(&terms) } else { sum::<L, P, N, true>(&terms) };
        if let Some(add) = &t.add {
            for (sums, from) in sums.iter_mut().zip(add) {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = L::add(*sum, L::load(from.add(n * LANES)));
                }
            }
        }
        for s in &mut sums {
            for (n, v) in s.iter_mut().enumerate() {
                *v = t.after.apply::<L>(*v, n);
            }
        }
        for (out, s) in t.out.iter().zip(sums) {
            for (n, v) in s.into_iter().enumerate() {
                L::store(out.add(n * LANES), v);
            }
        }
    }
}

/// # Safety
/// As for [`Kernels::line`], with `P` pixels and `N` vectors.
#[inline(always)]
unsafe fn even_body<L: Lanes, const P: usize, const N: usize>(t: &Tiles) {
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
            let terms = Terms { pixels, runs: t.runs, run: t.run, weights: t.weights, bias: t.bias, ahead };
            let mut sums = sum::<L, P, N, false>(&terms);
            for s in &mut sums {
                for (n, v) in s.iter_mut().enumerate() {
                    *v = t.after.apply::<L>(*v, n);
                }
            }
            for s in sums {
                for (n, v) in s.into_iter().enumerate() {
                    L::store(out.add(n * LANES), v);
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
pub(super) unsafe fn window_body<V: Vectors>(
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
                    // Row by row: a sum of halves would lose more if it grew number by number.
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

/// Adds to each number at `to` the one at `from`, vector by vector of those channels.
///
/// # Safety
/// Those channels of both, whole vectors, may be read, and those of `to` written; the processor has the instructions.
#[inline(always)]
pub(super) unsafe fn add_body<V: Vectors>(from: *const V::Number, to: *mut V::Number, channels: Range<usize>) {
    for channel in channels.step_by(V::WIDTH) {
        // SAFETY: the caller holds the pointers valid for what is read and written here.
        unsafe { V::store(to.add(channel), V::add(V::load(to.add(channel)), V::load(from.add(channel)))) }
    }
}

/// The functions of one path, compiled for its instructions.
macro_rules! path {
    ($name:ident, $lanes:ty, [$($pixels:literal)+], [$($vectors:literal)+] $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $feature)])?
            unsafe fn tile<const P: usize, const N: usize>(t: &Tile) {
                // SAFETY: handed on to the caller.
                unsafe { tile_body::<$lanes, P, N>(t) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn even<const P: usize, const N: usize>(t: &Tiles) {
                // SAFETY: handed on to the caller.
                unsafe { even_body::<$lanes, P, N>(t) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn greatest(w: &Windows) {
                // SAFETY: handed on to the caller.
                unsafe { window_body::<$lanes>(w, 0..w.vectors * LANES, |a, b| <$lanes>::max(a, b), None) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn mean(w: &Windows, factor: f32) {
                // SAFETY: handed on to the caller.
                unsafe { window_body::<$lanes>(w, 0..w.vectors * LANES, |a, b| <$lanes>::add(a, b), Some(factor)) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn add(from: *const f32, to: *mut f32, vectors: usize) {
                // SAFETY: handed on to the caller.
                unsafe { add_body::<$lanes>(from, to, 0..vectors * LANES) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn spread(s: &Spread) {
                // SAFETY: handed on to the caller.
                unsafe { spread_body::<$lanes>(s) }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn gather(g: &Gather) {
                // SAFETY: handed on to the caller.
                unsafe { gather_body::<$lanes>(g) }
            }

            pub(super) static KERNELS: Kernels = Kernels {
                tiles: path!(@tiles tile, [$($pixels)+], [$($vectors)+]),
                even: path!(@tiles even, [$($pixels)+], [$($vectors)+]),
                greatest,
                mean,
                add,
            };

            pub(super) static TRANSFORMS: Transforms = Transforms { spread, gather };
        }
    };
    (@tiles $kernel:ident, $pixels:tt, [$($vectors:literal)+]) => { &[$(path!(@row $kernel, $vectors, $pixels)),+] };
    (@row $kernel:ident, $vectors:literal, [$($pixels:literal)+]) => { &[$($kernel::<$pixels, $vectors>),+] };
}

path!(plain, crate::lanes::Plain, [1 2], [1]);
#[cfg(target_arch = "x86_64")]
path!(avx2, crate::lanes::Avx2, [1 2 3 4 5 6], [1], "avx2,fma");
#[cfg(target_arch = "x86_64")]
path!(avx512, crate::lanes::Avx512, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2], "avx512f");
#[cfg(target_arch = "aarch64")]
path!(neon, crate::lanes::Neon, [1 2 3 4 5 6], [1], "neon");
