//! From a program's tasks to operators: how each convolution is computed, where maps are read and written, and where
//! weights lie.

use std::ops::Range;
use std::sync::Arc;

use crate::f16::pack::{self as f16_pack, Runs};
use crate::f16::tile::F16Kernels;
use crate::f32::depthwise::{self, DepthwiseConv};
use crate::f32::pack::PackedConv;
use crate::f32::tile::Kernels;
use crate::int16::pack as int16_pack;
use crate::int16::tile::Int16Kernels;
use crate::lanes::{LANES, Number};
use crate::program::builder::Task;
use crate::program::fuse::run::{FusedOp, Kind};
use crate::program::layout::Layout;
use crate::program::ops::Op;
use crate::program::ops::conv::ConvOp;
use crate::program::ops::depth_to_space::DepthToSpaceOp;
use crate::program::ops::int16::Int16Op;
use crate::program::ops::map::{CoarserOp, DepthwiseOp, DirectOp, MapOp, WindowOp};
use crate::program::ops::winograd::{self, Winograd};

/// What tasks are lowered with.
pub(crate) struct Lowering<'a> {
    pub layouts: &'a [Layout],
    pub kernels: &'static Kernels,
    /// For convolutions in int16 quantisation, where it is wanted.
    pub int16: Option<&'static Int16Kernels>,
    /// For maps of f16 values, where they are wanted.
    pub f16: Option<&'static F16Kernels>,
}

/// How a convolution is computed.
#[derive(Clone, Copy)]
enum Form {
    /// Implicit GEMM in f32.
    Direct,
    Winograd,
    Int16(&'static Int16Kernels),
    /// In f32, then rounded to f16.
    Rounded(&'static F16Kernels),
    F16(&'static F16Kernels, Runs),
}

impl Form {
    fn weights(self, conv: &PackedConv) -> usize {
        match self {
            Self::Direct | Self::Rounded(_) => conv.count(),
            Self::Winograd => winograd::length(conv),
            Self::Int16(_) => int16_pack::length(conv.count()),
            Self::F16(_, runs) => f16_pack::length(conv.packed(), runs),
        }
    }

    /// Packs weights into where a program has them; not int16 ones, whose steps have to be known, too.
    fn pack(self, conv: &PackedConv, own: &mut [f32]) {
        match self {
            Self::F16(_, runs) => f16_pack::pack(conv, runs, own),
            Self::Winograd => winograd::pack(conv, own),
            Self::Direct | Self::Rounded(_) => conv.pack(own),
            Self::Int16(_) => {}
        }
    }
}

impl Lowering<'_> {
    /// How many weights a task needs, as f32.
    pub(crate) fn weights(&self, task: &Task) -> usize {
        match task {
            Task::Conv { conv, .. } => self.form(task, false, self.runs(task, 0)).weights(conv),
            Task::Fused(tasks) => self.fused(tasks).map(|(conv, form)| form.weights(conv)).sum(),
            _ => 0,
        }
    }

    /// The runs of a task's windows, where it is the one at `at` of fused tasks: in a ring a window's pixels follow each
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

    fn form(&self, task: &Task, fused: bool, runs: Runs) -> Form {
        let Task::Conv { conv, from, add, .. } = task else { return Form::Direct };
        let from_chip = from.map.id == 0;
        let (rows, columns) = conv.result_size(from.map);
        let winograd = !fused && conv.by_winograd(rows, columns);
        match (self.f16, self.int16) {
            (Some(f16), ..) => {
                assert!(
                    add.is_none_or(|add| add.map.id != 0 && !from_chip),
                    "the input, which is not a map of f16 values, is added"
                );
                // What pairs read behind a run of odd length is zero.
                let filled = from.first + from.channels == from.map.channels;
                assert!(
                    from_chip || runs.length.is_multiple_of(2) || filled,
                    "an odd number of channels in front of others"
                );
                if from_chip { Form::Rounded(f16) } else { Form::F16(f16, runs) }
            }
            _ if winograd => Form::Winograd,
            (.., Some(kernels)) if !fused && int16_pack::pays(conv.packed(), runs.length, from_chip) => {
                Form::Int16(kernels)
            }
            _ => Form::Direct,
        }
    }

    /// The convolutions of fused tasks, and how each is computed.
    fn fused<'t>(&self, tasks: &'t [Task]) -> impl Iterator<Item = (&'t PackedConv, Form)> {
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
    pub(crate) fn op(&self, task: &Task, start: usize, all_weights: &mut [f32]) -> Op {
        if let Task::Conv { conv, .. } = task {
            let form = self.form(task, false, self.runs(task, 0));
            let weights = start..start + form.weights(conv);
            // The input is read by fused tasks alone where maps are of f16 values.
            if self.f16.is_none() || task.reads().map.id != 0 {
                return self.conv_op(form, task, conv, weights, all_weights);
            }
        }
        match self.f16 {
            Some(kernels) => {
                let depthwise = |conv: &DepthwiseConv| kernels.depthwise(conv);
                Op::F16(self.map_op(&kernels.maps, &depthwise, task, start, all_weights))
            }
            None => {
                let depthwise = |conv: &DepthwiseConv| conv.packed().clone();
                Op::F32(self.map_op(self.kernels, &depthwise, task, start, all_weights))
            }
        }
    }

    fn conv_op(&self, form: Form, task: &Task, conv: &PackedConv, weights: Range<usize>, all: &mut [f32]) -> Op {
        let own = &mut all[weights.clone()];
        let op = self.conv(task, conv, weights);
        form.pack(conv, own);
        match form {
            Form::Winograd => Op::Winograd(Winograd::of(op)),
            Form::Int16(kernels) => {
                let from = task.reads();
                let steps = int16_pack::round_weights(conv, kernels, own);
                let read = (from.first, from.channels);
                Op::Int16(Int16Op::new(op, kernels, steps, read, self.layouts[from.map.id]))
            }
            Form::F16(kernels, runs) => {
                Op::F16(MapOp::Conv(DirectOp { conv: op, kernels: &kernels.maps, depth: runs.depth() }))
            }
            Form::Direct | Form::Rounded(_) => {
                let depth = op.conv.depth();
                Op::F32(MapOp::Conv(DirectOp { conv: op, kernels: self.kernels, depth }))
            }
        }
    }

    /// Lowers what is computed alike over maps of `N`, whose kernels these are; a convolution as one
    /// fused task.
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
            Task::Fused(_) | Task::Conv { .. } => {
                let tasks = if let Task::Fused(tasks) = task { &tasks[..] } else { std::slice::from_ref(task) };
                let mut next = start;
                let mut forms = self.fused(tasks);
                let kind = |task: &Task| match task {
                    Task::Conv { .. } => forms.next().map(|(conv, form)| {
                        let own = next..next + form.weights(conv);
                        next = own.end;
                        form.pack(conv, &mut all_weights[own.clone()]);
                        let packed = conv.packed().clone();
                        match form {
                            Form::Rounded(f16) => Kind::Rounded(packed, own, f16),
                            Form::F16(_, runs) => Kind::Conv { packed, weights: own, kernels, depth: runs.depth() },
                            _ => Kind::Conv { weights: own, kernels, depth: packed.depth(), packed },
                        }
                    }),
                    Task::Depthwise { conv, .. } => Some(Kind::Depthwise(depthwise(conv))),
                    _ => Some(Kind::Max { kernels, vectors: task.writes().channels.div_ceil(LANES) }),
                };
                let kinds = tasks.iter().map_while(kind).collect();
                MapOp::Fused(FusedOp::new(tasks, kinds, input, output))
            }
        }
    }
}
