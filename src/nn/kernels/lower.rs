//! From a program's tasks to operators: how each convolution is computed, where maps are read and written, and where
//! weights stand.

use std::ops::Range;
use std::sync::Arc;

use super::band::{ChainOp, Kind};
use super::conv::ConvOp;
use super::depthwise::{self, DepthwiseConv};
use super::halves::{Halves, Runs};
use super::integer::{self, IntegerOp};
use super::integer_tile::IntegerKernels;
use super::lanes::{LANES, Number};
use super::layout::Layout;
use super::map_ops::{CoarserOp, DepthwiseOp, DirectOp, MapOp, WindowOp};
use super::ops::Op;
use super::pack::PackedConv;
use super::program::Task;
use super::tile::Kernels;
use super::transposed::DepthToSpaceOp;
use super::winograd::{self, Winograd};

/// What tasks are lowered with.
pub(super) struct Lowering<'a> {
    pub layouts: &'a [Layout],
    pub kernels: &'static Kernels,
    /// For convolutions in whole numbers, where they are wanted.
    pub integers: Option<&'static IntegerKernels>,
    /// For maps of halves, where they are wanted.
    pub halves: Option<Halves>,
}

/// How a convolution is computed.
#[derive(Clone, Copy)]
enum Form {
    Direct,
    Tiles,
    Integer(&'static IntegerKernels),
    /// In f32, and then rounded to halves.
    Rounded(Halves),
    Half(Halves, Runs),
}

impl Form {
    fn weights(self, conv: &PackedConv) -> usize {
        match self {
            Self::Direct | Self::Rounded(_) => conv.weights().len(),
            Self::Tiles => winograd::spread_length(conv),
            Self::Integer(_) => IntegerOp::weights(conv.weights().len()),
            Self::Half(_, runs) => Halves::weights(conv.packed(), runs),
        }
    }

    /// Packs weights into where a program has them; but whole numbers, whose steps have to be known, too.
    fn pack(self, conv: &PackedConv, own: &mut [f32]) {
        match self {
            Self::Half(_, runs) => Halves::pack(conv.packed(), runs, conv.weights(), own),
            Self::Tiles => winograd::spread_all(conv, own),
            Self::Direct | Self::Rounded(_) => own.copy_from_slice(conv.weights()),
            Self::Integer(_) => {}
        }
    }
}

impl Lowering<'_> {
    /// How many weights a task needs, as f32.
    pub(super) fn weights(&self, task: &Task) -> usize {
        match task {
            Task::Conv { conv, .. } => self.form(task, false, self.runs(task, 0)).weights(conv),
            Task::Chain(tasks) => self.chained(tasks).map(|(conv, form)| form.weights(conv)).sum(),
            _ => 0,
        }
    }

    /// The runs of a task's windows, where it is the one at `at` of a chain: in a ring a window's pixels follow each
    /// other.
    fn runs(&self, task: &Task, at: usize) -> Runs {
        let Task::Conv { conv, from, .. } = task else { return Runs { count: 0, length: 0 } };
        let packed = conv.packed();
        if at > 0 {
            return Runs { count: packed.window.0, length: packed.window.1 * packed.inputs };
        }
        let (runs, length) = self.layouts[from.map.id].runs(packed.window, packed.inputs);
        Runs { count: runs.len(), length }
    }

    fn form(&self, task: &Task, chained: bool, runs: Runs) -> Form {
        let Task::Conv { conv, from, add, .. } = task else { return Form::Direct };
        let from_chip = from.map.id == 0;
        let (rows, columns) = conv.result_size(from.map);
        let tiles = !chained && winograd::pays(conv, rows, columns);
        match (self.halves, self.integers) {
            (Some(halves), ..) => {
                assert!(
                    add.is_none_or(|add| add.map.id != 0 && !from_chip),
                    "the input, which is no map of halves, adds up"
                );
                // What pairs read behind a run of odd length is zero.
                let filled = from.first + from.channels == from.map.channels;
                assert!(from_chip || runs.length.is_multiple_of(2) || filled, "an odd number of channels amid others");
                if from_chip { Form::Rounded(halves) } else { Form::Half(halves, runs) }
            }
            _ if tiles => Form::Tiles,
            (.., Some(kernels)) if !chained && IntegerOp::pays(conv.packed(), runs.length, from_chip) => {
                Form::Integer(kernels)
            }
            _ => Form::Direct,
        }
    }

    /// The convolutions of a chain, and how each is computed.
    fn chained<'t>(&self, tasks: &'t [Task]) -> impl Iterator<Item = (&'t PackedConv, Form)> {
        tasks.iter().enumerate().filter_map(|(at, task)| match task {
            Task::Conv { conv, .. } => Some((conv, self.form(task, true, self.runs(task, at)))),
            _ => None,
        })
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
        if let Task::Conv { conv, .. } = task {
            let form = self.form(task, false, self.runs(task, 0));
            let weights = start..start + form.weights(conv);
            // The input is read by chains alone where maps are of halves.
            if self.halves.is_none() || task.reads().map.id != 0 {
                return self.conv_op(form, task, conv, weights, all_weights);
            }
        }
        match self.halves {
            Some(halves) => {
                let depthwise = |conv: &DepthwiseConv| halves.depthwise(conv);
                Op::Half(self.map_op(&halves.kernels.maps, &depthwise, task, start, all_weights))
            }
            None => {
                let depthwise = |conv: &DepthwiseConv| conv.packed().clone();
                Op::Full(self.map_op(self.kernels, &depthwise, task, start, all_weights))
            }
        }
    }

    fn conv_op(&self, form: Form, task: &Task, conv: &PackedConv, weights: Range<usize>, all: &mut [f32]) -> Op {
        let own = &mut all[weights.clone()];
        let op = self.conv(task, conv, weights);
        form.pack(conv, own);
        match form {
            Form::Tiles => Op::Winograd(Winograd::of(op)),
            Form::Integer(kernels) => {
                let from = task.reads();
                let steps = integer::round_weights(&op.conv, conv.weights(), own);
                let read = (from.first, from.channels);
                Op::Integer(IntegerOp::new(op, kernels, steps, read, self.layouts[from.map.id]))
            }
            Form::Half(halves, runs) => {
                Op::Half(MapOp::Conv(DirectOp { conv: op, kernels: &halves.kernels.maps, depth: runs.depth() }))
            }
            Form::Direct | Form::Rounded(_) => {
                let depth = op.conv.depth();
                Op::Full(MapOp::Conv(DirectOp { conv: op, kernels: self.kernels, depth }))
            }
        }
    }

    /// Lowers what is computed alike over maps of `N`, whose kernels these are; a convolution as a chain of one.
    fn map_op<N: Number>(
        &self,
        kernels: &'static Kernels<N>,
        depthwise: &dyn Fn(&DepthwiseConv) -> Arc<depthwise::Packed<N>>,
        task: &Task,
        start: usize,
        all_weights: &mut [f32],
    ) -> MapOp<N> {
        let (from, to) = (task.reads(), task.writes());
        let (input, output) = (&self.layouts[from.map.id], &self.layouts[to.map.id]);
        let window_op = |window, stride| WindowOp {
            kernels,
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
            Task::Depthwise { conv, .. } => {
                let (padding, stride) = (conv.packed().padding, conv.packed().stride);
                MapOp::Depthwise(DepthwiseOp {
                    conv: depthwise(conv),
                    from: input.view(from, padding, stride),
                    to: output.view(to, (0, 0), 1),
                    rows: to.map.rows,
                    columns: to.map.columns,
                })
            }
            Task::AddCoarser { factor, .. } => MapOp::AddCoarser(CoarserOp {
                kernels,
                from: input.view(from, (0, 0), 1),
                to: output.view(to, (0, 0), 1),
                factor: *factor,
                vectors: to.channels.div_ceil(LANES),
                rows: to.map.rows,
                columns: to.map.columns,
            }),
            Task::AddDepthToSpace { factor, .. } => MapOp::AddDepthToSpace(DepthToSpaceOp {
                kernels,
                from: input.view(from, (0, 0), 1),
                to: output.view(to, (0, 0), 1),
                factor: *factor,
                vectors: to.channels.div_ceil(LANES),
                rows: to.map.rows,
                columns: to.map.columns,
            }),
            Task::MaxPool { window, stride, .. } => MapOp::Max(window_op((*window, *window), *stride)),
            Task::Mean { window, stride, .. } => MapOp::Mean(window_op(*window, *stride)),
            Task::Chain(_) | Task::Conv { .. } => {
                let tasks = if let Task::Chain(tasks) = task { &tasks[..] } else { std::slice::from_ref(task) };
                let mut next = start;
                let mut forms = self.chained(tasks);
                let kind = |task: &Task| match task {
                    Task::Conv { .. } => forms.next().map(|(conv, form)| {
                        let own = next..next + form.weights(conv);
                        next = own.end;
                        form.pack(conv, &mut all_weights[own.clone()]);
                        let packed = conv.packed().clone();
                        match form {
                            Form::Rounded(halves) => Kind::Rounded(packed, own, halves),
                            Form::Half(_, runs) => Kind::Conv { packed, weights: own, kernels, depth: runs.depth() },
                            _ => Kind::Conv { weights: own, kernels, depth: packed.depth(), packed },
                        }
                    }),
                    Task::Depthwise { conv, .. } => Some(Kind::Depthwise(depthwise(conv))),
                    _ => Some(Kind::Max { kernels, vectors: task.writes().channels.div_ceil(LANES) }),
                };
                let kinds = tasks.iter().map_while(kind).collect();
                MapOp::Chain(ChainOp::new(tasks, kinds, input, output))
            }
        }
    }
}
