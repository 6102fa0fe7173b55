//! Fused row tiles at work: each piece computes some rows of the last step, and of the steps before it what those rows need.
//! Where two pieces meet, both compute the same few rows.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::f16::tile::F16Kernels;
use crate::f32::depthwise;
use crate::f32::pack::Packed;
use crate::f32::tile::{self, Kernels, Tiles};
use crate::lanes::aligned::Aligned;
use crate::lanes::{LANES, Number};
use crate::program::builder::Task;
use crate::program::fuse::join::{Reach, Ring, rings};
use crate::program::input::RowFill;
use crate::program::layout::Layout;
use crate::program::ops::bases::View;
use crate::program::ops::bases::in_row;
use crate::program::ops::bases::{Bases, part};

/// Rows of a piece at least: the rows that two pieces both compute are few beside them.
const ROWS: usize = 12;

thread_local! {
    static SCRATCH: RefCell<Aligned> = RefCell::default();
}

/// Fused tasks with their addresses worked out, over maps and rings of `N`.
pub(crate) struct FusedOp<N: Number> {
    stages: Vec<Stage<N>>,
    /// Values of the scratch: the rings, and behind them what a stage rounds.
    scratch: usize,
    behind: usize,
    input: Option<InputRows>,
    /// The longest row, which comes first in the scratch as zeros.
    zeros: usize,
    from: View,
    /// Where the runs of the first task's windows begin, and how long each is.
    runs: (Vec<usize>, usize),
    to: View,
}

/// Where rows of the program's input, which are f32, lie in the scratch, borders and all, as many as the first task's
/// window has.
struct InputRows {
    /// In values of the scratch, and where the rows end.
    start: usize,
    end: usize,
    /// F32 in a row.
    row: usize,
    /// Rows of the map above the first, and its rows; values left of a row's first, and its values.
    above: usize,
    rows: usize,
    left: usize,
    values: usize,
}

struct Stage<N: Number> {
    kind: Kind<N>,
    reach: Reach,
    rows: usize,
    columns: usize,
    source_rows: usize,
    source_columns: usize,
    /// Where its results go: the last one's go to a map.
    ring: Option<Ring>,
}

/// What a stage does; a convolution says which of the program's weights are its own.
pub(crate) enum Kind<N: Number> {
    /// Of weights packed in `N`, `depth` of them an output.
    Conv {
        packed: Arc<Packed>,
        weights: Range<usize>,
        kernels: &'static Kernels<N>,
        depth: usize,
    },
    /// Of a map of f32, its results rounded to f16.
    Rounded(Arc<Packed>, Range<usize>, &'static F16Kernels),
    Depthwise(Arc<depthwise::Packed<N>>),
    Max {
        kernels: &'static Kernels<N>,
        vectors: usize,
    },
}

/// A row of a stage's windows: where the first begins, how far from there each line of it is, and the values from
/// a window's pixel to the next.
struct Windows<'a, N> {
    first: *const N,
    lines: &'a [usize],
    pixel: usize,
}

impl<N: Number> FusedOp<N> {
    /// `kinds` are what the tasks are computed by; `input` is what the first one reads.
    pub(crate) fn new(tasks: &[Task], kinds: Vec<Kind<N>>, input: &Layout, output: &Layout) -> Self {
        let (mut rings, mut behind) = rings(&tasks.iter().collect::<Vec<_>>());
        let (read, written) = (tasks[0].reads(), tasks[tasks.len() - 1].writes());
        let convolves = matches!(kinds[0], Kind::Conv { .. } | Kind::Rounded(..));
        let rows = Reach::of(&tasks[0]).filter(|_| convolves && read.map.id == 0).map(|reach| {
            let (start, row) = (behind, input.row.next_multiple_of(LANES));
            behind += reach.window.0 * row * N::IN_ONE;
            InputRows {
                start,
                end: behind,
                row,
                above: input.border.0.0,
                rows: read.map.rows,
                left: input.border.0.1 * input.pixel,
                values: read.map.columns * input.pixel,
            }
        });
        let mut scratch = behind;
        let zeros = rings.iter().map(|r| r.row).max().unwrap_or(0);
        rings.reverse();
        let stage = |(task, kind): (&Task, Kind<N>)| {
            let (source, result) = (task.reads().map, task.writes().map);
            if let Kind::Rounded(packed, ..) = &kind {
                scratch = scratch.max(behind + result.columns * packed.vectors() * LANES * N::IN_ONE);
            }
            Some(Stage {
                kind,
                reach: Reach::of(task)?,
                rows: result.rows,
                columns: result.columns,
                source_rows: source.rows,
                source_columns: source.columns,
                ring: rings.pop(),
            })
        };
        let stages: Vec<Stage<N>> = tasks.iter().zip(kinds).map_while(stage).collect();
        assert_eq!(stages.len(), tasks.len(), "only what can be fused is");
        let Reach { window, stride, padding } = stages[0].reach;
        Self {
            from: input.view(read, padding, stride),
            runs: input.runs(window, read.channels),
            to: output.view(written, (0, 0), 1),
            stages,
            scratch,
            behind,
            input: rows,
            zeros,
        }
    }

    /// Whether it can ask for the rows of the program's input one by one, or does not read it.
    pub(crate) fn takes_rows(&self) -> bool {
        self.input.is_some() || self.from.map != 0
    }

    /// How many tasks it has.
    #[cfg(test)]
    pub(crate) fn stages(&self) -> usize {
        self.stages.len()
    }

    pub(crate) fn products(&self) -> usize {
        let products = |stage: &Stage<N>| match &stage.kind {
            Kind::Conv { packed, .. } | Kind::Rounded(packed, ..) => {
                stage.rows * stage.columns * packed.outputs * packed.depth()
            }
            Kind::Depthwise(conv) => stage.rows * stage.columns * conv.products(),
            Kind::Max { .. } => 0,
        };
        self.stages.iter().map(products).sum()
    }

    /// In which row of its map, borders counted, the windows of the first stage's row begin.
    fn memory_row(&self, row: usize) -> usize {
        let stride = self.stages[0].reach.stride;
        let of_map = self.from.row / stride;
        self.from.start / of_map + row * stride
    }

    fn rows(&self) -> usize {
        self.stages.last().map_or(0, |last| last.rows)
    }

    fn pieces_an_image(&self, n: usize, threads: usize) -> usize {
        if threads == 1 { 1 } else { threads.div_ceil(n).min(self.rows() / ROWS).max(1) }
    }

    pub(crate) fn pieces(&self, n: usize, threads: usize) -> usize {
        n * self.pieces_an_image(n, threads)
    }

    /// # Safety
    /// As for `Op::run`.
    pub(crate) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        let strips = self.pieces_an_image(n, threads);
        let (image, rows) = (piece / strips, part(self.rows(), strips, piece % strips));
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.at_least(self.scratch.div_ceil(N::IN_ONE));
            let values = N::of_mut(scratch.values_mut());
            values[..self.zeros].fill(N::ZERO);
            for ring in self.stages.iter().filter_map(|s| s.ring) {
                for row in values[ring.start..][..ring.rows * ring.row].chunks_exact_mut(ring.row) {
                    row[..ring.left].fill(N::ZERO);
                    row[ring.left + ring.results..].fill(N::ZERO);
                }
            }
            // The first row of each stage that is needed.
            let mut next = vec![rows.start; self.stages.len()];
            for at in (1..self.stages.len()).rev() {
                let stage = &self.stages[at];
                next[at - 1] = stage.reach.rows(next[at], stage.source_rows).start;
            }
            let input = self.input.as_ref().zip(bases.rows);
            if let Some((input, _)) = input {
                values[input.start..input.end].fill(N::ZERO);
            }
            let first = self.memory_row(next[0]);
            let scratch = values.as_mut_ptr();
            let mut strip =
                Strip { fused: self, bases, image, scratch, next, input, brought: first, lines: Vec::new() };
            // SAFETY: the scratch holds the zeros, every ring and the rows behind them; the kernels were chosen for this
            // processor; the rest is handed on to the caller.
            unsafe { strip.up_to(self.stages.len() - 1, rows.end) };
        });
    }
}

/// A piece on its way.
struct Strip<'a, N: Number> {
    fused: &'a FusedOp<N>,
    bases: Bases<'a>,
    image: usize,
    scratch: *mut N,
    /// The next row of each stage.
    next: Vec<usize>,
    /// Where rows of the input are written before they are read, and by what; and the next one, borders counted.
    input: Option<(&'a InputRows, &'a RowFill<'a>)>,
    brought: usize,
    lines: Vec<usize>,
}

impl<N: Number> Strip<'_, N> {
    /// Computes a stage's rows up to `end`, and what they need before.
    ///
    /// # Safety
    /// As for `Op::run`, and the scratch holds the fused tasks'.
    unsafe fn up_to(&mut self, at: usize, end: usize) {
        let fused = self.fused;
        let stage = &fused.stages[at];
        while self.next[at] < end {
            let row = self.next[at];
            // SAFETY: handed on to the caller; a ring holds as many rows as its reader's window has, so those that
            // this row needs are all there, and no others are read.
            unsafe {
                if at > 0 {
                    self.up_to(at - 1, stage.reach.rows(row, stage.source_rows).end);
                }
                self.row(at, row);
            }
            self.next[at] += 1;
        }
    }

    /// Writes rows of the input, borders counted, up to `end` to where they are read.
    ///
    /// # Safety
    /// As for [`Self::up_to`].
    unsafe fn bring(&mut self, input: &InputRows, fill: &RowFill, end: usize) {
        let window = self.fused.stages[0].reach.window.0;
        while self.brought < end {
            let row = self.brought;
            self.brought += 1;
            // SAFETY: the slot lies in the scratch, which nothing else touches.
            unsafe {
                let slot = self.scratch.add(input.start).cast::<f32>().add(row % window * input.row);
                match row.checked_sub(input.above).filter(|&y| y < input.rows) {
                    Some(y) => fill(self.image, y, std::slice::from_raw_parts_mut(slot.add(input.left), input.values)),
                    None => slot.write_bytes(0, input.row),
                }
            }
        }
    }

    /// # Safety
    /// As for [`Self::up_to`], and what the row needs was computed.
    unsafe fn row(&mut self, at: usize, row: usize) {
        let stage = &self.fused.stages[at];
        let Reach { window, stride, padding } = stage.reach;
        self.lines.clear();
        // SAFETY: windows lie inside their map with its border, or inside rows of a ring with
        // theirs or the row of zeros; results lie inside their map or ring (the program's first invariant), and nothing
        // else touches either meanwhile, as the caller holds.
        unsafe {
            let ring = at.checked_sub(1).and_then(|before| self.fused.stages[before].ring);
            let windows = match (ring, self.input) {
                (None, Some((input, fill))) => {
                    let first = self.fused.memory_row(row);
                    self.bring(input, fill, first + window.0);
                    let from = &self.fused.from;
                    let column = from.start % (from.row / stride);
                    self.lines.extend((first..first + window.0).map(|y| y % window.0 * input.row + column));
                    // Of f32, whatever `N` is.
                    let first = self.scratch.add(input.start).cast_const();
                    Windows { first, lines: &self.lines, pixel: from.pixel / stride }
                }
                (None, None) => {
                    let from = &self.fused.from;
                    self.lines.extend((0..window.0).map(|y| y * (from.row / stride)));
                    // Of f32 where it is read as such, and then this is not where it lies.
                    let first = self.bases.map::<N>(from).wrapping_add(from.at(self.image, row, 0));
                    Windows { first: first.cast_const(), lines: &self.lines, pixel: from.pixel / stride }
                }
                (Some(ring), _) => {
                    let top = row * stride;
                    self.lines.extend((top..top + window.0).map(|y| match y.checked_sub(padding.0) {
                        Some(y) if y < stage.source_rows => ring.slot(y),
                        _ => 0,
                    }));
                    Windows { first: self.scratch.cast_const(), lines: &self.lines, pixel: ring.pixel }
                }
            };
            let (out, pixel) = match stage.ring {
                Some(ring) => (self.scratch.add(ring.slot(row) + ring.left), ring.pixel),
                None => {
                    let to = &self.fused.to;
                    (self.bases.map::<N>(to).add(to.at(self.image, row, 0)), to.pixel)
                }
            };
            let runs = |inputs: usize| match at {
                0 if self.input.is_none() => (&self.fused.runs.0[..], self.fused.runs.1),
                _ => (windows.lines, window.1 * inputs),
            };
            let behind = self.scratch.add(self.fused.behind);
            match &stage.kind {
                Kind::Conv { packed, weights, kernels, depth } => {
                    let (lines, run) = runs(packed.inputs);
                    let weights = (N::of(&self.bases.weights[weights.clone()]), *depth);
                    stage.conv(packed, kernels, weights, &Windows { lines, ..windows }, run, (out, pixel));
                }
                // Only lowered where `N` is f16, for the first of fused tasks, whose map is of f32.
                Kind::Rounded(packed, weights, f16) => {
                    let (lines, run) = runs(packed.inputs);
                    let first = match self.input {
                        Some(_) => windows.first.cast::<f32>(),
                        None => {
                            let from = &self.fused.from;
                            self.bases.map::<f32>(from).add(from.at(self.image, row, 0)).cast_const()
                        }
                    };
                    let windows = Windows { first, lines, pixel: windows.pixel };
                    let weights = (&self.bases.weights[weights.clone()], packed.depth());
                    let own = packed.vectors() * LANES;
                    let full = behind.cast::<f32>();
                    stage.conv(packed, packed.kernels, weights, &windows, run, (full, own));
                    if own == pixel {
                        (f16.round)(full, out.cast(), stage.columns * own);
                    } else {
                        for column in 0..stage.columns {
                            (f16.round)(full.add(column * own), out.add(column * pixel).cast(), own);
                        }
                    }
                }
                Kind::Depthwise(conv) => {
                    conv.run(
                        windows.first,
                        windows.lines,
                        windows.pixel,
                        windows.pixel * stride,
                        out,
                        pixel,
                        stage.columns,
                    );
                }
                Kind::Max { kernels, vectors } => stage.max(kernels, *vectors, row, &windows, out, pixel),
            }
        }
    }
}

impl<N: Number> Stage<N> {
    /// A convolution of `M`, by weights of which an output has `depth`.
    ///
    /// # Safety
    /// As for [`Strip::row`].
    unsafe fn conv<M: Number>(
        &self,
        packed: &Packed,
        kernels: &Kernels<M>,
        (weights, depth): (&[M], usize),
        windows: &Windows<M>,
        run: usize,
        (out, out_pixel): (*mut M, usize),
    ) {
        let step = windows.pixel * self.reach.stride;
        for panel in (0..packed.panels()).map(|at| packed.panel(at)) {
            let tiles = Tiles {
                count: 0,
                from: windows.first,
                step,
                runs: windows.lines,
                run,
                weights: panel.weights(weights, depth).as_ptr(),
                bias: panel.bias,
                after: panel.after,
                out: out.wrapping_add(panel.first),
                out_step: out_pixel,
            };
            // SAFETY: handed on to the caller; the kernels were chosen for this processor.
            unsafe { kernels.line(self.columns, panel.vectors, tiles) }
        }
    }

    /// # Safety
    /// As for [`Strip::row`].
    unsafe fn max(
        &self,
        kernels: &Kernels<N>,
        vectors: usize,
        row: usize,
        windows: &Windows<N>,
        out: *mut N,
        out_pixel: usize,
    ) {
        let Reach { window, stride, .. } = self.reach;
        let rows = window.0.min(self.source_rows - row * stride);
        // The rows of a window follow each other in the ring. Those beyond the map's end are not read.
        let apart = if rows > 1 { windows.lines[1] - windows.lines[0] } else { 0 };
        for (columns, group) in in_row(self.columns, self.source_columns, window.1, stride) {
            let left = group.start * stride;
            // SAFETY: handed on to the caller; the windows are cut at the map's end.
            unsafe {
                (kernels.greatest)(&tile::Windows {
                    count: group.len(),
                    step: stride * windows.pixel,
                    out_step: out_pixel,
                    from: windows.first.add(windows.lines[0] + left * windows.pixel),
                    rows,
                    columns,
                    row: apart,
                    column: windows.pixel,
                    out: out.add(group.start * out_pixel),
                    vectors,
                });
            }
        }
    }
}
