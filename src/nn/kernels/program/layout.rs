//! How a program's maps lie in memory: NHWC, with a border of zeros as wide as the widest padding that any
//! convolution asks of the map.

use crate::f32::winograd;
use crate::lanes::LANES;
use crate::program::builder::{Map, ProgramBuilder, Slice, Task};
use crate::program::ops::bases::View;

/// Strides of one map, in values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Zero rows above and columns left; rows below and columns right.
    pub border: Border,
    /// Values that a pixel takes: its channels, filled up to whole vectors except in the input.
    pub pixel: usize,
    pub row: usize,
    /// Values that one image takes.
    pub image: usize,
}

/// Zero rows above and columns left of a map; rows below and columns right.
pub(crate) type Border = ((usize, usize), (usize, usize));

/// The layouts of all maps.
pub(crate) fn layouts(builder: &ProgramBuilder) -> Vec<Layout> {
    let mut borders: Vec<Border> = vec![((0, 0), (0, 0)); builder.maps.len()];
    for task in builder.steps.iter().flatten().map(Task::first) {
        if let Task::Conv { conv, from, .. } = task {
            let ((above, left), (below, right)) = &mut borders[from.map.id];
            let (packed, (rows, columns)) = (conv.packed(), conv.result_size(from.map));
            (*above, *left) = ((*above).max(packed.padding.0), (*left).max(packed.padding.1));
            let beyond = |results: usize, length: usize, padding: usize, window: usize| {
                let results = if conv.by_winograd(rows, columns) { winograd::whole_tiles(results) } else { results };
                ((results - 1) * packed.stride + window).saturating_sub(length + padding)
            };
            *below = (*below).max(beyond(rows, from.map.rows, packed.padding.0, packed.window.0));
            *right = (*right).max(beyond(columns, from.map.columns, packed.padding.1, packed.window.1));
        }
        if let Task::Depthwise { conv, from, .. } = task {
            let ((above, left), (below, right)) = &mut borders[from.map.id];
            let (rows, columns) = conv.packed().padding;
            (*above, *left) = ((*above).max(rows), (*left).max(columns));
            (*below, *right) = ((*below).max(rows), (*right).max(columns));
        }
    }
    let layout = |(map, ((above, left), (below, right))): (&Map, Border)| {
        let pixel = if map.id == 0 { map.channels } else { map.channels.next_multiple_of(LANES) };
        let row = (left + map.columns + right) * pixel;
        Layout { border: ((above, left), (below, right)), pixel, row, image: (above + map.rows + below) * row }
    };
    builder.maps.iter().zip(borders).map(layout).collect()
}

impl Layout {
    pub(crate) fn has_border(&self) -> bool {
        self.border != ((0, 0), (0, 0))
    }

    /// The view that begins `padding` above and left of the slice's first pixel and takes `stride` rows
    /// and columns a step.
    pub(crate) fn view(&self, slice: Slice, padding: (usize, usize), stride: usize) -> View {
        let (above, left) = (self.border.0.0 - padding.0, self.border.0.1 - padding.1);
        View {
            map: slice.map.id,
            start: above * self.row + left * self.pixel + slice.first,
            image: self.image,
            row: self.row * stride,
            pixel: self.pixel * stride,
        }
    }

    /// Where the runs of a window begin, counted from its upper left, and how long each is: whole rows
    /// of the window where its pixels' channels follow each other, else pixels.
    pub(crate) fn runs(&self, window: (usize, usize), channels: usize) -> (Vec<usize>, usize) {
        let (rows, columns) = window;
        if channels == self.pixel {
            return ((0..rows).map(|y| y * self.row).collect(), columns * channels);
        }
        let taps = (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x)));
        (taps.map(|(y, x)| y * self.row + x * self.pixel).collect(), channels)
    }
}
