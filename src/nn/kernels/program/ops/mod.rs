//! Operators: layers with their addresses worked out.

pub(crate) mod bases;
pub(crate) mod conv;
pub(crate) mod depth_to_space;
pub(crate) mod int16;
pub(crate) mod map;
pub(crate) mod winograd;

use half::f16;

use self::bases::Bases;
use self::int16::Int16Op;
use self::map::MapOp;
use self::winograd::Winograd;

pub(crate) enum Op {
    F32(MapOp<f32>),
    F16(MapOp<f16>),
    Int16(Int16Op),
    Winograd(Winograd),
}

impl Op {
    /// Multiplications for one image.
    pub(crate) fn products(&self) -> usize {
        match self {
            Self::F32(op) => op.products(),
            Self::F16(op) => op.products(),
            Self::Winograd(op) => op.products(),
            Self::Int16(Int16Op { conv, .. }) => conv.products(),
        }
    }

    /// Whether it can ask for rows of the input, or does not read it.
    pub(crate) fn takes_rows(&self) -> bool {
        match self {
            Self::F32(op) => op.takes_rows(),
            Self::F16(op) => op.takes_rows(),
            Self::Int16(Int16Op { conv, .. }) => !conv.reads_input(),
            Self::Winograd(op) => !op.reads_input(),
        }
    }

    /// Into how many pieces the operator falls for `n` images on `threads`.
    pub(crate) fn pieces(&self, n: usize, threads: usize) -> usize {
        match self {
            Self::F32(op) => op.pieces(n, threads),
            Self::F16(op) => op.pieces(n, threads),
            Self::Winograd(op) => {
                let (panels, blocks) = op.cut(n, threads);
                panels * blocks
            }
            Self::Int16(Int16Op { conv, .. }) => conv.pieces(n, threads),
        }
    }

    /// Computes one piece.
    ///
    /// # Safety
    /// `bases` are the maps of a workspace for at least `n` images, laid out as this operator was
    /// lowered for; `piece < self.pieces(n, threads)`; what runs at the same time are other pieces of
    /// this operator or operators of the same step.
    pub(crate) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        // SAFETY: handed on to the caller.
        unsafe {
            match self {
                Self::F32(op) => op.run(bases, n, threads, piece),
                Self::F16(op) => op.run(bases, n, threads, piece),
                Self::Int16(op) => op.run(bases, n, threads, piece),
                Self::Winograd(op) => op.run(bases, n, threads, piece),
            }
        }
    }
}
