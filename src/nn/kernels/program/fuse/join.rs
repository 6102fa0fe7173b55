//! Steps that follow each other over large maps, row by row: what stands between two of them never leaves a core's
//! own cache.
//!
//! In a network of 1x1 and depthwise convolutions a map of some megabytes is written and read for a few products a
//! number, and memory is what it waits for. So a row is computed when the step after it asks for it, into a ring of
//! as many rows as that step's window has. Here is which steps are joined so, and where their rings stand; `band` has
//! how they run. What reads the input first asks for its rows, so that it never stands in memory.

use std::collections::HashMap;
use std::ops::Range;

use super::lanes::LANES;
use super::ops::Arithmetic;
use super::program::{ProgramBuilder, Slice, Task};
use super::winograd;

/// Numbers of a map from which on it is worth being computed row by row: it fills half of a second cache.
pub(super) const LARGE: usize = 128_000;
/// Numbers that the rings of a chain may take together, and weights of one of its convolutions, which every row
/// reads: they stay in a second cache of a megabyte.
const ROOM: usize = 160_000;
const WEIGHTS: usize = 16_000;

/// How the rows of a task depend on those of its source.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    pub window: (usize, usize),
    pub stride: usize,
    pub padding: (usize, usize),
}

impl Reach {
    pub(super) fn of(task: &Task) -> Option<Self> {
        match task {
            Task::Conv { conv, add: None, .. } => {
                let packed = conv.packed();
                Some(Self { window: packed.window, stride: packed.stride, padding: packed.padding })
            }
            Task::Depthwise { conv, .. } => {
                let packed = conv.packed();
                Some(Self { window: packed.window, stride: packed.stride, padding: packed.padding })
            }
            // So that the rows of a window are in order in the ring.
            Task::MaxPool { window, stride, .. } if window == stride => {
                Some(Self { window: (*window, *window), stride: *stride, padding: (0, 0) })
            }
            _ => None,
        }
    }

    /// Rows of a source of `length` that result `row` needs, those outside left out.
    pub(super) fn rows(&self, row: usize, length: usize) -> Range<usize> {
        let first = row * self.stride;
        first.saturating_sub(self.padding.0)..(first + self.window.0).saturating_sub(self.padding.0).min(length)
    }
}

/// Joins steps of one task each that hand on maps of at least `large` numbers into chains.
pub(super) fn join(builder: &mut ProgramBuilder, outputs: &[Slice], large: usize, arithmetic: Arithmetic) {
    let mut uses: HashMap<usize, usize> = HashMap::new();
    let tasks = builder.steps.iter().flatten();
    let seen = tasks.flat_map(|t| [Some(t.reads()), Some(t.writes()), t.adds()]).flatten();
    let kept = outputs.iter().chain(builder.marks.iter().map(|(_, _, slice)| slice));
    seen.chain(kept.copied()).for_each(|slice| *uses.entry(slice.map.id).or_default() += 1);
    let hands_on = |before: &Task, after: &Task| {
        let (between, map) = (before.writes(), before.writes().map);
        let whole = between == map.into() && between == after.reads();
        let large = map.rows * map.columns * map.channels >= large;
        whole && large && uses[&map.id] == 2 && map.channels.is_multiple_of(LANES)
    };
    let fits = |step: &[Task]| matches!(step, [task] if can_be_joined(task, arithmetic));
    // A chain that ends in the map that it begins with would read what it has overwritten.
    let apart = |group: &[Vec<Task>], step: &[Task]| group[0][0].reads().map != step[0].writes().map;
    // What a chain writes to may be looked at before it begins, but not on its way.
    let marks = &builder.marks;
    let unseen = |group: &[Vec<Task>], done: usize, step: &[Task]| {
        let inside = done + 1 - group.len()..=done;
        !marks.iter().any(|(after, _, slice)| inside.contains(after) && slice.map == step[0].writes().map)
    };
    let mut groups: Vec<Vec<Vec<Task>>> = Vec::new();
    for (done, step) in std::mem::take(&mut builder.steps).into_iter().enumerate() {
        match groups.last_mut() {
            Some(group)
                if fits(&step)
                    && apart(group, &step)
                    && unseen(group, done, &step)
                    && group.last().is_some_and(|last| fits(last) && hands_on(&last[0], &step[0]))
                    && rings(&group.iter().chain([&step]).flatten().collect::<Vec<_>>()).1 <= ROOM =>
            {
                group.push(step);
            }
            _ => groups.push(vec![step]),
        }
    }
    // After how many steps now, by how many it was.
    let mut numbers = vec![0];
    for group in groups {
        let old = group.len();
        if old > 1 && group.iter().flatten().any(|task| matches!(task, Task::Depthwise { .. })) {
            builder.steps.push(vec![Task::Chain(group.into_iter().flatten().collect())]);
            numbers.extend(vec![builder.steps.len(); old]);
        } else {
            for step in group {
                builder.steps.push(step);
                numbers.push(builder.steps.len());
            }
        }
    }
    builder.marks.iter_mut().for_each(|(after, _, _)| *after = numbers[*after]);
}

fn can_be_joined(task: &Task, arithmetic: Arithmetic) -> bool {
    let direct = match task {
        Task::Conv { conv, from, to, .. } => {
            let tiles = arithmetic != Arithmetic::Half && winograd::pays(conv, to.map.rows, to.map.columns);
            let rounded = arithmetic == Arithmetic::Int16 && from.map.id != 0;
            !tiles && !rounded && conv.weights().len() <= WEIGHTS
        }
        _ => true,
    };
    direct && Reach::of(task).is_some()
}

/// Where the results of a task stand until the next one has read them.
#[derive(Clone, Copy)]
pub(super) struct Ring {
    pub start: usize,
    pub rows: usize,
    /// Numbers in a row, before the first result, and from a pixel to the next.
    pub row: usize,
    pub left: usize,
    pub pixel: usize,
    /// Numbers of results in a row: what else is in it is border.
    pub results: usize,
}

impl Ring {
    /// Where a row stands, border and all.
    pub(super) fn slot(&self, row: usize) -> usize {
        self.start + row % self.rows * self.row
    }
}

/// The rings of all tasks but the last, behind a row of zeros, and how many numbers they take together.
pub(super) fn rings(tasks: &[&Task]) -> (Vec<Ring>, usize) {
    let mut rings: Vec<Ring> = Vec::new();
    for pair in tasks.windows(2) {
        let (map, to) = (pair[0].writes().map, pair[1].writes().map);
        let Some(Reach { window, stride, padding }) = Reach::of(pair[1]) else { continue };
        let right = ((to.columns - 1) * stride + window.1).saturating_sub(map.columns + padding.1);
        let pixel = map.channels;
        let row = (padding.1 + map.columns + right) * pixel;
        rings.push(Ring {
            start: 0,
            rows: window.0,
            row,
            left: padding.1 * pixel,
            pixel,
            results: map.columns * pixel,
        });
    }
    let mut length = rings.iter().map(|r| r.row).max().unwrap_or(0);
    for ring in &mut rings {
        ring.start = length;
        length += ring.rows * ring.row;
    }
    (rings, length)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use crate::Simd;
    use crate::ops::Arithmetic;
    use crate::pack::{Activation, ConvWeights};
    use crate::program::Map;
    use crate::run::Program;
    use crate::{DepthwiseConv, PackedConv, ProgramBuilder};

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Kind {
        Conv,
        Depthwise,
        Max,
    }

    /// A step over what the one before gave.
    #[derive(Debug)]
    struct Layer {
        kind: Kind,
        window: usize,
        stride: usize,
        padding: usize,
        channels: usize,
        weight: Vec<f32>,
        marked: bool,
    }

    fn layers(rng: &mut ChaCha8Rng, inputs: usize) -> Vec<Layer> {
        let count = rng.random_range(3..7);
        let (mut before, mut halved) = (inputs, 0);
        let mut layer = |at: usize| {
            let least = if halved < 2 { 2 } else { 1 };
            let kind = match at {
                0 => Kind::Conv,
                1 => Kind::Depthwise,
                _ => [Kind::Conv, Kind::Depthwise, Kind::Max][rng.random_range(0..1 + least)],
            };
            let (window, stride) = match kind {
                Kind::Conv => ([1, 1, 3][rng.random_range(0..3)], rng.random_range(1..=least)),
                Kind::Depthwise => ([3, 3, 5][rng.random_range(0..3)], rng.random_range(1..=least)),
                Kind::Max => (2, 2),
            };
            halved += stride - 1;
            let channels = match kind {
                Kind::Conv if at + 1 == count => rng.random_range(1..40),
                Kind::Conv => 16 * rng.random_range(1..3),
                _ => before,
            };
            let padding = if kind == Kind::Max { 0 } else { rng.random_range(0..=window / 2) };
            let inputs = if kind == Kind::Conv { before } else { 1 };
            let weight = (0..channels * inputs * window * window).map(|_| rng.random_range(-0.5..0.5)).collect();
            before = channels;
            Layer { kind, window, stride, padding, channels, weight, marked: rng.random_range(0..8) == 0 }
        };
        (0..count).map(&mut layer).collect()
    }

    /// `layers` one after the other, joined where maps of `large` numbers stand between them.
    fn program(
        layers: &[Layer],
        (rows, columns, inputs): (usize, usize, usize),
        simd: Simd,
        arithmetic: Arithmetic,
        large: usize,
    ) -> Program {
        let (mut builder, input) = ProgramBuilder::new(rows, columns, inputs);
        let mut map: Map = input;
        for layer in layers {
            builder.step();
            let length = |length: usize| (length + 2 * layer.padding - layer.window) / layer.stride + 1;
            map = match layer.kind {
                Kind::Max => {
                    let halved = builder.map(map.rows.div_ceil(2), map.columns.div_ceil(2), map.channels);
                    builder.max_pool(map, halved, 2, 2);
                    halved
                }
                _ => {
                    let conv = ConvWeights {
                        weight: &layer.weight,
                        outputs: layer.channels,
                        inputs: if layer.kind == Kind::Conv { map.channels } else { 1 },
                        window: (layer.window, layer.window),
                        bias: &vec![0.1; layer.channels],
                        stride: layer.stride,
                        padding: (layer.padding, layer.padding),
                        activation: match layer.channels % 2 {
                            0 => Activation::Relu,
                            _ => Activation::PRelu(vec![-0.3; layer.channels]),
                        },
                    };
                    let result = builder.map(length(map.rows), length(map.columns), layer.channels);
                    match layer.kind {
                        Kind::Conv => builder.conv(&PackedConv::new(&conv, simd), map, result, None),
                        _ => builder.depthwise(&DepthwiseConv::new(&conv, simd), map, result),
                    };
                    result
                }
            };
            if layer.marked {
                builder.mark("marked", map);
            }
        }
        builder.finish_with(&[map.into()], simd, arithmetic, large)
    }

    #[test]
    fn a_map_is_not_read_and_written_by_one_chain_and_slices_end_where_they_should() {
        let simd = Simd::available()[0];
        let (weight, ones) = (vec![0.1; 16 * 16], vec![1.0; 16 * 9]);
        let weights = |weight, inputs, window: usize| ConvWeights {
            weight,
            outputs: 16,
            inputs,
            window: (window, window),
            bias: &[],
            stride: 1,
            padding: (window / 2, window / 2),
            activation: Activation::None,
        };
        let mix = PackedConv::new(&weights(&weight[..], 16, 1), simd);
        let each = DepthwiseConv::new(&weights(&ones[..], 1, 3), simd);
        let build = |large| {
            let (mut builder, input) = ProgramBuilder::new(40, 40, 16);
            let first = builder.conv_to_new(&mix, input);
            let wide = builder.map(20, 20, 64);
            let [second, third] = [0, 1].map(|_| builder.map(40, 40, 16));
            builder.step().conv(&mix, first, second, None);
            // What was read is written: the two are no chain.
            builder.step().depthwise(&each, second, first);
            builder.step().depthwise(&each, first, third);
            for quarter in 0..4 {
                builder.step().max_pool(third, wide.channels(16 * quarter, 16), 2, 2);
            }
            let last = builder.map(40, 40, 16);
            builder.step().conv(&mix, third, last, None);
            let narrow = builder.map(40, 40, 16);
            builder.step().depthwise(&each, last, narrow);
            builder.step().max_pool(narrow, wide.channels(16, 16), 2, 2);
            builder.finish_with(&[first.into(), wide.into()], simd, Arithmetic::F32, large)
        };
        let mut rng = ChaCha8Rng::seed_from_u64(62);
        let values: Vec<f32> = (0..40 * 40 * 16).map(|_| rng.random_range(-1.0..1.0)).collect();
        let (alone, joined) = (build(usize::MAX), build(1));
        assert_eq!((alone.chains(1, 1).len(), joined.chains(1, 1).len()), (0, 1));
        assert!(answers(&joined, &values, 1, 40 * 16) == answers(&alone, &values, 1, 40 * 16));
    }

    /// The output, and every map that was marked.
    fn answers(program: &Program, values: &[f32], n: usize, row: usize) -> Vec<Vec<f32>> {
        let mut seen = Vec::new();
        let rows = values.len() / row / n;
        let outputs = program.run_seen(
            n,
            |image, out| (0..rows).for_each(|y| out.row(y).copy_from_slice(&values[(image * rows + y) * row..][..row])),
            |_, read| seen.push(read()),
        );
        seen.into_iter().chain(outputs).collect()
    }

    #[test]
    fn chains_give_what_their_steps_give_one_by_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(61);
        let pools: Vec<_> =
            (1..4).map(|count| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap()).collect();
        let (mut chained, mut cut, mut by_rows) = (0, 0, 0);
        for case in 0..60 {
            let kinds = [Arithmetic::F32, Arithmetic::Int16, Arithmetic::Half];
            let arithmetic = kinds[case % 6 / 2];
            let shape = (rng.random_range(50..110), rng.random_range(50..80), [1, 3, 16][case % 3]);
            let layers = layers(&mut rng, shape.2);
            let n = rng.random_range(1..4);
            let values: Vec<f32> = (0..n * shape.0 * shape.1 * shape.2).map(|_| rng.random_range(-1.0..1.0)).collect();
            for simd in Simd::available() {
                let alone = program(&layers, shape, simd, arithmetic, usize::MAX);
                let joined = program(&layers, shape, simd, arithmetic, 1);
                assert!(alone.chains(n, 1).is_empty());
                let wanted = answers(&alone, &values, n, shape.1 * shape.2);
                // Halves are slow in plain code.
                let pools = if (simd, arithmetic) == (Simd::Scalar, Arithmetic::Half) { &pools[1..2] } else { &pools };
                for pool in pools {
                    chained += joined.chains(n, 1).len();
                    cut += joined.chains(n, pool.current_num_threads()).iter().filter(|&&pieces| pieces > n).count();
                    // Twice: a scratch that was used holds nothing that matters.
                    for _ in 0..2 {
                        let got = pool.install(|| answers(&joined, &values, n, shape.1 * shape.2));
                        assert!(got == wanted, "case {case} by {simd}: {n} of {shape:?} through {layers:?}");
                    }
                    // As much where the input is written row by row, in a scratch that holds what comes of another one.
                    let row = shape.1 * shape.2;
                    let fill = |image: usize, y: usize, out: &mut [f32]| {
                        out.copy_from_slice(&values[(image * shape.0 + y) * row..][..row]);
                    };
                    by_rows += usize::from(joined.takes_rows());
                    for scale in [-3.0, 1.0] {
                        let scaled = |image: usize, y: usize, out: &mut [f32]| {
                            fill(image, y, out);
                            out.iter_mut().for_each(|v| *v *= scale);
                        };
                        let got = pool.install(|| joined.run_rows(n, scaled)).remove(0);
                        let same = Some(&got) == wanted.last();
                        assert!(same == (scale > 0.0), "case {case} by {simd}: {n} of {shape:?} by rows");
                    }
                }
            }
        }
        assert!(chained > 200 && cut > 50, "{chained} chains, {cut} of them in bands: too few to tell");
        assert!(by_rows > 100, "{by_rows} whose input is written row by row: too few to tell");
    }
}
