//! 3x3 convolutions at stride 1 by tiles of 4x4 results, with a quarter of the multiplications.
//!
//! A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, F(4x4, 3x3): an
//! input tile of 6x6 is spread into 36 numbers a channel (`B^T d B`), each of the 36 is a matrix product
//! of its own over channels with the spread weights (`G g G^T`), and the 36 sums are gathered into 4x4
//! results (`A^T m A`). Its points are 0, 1, -1, 2, -2 and infinity; in f32 the result differs from the
//! direct sum by about 1e-5 of its size.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use super::conv::ConvOp;
use super::lanes::{LANES, Lanes, load_each};
use super::layout::View;
use super::lines::Lines;
use super::ops::{Bases, part};
use super::pack::{Packed, PackedConv};
use super::tile::{After, TALLEST, Tile};

/// Rows and columns of results in a tile, and of what they are computed from.
const RESULTS: usize = 4;
const SEEN: usize = RESULTS + 2;
const POINTS: usize = SEEN * SEEN;
/// Tiles that go through at once: their spread numbers stay in a core's second cache.
const BLOCK: usize = 24;

/// An input tile on its way to its 36 numbers a channel.
pub(super) struct Spread {
    pub from: *const f32,
    /// Numbers from a row of the map to the next, and from a pixel to the next.
    pub row: usize,
    pub pixel: usize,
    pub to: *mut f32,
    /// Numbers from a point to the next.
    pub point: usize,
    pub vectors: usize,
}

/// 36 sums a channel on their way to 4x4 results.
pub(super) struct Gather {
    pub from: *const f32,
    pub point: usize,
    pub to: *mut f32,
    pub row: usize,
    pub pixel: usize,
    /// What is added to the results, and its steps.
    pub add: Option<(*const f32, usize, usize)>,
    /// Rows and columns of the results that are written.
    pub rows: usize,
    pub columns: usize,
    pub vectors: usize,
    pub bias: *const f32,
    pub after: After,
}

/// `B^T` times a column.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn spread_line<L: Lanes>(d: [L::Vector; SEEN]) -> [L::Vector; SEEN] {
    // SAFETY: handed on to the caller.
    unsafe {
        let [two, four, five] = [L::splat(&2.0), L::splat(&4.0), L::splat(&-5.0)];
        let minus_four = L::splat(&-4.0);
        let even = L::multiply_add(d[2], minus_four, d[4]);
        let odd = L::multiply_add(d[1], minus_four, d[3]);
        let far = L::subtract(d[4], d[2]);
        let step = L::multiply(two, L::subtract(d[3], d[1]));
        [
            L::multiply_add(d[0], four, L::multiply_add(d[2], five, d[4])),
            L::add(even, odd),
            L::subtract(even, odd),
            L::add(far, step),
            L::subtract(far, step),
            L::multiply_add(d[1], four, L::multiply_add(d[3], five, d[5])),
        ]
    }
}

/// `A^T` times a column.
///
/// # Safety
/// The processor has the instructions.
#[inline(always)]
unsafe fn gather_line<L: Lanes>(m: [L::Vector; SEEN]) -> [L::Vector; RESULTS] {
    // SAFETY: handed on to the caller.
    unsafe {
        let (near_sum, near_gap) = (L::add(m[1], m[2]), L::subtract(m[1], m[2]));
        let (far_sum, far_gap) = (L::add(m[3], m[4]), L::subtract(m[3], m[4]));
        [
            L::add(m[0], L::add(near_sum, far_sum)),
            L::multiply_add(far_gap, L::splat(&2.0), near_gap),
            L::multiply_add(far_sum, L::splat(&4.0), near_sum),
            L::add(m[5], L::multiply_add(far_gap, L::splat(&8.0), near_gap)),
        ]
    }
}

/// # Safety
/// All that [`Spread`] names can be read and written, and the processor has the instructions.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // columns of a matrix: no iterator walks them
pub(super) unsafe fn spread_body<L: Lanes>(s: &Spread) {
    // SAFETY: handed on to the caller.
    unsafe {
        for v in 0..s.vectors {
            let (from, to) = (s.from.add(v * LANES), s.to.add(v * LANES));
            let mut half = [[L::splat(&0.0); SEEN]; SEEN];
            for (y, half) in half.iter_mut().enumerate() {
                *half = spread_line::<L>(load_each::<L, SEEN>(from.add(y * s.row), s.pixel));
            }
            for x in 0..SEEN {
                let mut column = [half[0][x]; SEEN];
                column.iter_mut().zip(&half).for_each(|(c, row)| *c = row[x]);
                let column = spread_line::<L>(column);
                for (y, v) in column.into_iter().enumerate() {
                    L::store(to.add((y * SEEN + x) * s.point), v);
                }
            }
        }
    }
}

/// # Safety
/// All that [`Gather`] names can be read and written, and the processor has the instructions.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // columns of a matrix: no iterator walks them
pub(super) unsafe fn gather_body<L: Lanes>(g: &Gather) {
    // SAFETY: handed on to the caller.
    unsafe {
        for v in 0..g.vectors {
            let (from, to) = (g.from.add(v * LANES), g.to.add(v * LANES));
            let bias = L::load(g.bias.add(v * LANES));
            let mut half = [[bias; SEEN]; RESULTS];
            for x in 0..SEEN {
                let column = gather_line::<L>(load_each::<L, SEEN>(from.add(x * g.point), SEEN * g.point));
                for (y, v) in column.into_iter().enumerate() {
                    half[y][x] = v;
                }
            }
            for (y, half) in half.into_iter().enumerate().take(g.rows) {
                for (x, result) in gather_line::<L>(half).into_iter().enumerate().take(g.columns) {
                    let mut result = L::add(result, bias);
                    if let Some((add, row, pixel)) = g.add {
                        result = L::add(result, L::load(add.add(v * LANES + y * row + x * pixel)));
                    }
                    L::store(to.add(y * g.row + x * g.pixel), g.after.apply::<L>(result, v));
                }
            }
        }
    }
}

/// `G g G^T` of the nine numbers of one input and output channel, in f64.
fn spread_weights(g: [f32; 9]) -> [f32; POINTS] {
    const G: [[f64; 3]; SEEN] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    let g = g.map(f64::from);
    let half: [[f64; 3]; SEEN] =
        std::array::from_fn(|i| std::array::from_fn(|x| (0..3).map(|y| G[i][y] * g[y * 3 + x]).sum()));
    std::array::from_fn(|at| {
        let (i, j) = (at / SEEN, at % SEEN);
        (0..3).map(|x| half[i][x] * G[j][x]).sum::<f64>() as f32
    })
}

/// A convolution by tiles, with its addresses.
pub(super) struct Winograd {
    conv: Arc<Packed>,
    /// Which of the program's weights are its own: panel by panel `[36, inputs, channels of the panel]`.
    weights: Range<usize>,
    from: View,
    to: View,
    add: Option<View>,
    rows: usize,
    columns: usize,
}

/// Results along an axis, and products of inputs and outputs, between which tiles pay: for small maps
/// or many channels, reading weights four times as large costs more than the products that are saved. On
/// paths that multiply more slowly, the products count for more.
const LEAST: usize = 8;
const MOST: usize = 40_000;
const LEAST_OF_WIDE_PATHS: usize = 12;
const MOST_OF_WIDE_PATHS: usize = 16_000;

thread_local! {
    /// What a thread keeps between the phases of its tiles.
    static SCRATCH: RefCell<(Lines, Lines)> = RefCell::default();
}

/// Whether a convolution whose result is `rows` x `columns` is computed by tiles.
pub(super) fn pays(conv: &PackedConv, rows: usize, columns: usize) -> bool {
    let packed = conv.packed();
    let wide = packed.kernels.wide() > 1;
    let (least, most) = if wide { (LEAST_OF_WIDE_PATHS, MOST_OF_WIDE_PATHS) } else { (LEAST, MOST) };
    let shape = packed.window == (3, 3) && packed.stride == 1 && packed.inputs.is_multiple_of(LANES);
    shape && rows.min(columns) >= least && packed.inputs * packed.outputs <= most
}

/// Results along an axis rounded up to whole tiles.
pub(super) fn whole_tiles(length: usize) -> usize {
    length.next_multiple_of(RESULTS)
}

/// How many numbers a convolution's weights are when spread.
pub(super) fn spread_length(conv: &PackedConv) -> usize {
    conv.packed().vectors() * LANES * conv.packed().inputs * POINTS
}

/// Writes a convolution's weights, each spread into 36.
pub(super) fn spread_all(conv: &PackedConv, mut to: &mut [f32]) {
    let packed = conv.packed();
    for panel in (0..packed.panels()).map(|panel| packed.panel(panel)) {
        let direct = panel.weights(conv.weights(), packed.depth());
        let each = packed.inputs * panel.vectors * LANES;
        let (own, rest) = to.split_at_mut(POINTS * each);
        for at in 0..each {
            let numbers = spread_weights(std::array::from_fn(|tap| direct[tap * each + at]));
            numbers.into_iter().enumerate().for_each(|(point, value)| own[point * each + at] = value);
        }
        to = rest;
    }
}

impl Winograd {
    /// `op` by tiles; its weights are spread.
    pub(super) fn of(op: ConvOp) -> Self {
        let ConvOp { conv, weights, from, to, add, rows, columns, .. } = op;
        Self { conv, weights, from, to, add, rows, columns }
    }

    /// Multiplications for one image, as the direct sum would need them.
    pub(super) fn products(&self) -> usize {
        self.rows * self.columns * self.conv.outputs * self.conv.depth()
    }

    /// Tiles down and across.
    fn tiles(&self) -> (usize, usize) {
        (self.rows.div_ceil(RESULTS), self.columns.div_ceil(RESULTS))
    }

    /// Into how many groups of panels, and blocks of tiles, the work falls.
    /// Whether it reads the program's input, or adds it.
    pub(super) fn reads_input(&self) -> bool {
        self.from.map == 0 || self.add.is_some_and(|add| add.map == 0)
    }

    pub(super) fn cut(&self, n: usize, threads: usize) -> (usize, usize) {
        let packed = &self.conv;
        let tiles = n * self.tiles().0 * self.tiles().1;
        let blocks = tiles.div_ceil(BLOCK);
        if threads == 1 {
            return (1, blocks);
        }
        // Few tiles: each group spreads the input again, which is cheap beside its products.
        let blocks = blocks.next_multiple_of(threads).min(tiles);
        if tiles < BLOCK * threads { (packed.panels().min(threads), tiles.div_ceil(BLOCK)) } else { (1, blocks) }
    }

    /// # Safety
    /// As for `Op::run`.
    pub(super) unsafe fn run(&self, bases: Bases, n: usize, threads: usize, piece: usize) {
        SCRATCH.with_borrow_mut(|(spread, products)| {
            // SAFETY: handed on to the caller.
            unsafe { self.run_in(bases, n, threads, piece, spread, products) }
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
        spread: &mut Lines,
        products: &mut Lines,
    ) {
        let packed = &self.conv;
        let (inputs, kernels) = (packed.inputs, packed.kernels);
        let (down, across) = self.tiles();
        let (groups, blocks) = self.cut(n, threads);
        let panels = part(packed.panels(), groups, piece / blocks);
        let tiles = part(n * down * across, blocks, piece % blocks);
        let count = tiles.len();
        let width = kernels.wide() * LANES;
        spread.at_least(POINTS * count * inputs);
        products.at_least(POINTS * count * width);
        let (spread, products) = (spread.numbers_mut().as_mut_ptr(), products.numbers_mut().as_mut_ptr());
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
                (packed.transforms.spread)(&Spread {
                    from: from.add(self.from.at(image, row, column)),
                    row: self.from.row,
                    pixel: self.from.pixel,
                    to: spread.add(at * inputs),
                    point: count * inputs,
                    vectors: inputs / LANES,
                });
            }
        }
        let zeros = Lines::ZEROS;
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
                            t.pixels[p] = spread.add((point * count + tile) * inputs);
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
                    (packed.transforms.gather)(&Gather {
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
