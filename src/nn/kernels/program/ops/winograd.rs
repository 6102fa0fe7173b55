//! Convolutions by Winograd F(4x4, 3x3): a block of input tiles is transformed, multiplied in 36 GEMMs, and transformed
//! back.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::f32::pack::{Packed, PackedConv};
use crate::f32::tile::{After, TALLEST, Tile};
use crate::f32::winograd::{InputTile, OutputTile, POINTS, RESULTS, transform_weights};
use crate::lanes::LANES;
use crate::lanes::aligned::Aligned;
use crate::program::ops::bases::{Bases, View, part};
use crate::program::ops::conv::ConvOp;

/// Tiles that go through at once: their transformed values stay in a core's L2 cache.
const BLOCK: usize = 24;

/// A convolution by tiles, with its addresses.
pub(crate) struct Winograd {
    conv: Arc<Packed>,
    /// Which of the program's weights are its own: panel by panel `[36, inputs, channels of the panel]`.
    weights: Range<usize>,
    from: View,
    to: View,
    add: Option<View>,
    rows: usize,
    columns: usize,
}

thread_local! {
    /// What a thread keeps between the phases of its tiles.
    static SCRATCH: RefCell<(Aligned, Aligned)> = RefCell::default();
}

/// How many values a convolution's transformed weights are.
pub(crate) fn length(conv: &PackedConv) -> usize {
    conv.packed().vectors() * LANES * conv.packed().inputs * POINTS
}

/// Writes a convolution's weights, transformed.
pub(crate) fn pack(conv: &PackedConv, to: &mut [f32]) {
    let packed = conv.packed();
    conv.each_panel(POINTS * packed.inputs, to, |panel, own| {
        let each = packed.inputs * panel.vectors * LANES;
        let mut direct = vec![0.0; packed.depth() * panel.vectors * LANES];
        conv.pack_panel(panel, &mut direct);
        for at in 0..each {
            let points = transform_weights(std::array::from_fn(|tap| direct[tap * each + at]));
            points.into_iter().enumerate().for_each(|(point, value)| own[point * each + at] = value);
        }
    });
}

impl Winograd {
    /// `op` by tiles; its weights are transformed.
    pub(crate) fn of(op: ConvOp) -> Self {
        let ConvOp { conv, weights, from, to, add, rows, columns, .. } = op;
        Self { conv, weights, from, to, add, rows, columns }
    }

    /// Multiplications for one image, as the direct sum would need them.
    pub(crate) fn products(&self) -> usize {
        self.rows * self.columns * self.conv.outputs * self.conv.depth()
    }

    /// Tiles down and across.
    fn tiles(&self) -> (usize, usize) {
        (self.rows.div_ceil(RESULTS), self.columns.div_ceil(RESULTS))
    }

    /// Whether it reads the program's input, or adds it.
    pub(crate) fn reads_input(&self) -> bool {
        self.from.map == 0 || self.add.is_some_and(|add| add.map == 0)
    }

    /// Into how many groups of panels, and blocks of tiles, the work falls.
    pub(crate) fn cut(&self, n: usize, threads: usize) -> (usize, usize) {
        let packed = &self.conv;
        let tiles = n * self.tiles().0 * self.tiles().1;
        let blocks = tiles.div_ceil(BLOCK);
        if threads == 1 {
            return (1, blocks);
        }
        // Few tiles: each group transforms the input again, which is cheap beside its products.
        let blocks = blocks.next_multiple_of(threads).min(tiles);
        if tiles < BLOCK * threads { (packed.panels().min(threads), tiles.div_ceil(BLOCK)) } else { (1, blocks) }
    }

    /// # Safety
    /// As for `Op::run`.
    pub(crate) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        SCRATCH.with_borrow_mut(|(inputs, products)| {
            // SAFETY: handed on to the caller.
            unsafe { self.run_in(bases, n, threads, piece, inputs, products) }
        });
    }

    /// # Safety
    /// As for `Op::run`.
    unsafe fn run_in(
        &self,
        bases: Bases,
        n: usize,
        threads: usize,
        piece: usize,
        transformed: &mut Aligned,
        products: &mut Aligned,
    ) {
        let packed = &self.conv;
        let (inputs, kernels) = (packed.inputs, packed.kernels);
        let (down, across) = self.tiles();
        let (groups, blocks) = self.cut(n, threads);
        let panels = part(packed.panels(), groups, piece / blocks);
        let tiles = part(n * down * across, blocks, piece % blocks);
        let count = tiles.len();
        let width = kernels.wide() * LANES;
        transformed.at_least(POINTS * count * inputs);
        products.at_least(POINTS * count * width);
        let (transformed, products) = (transformed.values_mut().as_mut_ptr(), products.values_mut().as_mut_ptr());
        let place = |tile: usize| {
            let (image, rest) = (tile / (down * across), tile % (down * across));
            (image, rest / across * RESULTS, rest % across * RESULTS)
        };
        let from = bases.maps[self.from.map];
        for (at, tile) in tiles.clone().enumerate() {
            let (image, row, column) = place(tile);
            // SAFETY: the map's border reaches as far as whole tiles do, and the scratch was made to hold
            // all of them.
            unsafe {
                (packed.transforms.input)(&InputTile {
                    from: from.add(self.from.at(image, row, column)),
                    row: self.from.row,
                    pixel: self.from.pixel,
                    to: transformed.add(at * inputs),
                    point: count * inputs,
                    vectors: inputs / LANES,
                });
            }
        }
        let zeros = Aligned::ZEROS;
        for panel in panels {
            let panel = packed.panel(panel);
            let width = panel.vectors * LANES;
            let weights = panel.weights(&bases.weights[self.weights.clone()], POINTS * inputs);
            let groups = count.div_ceil(kernels.tall());
            for point in 0..POINTS {
                for group in 0..groups {
                    let members = part(count, groups, group);
                    let mut t = Tile {
                        pixels: [std::ptr::null(); TALLEST],
                        runs: &[0],
                        run: inputs,
                        weights: weights[point * inputs * width..].as_ptr(),
                        bias: zeros.as_ptr(),
                        after: After::Nothing,
                        ahead: (zeros.as_ptr(), 0),
                        out: [std::ptr::null_mut(); TALLEST],
                        add: None,
                    };
                    for (p, tile) in members.clone().enumerate() {
                        // SAFETY: inside the scratch.
                        unsafe {
                            t.pixels[p] = transformed.add((point * count + tile) * inputs);
                            t.out[p] = products.add((point * count + tile) * width);
                        }
                    }
                    // SAFETY: the kernels were chosen for this processor, and the pointers are as above.
                    unsafe { kernels.tile(members.len(), panel.vectors, &t) }
                }
            }
            for (at, tile) in tiles.clone().enumerate() {
                let (image, row, column) = place(tile);
                // SAFETY: results are written only inside the target (the program's first invariant), which
                // nothing else touches meanwhile.
                unsafe {
                    let add = self.add.map(|view| {
                        let from = bases.maps[view.map].add(view.at(image, row, column) + panel.first);
                        (from.cast_const(), view.row, view.pixel)
                    });
                    (packed.transforms.output)(&OutputTile {
                        from: products.add(at * width),
                        point: count * width,
                        to: bases.maps[self.to.map].add(self.to.at(image, row, column) + panel.first),
                        row: self.to.row,
                        pixel: self.to.pixel,
                        add,
                        rows: RESULTS.min(self.rows - row),
                        columns: RESULTS.min(self.columns - column),
                        vectors: panel.vectors,
                        bias: panel.bias,
                        after: panel.after,
                    });
                }
            }
        }
    }
}
