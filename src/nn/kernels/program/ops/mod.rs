//! Operators with their addresses worked out, and in which numbers they are computed.

use std::ops::Range;

use half::f16;

use super::half_tile::HalfKernels;
use super::input::RowFill;
use super::integer::IntegerOp;
use super::integer_tile::IntegerKernels;
use super::lanes::Number;
use super::layout::View;
use super::map_ops::MapOp;
use super::winograd::Winograd;
use crate::Simd;

/// What the operators of a step work on.
#[derive(Clone, Copy)]
pub(super) struct Bases<'a> {
    /// Where the maps of a workspace begin, by number.
    pub maps: &'a [*mut f32],
    /// The weights of the program.
    pub weights: &'a [f32],
    /// A number that no other step of any run has.
    pub step: u64,
    /// What writes a row of the input, where that is asked for when it is needed.
    pub rows: Option<&'a RowFill<'a>>,
}

/// In which numbers the convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Single precision.
    F32,
    /// 16-bit whole numbers, where that pays.
    Int16,
    /// Maps and weights of halves, but for the input and for the convolutions that read it.
    Half,
}

impl Bases<'_> {
    /// Where the map of a view begins.
    pub(super) fn map<N: Number>(&self, view: &View) -> *mut N {
        self.maps[view.map].cast()
    }
}

impl Arithmetic {
    /// Everything that this processor can compute in, by paths.
    pub fn available() -> Vec<(Simd, Self)> {
        let kinds = |simd| {
            let all = [Self::F32, Self::Int16, Self::Half];
            all.into_iter().filter(move |kind| kind.runs_by(simd))
        };
        Simd::available().into_iter().flat_map(|simd| kinds(simd).map(move |kind| (simd, kind))).collect()
    }

    /// Whether there are kernels of that path for it, and this processor has their instructions.
    pub fn runs_by(self, simd: Simd) -> bool {
        match self {
            Self::F32 => true,
            Self::Int16 => IntegerKernels::of(simd).is_some(),
            Self::Half => HalfKernels::of(simd).is_some(),
        }
    }

    /// As `--precision` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int16 => "int16",
            Self::Half => "f16",
        }
    }
}

// SAFETY: the pointers are followed only by `Op::run`, whose callers hold that no two pieces that run at
// the same time touch the same numbers.
unsafe impl Send for Bases<'_> {}
// SAFETY: as above.
unsafe impl Sync for Bases<'_> {}

/// Products that are worth a piece of their own: about ten microseconds of one core.
pub(super) const PIECE: usize = 600_000;

pub(super) enum Op {
    Full(MapOp<f32>),
    Half(MapOp<f16>),
    Integer(IntegerOp),
    Winograd(Winograd),
}

impl Op {
    /// Multiplications for one image.
    pub(super) fn products(&self) -> usize {
        match self {
            Self::Full(op) => op.products(),
            Self::Half(op) => op.products(),
            Self::Winograd(op) => op.products(),
            Self::Integer(IntegerOp { conv, .. }) => conv.products(),
        }
    }

    /// Whether it can ask for rows of the input, or does not read it.
    pub(super) fn takes_rows(&self) -> bool {
        match self {
            Self::Full(op) => op.takes_rows(),
            Self::Half(op) => op.takes_rows(),
            Self::Integer(IntegerOp { conv, .. }) => !conv.reads_input(),
            Self::Winograd(op) => !op.reads_input(),
        }
    }

    /// Into how many pieces the operator falls for `n` images on `threads`.
    pub(super) fn pieces(&self, n: usize, threads: usize) -> usize {
        match self {
            Self::Full(op) => op.pieces(n, threads),
            Self::Half(op) => op.pieces(n, threads),
            Self::Winograd(op) => {
                let (panels, blocks) = op.cut(n, threads);
                panels * blocks
            }
            Self::Integer(IntegerOp { conv, .. }) => conv.pieces(n, threads),
        }
    }

    /// Computes one piece.
    ///
    /// # Safety
    /// `bases` are the maps of a workspace for at least `n` images, laid out as this operator was
    /// lowered for; `piece < self.pieces(n, threads)`; what runs at the same time are other pieces of
    /// this operator or operators of the same step.
    pub(super) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        // SAFETY: handed on to the caller.
        unsafe {
            match self {
                Self::Full(op) => op.run(bases, n, threads, piece),
                Self::Half(op) => op.run(bases, n, threads, piece),
                Self::Integer(op) => op.run(bases, n, threads, piece),
                Self::Winograd(op) => op.run(bases, n, threads, piece),
            }
        }
    }
}

/// Part `i` of `parts` nearly equal parts of `0..length`.
pub(super) fn part(length: usize, parts: usize, i: usize) -> Range<usize> {
    length * i / parts..length * (i + 1) / parts
}
