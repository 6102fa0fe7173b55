//! Convolutions in int16 quantisation: weights and inputs are rounded, products are summed exactly.
//!
//! A convolution's weights are rounded once, each output channel to a step of its own; its input is rounded
//! when it is read, each image to a step that its largest value sets. Pairs of neighbouring channels are
//! multiplied and added in one instruction (`pmaddwd`, `vpdpwssd`), and sums cannot overflow: inputs take
//! [`LARGEST`] steps at most, and an output's weights together no more than what then fits 32 bits. That
//! leaves about eleven bits a value, where eight move embeddings further than kith allows.

use std::cell::RefCell;

use crate::f32::tile::TALLEST;
use crate::int16::pack::LARGEST;
use crate::int16::tile::{Int16Kernels, Int16Tile};
use crate::lanes::LANES;
use crate::lanes::aligned::Aligned;
use crate::program::layout::Layout;
use crate::program::ops::bases::{Bases, part};
use crate::program::ops::conv::{ConvOp, ahead};

/// A quantised convolution.
pub(crate) struct Int16Op {
    pub conv: ConvOp,
    kernels: &'static Int16Kernels,
    /// What a step of each output's weights is worth.
    steps: Aligned,
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
    /// What a step of each image is worth; `None` where it is not rounded yet.
    steps: Vec<Option<f32>>,
    values: Vec<i16>,
}

thread_local! {
    static ROUNDED: RefCell<Rounded> = RefCell::default();
}

impl Int16Op {
    /// `conv` over channels `first` to `first + channels` of a map of that layout; `steps` are as
    /// [`round_weights`] gave them.
    pub(crate) fn new(
        conv: ConvOp,
        kernels: &'static Int16Kernels,
        steps: Aligned,
        (first, channels): (usize, usize),
        layout: Layout,
    ) -> Self {
        let input = Input { map: conv.from.map, first, channels, layout };
        Self { conv, kernels, steps, input }
    }

    /// # Safety
    /// As for `Op::run`.
    pub(crate) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        ROUNDED.with_borrow_mut(|rounded| {
            let of = (bases.step, self.input.map, self.input.first, self.input.channels);
            if rounded.of != of {
                rounded.of = of;
                rounded.steps.clear();
                rounded.steps.resize(n, None);
                let length = n * self.input.layout.image;
                if rounded.values.len() < length {
                    rounded.values.resize(length, 0);
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
                let to = &mut rounded.values[image * length..][..length];
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
            let (first, step) = ahead(weights, depth / 2, tiles, if at + 1 < panels.end { 1 } else { others });
            let mut t = Int16Tile {
                pixels: [std::ptr::null(); TALLEST],
                runs: &conv.runs,
                run: conv.run,
                weights: weights.as_ptr().cast(),
                steps: self.steps.values()[panel.first..].as_ptr(),
                input_steps: [0.0; TALLEST],
                bias: panel.bias,
                after: panel.after,
                out: [std::ptr::null_mut(); TALLEST],
                add: added.map(|_| [std::ptr::null(); TALLEST]),
                ahead: (first.cast(), step),
            };
            let mut place = conv.place(block.start);
            for tile in 0..tiles {
                let pixels = part(block.len(), tiles, tile).len();
                for p in 0..pixels {
                    // SAFETY: windows lie inside the map with its border (the program's first invariant), of
                    // which `values` is a copy; results lie inside their map.
                    unsafe {
                        t.pixels[p] = rounded.values.as_ptr().add(place.from);
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

impl Input {
    /// Rounds one image, and gives what a step is worth: NaN where the image holds NaN or an infinity.
    ///
    /// # Safety
    /// `from` is the image, as long as `to`; nothing writes to the channels meanwhile; the processor has the
    /// kernels' instructions.
    unsafe fn round(&self, from: *const f32, to: &mut [i16], kernels: &Int16Kernels) -> f32 {
        let Self { first, channels, layout, .. } = *self;
        // Other operators of the step may be writing the map's other channels. Where it has none, all is one piece.
        let (length, used) =
            if channels == layout.pixel { (to.len(), 0..to.len()) } else { (layout.pixel, first..first + channels) };
        let piece = |at: usize| {
            // SAFETY: inside the image, and only the channels that nothing writes to.
            unsafe { std::slice::from_raw_parts(from.add(at * length + used.start), used.len()) }
        };
        let pieces = to.len() / length;
        // SAFETY: handed on to the caller.
        let largest = (0..pieces).map(|at| unsafe { (kernels.largest)(piece(at)) }).max();
        let largest = f32::from_bits(largest.unwrap_or(0));
        if !largest.is_finite() {
            return f32::NAN;
        }
        let per_unit = LARGEST / largest;
        // Nothing but zeros, or values too small to count.
        let (per_unit, step) = if per_unit.is_finite() { (per_unit, largest / LARGEST) } else { (0.0, 0.0) };
        for (at, to) in to.chunks_exact_mut(length).enumerate() {
            // SAFETY: handed on to the caller.
            unsafe { (kernels.round)(piece(at), per_unit, &mut to[used.clone()]) };
        }
        step
    }
}
