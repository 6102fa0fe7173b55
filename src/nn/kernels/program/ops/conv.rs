//! A convolution by implicit GEMM: cut into pieces, and each piece into tiles.

use std::ops::Range;
use std::sync::Arc;

use crate::f32::pack::Packed;
use crate::f32::tile::{Kernels, TALLEST, Tile, Tiles};
use crate::lanes::{LANES, Number};
use crate::program::ops::bases::View;
use crate::program::ops::bases::{Bases, PIECE, part};

/// Values of input that a piece may span and still leave room for weights in a core's L2 cache.
const CACHED: usize = 64_000;
/// Tiles of a panel up to which the next panel is prefetched while they are summed: in more, the reading of a panel is
/// short beside its sums.
const FETCHED: usize = 32;

/// For a panel's tiles: what to prefetch, and how many bytes of it for each of a tile's `turns`, so that all of the
/// panel `far` panels on has been prefetched when the last tile is done.
pub(crate) fn ahead<N>(weights: &[N], turns: usize, tiles: usize, far: usize) -> (*const N, usize) {
    let first = weights.as_ptr();
    match tiles {
        0..=FETCHED => (first.wrapping_add(far * weights.len()), size_of_val(weights) / (turns * tiles)),
        _ => (first, 0),
    }
}

/// Pixels of a line that is worth being computed as one.
const LONG: usize = 4 * TALLEST;

pub(crate) struct ConvOp {
    pub conv: Arc<Packed>,
    /// Which of the program's weights are its own.
    pub weights: Range<usize>,
    pub from: View,
    pub to: View,
    pub add: Option<View>,
    pub runs: Vec<usize>,
    pub run: usize,
    pub rows: usize,
    pub columns: usize,
}

impl ConvOp {
    /// Whether it reads the program's input, or adds it.
    pub(crate) fn reads_input(&self) -> bool {
        self.from.map == 0 || self.add.is_some_and(|add| add.map == 0)
    }

    /// Multiplications for one image.
    pub(crate) fn products(&self) -> usize {
        self.rows * self.columns * self.conv.outputs * self.conv.depth()
    }

    /// Into how many groups of panels, and blocks of pixels, the work falls. Large weights are read
    /// once (a group sees all pixels); large maps are read once (a block sees all weights).
    pub(crate) fn cut(&self, n: usize, threads: usize) -> (usize, usize) {
        let packed = &self.conv;
        let pixels = n * self.rows * self.columns;
        let tiles = pixels.div_ceil(packed.kernels.tall());
        let work = pixels * packed.vectors() * LANES * packed.depth();
        let read = pixels * packed.depth().min(packed.inputs * packed.stride * packed.stride);
        let wanted = if threads == 1 { 1 } else { (work / PIECE).clamp(1, 4 * threads) };
        let mut blocks = read.div_ceil(CACHED).clamp(1, tiles);
        let mut panels = 1;
        if packed.vectors() * LANES * packed.depth() > read {
            panels = packed.panels().min(wanted);
        }
        if panels * blocks < wanted {
            blocks = wanted.div_ceil(panels).clamp(blocks, tiles);
        }
        (panels, blocks)
    }

    pub(crate) fn pieces(&self, n: usize, threads: usize) -> usize {
        let (panels, blocks) = self.cut(n, threads);
        panels * blocks
    }

    /// The panels and the pixels, over all images, of a piece.
    pub(crate) fn piece(&self, n: usize, threads: usize, piece: usize) -> (Range<usize>, Range<usize>) {
        let (groups, blocks) = self.cut(n, threads);
        let panels = part(self.conv.panels(), groups, piece / blocks);
        (panels, part(n * self.rows * self.columns, blocks, piece % blocks))
    }

    /// By `kernels` as wide and as tall as the convolution's own; its weights are `depth` values an output.
    ///
    /// # Safety
    /// As for `Op::run`.
    pub(crate) unsafe fn run<N: Number>(
        &self,
        kernels: &Kernels<N>,
        depth: usize,
        bases: Bases,
        n: usize,
        threads: usize,
        piece: usize,
    ) {
        let packed = &self.conv;
        let (panels, block) = self.piece(n, threads, piece);
        if block.is_empty() {
            return;
        }
        let tiles = block.len().div_ceil(kernels.tall());
        let (each, larger) = (block.len() / tiles, block.len() % tiles);
        let (from, to) = (bases.map::<N>(&self.from), bases.map::<N>(&self.to));
        let added = self.add.map(|view| bases.map::<N>(&view));
        if added.is_none() && tiles > FETCHED && self.line().is_some() {
            // SAFETY: handed on to the caller.
            return unsafe { self.run_lines(kernels, depth, bases, panels, block) };
        }
        // The next panel of this piece, or of the one that this thread is likely to take.
        let others = 1 + (threads - 1) * panels.len();
        for at in panels.clone() {
            let panel = packed.panel(at);
            let weights = panel.weights(N::of(&bases.weights[self.weights.clone()]), depth);
            // One for all tiles: a network's small layers are short enough for the clearing of pointers, and for
            // divisions to find each tile's place, to be a fifth of their time.
            let mut t = Tile {
                pixels: [std::ptr::null(); TALLEST],
                runs: &self.runs,
                run: self.run,
                weights: weights.as_ptr(),
                bias: panel.bias,
                after: panel.after,
                out: [std::ptr::null_mut(); TALLEST],
                add: added.map(|_| [std::ptr::null(); TALLEST]),
                ahead: ahead(weights, depth / N::IN_ONE, tiles, if at + 1 < panels.end { 1 } else { others }),
            };
            let mut place = self.place(block.start);
            for tile in 0..tiles {
                let pixels = each + usize::from(tile < larger);
                for p in 0..pixels {
                    // SAFETY: the place is inside the result, whose windows are inside the map and whose
                    // values are inside the target (the program's first invariant).
                    unsafe {
                        t.pixels[p] = from.add(place.from);
                        t.out[p] = to.add(place.to + panel.first);
                        if let (Some(base), Some(add)) = (added, &mut t.add) {
                            add[p] = base.add(place.add + panel.first);
                        }
                    }
                    self.step(&mut place);
                }
                // SAFETY: the kernels were chosen for this processor; the pointers are valid as above,
                // and nothing else touches them as the caller and the second invariant hold.
                unsafe { kernels.tile(pixels, panel.vectors, &t) }
                t.ahead.0 = t.ahead.0.wrapping_byte_add(t.ahead.1 * depth / N::IN_ONE);
            }
        }
    }

    /// Pixels that follow each other at even steps, where those are many: a row, or a whole image where nothing lies
    /// between its rows.
    fn line(&self) -> Option<usize> {
        let followed = |view: &View| view.row == self.columns * view.pixel;
        let line = if followed(&self.from) && followed(&self.to) { self.rows * self.columns } else { self.columns };
        (line >= LONG).then_some(line)
    }

    /// The same by lines of even steps.
    ///
    /// # Safety
    /// As for `Op::run`.
    unsafe fn run_lines<N: Number>(
        &self,
        kernels: &Kernels<N>,
        depth: usize,
        bases: Bases,
        panels: Range<usize>,
        block: Range<usize>,
    ) {
        let packed = &self.conv;
        let Some(line) = self.line() else { return };
        let (from, to) = (bases.map::<N>(&self.from), bases.map::<N>(&self.to));
        for panel in panels.map(|at| packed.panel(at)) {
            let weights = panel.weights(N::of(&bases.weights[self.weights.clone()]), depth).as_ptr();
            let mut pixel = block.start;
            while pixel < block.end {
                let count = (line - pixel % line).min(block.end - pixel);
                let place = self.place(pixel);
                // SAFETY: as for tiles one by one: the places are inside the maps (the program's first invariant), and
                // the pixels of a line are at even steps.
                unsafe {
                    let tiles = Tiles {
                        count: 0,
                        from: from.add(place.from),
                        step: self.from.pixel,
                        runs: &self.runs,
                        run: self.run,
                        weights,
                        bias: panel.bias,
                        after: panel.after,
                        out: to.add(place.to + panel.first),
                        out_step: self.to.pixel,
                    };
                    kernels.line(count, panel.vectors, tiles);
                }
                pixel += count;
            }
        }
    }

    /// Where pixel `pixel` of the result, counted over all images, is read from and written to.
    pub(crate) fn place(&self, pixel: usize) -> Place {
        let (image, rest) = (pixel / (self.rows * self.columns), pixel % (self.rows * self.columns));
        self.place_at(image, rest / self.columns, rest % self.columns)
    }

    fn place_at(&self, image: usize, row: usize, column: usize) -> Place {
        let add = self.add.map_or(0, |view| view.at(image, row, column));
        Place { image, row, column, from: self.from.at(image, row, column), to: self.to.at(image, row, column), add }
    }

    /// On to the next pixel; behind the last one the place is not to be used.
    #[inline(always)]
    pub(crate) fn step(&self, place: &mut Place) {
        place.column += 1;
        if place.column < self.columns {
            place.from += self.from.pixel;
            place.to += self.to.pixel;
            place.add += self.add.map_or(0, |view| view.pixel);
        } else if place.row + 1 < self.rows {
            *place = self.place_at(place.image, place.row + 1, 0);
        } else {
            *place = self.place_at(place.image + 1, 0, 0);
        }
    }
}

/// A pixel of a convolution's result, and where in their maps it is read, written and added from.
pub(crate) struct Place {
    pub image: usize,
    row: usize,
    column: usize,
    pub from: usize,
    pub to: usize,
    pub add: usize,
}
