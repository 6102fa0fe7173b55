//! Runs a program: steps in order, the pieces of a step on all threads of a team.
//!
//! A program is shared by threads; each run borrows a workspace from a small pool, so that no map is
//! allocated once as many runs as there are threads have gone through.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::f16::tile::F16Kernels;
use crate::f32::tile::Kernels;
use crate::int16::tile::Int16Kernels;
use crate::lanes::LANES;
use crate::lanes::aligned::Aligned;
use crate::program::arithmetic::Arithmetic;
use crate::program::builder::{Map, ProgramBuilder, Slice, Task};
use crate::program::fuse::join;
use crate::program::input::{Input, InputRows};
use crate::program::layout::{Layout, layouts};
use crate::program::lower::Lowering;
use crate::program::ops::Op;
use crate::program::ops::bases::View;
use crate::program::ops::bases::{Bases, part};
#[cfg(test)]
use crate::program::ops::map::MapOp;
use crate::program::plan::{Plan, plan};
use crate::program::team::{self, Work};
use crate::simd::Simd;

/// Steps that all runs of this process have begun, counted from 1.
static STEPS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static ALONE_NOW: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; each program that it runs on this thread runs there as a whole. For many jobs side by side: threads that are
/// busy with jobs of their own help nobody, and who waits for them at every step waits in vain.
pub fn on_this_thread<R>(work: impl FnOnce() -> R) -> R {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ALONE_NOW.set(self.0);
        }
    }
    let _before = Before(ALONE_NOW.replace(true));
    work()
}

/// A step of less work than this (in products) is not worth waking another thread for.
const ALONE: usize = 200_000;

/// A network for one input size. See [`ProgramBuilder`].
pub struct Program {
    input: Map,
    layouts: Vec<Layout>,
    plan: Plan,
    steps: Vec<Step>,
    /// The weights of all steps in the order in which they are read.
    weights: Aligned,
    outputs: Vec<Output>,
    marks: Vec<(usize, &'static str, Output)>,
    /// Whether all that reads the input can ask for its rows one by one.
    by_rows: bool,
    workspaces: Mutex<Vec<Workspace>>,
}

struct Step {
    ops: Vec<Op>,
    products: usize,
}

struct Output {
    slice: Slice,
    view: View,
    is_f16: bool,
}

struct Workspace {
    capacity: usize,
    /// Where each map begins.
    starts: Vec<usize>,
    memory: Aligned,
}

impl ProgramBuilder {
    /// The program; each run gives the values of `outputs`.
    pub fn finish(self, outputs: &[Slice], simd: Simd) -> Program {
        self.finish_in(outputs, simd, Arithmetic::F32)
    }

    /// As [`Self::finish`]; another precision than f32 is used where that pays and the instruction set has kernels for
    /// it.
    pub fn finish_in(self, outputs: &[Slice], simd: Simd, arithmetic: Arithmetic) -> Program {
        self.finish_with(outputs, simd, arithmetic, join::LARGE)
    }

    /// As [`Self::finish_in`]; maps of `large` values and more may be computed row by row.
    pub(crate) fn finish_with(
        mut self,
        outputs: &[Slice],
        simd: Simd,
        arithmetic: Arithmetic,
        large: usize,
    ) -> Program {
        let arithmetic = if arithmetic.runs_by(simd) { arithmetic } else { Arithmetic::F32 };
        join::fuse(&mut self, outputs, large, arithmetic);
        let layouts = layouts(&self);
        let f16 = if arithmetic == Arithmetic::F16 { F16Kernels::of(simd) } else { None };
        let plan = plan(&self, &layouts, outputs, f16.is_some());
        let int16 = if arithmetic == Arithmetic::Int16 { Int16Kernels::of(simd) } else { None };
        let lowering = Lowering { layouts: &layouts, kernels: Kernels::of(simd), int16, f16 };
        let mut weights = Aligned::zeros(self.steps.iter().flatten().map(|task| lowering.weights(task)).sum());
        let mut used = 0;
        let mut lower = |step: Vec<Task>| {
            let mut ops = Vec::with_capacity(step.len());
            // Each task goes as soon as its weights are in their place, so that few are there twice.
            for task in step {
                ops.push(lowering.op(&task, used, weights.values_mut()));
                used += lowering.weights(&task);
            }
            Step { products: ops.iter().map(Op::products).sum(), ops }
        };
        let steps: Vec<Step> = self.steps.into_iter().map(&mut lower).collect();
        let of_input = |slice: &Slice| slice.map.id == 0;
        let mut shown = outputs.iter().chain(self.marks.iter().map(|(_, _, slice)| slice));
        let by_rows = !shown.any(of_input) && steps.iter().flat_map(|step| &step.ops).all(Op::takes_rows);
        let output = |slice: Slice| {
            let view = layouts[slice.map.id].view(slice, (0, 0), 1);
            Output { slice, view, is_f16: f16.is_some() && slice.map.id != 0 }
        };
        Program {
            input: self.maps[0],
            steps,
            weights,
            outputs: outputs.iter().map(|&s| output(s)).collect(),
            marks: self.marks.iter().map(|&(after, name, slice)| (after, name, output(slice))).collect(),
            by_rows,
            workspaces: Mutex::new(Vec::new()),
            layouts,
            plan,
        }
    }
}

impl Program {
    /// Convolutions that are computed in int16 quantisation.
    #[cfg(test)]
    pub(crate) fn quantised(&self) -> usize {
        self.steps.iter().flat_map(|step| &step.ops).filter(|op| matches!(op, Op::Int16(_))).count()
    }

    /// Whether the input's rows are asked for when they are needed.
    #[cfg(test)]
    pub(crate) fn takes_rows(&self) -> bool {
        self.by_rows
    }

    /// Into how many pieces each of the fused steps falls for `n` images on `threads`.
    #[cfg(test)]
    pub(crate) fn fused(&self, n: usize, threads: usize) -> Vec<usize> {
        let fused = |op: &&Op| match op {
            Op::F32(MapOp::Fused(_)) => true,
            Op::F16(MapOp::Fused(fused)) => fused.stages() > 1,
            _ => false,
        };
        self.steps.iter().flat_map(|step| &step.ops).filter(fused).map(|op| op.pieces(n, threads)).collect()
    }

    /// Runs over `n` images; `fill` writes each. Gives, for each output, `[n, rows, columns, channels]`.
    pub fn run(&self, n: usize, fill: impl Fn(usize, &mut InputRows) + Sync) -> Vec<Vec<f32>> {
        self.run_seen(n, fill, |_, _| ())
    }

    /// As [`Self::run`]; `fill` writes row `y` of an image, `[columns * channels]`, more than once for some rows. Where
    /// the first step runs row by row, a row is asked for when it is needed, and the input is never in memory as a whole.
    pub fn run_rows(&self, n: usize, fill: impl Fn(usize, usize, &mut [f32]) + Sync) -> Vec<Vec<f32>> {
        if self.by_rows {
            return self.run_with(n, Input::Rows(&fill), |_, _| ());
        }
        let rows = self.input.rows;
        self.run(n, |image, out| (0..rows).for_each(|y| fill(image, y, out.row(y))))
    }

    /// As [`Self::run`], but at most `group` images at a time, each group by one thread from its filling to
    /// its answers: for small networks over many images. The maps of a few images stay in a core's own
    /// cache, where those of all of them would go through memory layer by layer.
    pub fn run_in_groups(&self, n: usize, group: usize, fill: impl Fn(usize, &mut InputRows) + Sync) -> Vec<Vec<f32>> {
        let threads = rayon::current_num_threads();
        if n < threads {
            return self.run(n, fill);
        }
        // As many groups for one thread as for another.
        let groups = n.div_ceil(group.max(1)).next_multiple_of(threads).min(n);
        let answered = (0..groups).into_par_iter().with_max_len(1).map(|g| {
            let images = part(n, groups, g);
            let first = images.start;
            let mut workspace = self.workspace(group.max(1));
            let fill = |i: usize, rows: &mut InputRows| fill(first + i, rows);
            let answers = self.run_in(&mut workspace, images.len(), 1, Input::Whole(&fill), |_, _| ());
            self.give_back(workspace);
            answers
        });
        let mut answers = vec![Vec::new(); self.outputs.len()];
        for group in answered.collect::<Vec<_>>() {
            answers.iter_mut().zip(group).for_each(|(all, part)| all.extend(part));
        }
        answers
    }

    /// As [`Self::run`]; `seen` is shown every mark, and may read it as `[n, rows, columns, channels]`.
    pub fn run_seen(
        &self,
        n: usize,
        fill: impl Fn(usize, &mut InputRows) + Sync,
        seen: impl FnMut(&'static str, &dyn Fn() -> Vec<f32>) + Send,
    ) -> Vec<Vec<f32>> {
        self.run_with(n, Input::Whole(&fill), seen)
    }

    fn run_with(
        &self,
        n: usize,
        input: Input,
        seen: impl FnMut(&'static str, &dyn Fn() -> Vec<f32>) + Send,
    ) -> Vec<Vec<f32>> {
        if n == 0 {
            return self.outputs.iter().map(|_| Vec::new()).collect();
        }
        let mut workspace = self.workspace(n);
        if ALONE_NOW.get() {
            let answers = self.run_in(&mut workspace, n, 1, input, seen);
            self.give_back(workspace);
            return answers;
        }
        let run = || {
            let answers = self.run_in(&mut workspace, n, rayon::current_num_threads(), input, seen);
            self.give_back(workspace);
            answers
        };
        // By the pool's threads, however many threads outside of it call.
        if rayon::current_thread_index().is_some() { run() } else { rayon::scope(|_| run()) }
    }

    /// Runs over `n` images, no more than the workspace has room for.
    fn run_in(
        &self,
        workspace: &mut Workspace,
        n: usize,
        threads: usize,
        input: Input,
        mut seen: impl FnMut(&'static str, &dyn Fn() -> Vec<f32>) + Send,
    ) -> Vec<Vec<f32>> {
        assert!(n <= workspace.capacity, "{n} images in room for {}", workspace.capacity);
        let rows = match input {
            Input::Rows(fill) => Some(fill),
            Input::Whole(fill) => {
                self.fill(workspace, n, threads, fill);
                None
            }
        };
        let base = workspace.memory.values_mut().as_mut_ptr();
        // SAFETY: the memory was made to hold every map at its place.
        let bases: Vec<*mut f32> = workspace.starts.iter().map(|&start| unsafe { base.add(start) }).collect();
        let step = STEPS.fetch_add(self.steps.len() as u64, Ordering::Relaxed);
        let bases = Bases { maps: &bases, weights: self.weights.values(), step, rows };
        let run = Run { steps: &self.steps, bases, n, threads };
        team::run(&run, threads, |done| {
            for (_, name, output) in self.marks.iter().filter(|(after, ..)| *after == done + 1) {
                seen(name, &|| output.read(run.bases, n));
            }
        });
        self.outputs.iter().map(|o| o.read(bases, n)).collect()
    }

    fn fill(&self, workspace: &mut Workspace, n: usize, threads: usize, fill: impl Fn(usize, &mut InputRows) + Sync) {
        let layout = &self.layouts[0];
        let length = self.input.columns * self.input.channels;
        let first = layout.view(self.input.into(), (0, 0), 1).start;
        let write =
            |(i, values): (usize, &mut [f32])| fill(i, &mut InputRows { values, first, stride: layout.row, length });
        let values = workspace.memory.values_mut();
        match threads {
            1 => values.chunks_mut(layout.image).take(n).enumerate().for_each(write),
            _ => values.par_chunks_mut(layout.image).take(n).enumerate().for_each(write),
        }
    }

    fn workspace(&self, n: usize) -> Workspace {
        let kept = self.workspaces.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        match kept {
            Some(workspace) if workspace.capacity >= n => workspace,
            _ => {
                let mut places = Vec::with_capacity(self.plan.lengths.len());
                let mut length = 0;
                for image in &self.plan.lengths {
                    places.push(length);
                    length += (image * n).next_multiple_of(LANES);
                }
                let starts = self.plan.place_of.iter().map(|&place| places[place]).collect();
                Workspace { capacity: n, starts, memory: Aligned::zeros(length) }
            }
        }
    }

    fn give_back(&self, workspace: Workspace) {
        let mut kept = self.workspaces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() < rayon::current_num_threads() {
            kept.push(workspace);
        }
    }
}

/// The steps of one run, as a team works at them.
struct Run<'a> {
    steps: &'a [Step],
    bases: Bases<'a>,
    n: usize,
    threads: usize,
}

impl Run<'_> {
    /// On how many threads a step is worth running.
    fn threads(&self, step: &Step) -> usize {
        if step.products * self.n < ALONE { 1 } else { self.threads }
    }
}

impl Work for Run<'_> {
    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn pieces(&self, step: usize) -> usize {
        let step = &self.steps[step];
        step.ops.iter().map(|op| op.pieces(self.n, self.threads(step))).sum()
    }

    fn run(&self, step: usize, mut piece: usize) {
        let bases = Bases { step: self.bases.step + 1 + step as u64, ..self.bases };
        let step = &self.steps[step];
        let threads = self.threads(step);
        for op in &step.ops {
            let own = op.pieces(self.n, threads);
            if piece < own {
                // SAFETY: the workspace holds `n` images, each piece is taken by one thread, and steps follow
                // each other.
                return unsafe { op.run(bases, self.n, threads, piece) };
            }
            piece -= own;
        }
    }
}

impl Output {
    fn read(&self, bases: Bases, n: usize) -> Vec<f32> {
        let Slice { map, channels, .. } = self.slice;
        let mut values = Vec::with_capacity(n * map.rows * map.columns * channels);
        for image in 0..n {
            for row in 0..map.rows {
                for column in 0..map.columns {
                    let at = self.view.at(image, row, column);
                    // SAFETY: the pixel is inside the map, no step runs, and all values were initialised.
                    unsafe {
                        if self.is_f16 {
                            let pixel = std::slice::from_raw_parts(bases.map::<f16>(&self.view).add(at), channels);
                            let done = values.len();
                            values.resize(done + channels, 0.0);
                            pixel.convert_to_f32_slice(&mut values[done..]);
                        } else {
                            let pixel = std::slice::from_raw_parts(bases.map::<f32>(&self.view).add(at), channels);
                            values.extend_from_slice(pixel);
                        }
                    }
                }
            }
        }
        values
    }
}
