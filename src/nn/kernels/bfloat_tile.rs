//! The product of bfloat16 numbers, and what splits its inputs, for each path.
//!
//! A bfloat16 is the upper half of an f32: eight bits of a number. An input is split in two of them, which together
//! have sixteen of its bits; a weight is rounded to one, or split, too. The products of an input's halves with a
//! weight, or (all but that of the lower two) with its halves, are summed in f32: `tdpbf16ps` of Intel's AMX (Intel 64
//! and IA-32 Architectures Software Developer's Manual, volume 2).

use half::bf16;

use super::lanes::{LANES, Lanes, Plain};
use super::tile::After;
use crate::simd::Simd;

/// Numbers of a row that stand together: first their upper halves, then their lower ones.
pub(super) const BLOCK: usize = 32;
/// Pixels and outputs of the widest product.
pub(super) const SIDE: usize = 2 * LANES;

/// What pixels by a panel of outputs are computed from, and where they go.
pub(super) struct Product<'a> {
    /// The pixels' split windows, `pitch` halves from one to the next; room for whole sixteens of pixels.
    pub rows: *const bf16,
    pub pitch: usize,
    /// Blocks in a row.
    pub blocks: usize,
    /// `[blocks, halves, vectors, 16 pairs, 16 outputs, 2]`.
    pub weights: *const bf16,
    /// How many each weight has: the upper one and the lower, or one.
    pub halves: usize,
    pub bias: *const f32,
    pub vectors: usize,
    pub after: After,
    pub target: Target<'a>,
}

/// Where the results of some pixels go, at most [`SIDE`] of them.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// Each pixel's place, and that of what is added to it: numbers from `out` and `add` on.
    pub places: &'a [(usize, usize)],
    /// No two pixels go nearer to each other than this.
    pub pixel: usize,
    pub out: *mut f32,
    pub add: Option<*const f32>,
}

impl Product<'_> {
    /// Where the first pixel's results go.
    pub(super) fn first(&self) -> *mut f32 {
        self.target.out.wrapping_add(self.target.places[0].0)
    }

    /// Whether the sums are the results, and may be written to where those go.
    pub(super) fn is_sums(&self) -> bool {
        let Target { places, pixel, add, .. } = self.target;
        // Were one of the steps longer, they would be longer together.
        let even = places[places.len() - 1].0 - places[0].0 == (places.len() - 1) * pixel;
        even && places.len().is_multiple_of(LANES) && add.is_none() && matches!(self.after, After::Nothing)
    }
}

/// Windows at even steps, to be split into rows.
pub(super) struct Windows<'a> {
    pub first: *const f32,
    pub step: usize,
    pub count: usize,
    /// Where the runs of a window begin, and how many numbers each has: a multiple of sixteen.
    pub runs: &'a [usize],
    pub run: usize,
    /// The first row, and the halves from one to the next. What is left of a row's last block becomes zeros.
    pub rows: *mut bf16,
    pub pitch: usize,
}

/// The functions of one path.
pub(super) struct BfloatKernels {
    /// Before and after products on a thread.
    pub begin: unsafe fn(),
    pub end: unsafe fn(),
    pub split: unsafe fn(&Windows),
    pub multiply: unsafe fn(&Product),
}

impl BfloatKernels {
    /// Those of `simd`, where this processor and its system have instructions for them.
    pub(super) fn of(simd: Simd) -> Option<&'static Self> {
        match simd {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Simd::Avx512 if super::amx::allowed() => Some(&super::amx::KERNELS),
            Simd::Scalar => Some(&PLAIN),
            _ => None,
        }
    }
}

/// The nearest bfloat16 (the larger one of two), and what is left of the number. What is none leaves none, and so does
/// what is infinite, or nearer to that than to the greatest bfloat16.
pub(super) fn split(v: f32) -> (bf16, bf16) {
    let upper = bf16::from_bits((v.to_bits().wrapping_add(0x8000) >> 16) as u16);
    (upper, bf16::from_f32(v - upper.to_f32()))
}

/// Sums to results, `N` vectors a pixel.
///
/// # Safety
/// What `p` names can be read and written, and nothing else touches what is written; `sums` are `[pixels, SIDE]`.
#[inline(always)]
pub(super) unsafe fn finish_body<L: Lanes, const N: usize>(p: &Product, sums: *const f32) {
    // SAFETY: handed on to the caller.
    unsafe {
        // A loop for each: one that asked for every vector would be twice as long.
        match (p.after, p.target.add) {
            (After::Nothing, None) => finish_each::<L, N>(p, sums, None, After::Nothing),
            (After::Relu, None) => finish_each::<L, N>(p, sums, None, After::Relu),
            (After::Relu6, None) => finish_each::<L, N>(p, sums, None, After::Relu6),
            (after, add) => finish_each::<L, N>(p, sums, add, after),
        }
    }
}

/// # Safety
/// As for [`finish_body`].
#[inline(always)]
unsafe fn finish_each<L: Lanes, const N: usize>(p: &Product, sums: *const f32, add: Option<*const f32>, after: After) {
    for (pixel, &(to, from)) in p.target.places.iter().enumerate() {
        // SAFETY: handed on to the caller.
        unsafe {
            // One by one: an array of them that is taken apart goes through memory.
            for n in 0..N {
                let mut v = L::load(sums.add(pixel * SIDE + n * LANES));
                if let Some(add) = add {
                    v = L::add(v, L::load(add.add(from + n * LANES)));
                }
                L::store(p.target.out.add(to + n * LANES), after.apply::<L>(v, n));
            }
        }
    }
}

static PLAIN: BfloatKernels =
    BfloatKernels { begin: nothing, end: nothing, split: split_plain, multiply: multiply_plain };

unsafe fn nothing() {}

/// # Safety
/// The windows can be read, and the rows written.
unsafe fn split_plain(w: &Windows) {
    let length = w.runs.len() * w.run;
    for pixel in 0..w.count {
        for k in 0..length.next_multiple_of(BLOCK) {
            // SAFETY: as the caller holds.
            unsafe {
                let v = if k < length { *w.first.add(pixel * w.step + w.runs[k / w.run] + k % w.run) } else { 0.0 };
                let (upper, lower) = split(v);
                let at = w.rows.add(pixel * w.pitch + k / BLOCK * 2 * BLOCK + k % BLOCK);
                at.write(upper);
                at.add(BLOCK).write(lower);
            }
        }
    }
}

/// # Safety
/// What `p` names can be read and written, and nothing else touches what is written.
unsafe fn multiply_plain(p: &Product) {
    let mut sums = [0.0; SIDE * SIDE];
    // SAFETY: handed on to the caller.
    unsafe {
        if p.is_sums() {
            return sum_plain(p, p.first(), p.target.pixel);
        }
        sum_plain(p, sums.as_mut_ptr(), SIDE);
        match p.vectors {
            2 => finish_body::<Plain, 2>(p, sums.as_ptr()),
            _ => finish_body::<Plain, 1>(p, sums.as_ptr()),
        }
    }
}

/// # Safety
/// What `p` names can be read, and `to` written.
unsafe fn sum_plain(p: &Product, to: *mut f32, step: usize) {
    for pixel in 0..p.target.places.len() {
        for lane in 0..p.vectors * LANES {
            // SAFETY: as the caller holds.
            unsafe {
                let mut sum = *p.bias.add(lane);
                for block in 0..p.blocks {
                    let row = p.rows.add(pixel * p.pitch + block * 2 * BLOCK);
                    let tile = block * p.halves * p.vectors + lane / LANES;
                    let weights = p.weights.add(tile * BLOCK * LANES + lane % LANES * 2);
                    for k in 0..BLOCK {
                        let weight = weights.add(k / 2 * 2 * LANES + k % 2);
                        let (upper, lower) = ((*row.add(k)).to_f32(), (*row.add(k + BLOCK)).to_f32());
                        sum += upper * (*weight).to_f32() + lower * (*weight).to_f32();
                        if p.halves == 2 {
                            sum += upper * (*weight.add(p.vectors * BLOCK * LANES)).to_f32();
                        }
                    }
                }
                *to.add(pixel * step + lane) = sum;
            }
        }
    }
}
