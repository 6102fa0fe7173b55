//! What operators work on: where maps begin, how they are addressed, and how work is cut into pieces.

use std::ops::Range;

use crate::lanes::Number;
use crate::program::input::RowFill;

/// What the operators of a step work on.
#[derive(Clone, Copy)]
pub(crate) struct Bases<'a> {
    /// Where the maps of a workspace begin, by id.
    pub maps: &'a [*mut f32],
    /// The weights of the program.
    pub weights: &'a [f32],
    /// An id that no other step of any run has.
    pub step: u64,
    /// What writes a row of the input, where that is asked for when it is needed.
    pub rows: Option<&'a RowFill<'a>>,
}

/// A slice as operators address it: where it begins, and the strides from there, in values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub map: usize,
    pub start: usize,
    pub image: usize,
    pub row: usize,
    pub pixel: usize,
}

impl View {
    pub(crate) fn at(&self, image: usize, row: usize, column: usize) -> usize {
        self.start + image * self.image + row * self.row + column * self.pixel
    }
}

impl Bases<'_> {
    /// Where the map of a view begins.
    pub(crate) fn map<N: Number>(&self, view: &View) -> *mut N {
        self.maps[view.map].cast()
    }
}

// SAFETY: the pointers are followed only by `Op::run`, whose callers hold that no two pieces that run at
// the same time touch the same values.
unsafe impl Send for Bases<'_> {}
// SAFETY: as above.
unsafe impl Sync for Bases<'_> {}

/// Products that are worth a piece of their own: about ten microseconds of one core.
pub(crate) const PIECE: usize = 600_000;

/// Part `i` of `parts` nearly equal parts of `0..length`.
pub(crate) fn part(length: usize, parts: usize, i: usize) -> Range<usize> {
    length * i / parts..length * (i + 1) / parts
}

/// The windows of a row, `count` of `window` columns each: those that lie in the map's `length`, and one by one those
/// that hang over its end, with how many of their columns lie inside.
pub(crate) fn in_row(
    count: usize,
    length: usize,
    window: usize,
    stride: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let whole = if length < window { 0 } else { count.min((length - window) / stride + 1) };
    let cut = (whole..count).map(move |at| (length - at * stride, at..at + 1));
    std::iter::once((window, 0..whole)).filter(|(_, group)| !group.is_empty()).chain(cut)
}
