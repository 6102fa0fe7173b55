//! Runs a program: steps in order, the pieces of a step on all threads.
//!
//! A program is shared by threads; each run borrows a workspace from a small pool, so that nothing is
//! allocated for a layer once as many runs as there are threads have gone through.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::layout::{Layout, View, layouts};
use super::lines::Lines;
use super::ops::{Bases, Op};
use super::program::{Map, ProgramBuilder, Slice};
use super::tile::Kernels;
use crate::simd::Simd;

/// A step of less work than this (in products) is not worth waking another thread for.
const ALONE: usize = 200_000;

/// A network for one input size. See [`ProgramBuilder`].
pub(crate) struct Program {
    input: Map,
    layouts: Vec<Layout>,
    steps: Vec<Step>,
    outputs: Vec<Output>,
    marks: Vec<(usize, &'static str, Output)>,
    workspaces: Mutex<Vec<Workspace>>,
}

struct Step {
    ops: Vec<Op>,
    products: usize,
}

struct Output {
    slice: Slice,
    view: View,
}

struct Workspace {
    capacity: usize,
    maps: Vec<Lines>,
}

/// The rows of one input image, to be written.
pub(crate) struct InputRows<'a> {
    values: &'a mut [f32],
    first: usize,
    stride: usize,
    length: usize,
}

impl InputRows<'_> {
    /// Row `y`: `[columns * channels]`.
    pub(crate) fn row(&mut self, y: usize) -> &mut [f32] {
        &mut self.values[self.first + y * self.stride..][..self.length]
    }

    /// The whole image, `[rows * columns * channels]`, where its rows follow each other (no convolution
    /// pads the input).
    pub(crate) fn whole(&mut self) -> Option<&mut [f32]> {
        (self.stride == self.length).then_some(&mut *self.values)
    }
}

impl ProgramBuilder {
    /// The program; each run gives the numbers of `outputs`.
    pub(crate) fn finish(self, outputs: &[Slice], simd: Simd) -> Program {
        let layouts = layouts(&self);
        let kernels = Kernels::of(simd);
        let lower = |step: &Vec<_>| {
            let ops: Vec<Op> = step.iter().map(|task| Op::new(task, &layouts, kernels)).collect();
            Step { products: ops.iter().map(Op::products).sum(), ops }
        };
        let output = |slice: Slice| Output { slice, view: layouts[slice.map.id].view(slice, (0, 0), 1) };
        Program {
            input: self.maps[0],
            steps: self.steps.iter().map(lower).collect(),
            outputs: outputs.iter().map(|&s| output(s)).collect(),
            marks: self.marks.iter().map(|&(after, name, slice)| (after, name, output(slice))).collect(),
            workspaces: Mutex::new(Vec::new()),
            layouts,
        }
    }
}

impl Program {
    /// Multiplications for one image.
    pub(crate) fn products(&self) -> usize {
        self.steps.iter().map(|s| s.products).sum()
    }

    /// Runs over `n` images; `fill` writes each. Gives, for each output, `[n, rows, columns, channels]`.
    pub(crate) fn run(&self, n: usize, fill: impl Fn(usize, &mut InputRows) + Sync) -> Vec<Vec<f32>> {
        self.run_seen(n, fill, |_, _| ())
    }

    /// As [`Self::run`]; `seen` is shown every mark as `[n, rows, columns, channels]`.
    pub(crate) fn run_seen(
        &self,
        n: usize,
        fill: impl Fn(usize, &mut InputRows) + Sync,
        mut seen: impl FnMut(&'static str, Vec<f32>) + Send,
    ) -> Vec<Vec<f32>> {
        if n == 0 {
            return self.outputs.iter().map(|_| Vec::new()).collect();
        }
        let (fill, mut workspace) = (&fill, self.workspace(n));
        let run = || {
            self.fill(&mut workspace, n, fill);
            let bases: Vec<*mut f32> = workspace.maps.iter_mut().map(|m| m.numbers_mut().as_mut_ptr()).collect();
            let bases = Bases(&bases);
            for (number, step) in self.steps.iter().enumerate() {
                step.run(bases, n);
                for (_, name, output) in self.marks.iter().filter(|(after, ..)| *after == number + 1) {
                    seen(name, output.read(bases, n));
                }
            }
            let answers = self.outputs.iter().map(|o| o.read(bases, n)).collect();
            self.give_back(workspace);
            answers
        };
        // Every step splits faster from a thread of the pool than from outside.
        if rayon::current_thread_index().is_some() { run() } else { rayon::scope(|_| run()) }
    }

    fn fill(&self, workspace: &mut Workspace, n: usize, fill: impl Fn(usize, &mut InputRows) + Sync) {
        let layout = &self.layouts[0];
        let length = self.input.columns * self.input.channels;
        let first = layout.view(self.input.into(), (0, 0), 1).start;
        let images = workspace.maps[0].numbers_mut().par_chunks_mut(layout.image).take(n).enumerate();
        images.for_each(|(i, values)| fill(i, &mut InputRows { values, first, stride: layout.row, length }));
    }

    fn workspace(&self, n: usize) -> Workspace {
        let kept = self.workspaces.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        match kept {
            Some(workspace) if workspace.capacity >= n => workspace,
            _ => Workspace { capacity: n, maps: self.layouts.iter().map(|l| Lines::zeros(l.image * n)).collect() },
        }
    }

    fn give_back(&self, workspace: Workspace) {
        let mut kept = self.workspaces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() < rayon::current_num_threads() {
            kept.push(workspace);
        }
    }
}

impl Step {
    fn run(&self, bases: Bases, n: usize) {
        let threads = if self.products * n < ALONE { 1 } else { rayon::current_num_threads() };
        let pieces: usize = self.ops.iter().map(|op| op.pieces(n, threads)).sum();
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let mut piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    return;
                }
                for op in &self.ops {
                    let own = op.pieces(n, threads);
                    if piece < own {
                        // SAFETY: the workspace holds `n` images, each piece is taken by one thread, and
                        // steps follow each other.
                        unsafe { op.run(bases, n, threads, piece) };
                        break;
                    }
                    piece -= own;
                }
            }
        };
        // Threads that come late find nothing left; a busy pool leaves everything to this one.
        match threads.min(pieces) {
            0 | 1 => work(),
            workers => (0..workers).into_par_iter().with_max_len(1).for_each(|_| work()),
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
                    // SAFETY: the pixel is inside the map, no step runs, and all numbers were initialised.
                    let pixel = unsafe {
                        let from = bases.0[self.view.map].add(self.view.at(image, row, column));
                        std::slice::from_raw_parts(from, channels)
                    };
                    values.extend_from_slice(pixel);
                }
            }
        }
        values
    }
}
