//! Operators with their addresses worked out, and how each is cut into pieces for several threads.

use std::ops::Range;

use super::band::ChainOp;
use super::bfloat::{BfloatOp, Bfloats};
use super::bfloat_tile::BfloatKernels;
use super::conv::ConvOp;
use super::depthwise::{DepthwiseConv, add_coarser};
use super::integer::{self, IntegerOp};
use super::integer_tile::IntegerKernels;
use super::lanes::LANES;
use super::layout::{Layout, View};
use super::pack::PackedConv;
use super::program::Task;
use super::tile::{Kernels, Window};
use super::winograd::{self, Winograd};
use crate::simd::Simd;

/// What the operators of a step work on.
#[derive(Clone, Copy)]
pub(super) struct Bases<'a> {
    /// Where the maps of a workspace begin, by number.
    pub maps: &'a [*mut f32],
    /// The weights of the program.
    pub weights: &'a [f32],
    /// A number that no other step of any run has.
    pub step: u64,
}

/// In which numbers the convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    F32,
    /// 16-bit whole numbers, where that pays.
    Int16,
    /// Weights of eight bits and inputs of sixteen, as bfloat16 numbers, where that pays.
    Bfloat16,
    /// Both of sixteen bits, as two bfloat16 numbers each, of which three products are summed, where that pays.
    Bfloat16x3,
}

impl Arithmetic {
    /// Everything that this processor can compute in, by paths.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<(Simd, Self)> {
        let kinds = |simd| {
            let all = [Self::F32, Self::Int16, Self::Bfloat16, Self::Bfloat16x3];
            all.into_iter().filter(move |kind| kind.runs_by(simd))
        };
        Simd::available().into_iter().flat_map(|simd| kinds(simd).map(move |kind| (simd, kind))).collect()
    }

    /// Whether there are kernels of that path for it, and this processor has their instructions.
    pub(crate) fn runs_by(self, simd: Simd) -> bool {
        match self {
            Self::F32 => true,
            Self::Int16 => IntegerKernels::of(simd).is_some(),
            Self::Bfloat16 | Self::Bfloat16x3 => BfloatKernels::of(simd).is_some(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int16 => "int16",
            Self::Bfloat16 => "bf16",
            Self::Bfloat16x3 => "bf16x3",
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
    Conv(ConvOp),
    Integer(IntegerOp),
    Bfloat(BfloatOp),
    Depthwise(DepthwiseOp),
    Chain(ChainOp),
    AddCoarser(CoarserOp),
    Winograd(Winograd),
    Max(WindowOp),
    Mean(WindowOp),
}

pub(super) struct DepthwiseOp {
    conv: DepthwiseConv,
    from: View,
    to: View,
    rows: usize,
    columns: usize,
}

pub(super) struct CoarserOp {
    from: View,
    to: View,
    factor: usize,
    channels: usize,
    rows: usize,
    columns: usize,
}

pub(super) struct WindowOp {
    kernels: &'static Kernels,
    from: View,
    to: View,
    window: (usize, usize),
    stride: usize,
    from_size: (usize, usize),
    to_size: (usize, usize),
    vectors: usize,
    /// Vectors written as zeros behind those.
    zeros: usize,
}

/// What tasks are lowered with.
pub(super) struct Lowering<'a> {
    pub layouts: &'a [Layout],
    pub kernels: &'static Kernels,
    /// For convolutions in whole numbers, where they are wanted.
    pub integers: Option<&'static IntegerKernels>,
    /// For convolutions of bfloat16 numbers, where they are wanted.
    pub bfloats: Option<Bfloats>,
}

/// How a convolution is computed.
enum Form {
    Direct,
    Tiles,
    Integer(&'static IntegerKernels),
    Bfloat(Bfloats),
}

impl Lowering<'_> {
    /// How many weights a task needs.
    pub(super) fn weights(&self, task: &Task) -> usize {
        match task {
            Task::Conv { conv, .. } => match self.form(task, &self.conv(task, conv, 0..0)) {
                Form::Direct => conv.weights().len(),
                Form::Tiles => winograd::spread_length(conv),
                Form::Integer(_) => IntegerOp::weights(conv.weights().len()),
                Form::Bfloat(bfloats) => bfloats.weights(conv.packed()),
            },
            Task::Chain(tasks) => {
                let own = |(at, task): (usize, &Task)| match task {
                    Task::Conv { conv, .. } => {
                        self.chained(tasks, at).map_or(conv.weights().len(), |b| b.weights(conv.packed()))
                    }
                    _ => 0,
                };
                tasks.iter().enumerate().map(own).sum()
            }
            _ => 0,
        }
    }

    fn form(&self, task: &Task, op: &ConvOp) -> Form {
        let Task::Conv { conv, from, .. } = task else { return Form::Direct };
        let from_chip = from.map.id == 0;
        let tiles = winograd::pays(conv, op.rows, op.columns);
        match (self.bfloats, self.integers) {
            (Some(bfloats), _) if Bfloats::pays(conv.packed(), op.run, from_chip, tiles) => Form::Bfloat(bfloats),
            _ if tiles => Form::Tiles,
            (_, Some(kernels)) if IntegerOp::pays(op, from_chip) => Form::Integer(kernels),
            _ => Form::Direct,
        }
    }

    /// How a chain's convolution is computed of bfloat16 numbers; none where it is not.
    fn chained(&self, tasks: &[Task], at: usize) -> Option<Bfloats> {
        let Task::Conv { conv, from, .. } = &tasks[at] else { return None };
        let packed = conv.packed();
        // In a ring a window's pixels follow each other.
        let run = match at {
            0 => self.layouts[from.map.id].runs(packed.window, packed.inputs).1,
            _ => packed.window.1 * packed.inputs,
        };
        self.bfloats.filter(|_| Bfloats::pays(packed, run, from.map.id == 0, false))
    }

    fn conv(&self, task: &Task, conv: &PackedConv, weights: Range<usize>) -> ConvOp {
        let (from, to) = (task.reads(), task.writes());
        let (input, packed) = (&self.layouts[from.map.id], conv.packed());
        let (rows, columns) = conv.result_size(from.map);
        let (runs, run) = input.runs(packed.window, packed.inputs);
        ConvOp {
            conv: packed.clone(),
            weights,
            from: input.view(from, packed.padding, packed.stride),
            to: self.layouts[to.map.id].view(to, (0, 0), 1),
            add: task.adds().map(|a| self.layouts[a.map.id].view(a, (0, 0), 1)),
            runs,
            run,
            rows,
            columns,
        }
    }

    /// Lowers a task; its weights go to `start` in the program's.
    pub(super) fn op(&self, task: &Task, start: usize, all_weights: &mut [f32]) -> Op {
        let (from, to) = (task.reads(), task.writes());
        let (input, output) = (&self.layouts[from.map.id], &self.layouts[to.map.id]);
        let window_op = |window, stride| WindowOp {
            kernels: self.kernels,
            from: input.view(from, (0, 0), 1),
            to: output.view(to, (0, 0), 1),
            window,
            stride,
            from_size: (from.map.rows, from.map.columns),
            to_size: (to.map.rows, to.map.columns),
            vectors: from.channels.div_ceil(LANES),
            zeros: to.channels.div_ceil(LANES) - from.channels.div_ceil(LANES),
        };
        match task {
            Task::Conv { conv, .. } => {
                let weights = start..start + self.weights(task);
                let own = &mut all_weights[weights.clone()];
                let op = self.conv(task, conv, weights);
                match self.form(task, &op) {
                    Form::Tiles => {
                        winograd::spread_all(conv, own);
                        Op::Winograd(Winograd::of(op))
                    }
                    Form::Integer(kernels) => {
                        let read = (from.first, from.channels);
                        let steps = integer::round_weights(&op.conv, conv.weights(), own);
                        Op::Integer(IntegerOp::new(op, kernels, steps, read, *input))
                    }
                    Form::Bfloat(bfloats) => {
                        bfloats.pack(&op.conv, conv.weights(), own);
                        Op::Bfloat(BfloatOp { conv: op, bfloats })
                    }
                    Form::Direct => {
                        own.copy_from_slice(conv.weights());
                        Op::Conv(op)
                    }
                }
            }
            Task::Depthwise { conv, .. } => {
                let (padding, stride) = (conv.packed().padding, conv.packed().stride);
                Op::Depthwise(DepthwiseOp {
                    conv: conv.clone(),
                    from: input.view(from, padding, stride),
                    to: output.view(to, (0, 0), 1),
                    rows: to.map.rows,
                    columns: to.map.columns,
                })
            }
            Task::Chain(tasks) => {
                let mut next = start;
                let mut parts = Vec::new();
                for (at, task) in tasks.iter().enumerate() {
                    if let Task::Conv { conv, .. } = task {
                        let bfloats = self.chained(tasks, at);
                        let own = next..next + bfloats.map_or(conv.weights().len(), |b| b.weights(conv.packed()));
                        next = own.end;
                        match bfloats {
                            Some(bfloats) => {
                                bfloats.pack(conv.packed(), conv.weights(), &mut all_weights[own.clone()]);
                            }
                            None => all_weights[own.clone()].copy_from_slice(conv.weights()),
                        }
                        parts.push((own, bfloats));
                    }
                }
                Op::Chain(ChainOp::new(tasks, parts, self.kernels, input, output))
            }
            Task::AddCoarser { factor, .. } => Op::AddCoarser(CoarserOp {
                from: input.view(from, (0, 0), 1),
                to: output.view(to, (0, 0), 1),
                factor: *factor,
                channels: to.channels,
                rows: to.map.rows,
                columns: to.map.columns,
            }),
            Task::MaxPool { window, stride, .. } => Op::Max(window_op((*window, *window), *stride)),
            Task::Mean { window, stride, .. } => Op::Mean(window_op(*window, *stride)),
        }
    }
}

impl Op {
    /// Multiplications for one image.
    pub(super) fn products(&self) -> usize {
        match self {
            Self::Winograd(op) => op.products(),
            Self::Conv(op) | Self::Integer(IntegerOp { conv: op, .. }) | Self::Bfloat(BfloatOp { conv: op, .. }) => {
                op.products()
            }
            Self::Depthwise(op) => op.products(),
            Self::Chain(op) => op.products(),
            _ => 0,
        }
    }

    /// Into how many pieces the operator falls for `n` images on `threads`.
    pub(super) fn pieces(&self, n: usize, threads: usize) -> usize {
        match self {
            Self::Conv(op) | Self::Integer(IntegerOp { conv: op, .. }) | Self::Bfloat(BfloatOp { conv: op, .. }) => {
                let (panels, blocks) = op.cut(n, threads);
                panels * blocks
            }
            Self::Winograd(op) => {
                let (panels, blocks) = op.cut(n, threads);
                panels * blocks
            }
            Self::Depthwise(op) => lines(n * op.rows, op.products() * n / (PIECE / 4), threads),
            Self::Chain(op) => op.pieces(n, threads),
            Self::AddCoarser(op) => lines(n * op.rows, n * op.rows * op.columns * op.channels / (PIECE / 8), threads),
            Self::Max(op) | Self::Mean(op) => op.pieces(n, threads),
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
                Self::Conv(op) => op.run(bases, n, threads, piece),
                Self::Integer(op) => op.run(bases, n, threads, piece),
                Self::Bfloat(op) => op.run(bases, n, threads, piece),
                Self::Winograd(op) => op.run(bases, n, threads, piece),
                Self::Depthwise(op) => op.run(bases, part(n * op.rows, self.pieces(n, threads), piece)),
                Self::Chain(op) => op.run(bases, n, threads, piece),
                Self::AddCoarser(op) => op.run(bases, part(n * op.rows, self.pieces(n, threads), piece)),
                Self::Max(op) => op.run(bases, n, threads, piece, false),
                Self::Mean(op) => op.run(bases, n, threads, piece, true),
            }
        }
    }
}

/// Into how many pieces `lines` fall, where `wanted` would be worth while.
fn lines(lines: usize, wanted: usize, threads: usize) -> usize {
    if threads == 1 { 1 } else { wanted.clamp(1, 4 * threads).min(lines) }
}

/// Part `i` of `parts` nearly equal parts of `0..length`.
pub(super) fn part(length: usize, parts: usize, i: usize) -> Range<usize> {
    length * i / parts..length * (i + 1) / parts
}

impl DepthwiseOp {
    fn products(&self) -> usize {
        self.rows * self.columns * self.conv.products()
    }

    /// # Safety
    /// As for [`Op::run`], with some of the rows of all images.
    unsafe fn run(&self, bases: Bases, lines: std::ops::Range<usize>) {
        let packed = self.conv.packed();
        let (from, to) = (bases.maps[self.from.map], bases.maps[self.to.map]);
        let window: Vec<usize> = (0..packed.window.0).map(|y| y * (self.from.row / packed.stride)).collect();
        for line in lines {
            let (image, row) = (line / self.rows, line % self.rows);
            // SAFETY: the windows are inside the map with its border, and the results inside theirs (the
            // program's first invariant); nothing else touches either meanwhile. The view's steps are those
            // of the stride; within a window they are of single rows and pixels.
            unsafe {
                packed.run(
                    from.add(self.from.at(image, row, 0)),
                    &window,
                    self.from.pixel / packed.stride,
                    self.from.pixel,
                    to.add(self.to.at(image, row, 0)),
                    self.to.pixel,
                    self.columns,
                );
            }
        }
    }
}

impl CoarserOp {
    /// # Safety
    /// As for [`Op::run`], with some of the rows of all images.
    unsafe fn run(&self, bases: Bases, lines: std::ops::Range<usize>) {
        let (from, to) = (bases.maps[self.from.map], bases.maps[self.to.map]);
        for line in lines {
            let (image, row) = (line / self.rows, line % self.rows);
            // SAFETY: the finer row is covered by a row of the coarser map (asked when the program was
            // built); nothing else touches either meanwhile.
            unsafe {
                let coarse = (from.add(self.from.at(image, row / self.factor, 0)).cast_const(), self.from.pixel);
                let fine = (to.add(self.to.at(image, row, 0)), self.to.pixel);
                add_coarser(coarse, fine, self.factor, self.channels, self.columns);
            }
        }
    }
}

impl WindowOp {
    fn pieces(&self, n: usize, threads: usize) -> usize {
        let lines = n * self.to_size.0;
        let work = lines * self.to_size.1 * self.window.0 * self.window.1 * self.vectors * LANES;
        if threads == 1 { 1 } else { (work / (PIECE / 8)).clamp(1, 4 * threads).min(lines) }
    }

    /// # Safety
    /// As for [`Op::run`].
    unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize, mean: bool) {
        let (rows, columns) = self.window;
        let factor = 1.0 / (rows * columns) as f32;
        let (from, to) = (bases.maps[self.from.map], bases.maps[self.to.map]);
        for line in part(n * self.to_size.0, self.pieces(n, threads), piece) {
            let (image, row) = (line / self.to_size.0, line % self.to_size.0);
            for column in 0..self.to_size.1 {
                let (top, left) = (row * self.stride, column * self.stride);
                // SAFETY: the window is cut at the map's end, and the target is inside its map (the
                // program's first invariant); nothing else touches either meanwhile.
                unsafe {
                    let window = Window {
                        from: from.add(self.from.at(image, top, left)),
                        rows: rows.min(self.from_size.0 - top),
                        columns: columns.min(self.from_size.1 - left),
                        row: self.from.row,
                        column: self.from.pixel,
                        out: to.add(self.to.at(image, row, column)),
                        vectors: self.vectors,
                    };
                    if mean {
                        (self.kernels.mean)(&window, factor);
                    } else {
                        (self.kernels.greatest)(&window);
                    }
                    window.out.add(self.vectors * LANES).write_bytes(0, self.zeros * LANES);
                }
            }
        }
    }
}
