//! Convolutions in 16-bit whole numbers: weights and inputs are rounded, products are summed exactly.
//!
//! A convolution's weights are rounded once, each output channel to a step of its own; its input is rounded
//! when it is read, each image to a step that its largest number sets. Pairs of neighbouring channels are
//! multiplied and added in one instruction (`pmaddwd`, `vpdpwssd`), and sums cannot overflow: inputs take
//! [`LARGEST`] steps at most, and an output's weights together no more than what then fits 32 bits. That
//! leaves about eleven bits a number, where eight move embeddings further than kith allows.

use std::cell::RefCell;

use super::conv::{ConvOp, ahead};
use super::integer_tile::{IntegerKernels, IntegerTile};
use super::lanes::LANES;
use super::layout::Layout;
use super::lines::Lines;
use super::ops::{Bases, part};
use super::pack::Packed;
use super::tile::TALLEST;

/// An input's largest number becomes this many steps.
const LARGEST: f32 = 8191.0;
/// An output's weights may be this many steps together, whatever their signs: times [`LARGEST`] it fits.
const TOGETHER: f64 = (i32::MAX as f64) / (LARGEST as f64 + 1.0);
/// Products of an input number from which rounding it pays.
const LEAST_USES: usize = 24;

/// A convolution of whole numbers.
pub(super) struct IntegerOp {
    pub conv: ConvOp,
    kernels: &'static IntegerKernels,
    /// What a step of each output's weights is worth.
    steps: Lines,
    input: Input,
}

/// The part of a map that is rounded, borders included.
struct Input {
    map: usize,
    first: usize,
    channels: usize,
    layout: Layout,
}

/// A map as this thread rounded it last.
#[derive(Default)]
struct Rounded {
    /// Which step of which run, and which part of which map: its first channel and how many.
    of: (u64, usize, usize, usize),
    /// What a step of each image is worth; none where it is not rounded yet.
    steps: Vec<Option<f32>>,
    numbers: Vec<i16>,
}

thread_local! {
    static ROUNDED: RefCell<Rounded> = RefCell::default();
}

impl IntegerOp {
    /// Whether `conv` can be computed so, and whether that pays.
    pub(super) fn pays(packed: &Packed, run: usize, from_chip: bool) -> bool {
        let uses = packed.outputs * packed.window.0 * packed.window.1 / (packed.stride * packed.stride);
        !from_chip && run.is_multiple_of(2) && uses >= LEAST_USES
    }

    /// Numbers that `full` weights take when rounded, two of them in each.
    pub(super) fn weights(full: usize) -> usize {
        full / 2
    }

    /// `conv` over channels `first` to `first + channels` of a map of that layout; `steps` are as
    /// [`round_weights`] gave them.
    pub(super) fn new(
        conv: ConvOp,
        kernels: &'static IntegerKernels,
        steps: Lines,
        (first, channels): (usize, usize),
        layout: Layout,
    ) -> Self {
        let input = Input { map: conv.from.map, first, channels, layout };
        Self { conv, kernels, steps, input }
    }

    /// # Safety
    /// As for `Op::run`.
    pub(super) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        ROUNDED.with_borrow_mut(|rounded| {
            let of = (bases.step, self.input.map, self.input.first, self.input.channels);
            if rounded.of != of {
                rounded.of = of;
                rounded.steps.clear();
                rounded.steps.resize(n, None);
                let length = n * self.input.layout.image;
                if rounded.numbers.len() < length {
                    rounded.numbers.resize(length, 0);
                }
            }
            // SAFETY: handed on to the caller.
            unsafe { self.run_in(bases, n, threads, piece, rounded) }
        });
    }

    /// # Safety
    /// As for `Op::run`.
    unsafe fn run_in(&self, bases: Bases, n: usize, threads: usize, piece: usize, rounded: &mut Rounded) {
        let (conv, packed) = (&self.conv, &self.conv.conv);
        let (panels, block) = conv.piece(n, threads, piece);
        if block.is_empty() {
            return;
        }
        let last = conv.place(block.end - 1).image;
        for image in conv.place(block.start).image..=last {
            if rounded.steps[image].is_none() {
                let length = self.input.layout.image;
                let to = &mut rounded.numbers[image * length..][..length];
                // SAFETY: the map holds `n` images, nothing writes to the channels that this operator reads
                // during its step, and the kernels were chosen for this processor.
                rounded.steps[image] = Some(unsafe {
                    let from = bases.maps[self.input.map].add(image * length);
                    self.input.round(from, to, self.kernels)
                });
            }
        }
        let tall = packed.kernels.tall();
        let tiles = block.len().div_ceil(tall);
        let to = bases.maps[conv.to.map];
        let added = conv.add.map(|view| bases.maps[view.map]);
        let depth = packed.depth();
        // The next panel of this piece, or of the one that this thread is likely to take.
        let others = 1 + (threads - 1) * panels.len();
        for at in panels.clone() {
            let panel = packed.panel(at);
            let weights =
                &bases.weights[conv.weights.clone()][panel.first * depth / 2..][..panel.vectors * LANES * depth / 2];
            let mut t = IntegerTile {
                pixels: [std::ptr::null(); TALLEST],
                runs: &conv.runs,
                run: conv.run,
                weights: weights.as_ptr().cast(),
                steps: self.steps.numbers()[panel.first..].as_ptr(),
                input_steps: [0.0; TALLEST],
                bias: panel.bias,
                after: panel.after,
                out: [std::ptr::null_mut(); TALLEST],
                add: added.map(|_| [std::ptr::null(); TALLEST]),
                ahead: ahead(weights, depth / 2, tiles, if at + 1 < panels.end { 1 } else { others }),
            };
            let mut place = conv.place(block.start);
            for tile in 0..tiles {
                let pixels = part(block.len(), tiles, tile).len();
                for p in 0..pixels {
                    // SAFETY: windows lie inside the map with its border (the program's first invariant), of
                    // which `numbers` is a copy; results lie inside their map.
                    unsafe {
                        t.pixels[p] = rounded.numbers.as_ptr().add(place.from);
                        t.out[p] = to.add(place.to + panel.first);
                        if let (Some(base), Some(add)) = (added, &mut t.add) {
                            add[p] = base.add(place.add + panel.first);
                        }
                    }
                    t.input_steps[p] = rounded.steps[place.image].unwrap_or(f32::NAN);
                    conv.step(&mut place);
                }
                // SAFETY: the kernels were chosen for this processor; the pointers are valid as above,
                // and nothing else touches what is written, as the caller and the second invariant hold.
                unsafe { self.kernels.tiles[panel.vectors - 1][pixels - 1](&t) }
                t.ahead.0 = t.ahead.0.wrapping_byte_add(t.ahead.1 * depth / 2);
            }
        }
    }
}

/// Rounds weights that stand as [`super::pack::PackedConv`] has them into `words`, two a word, and gives what a
/// step of each output's is worth.
pub(super) fn round_weights(packed: &Packed, weights: &[f32], words: &mut [f32]) -> Lines {
    let depth = packed.depth();
    let mut steps = Lines::zeros(packed.vectors() * LANES);
    for panel in (0..packed.panels()).map(|p| packed.panel(p)) {
        let width = panel.vectors * LANES;
        let own = panel.weights(weights, depth);
        let to = &mut words[panel.first * depth / 2..][..own.len() / 2];
        let (mut largest, mut together) = (vec![0f64; width], vec![0f64; width]);
        for row in own.chunks_exact(width) {
            for ((largest, together), &w) in largest.iter_mut().zip(&mut together).zip(row) {
                *largest = largest.max(f64::from(w).abs());
                *together += f64::from(w).abs();
            }
        }
        // Rounding adds half a step a weight at most.
        let room = (TOGETHER - depth as f64 / 2.0).max(0.0);
        let per_unit = |lane: usize| match together[lane] {
            // An output of zeros has no step, and one of what is no number none that is.
            0.0 => (0.0, 0.0),
            sum if sum.is_finite() => {
                let per_unit = (f64::from(i16::MAX) / largest[lane]).min(room / sum);
                (per_unit, (1.0 / per_unit) as f32)
            }
            _ => (0.0, f32::NAN),
        };
        let (per_unit, own_steps): (Vec<f64>, Vec<f32>) = (0..width).map(per_unit).unzip();
        steps.numbers_mut()[panel.first..][..width].copy_from_slice(&own_steps);
        for (pairs, words) in own.chunks_exact(2 * width).zip(to.chunks_exact_mut(width)) {
            let (low, high) = pairs.split_at(width);
            for (lane, word) in words.iter_mut().enumerate() {
                let [low, high] =
                    [low[lane], high[lane]].map(|w| (f64::from(w) * per_unit[lane]).round() as i16 as u16);
                *word = f32::from_bits(u32::from(low) | u32::from(high) << 16);
            }
        }
    }
    steps
}

impl Input {
    /// Rounds one image, and gives what a step is worth: not a number where the image holds one that is not.
    ///
    /// # Safety
    /// `from` is the image, as long as `to`; nothing writes to the channels meanwhile; the processor has the
    /// kernels' instructions.
    unsafe fn round(&self, from: *const f32, to: &mut [i16], kernels: &IntegerKernels) -> f32 {
        let Self { first, channels, layout, .. } = *self;
        // Other operators of the step may be writing the map's other channels. Where it has none, all is one piece.
        let (length, used) =
            if channels == layout.pixel { (to.len(), 0..to.len()) } else { (layout.pixel, first..first + channels) };
        let piece = |number: usize| {
            // SAFETY: inside the image, and only the channels that nothing writes to.
            unsafe { std::slice::from_raw_parts(from.add(number * length + used.start), used.len()) }
        };
        let pieces = to.len() / length;
        // SAFETY: handed on to the caller.
        let largest = (0..pieces).map(|number| unsafe { (kernels.largest)(piece(number)) }).max();
        let largest = f32::from_bits(largest.unwrap_or(0));
        if !largest.is_finite() {
            return f32::NAN;
        }
        let per_unit = LARGEST / largest;
        // Nothing but zeros, or numbers too small to count.
        let (per_unit, step) = if per_unit.is_finite() { (per_unit, largest / LARGEST) } else { (0.0, 0.0) };
        for (number, to) in to.chunks_exact_mut(length).enumerate() {
            // SAFETY: handed on to the caller.
            unsafe { (kernels.round)(piece(number), per_unit, &mut to[used.clone()]) };
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use crate::Simd;
    use crate::{Activation, Arithmetic, ConvWeights, InputRows, PackedConv, Program, ProgramBuilder};

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()
    }

    /// What a case's convolutions are made of.
    struct Case {
        inputs: usize,
        outputs: usize,
        size: (usize, usize),
        window: (usize, usize),
        stride: usize,
        weights: [Vec<f32>; 3],
        bias: Vec<f32>,
        slope: Vec<f32>,
        activation: usize,
        /// Whether the half that is not read stands before the one that is.
        spoiled_first: bool,
    }

    impl Case {
        fn drawn(number: usize, rng: &mut ChaCha8Rng) -> Self {
            let window = [(1, 1), (3, 3), (1, 7), (7, 1), (2, 3)][number % 5];
            // Every third case reads a half of a map.
            let inputs =
                if number.is_multiple_of(3) { 16 * rng.random_range(1..4usize) } else { 2 * rng.random_range(1..40) };
            let outputs = 2 * rng.random_range(12..35usize);
            let length = inputs * window.0 * window.1;
            // Outputs differ in size by a thousand, one is zero.
            let mut own = random(outputs * length, rng);
            for (o, kernel) in own.chunks_mut(length).enumerate() {
                let size = if o == 3 { 0.0 } else { 10f32.powi(o as i32 % 4 - 3) };
                kernel.iter_mut().for_each(|w| *w *= size);
            }
            Self {
                inputs,
                outputs,
                size: (rng.random_range(window.0..12), rng.random_range(window.1..20)),
                window,
                stride: if window == (1, 1) { 1 } else { rng.random_range(1..3) },
                weights: [random(3 * inputs, rng), own, random(32 * outputs, rng)],
                bias: random(outputs, rng),
                slope: random(outputs, rng),
                activation: number % 4,
                spoiled_first: number.is_multiple_of(2),
            }
        }

        /// A map, or one half of it, that a convolution reads, and another convolution that is added to.
        fn program(&self, simd: Simd, arithmetic: Arithmetic) -> Program {
            let conv = |weight, inputs, outputs, window, stride, bias, activation| {
                let window: (usize, usize) = window;
                let weights = ConvWeights {
                    weight,
                    outputs,
                    inputs,
                    window,
                    bias,
                    stride,
                    padding: (window.0 / 2, window.1 / 2),
                    activation,
                };
                PackedConv::new(&weights, simd)
            };
            let activations =
                [Activation::None, Activation::Relu, Activation::Relu6, Activation::PRelu(self.slope.clone())];
            let widen = conv(&self.weights[0], 3, self.inputs, (1, 1), 1, &[][..], Activation::None);
            let after = activations[self.activation].clone();
            let own = conv(&self.weights[1], self.inputs, self.outputs, self.window, self.stride, &self.bias, after);
            let last = conv(&self.weights[2], self.outputs, 32, (1, 1), 1, &[][..], Activation::None);
            let (mut builder, input) = ProgramBuilder::new(self.size.0, self.size.1, 3);
            let read = if self.inputs.is_multiple_of(16) {
                // Beside what is read stand numbers that would be seen: they are none.
                let nothing = vec![f32::NAN; 3 * self.inputs];
                let spoiled = conv(&nothing, 3, self.inputs, (1, 1), 1, &[][..], Activation::None);
                let wide = builder.map(self.size.0, self.size.1, 2 * self.inputs);
                let mut halves = [0, self.inputs].map(|first| wide.channels(first, self.inputs));
                if self.spoiled_first {
                    halves.reverse();
                }
                builder.conv(&widen, input, halves[0], None).conv(&spoiled, input, halves[1], None);
                halves[0]
            } else {
                builder.conv_to_new(&widen, input).into()
            };
            builder.step();
            let result = builder.conv_to_new(&own, read);
            builder.step();
            let narrow = builder.conv_to_new(&last, result);
            builder.step();
            builder.conv(&last, result, narrow, Some(narrow.into()));
            builder.finish_in(&[result.into(), narrow.into()], simd, arithmetic)
        }
    }

    fn run(program: &Program, n: usize, row: usize, values: &[f32]) -> Vec<Vec<f32>> {
        let each = values.len() / n;
        program.run(n, |i, out: &mut InputRows| {
            let lines = values[i * each..][..each].chunks_exact(row).enumerate();
            lines.for_each(|(y, line)| out.row(y).copy_from_slice(line));
        })
    }

    #[test]
    fn every_path_rounds_alike_and_stays_near_f32() {
        let mut rng = ChaCha8Rng::seed_from_u64(77);
        let (mut whole, mut added) = (0, 0);
        for number in 0..40 {
            let (case, n) = (Case::drawn(number, &mut rng), rng.random_range(1..4));
            let row = case.size.1 * 3;
            let mut values = random(n * case.size.0 * row, &mut rng);
            // Images of one batch differ in size, and one of them may be nothing at all.
            let each = values.len() / n;
            values[..each].iter_mut().for_each(|v| *v *= if number % 7 == 0 { 0.0 } else { 0.01 });
            let full = run(&case.program(Simd::Scalar, Arithmetic::F32), n, row, &values);
            let twin = case.program(Simd::Scalar, Arithmetic::Int16);
            // The one that is added to and the one that adds always are, the case's own where no tiles are.
            whole += usize::from(twin.whole_numbered() == 3);
            added += usize::from(twin.whole_numbered() >= 2);
            let twin = run(&twin, n, row, &values);
            for (f, t) in full.iter().zip(&twin) {
                let each = f.len() / n;
                for (f, t) in f.chunks(each).zip(t.chunks(each)) {
                    let size = f.iter().map(|v| v * v).sum::<f32>().sqrt();
                    let gap = f.iter().zip(t).map(|(f, t)| (f - t) * (f - t)).sum::<f32>().sqrt();
                    assert!(gap <= 2e-3 * size + 1e-6, "case {number}: {gap} of {size}");
                }
            }
            for (simd, kind) in Arithmetic::available().into_iter().filter(|(_, k)| *k == Arithmetic::Int16) {
                for (got, wanted) in run(&case.program(simd, kind), n, row, &values).iter().zip(&twin) {
                    assert_eq!(got.len(), wanted.len());
                    // Sums are equal; their last addition may be fused. The second result is rounded from that,
                    // and may take another step here and there.
                    let size = wanted.iter().fold(0f32, |m, w| m.max(w.abs()));
                    for (g, w) in got.iter().zip(wanted) {
                        assert!((g - w).abs() <= 1e-3 * size + 1e-6, "case {number} by {simd}: {g} for {w}");
                    }
                }
            }
        }
        assert!(whole >= 20 && added == 40, "only {whole} and {added} were computed in whole numbers");
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(78);
        for activation in 0..4 {
            let case = Case { activation, ..Case::drawn(0, &mut rng) };
            let row = case.size.1 * 3;
            let mut values = random(2 * case.size.0 * row, &mut rng);
            for none in [f32::INFINITY, f32::NAN] {
                values[0] = none;
                for (simd, kind) in Arithmetic::available() {
                    let program = case.program(simd, kind);
                    assert_eq!(program.whole_numbered() > 0, kind == Arithmetic::Int16);
                    let answers = run(&program, 2, row, &values).remove(0);
                    let (first, second) = answers.split_at(answers.len() / 2);
                    assert!(first.iter().any(|v| v.is_nan()), "{simd} {kind:?} {activation}");
                    assert!(second.iter().all(|v| v.is_finite()), "{simd} {kind:?} {activation}");
                }
            }
        }
    }

    #[test]
    fn weights_that_are_no_numbers_are_seen() {
        let mut rng = ChaCha8Rng::seed_from_u64(79);
        for activation in 0..4 {
            let mut case = Case { activation, ..Case::drawn(0, &mut rng) };
            case.weights[1][0] = f32::NAN;
            let row = case.size.1 * 3;
            let values = random(case.size.0 * row, &mut rng);
            for (simd, kind) in Arithmetic::available() {
                let answers = run(&case.program(simd, kind), 1, row, &values).remove(0);
                assert!(answers[0].is_nan() && answers[1].is_finite(), "{simd} {kind:?} {activation}");
            }
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        // All of one sign, as large as they come: the worst that weights and inputs can do.
        for simd in Simd::available().into_iter().filter(|s| Arithmetic::Int16.runs_by(*s)) {
            let (inputs, outputs) = (4096, 32);
            let weight = vec![0.5; inputs * outputs];
            let conv = |weight, inputs, outputs| ConvWeights {
                weight,
                outputs,
                inputs,
                window: (1, 1),
                bias: &[][..],
                stride: 1,
                padding: (0, 0),
                activation: Activation::None,
            };
            let ones = vec![1.0; inputs];
            let (mut builder, input) = ProgramBuilder::new(1, 1, 1);
            let wide = builder.conv_to_new(&PackedConv::new(&conv(&ones, 1, inputs), simd), input);
            builder.step();
            let sums = builder.conv_to_new(&PackedConv::new(&conv(&weight, inputs, outputs), simd), wide);
            let program = builder.finish_in(&[sums.into()], simd, Arithmetic::Int16);
            let sums = program.run(1, |_, out| out.row(0)[0] = -3.0).remove(0);
            let wanted = -3.0 * 0.5 * inputs as f32;
            assert!(sums.iter().all(|s| (s - wanted).abs() < 2e-2 * wanted.abs()), "{simd}: {sums:?}");
        }
    }
}
