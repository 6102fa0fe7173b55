//! Convolutions of bfloat16 numbers: weights are rounded once to one each or split into two, inputs are split into two.
//!
//! Windows are copied into rows as they are split, so that every convolution is one product of two matrices, which is
//! what the processor's tiles are made for. A number is split anew for each window that it stands in.

use std::cell::RefCell;

use half::bf16;

use super::bfloat_tile::{BLOCK, BfloatKernels, Product, SIDE, Target, Windows, split};
use super::conv::ConvOp;
use super::lanes::LANES;
use super::lines::Lines;
use super::ops::{Arithmetic, Bases};
use super::pack::{Packed, Panel};
use crate::simd::Simd;

/// Halves of split rows that may stand in a core's second cache beside weights that do not stay there.
const ROOM: usize = 256 * 1024;
/// Rows that are split before the first of them is read: tiles wait for what was written a moment ago.
pub(super) const GROUP: usize = 4 * SIDE;
/// Numbers of weights that do stay there.
const STAYS: usize = 512 * 1024;
/// Products of an input number from which splitting it pays.
const LEAST_USES: usize = 24;
/// And where it pays beside Winograd's tiles: windows are split nine times for each of those.
const LEAST_USES_BESIDE_TILES: usize = 64;

thread_local! {
    static SCRATCH: RefCell<(Lines, Vec<(usize, usize)>)> = RefCell::default();
}

/// How convolutions are computed of bfloat16 numbers.
#[derive(Clone, Copy)]
pub(super) struct Bfloats {
    pub kernels: &'static BfloatKernels,
    /// How many each weight becomes.
    halves: usize,
}

impl Bfloats {
    /// None where that arithmetic is another, or there are no instructions for it.
    pub(super) fn of(arithmetic: Arithmetic, simd: Simd) -> Option<Self> {
        let halves = match arithmetic {
            Arithmetic::Bfloat16 => 1,
            Arithmetic::Bfloat16x3 => 2,
            _ => return None,
        };
        BfloatKernels::of(simd).map(|kernels| Self { kernels, halves })
    }

    /// Whether a convolution can be computed so, and whether that pays; `run` is how many numbers of its window follow
    /// each other, and `tiles` whether it may be computed by Winograd's instead.
    pub(super) fn pays(packed: &Packed, run: usize, from_chip: bool, tiles: bool) -> bool {
        let least = if tiles { LEAST_USES_BESIDE_TILES } else { LEAST_USES };
        !from_chip && run.is_multiple_of(LANES) && packed.outputs >= least && packed.kernels.wide() <= 2
    }

    /// Numbers that the weights of an output take, two halves in each.
    fn words(self, packed: &Packed) -> usize {
        padded(packed) * self.halves / 2
    }

    /// Numbers that all weights take.
    pub(super) fn weights(self, packed: &Packed) -> usize {
        packed.vectors() * LANES * self.words(packed)
    }

    /// Rounds or splits weights that stand as [`super::pack::PackedConv`] has them.
    pub(super) fn pack(self, packed: &Packed, weights: &[f32], words: &mut [f32]) {
        for panel in (0..packed.panels()).map(|at| packed.panel(at)) {
            let width = panel.vectors * LANES;
            let to = &mut words[panel.first * self.words(packed)..][..width * self.words(packed)];
            let own = panel.weights(weights, packed.depth());
            for (pair, two) in own.chunks(2 * width).enumerate() {
                let (even, odd) = two.split_at(width);
                for lane in 0..width {
                    let both = [even[lane], odd.get(lane).copied().unwrap_or(0.0)];
                    let parts = match self.halves {
                        1 => both.map(|v| (bf16::from_f32(v), bf16::ZERO)),
                        _ => both.map(split),
                    };
                    let [upper, lower] = [parts.map(|(upper, _)| upper), parts.map(|(_, lower)| lower)];
                    for (half, [even, odd]) in [upper, lower].into_iter().take(self.halves).enumerate() {
                        let tile = (pair / LANES * self.halves + half) * panel.vectors + lane / LANES;
                        to[(tile * LANES + pair % LANES) * LANES + lane % LANES] =
                            f32::from_bits(u32::from(even.to_bits()) | u32::from(odd.to_bits()) << 16);
                    }
                }
            }
        }
    }

    /// A panel's product: `rows` are as [`pitch`] has them, `weights` all of the convolution's, and `target` is that of
    /// its first output.
    pub(super) fn product<'a>(
        self,
        packed: &Packed,
        panel: &Panel,
        weights: &[f32],
        rows: *const bf16,
        mut target: Target<'a>,
    ) -> Product<'a> {
        target.out = target.out.wrapping_add(panel.first);
        target.add = target.add.map(|add| add.wrapping_add(panel.first));
        Product {
            rows,
            pitch: pitch(packed),
            blocks: padded(packed) / BLOCK,
            weights: weights[panel.first * self.words(packed)..].as_ptr().cast(),
            halves: self.halves,
            bias: panel.bias,
            vectors: panel.vectors,
            after: panel.after,
            target,
        }
    }
}

fn padded(packed: &Packed) -> usize {
    packed.depth().next_multiple_of(BLOCK)
}

/// Halves from a split row to the next: rows that begin at the same place of a page would take each other's place in
/// the first cache.
pub(super) fn pitch(packed: &Packed) -> usize {
    2 * padded(packed) + BLOCK
}

/// A convolution of bfloat16 numbers.
pub(super) struct BfloatOp {
    pub conv: ConvOp,
    pub bfloats: Bfloats,
}

impl BfloatOp {
    /// # Safety
    /// As for `Op::run`.
    pub(super) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        let (conv, packed, kernels) = (&self.conv, &self.conv.conv, self.bfloats.kernels);
        let (panels, block) = conv.piece(n, threads, piece);
        if block.is_empty() {
            return;
        }
        let pitch = pitch(packed);
        let all = panels.len() * packed.kernels.wide() * LANES * self.bfloats.words(packed);
        let group = if all <= STAYS / 2 { GROUP } else { (ROOM / pitch / SIDE * SIDE).max(GROUP) };
        let (from, to) = (bases.maps[conv.from.map].cast_const(), bases.maps[conv.to.map]);
        let add = conv.add.map(|view| bases.maps[view.map].cast_const());
        let weights = &bases.weights[conv.weights.clone()];
        SCRATCH.with_borrow_mut(|(scratch, places)| {
            scratch.at_least(group.min(block.len()).next_multiple_of(LANES) * pitch / 2);
            let rows = scratch.numbers_mut().as_mut_ptr().cast::<bf16>();
            // SAFETY: the kernels were chosen for this processor.
            unsafe { (kernels.begin)() };
            for first in block.clone().step_by(group) {
                let end = block.end.min(first + group);
                places.clear();
                while first + places.len() < end {
                    let done = places.len();
                    let mut place = conv.place(first + done);
                    let count = conv.left_in_row(&place).min(end - first - done);
                    let windows = Windows {
                        first: from.wrapping_add(place.from),
                        step: conv.from.pixel,
                        count,
                        runs: &conv.runs,
                        run: conv.run,
                        rows: rows.wrapping_add(done * pitch),
                        pitch,
                    };
                    // SAFETY: windows lie inside their map (the program's first invariant), and nothing writes what
                    // they read, as the caller holds; the scratch has room for a group's rows.
                    unsafe { (kernels.split)(&windows) };
                    for _ in 0..count {
                        places.push((place.to, place.add));
                        conv.step(&mut place);
                    }
                }
                for panel in panels.clone().map(|at| packed.panel(at)) {
                    for (at, places) in places.chunks(SIDE).enumerate() {
                        let target = Target { places, pixel: conv.to.pixel, out: to, add };
                        let rows = rows.wrapping_add(at * SIDE * pitch);
                        let product = self.bfloats.product(packed, &panel, weights, rows, target);
                        // SAFETY: results lie inside their map (the program's first invariant), and nothing else
                        // touches them, as the caller holds; the scratch's rows are filled up to sixteens.
                        unsafe { (kernels.multiply)(&product) };
                    }
                }
            }
            // SAFETY: as for `begin`.
            unsafe { (kernels.end)() };
        });
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use crate::nn::kernels::bfloat_tile::{BLOCK, BfloatKernels, Windows};
    use crate::nn::kernels::{Activation, Arithmetic, ConvWeights, PackedConv, Program, ProgramBuilder};
    use crate::simd::Simd;

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()
    }

    fn paths() -> Vec<Simd> {
        Simd::available().into_iter().filter(|&simd| Arithmetic::Bfloat16.runs_by(simd)).collect()
    }

    #[test]
    fn numbers_are_split_into_halves_of_sixteen_bits_together() {
        let mut rng = ChaCha8Rng::seed_from_u64(71);
        for case in 0..60 {
            let (run, count) = (16 * rng.random_range(1..6usize), rng.random_range(1..4));
            let values: Vec<f32> = random(1100, &mut rng).iter().map(|v| v * 10f32.powi(case - 30)).collect();
            let runs: Vec<usize> = (0..count).map(|_| rng.random_range(0..800)).collect();
            let length = run * count;
            let (step, windows, padded) =
                (rng.random_range(1..20), rng.random_range(1..6), length.next_multiple_of(BLOCK));
            let pitch = 2 * padded + 32;
            let mut all = Vec::new();
            for simd in paths() {
                let mut rows = vec![bf16::ONE; windows * pitch];
                let windows = Windows {
                    first: values.as_ptr(),
                    step,
                    count: windows,
                    runs: &runs,
                    run,
                    rows: rows.as_mut_ptr(),
                    pitch,
                };
                // SAFETY: every run of every window is inside the values, and there is a row for each.
                unsafe { (BfloatKernels::of(simd).unwrap().split)(&windows) };
                for (window, row) in rows.chunks(pitch).enumerate() {
                    for k in 0..padded {
                        let half = |at: usize| row[k / BLOCK * 2 * BLOCK + k % BLOCK + at].to_f32();
                        let read = |k: usize| values[window * step + runs[k / run] + k % run];
                        let wanted = if k < length { read(k) } else { 0.0 };
                        let gap = (half(0) + half(BLOCK) - wanted).abs();
                        assert!(gap <= wanted.abs() / 131_072.0, "{wanted} by {simd}: {} and {}", half(0), half(BLOCK));
                    }
                    assert!(
                        row[2 * padded..].iter().all(|&untouched| untouched == bf16::ONE),
                        "{simd} writes behind a row"
                    );
                }
                all.push(rows);
            }
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "case {case}: runs of {run}");
        }
    }

    /// What a case is made of: three convolutions, of which the second is the one that is looked at.
    struct Case {
        inputs: usize,
        outputs: usize,
        size: (usize, usize),
        window: (usize, usize),
        stride: usize,
        weights: [Vec<f32>; 2],
        bias: Vec<f32>,
        slope: Vec<f32>,
        activation: usize,
        added: bool,
    }

    impl Case {
        fn drawn(number: usize, rng: &mut ChaCha8Rng) -> Self {
            let window = [(1, 1), (3, 3), (1, 7), (7, 1), (2, 3)][number % 5];
            let inputs = 16 * rng.random_range(1..6usize);
            let outputs = rng.random_range(24..90usize);
            let own = random(outputs * inputs * window.0 * window.1, rng);
            Self {
                inputs,
                outputs,
                size: (rng.random_range(window.0..14), rng.random_range(window.1..24)),
                window,
                stride: rng.random_range(1..3),
                weights: [random(3 * inputs, rng), own],
                bias: random(outputs, rng),
                slope: random(outputs, rng),
                activation: number % 4,
                added: number.is_multiple_of(3),
            }
        }

        /// The half of a map that the convolution reads, and its result, twice where it is added to itself.
        fn program(&self, simd: Simd, arithmetic: Arithmetic) -> Program {
            let conv = |weight, inputs, outputs, window, stride, bias, activation| {
                let window: (usize, usize) = window;
                let padding = (window.0 / 2, window.1 / 2);
                let conv = ConvWeights { weight, outputs, inputs, window, bias, stride, padding, activation };
                PackedConv::new(&conv, simd)
            };
            let activations =
                [Activation::None, Activation::Relu, Activation::Relu6, Activation::PRelu(self.slope.clone())];
            let after = activations[self.activation].clone();
            let widen = conv(&self.weights[0], 3, self.inputs, (1, 1), 1, &[][..], Activation::None);
            let own = conv(&self.weights[1], self.inputs, self.outputs, self.window, self.stride, &self.bias, after);
            let (mut builder, input) = ProgramBuilder::new(self.size.0, self.size.1, 3);
            let wide = builder.map(self.size.0, self.size.1, 2 * self.inputs);
            // Beside what is read stand numbers that would be seen: they are none.
            let nothing = vec![f32::NAN; 3 * self.inputs];
            let spoiled = conv(&nothing, 3, self.inputs, (1, 1), 1, &[][..], Activation::None);
            let read = wide.channels(self.inputs, self.inputs);
            builder.step().conv(&widen, input, read, None).conv(&spoiled, input, wide.channels(0, self.inputs), None);
            builder.step();
            let result = builder.conv_to_new(&own, read);
            if self.added {
                builder.step().conv(&own, read, result, Some(result.into()));
            }
            builder.finish_in(&[read, result.into()], simd, arithmetic)
        }

        fn run(&self, program: &Program, values: &[f32], n: usize) -> Vec<Vec<f32>> {
            let row = self.size.1 * 3;
            program.run(n, |image, out| {
                (0..self.size.0).for_each(|y| {
                    out.row(y).copy_from_slice(&values[(image * self.size.0 + y) * row..][..row]);
                });
            })
        }
    }

    #[test]
    fn every_path_sums_alike_and_stays_near_f32() {
        let mut rng = ChaCha8Rng::seed_from_u64(72);
        let mut compared = 0;
        for number in 0..60 {
            let case = Case::drawn(number, &mut rng);
            let n = rng.random_range(1..4);
            let values = random(n * case.size.0 * case.size.1 * 3, &mut rng);
            let full = case.program(Simd::Scalar, Arithmetic::F32);
            let wanted = case.run(&full, &values, n);
            let depth = (case.inputs * case.window.0 * case.window.1) as f32;
            // Inputs (sums of three numbers) are less than three, and a weight is off by its 512th at most, or both are by
            // their 131,072nd and what is left out is as much; errors of either sign make up for each other.
            for (kind, off) in [(Arithmetic::Bfloat16, 512.0), (Arithmetic::Bfloat16x3, 65_536.0)] {
                let mut plain = None;
                // The plain one, which is last, first.
                for simd in paths().into_iter().rev() {
                    let program = case.program(simd, kind);
                    // Some narrow ones are left to Winograd's tiles.
                    let (wanted_ops, narrow) =
                        (if case.added { 2 } else { 1 }, case.window == (3, 3) && case.outputs < 64);
                    let ops = program.of_bfloats();
                    assert!(ops == wanted_ops || (narrow && ops == 0), "case {number}: {ops} of {wanted_ops}");
                    if ops == 0 {
                        continue;
                    }
                    compared += 1;
                    let got = case.run(&program, &values, n);
                    let furthest = |a: &[f32], b: &[f32]| {
                        assert_eq!(a.len(), b.len());
                        let larger = |most: f32, gap: f32| if gap >= 0.0 { most.max(gap) } else { f32::INFINITY };
                        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, larger)
                    };
                    let (gap, room) = (furthest(&got[1], &wanted[1]), 3.0 / off * depth.sqrt());
                    assert!(gap < room && gap > 0.0, "case {number} by {simd} in {}: {gap} of {room}", kind.name());
                    let plain = plain.get_or_insert_with(|| got.clone());
                    let gap = furthest(&got[1], &plain[1]);
                    assert!(gap < 1e-5 * depth.sqrt(), "case {number} by {simd}: {gap} from the plain path");
                }
            }
        }
        assert!(compared > 100, "{compared} programs compared: too few to tell");
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let ones = vec![1.0; 32 * 32];
        for simd in paths() {
            let conv = |inputs| {
                let weight = &ones[..32 * inputs];
                let (window, padding, activation) = ((1, 1), (0, 0), Activation::Relu);
                let conv =
                    ConvWeights { weight, outputs: 32, inputs, window, bias: &[], stride: 1, padding, activation };
                PackedConv::new(&conv, simd)
            };
            let (mut builder, input) = ProgramBuilder::new(1, 3, 1);
            let wide = builder.conv_to_new(&conv(1), input);
            builder.step();
            let result = builder.conv_to_new(&conv(32), wide);
            let program = builder.finish_in(&[result.into()], simd, Arithmetic::Bfloat16);
            // A number whose payload stands in its lower half alone.
            let values = [f32::from_bits(0x7f80_0001), 1.0, f32::NAN];
            let answer = program.run(1, |_, out| out.row(0).copy_from_slice(&values)).remove(0);
            for (pixel, value) in answer.chunks(32).zip(values) {
                assert!(pixel.iter().all(|v| v.is_nan() == value.is_nan()), "{simd}: {value} became {pixel:?}");
            }
        }
    }
}
