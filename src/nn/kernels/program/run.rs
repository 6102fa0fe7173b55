//! Runs a program: steps in order, the pieces of a step on all threads of a team.
//!
//! A program is shared by threads; each run borrows a workspace from a small pool, so that no map is
//! allocated once as many runs as there are threads have gone through.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::chain;
use super::halves::Halves;
use super::input::{Input, InputRows};
use super::integer_tile::IntegerKernels;
use super::lanes::LANES;
use super::layout::{Layout, View, layouts};
use super::lines::Lines;
use super::lower::Lowering;
#[cfg(test)]
use super::map_ops::MapOp;
use super::ops::{Arithmetic, Bases, Op, part};
use super::plan::{Plan, plan};
use super::program::{Map, ProgramBuilder, Slice, Task};
use super::team::{self, Work};
use super::tile::Kernels;
use crate::Simd;

/// Steps that all runs of this process have begun, counted from 1.
static STEPS: AtomicU64 = AtomicU64::new(0);

/// A step of less work than this (in products) is not worth waking another thread for.
const ALONE: usize = 200_000;

/// A network for one input size. See [`ProgramBuilder`].
pub struct Program {
    input: Map,
    layouts: Vec<Layout>,
    plan: Plan,
    steps: Vec<Step>,
    /// The weights of all steps in the order in which they are read.
    weights: Lines,
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
    of_halves: bool,
}

struct Workspace {
    capacity: usize,
    /// Where each map begins.
    starts: Vec<usize>,
    memory: Lines,
}

impl ProgramBuilder {
    /// The program; each run gives the numbers of `outputs`.
    pub fn finish(self, outputs: &[Slice], simd: Simd) -> Program {
        self.finish_in(outputs, simd, Arithmetic::F32)
    }

    /// As [`Self::finish`]; in another arithmetic than f32 convolutions are computed where that pays and the path has
    /// instructions for it.
    pub fn finish_in(self, outputs: &[Slice], simd: Simd, arithmetic: Arithmetic) -> Program {
        self.finish_with(outputs, simd, arithmetic, chain::LARGE)
    }

    /// As [`Self::finish_in`]; maps of `large` numbers and more may be computed row by row.
    pub(super) fn finish_with(
        mut self,
        outputs: &[Slice],
        simd: Simd,
        arithmetic: Arithmetic,
        large: usize,
    ) -> Program {
        let arithmetic = if arithmetic.runs_by(simd) { arithmetic } else { Arithmetic::F32 };
        chain::join(&mut self, outputs, large, arithmetic);
        let layouts = layouts(&self);
        let halves = Halves::of(arithmetic, simd);
        let plan = plan(&self, &layouts, outputs, halves.is_some());
        let integers = if arithmetic == Arithmetic::Int16 { IntegerKernels::of(simd) } else { None };
        let lowering = Lowering { layouts: &layouts, kernels: Kernels::of(simd), integers, halves };
        let mut weights = Lines::zeros(self.steps.iter().flatten().map(|task| lowering.weights(task)).sum());
        let mut used = 0;
        let mut lower = |step: Vec<Task>| {
            let mut ops = Vec::with_capacity(step.len());
            // Each task goes as soon as its weights are in their place, so that few stand there twice.
            for task in step {
                ops.push(lowering.op(&task, used, weights.numbers_mut()));
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
            Output { slice, view, of_halves: halves.is_some() && slice.map.id != 0 }
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
    /// Convolutions that are computed in whole numbers.
    #[cfg(test)]
    pub(super) fn whole_numbered(&self) -> usize {
        self.steps.iter().flat_map(|step| &step.ops).filter(|op| matches!(op, Op::Integer(_))).count()
    }

    /// Whether the input's rows are asked for when they are needed.
    #[cfg(test)]
    pub(super) fn takes_rows(&self) -> bool {
        self.by_rows
    }

    /// Into how many pieces each chain falls for `n` images on `threads`.
    #[cfg(test)]
    pub(super) fn chains(&self, n: usize, threads: usize) -> Vec<usize> {
        let chained = |op: &&Op| match op {
            Op::Full(MapOp::Chain(_)) => true,
            Op::Half(MapOp::Chain(chain)) => chain.stages() > 1,
            _ => false,
        };
        self.steps.iter().flat_map(|step| &step.ops).filter(chained).map(|op| op.pieces(n, threads)).collect()
    }

    /// Runs over `n` images; `fill` writes each. Gives, for each output, `[n, rows, columns, channels]`.
    pub fn run(&self, n: usize, fill: impl Fn(usize, &mut InputRows) + Sync) -> Vec<Vec<f32>> {
        self.run_seen(n, fill, |_, _| ())
    }

    /// As [`Self::run`]; `fill` writes row `y` of an image, `[columns * channels]`, more than once for some rows. Where
    /// the first step runs row by row, a row is asked for when it is needed, and the input never stands in memory.
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
        let base = workspace.memory.numbers_mut().as_mut_ptr();
        // SAFETY: the memory was made to hold every map at its place.
        let bases: Vec<*mut f32> = workspace.starts.iter().map(|&start| unsafe { base.add(start) }).collect();
        let step = STEPS.fetch_add(self.steps.len() as u64, Ordering::Relaxed);
        let bases = Bases { maps: &bases, weights: self.weights.numbers(), step, rows };
        let run = Run { steps: &self.steps, bases, n, threads };
        team::run(&run, threads, |number| {
            for (_, name, output) in self.marks.iter().filter(|(after, ..)| *after == number + 1) {
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
        let numbers = workspace.memory.numbers_mut();
        match threads {
            1 => numbers.chunks_mut(layout.image).take(n).enumerate().for_each(write),
            _ => numbers.par_chunks_mut(layout.image).take(n).enumerate().for_each(write),
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
                Workspace { capacity: n, starts, memory: Lines::zeros(length) }
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
                    // SAFETY: the pixel is inside the map, no step runs, and all numbers were initialised.
                    unsafe {
                        if self.of_halves {
                            let halves = std::slice::from_raw_parts(bases.map::<f16>(&self.view).add(at), channels);
                            let done = values.len();
                            values.resize(done + channels, 0.0);
                            halves.convert_to_f32_slice(&mut values[done..]);
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

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::pack::{Activation, ConvWeights, PackedConv};
    use crate::winograd;

    /// Weights, biases, slopes, and the shape of the weights.
    type Numbers = (Vec<f32>, Vec<f32>, Vec<f32>, (usize, usize, usize, usize));

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// `[n, rows, columns, channels]` as the tensor library's `[n, channels, rows, columns]`.
    fn tensor(values: &[f32], shape: (usize, usize, usize, usize)) -> Tensor {
        let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        tensor.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn hold(got: &[f32], wanted: &[f32], what: &str) {
        assert_eq!(got.len(), wanted.len(), "{what}");
        for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
            assert!((g - w).abs() < 2e-4 * w.abs().max(1.0), "{what}: number {i} is {g}, not {w}");
        }
    }

    fn filled(program: &Program, values: &[f32], n: usize) -> Vec<Vec<f32>> {
        filled_in(program, values, n, None)
    }

    fn filled_in(program: &Program, values: &[f32], n: usize, group: Option<usize>) -> Vec<Vec<f32>> {
        let Map { rows, columns, channels, .. } = program.input;
        let fill = |image: usize, out: &mut InputRows| {
            let length = columns * channels;
            for y in 0..rows {
                out.row(y).copy_from_slice(&values[(image * rows + y) * length..][..length]);
            }
        };
        match group {
            Some(group) => program.run_in_groups(n, group, fill),
            None => program.run(n, fill),
        }
    }

    /// Two convolutions side by side over one input, then one over both of them that is added to a third.
    #[test]
    fn every_path_gives_candles_convolutions() {
        let mut rng = ChaCha8Rng::seed_from_u64(21);
        for case in 0..60 {
            let mut window = (rng.random_range(1..4), rng.random_range(1..8));
            let (mut stride, n) = (rng.random_range(1..3), rng.random_range(1..4));
            let mut padding = (rng.random_range(0..=window.0 / 2), rng.random_range(0..=window.1 / 2));
            let (mut rows, mut columns) = (rng.random_range(window.0..14), rng.random_range(window.1..30));
            let (mut inputs, left, right) =
                (rng.random_range(1..40usize), 16 * rng.random_range(1..4), rng.random_range(1..50));
            // Every other case is one that is computed by tiles.
            if case % 2 == 1 {
                (window, stride, padding) = ((3, 3), 1, (case / 2 % 2, case / 4 % 2));
                // Half of them so small that only narrow paths do so.
                let more = if case % 4 == 1 { 13 } else { 9 };
                (rows, columns, inputs) = (rows + more, columns + more, 16 * inputs.div_ceil(16));
            }
            // Some so wide that tiles stand side by side in long lines.
            if case % 10 == 4 {
                (rows, columns) = (rows + 10, columns + 50);
            }
            let cpu = &Device::Cpu;
            let mut conv = |inputs: usize, outputs: usize, window: (usize, usize)| {
                let scale = 1.0 / ((inputs * window.0 * window.1) as f32).sqrt();
                let weight: Vec<f32> = random(outputs * inputs * window.0 * window.1, &mut rng);
                let weight: Vec<f32> = weight.iter().map(|w| w * scale).collect();
                (weight, random(outputs, &mut rng), random(outputs, &mut rng), (outputs, inputs, window.0, window.1))
            };
            let a = conv(inputs, left, window);
            let b = conv(inputs, right, window);
            let joined = conv(left + right, left, (1, 1));
            let values = random(n * rows * columns * inputs, &mut rng);

            let by_candle = |x: &Tensor, c: &Numbers, stride, padding: (usize, usize)| {
                let (rows, columns) = padding;
                let x = x.pad_with_zeros(2, rows, rows).unwrap().pad_with_zeros(3, columns, columns).unwrap();
                let y = x.conv2d(&Tensor::from_slice(&c.0, c.3, cpu).unwrap(), 0, stride, 1, 1).unwrap();
                y.broadcast_add(&Tensor::from_slice(&c.1, (1, c.1.len(), 1, 1), cpu).unwrap()).unwrap()
            };
            let prelu = |y: &Tensor, slope: &[f32]| {
                let slope = Tensor::from_slice(slope, (1, slope.len(), 1, 1), cpu).unwrap();
                let below = y.neg().unwrap().relu().unwrap().broadcast_mul(&slope).unwrap();
                (y.relu().unwrap() - below).unwrap()
            };
            let x = tensor(&values, (n, rows, columns, inputs));
            let ya = prelu(&by_candle(&x, &a, stride, padding), &a.2);
            let yb = by_candle(&x, &b, stride, padding).relu().unwrap();
            let sum = (by_candle(&Tensor::cat(&[&ya, &yb], 1).unwrap(), &joined, 1, (0, 0)) + &ya).unwrap();

            for simd in Simd::available() {
                let pack = |c: &Numbers, stride, padding, activation| {
                    let (outputs, inputs, rows, columns) = c.3;
                    let (weight, bias, window) = (&c.0[..], &c.1[..], (rows, columns));
                    let conv = ConvWeights { weight, outputs, inputs, window, bias, stride, padding, activation };
                    PackedConv::new(&conv, simd)
                };
                let a = pack(&a, stride, padding, Activation::PRelu(a.2.clone()));
                let tiles = case % 4 == 1 || (case % 4 == 3 && a.packed().kernels.wide() == 1);
                assert!(!tiles || winograd::pays(&a, rows - 2, columns - 2), "{case} is not computed by tiles");
                let b = pack(&b, stride, padding, Activation::Relu);
                let joined = pack(&joined, 1, (0, 0), Activation::None);
                let (mut builder, input) = ProgramBuilder::new(rows, columns, inputs);
                let (out_rows, out_columns) = a.result_size(input);
                let both = builder.map(out_rows, out_columns, left + right);
                let third = builder.map(out_rows, out_columns, left);
                builder.step().conv(&a, input, both.channels(0, left), None);
                builder.conv(&b, input, both.channels(left, right), None).conv(&a, input, third, None);
                builder.step().conv(&joined, both, third, Some(third.into()));
                let program = builder.finish(&[both.channels(0, left), both.channels(left, right), third.into()], simd);
                let what = format!("case {case} by {simd}, {n} of {rows}x{columns}x{inputs}, {window:?} at {stride}");
                // Twice, once with fewer images (a workspace that was used holds nothing that matters), and in groups.
                for (n_now, group) in [(n, None), (n, None), (1, None), (n, Some(1)), (n, Some(2))] {
                    let answers = filled_in(&program, &values, n_now, group);
                    for (got, wanted) in answers.iter().zip([&ya, &yb, &sum]) {
                        hold(got, &numbers(&wanted.narrow(0, 0, n_now).unwrap()), &what);
                    }
                }
            }
        }
    }

    #[test]
    fn pools_count_what_is_inside_and_fill_with_zeros() {
        let mut rng = ChaCha8Rng::seed_from_u64(22);
        for (length, channels) in [(7, 20), (8, 64), (9, 16), (5, 1)] {
            let identity: Vec<f32> =
                (0..channels * channels).map(|i| f32::from(u8::from(i % (channels + 1) == 0))).collect();
            let values = random(2 * length * length * channels, &mut rng);
            let x = tensor(&values, (2, length, length, channels));
            for simd in Simd::available() {
                let conv = ConvWeights {
                    weight: &identity,
                    outputs: channels,
                    inputs: channels,
                    window: (1, 1),
                    bias: &[],
                    stride: 1,
                    padding: (0, 0),
                    activation: Activation::None,
                };
                let (mut builder, input) = ProgramBuilder::new(length, length, channels);
                let copy = builder.conv_to_new(&PackedConv::new(&conv, simd), input);
                let greatest = builder.map(length.div_ceil(2), length.div_ceil(2), channels);
                let mean = builder.map(length / 2, length / 2, channels + 30);
                builder.step().max_pool(copy, greatest, 2, 2).mean(copy, mean, (2, 2), 2);
                let answers = filled(&builder.finish(&[greatest.into(), mean.into()], simd), &values, 2);
                // The last line again, where windows reach beyond it.
                let odd = length % 2;
                let whole = x.pad_with_same(2, 0, odd).unwrap().pad_with_same(3, 0, odd).unwrap();
                let wanted = whole.max_pool2d(2).unwrap();
                hold(&answers[0], &numbers(&wanted), &format!("greatest of {length} by {simd}"));
                let wanted = x.avg_pool2d(2).unwrap().pad_with_zeros(1, 0, 30).unwrap();
                hold(&answers[1], &numbers(&wanted), &format!("mean of {length} by {simd}"));
            }
        }
    }

    #[test]
    #[should_panic(expected = "two operators of one step meet")]
    fn operators_of_a_step_that_write_the_same_channels_are_refused() {
        let (mut builder, input) = ProgramBuilder::new(4, 4, 3);
        let weight = [1.0; 48];
        let conv = ConvWeights {
            weight: &weight,
            outputs: 16,
            inputs: 3,
            window: (1, 1),
            bias: &[],
            stride: 1,
            padding: (0, 0),
            activation: Activation::None,
        };
        let conv = PackedConv::new(&conv, Simd::Scalar);
        let map = builder.map(4, 4, 16);
        builder.step().conv(&conv, input, map, None).conv(&conv, input, map, None);
    }

    #[test]
    fn many_threads_share_one_program() {
        let mut rng = ChaCha8Rng::seed_from_u64(23);
        let weight = random(32 * 16 * 9, &mut rng);
        let conv = ConvWeights {
            weight: &weight,
            outputs: 32,
            inputs: 16,
            window: (3, 3),
            bias: &[],
            stride: 1,
            padding: (1, 1),
            activation: Activation::Relu,
        };
        let simd = Simd::available()[0];
        let (mut builder, input) = ProgramBuilder::new(40, 40, 16);
        let out = builder.conv_to_new(&PackedConv::new(&conv, simd), input);
        let program = builder.finish(&[out.into()], simd);
        let inputs: Vec<Vec<f32>> = (0..8).map(|_| random(40 * 40 * 16, &mut rng)).collect();
        let wanted: Vec<Vec<f32>> = inputs.iter().map(|v| filled(&program, v, 1).remove(0)).collect();
        // From threads inside the pool and from outside, all at once.
        std::thread::scope(|scope| {
            for (values, wanted) in inputs.iter().zip(&wanted) {
                let program = &program;
                scope.spawn(move || {
                    (0..4).into_par_iter().for_each(|_| assert_eq!(&filled(program, values, 1)[0], wanted));
                });
            }
        });
    }
}
